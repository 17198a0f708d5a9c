/* Our encoder against protobuf-c over random values: the same bytes, so each reads the
 * other's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "remuda/v1/value.pb-c.h"
#include "tests/unit/codec/values.h"

#define ROUNDS 4000

typedef Remuda__V1__Value pb_value;

static struct rmd_arena arena;

static int arena_setup(void **state)
{
	(void)state;
	rmd_arena_init(&arena, 0);
	return 0;
}

static int arena_teardown(void **state)
{
	(void)state;
	rmd_arena_fini(&arena);
	return 0;
}

#define NEW(type, name, INIT)                               \
	type *name = rmd_arena_alloc(&arena, sizeof *name); \
	RMD_CHECK(name != NULL);                            \
	*name = (type)INIT

static char *pb_text(struct remuda_string text)
{
	return rmd_arena_copy(&arena, rmd_slice_of(text.data, text.len));
}

static ProtobufCBinaryData pb_bytes(const void *data, size_t len)
{
	return (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)data};
}

static pb_value *pb_of(const struct remuda_value *value);

static Remuda__V1__List *pb_list(const struct remuda_value *value)
{
	NEW(Remuda__V1__List, list, REMUDA__V1__LIST__INIT);
	list->n_items = value->u.list.len;
	list->items = rmd_arena_alloc(&arena, list->n_items * sizeof *list->items + 1);
	for (size_t i = 0; i < list->n_items; i++)
		list->items[i] = pb_of(&value->u.list.items[i]);
	return list;
}

static Remuda__V1__Map *pb_map(const struct remuda_value *value)
{
	NEW(Remuda__V1__Map, map, REMUDA__V1__MAP__INIT);
	map->n_entries = value->u.map.len;
	map->entries = rmd_arena_alloc(&arena, map->n_entries * sizeof *map->entries + 1);
	for (size_t i = 0; i < map->n_entries; i++) {
		NEW(Remuda__V1__MapEntry, entry, REMUDA__V1__MAP_ENTRY__INIT);
		entry->key = pb_of(&value->u.map.entries[i].key);
		entry->value = pb_of(&value->u.map.entries[i].value);
		map->entries[i] = entry;
	}
	return map;
}

static Remuda__V1__Array *pb_array(const struct remuda_array *from)
{
	NEW(Remuda__V1__Array, array, REMUDA__V1__ARRAY__INIT);
	array->dtype = (Remuda__V1__Dtype)from->dtype;
	array->n_shape = from->rank;
	array->shape = (uint64_t *)(uintptr_t)from->shape;
	array->data = pb_bytes(from->data, from->data_bytes);
	return array;
}

/* The kinds that are messages of plain fields. */
static void pb_record(const struct remuda_value *value, pb_value *pb)
{
	switch (value->kind) {
	case REMUDA_BIGINT: {
		NEW(Remuda__V1__BigInt, bigint, REMUDA__V1__BIG_INT__INIT);
		bigint->twos_complement =
			pb_bytes(value->u.bytes.data, value->u.bytes.len);
		pb->bigint = bigint;
		break;
	}
	case REMUDA_COMPLEX: {
		NEW(Remuda__V1__Complex, complex, REMUDA__V1__COMPLEX__INIT);
		complex->real = value->u.complex.real;
		complex->imaginary = value->u.complex.imaginary;
		pb->complex = complex;
		break;
	}
	case REMUDA_TIMESTAMP: {
		NEW(Google__Protobuf__Timestamp, stamp,
		    GOOGLE__PROTOBUF__TIMESTAMP__INIT);
		stamp->seconds = value->u.time.seconds;
		stamp->nanos = value->u.time.nanos;
		pb->timestamp = stamp;
		break;
	}
	case REMUDA_DURATION: {
		NEW(Google__Protobuf__Duration, span, GOOGLE__PROTOBUF__DURATION__INIT);
		span->seconds = value->u.time.seconds;
		span->nanos = value->u.time.nanos;
		pb->duration = span;
		break;
	}
	case REMUDA_FUNCTION: {
		NEW(Remuda__V1__Function, function, REMUDA__V1__FUNCTION__INIT);
		function->name = pb_text(value->u.string);
		pb->function = function;
		break;
	}
	case REMUDA_BLOB: {
		NEW(Remuda__V1__BlobRef, blob, REMUDA__V1__BLOB_REF__INIT);
		blob->digest = pb_bytes(value->u.blob.digest, 32);
		blob->size_bytes = value->u.blob.size_bytes;
		pb->blob = blob;
		break;
	}
	case REMUDA_ANY: {
		NEW(Google__Protobuf__Any, any, GOOGLE__PROTOBUF__ANY__INIT);
		any->type_url = pb_text(value->u.any.type_url);
		any->value = pb_bytes(value->u.any.data.data, value->u.any.data.len);
		pb->any = any;
		break;
	}
	case REMUDA_NAMED: {
		NEW(Remuda__V1__Named, named, REMUDA__V1__NAMED__INIT);
		named->name = pb_text(value->u.named.name);
		named->value = pb_of(value->u.named.value);
		pb->named = named;
		break;
	}
	case REMUDA_OPAQUE: {
		NEW(Remuda__V1__Opaque, opaque, REMUDA__V1__OPAQUE__INIT);
		opaque->codec = pb_text(value->u.opaque.codec);
		opaque->data =
			pb_bytes(value->u.opaque.data.data, value->u.opaque.data.len);
		pb->opaque = opaque;
		break;
	}
	default:
		RMD_UNREACHABLE("pb_of gives only the kinds above");
	}
}

