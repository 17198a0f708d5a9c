#include "tests/unit/codec/values.h"

#include <math.h>

#include "proto/base/check.h"

uint64_t test_random_next(struct test_random *random)
{
	uint64_t x = random->state;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	random->state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

size_t test_random_below(struct test_random *random, size_t bound)
{
	return (size_t)(test_random_next(random) >> 16) % bound;
}

static void *room(struct rmd_arena *arena, size_t bytes)
{
	void *given = rmd_arena_alloc(arena, bytes != 0 ? bytes : 1);
	RMD_CHECK(given != NULL);
	return given;
}

/* Often an edge, else of any magnitude. */
static uint64_t any_bits(struct test_random *random)
{
	static const uint64_t edges[] = {0,
					 1,
					 2,
					 63,
					 64,
					 127,
					 128,
					 255,
					 256,
					 UINT64_MAX,
					 INT64_MAX,
					 UINT64_C(1) << 63,
					 (UINT64_C(1) << 63) + 1};
	if (test_random_below(random, 4) == 0)
		return edges[test_random_below(random, sizeof edges / sizeof *edges)];
	return test_random_next(random) >> test_random_below(random, 64);
}

static double any_double(struct test_random *random)
{
	static const double edges[] = {
		0.0,	  -0.0,	     1.0,    -1.0,
		0.1,	  1e22,	     5e-324, 1.7976931348623157e308,
		INFINITY, -INFINITY, NAN,    2.2250738585072014e-308};
	if (test_random_below(random, 2) == 0)
		return edges[test_random_below(random, sizeof edges / sizeof *edges)];
	return rmd_wire_double(
		test_random_next(random)); /* NaNs with payloads among them */
}

static struct remuda_string any_text(struct test_random *random, struct rmd_arena *arena,
				     size_t max)
{
	static const char *const pieces[] = {
		"a",	"Z",	"0", " ", "\"", "\\", "\n",	      "\t", "$",
		"\x01", "\x7f", "é", "€", "😀",	"/",  "\xef\xbf\xbf", "key"};
	size_t wanted = test_random_below(random, max < 24 ? max + 1 : 24), len = 0;
	char *text = room(arena, max + 8);
	while (len < wanted) {
		const char *piece =
			pieces[test_random_below(random, sizeof pieces / sizeof *pieces)];
		size_t piece_len = strlen(piece);
		if (!random->plain && test_random_below(random, 30) == 0) {
			piece = "";
			piece_len = 1; /* a NUL within */
		}
		if (len + piece_len > max)
			break;
		memcpy(text + len, piece, piece_len);
		len += piece_len;
	}
	text[len] = '\0';
	return (struct remuda_string){text, len};
}

static struct remuda_bytes any_bytes(struct test_random *random, struct rmd_arena *arena,
				     size_t len)
{
	uint8_t *bytes = room(arena, len);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)test_random_next(random);
	return (struct remuda_bytes){bytes, len};
}

static struct remuda_value any_items(struct test_random *random, struct rmd_arena *arena,
				     enum remuda_kind kind, unsigned depth)
{
	size_t len = depth == 1 ? 0 : test_random_below(random, 6);
	struct remuda_value *items = room(arena, len * sizeof *items);
	for (size_t i = 0; i < len; i++)
		items[i] = test_value_random(random, arena, depth - 1);
	if (kind == REMUDA_LIST && len >= 2)
		items[0] = test_string("keeps the list from being packed");
	struct remuda_value value = {.kind = kind};
	value.u.list.items = items;
	value.u.list.len = len;
	return value;
}

