/* server/service/admin.c: Admin: what the coordinator holds, for people. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "server/service/explain.h"
#include "server/service/hub.h"
#include "server/service/unary.h"

#define LOGS_MAGIC 0x10650001u
#define TASKS_DEFAULT 1000u
#define TASKS_MAX 100000u
#define CANCEL_TASKS_MAX 10000u
#define LOG_PENDING_MAX (1u << 20) /* a reader who is slower than this misses some */

/* One reader of Logs. */
struct log_reader {
	uint32_t magic;
	struct rmd_admin *admin;
	struct rmd_stream *stream;
	bool asked, one_task;
	struct rmd_task_id task;
	uint64_t dropped_bytes;
	LIST_ENTRY(log_reader) link;
};

struct rmd_admin {
	struct rmd_coordinator *coordinator;
	LIST_HEAD(, log_reader) readers;
};

/* ---- Status, Shutdown ---- */

static void handle_status(struct rmd_unary *call, const void *request, void *ctx)
{
	(void)request;
	const struct rmd_admin *admin = ctx;
	const struct rmd_coordinator *coordinator = admin->coordinator;
	struct rmd_core_counters counters;
	rmd_core_counters(coordinator->core, &counters);
	Remuda__V1__StatusResponse response = REMUDA__V1__STATUS_RESPONSE__INIT;
	response.version = rmd_unary_text(call, rmd_slice_of_string(REMUDA_VERSION));
	response.epoch = coordinator->epoch;
	response.uptime_ms = rmd_clock_mono_ms() - coordinator->started_ms;
	response.pid = (uint32_t)getpid();
	response.agents = (uint32_t)counters.agents;
	response.workers = (uint32_t)counters.workers;
	response.pools = (uint32_t)counters.pools;
	response.sessions = coordinator->session_count;
	response.queued = counters.queued;
	response.leased = counters.leased + counters.running;
	response.done = counters.ended;
	response.payload_bytes = counters.payload_bytes;
	response.draining = counters.draining;
	response.addresses = rmd_arena_calloc(rmd_unary_arena(call),
					      coordinator->address_count + 1,
					      sizeof *response.addresses);
	for (size_t i = 0; response.addresses != NULL && i < coordinator->address_count;
	     i++)
		response.addresses[response.n_addresses++] = rmd_unary_text(
			call, rmd_slice_of_string(coordinator->addresses[i]));
	rmd_unary_reply(call, &response.base);
}

static void handle_shutdown(struct rmd_unary *call, const void *request_message,
			    void *ctx)
{
	const struct rmd_admin *admin = ctx;
	const Remuda__V1__ShutdownRequest *request = request_message;
	struct rmd_coordinator *coordinator = admin->coordinator;
	uint64_t grace_ms = request->grace_ms;
	if (coordinator->shutdown == NULL) {
		rmd_unary_fail(call, RMD_RPC_FAILED_PRECONDITION, "NOT_HERE",
			       "this coordinator ends with the program that started it");
		return;
	}
	Remuda__V1__ShutdownResponse response = REMUDA__V1__SHUTDOWN_RESPONSE__INIT;
	rmd_unary_reply(call, &response.base);
	coordinator->shutdown(coordinator->shutdown_ctx, grace_ms);
}

/* ---- ListTasks ---- */

static void fill_id(struct rmd_coordinator *coordinator, const struct rmd_core_task *task,
		    Remuda__V1__TaskId *ret_id)
{
	struct rmd_core_client *client = rmd_core_task_client(task);
	ret_id->number = rmd_core_task_number(task);
	if (client == NULL)
		return;
	ret_id->session.len = RMD_SESSION_BYTES;
	ret_id->session.data = (uint8_t *)(uintptr_t)rmd_submitter_session(
		coordinator, rmd_core_client_user(client));
}

