/* Pools of a session. */
#include <string.h>

#include "client/c/src/check.h"
#include "client/c/src/client.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
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

/* The raw spec, or NULL: out of memory. */
static struct rmd_buf *raw_of(const struct rmd_pool_spec *spec)
{
	struct rmd_wire_writer raw = {0};
	rmd_pool_spec_put_raw(&raw, spec);
	struct rmd_buf *buf = raw.failed ? NULL
					 : rmd_buf_copy(rmd_slice_of(raw.data, raw.len));
	rmd_wire_writer_fini(&raw);
	return buf;
}

/* Asks for the pool, if there is a stream; else that is done later. */
static void say_open(struct remuda *client, uint32_t number)
{
	if (client->stream == NULL)
		return;
	rmd_session_request_put_open_pool(
		rmd_stream_begin(client->stream), number,
		rmd_buf_slice(client->pools[number - 1].raw_spec));
	rmd_stream_end(client->stream);
}

int rmd_client_add_pool(struct remuda *client, const struct rmd_pool_spec *spec,
			uint32_t *ret_pool)
{
	if (client->pool_count >= RMD_CLIENT_POOLS_MAX)
		return RMD_ELIMIT;
	struct rmd_buf *buf = raw_of(spec);
	struct rmd_client_pool *pool = buf == NULL ? NULL : pool_reserve(client);
	if (pool == NULL) {
		rmd_buf_unref(buf);
		return RMD_ENOMEM;
	}
	*pool = (struct rmd_client_pool){.raw_spec = buf};
	*ret_pool = ++client->pool_count;
	say_open(client, *ret_pool);
	return 0;
}

/* Opens, again or for the first time, the pool that has this spec but for max_workers. */
static int open_same(struct remuda *client, const struct rmd_pool_spec *spec,
		     uint32_t *ret_pool)
{
	struct rmd_pool_spec unsized = *spec;
	unsized.max_workers = 0;
	struct rmd_buf *key = raw_of(&unsized);
	if (key == NULL)
		return RMD_ENOMEM;
	for (uint32_t i = 0; i < client->pool_count; i++) {
		struct rmd_client_pool *pool = &client->pools[i];
		if (pool->key == NULL ||
		    !rmd_slice_equal(rmd_buf_slice(pool->key), rmd_buf_slice(key)))
			continue;
		rmd_buf_unref(key);
		struct rmd_buf *raw = raw_of(spec);
		if (raw == NULL)
			return RMD_ENOMEM;
		rmd_buf_unref(pool->raw_spec);
		pool->raw_spec = raw;
		pool->closed = RMD_SESSION_CLOSE_UNSPECIFIED;
		pool->answered = false;
		say_open(client, i + 1);
		*ret_pool = i + 1;
		return 0;
	}
	int rc = rmd_client_add_pool(client, spec, ret_pool);
	if (rc == 0)
		client->pools[*ret_pool - 1].key = key;
	else
		rmd_buf_unref(key);
	return rc;
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
	struct rmd_wire_writer initializer; /* its arguments */
};

static struct remuda_error *set_initializer(const struct remuda_pool_options *options,
					    struct spec_parts *parts,
					    struct rmd_pool_spec *spec)
{
	struct remuda_error *err;
	if (options->initializer == NULL)
		return NULL;
	if ((err = rmd_check_function(options->initializer)) != NULL)
		return err;
	if (options->initializer_arg_count > RMD_CALL_ARGS_MAX)
		return remuda_error_create(
			"InvalidOptions",
			"remuda_pool_options.initializer_args: at most %u",
			RMD_CALL_ARGS_MAX);
	for (size_t i = 0; i < options->initializer_arg_count; i++) {
		const struct remuda_value *value = &options->initializer_args[i].value;
		if ((err = rmd_check_value(options->initializer, i, NULL, value)) != NULL)
			return err;
		rmd_arguments_put(&parts->initializer, value);
	}
	if (parts->initializer.failed)
		return remuda_error_create("OutOfMemory", "in the client, for a pool");
	spec->initializer = rmd_slice_of_string(options->initializer);
	spec->initializer_arguments =
		rmd_slice_of(parts->initializer.data, parts->initializer.len);
	return NULL;
}

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
		.leak_bytes = options->leak_bytes,
		.broken_on_crash = options->broken_on_crash,
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
	if ((err = set_initializer(options, parts, &spec)) != NULL)
		return err;
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
			   : open_same(client, spec, &number);
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
	if (parts != NULL)
		rmd_wire_writer_fini(&parts->initializer);
	rmd_free(parts);
	if (ret_err != NULL && err != NULL)
		*ret_err = err;
	else
		remuda_error_free(err);
	return code;
}
