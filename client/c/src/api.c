/* The public side of submit and cancel: checks, messages, labels; then submit.c. */
#include <dlfcn.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <string.h>

#include "client/c/src/capture.h"
#include "client/c/src/check.h"
#include "client/c/src/client.h"
#include "client/c/src/function_value.h"
#include "client/c/src/submit.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/error/chain.h"

#define MESSAGE_URL "type.googleapis.com/"
/* Calls with more arguments than this have their lists on the heap. */
#define ARGS_HERE 16u

/* ---- messages ---- */

/* A list of arguments that is ours, since it is not quite the caller's. */
struct own_args {
	struct remuda_arg here[ARGS_HERE];
	struct remuda_arg *list;     /* `here`, or from rmd_malloc */
	bool packed; /* values that are ANY at `message` own their bytes */
	size_t count;
};

static struct remuda_arg *own_args_make(struct own_args *own, size_t count)
{
	own->list = count <= ARGS_HERE ? own->here : rmd_calloc(count, sizeof *own->list);
	own->packed = false;
	own->count = count;
	return own->list;
}

static void own_args_fini(struct own_args *own)
{
	for (size_t i = 0; own->packed && i < own->count; i++)
		if (own->list[i].message != NULL)
			rmd_free((void *)(uintptr_t)own->list[i]
					 .value.u.any.type_url.data);
	if (own->list != own->here)
		rmd_free(own->list);
}

/* Packs a message into an ANY; one block: the url, a NUL, the bytes. The block is owned
 * by value.u.any.type_url.data, and `message` stays as the mark of that. */
static struct remuda_error *pack(struct remuda_arg *arg, const char *function,
				 size_t index)
{
	const struct ProtobufCMessage *message = arg->message;
	if (message->descriptor == NULL ||
	    message->descriptor->magic != PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC ||
	    !protobuf_c_message_check(message)) {
		arg->message = NULL;
		return remuda_error_create("EncodeError",
					   "%s: argument %zu: not a message of "
					   "protobuf-c that can be packed "
					   "(initialised? strings set?)",
					   function, index + 1);
	}
	size_t len = protobuf_c_message_get_packed_size(message);
	size_t url_len = strlen(MESSAGE_URL) + strlen(message->descriptor->name);
	char *block = rmd_malloc(url_len + 1 + len);
	if (block == NULL) {
		arg->message = NULL;
		return remuda_error_create("OutOfMemory", "for a message");
	}
	snprintf(block, url_len + 1, "%s%s", MESSAGE_URL, message->descriptor->name);
	protobuf_c_message_pack(message, (uint8_t *)block + url_len + 1);
	arg->value = (struct remuda_value){.kind = REMUDA_ANY};
	arg->value.u.any.type_url = (struct remuda_string){block, url_len};
	arg->value.u.any.data = (struct remuda_bytes){block + url_len + 1, len};
	return NULL;
}

static bool has_message(const struct remuda_arg *args, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (args[i].message != NULL)
			return true;
	return false;
}

/* Packs all messages of `own`; on failure those that are left count as none. */
static struct remuda_error *pack_all(struct own_args *own, const char *function)
{
	struct remuda_error *err = NULL;
	own->packed = true;
	for (size_t i = 0; i < own->count; i++) {
		if (own->list[i].message == NULL)
			continue;
		if (err == NULL)
			err = pack(&own->list[i], function, i);
		else
			own->list[i].message = NULL;
	}
	return err;
}

/* ---- the call ---- */

