/* The stages at which a task can fail, told apart, with real processes behind; and the
 * text of the errors, fixed by the golden files beside this one.
 *
 * Run as `stages_test print FUNCTION ARG`: prints what a C program prints of that task's
 * error, for the test that compares it with the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <remuda/remuda.h>

static struct remuda *open_client(void)
{
	static const char *const modules[] = {STAGES_MODULE, NULL};
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	options.address = "private";
	options.modules = modules;
	options.max_workers = 2;
	struct remuda *client = remuda_open_with(&options, &err);
	if (client == NULL)
		remuda_error_print(err, stderr);
	return client;
}

static int group_open(void **state)
{
	*state = open_client();
	return *state == NULL ? -1 : 0;
}

static int group_close(void **state)
{
	remuda_close(*state);
	return 0;
}

/* Takes the future's error: it must be of that code, origin and type, and say `part`. */
static void expect(struct remuda_future *future, int code, enum remuda_origin origin,
		   const char *type, const char *part)
{
	struct remuda_error *err = NULL;
	int rc = remuda_get(future, NULL, &err);
	assert_non_null(err);
	char *line = remuda_error_line(err);
	assert_non_null(line);
	if (rc != code || remuda_error_origin(err) != origin ||
	    strcmp(remuda_error_type(err), type) != 0 || strstr(line, part) == NULL)
		fail_msg("code %d, origin %d: %s", rc, (int)remuda_error_origin(err),
			 line);
	free(line);
	remuda_error_free(err);
}

static void a_task_that_cannot_be_encoded_is_never_sent(void **state)
{
	struct remuda_value bad = {.kind = REMUDA_STRING, .u.string = {"\xff", 1}};
	struct remuda_value list = {.kind = REMUDA_LIST, .u.list = {&bad, 1}};
	struct remuda_future *future =
		remuda_submit_name(*state, "native:stages.raises", list);
	assert_true(remuda_done(future));
	assert_int_equal(remuda_number(future), 0);
	expect(future, REMUDA_EINVAL, REMUDA_ORIGIN_ENCODE, "EncodeError",
	       "native:stages.raises: args[0][0] can't be encoded: text that is not "
	       "valid");
}

static void an_unknown_function_is_a_failed_lookup(void **state)
{
	expect(remuda_submit_name(*state, "native:stages.raise", 1), REMUDA_ETASK,
	       REMUDA_ORIGIN_LOOKUP, "UnknownFunction",
	       "no function stages.raise; nearest: stages.raises");
}

static void a_call_against_the_signature_is_a_failed_lookup(void **state)
{
	struct remuda_value items[4] = {{.kind = REMUDA_NULL}};
	for (int i = 0; i < 4; i++)
		items[i] = (struct remuda_value){.kind = REMUDA_INT64, .u.int64 = i};
	items[3] = (struct remuda_value){.kind = REMUDA_STRING, .u.string = {"x", 1}};
	struct remuda_value list = {.kind = REMUDA_LIST, .u.list = {items, 4}};
	expect(remuda_submit_name(*state, "native:stages.sum", list), REMUDA_ETASK,
	       REMUDA_ORIGIN_LOOKUP, "SignatureMismatch",
	       "argument 1 (xs) at [3]: expected");
}

static void what_a_task_raises_is_its_own(void **state)
{
	expect(remuda_submit_name(*state, "native:stages.raises", 7), REMUDA_ETASK,
	       REMUDA_ORIGIN_TASK, "OrderError", "the order can't be read");
}

static void a_result_that_cannot_be_encoded_is_named_by_its_path(void **state)
{
	expect(remuda_submit_name(*state, "native:stages.bad_result"), REMUDA_ETASK,
	       REMUDA_ORIGIN_RESULT, "ResultError",
	       "stages.bad_result: its result at [3].name can't be encoded: text that is "
	       "not");
}

/* A sanitizer ends the program itself. */
#ifdef __SANITIZE_ADDRESS__
#define ENDING "[exit code "
#else
#define ENDING "[signal "
#endif

static void a_worker_that_is_lost_is_told_by_its_signal(void **state)
{
	expect(remuda_submit_name(*state, "native:stages.crashes"), REMUDA_ETASK,
	       REMUDA_ORIGIN_WORKER, "WorkerLost", ENDING);
	expect(remuda_submit_name(*state, "native:stages.raises", 1), REMUDA_ETASK,
	       REMUDA_ORIGIN_TASK, "OrderError", "the order can't be read");
}

static int print(const char *function, const char *arg)
{
	struct remuda *client = open_client();
	struct remuda_error *err = NULL;
	if (client == NULL)
		return 3;
	struct remuda_future *future =
		arg[0] == '\0'
			? remuda_submit_name(client, function)
			: remuda_submit_name(client, function, strtoll(arg, NULL, 10));
	int rc = remuda_get(future, NULL, &err);
	if (err != NULL)
		remuda_error_print(err, stdout);
	char *json = err != NULL ? remuda_error_json(err) : NULL;
	if (json != NULL)
		fprintf(stderr, "%s\n", json);
	free(json);
	remuda_error_free(err);
	remuda_close(client);
	return rc == REMUDA_ETASK ? 1 : 2;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_task_that_cannot_be_encoded_is_never_sent),
		cmocka_unit_test(an_unknown_function_is_a_failed_lookup),
		cmocka_unit_test(a_call_against_the_signature_is_a_failed_lookup),
		cmocka_unit_test(what_a_task_raises_is_its_own),
		cmocka_unit_test(a_result_that_cannot_be_encoded_is_named_by_its_path),
		cmocka_unit_test(a_worker_that_is_lost_is_told_by_its_signal),
	};
	if (argc == 4 && strcmp(argv[1], "print") == 0)
		return print(argv[2], argv[3]);
	return cmocka_run_group_tests(tests, group_open, group_close);
}
