#include "client/cli/tagger.h"

#include <string.h>

void rmd_tagger_end_line(struct rmd_tagger *tagger)
{
	if (tagger->mid_line)
		fputc('\n', tagger->out);
	tagger->mid_line = false;
}

void rmd_tagger_write(struct rmd_tagger *tagger, const char *tag, const void *data,
		      size_t len)
{
	const char *at = data, *end = at + len;

	if (strcmp(tagger->tag, tag) != 0)
		rmd_tagger_end_line(tagger);
	snprintf(tagger->tag, sizeof tagger->tag, "%s", tag);
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t part = newline != NULL ? (size_t)(newline - at) + 1
					      : (size_t)(end - at);

		if (!tagger->mid_line && *tag != 0)
			fprintf(tagger->out, "%s ", tag);
		fwrite(at, 1, part, tagger->out);
		tagger->mid_line = newline == NULL;
		at += part;
	}
}