Remuda__V1__TaskInfo *rmd_admin_task_info(struct rmd_unary *call,
					  struct rmd_coordinator *coordinator,
					  const struct rmd_core_task *task)
{
	struct rmd_arena *arena = rmd_unary_arena(call);
	Remuda__V1__TaskInfo *info = rmd_arena_alloc(arena, sizeof *info);
	Remuda__V1__TaskId *id = rmd_arena_alloc(arena, sizeof *id);
	char waits[RMD_CORE_EXPLAIN_BYTES];
	if (info == NULL || id == NULL)
		return NULL;
	remuda__v1__task_info__init(info);
	remuda__v1__task_id__init(id);
	fill_id(coordinator, task, id);
	rmd_core_task_explain(task, waits, sizeof waits);
	info->task = id;
	info->function = rmd_unary_text(call, rmd_core_task_function(task));
	/* The core's states begin at 0, the contract's at 1. */
	info->state = (Remuda__V1__TaskState)(rmd_core_task_state(task) + 1);
	const struct rmd_core_pool *pool = rmd_core_task_pool(task);
	info->pool = pool == NULL
			     ? 0
			     : rmd_core_pool_number(pool); /* an ended task has none */
	info->age_ms = rmd_clock_mono_ms() - rmd_core_task_accepted_ms(task);
	info->attempt = rmd_core_task_attempt(task);
	info->payload_bytes = rmd_core_task_payload(task).bytes.len;
	info->waiting_for = rmd_unary_text(call, rmd_slice_of_string(waits));
	info->depth = rmd_core_task_depth(task);
	const struct rmd_core_agent *agent = rmd_core_task_agent(task);
	if (agent != NULL) {
		info->agent = rmd_unary_text(
			call, rmd_slice_of_string(rmd_core_agent_name(agent)));
		rmd_hub_progress(rmd_core_agent_user(agent), rmd_core_task_lease(task),
				 &info->progress_done, &info->progress_total);
	}
	return info;
}

static void handle_list_tasks(struct rmd_unary *call, const void *request_message,
			      void *ctx)
{
	const struct rmd_admin *admin = ctx;
	const Remuda__V1__ListTasksRequest *request = request_message;
	struct rmd_core *core = admin->coordinator->core;
	Remuda__V1__ListTasksResponse response = REMUDA__V1__LIST_TASKS_RESPONSE__INIT;
	size_t limit = request->limit != 0 ? request->limit : TASKS_DEFAULT;
	struct rmd_core_counters counters;
	rmd_core_counters(core, &counters);
	uint64_t all = counters.queued + counters.leased + counters.running +
		       counters.done;
	if (limit > TASKS_MAX)
		limit = TASKS_MAX;
	if (limit > all)
		limit = (size_t)all;
	response.tasks = rmd_arena_calloc(rmd_unary_arena(call), limit + 1,
					  sizeof *response.tasks);
	struct rmd_core_task *task = NULL;
	while (response.tasks != NULL && response.n_tasks < limit &&
	       (task = rmd_core_task_next(core, task)) != NULL) {
		if (rmd_core_task_client(task) == NULL)
			continue;
		Remuda__V1__TaskInfo *info =
			rmd_admin_task_info(call, admin->coordinator, task);
		if (info == NULL)
			break;
		response.tasks[response.n_tasks++] = info;
	}
	response.more = all - response.n_tasks;
	rmd_unary_reply(call, &response.base);
}

/* ---- ListWorkers ---- */

static Remuda__V1__AgentInfo *agent_info(struct rmd_unary *call, struct rmd_hub *hub)
{
	struct rmd_arena *arena = rmd_unary_arena(call);
	ProtobufCAllocator *allocator = rmd_unary_allocator(call);
	struct rmd_core_agent *agent = rmd_hub_agent(hub);
	struct rmd_slice hello = rmd_hub_hello(hub);
	struct rmd_core_ledger *ledger = NULL;
	Remuda__V1__AgentInfo *info = rmd_arena_alloc(arena, sizeof *info);
	size_t pools = 0;
	if (info == NULL)
		return NULL;
	remuda__v1__agent_info__init(info);
	info->agent = rmd_core_agent_number(agent);
	info->draining = rmd_core_agent_drains(agent);
	info->hello = remuda__v1__agent_hello__unpack(allocator, hello.len, hello.data);
	if (info->hello != NULL) /* as it is known here, which may be NAME#2 */
		info->hello->name = rmd_unary_text(
			call, rmd_slice_of_string(rmd_core_agent_name(agent)));
	while ((ledger = rmd_core_ledger_next(agent, ledger)) != NULL)
		pools++;
	info->pools = rmd_arena_calloc(arena, pools + 1, sizeof *info->pools);
	while (info->pools != NULL &&
	       (ledger = rmd_core_ledger_next(agent, ledger)) != NULL) {
		struct rmd_core_ledger_info told;
		rmd_core_ledger_info(ledger, &told);
		struct rmd_slice raw =
			rmd_hub_pool_state(hub, rmd_core_pool_number(told.pool));
		Remuda__V1__AgentPool *pool =
			raw.len == 0 ? NULL
				     : remuda__v1__agent_pool__unpack(allocator, raw.len,
								      raw.data);
		if (pool != NULL)
			info->pools[info->n_pools++] = pool;
	}
	return info;
}

