#include "proto/standard/reflection.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/alloc.h"
#include "proto/base/arena.h"
#include "proto/base/errcode.h"

#define FILES_MAX 256u
#define NESTING_MAX 16u

/* Field numbers of descriptor.proto. */
enum {
	SET_FILE = 1,
	FILE_NAME = 1,
	FILE_PACKAGE = 2,
	FILE_DEPENDENCY = 3,
	FILE_MESSAGE = 4,
	FILE_ENUM = 5,
	FILE_SERVICE = 6,
	ANY_NAME = 1, /* of a message, enum, service, method */
	MESSAGE_NESTED = 3,
	MESSAGE_ENUM = 4,
	SERVICE_METHOD = 2,
};

/* Field numbers of reflection.proto. */
enum {
	REQUEST_HOST = 1,
	REQUEST_FILE = 3,
	REQUEST_SYMBOL = 4,
	REQUEST_EXTENSION = 5,
	REQUEST_EXTENSION_NUMBERS = 6,
	REQUEST_LIST = 7,
	RESPONSE_HOST = 1,
	RESPONSE_REQUEST = 2,
	RESPONSE_FILES = 4,
	RESPONSE_LIST = 6,
	RESPONSE_ERROR = 7,
	FILES_PROTO = 1,
	LIST_SERVICE = 1,
	SERVICE_NAME = 1,
	ERROR_CODE = 1,
	ERROR_MESSAGE = 2,
	CODE_NOT_FOUND = 5,
};

struct described_file {
	struct rmd_slice raw, name;
};

struct symbol {
	struct rmd_slice name; /* in the arena */
	size_t file;
	bool service;
};

struct rmd_reflection {
	struct rmd_arena arena; /* full names */
	struct described_file files[FILES_MAX];
	size_t file_count;
	struct symbol *symbols; /* owned; sorted by name */
	size_t symbol_count, symbol_capacity;
};

/* ---- the index ---- */

static int compare(struct rmd_slice a, struct rmd_slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
	const struct symbol *left = a, *right = b;
	return compare(left->name, right->name);
}

/* The last LEN field `number`, or an empty slice where there is none. */
static int string_of(struct rmd_slice message, uint32_t number,
		     struct rmd_slice *ret_string)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	int more;
	*ret_string = rmd_slice_of("", 0);
	while ((more = rmd_wire_next(&reader, &field)) > 0)
		if (field.number == number && field.type == RMD_WIRE_LEN)
			*ret_string = field.bytes;
	return more;
}

/* Adds SCOPE.NAME for the thing that `described` describes; gives its full name. */
static int add_symbol(struct rmd_reflection *r, struct rmd_slice scope,
		      struct rmd_slice described, bool service,
		      struct rmd_slice *ret_name)
{
	struct rmd_slice name;
	int code = string_of(described, ANY_NAME, &name);
	if (code < 0)
		return code;
	if (r->symbol_count == r->symbol_capacity) {
		size_t capacity = r->symbol_capacity == 0 ? 256 : r->symbol_capacity * 2;
		struct symbol *symbols =
			rmd_realloc(r->symbols, capacity * sizeof *symbols);
		if (symbols == NULL)
			return RMD_ENOMEM;
		r->symbols = symbols;
		r->symbol_capacity = capacity;
	}
	size_t dot = scope.len == 0 ? 0 : 1;
	uint8_t *full = rmd_arena_alloc(&r->arena, scope.len + dot + name.len + 1);
	if (full == NULL)
		return RMD_ENOMEM;
	memcpy(full, scope.data, scope.len);
	memcpy(full + scope.len, ".", dot);
	memcpy(full + scope.len + dot, name.data, name.len);
	*ret_name = rmd_slice_of(full, scope.len + dot + name.len);
	r->symbols[r->symbol_count++] =
		(struct symbol){*ret_name, r->file_count, service};
	return 0;
}

static int add_leaf(struct rmd_reflection *r, struct rmd_slice scope,
		    struct rmd_slice described)
{
	struct rmd_slice name;
	return add_symbol(r, scope, described, false, &name);
}

