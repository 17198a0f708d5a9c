#include "tests/unit/frames/random_pb.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/codec/frames.h"

/* xorshift64* */
static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t below(uint64_t n)
{
	return next_random() % n;
}

static void *zeroed(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	RMD_CHECK(memory != NULL);
	return memory;
}

/* A number of any length on the wire, within 32 bits where asked. */
static uint64_t number(unsigned bits)
{
	return next_random() >> (64 - bits) >> below(bits);
}

/* What a field is limited to, or insists on, by its name. */
struct rule {
	const char *message, *field;
	enum { FROM_1, ALWAYS, BYTES, AT_MOST, KEYS, NEVER } kind;
	uint64_t n;
};

static const struct rule rules[] = {
	{"SessionHello", "session", BYTES, 16},
	{"TaskId", "session", BYTES, 16},
	{"TaskId", "number", FROM_1, 0},
	{"SessionHello", "inline_max_bytes", AT_MOST, 4 << 20},
	{"SessionSubmit", "number", FROM_1, 0},
	{"SessionSubmit", "task", ALWAYS, 0},
	{"SessionOpenPool", "pool", FROM_1, 0},
	{"SessionOpenPool", "spec", ALWAYS, 0},
	{"SessionClosePool", "pool", FROM_1, 0},
	{"SessionClosePool", "how", AT_MOST, 3},
	{"SessionOutcome", "number", FROM_1, 0},
	{"SessionOutcome", "outcome", ALWAYS, 0},
	{"SessionLog", "log", ALWAYS, 0},
	{"TaskSpec", "arguments_transfer", NEVER, 0},
	{"SegmentRef", "length", FROM_1, 1 << 30},
	{"SegmentRef", "mark", FROM_1, 0},
	{"TaskOptions", "priority", FROM_1, 1000},
	{"TaskOptions", "max_attempts", AT_MOST, 100},
	{"Duration", "seconds", AT_MOST, 86399},
	{"Duration", "nanos", NEVER, 0},
	{"Chunk", "transfer", FROM_1, 0},
	{"Chunk", "total_bytes", ALWAYS, 0},
	{"Chunk", "offset", AT_MOST, 1000},
	{"LogChunk", "stream", AT_MOST, 3},
	{"Outcome", "value_transfer", FROM_1, 0},
	{"RunRequest", "inline_max_bytes", AT_MOST, 64 << 20},
	{"RunRequest", "arguments_blob", BYTES, 32},
	{"SubmitRequest", "arguments_blob", BYTES, 32},
	{"AwaitRequest", "inline_max_bytes", AT_MOST, 64 << 20},
	{"MapRequest", "inline_max_bytes", AT_MOST, 64 << 20},
	{"PoolSpec", "name", BYTES, 20},
	{"PoolSpec", "max_workers", AT_MOST, 100000},
	{"PoolSpec", "modules", BYTES, 32},
	{"PoolSpec", "environment", KEYS, 0},
	{"PoolSpec", "labels", KEYS, 0},
	{"TaskOptions", "labels", KEYS, 0},
	{"AgentHello", "labels", KEYS, 0},
	{"AgentWorker", "state", AT_MOST, 5},
	{"NestedSubmit", "lease", FROM_1, 0},
	{"NestedSubmit", "number", FROM_1, 0},
	{"NestedSubmit", "arguments_transfer", NEVER, 0},
	{"NestedSubmit", "deadline_ms", AT_MOST, 1000000},
	{"NestedSubmit", "max_attempts", AT_MOST, 100},
	{"NestedCancel", "lease", FROM_1, 0},
	{"NestedCancel", "number", FROM_1, 0},
	{"LeaseWait", "lease", FROM_1, 0},
	{"LeaseProgress", "lease", FROM_1, 0},
	{"NestedOutcome", "lease", FROM_1, 0},
	{"NestedOutcome", "number", FROM_1, 0},
	{"NestedOutcome", "outcome", ALWAYS, 0},
	{"LeaseOutcome", "lease", FROM_1, 0},
	{"LeaseOutcome", "cause", AT_MOST, 5},
	{"RetryRule", "causes", FROM_1, 5},
	{"RetryRule", "error_types", BYTES, 20},
	{"LeaseOutcome", "outcome", ALWAYS, 0},
	{"LeaseLog", "log", ALWAYS, 0},
	{"Lease", "lease", FROM_1, 0},
	{"Lease", "attempt", FROM_1, 0},
	{"Lease", "arguments_transfer", NEVER, 0},
	{"Lease", "deadline_ms", AT_MOST, 1000000},
	{"ModuleImage", "digest", BYTES, 32},
	{"AttachRequest", "images_wanted", BYTES, 32},
	{"ModuleImage", "transfer", FROM_1, 0},
	{"Arguments", "args", ALWAYS, 0},
	{"Error", "cause", NEVER, 0},
	{"Error", "context", NEVER, 0},
	{"Error", "origin", AT_MOST, 9},
	{"Error", "runtime_codec", BYTES, 20},
	{"Error", "runtime_payload", BYTES, 30},
	{"ErrorChain", "errors", ALWAYS, 0},
};

