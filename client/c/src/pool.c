/* Pools of a session. */
#include <string.h>

#include "client/c/src/check.h"
#include "client/c/src/client.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "proto/error/chain.h"

/* ---- under the client's lock ---- */

static struct rmd_client_pool *pool_reserve(struct remuda *client)
{
	if ((client->pool_count & (client->pool_count - 1)) == 0) {
		size_t room = client->pool_count == 0 ? 1
						      : 2 * (size_t)client->pool_count;
		struct rmd_client_pool *pools =
			rmd_realloc(client->pools, room * sizeof *pools);
		if (pools == NULL)
			return NULL;
		client->pools = pools;
	}
	return &client->pools[client->pool_count];
}

int rmd_client_add_pool(struct remuda *client, const struct rmd_pool_spec *spec,
			uint32_t *ret_pool)
{
	if (client->pool_count >= RMD_CLIENT_POOLS_MAX)
		return RMD_ELIMIT;
	struct rmd_wire_writer raw = {0};
	rmd_pool_spec_put_raw(&raw, spec);
	struct rmd_buf *buf = raw.failed ? NULL
					 : rmd_buf_copy(rmd_slice_of(raw.data, raw.len));
	rmd_wire_writer_fini(&raw);
	struct rmd_client_pool *pool = buf == NULL ? NULL : pool_reserve(client);
	if (pool == NULL) {
		rmd_buf_unref(buf);
		return RMD_ENOMEM;
	}
	*pool = (struct rmd_client_pool){.raw_spec = buf};
	uint32_t number = ++client->pool_count;
	if (client->stream != NULL) {
		rmd_session_request_put_open_pool(rmd_stream_begin(client->stream),
						  number, rmd_buf_slice(buf));
		rmd_stream_end(client->stream);
	}
	*ret_pool = number;
	return 0;
}

int rmd_client_default_pool(struct remuda *client, struct rmd_slice function,
			    uint32_t *ret_pool)
{
	*ret_pool = 0;
	if (client->default_spec == NULL)
		return 0;
	const uint8_t *colon = memchr(function.data, ':', function.len);
	size_t len = colon == NULL ? 0 : (size_t)(colon - function.data);
	if (len == 0 || len > RMD_POOL_RUNTIME_MAX_BYTES)
		return 0; /* the coordinator says what is wrong with it */
	for (uint32_t i = 0; i < client->default_count; i++) {
		struct rmd_default_pool *known = &client->defaults[i];
		if (strlen(known->runtime) == len &&
		    memcmp(known->runtime, function.data, len) == 0) {
			*ret_pool = known->pool;
			return 0;
		}
	}
	if (client->default_count == RMD_CLIENT_RUNTIMES_MAX)
		return 0;
	struct rmd_default_pool *fresh = &client->defaults[client->default_count];
	struct rmd_pool_spec spec = *client->default_spec;
	memcpy(fresh->runtime, function.data, len);
	fresh->runtime[len] = '\0';
	spec.runtime = rmd_slice_of(fresh->runtime, len);
	if (strcmp(fresh->runtime, "native") != 0)
		spec.module_count = 0;
	int rc = rmd_client_add_pool(client, &spec, &fresh->pool);
	if (rc < 0)
		return rc;
	client->default_count++;
	*ret_pool = fresh->pool;
	return 0;
}

void rmd_client_pool_answered(struct remuda *client, uint64_t pool,
			      struct rmd_slice error)
{
	pthread_mutex_lock(&client->lock);
	if (pool >= 1 && pool <= client->pool_count) {
		struct rmd_client_pool *known = &client->pools[pool - 1];
		rmd_free(known->error);
		known->error = NULL;
		if (error.len != 0)
			known->error = rmd_strndup((const char *)error.data, error.len);
		known->answered = true;
		pthread_cond_broadcast(&client->changed);
	}
	pthread_mutex_unlock(&client->lock);
}

/* ---- the public side ---- */

/* Splits checked "key=value" texts. */
static void split(const char *const *texts, size_t count, struct rmd_pair *ret_pairs)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = strcspn(texts[i], "=");
		ret_pairs[i] = (struct rmd_pair){rmd_slice_of(texts[i], len),
						 rmd_slice_of_string(texts[i] + len + 1)};
	}
}

/* Room for what a spec points to. */
struct spec_parts {
	struct rmd_pair environment[RMD_POOL_ENVIRONMENT_MAX];
	struct rmd_pair labels[RMD_POOL_LABELS_MAX];
	struct rmd_digest modules[RMD_POOL_MODULES_MAX];
};