static void handle_list_workers(struct rmd_unary *call, const void *request, void *ctx)
{
	(void)request;
	const struct rmd_admin *admin = ctx;
	struct rmd_coordinator *coordinator = admin->coordinator;
	struct rmd_hub *hub = NULL;
	size_t count = 0;
	Remuda__V1__ListWorkersResponse response =
		REMUDA__V1__LIST_WORKERS_RESPONSE__INIT;
	while ((hub = rmd_hub_next(coordinator, hub)) != NULL)
		count++;
	response.agents = rmd_arena_calloc(rmd_unary_arena(call), count + 1,
					   sizeof *response.agents);
	while (response.agents != NULL &&
	       (hub = rmd_hub_next(coordinator, hub)) != NULL) {
		Remuda__V1__AgentInfo *info =
			rmd_hub_agent(hub) == NULL ? NULL : agent_info(call, hub);
		if (info != NULL)
			response.agents[response.n_agents++] = info;
	}
	rmd_unary_reply(call, &response.base);
}

/* ---- ListModules, CancelTasks ---- */

/* Its message, in the call's arena; NULL: out of memory. */
static Remuda__V1__BlobInfo *module_info(struct rmd_unary *call,
					 struct rmd_coordinator *coordinator,
					 struct rmd_blob *blob)
{
	Remuda__V1__BlobInfo *info = rmd_arena_alloc(rmd_unary_arena(call), sizeof *info);
	if (info == NULL)
		return NULL;
	remuda__v1__blob_info__init(info);
	info->digest = (ProtobufCBinaryData){RMD_DIGEST_BYTES, blob->digest.bytes};
	info->size_bytes = blob->bytes.bytes.len;
	info->name = blob->name;
	info->purpose = rmd_unary_text(call, rmd_slice_of_string("module"));
	info->prefix = blob->facts.prefix;
	info->functions = blob->facts.functions;
	info->newest = rmd_blobs_module_newest(coordinator->blobs, blob);
	return info;
}

static void handle_list_modules(struct rmd_unary *call, const void *request, void *ctx)
{
	(void)request;
	const struct rmd_admin *admin = ctx;
	struct rmd_arena *arena = rmd_unary_arena(call);
	Remuda__V1__ListModulesResponse response =
		REMUDA__V1__LIST_MODULES_RESPONSE__INIT;
	size_t count = 0;
	struct rmd_blob *first = rmd_blobs_first(admin->coordinator->blobs);
	for (struct rmd_blob *blob = first; blob != NULL; blob = blob->next)
		count += blob->module;
	response.modules = rmd_arena_calloc(arena, count + 1, sizeof *response.modules);
	for (struct rmd_blob *blob = first; response.modules != NULL && blob != NULL;
	     blob = blob->next) {
		Remuda__V1__BlobInfo *info =
			blob->module ? module_info(call, admin->coordinator, blob) : NULL;
		if (info != NULL)
			response.modules[response.n_modules++] = info;
	}
	rmd_unary_reply(call, &response.base);
}

/* Whether the request means this module. */
static bool module_meant(const Remuda__V1__RemoveModulesRequest *request,
			 const struct rmd_blob *blob)
{
	if (request->digest.len != 0)
		return memcmp(request->digest.data, blob->digest.bytes, RMD_DIGEST_BYTES) == 0;
	return strcmp(request->name, blob->name) == 0 ||
	       strcmp(request->name, blob->facts.prefix) == 0;
}