static struct remuda_error *check_args(const struct remuda_call *call)
{
	struct remuda_error *err = rmd_check_function(call->function);
	if (err != NULL)
		return err;
	if (call->count > RMD_CALL_ARGS_MAX || call->named_count > RMD_CALL_ARGS_MAX)
		return remuda_error_create(
			"ArgumentCount",
			"%s: %zu arguments by position and %zu by name; at most %u each",
			call->function, call->count, call->named_count,
			RMD_CALL_ARGS_MAX);
	for (size_t i = 0; i < call->count; i++)
		if ((err = rmd_check_value(call->function, i, NULL,
					   &call->args[i].value)) != NULL)
			return err;
	for (size_t i = 0; i < call->named_count; i++) {
		const struct remuda_named_arg *named = &call->named_args[i];
		size_t len = named->name == NULL ? 0 : strlen(named->name);
		if (len == 0 || len > 256 ||
		    !rmd_wire_utf8_valid(rmd_slice_of(named->name, len)))
			return remuda_error_create("ArgumentName",
						   "%s: the name of a named argument "
						   "must be UTF-8 of 1 to 256 bytes",
						   call->function);
		if (named->arg.message != NULL)
			return remuda_error_create(
				"EncodeError",
				"%s: argument %s: a message goes by position only",
				call->function, named->name);
		err = rmd_check_value(call->function, i, named->name, &named->arg.value);
		if (err != NULL)
			return err;
	}
	return rmd_check_task_options(call->options);
}

static struct remuda_error *put_labels(const char *const *labels,
				       struct rmd_wire_writer *writer)
{
	for (; labels != NULL && *labels != NULL; labels++) {
		const char *equals = strchr(*labels, '=');
		struct rmd_pair pair = {rmd_slice_of(*labels, (size_t)(equals - *labels)),
					rmd_slice_of_string(equals + 1)};
		rmd_pairs_put(writer, RMD_TASK_OPTIONS_LABELS, pair);
	}
	return writer->failed ? remuda_error_create("OutOfMemory", "for labels") : NULL;
}

/* The rule for other attempts, raw; nothing where it is the default. */
static struct remuda_error *put_retry(const struct remuda_task_options *options,
				      struct rmd_wire_writer *writer,
				      struct rmd_task_options *ret_options)
{
	struct rmd_retry_rule rule = {
		.causes = options->retry_on, /* the contract's numbers */
		.backoff_ms = options->backoff_ms,
		.backoff_max_ms = options->backoff_max_ms,
	};
	for (; options->error_types != NULL &&
	       options->error_types[rule.error_type_count] != NULL;
	     rule.error_type_count++)
		rule.error_types[rule.error_type_count] =
			rmd_slice_of_string(options->error_types[rule.error_type_count]);
	if (rule.causes == 0 && rule.error_type_count == 0 && rule.backoff_ms == 0 &&
	    rule.backoff_max_ms == 0)
		return NULL;
	rmd_retry_rule_encode(writer, &rule);
	ret_options->raw_retry = rmd_slice_of(writer->data, writer->len);
	return writer->failed ? remuda_error_create("OutOfMemory", "for a retry rule")
			      : NULL;
}

_Static_assert(REMUDA_RETRY_TASK_ERROR == 1 << RMD_FAILURE_TASK_ERROR &&
		       REMUDA_RETRY_RUN_DEADLINE == 1 << RMD_FAILURE_RUN_DEADLINE,
	       "causes have the contract's numbers");

/* A mistake of the caller's, or a lack of memory? */
static int encode_code(const struct remuda_error *err)
{
	return strcmp(remuda_error_type(err), "OutOfMemory") == 0 ? REMUDA_ENOMEM
								   : REMUDA_EINVAL;
}

/* Submits a call whose arguments are values on the wire. Takes the reference in `future`.
 */
