#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <remuda/v1/admin.pb-c.h>

#include "client/cli/command.h"
#include "client/cli/exit.h"
#include "proto/base/alloc.h"
#include "proto/codec/wire.h"
#include "proto/rpc/rpc.h"
#include "tests/unit/cli/said.h"

/* A coordinator that says what a test wants: a server on a thread of its own. */
struct fake {
	pthread_t thread;
	sem_t ready;
	sem_t heard_all;             /* posted when a call has been heard */
	char folder[32], address[64];
	struct rmd_loop *loop;
	struct rmd_server *server;
	struct rmd_post stop;
	/* What it says to any call. */
	uint8_t *answer;
	size_t answer_len;
	enum rmd_rpc_status status;
	const char *text;
	/* What it heard last. */
	uint8_t heard[256];
	size_t heard_len;
};

static struct fake fake;

static void on_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	(void)stream, (void)ctx;
	assert_true(message.bytes.len <= sizeof fake.heard);
	memcpy(fake.heard, message.bytes.data, message.bytes.len);
	fake.heard_len = message.bytes.len;
}

static void on_half_closed(struct rmd_stream *stream, void *ctx)
{
	(void)ctx;
	sem_post(&fake.heard_all);
	if (fake.answer != NULL) {
		rmd_wire_put_raw(rmd_stream_begin(stream),
				 rmd_slice_of(fake.answer, fake.answer_len));
		rmd_stream_end_message(stream);
	}
	rmd_stream_finish(stream, fake.status, fake.text);
}

static void open_call(struct rmd_stream *stream, void *service)
{
	static const struct rmd_stream_events events = {
		.message = on_message,
		.half_closed = on_half_closed,
	};

	(void)service;
	rmd_stream_listen(stream, &events, NULL);
}

static const struct rmd_method methods[] = {
	{.path = "/remuda.v1.Admin/ListTasks", .open = open_call},
	{.path = "/remuda.v1.Admin/CancelTasks", .open = open_call},
	{.path = "/remuda.v1.Admin/Logs", .open = open_call},
	{.path = "/remuda.v1.Admin/ListWorkers", .open = open_call},
};

static void stopped(void *ctx)
{
	(void)ctx;
	rmd_loop_stop(fake.loop);
}

static void stop(struct rmd_post *post)
{
	(void)post;
	rmd_server_shutdown(fake.server, 0, stopped, NULL);
}

static void *serve(void *ctx)
{
	struct rmd_server_options options = {0};
	char *address = NULL, *trouble = NULL;

	(void)ctx;
	fake.loop = rmd_loop_create();
	fake.server = rmd_server_create(fake.loop, &options);
	rmd_server_add_methods(fake.server, methods, RMD_COUNT(methods), NULL);
	rmd_server_listen(fake.server, fake.address, NULL, &address,
			  &trouble);
	rmd_server_start(fake.server);
	rmd_free(address);
	rmd_free(trouble);
	sem_post(&fake.ready);
	rmd_loop_run(fake.loop);
	rmd_server_destroy(fake.server);
	rmd_loop_destroy(fake.loop);
	return NULL;
}

static int setup(void **state)
{
	(void)state;
	fake = (struct fake){
		.folder = "/tmp/remuda-cli-XXXXXX", .text = "", .stop = {.run = stop}};
	if (mkdtemp(fake.folder) == NULL)
		return -1;
	snprintf(fake.address, sizeof fake.address, "unix:%s/s", fake.folder);
	sem_init(&fake.ready, 0, 0);
	sem_init(&fake.heard_all, 0, 0);
	if (pthread_create(&fake.thread, NULL, serve, NULL) != 0)
		return -1;
	sem_wait(&fake.ready);
	return 0;
}

static char *out_text;
static size_t out_len;

static int teardown(void **state)
{
	char path[64];

	(void)state;
	rmd_loop_post(fake.loop, &fake.stop);
	pthread_join(fake.thread, NULL);
	sem_destroy(&fake.ready);
	sem_destroy(&fake.heard_all);
	snprintf(path, sizeof path, "%s/s.lock", fake.folder);
	unlink(path);
	rmdir(fake.folder);
	rmd_free(fake.answer);
	free(out_text);
	out_text = NULL;
	said_free();
	return 0;
}

/* Answers every call with `message`. */
static void answer_with(const void *message)
{
	const ProtobufCMessage *base = message;

	fake.answer_len = protobuf_c_message_get_packed_size(base);
	fake.answer = rmd_malloc(fake.answer_len + 1);
	assert_non_null(fake.answer);
	protobuf_c_message_pack(base, fake.answer);
}

/* Runs the command line up to a NULL, with the fake's address; gathers stdout and
 * stderr. */
static int command(const char *first, ...)
{
	char *words[16];
	int count = 0;
	va_list list;
	FILE *real_stdout = stdout;

	va_start(list, first);
	for (const char *word = first; word != NULL; word = va_arg(list, const char *))
		words[count++] = (char *)(uintptr_t)word;
	va_end(list);
	words[count++] = (char *)(uintptr_t) "--address";
	words[count++] = fake.address;
	free(out_text);
	said_free();
	stdout = open_memstream(&out_text, &out_len);
	said_begin();
	int rc = rmd_command_line(count, words);
	said_end();
	fclose(stdout);
	stdout = real_stdout;
	return rc;
}

