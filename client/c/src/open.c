/* Opening and closing a client; its references; fork. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/c/src/capture.h"
#include "client/c/src/check.h"
#include "client/c/src/client.h"
#include "client/c/src/locate.h"
#include "client/c/src/private.h"
#include "client/c/src/share.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/error/chain.h"
#include "proto/shared/shared.h"

#define CLIENT_MAGIC 0xc11e7701u

/* ---- fork ---- */

/* Counts how often this process is a child that was forked while it had clients. */
static atomic_uint fork_generation;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void forked_child(void)
{
	atomic_fetch_add(&fork_generation, 1);
}

static void fork_setup(void)
{
	pthread_atfork(NULL, NULL, forked_child);
}

bool rmd_client_forked(const struct remuda *client)
{
	return client->fork_generation !=
	       atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

struct remuda_error *rmd_forked_error(void)
{
	return remuda_error_create(
		"Forked", "this process is a child of the one that opened the client; "
			  "open a client of its own, after exec");
}

/* ---- references and state ---- */

struct remuda *rmd_client_ref(struct remuda *client)
{
	atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
	return client;
}

static void client_free(struct remuda *client)
{
	for (uint32_t i = 0; i < client->pool_count; i++) {
		rmd_buf_unref(client->pools[i].raw_spec);
		rmd_buf_unref(client->pools[i].key);
		rmd_free(client->pools[i].error);
	}
	rmd_free(client->pools);
	rmd_unaccepted_drop(client, UINT64_MAX);
	rmd_table_fini(&client->table);
	rmd_transfers_fini(&client->transfers);
	rmd_shared_unref(client->shared);
	rmd_shared_unref(client->offered);
	rmd_buf_unref(client->why);
	rmd_pool_spec_free(client->default_spec);
	rmd_free(client->acks);
	rmd_free(client->address);
	rmd_free(client->client_name);
	rmd_free(client->server_path);
	rmd_identity_fini(&client->identity);
	if (client->private_fd >= 0)
		close(client->private_fd);
	if (client->memory_fd >= 0)
		close(client->memory_fd);
	rmd_capture_forget(client);
	rmd_done_queue_fini(&client->queue);
	rmd_seat_fini(&client->seat);
	pthread_mutex_destroy(&client->table_lock);
	pthread_cond_destroy(&client->changed);
	pthread_mutex_destroy(&client->lock);
	client->magic = 0;
	rmd_free(client);
}

void rmd_client_unref(struct remuda *client)
{
	if (client != NULL &&
	    atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) == 1)
		client_free(client);
}

void rmd_client_move(struct remuda *client, enum rmd_client_state state)
{
	client->state = state;
	pthread_cond_broadcast(&client->changed);
}

bool rmd_client_is_here(const struct remuda *client)
{
	return client->threaded && pthread_equal(client->thread, pthread_self());
}

bool rmd_client_wait(struct remuda *client, uint64_t until_ns)
{
	struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u),
				 .tv_nsec = (long)(until_ns % 1000000000u)};
	int failure = 0;
	rmd_seat_need(&client->seat);
	if (until_ns == UINT64_MAX)
		pthread_cond_wait(&client->changed, &client->lock);
	else
		failure = pthread_cond_timedwait(&client->changed, &client->lock, &until);
	rmd_seat_unneed(&client->seat);
	return failure != ETIMEDOUT;
}

struct remuda_error *rmd_client_why(const struct remuda *client)
{
	struct remuda_error *err = NULL;
	const char *field;
	if (client->state != RMD_CLIENT_LOST)
		return remuda_error_create("ClientClosed", "the client is closed");
	if (client->why == NULL ||
	    rmd_error_decode(rmd_buf_slice(client->why), &err, &field) < 0)
		return remuda_error_create("CoordinatorLost", "the coordinator was lost");
	return err;
}

/* ---- making ---- */