static struct remuda_future *submit_resolved(struct remuda *client,
					     const struct remuda_call *call,
					     const struct rmd_captured_task *captured,
					     struct remuda_future *future)
{
	const struct remuda_task_options *options = call->options;
	struct rmd_wire_writer labels = {0}, retry = {0};
	struct remuda_error *err = check_args(call);
	struct rmd_submission submission = {
		.captured = captured,
		.args = call->args,
		.count = call->count,
		.named_args = call->named_args,
		.named_count = call->named_count,
		.until_ns = UINT64_MAX,
	};
	if (err == NULL && options != NULL) {
		err = put_labels(options->labels, &labels);
		submission.spec.pool = options->pool;
		submission.spec.options = (struct rmd_task_options){
			.priority = options->priority,
			.deadline_ms = options->deadline_ms,
			.max_attempts = options->max_attempts,
			.stream_logs = options->on_log != NULL,
			.raw_labels = rmd_slice_of(labels.data, labels.len),
			.queue_deadline_ms = options->queue_deadline_ms,
			.run_deadline_ms = options->run_deadline_ms,
			.detached = options->detached,
		};
		if (err == NULL)
			err = put_retry(options, &retry, &submission.spec.options);
		future->detached = options->detached;
		if (options->deadline_ms != 0)
			submission.until_ns = rmd_until_ns((int64_t)options->deadline_ms);
		if (options->on_log != NULL)
			rmd_seat_keep(&client->seat); /* it is called on our thread */
		future->on_log = options->on_log;
		future->log_ctx = options->log_ctx;
	}
	if (err != NULL) {
		rmd_error_set_origin(err, REMUDA_ORIGIN_ENCODE);
		rmd_future_fail(future, encode_code(err), err);
	} else {
		submission.spec.function = rmd_slice_of_string(call->function);
		rmd_submit(client, &submission, future);
	}
	rmd_wire_writer_fini(&labels);
	rmd_wire_writer_fini(&retry);
	return future;
}

/* Submits a call whose arguments are values only, functions perhaps among them. Takes the
 * reference in `future`. */
static struct remuda_future *submit_values(struct remuda *client,
					   const struct remuda_call *call,
					   const struct rmd_captured_task *captured,
					   struct remuda_future *future)
{
	const struct rmd_capture *capture = captured != NULL ? &captured->capture : NULL;
	struct rmd_function_values values;
	struct remuda_error *err =
		call->count > RMD_CALL_ARGS_MAX
			? NULL
			: rmd_function_values_resolve(client, call, capture, &values);
	if (call->count > RMD_CALL_ARGS_MAX)
		return submit_resolved(client, call, captured, future);
	if (err != NULL) {
		rmd_future_fail(future, encode_code(err), err);
	} else {
		struct remuda_call resolved = *call;
		resolved.args = values.args;
		submit_resolved(client, &resolved, captured, future);
	}
	rmd_function_values_fini(&values);
	return future;
}

/* A future, or NULL; one that has failed where the client may not be used here. */
static struct remuda_future *make_future(struct remuda *client, bool *ret_usable)
{
	struct remuda_future *future = client == NULL ? NULL : rmd_future_create(client);
	*ret_usable = false;
	if (future == NULL)
		return NULL;
	if (rmd_client_forked(client))
		rmd_future_fail(future, REMUDA_EFORKED, rmd_forked_error());
	else
		*ret_usable = true;
	return future;
}

struct remuda_future *remuda_submit_call(struct remuda *client,
					 const struct remuda_call *call)
{
	bool usable;
	struct remuda_future *future = make_future(client, &usable);
	if (!usable)
		return future;
	if (!has_message(call->args, call->count) || call->count > RMD_CALL_ARGS_MAX)
		return submit_values(client, call, NULL, future);
	struct own_args own;
	struct remuda_call values = *call;
	if (own_args_make(&own, call->count) == NULL) {
		rmd_future_unref(future);
		return NULL;
	}
	memcpy(own.list, call->args, call->count * sizeof *own.list);
	struct remuda_error *err =
		pack_all(&own, call->function != NULL ? call->function : "");
	values.args = own.list;
	if (err != NULL)
		rmd_future_fail(future, encode_code(err), err);
	else
		submit_values(client, &values, NULL, future);
	own_args_fini(&own);
	return future;
}

/* ---- typed ---- */

/* The prefix of the names of the module that `task` lies in: its own, or what the image
 * that holds it exports. NULL: that is no module. */
