/* remuda_value_copy and remuda_value_free: a deep copy is one block of malloc that begins
 * with what the outermost value points to, so that the value itself says what to free. */
#include <string.h>

#include "client/c/include/remuda/remuda.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

#define ALIGN 16u

/* Where copies go; with `at` NULL only the room is counted. */
struct block {
	uint8_t *at;
	size_t used;
};

static void *room(struct block *block, size_t size)
{
	void *at = block->at == NULL ? NULL : block->at + block->used;
	block->used += (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	return at;
}

/* A copy with a NUL behind it, or NULL while counting. */
static void *put_bytes(struct block *block, const void *data, size_t len)
{
	uint8_t *to = room(block, len + 1);
	if (to != NULL) {
		if (len != 0)
			memcpy(to, data, len);
		to[len] = 0;
	}
	return to;
}

static int put_value(struct block *block, const struct remuda_value *from,
		     struct remuda_value *to, unsigned depth);

static int put_items(struct block *block, const struct remuda_value *items, size_t len,
		     const struct remuda_value **ret_items, unsigned depth)
{
	struct remuda_value *copies = room(block, len * sizeof *copies + 1);
	struct remuda_value counted;
	for (size_t i = 0; i < len; i++) {
		int rc = put_value(block, &items[i],
				   copies == NULL ? &counted : &copies[i], depth);
		if (rc < 0)
			return rc;
	}
	*ret_items = copies;
	return 0;
}

static int put_entries(struct block *block, const struct remuda_entry *entries,
		       size_t len, const struct remuda_entry **ret_entries,
		       unsigned depth)
{
	struct remuda_entry *copies = room(block, len * sizeof *copies + 1);
	struct remuda_entry counted;
	for (size_t i = 0; i < len; i++) {
		struct remuda_entry *to = copies == NULL ? &counted : &copies[i];
		int rc = put_value(block, &entries[i].key, &to->key, depth);
		if (rc == 0)
			rc = put_value(block, &entries[i].value, &to->value, depth);
		if (rc < 0)
			return rc;
	}
	*ret_entries = copies;
	return 0;
}

static int put_named(struct block *block, const struct remuda_value *from,
		     struct remuda_value *to, unsigned depth)
{
	to->u.named.name.data =
		put_bytes(block, from->u.named.name.data, from->u.named.name.len);
	return put_items(block, from->u.named.value, 1, &to->u.named.value, depth);
}

static void put_array(struct block *block, const struct remuda_array *from,
		      struct remuda_array *to)
{
	to->data = put_bytes(block, from->data, from->data_bytes);
	to->shape = put_bytes(block, from->shape, from->rank * sizeof *from->shape);
}

static int put_value(struct block *block, const struct remuda_value *from,
		     struct remuda_value *to, unsigned depth)
{
	if (depth == 0)
		return REMUDA_ETOOBIG;
	*to = *from;
	switch (from->kind) {
	case REMUDA_NULL:
	case REMUDA_BOOLEAN:
	case REMUDA_INT64:
	case REMUDA_UINT64:
	case REMUDA_FLOAT64:
	case REMUDA_COMPLEX:
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
	case REMUDA_BLOB:
		return 0;
	case REMUDA_STRING:
	case REMUDA_FUNCTION:
		to->u.string.data =
			put_bytes(block, from->u.string.data, from->u.string.len);
		return 0;
	case REMUDA_BIGINT:
	case REMUDA_BYTES:
		to->u.bytes.data =
			put_bytes(block, from->u.bytes.data, from->u.bytes.len);
		return 0;
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		return put_items(block, from->u.list.items, from->u.list.len,
				 &to->u.list.items, depth - 1);
	case REMUDA_MAP:
		return put_entries(block, from->u.map.entries, from->u.map.len,
				   &to->u.map.entries, depth - 1);
	case REMUDA_ARRAY:
		put_array(block, &from->u.array, &to->u.array);
		return 0;
	case REMUDA_ANY:
		to->u.any.type_url.data = put_bytes(block, from->u.any.type_url.data,
						    from->u.any.type_url.len);
		to->u.any.data.data =
			put_bytes(block, from->u.any.data.data, from->u.any.data.len);
		return 0;
	case REMUDA_NAMED:
		return put_named(block, from, to, depth - 1);
	case REMUDA_OPAQUE:
		to->u.opaque.codec.data = put_bytes(block, from->u.opaque.codec.data,
						    from->u.opaque.codec.len);
		to->u.opaque.data.data = put_bytes(block, from->u.opaque.data.data,
						   from->u.opaque.data.len);
		return 0;
	case REMUDA_INTS:
		to->u.ints.data = put_bytes(block, from->u.ints.data,
					    from->u.ints.len * sizeof(int64_t));
		return 0;
	case REMUDA_DOUBLES:
		to->u.doubles.data = put_bytes(block, from->u.doubles.data,
					       from->u.doubles.len * sizeof(double));
		return 0;
	}
	return REMUDA_EINVAL;
}

int remuda_value_copy(const struct remuda_value *value, struct remuda_value *ret_copy)
{
	struct block block = {0};
	struct remuda_value copy;
	int rc = put_value(&block, value, &copy, REMUDA_VALUE_DEPTH_MAX);
	if (rc < 0)
		return rc;
	if (block.used != 0) {
		block.at = rmd_malloc(block.used);
		if (block.at == NULL)
			return REMUDA_ENOMEM;
		block.used = 0;
		rc = put_value(&block, value, &copy, REMUDA_VALUE_DEPTH_MAX);
		if (rc < 0) {
			rmd_free(block.at);
			return rc;
		}
	}
	*ret_copy = copy;
	return 0;
}

/* The beginning of the block: what put_value put first. */
static const void *block_of(const struct remuda_value *value)
{
	switch (value->kind) {
	case REMUDA_NULL:
	case REMUDA_BOOLEAN:
	case REMUDA_INT64:
	case REMUDA_UINT64:
	case REMUDA_FLOAT64:
	case REMUDA_COMPLEX:
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
	case REMUDA_BLOB:
		return NULL;
	case REMUDA_STRING:
	case REMUDA_FUNCTION:
		return value->u.string.data;
	case REMUDA_BIGINT:
	case REMUDA_BYTES:
		return value->u.bytes.data;
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		return value->u.list.items;
	case REMUDA_MAP:
		return value->u.map.entries;
	case REMUDA_ARRAY:
		return value->u.array.data;
	case REMUDA_ANY:
		return value->u.any.type_url.data;
	case REMUDA_NAMED:
		return value->u.named.name.data;
	case REMUDA_OPAQUE:
		return value->u.opaque.codec.data;
	case REMUDA_INTS:
		return value->u.ints.data;
	case REMUDA_DOUBLES:
		return value->u.doubles.data;
	}
	return NULL;
}

void remuda_value_free(struct remuda_value *value)
{
	if (value == NULL)
		return;
	rmd_free((void *)(uintptr_t)block_of(value));
	*value = (struct remuda_value){0};
}