static struct remuda *client_create(void)
{
	pthread_condattr_t attr;
	struct remuda *client = rmd_calloc(1, sizeof *client);
	if (client == NULL)
		return NULL;
	pthread_once(&fork_once, fork_setup);
	client->magic = CLIENT_MAGIC;
	atomic_init(&client->refs, 1);
	client->fork_generation = atomic_load(&fork_generation);
	client->private_fd = client->memory_fd = -1;
	client->next = client->next_transfer = 1;
	client->unaccepted_end = &client->unaccepted;
	rmd_random_bytes(client->session, sizeof client->session);
	rmd_table_init(&client->table, 1);
	rmd_transfers_init(&client->transfers, RMD_CLIENT_TRANSFERS_MAX,
			   RMD_CLIENT_TRANSFERS_BYTES, rmd_clock_mono_ns());
	pthread_mutex_init(&client->lock, NULL);
	pthread_mutex_init(&client->table_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&client->changed, &attr);
	pthread_condattr_destroy(&attr);
	rmd_seat_init(&client->seat);
	rmd_done_queue_init(&client->queue);
	client->acks = rmd_calloc(RMD_CLIENT_ACKS_MAX, sizeof *client->acks);
	client->address = rmd_strdup("");
	if (client->acks != NULL && client->address != NULL)
		return client;
	client_free(client);
	return NULL;
}

/* Opening has failed: the client stays as one whose tasks all end with `err` (taken). */
static void set_failed(struct remuda *client, int code, struct remuda_error *err)
{
	pthread_mutex_lock(&client->lock);
	client->why_code = code;
	client->why = rmd_error_encode_buf(err);
	rmd_client_move(client, RMD_CLIENT_LOST);
	pthread_mutex_unlock(&client->lock);
	remuda_error_free(err);
}

static void close_posted(struct rmd_post *post)
{
	rmd_session_close((struct remuda *)(void *)((char *)post -
						    offsetof(struct remuda, close_post)));
}

static void *thread_main(void *arg)
{
	struct remuda *client = arg;
	rmd_session_start(client);
	if (client->looping)
		rmd_loop_run(client->loop);
	rmd_channel_close(client->channel);
	rmd_loop_destroy(client->loop);
	rmd_client_unref(client);
	return NULL;
}

/* Starts the client's thread with all signals blocked: handlers are the host's affair. */
static int start_thread(struct remuda *client, struct remuda_error **ret_err)
{
	sigset_t all, before;
	client->loop = rmd_loop_create();
	if (client->loop == NULL) {
		*ret_err = remuda_error_create("OutOfMemory", "cannot start gRPC");
		return REMUDA_ENOMEM;
	}
	rmd_loop_set_seat(client->loop, &client->seat);
	rmd_client_ref(client);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	client->threaded = true;
	int failure = pthread_create(&client->thread, NULL, thread_main, client);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure == 0)
		return 0;
	client->threaded = false;
	rmd_loop_destroy(client->loop);
	rmd_client_unref(client);
	*ret_err = remuda_error_create(
		"SystemError", "cannot start the client's thread: %s", strerror(failure));
	return REMUDA_ESYS;
}

/* ---- where to ---- */

static char *process_name(void)
{
	return rmd_strdup(program_invocation_short_name);
}

static int set_address(struct remuda *client, const char *address,
		       struct remuda_error **ret_err)
{
	char *copy = rmd_strdup(address);
	if (copy == NULL) {
		*ret_err = remuda_error_create("OutOfMemory", "for an address");
		return REMUDA_ENOMEM;
	}
	rmd_free(client->address);
	client->address = copy;
	client->reach = strcmp(address, "private") == 0	    ? RMD_REACH_PRIVATE
			: strncmp(address, "unix:", 5) == 0 ? RMD_REACH_UNIX
							    : RMD_REACH_REMOTE;
	return 0;
}

/* Decides where the coordinator is. */
static int resolve(struct remuda *client, const struct remuda_options *options,
		   struct remuda_error **ret_err)
{
	char up[RMD_PATH_MAX];
	const char *address = options->address != NULL ? options->address
						       : getenv("REMUDA_ADDRESS");
	if (address != NULL && *address != '\0')
		return set_address(client, address, ret_err);
	int rc = rmd_locate_up(up, ret_err);
	if (rc == 0)
		return set_address(client, up, ret_err);
	if (rc != RMD_ENOTFOUND)
		return REMUDA_EINVAL;
	if (options->start == REMUDA_START_PRIVATE)
		return set_address(client, "private", ret_err);
	*ret_err = remuda_error_create(
		"NoCoordinator",
		"no coordinator runs for this user: REMUDA_ADDRESS is not set, and there "
		"is no `remuda up` socket. Start one with `remuda up`, or give an "
		"address");
	return REMUDA_EUNREACHABLE;
}

