/* The order of values: for equality, and to find a map's key that comes twice. Hashing
 * would need a secret seed to be safe from chosen keys; sorting needs none. */
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/value.h"

#define FEW_KEYS 12u /* so many are compared each with each */

/* An integer of whatever kind as shortest two's complement. */
struct integer {
	uint8_t own[9];
	const uint8_t *bytes;
	size_t len;
};

static int order(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int order_signed(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int order_double(double a, double b)
{
	uint64_t bits_a, bits_b;
	memcpy(&bits_a, &a, sizeof bits_a);
	memcpy(&bits_b, &b, sizeof bits_b);
	return order(bits_a, bits_b);
}

static int order_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	size_t common = a_len < b_len ? a_len : b_len;
	int rc = common == 0 ? 0 : memcmp(a, b, common);
	return rc != 0 ? rc : order(a_len, b_len);
}

static int order_text(struct remuda_string a, struct remuda_string b)
{
	return order_bytes(a.data, a.len, b.data, b.len);
}

/* Drops bytes at the top that only repeat the sign. */
static size_t shortest(const uint8_t *bytes, size_t len)
{
	while (len > 1 && ((bytes[len - 1] == 0x00 && bytes[len - 2] < 0x80) ||
			   (bytes[len - 1] == 0xff && bytes[len - 2] >= 0x80)))
		len--;
	return len;
}

static void integer_of(const struct remuda_value *value, struct integer *ret)
{
	if (value->kind == REMUDA_BIGINT) {
		ret->bytes = value->u.bytes.data;
		ret->len = value->u.bytes.len;
	}
	if (value->kind != REMUDA_BIGINT || ret->len == 0) {
		uint64_t bits = value->kind == REMUDA_INT64    ? (uint64_t)value->u.int64
				: value->kind == REMUDA_UINT64 ? value->u.uint64
							       : 0;
		for (size_t i = 0; i < 8; i++)
			ret->own[i] = (uint8_t)(bits >> (8 * i));
		ret->own[8] = value->kind == REMUDA_INT64 && value->u.int64 < 0 ? 0xff
										: 0;
		ret->bytes = ret->own;
		ret->len = sizeof ret->own;
	}
	ret->len = shortest(ret->bytes, ret->len);
}

static int order_integers(const struct remuda_value *a, const struct remuda_value *b)
{
	if (a->kind == REMUDA_INT64 && b->kind == REMUDA_INT64)
		return order_signed(a->u.int64, b->u.int64);
	struct integer x, y;
	integer_of(a, &x);
	integer_of(b, &y);
	bool negative = x.bytes[x.len - 1] >= 0x80;
	if (negative != (y.bytes[y.len - 1] >= 0x80))
		return negative ? -1 : 1;
	if (x.len != y.len)
		return (x.len < y.len) == negative ? 1 : -1;
	for (size_t i = x.len; i-- > 0;)
		if (x.bytes[i] != y.bytes[i])
			return x.bytes[i] < y.bytes[i] ? -1 : 1;
	return 0;
}

struct remuda_value rmd_value_of_twos(struct rmd_slice bytes)
{
	size_t len = shortest(bytes.data, bytes.len);
	bool negative = len > 0 && bytes.data[len - 1] >= 0x80;
	struct remuda_value value = {0};
	if (len > 9 || (len == 9 && bytes.data[8] != 0)) {
		value.kind = REMUDA_BIGINT;
		value.u.bytes = (struct remuda_bytes){bytes.data, len};
		return value;
	}
	uint64_t bits = negative ? UINT64_MAX : 0;
	for (size_t i = 0; i < len && i < 8; i++)
		bits = (bits & ~(UINT64_C(0xff) << (8 * i))) | (uint64_t)bytes.data[i]
								       << (8 * i);
	value.kind = len == 9 ? REMUDA_UINT64 : REMUDA_INT64;
	if (len == 9)
		value.u.uint64 = bits;
	else
		value.u.int64 = (int64_t)bits;
	return value;
}

static int order_lists(const struct remuda_value *a, const struct remuda_value *b)
{
	size_t a_len = remuda_value_list_len(a), b_len = remuda_value_list_len(b);
	for (size_t i = 0; i < a_len && i < b_len; i++) {
		struct remuda_value x = remuda_value_list_item(a, i);
		struct remuda_value y = remuda_value_list_item(b, i);
		int rc = rmd_value_compare(&x, &y);
		if (rc != 0)
			return rc;
	}
	return order(a_len, b_len);
}

static int order_maps(const struct remuda_value *a, const struct remuda_value *b)
{
	for (size_t i = 0; i < a->u.map.len && i < b->u.map.len; i++) {
		const struct remuda_entry *x = &a->u.map.entries[i],
					  *y = &b->u.map.entries[i];
		int rc = rmd_value_compare(&x->key, &y->key);
		if (rc == 0)
			rc = rmd_value_compare(&x->value, &y->value);
		if (rc != 0)
			return rc;
	}
	return order(a->u.map.len, b->u.map.len);
}

static int order_arrays(const struct remuda_array *a, const struct remuda_array *b)
{
	int rc = order((uint64_t)a->dtype, (uint64_t)b->dtype);
	if (rc == 0)
		rc = order(a->rank, b->rank);
	for (uint32_t i = 0; rc == 0 && i < a->rank; i++)
		rc = order(a->shape[i], b->shape[i]);
	return rc != 0 ? rc : order_bytes(a->data, a->data_bytes, b->data, b->data_bytes);
}

/* Kinds that may be equal to each other share a number. */
static unsigned family(enum remuda_kind kind)
{
	if (kind == REMUDA_UINT64 || kind == REMUDA_BIGINT)
		return REMUDA_INT64;
	if (kind == REMUDA_INTS || kind == REMUDA_DOUBLES)
		return REMUDA_LIST;
	return (unsigned)kind;
}

/* Compares the kinds that hold no other values. */
static int order_leaves(const struct remuda_value *a, const struct remuda_value *b)
{
	int rc;
	switch (a->kind) {
	case REMUDA_BOOLEAN:
		return (int)a->u.boolean - (int)b->u.boolean;
	case REMUDA_FLOAT64:
		return order_double(a->u.float64, b->u.float64);
	case REMUDA_COMPLEX:
		rc = order_double(a->u.complex.real, b->u.complex.real);
		return rc != 0 ? rc
			       : order_double(a->u.complex.imaginary,
					      b->u.complex.imaginary);
	case REMUDA_STRING:
	case REMUDA_FUNCTION:
		return order_text(a->u.string, b->u.string);
	case REMUDA_BYTES:
		return order_bytes(a->u.bytes.data, a->u.bytes.len, b->u.bytes.data,
				   b->u.bytes.len);
	case REMUDA_ARRAY:
		return order_arrays(&a->u.array, &b->u.array);
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
		rc = order_signed(a->u.time.seconds, b->u.time.seconds);
		return rc != 0 ? rc : order_signed(a->u.time.nanos, b->u.time.nanos);
	case REMUDA_BLOB:
		rc = memcmp(a->u.blob.digest, b->u.blob.digest, sizeof a->u.blob.digest);
		return rc != 0 ? rc : order(a->u.blob.size_bytes, b->u.blob.size_bytes);
	case REMUDA_ANY:
		rc = order_text(a->u.any.type_url, b->u.any.type_url);
		return rc != 0 ? rc
			       : order_bytes(a->u.any.data.data, a->u.any.data.len,
					     b->u.any.data.data, b->u.any.data.len);
	case REMUDA_OPAQUE:
		rc = order_text(a->u.opaque.codec, b->u.opaque.codec);
		return rc != 0 ? rc
			       : order_bytes(a->u.opaque.data.data, a->u.opaque.data.len,
					     b->u.opaque.data.data, b->u.opaque.data.len);
	default: /* null; the rest has gone elsewhere */
		return 0;
	}
}

int rmd_value_compare(const struct remuda_value *a, const struct remuda_value *b)
{
	unsigned kin = family(a->kind);
	if (kin != family(b->kind))
		return order(kin, family(b->kind));
	switch (kin) {
	case REMUDA_INT64:
		return order_integers(a, b);
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		return order_lists(a, b);
	case REMUDA_MAP:
		return order_maps(a, b);
	case REMUDA_NAMED: {
		int rc = order_text(a->u.named.name, b->u.named.name);
		return rc != 0 ? rc
			       : rmd_value_compare(a->u.named.value, b->u.named.value);
	}
	default:
		return order_leaves(a, b);
	}
}

/* ---- keys that come twice ---- */

static int order_keys(const struct remuda_entry *a, const struct remuda_entry *b)
{
	return rmd_value_compare(&a->key, &b->key);
}

static int few_distinct(const struct remuda_entry *entries, size_t len, size_t *ret_twin)
{
	for (size_t i = 1; i < len; i++)
		for (size_t j = 0; j < i; j++)
			if (order_keys(&entries[i], &entries[j]) == 0) {
				*ret_twin = i;
				return RMD_EEXIST;
			}
	return 0;
}

static void sift(const struct remuda_entry **heap, size_t root, size_t len)
{
	for (;;) {
		size_t child = 2 * root + 1;
		if (child >= len)
			return;
		if (child + 1 < len && order_keys(heap[child], heap[child + 1]) < 0)
			child++;
		if (order_keys(heap[root], heap[child]) >= 0)
			return;
		const struct remuda_entry *moved = heap[root];
		heap[root] = heap[child];
		heap[child] = moved;
		root = child;
	}
}

/* Heapsort: n log n in the worst case too, and in place. */
static void sort_keys(const struct remuda_entry **keys, size_t len)
{
	for (size_t i = len / 2; i-- > 0;)
		sift(keys, i, len);
	for (size_t left = len; left > 1; left--) {
		const struct remuda_entry *largest = keys[0];
		keys[0] = keys[left - 1];
		keys[left - 1] = largest;
		sift(keys, 0, left - 1);
	}
}

static bool ascending(const struct remuda_entry *entries, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if (order_keys(&entries[i - 1], &entries[i]) >= 0)
			return false;
	return true;
}

int rmd_value_keys_distinct(const struct remuda_entry *entries, size_t len,
			    size_t *ret_twin)
{
	if (len <= FEW_KEYS)
		return few_distinct(entries, len, ret_twin);
	if (ascending(entries, len))
		return 0;
	const struct remuda_entry **keys = rmd_calloc(len, sizeof *keys);
	if (keys == NULL)
		return RMD_ENOMEM;
	for (size_t i = 0; i < len; i++)
		keys[i] = &entries[i];
	sort_keys(keys, len);
	int rc = 0;
	for (size_t i = 1; i < len && rc == 0; i++) {
		if (order_keys(keys[i - 1], keys[i]) != 0)
			continue;
		*ret_twin = (size_t)((keys[i] > keys[i - 1] ? keys[i] : keys[i - 1]) -
				     entries);
		rc = RMD_EEXIST;
	}
	rmd_free(keys);
	return rc;
}
