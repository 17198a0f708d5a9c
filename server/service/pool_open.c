/* server/service/pool_open.c: from a PoolSpec to a pool of the core. */
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/codec/wire.h"
#include "server/service/coordinator.h"

struct rmd_slice rmd_function_runtime(struct rmd_slice function)
{
	const void *colon = function.len == 0 ? NULL
					      : memchr(function.data, ':', function.len);
	size_t len = colon == NULL ? 0 : (size_t)((const uint8_t *)colon - function.data);
	return rmd_slice_of(function.data, len);
}

static int spec_digest(const struct rmd_pool_spec *part, struct rmd_digest *ret_digest)
{
	struct rmd_wire_writer writer = {0};
	rmd_pool_spec_put_raw(&writer, part);
	int rc = writer.failed ? RMD_ENOMEM
			       : rmd_digest_of(rmd_slice_of(writer.data, writer.len),
					       ret_digest);
	rmd_wire_writer_fini(&writer);
	return rc;
}

/* The digest of what only workers see: environment and modules. */
static int spec_identity(const struct rmd_pool_spec *spec,
			 struct rmd_digest *ret_identity)
{
	struct rmd_pool_spec seen = {.environment = spec->environment,
				     .environment_count = spec->environment_count,
				     .modules = spec->modules,
				     .module_count = spec->module_count};
	return spec_digest(&seen, ret_identity);
}

/* What stands for the initializer and its arguments in the core; empty: none. */
static int spec_initializer(const struct rmd_pool_spec *spec,
			    struct rmd_digest *ret_digest, struct rmd_slice *ret_slice)
{
	struct rmd_pool_spec seen = {.initializer = spec->initializer,
				     .initializer_arguments = spec->initializer_arguments};
	*ret_slice = (struct rmd_slice){NULL, 0};
	if (spec->initializer.len == 0)
		return 0;
	int rc = spec_digest(&seen, ret_digest);
	if (rc == 0)
		*ret_slice = rmd_slice_of(ret_digest->bytes, sizeof ret_digest->bytes);
	return rc;
}

/* Every module must be stored: an agent will be sent it. */
static char *missing_module(struct rmd_coordinator *coordinator,
			    const struct rmd_pool_spec *spec)
{
	for (size_t i = 0; i < spec->module_count; i++) {
		struct rmd_blob *blob = rmd_blobs_find(
			coordinator->blobs, &spec->modules[i], rmd_clock_mono_ms());
		if (blob != NULL && blob->module)
			continue;
		char hex[RMD_DIGEST_HEX_BYTES];
		rmd_digest_hex(&spec->modules[i], hex);
		return rmd_asprintf("module %s is not stored here: push it first "
				    "(remuda module push FILE, or remuda_module_push)",
				    hex);
	}
	return NULL;
}

static char *why_refused(int rc, const struct rmd_pool_spec *spec, const char *field)
{
	switch (rc) {
	case RMD_ERANGE:
		return rmd_asprintf("PoolSpec.%s is empty or beyond its limit",
				    field != NULL ? field : "?");
	case RMD_EINVAL:
		return rmd_asprintf(
			"pool \"%.*s\" exists with another %s: use that, another "
			"name, or close it first",
			(int)spec->name.len, (const char *)spec->name.data,
			field != NULL ? field : "spec");
	case RMD_ELIMIT:
		return rmd_asprintf("too many pools are open: close some first");
	case RMD_ECLOSED:
		return rmd_asprintf("the coordinator is shutting down");
	default:
		return rmd_asprintf("the pool could not be opened: %s",
				    rmd_errcode_text(rc));
	}
}

static int open_in_core(struct rmd_coordinator *coordinator,
			struct rmd_core_client *client, const struct rmd_pool_spec *spec,
			struct rmd_core_pool **ret_pool, bool *ret_reused,
			const char **ret_field)
{
	struct rmd_digest identity;
	struct rmd_wire_writer writer = {0};
	struct rmd_core_label labels[RMD_POOL_LABELS_MAX];
	for (size_t i = 0; i < spec->label_count; i++)
		labels[i] = (struct rmd_core_label){spec->labels[i].key,
						    spec->labels[i].value};
	rmd_pool_spec_put_raw(&writer, spec);
	struct rmd_buf *raw = rmd_wire_writer_take(&writer);
	rmd_wire_writer_fini(&writer);
	int rc = raw == NULL ? RMD_ENOMEM : spec_identity(spec, &identity);
	struct rmd_digest digest;
	struct rmd_slice initializer = {NULL, 0};
	if (rc == 0)
		rc = spec_initializer(spec, &digest, &initializer);
	if (rc == 0) {
		struct rmd_core_pool_spec core_spec = {
			.name = spec->name,
			.runtime = spec->runtime,
			.max_workers = spec->max_workers,
			.idle_timeout_ms = rmd_pool_idle_timeout_ms(spec),
			.cpu_milli = rmd_pool_cpu_milli(spec),
			.memory_bytes = spec->memory_bytes,
			.max_tasks_per_worker = spec->max_tasks_per_worker,
			.labels = labels,
			.label_count = spec->label_count,
			.identity = rmd_slice_of(identity.bytes, sizeof identity.bytes),
			.leak_bytes = rmd_pool_leak_bytes(spec),
			.initializer = initializer,
			.broken_on_crash = spec->broken_on_crash,
			.spec = {rmd_buf_slice(raw), raw},
		};
		rc = rmd_core_pool_open(coordinator->core, rmd_clock_mono_ms(), client,
					&core_spec, ret_pool, ret_reused, ret_field);
	}
	rmd_buf_unref(raw);
	return rc;
}