/* Who we are there. */
static int identify(struct remuda *client, const struct remuda_options *options,
		    struct remuda_error **ret_err)
{
	struct rmd_identity_options said = {.ca_file = options->ca_file,
					    .cert_file = options->cert_file,
					    .key_file = options->key_file,
					    .server_name = options->tls_name,
					    .token = options->token,
					    .tls = options->tls};
	char *why = NULL;
	int rc = rmd_identity_load(&said, &client->identity, &why);
	if (rc == 0)
		return 0;
	*ret_err =
		remuda_error_create(rc == RMD_ENOMEM ? "OutOfMemory" : "InvalidOptions",
				    "%s", why != NULL ? why : "for a client");
	rmd_free(why);
	return rc == RMD_ENOMEM ? REMUDA_ENOMEM : REMUDA_EINVAL;
}

static int start_private(struct remuda *client, const struct remuda_options *options,
			 struct remuda_error **ret_err)
{
	char path[RMD_PATH_MAX], **modules = NULL;
	int rc = rmd_locate_server(options->server_path, path, ret_err);
	if (rc < 0)
		return REMUDA_ENOTFOUND;
	rc = rmd_private_modules(options->modules, &modules, ret_err);
	if (rc < 0) {
		rmd_private_modules_free(modules);
		return rc;
	}
	client->server_path = rmd_strdup(path);
	struct rmd_private_options start = {.server_path = path,
					    .max_workers = options->max_workers,
					    .shared_bytes = client->shared_bytes,
					    .modules = (const char *const *)modules};
	rc = rmd_private_start(&start, &client->private_fd, &client->memory_fd, ret_err);
	rmd_private_modules_free(modules);
	if (rc < 0)
		return rc == RMD_ENOMEM || client->server_path == NULL ? REMUDA_ENOMEM
								       : REMUDA_ESYS;
	return 0;
}

static int check_options(const struct remuda_options *options,
			 struct remuda_error **ret_err)
{
	size_t count;
	if (options->version != REMUDA_OPTIONS_VERSION)
		*ret_err = remuda_error_create("InvalidOptions",
					       "remuda_options: version %u is not known: "
					       "start from REMUDA_OPTIONS_INIT",
					       (unsigned)options->version);
	else if (options->client_name != NULL &&
		 strlen(options->client_name) > RMD_CLIENT_NAME_MAX_BYTES)
		*ret_err = remuda_error_create(
			"InvalidOptions",
			"remuda_options.client_name is longer than 256 bytes");
	else
		*ret_err = rmd_check_pairs(
			options->environment, "remuda_options.environment",
			RMD_POOL_ENVIRONMENT_MAX, RMD_POOL_ENVIRONMENT_MAX_BYTES, &count);
	return *ret_err == NULL ? 0 : REMUDA_EINVAL;
}

/* Waits until the session is open or lost. */
static int wait_open(struct remuda *client, struct remuda_error **ret_err)
{
	int code = 0;
	pthread_mutex_lock(&client->lock);
	while (client->state == RMD_CLIENT_OPENING)
		rmd_client_wait(client,
				UINT64_MAX); /* the thread's own patience ends it */
	if (client->state != RMD_CLIENT_OPEN) {
		code = client->why_code != 0 ? client->why_code : REMUDA_EUNREACHABLE;
		*ret_err = rmd_client_why(client);
	}
	pthread_mutex_unlock(&client->lock);
	return code;
}

/* The spec of the pool that tasks go to which name none, and its modules. */
static int set_defaults(struct remuda *client, const struct remuda_options *options,
			struct remuda_error **ret_err);