static void handle_remove_modules(struct rmd_unary *call, const void *request_message,
				  void *ctx)
{
	const struct rmd_admin *admin = ctx;
	const Remuda__V1__RemoveModulesRequest *request = request_message;
	struct rmd_coordinator *coordinator = admin->coordinator;
	struct rmd_blob *first = rmd_blobs_first(coordinator->blobs);
	Remuda__V1__RemoveModulesResponse response =
		REMUDA__V1__REMOVE_MODULES_RESPONSE__INIT;
	size_t count = 0;
	if ((request->digest.len != 0) == (request->name[0] != '\0') ||
	    (request->digest.len != 0 && request->digest.len != RMD_DIGEST_BYTES)) {
		rmd_unary_fail(call, RMD_RPC_INVALID_ARGUMENT, "BAD_MODULE",
			       "give either a name or a digest of 32 bytes");
		return;
	}
	for (struct rmd_blob *blob = first; blob != NULL; blob = blob->next)
		count += blob->module && module_meant(request, blob);
	if (count == 0) {
		rmd_unary_fail(call, RMD_RPC_NOT_FOUND, "UNKNOWN_MODULE",
			       "no such module was pushed (remuda module list shows them)");
		return;
	}
	response.modules = rmd_arena_calloc(rmd_unary_arena(call), count,
					    sizeof *response.modules);
	for (struct rmd_blob *blob = first; blob != NULL; blob = blob->next) {
		if (!blob->module || !module_meant(request, blob))
			continue;
		Remuda__V1__BlobInfo *info = response.modules == NULL
						     ? NULL
						     : module_info(call, coordinator, blob);
		if (info != NULL)
			response.modules[response.n_modules++] = info;
		rmd_coordinator_remove_module(coordinator, blob);
	}
	rmd_unary_reply(call, &response.base);
}

static void handle_cancel_tasks(struct rmd_unary *call, const void *request_message,
				void *ctx)
{
	const struct rmd_admin *admin = ctx;
	const Remuda__V1__CancelTasksRequest *request = request_message;
	struct rmd_coordinator *coordinator = admin->coordinator;
	Remuda__V1__CancelTasksResponse response =
		REMUDA__V1__CANCEL_TASKS_RESPONSE__INIT;
	if (request->n_tasks > CANCEL_TASKS_MAX) {
		rmd_unary_fail(call, RMD_RPC_INVALID_ARGUMENT, "TOO_MANY",
			       "%zu tasks: at most %u in one request", request->n_tasks,
			       CANCEL_TASKS_MAX);
		return;
	}
	for (size_t i = 0; i < request->n_tasks; i++) {
		struct rmd_task_id id = {.number = request->tasks[i]->number};
		if (request->tasks[i]->session.len != RMD_SESSION_BYTES)
			continue;
		memcpy(id.session, request->tasks[i]->session.data, RMD_SESSION_BYTES);
		struct rmd_core_task *task = rmd_coordinator_task(coordinator, &id);
		if (task == NULL || rmd_core_task_state(task) == RMD_CORE_TASK_DONE)
			continue;
		rmd_core_cancel(coordinator->core, rmd_clock_mono_ms(), task,
				RMD_CORE_END_STOPPED);
		response.cancelled++;
	}
	rmd_coordinator_touch(coordinator);
	rmd_unary_reply(call, &response.base);
}

/* ---- Logs ---- */

bool rmd_admin_logs_wanted(const struct rmd_admin *admin)
{
	return !LIST_EMPTY(&admin->readers);
}

static void send_log(struct log_reader *reader, const struct rmd_hub *hub,
		     const struct rmd_core_task *task, uint64_t worker,
		     const struct rmd_log_chunk *log)
{
	struct rmd_log_chunk sent = *log;
	if (rmd_stream_pending_bytes(reader->stream) > LOG_PENDING_MAX) {
		reader->dropped_bytes += log->data.len + log->dropped_bytes;
		return;
	}
	sent.dropped_bytes += reader->dropped_bytes;
	reader->dropped_bytes = 0;
	struct rmd_wire_writer *writer = rmd_stream_begin(reader->stream);
	struct rmd_core_client *client = task == NULL ? NULL : rmd_core_task_client(task);
	if (client != NULL) {
		struct rmd_task_id id = {.number = rmd_core_task_number(task)};
		memcpy(id.session,
		       rmd_submitter_session(reader->admin->coordinator,
					     rmd_core_client_user(client)),
		       RMD_SESSION_BYTES);
		rmd_task_id_put(writer, 1, &id);
	}
	rmd_wire_put_bytes(writer, 2,
			   rmd_slice_of_string(rmd_core_agent_name(rmd_hub_agent(hub))));
	rmd_wire_put_varint_nz(writer, 3, worker);
	rmd_log_chunk_put(writer, 4, &sent);
	rmd_stream_end_message(reader->stream);
}