const char *rmd_task_module(const struct remuda_task *task)
{
	Dl_info info;
	if (task->module != NULL)
		return task->module;
	if (dladdr(task, &info) == 0 || info.dli_fname == NULL)
		return NULL;
	void *image = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
	if (image == NULL)
		image = dlopen(NULL, RTLD_LAZY);
	const struct remuda_module *module =
		image == NULL ? NULL : dlsym(image, REMUDA_MODULE_SYMBOL);
	const char *prefix = NULL;
	if (module != NULL && module->abi_version == REMUDA_ABI_VERSION)
		prefix =
			module->prefix; /* in the image, which lives as the task does */
	if (image != NULL)
		dlclose(image);
	return prefix;
}

/* Its name, where workers find it by that; else *ret_captured, as which it goes. */
static struct remuda_error *task_name(struct remuda *client,
				      const struct remuda_task *task, char *ret_name,
				      size_t size, struct rmd_captured_task *ret_captured)
{
	if (task->abi_version != REMUDA_ABI_VERSION)
		return remuda_error_create("AbiVersion",
					   "this program was compiled with version %u of "
					   "remuda/task.h, this "
					   "library speaks version %u: compile it again",
					   (unsigned)task->abi_version,
					   REMUDA_ABI_VERSION);
	const char *module = rmd_task_module(task);
	*ret_name = '\0';
	if (module == NULL)
		return rmd_capture_task(client, task, ret_captured);
	if ((size_t)snprintf(ret_name, size, "native:%s.%s", module, task->name) >= size)
		return remuda_error_create("FunctionName", "the name of %s is too long",
					   task->name);
	return NULL;
}

static struct remuda_error *globals_by_name(const char *name)
{
	return remuda_error_create("EncodeError",
				   "%s goes by name, and options.globals only with functions "
				   "that are captured: give it arguments instead",
				   name);
}

struct remuda_future *remuda_submit_task(struct remuda *client,
					 const struct remuda_task *task,
					 const struct remuda_task_options *options,
					 const struct remuda_arg *args, size_t count)
{
	char name[RMD_FUNCTION_MAX_BYTES + 1] = "";
	struct rmd_captured_task captured;
	struct own_args own;
	bool usable;
	struct remuda_future *future = make_future(client, &usable);
	if (!usable)
		return future;
	struct remuda_error *err =
		task_name(client, task, name, sizeof name, &captured);
	bool by_name = name[0] != '\0';
	own_args_make(&own, count <= ARGS_HERE ? count : 0);
	if (err == NULL && options != NULL && options->globals != NULL)
		err = by_name ? globals_by_name(name)
			      : rmd_capture_globals(&captured, options->globals);
	if (err == NULL)
		err = rmd_check_signature(task, args, count, own.list);
	if (err == NULL)
		err = pack_all(&own, by_name ? name : captured.function);
	if (err != NULL) {
		rmd_error_set_origin(err, REMUDA_ORIGIN_ENCODE);
		rmd_future_fail(future, REMUDA_EINVAL, err);
	} else {
		struct remuda_call call = {.function = by_name ? name
							       : captured.function,
					   .options = options,
					   .args = own.list,
					   .count = count};
		submit_values(client, &call, by_name ? NULL : &captured, future);
	}
	if (own.packed)
		own_args_fini(&own);
	return future;
}

/* ---- cancel ---- */

int remuda_cancel(struct remuda_future *future)
{
	if (future == NULL || rmd_future_done(future))
		return REMUDA_ECLOSED;
	struct remuda *client = future->client;
	if (rmd_client_forked(client))
		return REMUDA_EFORKED;
	pthread_mutex_lock(&client->lock);
	atomic_store(&future->cancelled, true);
	struct rmd_stream *stream = NULL;
	if (client->stream != NULL && future->number != 0) {
		stream = rmd_stream_ref(client->stream);
		rmd_session_request_put_cancels(rmd_stream_begin(stream), &future->number,
						1);
	}
	pthread_mutex_unlock(&client->lock);
	if (stream != NULL) {
		rmd_stream_end(stream);
		rmd_stream_unref(stream);
	}
	return 0;
}