static int open_client(struct remuda *client, const struct remuda_options *options,
		       struct remuda_error **ret_err)
{
	client->open_timeout_ms = options->open_timeout_ms != 0
					  ? options->open_timeout_ms
					  : RMD_CLIENT_OPEN_TIMEOUT_MS;
	client->client_name = options->client_name != NULL
				      ? rmd_strdup(options->client_name)
				      : process_name();
	int code = client->client_name == NULL ? REMUDA_ENOMEM
					       : check_options(options, ret_err);
	if (code == 0)
		code = rmd_share_wanted(&client->shared_bytes, ret_err);
	if (code == 0)
		code = resolve(client, options, ret_err);
	if (code == 0 && client->reach != RMD_REACH_PRIVATE)
		code = identify(client, options, ret_err);
	if (code == 0 && client->reach == RMD_REACH_PRIVATE)
		code = start_private(client, options, ret_err);
	if (code == 0)
		code = start_thread(client, ret_err);
	if (code == 0)
		code = wait_open(client, ret_err);
	if (code == 0)
		code = set_defaults(client, options, ret_err);
	if (code < 0 && *ret_err == NULL)
		*ret_err = remuda_error_create("OutOfMemory", "for a client");
	return code;
}

static struct remuda_error *wrap_open(struct remuda_error *err)
{
	rmd_error_set_origin(err, REMUDA_ORIGIN_SERVICE);
	return err;
}

struct remuda *remuda_open(const char *address)
{
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	options.address = address;
	struct remuda *client = client_create();
	if (client == NULL)
		return NULL;
	int code = open_client(client, &options, &err);
	if (code < 0 && client->state != RMD_CLIENT_LOST)
		set_failed(client, code, wrap_open(err));
	else
		remuda_error_free(err);
	return client;
}

struct remuda *remuda_open_with(const struct remuda_options *options,
				struct remuda_error **ret_err)
{
	struct remuda_options defaults = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	struct remuda *client = client_create();
	int code = client == NULL
			   ? REMUDA_ENOMEM
			   : open_client(client, options != NULL ? options : &defaults,
					 &err);
	if (code == 0)
		return client;
	remuda_close(client);
	if (err == NULL)
		err = remuda_error_create("OutOfMemory", "for a client");
	if (ret_err != NULL)
		*ret_err = wrap_open(err);
	else
		remuda_error_free(err);
	return NULL;
}

/* ---- defaults ---- */

/* Pushes the modules of `paths`: their digests in ret_digests. */
static int push_modules(struct remuda *client, const char *const *paths,
			struct rmd_digest *ret_digests, size_t *ret_count,
			struct remuda_error **ret_err)
{
	size_t count = 0;
	for (; paths != NULL && paths[count] != NULL; count++) {
		if (count == RMD_POOL_MODULES_MAX) {
			*ret_err = remuda_error_create(
				"InvalidOptions", "remuda_options.modules: at most %u",
				RMD_POOL_MODULES_MAX);
			return REMUDA_EINVAL;
		}
		int code = remuda_module_push(client, paths[count],
					      ret_digests[count].bytes, ret_err);
		if (code < 0)
			return code;
	}
	*ret_count = count;
	return 0;
}

static int set_defaults(struct remuda *client, const struct remuda_options *options,
			struct remuda_error **ret_err)
{
	bool own = client->reach ==
		   RMD_REACH_PRIVATE; /* was told its modules and workers */
	struct rmd_pair environment[RMD_POOL_ENVIRONMENT_MAX];
	struct rmd_digest modules[RMD_POOL_MODULES_MAX];
	struct rmd_pool_spec spec = {
		.max_workers = options->max_workers,
		.idle_timeout_ms = options->idle_timeout_ms,
		.environment = environment,
		.modules = modules,
	};
	if (!own) {
		int code = push_modules(client, options->modules, modules,
					&spec.module_count, ret_err);
		if (code < 0)
			return code;
	}
	for (; options->environment != NULL &&
	       options->environment[spec.environment_count] != NULL;
	     spec.environment_count++) {
		const char *pair = options->environment[spec.environment_count];
		size_t len = strcspn(pair, "=");
		environment[spec.environment_count] = (struct rmd_pair){
			rmd_slice_of(pair, len), rmd_slice_of_string(pair + len + 1)};
	}
	if (spec.environment_count == 0 && spec.idle_timeout_ms == 0 &&
	    (own || (spec.max_workers == 0 && spec.module_count == 0)))
		return 0;
	const char *field = "";
	int rc = rmd_pool_spec_copy(&spec, &client->default_spec, &field);
	if (rc == 0)
		return 0;
	*ret_err = remuda_error_create("InvalidOptions", "remuda_options: %s: %s", field,
				       rmd_errcode_text(rc));
	return rc == RMD_ENOMEM ? REMUDA_ENOMEM : REMUDA_EINVAL;
}