static int add_message(struct rmd_reflection *r, struct rmd_slice scope,
		       struct rmd_slice described, unsigned depth)
{
	struct rmd_slice name;
	if (depth > NESTING_MAX)
		return RMD_EDEPTH;
	int code = add_symbol(r, scope, described, false, &name);
	struct rmd_wire_reader reader = rmd_wire_reader_of(described);
	struct rmd_wire_field field;
	int more = 0;
	while (code >= 0 && (more = rmd_wire_next(&reader, &field)) > 0) {
		if (field.type != RMD_WIRE_LEN)
			continue;
		if (field.number == MESSAGE_NESTED)
			code = add_message(r, name, field.bytes, depth + 1);
		else if (field.number == MESSAGE_ENUM)
			code = add_leaf(r, name, field.bytes);
	}
	return code < 0 ? code : more;
}

static int add_service(struct rmd_reflection *r, struct rmd_slice scope,
		       struct rmd_slice described)
{
	struct rmd_slice name;
	int code = add_symbol(r, scope, described, true, &name);
	struct rmd_wire_reader reader = rmd_wire_reader_of(described);
	struct rmd_wire_field field;
	int more = 0;
	while (code >= 0 && (more = rmd_wire_next(&reader, &field)) > 0)
		if (field.number == SERVICE_METHOD && field.type == RMD_WIRE_LEN)
			code = add_leaf(r, name, field.bytes);
	return code < 0 ? code : more;
}

static int add_file(struct rmd_reflection *r, struct rmd_slice raw)
{
	struct rmd_slice name, package;
	if (r->file_count == FILES_MAX)
		return RMD_ELIMIT;
	int code = string_of(raw, FILE_NAME, &name);
	if (code >= 0)
		code = string_of(raw, FILE_PACKAGE, &package);
	struct rmd_wire_reader reader = rmd_wire_reader_of(raw);
	struct rmd_wire_field field;
	int more = 0;
	while (code >= 0 && (more = rmd_wire_next(&reader, &field)) > 0) {
		if (field.type != RMD_WIRE_LEN)
			continue;
		if (field.number == FILE_MESSAGE)
			code = add_message(r, package, field.bytes, 0);
		else if (field.number == FILE_ENUM)
			code = add_leaf(r, package, field.bytes);
		else if (field.number == FILE_SERVICE)
			code = add_service(r, package, field.bytes);
	}
	r->files[r->file_count++] = (struct described_file){raw, name};
	return code < 0 ? code : more;
}

int rmd_reflection_create(struct rmd_slice descriptors,
			  struct rmd_reflection **ret_reflection)
{
	struct rmd_reflection *r = rmd_calloc(1, sizeof *r);
	if (r == NULL)
		return RMD_ENOMEM;
	rmd_arena_init(&r->arena, 0);
	struct rmd_wire_reader reader = rmd_wire_reader_of(descriptors);
	struct rmd_wire_field field;
	int more, code = 0;
	while ((more = rmd_wire_next(&reader, &field)) > 0 && code >= 0)
		if (field.number == SET_FILE && field.type == RMD_WIRE_LEN)
			code = add_file(r, field.bytes);
	if (code >= 0)
		code = more;
	if (code < 0) {
		rmd_reflection_destroy(r);
		return code;
	}
	if (r->symbol_count > 0)
		qsort(r->symbols, r->symbol_count, sizeof *r->symbols, by_name);
	*ret_reflection = r;
	return 0;
}

void rmd_reflection_destroy(struct rmd_reflection *reflection)
{
	if (reflection == NULL)
		return;
	rmd_arena_fini(&reflection->arena);
	rmd_free(reflection->symbols);
	rmd_free(reflection);
}

/* ---- answers ---- */

/* The index of the file called `name`, or file_count. */
static size_t find_file(const struct rmd_reflection *r, struct rmd_slice name)
{
	size_t i = 0;
	while (i < r->file_count && !rmd_slice_equal(r->files[i].name, name))
		i++;
	return i;
}