static const struct rule *rule_of(const ProtobufCMessageDescriptor *message,
				  const ProtobufCFieldDescriptor *field)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (strcmp(rules[i].message, message->short_name) == 0 &&
		    strcmp(rules[i].field, field->name) == 0)
			return &rules[i];
	return NULL;
}

static ProtobufCMessage *fill(const ProtobufCMessageDescriptor *descriptor,
			      const char *key);

static size_t random_len(const struct rule *rule)
{
	if (rule != NULL && rule->kind == BYTES)
		return rule->n;
	return below(8) == 0 ? below(60) : below(12);
}

static char *random_text(const struct rule *rule)
{
	size_t len = random_len(rule);
	char *text = zeroed(len + 1, 1);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + below(26));
	if (len >= 4 && below(2) == 0 && rule == NULL)
		memcpy(text, "\xf0\x9f\x90\x8e", 4); /* a horse */
	return text;
}

static ProtobufCBinaryData random_bytes(const struct rule *rule)
{
	ProtobufCBinaryData bytes = {.len = random_len(rule)};
	if (rule == NULL && below(40) == 0)
		bytes.len = 16384 + below(20000); /* large enough to be spliced */
	bytes.data = zeroed(bytes.len + 1, 1);
	for (size_t i = 0; i < bytes.len; i++)
		bytes.data[i] = (uint8_t)next_random();
	return bytes;
}

static uint64_t random_number(const struct rule *rule, unsigned bits)
{
	uint64_t n = number(bits);
	if (rule == NULL)
		return n;
	if (rule->kind == NEVER)
		return 0;
	if (rule->kind == AT_MOST)
		return n % (rule->n + 1);
	if (rule->kind == FROM_1 && rule->n != 0)
		return 1 + n % rule->n;
	return rule->kind == FROM_1 && n == 0 ? 1 : n;
}

/* One value of the field's type at `at`. */
static void set_one(const ProtobufCFieldDescriptor *field, const struct rule *rule,
		    void *at, const char *key)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		*(char **)at = random_text(rule);
		return;
	case PROTOBUF_C_TYPE_BYTES:
		*(ProtobufCBinaryData *)at = random_bytes(rule);
		return;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)at = fill(field->descriptor, key);
		return;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = (protobuf_c_boolean)below(2);
		return;
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_UINT32:
		*(uint32_t *)at = (uint32_t)random_number(rule, 32);
		return;
	case PROTOBUF_C_TYPE_INT32:
		*(int32_t *)at = (int32_t)random_number(rule, 32) * (below(2) ? 1 : -1);
		return;
	default:
		*(uint64_t *)at = random_number(rule, 64);
		return;
	}
}

static size_t size_of(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_INT32:
		return 4;
	default:
		return 8;
	}
}

static void set_repeated(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
			 const struct rule *rule)
{
	size_t count = below(4);
	if (rule != NULL && rule->kind == ALWAYS)
		count++;
	if (count == 0)
		return;
	uint8_t *items = zeroed(count, size_of(field));
	for (size_t i = 0; i < count; i++) {
		char key[24]; /* of a map: in order, each once */
		snprintf(key, sizeof key, "k%zu-%c", i, (char)('a' + below(26)));
		set_one(field, rule, items + i * size_of(field), key);
	}
	*(size_t *)((char *)message + field->quantifier_offset) = count;
	*(void **)((char *)message + field->offset) = items;
}

/* The oneofs here are Value.kind (a boolean, a string or bytes), and Outcome.result
 * (without value_reference, which is only written). */