static struct remuda_value any_map(struct test_random *random, struct rmd_arena *arena,
				   unsigned depth)
{
	size_t len = depth == 1 ? 0 : test_random_below(random, 20), twin;
	bool text_keys = test_random_below(random, 2) == 0;
	struct remuda_entry *entries = room(arena, len * sizeof *entries);
	for (size_t i = 0; i < len; i++) {
		entries[i].key =
			text_keys ? test_value_of_kind(random, arena, REMUDA_STRING, 1)
				  : test_value_random(random, arena, depth - 1);
		entries[i].value = test_value_random(random, arena, depth - 1);
	}
	while (rmd_value_keys_distinct(entries, len, &twin) < 0)
		entries[twin] = entries[--len];
	struct remuda_value value = {.kind = REMUDA_MAP};
	value.u.map.entries = entries;
	value.u.map.len = len;
	return value;
}

static struct remuda_value any_array(struct test_random *random, struct rmd_arena *arena)
{
	struct remuda_value value = {.kind = REMUDA_ARRAY};
	enum remuda_dtype dtype = (enum remuda_dtype)(1 + test_random_below(random, 14));
	uint32_t rank = (uint32_t)test_random_below(random, 4);
	uint64_t *shape = room(arena, rank * sizeof *shape);
	size_t total = remuda_dtype_size(dtype);
	for (uint32_t i = 0; i < rank; i++) {
		shape[i] = test_random_below(random, 5);
		total *= shape[i];
	}
	value.u.array = (struct remuda_array){
		dtype, rank, shape, any_bytes(random, arena, total).data, total};
	return value;
}

static struct remuda_value any_packed(struct test_random *random, struct rmd_arena *arena,
				      enum remuda_kind kind, unsigned depth)
{
	size_t len = depth == 1 ? 0 : test_random_below(random, 40);
	struct remuda_value value = {.kind = kind};
	int64_t *ints = room(arena, len * sizeof *ints);
	double *doubles = room(arena, len * sizeof *doubles);
	for (size_t i = 0; i < len; i++) {
		ints[i] = (int64_t)any_bits(random);
		doubles[i] = any_double(random);
	}
	if (kind == REMUDA_INTS)
		value.u.ints = (struct remuda_int64s){ints, len};
	else
		value.u.doubles = (struct remuda_doubles){doubles, len};
	return value;
}

static struct remuda_value any_bigint(struct test_random *random, struct rmd_arena *arena)
{
	struct remuda_bytes bytes =
		any_bytes(random, arena, 10 + test_random_below(random, 60));
	uint8_t *top = (uint8_t *)(uintptr_t)bytes.data + bytes.len - 1;
	*top = *top == 0 || *top == 0xff ? 0x40 : *top; /* beyond 64 bits for certain */
	struct remuda_value value = {.kind = REMUDA_BIGINT};
	value.u.bytes = bytes;
	return value;
}

static void any_time(struct test_random *random, struct remuda_value *value)
{
	bool stamp = value->kind == REMUDA_TIMESTAMP;
	int64_t range = stamp ? INT64_C(62135596800) + INT64_C(253402300800)
			      : INT64_C(315576000001);
	value->u.time.seconds = (int64_t)(test_random_next(random) >> 1) % range;
	value->u.time.nanos = (int32_t)test_random_below(random, 1000000000);
	if (test_random_below(random, 3) == 0)
		value->u.time.nanos = 0;
	if (test_random_below(random, 4) == 0)
		value->u.time.seconds = 0;
	if (stamp) {
		value->u.time.seconds -= INT64_C(62135596800);
	} else if (test_random_below(random, 2) == 0) {
		value->u.time.seconds = -value->u.time.seconds;
		value->u.time.nanos = -value->u.time.nanos;
	}
}

static struct remuda_value any_named(struct test_random *random, struct rmd_arena *arena,
				     unsigned depth)
{
	struct remuda_value value = {.kind = REMUDA_NAMED};
	struct remuda_value *inner = room(arena, sizeof *inner);
	*inner = test_value_random(random, arena, depth - 1);
	value.u.named.name = any_text(random, arena, REMUDA_NAMED_NAME_MAX);
	value.u.named.value = inner;
	return value;
}

