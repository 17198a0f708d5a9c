/* The error for a name that no module has: what is near it, and what there is. */
#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/error/chain.h"
#include "worker/native/functions.h"

#define NEAREST 3u
/* Longer names are compared by their first bytes. */
#define COMPARED_MAX 128u
#define TEXT_MAX 4096u

/* Edit distance (insert, delete, replace) of the first COMPARED_MAX bytes. */
static unsigned distance(struct rmd_slice a, struct rmd_slice b)
{
	unsigned row[COMPARED_MAX + 1];
	size_t a_len = a.len < COMPARED_MAX ? a.len : COMPARED_MAX;
	size_t b_len = b.len < COMPARED_MAX ? b.len : COMPARED_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned above = row[j];
			unsigned best = diagonal + (a.data[i - 1] != b.data[j - 1]);
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = above;
			row[j] = best;
		}
	}
	return row[b_len];
}

/* How far `name` is from the function: from its whole name, or from that without its
 * prefix. */
static unsigned farness(const struct rmd_function *function, struct rmd_slice name)
{
	struct rmd_slice whole = rmd_slice_of(function->name, function->name_len);
	unsigned far = distance(whole, name);
	unsigned bare = distance(rmd_slice_of_string(function->task->name), name) + 1;
	return far < bare ? far : bare;
}

struct near {
	const struct rmd_function *function;
	unsigned far;
};

/* Keeps the nearest ones in order; of equals the first by name. */
static void keep_near(struct near nearest[NEAREST], const struct rmd_function *function,
		      unsigned far)
{
	struct near carried = {function, far};
	for (unsigned i = 0; i < NEAREST; i++) {
		struct near *at = &nearest[i];
		if (at->function != NULL &&
		    (at->far < carried.far ||
		     (at->far == carried.far &&
		      strcmp(at->function->name, carried.function->name) < 0)))
			continue;
		struct near pushed = *at;
		*at = carried;
		carried = pushed;
		if (carried.function == NULL)
			return;
	}
}

static void append(char *text, const char *separator, const char *more)
{
	size_t len = strlen(text);
	(void)snprintf(text + len, TEXT_MAX - len, "%s%s", separator, more);
}

/* Why the pushed module of the function is not there; NULL: none is known. */
static struct remuda_error *fault_of(const struct rmd_functions *functions,
				     struct rmd_slice name)
{
	for (size_t i = 0; i < functions->fault_count; i++) {
		const struct rmd_module_fault *fault = &functions->faults[i];
		size_t len = strlen(fault->prefix);
		if (len == 0 || name.len <= len ||
		    memrchr(name.data, '.', name.len) != name.data + len ||
		    memcmp(name.data, fault->prefix, len) != 0)
			continue;
		const struct remuda_error *cause = remuda_error_cause(fault->err);
		return remuda_error_create(
			"ModuleError", "%s%s%s", remuda_error_message(fault->err),
			cause != NULL ? ": " : "",
			cause != NULL ? remuda_error_message(cause) : "");
	}
	return NULL;
}

struct remuda_error *rmd_functions_unknown(const struct rmd_functions *functions,
					   struct rmd_slice name)
{
	struct remuda_error *known = fault_of(functions, name);
	if (known != NULL) {
		rmd_error_set_origin(known, REMUDA_ORIGIN_LOOKUP);
		return known;
	}
	struct near nearest[NEAREST] = {{0}};
	char near_text[TEXT_MAX] = "", module_text[TEXT_MAX] = "";
	for (size_t i = 0; i < functions->table_size; i++)
		if (functions->table[i] != NULL)
			keep_near(nearest, functions->table[i],
				  farness(functions->table[i], name));
	for (unsigned i = 0; i < NEAREST && nearest[i].function != NULL; i++)
		append(near_text, i == 0 ? "" : ", ", nearest[i].function->name);
	for (size_t i = 0; i < functions->module_count; i++) {
		append(module_text, i == 0 ? "" : ", ",
		       functions->modules[i].module->prefix);
		if (functions->modules[i].path[0] == '(')
			continue; /* our own, which is no file */
		append(module_text, " (", functions->modules[i].path);
		append(module_text, ")", "");
	}
	struct remuda_error *err;
	int len = (int)(name.len < RMD_FUNCTION_NAME_MAX ? name.len
							 : RMD_FUNCTION_NAME_MAX);
	const char *text = (const char *)name.data;
	if (functions->count == 0)
		err = remuda_error_create(
			"UnknownFunction",
			"no function %.*s: this worker has no modules; load one with "
			"--module FILE, or send it with `remuda module push FILE`",
			len, text);
	else
		err = remuda_error_create(
			"UnknownFunction",
			"no function %.*s; nearest: %s; modules of this worker: %s "
			"(add one: --module FILE, or remuda module push FILE)",
			len, text, near_text, module_text);
	rmd_error_set_origin(err, REMUDA_ORIGIN_LOOKUP);
	return err;
}
