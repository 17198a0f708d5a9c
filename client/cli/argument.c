#include "client/cli/argument.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/report.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/json.h"
#include "proto/codec/wire.h"

/* What one task's decoded arguments may take: the largest line as text, and room for
 * JSON. */
#define ARENA_MAX_BYTES ((size_t)1 << 30)

void rmd_argument_list_init(struct rmd_argument_list *list)
{
	rmd_arena_init(&list->arena, ARENA_MAX_BYTES);
	list->args = NULL;
	list->count = 0;
	list->open = false;
}

void rmd_argument_list_fini(struct rmd_argument_list *list)
{
	rmd_arena_fini(&list->arena);
	list->args = NULL;
	list->count = 0;
	list->open = false;
}

void rmd_argument_list_reset(struct rmd_argument_list *list)
{
	rmd_arena_reset(&list->arena);
	list->args = NULL;
	list->count = 0;
	list->open = false;
}

void rmd_argument_list_cut(struct rmd_argument_list *list, size_t count)
{
	if (count < list->count)
		list->count = count;
}

/* Adds one value. */
static int append(struct rmd_argument_list *list, struct remuda_arg arg, char *ret_why)
{
	if (list->args == NULL)
		list->args = rmd_arena_calloc(&list->arena, RMD_ARGUMENT_LIST_MAX,
					      sizeof *list->args);
	if (list->args == NULL) {
		snprintf(ret_why, RMD_ARGUMENT_WHY_BYTES, "out of memory");
		return RMD_ENOMEM;
	}
	if (list->count == RMD_ARGUMENT_LIST_MAX) {
		snprintf(ret_why, RMD_ARGUMENT_WHY_BYTES,
			 "a task has at most %u arguments", RMD_ARGUMENT_LIST_MAX);
		return RMD_ELIMIT;
	}
	list->args[list->count++] = arg;
	return 0;
}

/* Adds the word as text, or, where it is not UTF-8, as bytes. */
static int append_text(struct rmd_argument_list *list, struct rmd_slice word,
		       char *ret_why)
{
	struct remuda_bytes bytes = {word.data, word.len};

	if (!rmd_wire_utf8_valid(word))
		return append(list, remuda_arg_bytes(bytes), ret_why);
	char *copy = rmd_arena_copy(&list->arena, word);
	if (copy == NULL) {
		snprintf(ret_why, RMD_ARGUMENT_WHY_BYTES, "out of memory");
		return RMD_ENOMEM;
	}
	return append(list, remuda_arg_text((struct remuda_string){copy, word.len}),
		      ret_why);
}

/* True if JSON could begin so; spares most lines of text the parser. */
static bool may_be_json(struct rmd_slice word)
{
	size_t at = 0;

	while (at < word.len && memchr(" \t\r\n", word.data[at], 4) != NULL)
		at++;
	return at < word.len && memchr("{[\"-0123456789tfn", word.data[at], 17) != NULL;
}

/* Says why the word is not to be taken, after the parser's words where it has any;
 * takes `why`. */
static int refuse(int rc, const char *what, char *why, char *ret_why)
{
	snprintf(ret_why, RMD_ARGUMENT_WHY_BYTES, "%s%s%s", what, why != NULL ? ": " : "",
		 why != NULL ? why : "");
	rmd_free(why);
	return rc;
}

/* True if the function asks for a string where the next argument stands. */
static bool wants_string(const struct rmd_argument_list *list,
			 struct rmd_argument_rule rule)
{
	return rule.text || (list->count < 64 && (rule.strings >> list->count & 1) != 0);
}

static int spread(struct rmd_argument_list *list, struct rmd_slice word, char *ret_why)
{
	struct remuda_value array;
	char *why = NULL;
	size_t before = list->count;
	int rc = rmd_json_parse(word, &list->arena, &array, &why);

	if (rc < 0)
		return refuse(rc, "--spread takes a JSON array", why, ret_why);
	if (array.kind != REMUDA_LIST && array.kind != REMUDA_INTS &&
	    array.kind != REMUDA_DOUBLES)
		return refuse(RMD_EINVAL,
			      "--spread takes a JSON array, not another value", NULL,
			      ret_why);
	size_t len = array.kind == REMUDA_LIST	 ? array.u.list.len
		     : array.kind == REMUDA_INTS ? array.u.ints.len
						 : array.u.doubles.len;
	for (size_t i = 0; rc == 0 && i < len; i++) {
		struct remuda_arg arg =
			array.kind == REMUDA_LIST
				? remuda_arg_value(array.u.list.items[i])
			: array.kind == REMUDA_INTS
				? remuda_arg_int64(array.u.ints.data[i])
				: remuda_arg_double(array.u.doubles.data[i]);
		rc = append(list, arg, ret_why);
	}
	if (rc < 0)
		list->count = before;
	return rc;
}

/* Says once, to a person, that what looks like an array or object is none. */
static void note_text(struct rmd_slice word, const char *why)
{
	static bool said;

	if (said || (word.data[0] != '{' && word.data[0] != '[') || !isatty(STDERR_FILENO))
		return;
	said = true;
	rmd_report("note: '%.*s' is no JSON%s%s: taken as a string (-R says that it is one)",
		   (int)(word.len < 60 ? word.len : 60), (const char *)word.data,
		   why != NULL ? ": " : "", why != NULL ? why : "");
}

int rmd_argument_list_add(struct rmd_argument_list *list, struct rmd_argument_rule rule,
			  struct rmd_slice word, char ret_why[RMD_ARGUMENT_WHY_BYTES])
{
	struct remuda_value value;
	char *why = NULL;
	int rc;

	list->open = false;
	if (rule.spread)
		return spread(list, word, ret_why);
	if (wants_string(list, rule) || !may_be_json(word))
		return append_text(list, word, ret_why);
	list->open = true;
	rc = rmd_json_parse(word, &list->arena, &value, &why);
	if (rc == 0)
		return append(list, remuda_arg_value(value), ret_why);
	if (rc != RMD_EINVAL)
		return refuse(rc, "this JSON is no value (-R takes it as text)", why,
			      ret_why);
	note_text(word, why);
	rmd_free(why);
	list->open = false;
	return append_text(list, word, ret_why);
}