/* The index of the file that declares `name`, or file_count. */
static size_t find_symbol(const struct rmd_reflection *r, struct rmd_slice name)
{
	struct symbol key = {.name = name};
	const struct symbol *found = NULL;
	if (r->symbol_count > 0)
		found = bsearch(&key, r->symbols, r->symbol_count, sizeof key, by_name);
	return found == NULL ? r->file_count : found->file;
}

/* `first` and all that it imports, each once. */
static void put_files(const struct rmd_reflection *r, size_t first,
		      struct rmd_wire_writer *writer)
{
	bool seen[FILES_MAX] = {false};
	size_t wanted[FILES_MAX], count = 0;
	wanted[count++] = first;
	seen[first] = true;
	struct rmd_wire_nest files = rmd_wire_open(writer, RESPONSE_FILES);
	for (size_t i = 0; i < count; i++) {
		struct rmd_slice raw = r->files[wanted[i]].raw;
		struct rmd_wire_reader reader = rmd_wire_reader_of(raw);
		struct rmd_wire_field field;
		rmd_wire_put_bytes(writer, FILES_PROTO, raw);
		while (rmd_wire_next(&reader, &field) > 0) {
			if (field.number != FILE_DEPENDENCY || field.type != RMD_WIRE_LEN)
				continue;
			size_t import = find_file(r, field.bytes);
			if (import < r->file_count && !seen[import]) {
				seen[import] = true;
				wanted[count++] = import;
			}
		}
	}
	rmd_wire_close(writer, files);
}

static void put_services(const struct rmd_reflection *r, rmd_reflection_served *served,
			 void *ctx, struct rmd_wire_writer *writer)
{
	struct rmd_wire_nest list = rmd_wire_open(writer, RESPONSE_LIST);
	for (size_t i = 0; i < r->symbol_count; i++) {
		if (!r->symbols[i].service || !served(ctx, r->symbols[i].name))
			continue;
		struct rmd_wire_nest service = rmd_wire_open(writer, LIST_SERVICE);
		rmd_wire_put_bytes(writer, SERVICE_NAME, r->symbols[i].name);
		rmd_wire_close(writer, service);
	}
	rmd_wire_close(writer, list);
}

static void put_not_found(struct rmd_slice what, struct rmd_wire_writer *writer)
{
	char text[256];
	int shown = what.len > 128 || !rmd_wire_utf8_valid(what) ? 0 : (int)what.len;
	int len = snprintf(text, sizeof text, "\"%.*s\" is not described here", shown,
			   shown == 0 ? "" : (const char *)what.data);
	struct rmd_wire_nest error = rmd_wire_open(writer, RESPONSE_ERROR);
	rmd_wire_put_varint(writer, ERROR_CODE, CODE_NOT_FOUND);
	rmd_wire_put_bytes(writer, ERROR_MESSAGE, rmd_slice_of(text, (size_t)len));
	rmd_wire_close(writer, error);
}

int rmd_reflection_answer(const struct rmd_reflection *reflection,
			  struct rmd_slice request, rmd_reflection_served *served,
			  void *ctx, struct rmd_wire_writer *writer)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(request);
	struct rmd_wire_field field, question = {0};
	struct rmd_slice host = {0};
	int more;
	while ((more = rmd_wire_next(&reader, &field)) > 0) {
		if (field.type != RMD_WIRE_LEN)
			continue;
		if (field.number == REQUEST_HOST)
			host = field.bytes;
		else if (field.number >= REQUEST_FILE && field.number <= REQUEST_LIST)
			question = field;
	}
	if (more < 0)
		return more;
	rmd_wire_put_bytes_nz(writer, RESPONSE_HOST, host);
	rmd_wire_put_bytes(writer, RESPONSE_REQUEST, request);
	size_t file = reflection->file_count;
	if (question.number == REQUEST_FILE)
		file = find_file(reflection, question.bytes);
	else if (question.number == REQUEST_SYMBOL)
		file = find_symbol(reflection, question.bytes);
	if (question.number == REQUEST_LIST)
		put_services(reflection, served, ctx, writer);
	else if (file < reflection->file_count)
		put_files(reflection, file, writer);
	else
		put_not_found(question.bytes, writer);
	return 0;
}