void rmd_admin_log(struct rmd_admin *admin, const struct rmd_hub *hub,
		   struct rmd_core_task *task, uint64_t worker,
		   const struct rmd_log_chunk *log)
{
	struct log_reader *reader;
	LIST_FOREACH (reader, &admin->readers, link) {
		bool wanted =
			!reader->one_task ||
			(task != NULL &&
			 task == rmd_coordinator_task(admin->coordinator, &reader->task));
		if (wanted)
			send_log(reader, hub, task, worker, log);
	}
}

static void logs_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct log_reader *reader = ctx;
	RMD_CHECK_OBJ(reader, LOGS_MAGIC);
	if (reader->asked)
		return;
	reader->asked = true;
	Remuda__V1__LogsRequest *request = remuda__v1__logs_request__unpack(
		NULL, message.bytes.len, message.bytes.data);
	bool valid = request != NULL;
	if (valid && request->task != NULL) {
		reader->one_task = true;
		reader->task.number = request->task->number;
		valid = request->task->session.len == RMD_SESSION_BYTES;
		if (valid)
			memcpy(reader->task.session, request->task->session.data,
			       RMD_SESSION_BYTES);
	}
	if (request != NULL)
		remuda__v1__logs_request__free_unpacked(request, NULL);
	if (!valid)
		rmd_stream_finish(stream, RMD_RPC_INVALID_ARGUMENT, "not a LogsRequest");
}

static void logs_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
			const char *text)
{
	struct log_reader *reader = ctx;
	RMD_CHECK_OBJ(reader, LOGS_MAGIC);
	(void)stream;
	(void)status;
	(void)text;
	LIST_REMOVE(reader, link);
	reader->magic = 0;
	rmd_free(reader);
}

static const struct rmd_stream_events logs_events = {
	.message = logs_message,
	.closed = logs_closed,
};

static void logs_open(struct rmd_stream *stream, void *ctx)
{
	struct rmd_admin *admin = ctx;
	struct log_reader *reader = rmd_calloc(1, sizeof *reader);
	if (reader == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	reader->magic = LOGS_MAGIC;
	reader->admin = admin;
	reader->stream = stream;
	LIST_INSERT_HEAD(&admin->readers, reader, link);
	rmd_stream_listen(stream, &logs_events, reader);
}

/* ---- the service ---- */

static void handle_explain(struct rmd_unary *call, const void *request, void *ctx)
{
	const struct rmd_admin *admin = ctx;
	rmd_admin_explain(call, request, admin->coordinator);
}

static const struct rmd_unary_method methods[] = {
	{"/remuda.v1.Admin/Explain", &remuda__v1__explain_request__descriptor,
	 handle_explain},
	{"/remuda.v1.Admin/Status", &remuda__v1__status_request__descriptor,
	 handle_status},
	{"/remuda.v1.Admin/ListTasks", &remuda__v1__list_tasks_request__descriptor,
	 handle_list_tasks},
	{"/remuda.v1.Admin/ListWorkers", &remuda__v1__list_workers_request__descriptor,
	 handle_list_workers},
	{"/remuda.v1.Admin/ListModules", &remuda__v1__list_modules_request__descriptor,
	 handle_list_modules},
	{"/remuda.v1.Admin/RemoveModules", &remuda__v1__remove_modules_request__descriptor,
	 handle_remove_modules},
	{"/remuda.v1.Admin/CancelTasks", &remuda__v1__cancel_tasks_request__descriptor,
	 handle_cancel_tasks},
	{"/remuda.v1.Admin/Shutdown", &remuda__v1__shutdown_request__descriptor,
	 handle_shutdown},
};
#define METHOD_COUNT (sizeof methods / sizeof *methods)
static struct rmd_method rpc_methods[METHOD_COUNT], logs_method;
static struct rmd_unary_service service = {methods, rpc_methods, METHOD_COUNT, NULL};

struct rmd_admin *rmd_admin_create(struct rmd_coordinator *coordinator)
{
	struct rmd_admin *admin = rmd_calloc(1, sizeof *admin);
	if (admin == NULL)
		return NULL;
	admin->coordinator = coordinator;
	LIST_INIT(&admin->readers);
	service.ctx = admin;
	logs_method = (struct rmd_method){"/remuda.v1.Admin/Logs", logs_open, 0, true};
	if (rmd_unary_service_add(coordinator->server, &service) < 0 ||
	    rmd_server_add_methods(coordinator->server, &logs_method, 1, admin) < 0) {
		rmd_free(admin);
		return NULL;
	}
	return admin;
}

void rmd_admin_destroy(struct rmd_admin *admin)
{
	rmd_free(admin);
}
