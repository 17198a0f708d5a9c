#include "client/cli/submit.h"

#include <string.h>

#include "client/cli/exit.h"
#include "client/cli/function.h"
#include "client/cli/interrupt.h"
#include "client/cli/modules.h"
#include "client/cli/outcome.h"
#include "client/cli/place.h"
#include "client/cli/report.h"
#include "client/cli/signature.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

#define LABELS_MAX 16u
#define ENVIRONMENT_MAX 256u
#define ERROR_TYPES_MAX 16u

/* Checks that each is of the form, with something before the '=', and that there are at
 * most `most`. */
static int check_pairs(const struct rmd_option_texts *texts, const char *option,
		       const char *form, size_t most)
{
	if (texts->count > most) {
		rmd_report("--%s can be given at most %zu times", option, most);
		return RMD_EXIT_USAGE;
	}
	for (size_t i = 0; i < texts->count; i++) {
		if (strchr(texts->items[i], '=') == NULL || texts->items[i][0] == '=') {
			rmd_report("--%s takes %s, not '%s'", option, form,
				   texts->items[i]);
			return RMD_EXIT_USAGE;
		}
	}
	return RMD_EXIT_OK;
}

/* Reads --retry-on: causes by name, and types of errors. */
static int read_retry(struct rmd_submitter *submitter)
{
	static const struct {
		const char *word;
		uint32_t cause;
	} causes[] = {
		{"error", REMUDA_RETRY_TASK_ERROR},
		{"worker", REMUDA_RETRY_WORKER_LOST},
		{"memory", REMUDA_RETRY_OUT_OF_MEMORY},
		{"agent", REMUDA_RETRY_AGENT_LOST},
		{"run-deadline", REMUDA_RETRY_RUN_DEADLINE},
	};
	struct remuda_task_options *options = &submitter->options;
	size_t types = 0;
	char *rest = NULL;

	if (submitter->settings->retry_on == NULL)
		return RMD_EXIT_OK;
	submitter->retry_words = rmd_strdup(submitter->settings->retry_on);
	if (submitter->retry_words == NULL)
		return rmd_report_no_memory();
	for (char *word = strtok_r(submitter->retry_words, ",", &rest); word != NULL;
	     word = strtok_r(NULL, ",", &rest)) {
		uint32_t cause = 0;

		for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
			if (strcmp(word, causes[i].word) == 0)
				cause = causes[i].cause;
		options->retry_on |= cause;
		if (cause == 0 && types == ERROR_TYPES_MAX) {
			rmd_report("--retry-on takes at most %u types of errors",
				   ERROR_TYPES_MAX);
			return RMD_EXIT_USAGE;
		}
		if (cause == 0)
			submitter->error_types[types++] = word;
	}
	if (types != 0)
		options->error_types = submitter->error_types;
	return RMD_EXIT_OK;
}

static int check(struct rmd_submitter *submitter)
{
	const struct rmd_submit_settings *settings = submitter->settings;
	int rc = rmd_function_check(submitter->function);

	if (rc == RMD_EXIT_OK && settings->text && settings->spread) {
		rmd_report("--raw-strings and --spread exclude each other: a list is no "
			   "text");
		rc = RMD_EXIT_USAGE;
	}
	if (rc == RMD_EXIT_OK && settings->address != NULL)
		rc = rmd_place_check(settings->address, "--address");
	if (rc == RMD_EXIT_OK)
		rc = rmd_modules_resolve(&settings->modules, &submitter->modules);
	if (rc == RMD_EXIT_OK)
		rc = check_pairs(&settings->labels, "label", "KEY=VALUE", LABELS_MAX);
	if (rc == RMD_EXIT_OK)
		rc = check_pairs(&settings->environment, "env", "NAME=VALUE",
				 ENVIRONMENT_MAX);
	if (rc == RMD_EXIT_OK)
		rc = check_pairs(&settings->named, "named", "NAME=ARG",
				 RMD_ARGUMENT_LIST_MAX);
	return rc;
}

/* Reads --named into submitter->named; the names are copies in the arena of the
 * values. */
