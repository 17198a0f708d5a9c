/* proto/codec/frames_pool.h: PoolSpec: what a pool is.
 *
 * A spec from rmd_pool_spec_read or _copy is one allocation with everything in it; one
 * that its maker fills in by hand borrows whatever it points to. Read-only once made, so
 * it may be shared among threads. Errors of the reader: frames.h. */
#pragma once

#include "proto/base/digest.h"
#include "proto/codec/frames.h"

#define RMD_POOL_NAME_MAX_BYTES 128u
#define RMD_POOL_RUNTIME_MAX_BYTES 64u
#define RMD_POOL_WORKERS_MAX 100000u
#define RMD_POOL_ENVIRONMENT_MAX 256u
#define RMD_POOL_ENVIRONMENT_MAX_BYTES 65536u /* keys and values together */
#define RMD_POOL_MODULES_MAX 64u
#define RMD_POOL_LABELS_MAX 16u
#define RMD_POOL_IDLE_TIMEOUT_DEFAULT_MS 10000u
#define RMD_POOL_CPU_DEFAULT_MILLI 1000u
#define RMD_POOL_INITIALIZER_MAX_BYTES 512u
#define RMD_POOL_INITIALIZER_ARGUMENTS_MAX_BYTES 65536u
#define RMD_POOL_LEAK_DEFAULT_BYTES UINT64_C(300000000)
#define RMD_POOL_LEAK_NEVER UINT64_MAX

struct rmd_pool_spec {
	struct rmd_slice name;       /* empty: the client's own */
	struct rmd_slice runtime;
	uint32_t max_workers;        /* 0: as many as the agents have cpus */
	uint64_t idle_timeout_ms;    /* 0: the default */
	const struct rmd_pair *environment;
	size_t environment_count;
	const struct rmd_digest *modules;
	size_t module_count;
	uint32_t max_tasks_per_worker; /* 0: never replaced for it */
	uint32_t cpu_milli;          /* 0: the default */
	uint64_t memory_bytes;       /* 0: no limit */
	const struct rmd_pair *labels;
	size_t label_count;
	struct rmd_slice initializer; /* "RUNTIME:NAME"; empty: none */
	struct rmd_slice initializer_arguments; /* raw Arguments */
	uint64_t leak_bytes;         /* 0: the default; RMD_POOL_LEAK_NEVER */
	bool broken_on_crash;
};

/* Reads a raw PoolSpec. Gives *ret_spec (free with rmd_pool_spec_free), independent of
 * `bytes`: every text in it has a NUL behind it (and none within); environment and labels
 * are sorted by key, each key once. Beyond the codes of frames.h: RMD_EINVAL: a name with
 * other characters than [A-Za-z0-9._-], a variable without name, with '=' in its name, or
 * with a NUL in it, an initializer of another runtime; RMD_ENOMEM. */
int rmd_pool_spec_read(struct rmd_slice bytes, struct rmd_pool_spec **ret_spec,
		       const char **ret_field);
/* Appends its fields, without a tag or length before them: a raw PoolSpec. Look at
 * writer->failed before the bytes are put into another message. */
void rmd_pool_spec_put_raw(struct rmd_wire_writer *writer,
			   const struct rmd_pool_spec *spec);
/* Gives a deep copy in the form that rmd_pool_spec_read gives, with the same checks. */
int rmd_pool_spec_copy(const struct rmd_pool_spec *spec, struct rmd_pool_spec **ret_spec,
		       const char **ret_field);
/* Frees what read or copy gave; NULL is allowed. */
void rmd_pool_spec_free(struct rmd_pool_spec *spec);

enum rmd_pool_match {
	RMD_POOL_SAME,
	RMD_POOL_RESIZED,            /* only max_workers differs */
	RMD_POOL_DIFFERENT,
};

/* Compares two specs of read or copy. 0 and its default are the same. DIFFERENT:
 * *ret_field is the name of the first field that differs ("environment"); else untouched.
 */
enum rmd_pool_match rmd_pool_spec_match(const struct rmd_pool_spec *a,
					const struct rmd_pool_spec *b,
					const char **ret_field);

static inline uint64_t rmd_pool_idle_timeout_ms(const struct rmd_pool_spec *spec)
{
	return spec->idle_timeout_ms != 0 ? spec->idle_timeout_ms
					  : RMD_POOL_IDLE_TIMEOUT_DEFAULT_MS;
}

static inline uint64_t rmd_pool_leak_bytes(const struct rmd_pool_spec *spec)
{
	return spec->leak_bytes != 0 ? spec->leak_bytes : RMD_POOL_LEAK_DEFAULT_BYTES;
}

static inline uint32_t rmd_pool_cpu_milli(const struct rmd_pool_spec *spec)
{
	return spec->cpu_milli != 0 ? spec->cpu_milli : RMD_POOL_CPU_DEFAULT_MILLI;
}