static uint8_t session_a[16] = {0x3f, 0xa9, 0x1c, 0x02, 1},
	       session_b[16] = {0x3f, 0x00, 0, 0, 2};

/* Two tasks; the second waits. */
static void answer_with_tasks(void)
{
	static Remuda__V1__TaskId ids[2];
	static Remuda__V1__TaskInfo infos[2];
	Remuda__V1__TaskInfo *list[2] = {&infos[0], &infos[1]};
	Remuda__V1__ListTasksResponse response = REMUDA__V1__LIST_TASKS_RESPONSE__INIT;

	for (int i = 0; i < 2; i++) {
		remuda__v1__task_id__init(&ids[i]);
		remuda__v1__task_info__init(&infos[i]);
		ids[i].session =
			(ProtobufCBinaryData){16, i == 0 ? session_a : session_b};
		ids[i].number = 17;
		infos[i].task = &ids[i];
		infos[i].function = (char *)(uintptr_t) "native:demo.square";
		infos[i].pool = 1;
		infos[i].state = i == 0 ? REMUDA__V1__TASK_STATE__TASK_STATE_RUNNING
					: REMUDA__V1__TASK_STATE__TASK_STATE_QUEUED;
	}
	infos[0].attempt = 1;
	infos[0].age_ms = 1500;
	infos[1].waiting_for =
		(char *)(uintptr_t) "no agent has the runtime \x1b[31mpython";
	response.tasks = list;
	response.n_tasks = 2;
	response.more = 3;
	answer_with(&response);
}

static void ps_lists_tasks_and_what_they_wait_for(void **state)
{
	(void)state;
	answer_with_tasks();
	assert_int_equal(command("ps", NULL), RMD_EXIT_OK);
	assert_non_null(strstr(out_text, "TASK         STATE    FUNCTION"));
	assert_non_null(strstr(out_text, "3fa91c02-17  running  native:demo.square"));
	assert_non_null(strstr(out_text, "1.5 s"));
	assert_non_null(strstr(out_text, "no agent has the runtime \\x1b[31mpython\n"));
	assert_string_equal(said_text, "remuda: 3 more: see --limit\n");
}

static void ps_asks_for_as_many_as_it_was_told(void **state)
{
	Remuda__V1__ListTasksRequest *request;

	(void)state;
	answer_with_tasks();
	assert_int_equal(command("ps", "-n", "7", NULL), RMD_EXIT_OK);
	sem_wait(&fake.heard_all);
	request =
		remuda__v1__list_tasks_request__unpack(NULL, fake.heard_len, fake.heard);
	assert_non_null(request);
	assert_int_equal(request->limit, 7);
	remuda__v1__list_tasks_request__free_unpacked(request, NULL);
}

static void ps_as_json_is_one_object_a_line_with_whole_ids(void **state)
{
	(void)state;
	answer_with_tasks();
	assert_int_equal(command("ps", "--json", NULL), RMD_EXIT_OK);
	assert_ptr_equal(strstr(out_text,
				"{\"task\": \"3fa91c02010000000000000000000000-17\", "
				"\"state\": \"running\", "),
			 out_text);
	assert_non_null(strstr(out_text, "}\n{\"task\": \"3f000000"));
}

static void a_task_is_found_by_the_start_of_its_id_unless_two_begin_so(void **state)
{
	(void)state;
	answer_with_tasks();
	assert_int_equal(command("cancel", "3f-17", NULL), RMD_EXIT_USAGE);
	assert_non_null(strstr(said_text, "2 tasks begin with 3f-17"));
	assert_int_equal(command("cancel", "4", NULL), RMD_EXIT_USAGE);
	assert_non_null(strstr(said_text, "there is no task 4"));
	assert_int_equal(command("cancel", "square", NULL), RMD_EXIT_USAGE);
	assert_non_null(strstr(said_text, "'square' is no task id"));
}

static void a_whole_id_is_cancelled_without_looking_it_up(void **state)
{
	Remuda__V1__CancelTasksResponse response =
		REMUDA__V1__CANCEL_TASKS_RESPONSE__INIT;
	Remuda__V1__CancelTasksRequest *request;

	(void)state;
	response.cancelled = 1;
	answer_with(&response);
	assert_int_equal(command("cancel", "3fa91c02010000000000000000000000-17", NULL),
			 RMD_EXIT_OK);
	assert_string_equal(out_text, "1 of 1 told to end\n");
	sem_wait(&fake.heard_all);
	request = remuda__v1__cancel_tasks_request__unpack(NULL, fake.heard_len,
							   fake.heard);
	assert_non_null(request);
	assert_int_equal(request->n_tasks, 1);
	assert_memory_equal(request->tasks[0]->session.data, session_a, 16);
	assert_int_equal(request->tasks[0]->number, 17);
	remuda__v1__cancel_tasks_request__free_unpacked(request, NULL);
}