static void any_record(struct test_random *random, struct rmd_arena *arena,
		       struct remuda_value *value)
{
	switch (value->kind) {
	case REMUDA_BLOB:
		memcpy(value->u.blob.digest, any_bytes(random, arena, 32).data, 32);
		value->u.blob.size_bytes = any_bits(random);
		break;
	case REMUDA_ANY:
		value->u.any.type_url = any_text(random, arena, 100);
		value->u.any.data =
			any_bytes(random, arena, test_random_below(random, 50));
		break;
	default: /* REMUDA_OPAQUE */
		value->u.opaque.codec = any_text(random, arena, REMUDA_OPAQUE_CODEC_MAX);
		value->u.opaque.data =
			any_bytes(random, arena, test_random_below(random, 50));
	}
}

struct remuda_value test_value_of_kind(struct test_random *random,
				       struct rmd_arena *arena, enum remuda_kind kind,
				       unsigned depth)
{
	struct remuda_value value = {.kind = kind};
	switch (kind) {
	case REMUDA_NULL:
		break;
	case REMUDA_BOOLEAN:
		value.u.boolean = test_random_below(random, 2) == 1;
		break;
	case REMUDA_INT64:
		value.u.int64 = (int64_t)any_bits(random);
		break;
	case REMUDA_UINT64:
		value.u.uint64 = any_bits(random) | UINT64_C(1) << 63;
		break;
	case REMUDA_BIGINT:
		return any_bigint(random, arena);
	case REMUDA_FLOAT64:
		value.u.float64 = any_double(random);
		break;
	case REMUDA_COMPLEX:
		value.u.complex.real = any_double(random);
		value.u.complex.imaginary = any_double(random);
		if (random->plain && value.u.complex.real == 0)
			value.u.complex.real = 0.0;
		if (random->plain && value.u.complex.imaginary == 0)
			value.u.complex.imaginary = 0.0;
		break;
	case REMUDA_STRING:
		value.u.string = any_text(random, arena, 300);
		break;
	case REMUDA_FUNCTION:
		value.u.string = any_text(random, arena, REMUDA_FUNCTION_NAME_MAX);
		break;
	case REMUDA_BYTES:
		value.u.bytes = any_bytes(random, arena, test_random_below(random, 200));
		break;
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		return any_items(random, arena, kind, depth);
	case REMUDA_MAP:
		return any_map(random, arena, depth);
	case REMUDA_ARRAY:
		return any_array(random, arena);
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
		any_time(random, &value);
		break;
	case REMUDA_BLOB:
	case REMUDA_ANY:
	case REMUDA_OPAQUE:
		any_record(random, arena, &value);
		break;
	case REMUDA_NAMED:
		if (depth == 1)
			return test_int(1);
		return any_named(random, arena, depth);
	case REMUDA_INTS:
	case REMUDA_DOUBLES:
		return any_packed(random, arena, kind, depth);
	}
	return value;
}

struct remuda_value test_value_random(struct test_random *random, struct rmd_arena *arena,
				      unsigned depth)
{
	enum remuda_kind kind =
		(enum remuda_kind)test_random_below(random, REMUDA_DOUBLES + 1);
	return test_value_of_kind(random, arena, kind, depth);
}

struct remuda_value test_string(const char *text)
{
	struct remuda_value value = {.kind = REMUDA_STRING};
	value.u.string = (struct remuda_string){text, strlen(text)};
	return value;
}

struct remuda_value test_int(int64_t number)
{
	struct remuda_value value = {.kind = REMUDA_INT64};
	value.u.int64 = number;
	return value;
}

struct remuda_value test_list(const struct remuda_value *items, size_t len)
{
	struct remuda_value value = {.kind = REMUDA_LIST};
	value.u.list.items = items;
	value.u.list.len = len;
	return value;
}

struct remuda_value test_nested(struct rmd_arena *arena, unsigned levels)
{
	struct remuda_value value = {.kind = REMUDA_NULL};
	for (unsigned i = 1; i < levels; i++) {
		struct remuda_value *item = room(arena, sizeof *item);
		*item = value;
		value = test_list(item, 1);
	}
	return value;
}