static void set_oneof(ProtobufCMessage *message)
{
	static const char *const kinds[] = {"boolean", "string", "bytes"};
	const ProtobufCMessageDescriptor *d = message->descriptor;
	const ProtobufCFieldDescriptor *field =
		strcmp(d->short_name, "Value") == 0
			? protobuf_c_message_descriptor_get_field_by_name(d,
									  kinds[below(3)])
			: &d->fields[below(RMD_OUTCOME_VALUE_TRANSFER)];
	*(uint32_t *)((char *)message + field->quantifier_offset) = field->id;
	set_one(field, rule_of(d, field), (char *)message + field->offset, NULL);
}

static void set_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const struct rule *rule = rule_of(message->descriptor, field);
	bool must = rule != NULL && rule->kind != AT_MOST && rule->kind != NEVER;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		set_repeated(message, field, rule);
	else if (must || below(3) != 0)
		set_one(field, rule, (char *)message + field->offset, NULL);
}

/* Of two messages within one, only one may be there. */
static void leave_one(ProtobufCMessage *message, const char *one, const char *other)
{
	ProtobufCMessage **slots[2];
	const char *names[2] = {one, other};
	for (int i = 0; i < 2; i++) {
		const ProtobufCFieldDescriptor *field =
			protobuf_c_message_descriptor_get_field_by_name(message->descriptor,
									names[i]);
		slots[i] = (ProtobufCMessage **)(void *)((char *)message + field->offset);
	}
	if (*slots[0] == NULL || *slots[1] == NULL)
		return;
	ProtobufCMessage **gone = slots[below(2)];
	protobuf_c_message_free_unpacked(*gone, NULL);
	*gone = NULL;
}

/* Takes a message out of another one. */
static void leave_none(ProtobufCMessage *message, const char *name)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
	ProtobufCMessage **slot =
		(ProtobufCMessage **)(void *)((char *)message + field->offset);
	if (*slot != NULL)
		protobuf_c_message_free_unpacked(*slot, NULL);
	*slot = NULL;
}

/* What must hold between the fields of one message. */
static void mend(ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *d = message->descriptor;
	if (strcmp(d->short_name, "Chunk") == 0) {
		const ProtobufCFieldDescriptor *total =
			protobuf_c_message_descriptor_get_field_by_name(d, "total_bytes");
		*(uint64_t *)((char *)message + total->offset) = 1000 + 40000 +
								 below(1 << 20);
	}
	if (strcmp(d->short_name, "TaskSpec") == 0)
		leave_one(message, "arguments", "arguments_segment");
	if (strcmp(d->short_name, "PoolSpec") == 0) /* it is to be of its runtime */
		leave_none(message, "initializer");
	if (strcmp(d->short_name, "SessionOutcome") == 0)
		leave_one(message, "outcome", "value_segment");
	if (strcmp(d->short_name, "Duration") == 0) {
		const ProtobufCFieldDescriptor *nanos =
			protobuf_c_message_descriptor_get_field_by_name(d, "nanos");
		*(int32_t *)((char *)message + nanos->offset) =
			(int32_t)(1 + below(999)) * 1000000;
	}
}

static ProtobufCMessage *fill(const ProtobufCMessageDescriptor *descriptor,
			      const char *key)
{
	ProtobufCMessage *message = zeroed(1, descriptor->sizeof_message);
	protobuf_c_message_init(descriptor, message);
	if (strcmp(descriptor->short_name, "Outcome") == 0 ||
	    strcmp(descriptor->short_name, "Value") == 0) {
		set_oneof(message);
		return message;
	}
	for (unsigned i = 0; i < descriptor->n_fields; i++)
		set_field(message, &descriptor->fields[i]);
	if (key != NULL && strcmp(descriptor->fields[0].name, "key") == 0) {
		char **slot = (char **)((char *)message + descriptor->fields[0].offset);
		if (*slot != (const char *)descriptor->fields[0].default_value &&
		    *slot != protobuf_c_empty_string)
			free(*slot);
		*slot = strdup(key);
	}
	mend(message);
	return message;
}

ProtobufCMessage *random_message(const ProtobufCMessageDescriptor *descriptor,
				 uint64_t seed)
{
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (int i = 0; i < 4; i++)
		(void)next_random();
	return fill(descriptor, NULL);
}

struct rmd_buf *random_packed(const ProtobufCMessage *message)
{
	struct rmd_buf *buf = rmd_buf_create(protobuf_c_message_get_packed_size(message));
	RMD_CHECK(buf != NULL);
	protobuf_c_message_pack(message, rmd_buf_writable(buf));
	return buf;
}
