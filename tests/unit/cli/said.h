/* tests/unit/cli/said.h: what the code under test writes to stderr, as a string. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *said_text;
static size_t said_len;
static FILE *said_stderr;

/* From now on stderr is gathered. */
static inline void said_begin(void)
{
	said_stderr = stderr;
	stderr = open_memstream(&said_text, &said_len);
}

/* Gives stderr back; what was gathered stays in said_text until said_free. */
static inline const char *said_end(void)
{
	fclose(stderr);
	stderr = said_stderr;
	return said_text;
}

static inline void said_free(void)
{
	free(said_text);
	said_text = NULL;
}