static pb_value *pb_of(const struct remuda_value *value)
{
	NEW(pb_value, pb, REMUDA__V1__VALUE__INIT);
	pb->kind_case = (Remuda__V1__Value__KindCase)((int)value->kind + 1);
	switch (value->kind) {
	case REMUDA_NULL:
		break;
	case REMUDA_BOOLEAN:
		pb->boolean = value->u.boolean;
		break;
	case REMUDA_INT64:
		pb->int64 = value->u.int64;
		break;
	case REMUDA_UINT64:
		pb->uint64 = value->u.uint64;
		break;
	case REMUDA_FLOAT64:
		pb->float64 = value->u.float64;
		break;
	case REMUDA_STRING:
		pb->string = pb_text(value->u.string);
		break;
	case REMUDA_BYTES:
		pb->bytes = pb_bytes(value->u.bytes.data, value->u.bytes.len);
		break;
	case REMUDA_LIST:
		pb->list = pb_list(value);
		break;
	case REMUDA_TUPLE:
		pb->tuple = pb_list(value);
		break;
	case REMUDA_SET:
		pb->set = pb_list(value);
		break;
	case REMUDA_MAP:
		pb->map = pb_map(value);
		break;
	case REMUDA_ARRAY:
		pb->array = pb_array(&value->u.array);
		break;
	case REMUDA_INTS: {
		NEW(Remuda__V1__PackedInts, ints, REMUDA__V1__PACKED_INTS__INIT);
		ints->n_items = value->u.ints.len;
		ints->items = (int64_t *)(uintptr_t)value->u.ints.data;
		pb->ints = ints;
		break;
	}
	case REMUDA_DOUBLES: {
		NEW(Remuda__V1__PackedDoubles, doubles, REMUDA__V1__PACKED_DOUBLES__INIT);
		doubles->n_items = value->u.doubles.len;
		doubles->items = (double *)(uintptr_t)value->u.doubles.data;
		pb->doubles = doubles;
		break;
	}
	default:
		pb_record(value, pb);
	}
	return pb;
}

static void same_bytes_as_protobuf_c(const struct remuda_value *value)
{
	struct rmd_wire_writer ours = {0};
	rmd_value_put(&ours, value);
	assert_false(ours.failed);
	pb_value *pb = pb_of(value);
	size_t len = remuda__v1__value__get_packed_size(pb);
	uint8_t *theirs = rmd_malloc(len);
	assert_int_equal(remuda__v1__value__pack(pb, theirs), len);
	assert_int_equal(ours.len, len);
	assert_memory_equal(ours.data, theirs, len);

	pb_value *read = remuda__v1__value__unpack(NULL, ours.len, ours.data);
	assert_non_null(read);
	assert_int_equal(remuda__v1__value__get_packed_size(read), len);
	assert_int_equal(read->kind_case, (int)value->kind + 1);
	remuda__v1__value__free_unpacked(read, NULL);

	struct remuda_value back;
	assert_int_equal(rmd_value_get(rmd_slice_of(theirs, len), &arena, &back), 0);
	assert_true(rmd_value_equal(value, &back));
	rmd_free(theirs);
	rmd_wire_writer_fini(&ours);
}

static void every_kind_has_the_bytes_that_protobuf_c_writes(void **state)
{
	(void)state;
	struct test_random random = {.state = 7, .plain = true};
	for (int kind = REMUDA_NULL; kind <= REMUDA_DOUBLES; kind++)
		for (unsigned i = 0; i < 100; i++) {
			struct remuda_value value = test_value_of_kind(
				&random, &arena, (enum remuda_kind)kind, 2);
			same_bytes_as_protobuf_c(&value);
			rmd_arena_reset(&arena);
		}
}

static void random_values_have_the_bytes_that_protobuf_c_writes(void **state)
{
	(void)state;
	struct test_random random = {.state = 20240501, .plain = true};
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct remuda_value value = test_value_random(&random, &arena, 4);
		same_bytes_as_protobuf_c(&value);
		rmd_arena_reset(&arena);
	}
}

static void a_homogeneous_list_that_is_not_packed_reads_as_the_packed_one(void **state)
{
	(void)state;
	struct remuda_value items[] = {test_int(-5), test_int(0), test_int(INT64_MAX)};
	struct remuda_value list = test_list(items, 3), back;
	pb_value *pb = pb_of(&list);
	uint8_t bytes[100];
	size_t len = remuda__v1__value__pack(pb, bytes);
	assert_int_equal(rmd_value_get(rmd_slice_of(bytes, len), &arena, &back), 0);
	assert_int_equal(back.kind, REMUDA_LIST);
	assert_true(rmd_value_equal(&list, &back));

	struct rmd_wire_writer writer = {0};
	rmd_value_put(&writer, &list);
	pb_value *read = remuda__v1__value__unpack(NULL, writer.len, writer.data);
	assert_int_equal(read->kind_case, REMUDA__V1__VALUE__KIND_INTS);
	assert_int_equal(read->ints->n_items, 3);
	assert_int_equal(read->ints->items[0], -5);
	assert_true(read->ints->items[2] == INT64_MAX);
	remuda__v1__value__free_unpacked(read, NULL);
	rmd_wire_writer_fini(&writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			every_kind_has_the_bytes_that_protobuf_c_writes, arena_setup,
			arena_teardown),
		cmocka_unit_test_setup_teardown(
			random_values_have_the_bytes_that_protobuf_c_writes, arena_setup,
			arena_teardown),
		cmocka_unit_test_setup_teardown(
			a_homogeneous_list_that_is_not_packed_reads_as_the_packed_one,
			arena_setup, arena_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