static int read_named(struct rmd_submitter *submitter)
{
	const struct rmd_option_texts *texts = &submitter->settings->named;
	struct rmd_argument_rule rule = {.text = submitter->settings->text};
	struct rmd_argument_list *values = &submitter->named_values;
	char why[RMD_ARGUMENT_WHY_BYTES];

	submitter->named = rmd_calloc(texts->count + 1, sizeof *submitter->named);
	if (submitter->named == NULL)
		return rmd_report_no_memory();
	for (size_t i = 0; i < texts->count; i++) {
		const char *equals = strchr(texts->items[i], '=');
		struct rmd_slice name =
			rmd_slice_of(texts->items[i], (size_t)(equals - texts->items[i]));

		if (rmd_argument_list_add(values, rule, rmd_slice_of_string(equals + 1),
					  why) < 0) {
			rmd_report("--named %s: %s", texts->items[i], why);
			return RMD_EXIT_USAGE;
		}
		submitter->named[i].name = rmd_arena_copy(&values->arena, name);
		submitter->named[i].arg = values->args[i];
		if (submitter->named[i].name == NULL)
			return rmd_report_no_memory();
	}
	submitter->named_count = texts->count;
	return RMD_EXIT_OK;
}

static int open_client(struct rmd_submitter *submitter)
{
	const struct rmd_submit_settings *settings = submitter->settings;
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;

	options.address = settings->address;
	options.max_workers = (uint32_t)settings->workers.value;
	options.modules = submitter->modules.items;
	options.environment = settings->environment.items;
	options.client_name = "remuda " REMUDA_VERSION;
	submitter->client = remuda_open_with(&options, &err);
	if (submitter->client != NULL)
		return RMD_EXIT_OK;
	rmd_outcome_report("reaching a coordinator", REMUDA_EUNREACHABLE, err);
	remuda_error_free(err);
	return RMD_EXIT_SERVICE;
}

/* Gives the digests of --module for a pool: owned, for rmd_free; NULL where there are
 * none to be named. A private coordinator's workers have the modules already, by their
 * paths. */
static int push_modules(struct rmd_submitter *submitter, uint8_t (**ret_digests)[32],
			struct remuda_error **ret_err)
{
	const struct rmd_option_texts *modules = &submitter->modules;
	uint8_t(*digests)[32] = NULL;
	int code = 0;

	*ret_digests = NULL;
	if (modules->count == 0 ||
	    strcmp(remuda_address(submitter->client), "private") == 0)
		return 0;
	digests = rmd_calloc(modules->count, sizeof *digests);
	if (digests == NULL)
		return REMUDA_ENOMEM;
	for (size_t i = 0; i < modules->count && code == 0; i++)
		code = remuda_module_push(submitter->client, modules->items[i],
					  digests[i], ret_err);
	if (code < 0)
		rmd_free(digests);
	else
		*ret_digests = digests;
	return code;
}

/* Opens --pool, if it was given; its runtime is the function's. */
static int open_pool(struct rmd_submitter *submitter)
{
	const struct rmd_submit_settings *settings = submitter->settings;
	struct remuda_pool_options options = REMUDA_POOL_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	uint8_t(*digests)[32];
	char runtime[32] = "";
	int code;

	if (settings->pool == NULL)
		return RMD_EXIT_OK;
	code = push_modules(submitter, &digests, &err);
	if (code < 0)
		goto out;
	snprintf(runtime, sizeof runtime, "%.*s", (int)strcspn(submitter->function, ":"),
		 submitter->function);
	options.name = settings->pool;
	options.runtime = runtime;
	options.max_workers = (uint32_t)settings->workers.value;
	options.environment = settings->environment.items;
	options.modules = (const uint8_t(*)[32])digests;
	options.module_count = digests != NULL ? submitter->modules.count : 0;
	code = remuda_pool_open(submitter->client, &options, &submitter->options.pool,
				&err);
	rmd_free(digests);
out:
	if (code == 0)
		return RMD_EXIT_OK;
	rmd_outcome_report("opening the pool", code, err);
	remuda_error_free(err);
	return rmd_outcome_exit(code, RMD_EXIT_SERVICE);
}

