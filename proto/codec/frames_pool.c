#include "proto/codec/frames_pool.h"

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/codec/frames_wire.h"

#define ENVIRONMENT 5u
#define MODULES 6u
#define LABELS 10u
#define INITIALIZER 11u

/* A PoolSpec while it is read: first what it needs is counted (block NULL), then it is
 * laid out in one block: the struct, the pairs, the digests, the texts. */
struct spec_reading {
	struct rmd_pool_spec spec;
	size_t environment_count, environment_bytes, module_count, label_count;
	size_t text_bytes; /* with a NUL behind each */
	uint8_t *block;
	struct rmd_pair *environment, *labels;
	struct rmd_digest *modules;
	uint8_t *text; /* where the next text goes */
};

static bool has_nul(struct rmd_slice text)
{
	return text.len != 0 && memchr(text.data, 0, text.len) != NULL;
}

static bool name_valid(struct rmd_slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.data[i];
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
		    c != '-')
			return false;
	}
	return true;
}

/* Copies a text into the block, or counts what it needs. */
static struct rmd_slice keep_text(struct spec_reading *s, struct rmd_slice text)
{
	if (s->block == NULL) {
		s->text_bytes += text.len + 1;
		return text;
	}
	struct rmd_slice kept = {s->text, text.len};
	if (text.len != 0)
		memcpy(s->text, text.data, text.len);
	s->text[text.len] = 0;
	s->text += text.len + 1;
	return kept;
}