/* Makes a checked spec, to be freed with rmd_pool_spec_free. */
static struct remuda_error *make_spec(const struct remuda_pool_options *options,
				      struct spec_parts *parts,
				      struct rmd_pool_spec **ret_spec)
{
	struct rmd_pool_spec spec = {
		.runtime = rmd_slice_of_string(options->runtime != NULL ? options->runtime
									: "native"),
		.max_workers = options->max_workers,
		.idle_timeout_ms = options->idle_timeout_ms,
		.environment = parts->environment,
		.modules = parts->modules,
		.module_count = options->module_count,
		.max_tasks_per_worker = options->max_tasks_per_worker,
		.cpu_milli = options->cpu_milli,
		.memory_bytes = options->memory_bytes,
		.labels = parts->labels,
	};
	const char *field = "";
	if (options->version != REMUDA_POOL_OPTIONS_VERSION)
		return remuda_error_create(
			"InvalidOptions",
			"remuda_pool_options: version %u is not known: start "
			"from REMUDA_POOL_OPTIONS_INIT",
			(unsigned)options->version);
	if (options->module_count > RMD_POOL_MODULES_MAX)
		return remuda_error_create("InvalidOptions",
					   "remuda_pool_options.modules: at most %u",
					   RMD_POOL_MODULES_MAX);
	struct remuda_error *err =
		rmd_check_pairs(options->environment, "remuda_pool_options.environment",
				RMD_POOL_ENVIRONMENT_MAX, RMD_POOL_ENVIRONMENT_MAX_BYTES,
				&spec.environment_count);
	if (err == NULL)
		err = rmd_check_pairs(options->labels, "remuda_pool_options.labels",
				      RMD_POOL_LABELS_MAX, RMD_LABEL_MAX_BYTES,
				      &spec.label_count);
	if (err != NULL)
		return err;
	if (options->name != NULL)
		spec.name = rmd_slice_of_string(options->name);
	split(options->environment, spec.environment_count, parts->environment);
	split(options->labels, spec.label_count, parts->labels);
	for (size_t i = 0; i < options->module_count; i++)
		memcpy(parts->modules[i].bytes, options->modules[i], RMD_DIGEST_BYTES);
	int rc = rmd_pool_spec_copy(&spec, ret_spec, &field);
	if (rc == 0)
		return NULL;
	return remuda_error_create("InvalidOptions", "remuda_pool_options: %s: %s", field,
				   rmd_errcode_text(rc));
}

/* Waits for the answer to pool `number`. `lock` is held. */
static int wait_answer(struct remuda *client, uint32_t number,
		       struct remuda_error **ret_err)
{
	uint64_t until_ns = rmd_until_ns(client->open_timeout_ms);
	while (!client->pools[number - 1].answered && client->state < RMD_CLIENT_LOST)
		if (!rmd_client_wait(client, until_ns)) {
			*ret_err = remuda_error_create(
				"Timeout", "the coordinator did not answer within %u ms",
				client->open_timeout_ms);
			return REMUDA_ETIMEOUT;
		}
	if (!client->pools[number - 1].answered) {
		*ret_err = rmd_client_why(client);
		return REMUDA_EUNREACHABLE;
	}
	if (client->pools[number - 1].error == NULL)
		return 0;
	*ret_err = remuda_error_create("PoolRefused", "the pool cannot be opened: %s",
				       client->pools[number - 1].error);
	return REMUDA_EINVAL;
}

static int open_pool(struct remuda *client, const struct rmd_pool_spec *spec,
		     uint32_t *ret_pool, struct remuda_error **ret_err)
{
	uint32_t number;
	pthread_mutex_lock(&client->lock);
	int code = client->state >= RMD_CLIENT_LOST
			   ? RMD_EUNREACHABLE
			   : rmd_client_add_pool(client, spec, &number);
	if (code == RMD_EUNREACHABLE)
		*ret_err = rmd_client_why(client);
	else if (code < 0)
		*ret_err = remuda_error_create(
			code == RMD_ELIMIT ? "TooManyPools" : "OutOfMemory",
			"a client can open %u pools", RMD_CLIENT_POOLS_MAX);
	if (code == 0)
		code = wait_answer(client, number, ret_err);
	else if (code == RMD_ELIMIT)
		code = REMUDA_EINVAL;
	pthread_mutex_unlock(&client->lock);
	if (code == 0)
		*ret_pool = number;
	return code;
}

int remuda_pool_open(struct remuda *client, const struct remuda_pool_options *options,
		     uint32_t *ret_pool, struct remuda_error **ret_err)
{
	struct remuda_pool_options defaults = REMUDA_POOL_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	struct rmd_pool_spec *spec = NULL;
	struct spec_parts *parts = NULL;
	int code = client == NULL ? REMUDA_EINVAL : remuda_status(client, &err);
	if (code == 0 && rmd_client_is_here(client)) {
		code = REMUDA_EINVAL;
		err = remuda_error_create(
			"WrongThread",
			"a callback on the client's thread cannot wait for a pool");
	}
	if (code == 0 && (parts = rmd_calloc(1, sizeof *parts)) == NULL)
		code = REMUDA_ENOMEM;
	if (code == 0 && (err = make_spec(options != NULL ? options : &defaults, parts,
					  &spec)) != NULL)
		code = REMUDA_EINVAL;
	if (code == 0)
		code = open_pool(client, spec, ret_pool, &err);
	if (code < 0 && err == NULL)
		err = remuda_error_create("InvalidCall", "%s", remuda_code_text(code));
	rmd_pool_spec_free(spec);
	rmd_free(parts);
	if (ret_err != NULL && err != NULL)
		*ret_err = err;
	else
		remuda_error_free(err);
	return code;
}