int rmd_submitter_check(struct rmd_submitter *submitter,
			const struct rmd_submit_settings *settings, const char *function)
{
	int rc;

	*submitter = (struct rmd_submitter){
		.settings = settings,
		.function = function,
		.interrupt_fd = -1,
		.options = REMUDA_TASK_OPTIONS_INIT,
		.rule = {.text = settings->text, .spread = settings->spread},
		.learned = settings->text || settings->spread,
	};
	submitter->options.priority = (int32_t)settings->priority.value;
	submitter->options.max_attempts = (uint32_t)settings->attempts.value;
	submitter->options.deadline_ms = (uint64_t)settings->deadline.value;
	submitter->options.labels = settings->labels.items;
	submitter->options.queue_deadline_ms = (uint64_t)settings->queue_deadline.value;
	submitter->options.run_deadline_ms = (uint64_t)settings->run_deadline.value;
	submitter->options.backoff_ms = (uint64_t)settings->backoff.value;
	submitter->options.backoff_max_ms = (uint64_t)settings->backoff_max.value;
	submitter->options.detached = settings->detach;
	rmd_argument_list_init(&submitter->named_values);
	rc = check(submitter);
	if (rc == RMD_EXIT_OK)
		rc = read_retry(submitter);
	return rc == RMD_EXIT_OK ? read_named(submitter) : rc;
}

int rmd_submitter_open(struct rmd_submitter *submitter)
{
	int rc;

	if (!submitter->settings->quiet && !submitter->settings->detach) {
		submitter->output = rmd_output_create();
		if (submitter->output == NULL)
			return rmd_report_no_memory();
	}
	rc = open_client(submitter);
	if (rc == RMD_EXIT_OK)
		rc = open_pool(submitter);
	if (rc == RMD_EXIT_OK)
		submitter->interrupt_fd = rmd_interrupt_notice();
	return rc;
}

int rmd_submitter_add(struct rmd_submitter *submitter,
		      struct rmd_argument_list *arguments, struct rmd_slice word,
		      char ret_why[RMD_ARGUMENT_WHY_BYTES])
{
	size_t before = arguments->count;
	int rc = rmd_argument_list_add(arguments, submitter->rule, word, ret_why);

	if (!arguments->open || submitter->learned)
		return rc;
	submitter->learned = true;
	submitter->rule.strings = rmd_signature_strings(
		submitter->client, submitter->function, &submitter->options);
	if (submitter->rule.strings == 0)
		return rc;
	rmd_argument_list_cut(arguments, before);
	return rmd_argument_list_add(arguments, submitter->rule, word, ret_why);
}

void rmd_submitter_fini(struct rmd_submitter *submitter)
{
	remuda_close(submitter->client);
	if (submitter->output != NULL) {
		rmd_output_drain(submitter->output);
		rmd_output_end_line(submitter->output);
	}
	rmd_output_destroy(submitter->output);
	rmd_free(submitter->named);
	rmd_free(submitter->retry_words);
	rmd_modules_free(&submitter->modules);
	rmd_argument_list_fini(&submitter->named_values);
}

/* Where on_log puts output: it may be called as long as the client is open, also for
 * tasks whose future is gone, so its context is a number and nothing that could be
 * freed. */
static struct rmd_output *log_output;

static void on_log(void *ctx, enum remuda_stream stream, const void *data, size_t len,
		   uint64_t dropped_bytes)
{
	(void)stream;
	rmd_output_push(log_output, (uint64_t)(uintptr_t)ctx, data, len, dropped_bytes);
}

struct remuda_future *rmd_submitter_submit(struct rmd_submitter *submitter,
					   const struct rmd_argument_list *arguments,
					   uint64_t line)
{
	struct remuda_task_options options = submitter->options;
	struct remuda_call call = {
		.function = submitter->function,
		.options = &options,
		.args = arguments->args,
		.count = arguments->count,
		.named_args = submitter->named,
		.named_count = submitter->named_count,
	};

	log_output = submitter->output;
	options.on_log = submitter->output != NULL ? on_log : NULL;
	options.log_ctx = (void *)(uintptr_t)line;
	return remuda_submit_call(submitter->client, &call);
}