int rmd_coordinator_open_pool(struct rmd_coordinator *coordinator,
			      struct rmd_core_client *client,
			      const struct rmd_pool_spec *spec,
			      struct rmd_core_pool **ret_pool, bool *ret_reused,
			      char **ret_why)
{
	const char *field = NULL;
	char *missing = missing_module(coordinator, spec);
	if (missing != NULL) {
		*ret_why = missing;
		return RMD_ENOTFOUND;
	}
	int rc = open_in_core(coordinator, client, spec, ret_pool, ret_reused, &field);
	if (rc == RMD_EINVAL && (spec->name.len == 0 ||
				 rmd_core_pool_find_name(coordinator->core, spec->name) == NULL))
		rc = RMD_ERANGE; /* there is none that it could differ from */
	if (rc < 0)
		*ret_why = why_refused(rc, spec, field);
	else
		rmd_coordinator_touch(coordinator);
	return rc;
}

/* The newest module of each prefix, for the default pools; at most as many as a spec can
 * hold. */
static size_t all_modules(struct rmd_coordinator *coordinator,
			  struct rmd_digest ret_modules[RMD_POOL_MODULES_MAX])
{
	size_t count = 0;
	for (struct rmd_blob *blob = rmd_blobs_first(coordinator->blobs);
	     blob != NULL && count < RMD_POOL_MODULES_MAX; blob = blob->next)
		if (rmd_blobs_module_newest(coordinator->blobs, blob))
			ret_modules[count++] = blob->digest;
	return count;
}

int rmd_coordinator_default_pool(struct rmd_coordinator *coordinator,
				 struct rmd_slice runtime,
				 struct rmd_core_pool **ret_pool)
{
	static const char native[] = "native", python[] = "python";
	struct rmd_core_pool **cached = NULL;
	if (rmd_slice_equal(runtime, rmd_slice_of_string(native)))
		cached = &coordinator->default_native;
	else if (rmd_slice_equal(runtime, rmd_slice_of_string(python)))
		cached = &coordinator->default_python;
	if (cached != NULL && *cached != NULL) {
		*ret_pool = *cached;
		return 0;
	}
	struct rmd_digest modules[RMD_POOL_MODULES_MAX];
	struct rmd_pool_spec spec = {.runtime = runtime};
	if (cached == &coordinator->default_native) {
		spec.modules = modules;
		spec.module_count = all_modules(coordinator, modules);
	}
	bool reused;
	const char *field;
	int rc = open_in_core(coordinator, NULL, &spec, ret_pool, &reused, &field);
	if (rc == 0 && cached != NULL)
		*cached = *ret_pool;
	return rc;
}

/* The modules have changed: another default pool, which takes over what is queued. */
static void renew_default_pool(struct rmd_coordinator *coordinator)
{
	struct rmd_core_pool *stale = coordinator->default_native, *fresh;
	uint64_t now_ms = rmd_clock_mono_ms();
	coordinator->default_native = NULL;
	if (stale != NULL) {
		rmd_core_pool_close(coordinator->core, now_ms, stale, RMD_CORE_POOL_DRAIN);
		if (rmd_core_pool_has_queued(stale) &&
		    rmd_coordinator_default_pool(
			    coordinator, rmd_slice_of_string("native"), &fresh) == 0)
			rmd_core_pool_hand_over(coordinator->core, now_ms, stale, fresh);
	}
	rmd_coordinator_touch(coordinator);
}

int rmd_coordinator_push_module(struct rmd_coordinator *coordinator, struct rmd_blob *blob)
{
	struct rmd_blobs *blobs = coordinator->blobs;
	if (rmd_blobs_module_newest(blobs, blob))
		return 0;
	size_t prefixes = 0;
	for (const struct rmd_blob *other = rmd_blobs_first(blobs); other != NULL;
	     other = other->next)
		prefixes += rmd_blobs_module_newest(blobs, other) &&
			    strcmp(other->facts.prefix, blob->facts.prefix) != 0;
	if (prefixes >= RMD_POOL_MODULES_MAX)
		return RMD_ELIMIT;
	if (blob->pushed == 0)
		rmd_blobs_hold(blobs, blob); /* a pushed module stays */
	rmd_blobs_push_module(blobs, blob);
	renew_default_pool(coordinator);
	return 0;
}

void rmd_coordinator_remove_module(struct rmd_coordinator *coordinator, struct rmd_blob *blob)
{
	bool used = rmd_blobs_module_newest(coordinator->blobs, blob);
	if (blob->pushed != 0)
		rmd_blobs_release(coordinator->blobs, blob, rmd_clock_mono_ms());
	rmd_blobs_drop_module(coordinator->blobs, blob);
	if (used)
		renew_default_pool(coordinator);
}