/* ---- looking and closing ---- */

int remuda_status(const struct remuda *client, struct remuda_error **ret_err)
{
	struct remuda_error *err = NULL;
	int code = 0;
	if (client == NULL) {
		code = REMUDA_ENOMEM;
		err = remuda_error_create("OutOfMemory", "for a client");
	} else if (rmd_client_forked(client)) {
		code = REMUDA_EFORKED;
		err = rmd_forked_error();
	} else {
		struct remuda *looked_at = (struct remuda *)(uintptr_t)client;
		pthread_mutex_lock(&looked_at->lock);
		if (client->state >= RMD_CLIENT_LOST) {
			code = client->why_code != 0 ? client->why_code : REMUDA_ECLOSED;
			err = rmd_client_why(client);
		}
		pthread_mutex_unlock(&looked_at->lock);
	}
	if (ret_err != NULL && err != NULL)
		*ret_err = err;
	else
		remuda_error_free(err);
	return code;
}

const char *remuda_address(const struct remuda *client)
{
	return client == NULL ? "" : client->address;
}

void remuda_session_hex(const struct remuda *client, char ret_hex[33])
{
	struct remuda *looked_at = (struct remuda *)(uintptr_t)client;
	pthread_mutex_lock(&looked_at->lock);
	for (size_t i = 0; i < sizeof client->session; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", client->session[i]);
	pthread_mutex_unlock(&looked_at->lock);
}

void remuda_close(struct remuda *client)
{
	if (client == NULL || rmd_client_forked(client) || rmd_client_is_here(client))
		return; /* a child leaves everything to its parent */
	RMD_CHECK_OBJ(client, CLIENT_MAGIC);
	if (client->threaded) {
		client->close_post.run = close_posted;
		rmd_loop_post(client->loop, &client->close_post);
		pthread_join(client->thread, NULL);
	}
	pthread_mutex_lock(&client->lock);
	rmd_client_move(client, RMD_CLIENT_CLOSED);
	pthread_mutex_unlock(&client->lock);
	struct remuda_future *future;
	while ((future = rmd_done_queue_pop(&client->queue)) != NULL)
		rmd_future_unref(future); /* each holds the client */
	rmd_client_unref(client);
}

const char *remuda_code_text(int code)
{
	return code == REMUDA_OK ? "done"
	       : code == REMUDA_EFORKED
		       ? "called in a child of the process that opened the client"
		       : rmd_errcode_text(code);
}

const char *remuda_version(void)
{
	return REMUDA_VERSION;
}

_Static_assert((int)REMUDA_EAGAIN == (int)RMD_EAGAIN &&
		       (int)REMUDA_ENOMEM == (int)RMD_ENOMEM &&
		       (int)REMUDA_EINVAL == (int)RMD_EINVAL &&
		       (int)REMUDA_EPROTO == (int)RMD_EPROTO &&
		       (int)REMUDA_ETOOBIG == (int)RMD_ETOOBIG &&
		       (int)REMUDA_ENOTFOUND == (int)RMD_ENOTFOUND &&
		       (int)REMUDA_ECLOSED == (int)RMD_ECLOSED &&
		       (int)REMUDA_ETIMEOUT == (int)RMD_ETIMEOUT &&
		       (int)REMUDA_ESYS == (int)RMD_ESYS &&
		       (int)REMUDA_ETYPE == (int)RMD_ETYPE &&
		       (int)REMUDA_ERANGE == (int)RMD_ERANGE &&
		       (int)REMUDA_ECANCELLED == (int)RMD_ECANCELLED &&
		       (int)REMUDA_EUNREACHABLE == (int)RMD_EUNREACHABLE &&
		       (int)REMUDA_ETASK == (int)RMD_ETASK,
	       "public and internal codes are the same numbers");