static void logs_carry_the_id_of_their_task(void **state)
{
	Remuda__V1__LogsResponse piece = REMUDA__V1__LOGS_RESPONSE__INIT;
	Remuda__V1__LogChunk log = REMUDA__V1__LOG_CHUNK__INIT;
	Remuda__V1__TaskId id = REMUDA__V1__TASK_ID__INIT;

	(void)state;
	id.session = (ProtobufCBinaryData){16, session_a};
	id.number = 17;
	log.stream = REMUDA__V1__LOG_STREAM__LOG_STREAM_STDERR;
	log.data = (ProtobufCBinaryData){11, (uint8_t *)(uintptr_t) "hello\nworld"};
	piece.task = &id;
	piece.log = &log;
	piece.agent = (char *)(uintptr_t) "node-b";
	answer_with(&piece);
	assert_int_equal(command("logs", NULL), RMD_EXIT_OK);
	assert_string_equal(out_text, "3fa91c02-17 hello\n3fa91c02-17 world\n");
	assert_int_equal(command("logs", "3fa91c02010000000000000000000000-17", NULL),
			 RMD_EXIT_OK);
	assert_string_equal(out_text, "hello\nworld\n");
	assert_int_equal(command("logs", "--json", NULL), RMD_EXIT_OK);
	assert_non_null(strstr(out_text, "\"stream\": \"stderr\""));
	assert_non_null(strstr(out_text, "\"data\": \"hello\\u000aworld\"}\n"));
}

static void a_refusal_is_reported_with_its_status(void **state)
{
	(void)state;
	fake.status = RMD_RPC_PERMISSION_DENIED;
	fake.text = "only its owner may";
	assert_int_equal(command("ps", NULL), RMD_EXIT_SERVICE);
	assert_string_equal(
		said_text,
		"remuda: the coordinator says PERMISSION_DENIED: only its owner may\n");
	assert_string_equal(out_text, "");
}

static void a_coordinator_that_knows_less_is_said_to_be_of_another_version(void **state)
{
	(void)state;
	assert_int_equal(command("status", NULL), RMD_EXIT_SERVICE);
	assert_non_null(strstr(said_text, "does not know remuda.v1.Admin/Status"));
}

static void an_answer_that_is_garbage_is_refused(void **state)
{
	(void)state;
	fake.answer = (uint8_t *)rmd_strdup("\xff\xff\xff\xff\xff garbage");
	fake.answer_len = 13;
	assert_int_equal(command("ps", NULL), RMD_EXIT_SERVICE);
	assert_non_null(strstr(said_text, "cannot be read"));
	assert_int_equal(command("logs", NULL), RMD_EXIT_SERVICE);
	assert_non_null(strstr(said_text, "cannot be read"));
}

static void a_coordinator_that_drains_is_not_said_to_be_absent(void **state)
{
	(void)state;
	fake.status = RMD_RPC_UNAVAILABLE;
	fake.text = "draining";
	assert_int_equal(command("ps", NULL), RMD_EXIT_SERVICE);
	assert_non_null(strstr(said_text, "draining"));
	assert_null(strstr(said_text, "no coordinator"));
}

static void an_empty_answer_is_an_empty_list(void **state)
{
	Remuda__V1__ListWorkersResponse response =
		REMUDA__V1__LIST_WORKERS_RESPONSE__INIT;

	(void)state;
	answer_with(&response);
	assert_int_equal(command("workers", NULL), RMD_EXIT_OK);
	assert_string_equal(out_text, "");
	assert_non_null(strstr(said_text, "no agents"));
	assert_int_equal(command("workers", "--json", NULL), RMD_EXIT_OK);
	assert_string_equal(out_text, "");
	assert_string_equal(said_text, "");
}

static void nobody_there_is_said_with_the_address(void **state)
{
	char right[64];

	(void)state;
	snprintf(right, sizeof right, "%s", fake.address);
	strcat(fake.address, "x");
	assert_int_equal(command("ps", NULL), RMD_EXIT_SERVICE);
	assert_non_null(strstr(said_text, fake.address));
	strcpy(fake.address, right);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ps_lists_tasks_and_what_they_wait_for),
		TEST(ps_asks_for_as_many_as_it_was_told),
		TEST(ps_as_json_is_one_object_a_line_with_whole_ids),
		TEST(a_task_is_found_by_the_start_of_its_id_unless_two_begin_so),
		TEST(a_whole_id_is_cancelled_without_looking_it_up),
		TEST(logs_carry_the_id_of_their_task),
		TEST(a_refusal_is_reported_with_its_status),
		TEST(a_coordinator_that_knows_less_is_said_to_be_of_another_version),
		TEST(an_answer_that_is_garbage_is_refused),
		TEST(a_coordinator_that_drains_is_not_said_to_be_absent),
		TEST(an_empty_answer_is_an_empty_list),
		TEST(nobody_there_is_said_with_the_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
