/* Signatures and types in words; which message type a C type means. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "proto/task/convert.h"

const char *rmd_task_type_text(enum remuda_type type)
{
	static const char *const texts[] = {
		[REMUDA_TYPE_VOID] = "nothing",
		[REMUDA_TYPE_BOOL] = "a boolean",
		[REMUDA_TYPE_INT8] = "an integer from -128 to 127",
		[REMUDA_TYPE_INT16] = "an integer from -32768 to 32767",
		[REMUDA_TYPE_INT32] = "an integer from -2147483648 to 2147483647",
		[REMUDA_TYPE_INT64] = "an integer from -2^63 to 2^63-1",
		[REMUDA_TYPE_UINT8] = "an integer from 0 to 255",
		[REMUDA_TYPE_UINT16] = "an integer from 0 to 65535",
		[REMUDA_TYPE_UINT32] = "an integer from 0 to 4294967295",
		[REMUDA_TYPE_UINT64] = "an integer from 0 to 2^64-1",
		[REMUDA_TYPE_FLOAT] = "a number that a float can hold",
		[REMUDA_TYPE_DOUBLE] = "a number that a double can hold",
		[REMUDA_TYPE_TEXT] = "text or bytes without a NUL",
		[REMUDA_TYPE_STRING] = "a string",
		[REMUDA_TYPE_BYTES] = "bytes",
		[REMUDA_TYPE_INT64S] = "a list or vector of int64",
		[REMUDA_TYPE_DOUBLES] = "a list or vector of double",
		[REMUDA_TYPE_ARRAY] = "an array",
		[REMUDA_TYPE_VALUE] = "any value",
		[REMUDA_TYPE_MESSAGE] = "a message",
		[REMUDA_TYPE_CTX] = "the context",
	};
	return (unsigned)type < sizeof texts / sizeof *texts ? texts[type] : "?";
}

/* `text` without `word` and the spaces behind it, if it begins so. */
static const char *skip_word(const char *text, const char *word)
{
	size_t len = strlen(word);
	if (strncmp(text, word, len) != 0 || text[len] != ' ')
		return text;
	text += len;
	while (*text == ' ')
		text++;
	return text;
}

/* C's _Bool is what <stdbool.h> makes of the word that people write. */
static const char *plain_type(const char *text)
{
	text = skip_word(skip_word(text, "static"), "inline");
	return strcmp(text, "_Bool") == 0 ? "bool" : text;
}

void rmd_task_signature(const struct remuda_task *task, const char *prefix,
			char *ret_text, size_t size)
{
	int n = snprintf(ret_text, size, "%s %s%s%s(", plain_type(task->ret_text),
			 prefix == NULL ? "" : prefix, prefix == NULL ? "" : ".",
			 task->name);
	for (uint32_t i = 0; i < task->param_count; i++) {
		if (n < 0 || (size_t)n >= size)
			return;
		const char *type = plain_type(task->params[i].text);
		const char *space = type[strlen(type) - 1] == '*' ? "" : " ";
		n += snprintf(ret_text + n, size - (size_t)n, "%s%s%s%s",
			      i == 0 ? "" : ", ", type, space, task->params[i].name);
	}
	if (n >= 0 && (size_t)n < size)
		(void)snprintf(ret_text + n, size - (size_t)n,
			       task->param_count == 0 ? "void)" : ")");
}

/* The type's name in `text` ("const Orders__Row *"): where it begins, and its length. */
static size_t base_name(const char *text, const char **ret_name)
{
	const char *before;
	do {
		before = text;
		while (*text == ' ')
			text++;
		text = skip_word(text, "static");
		text = skip_word(text, "const");
		text = skip_word(text, "struct");
	} while (text != before);
	size_t len = 0;
	while (isalnum((unsigned char)text[len]) || text[len] == '_' || text[len] == ':')
		len++;
	*ret_name = text;
	return len;
}

const struct remuda_message *rmd_task_message(const struct remuda_task *task,
					      const char *type_text)
{
	const char *name, *other;
	size_t len = base_name(type_text, &name);
	for (const struct remuda_message *const *at = task->messages;
	     at != NULL && at < task->messages_end; at++) {
		if (*at == NULL)
			continue;
		size_t other_len = base_name((*at)->text, &other);
		if (len == other_len && memcmp(name, other, len) == 0)
			return *at;
	}
	return NULL;
}