static int key_order(struct rmd_slice a, struct rmd_slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len != 0 ? memcmp(a.data, b.data, len) : 0;
	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Puts a pair where its key belongs; of the same key the last one counts. */
static void insert_pair(struct rmd_pair *pairs, size_t *count, struct rmd_pair pair)
{
	size_t low = 0, high = *count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = key_order(pairs[middle].key, pair.key);
		if (order == 0) {
			pairs[middle].value = pair.value;
			return;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	memmove(&pairs[low + 1], &pairs[low], (*count - low) * sizeof *pairs);
	pairs[low] = pair;
	(*count)++;
}

static int environment_field(const struct rmd_wire_field *f, struct spec_reading *s,
			     const char **ret_field)
{
	struct rmd_pair pair;
	int rc = frames_entry(f, RMD_POOL_ENVIRONMENT_MAX_BYTES, &pair,
			      "PoolSpec.environment (at most 64 KiB)", ret_field);
	if (rc < 0)
		return rc;
	if (s->block == NULL) {
		s->environment_bytes += pair.key.len + pair.value.len;
		if (s->environment_count++ == RMD_POOL_ENVIRONMENT_MAX)
			return frames_fail(RMD_ELIMIT,
					   "PoolSpec.environment (at most 256)",
					   ret_field);
		if (s->environment_bytes > RMD_POOL_ENVIRONMENT_MAX_BYTES)
			return frames_fail(RMD_ETOOBIG,
					   "PoolSpec.environment (at most 64 KiB)",
					   ret_field);
		if (pair.key.len == 0 ||
		    memchr(pair.key.data, '=', pair.key.len) != NULL ||
		    has_nul(pair.key) || has_nul(pair.value))
			return frames_fail(RMD_EINVAL,
					   "PoolSpec.environment (name or NUL)",
					   ret_field);
	}
	pair.key = keep_text(s, pair.key);
	pair.value = keep_text(s, pair.value);
	if (s->block != NULL)
		insert_pair(s->environment, &s->spec.environment_count, pair);
	return 0;
}

static int label_field(const struct rmd_wire_field *f, struct spec_reading *s,
		       const char **ret_field)
{
	struct rmd_pair pair;
	int rc = frames_entry(f, RMD_LABEL_MAX_BYTES, &pair,
			      "PoolSpec.labels (texts of at most 128 bytes)", ret_field);
	if (rc < 0)
		return rc;
	if (s->block == NULL) {
		if (s->label_count++ == RMD_POOL_LABELS_MAX)
			return frames_fail(RMD_ELIMIT, "PoolSpec.labels (at most 16)",
					   ret_field);
		if (has_nul(pair.key) || has_nul(pair.value))
			return frames_fail(RMD_EINVAL, "PoolSpec.labels (NUL)",
					   ret_field);
	}
	pair.key = keep_text(s, pair.key);
	pair.value = keep_text(s, pair.value);
	if (s->block != NULL)
		insert_pair(s->labels, &s->spec.label_count, pair);
	return 0;
}

static int module_field(const struct rmd_wire_field *f, struct spec_reading *s,
			const char **ret_field)
{
	if (f->type != RMD_WIRE_LEN || f->bytes.len != RMD_DIGEST_BYTES)
		return frames_fail(RMD_EPROTO, "PoolSpec.modules (32 bytes each)",
				   ret_field);
	if (s->block != NULL)
		memcpy(s->modules[s->spec.module_count++].bytes, f->bytes.data,
		       RMD_DIGEST_BYTES);
	else if (s->module_count++ == RMD_POOL_MODULES_MAX)
		return frames_fail(RMD_ELIMIT, "PoolSpec.modules (at most 64)",
				   ret_field);
	return 0;
}

static int initializer_field(const struct rmd_wire_field *f, struct rmd_pool_spec *spec,
			     const char **ret_field)
{
	struct rmd_slice bytes = {NULL, 0};
	struct rmd_wire_field inner;
	int rc = frames_message(f, &bytes, "PoolSpec.initializer", ret_field);
	if (rc < 0)
		return rc;
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	spec->initializer = spec->initializer_arguments = (struct rmd_slice){NULL, 0};
	while ((rc = frames_next(&rest, &inner)) > 0) {
		if (inner.number == 1)
			rc = frames_text(&inner, RMD_POOL_INITIALIZER_MAX_BYTES,
					 &spec->initializer,
					 "PoolSpec.initializer (at most 512 bytes)",
					 ret_field);
		else if (inner.number == 2)
			rc = frames_bytes(
				&inner, RMD_POOL_INITIALIZER_ARGUMENTS_MAX_BYTES,
				&spec->initializer_arguments,
				"PoolSpec.initializer.arguments (at most 64 KiB)",
				ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "PoolSpec.initializer", ret_field) : 0;
}

/* "RUNTIME:NAME" with the pool's runtime, or nothing at all. */
static bool initializer_valid(const struct rmd_pool_spec *spec)
{
	struct rmd_slice name = spec->initializer, runtime = spec->runtime;
	if (name.len == 0)
		return spec->initializer_arguments.len == 0;
	return !has_nul(name) && name.len > runtime.len + 1 &&
	       name.data[runtime.len] == ':' &&
	       (runtime.len == 0 || memcmp(name.data, runtime.data, runtime.len) == 0);
}

static int spec_field(const struct rmd_wire_field *f, struct spec_reading *s,
		      const char **ret_field)
{
	struct rmd_pool_spec *spec = &s->spec;
	switch (f->number) {
	case 1:
		return frames_text(f, RMD_POOL_NAME_MAX_BYTES, &spec->name,
				   "PoolSpec.name (at most 128 bytes)", ret_field);
	case 2:
		return frames_text(f, RMD_POOL_RUNTIME_MAX_BYTES, &spec->runtime,
				   "PoolSpec.runtime (at most 64 bytes)", ret_field);
	case 3:
		return frames_u32(f, &spec->max_workers, "PoolSpec.max_workers",
				  ret_field);
	case 4:
		return frames_u64(f, &spec->idle_timeout_ms, "PoolSpec.idle_timeout_ms",
				  ret_field);
	case ENVIRONMENT:
		return environment_field(f, s, ret_field);
	case MODULES:
		return module_field(f, s, ret_field);
	case 7:
		return frames_u32(f, &spec->max_tasks_per_worker,
				  "PoolSpec.max_tasks_per_worker", ret_field);
	case 8:
		return frames_u32(f, &spec->cpu_milli, "PoolSpec.cpu_milli", ret_field);
	case 9:
		return frames_u64(f, &spec->memory_bytes, "PoolSpec.memory_bytes",
				  ret_field);
	case LABELS:
		return label_field(f, s, ret_field);
	case INITIALIZER:
		return initializer_field(f, spec, ret_field);
	case 12:
		return frames_u64(f, &spec->leak_bytes, "PoolSpec.leak_bytes", ret_field);
	case 13:
		return frames_bool(f, &spec->broken_on_crash, "PoolSpec.broken_on_crash",
				   ret_field);
	default:
		return 0;
	}
}

static int spec_pass(struct rmd_slice bytes, struct spec_reading *s,
		     const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = spec_field(&f, s, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "PoolSpec", ret_field);
	if (s->spec.max_workers > RMD_POOL_WORKERS_MAX)
		return frames_fail(RMD_ELIMIT, "PoolSpec.max_workers (at most 100,000)",
				   ret_field);
	if (!name_valid(s->spec.name))
		return frames_fail(RMD_EINVAL, "PoolSpec.name ([A-Za-z0-9._-] only)",
				   ret_field);
	if (has_nul(s->spec.runtime))
		return frames_fail(RMD_EINVAL, "PoolSpec.runtime (NUL)", ret_field);
	if (!initializer_valid(&s->spec))
		return frames_fail(RMD_EINVAL,
				   "PoolSpec.initializer (RUNTIME:NAME, of its runtime)",
				   ret_field);
	s->spec.name = keep_text(s, s->spec.name);
	s->spec.runtime = keep_text(s, s->spec.runtime);
	s->spec.initializer = keep_text(s, s->spec.initializer);
	s->spec.initializer_arguments = keep_text(s, s->spec.initializer_arguments);
	return 0;
}

/* Makes the block for what the first pass counted. */
static int spec_layout(struct spec_reading *s)
{
	size_t environment = s->environment_count * sizeof(struct rmd_pair);
	size_t labels = s->label_count * sizeof(struct rmd_pair);
	size_t modules = s->module_count * sizeof(struct rmd_digest);
	size_t at = sizeof(struct rmd_pool_spec);
	s->block = rmd_malloc(at + environment + labels + modules + s->text_bytes);
	if (s->block == NULL)
		return RMD_ENOMEM;
	s->environment = (struct rmd_pair *)(void *)(s->block + at);
	s->labels = s->environment + s->environment_count;
	s->modules = (struct rmd_digest *)(void *)(s->labels + s->label_count);
	s->text = (uint8_t *)(s->modules + s->module_count);
	return 0;
}

int rmd_pool_spec_read(struct rmd_slice bytes, struct rmd_pool_spec **ret_spec,
		       const char **ret_field)
{
	struct spec_reading s = {.block = NULL};
	int rc = spec_pass(bytes, &s, ret_field);
	if (rc < 0)
		return rc;
	rc = spec_layout(&s);
	if (rc < 0)
		return frames_fail(rc, "PoolSpec", ret_field);
	s.spec = (struct rmd_pool_spec){
		.environment = s.environment, .labels = s.labels, .modules = s.modules};
	rc = spec_pass(bytes, &s, ret_field);
	RMD_CHECK(rc == 0); /* the same bytes were right a moment ago */
	struct rmd_pool_spec *spec = (struct rmd_pool_spec *)(void *)s.block;
	*spec = s.spec;
	*ret_spec = spec;
	return 0;
}

void rmd_pool_spec_put_raw(struct rmd_wire_writer *writer,
			   const struct rmd_pool_spec *spec)
{
	rmd_wire_put_bytes_nz(writer, 1, spec->name);
	rmd_wire_put_bytes_nz(writer, 2, spec->runtime);
	rmd_wire_put_varint_nz(writer, 3, spec->max_workers);
	rmd_wire_put_varint_nz(writer, 4, spec->idle_timeout_ms);
	for (size_t i = 0; i < spec->environment_count; i++)
		rmd_pairs_put(writer, ENVIRONMENT, spec->environment[i]);
	for (size_t i = 0; i < spec->module_count; i++)
		rmd_wire_put_bytes(
			writer, MODULES,
			rmd_slice_of(spec->modules[i].bytes, RMD_DIGEST_BYTES));
	rmd_wire_put_varint_nz(writer, 7, spec->max_tasks_per_worker);
	rmd_wire_put_varint_nz(writer, 8, spec->cpu_milli);
	rmd_wire_put_varint_nz(writer, 9, spec->memory_bytes);
	for (size_t i = 0; i < spec->label_count; i++)
		rmd_pairs_put(writer, LABELS, spec->labels[i]);
	if (spec->initializer.len != 0) {
		struct rmd_wire_nest nest = rmd_wire_open(writer, INITIALIZER);
		rmd_wire_put_bytes(writer, 1, spec->initializer);
		rmd_wire_put_bytes_nz(writer, 2, spec->initializer_arguments);
		rmd_wire_close(writer, nest);
	}
	rmd_wire_put_varint_nz(writer, 12, spec->leak_bytes);
	rmd_wire_put_varint_nz(writer, 13, spec->broken_on_crash);
}

int rmd_pool_spec_copy(const struct rmd_pool_spec *spec, struct rmd_pool_spec **ret_spec,
		       const char **ret_field)
{
	struct rmd_wire_writer writer = {0};
	int rc;
	rmd_pool_spec_put_raw(&writer, spec);
	if (writer.failed)
		rc = frames_fail(RMD_ENOMEM, "PoolSpec", ret_field);
	else
		rc = rmd_pool_spec_read(rmd_slice_of(writer.data, writer.len), ret_spec,
					ret_field);
	rmd_wire_writer_fini(&writer);
	return rc;
}

void rmd_pool_spec_free(struct rmd_pool_spec *spec)
{
	rmd_free(spec);
}

static bool pairs_equal(const struct rmd_pair *a, size_t a_count,
			const struct rmd_pair *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (!rmd_slice_equal(a[i].key, b[i].key) ||
		    !rmd_slice_equal(a[i].value, b[i].value))
			return false;
	return true;
}

static bool modules_equal(const struct rmd_pool_spec *a, const struct rmd_pool_spec *b)
{
	return a->module_count == b->module_count &&
	       (a->module_count == 0 ||
		memcmp(a->modules, b->modules, a->module_count * sizeof *a->modules) ==
			0);
}

enum rmd_pool_match rmd_pool_spec_match(const struct rmd_pool_spec *a,
					const struct rmd_pool_spec *b,
					const char **ret_field)
{
	const char *field = NULL;
	if (!rmd_slice_equal(a->name, b->name))
		field = "name";
	else if (!rmd_slice_equal(a->runtime, b->runtime))
		field = "runtime";
	else if (rmd_pool_idle_timeout_ms(a) != rmd_pool_idle_timeout_ms(b))
		field = "idle_timeout_ms";
	else if (!pairs_equal(a->environment, a->environment_count, b->environment,
			      b->environment_count))
		field = "environment";
	else if (!modules_equal(a, b))
		field = "modules";
	else if (a->max_tasks_per_worker != b->max_tasks_per_worker)
		field = "max_tasks_per_worker";
	else if (rmd_pool_cpu_milli(a) != rmd_pool_cpu_milli(b))
		field = "cpu_milli";
	else if (a->memory_bytes != b->memory_bytes)
		field = "memory_bytes";
	else if (!pairs_equal(a->labels, a->label_count, b->labels, b->label_count))
		field = "labels";
	else if (!rmd_slice_equal(a->initializer, b->initializer) ||
		 !rmd_slice_equal(a->initializer_arguments, b->initializer_arguments))
		field = "initializer";
	else if (rmd_pool_leak_bytes(a) != rmd_pool_leak_bytes(b))
		field = "leak_bytes";
	else if (a->broken_on_crash != b->broken_on_crash)
		field = "broken_on_crash";
	if (field != NULL) {
		*ret_field = field;
		return RMD_POOL_DIFFERENT;
	}
	return a->max_workers == b->max_workers ? RMD_POOL_SAME : RMD_POOL_RESIZED;
}
