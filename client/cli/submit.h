/* client/cli/submit.h: what `run` and `map` have in common: options, the client,
 * tasks.
 *
 * A submitter is an open client with one function and the way to run it. Main thread
 * only. */
#pragma once

#include <remuda/remuda.h>

#include "client/cli/argument.h"
#include "client/cli/options.h"
#include "client/cli/output.h"

/* Settings of both commands; those that only `map` has are at the end. */
struct rmd_submit_settings {
	const char *address, *pool;
	bool text, spread, raw, quiet;
	struct rmd_option_number workers, priority, deadline, attempts;
	struct rmd_option_number queue_deadline, run_deadline, backoff, backoff_max;
	const char *retry_on;
	bool detach; /* run */
	struct rmd_option_texts modules, labels, environment, named;
	/* map */
	bool nul, unordered, keep_going, json, no_progress;
};

/* Rows, each on a line or two. */
/* clang-format off */
#define RMD_SUBMIT_ROW(name, letter, kind, metavar, field, min, max, help)           \
	{name, letter, RMD_OPTION_##kind, metavar,                                   \
	 offsetof(struct rmd_submit_settings, field), min, max, help}

/* The rows of options that both have. */
#define RMD_SUBMIT_ROWS_ARGUMENT                                                     \
	RMD_SUBMIT_ROW("raw-strings", 'R', FLAG, NULL, text, 0, 0,                   \
		"take every argument as text, also where it looks like JSON"),       \
	RMD_SUBMIT_ROW("spread", 's', FLAG, NULL, spread, 0, 0,                      \
		"an argument is a JSON array, and its items are the function's "     \
		"arguments"),                                                        \
	RMD_SUBMIT_ROW("named", 'k', TEXTS, "NAME=ARG", named, 0, 0,                 \
		"add an argument by name (python); may be given often"),             \
	RMD_SUBMIT_ROW("raw", 'r', FLAG, NULL, raw, 0, 0,                            \
		"print strings and bytes bare instead of as JSON")

#define RMD_SUBMIT_ROWS_TASK                                                         \
	RMD_SUBMIT_ROW("quiet", 'q', FLAG, NULL, quiet, 0, 0,                        \
		"do not show what tasks print"),                                     \
	RMD_SUBMIT_ROW("deadline", 't', DURATION, "TIME", deadline, 0, 0,            \
		"a task that has not ended after this time (500ms, 30s, 5m, 2h; "    \
		"a bare number is seconds) fails (default: no limit)"),              \
	RMD_SUBMIT_ROW("max-attempts", 0, NUMBER, "N", attempts, 1, 100,             \
		"begin a task again when it fails, up to N times in all (default "   \
		"1)"),                                                               \
	RMD_SUBMIT_ROW("retry-on", 0, TEXT, "CAUSES", retry_on, 0, 0,                \
		"begin it again only after these failures: error, worker, memory, "  \
		"agent, run-deadline, or types of errors, with commas between "      \
		"(default: error,worker,memory,agent)"),                             \
	RMD_SUBMIT_ROW("backoff", 0, DURATION, "TIME", backoff, 0, 0,                \
		"wait so long before the second attempt, twice as long before each " \
		"further one, half of it by chance (default: not at all)"),          \
	RMD_SUBMIT_ROW("backoff-max", 0, DURATION, "TIME", backoff_max, 0, 0,        \
		"wait no longer than this (default 1m)"),                            \
	RMD_SUBMIT_ROW("queue-deadline", 0, DURATION, "TIME", queue_deadline, 0, 0,  \
		"a task that has not begun after this time fails (default: no "      \
		"limit)"),                                                           \
	RMD_SUBMIT_ROW("run-deadline", 0, DURATION, "TIME", run_deadline, 0, 0,      \
		"an attempt that runs longer than this fails (default: no limit)"),  \
	RMD_SUBMIT_ROW("priority", 'p', NUMBER, "N", priority, -1000, 1000,          \
		"higher goes first among your own tasks (default 0)"),               \
	RMD_SUBMIT_ROW("label", 'l', TEXTS, "KEY=VALUE", labels, 0, 0,               \
		"words for the task that others may see; may be given often"),       \
	RMD_SUBMIT_ROW("workers", 'w', NUMBER, "N", workers, 1, 100000,              \
		"use at most N workers (default: as many as there are cpus)"),       \
	RMD_SUBMIT_ROW("module", 'm', FILES, "FILE", modules, 0, 0,                  \
		"load this module of task functions (a shared coordinator is sent it "  \
		"first); may be given often"),           \
	RMD_SUBMIT_ROW("env", 'e', TEXTS, "NAME=VALUE", environment, 0, 0,           \
		"set this in the workers' environment; may be given often"),         \
	RMD_SUBMIT_ROW("pool", 0, TEXT, "NAME", pool, 0, 0,                          \
		"use, or open, the shared pool of this name"),                       \
	RMD_SUBMIT_ROW("address", 'a', TEXT, "ADDR", address, 0, 0,                  \
		"the coordinator: unix:PATH, tcp:HOST:PORT or dns:///HOST:PORT "     \
		"(default: REMUDA_ADDRESS, else that of 'remuda up', else a private " \
		"one)")
/* clang-format on */

struct rmd_submitter {
	const struct rmd_submit_settings *settings; /* borrowed */
	const char *function;			    /* borrowed */
	struct remuda *client;			    /* owned */
	struct rmd_output *output; /* owned; NULL: output is not wanted */
	int interrupt_fd; /* readable once a signal came (interrupt.h); -1: none */
	struct remuda_task_options options;
	struct rmd_argument_rule rule;
	bool learned; /* rule.strings is what the function asks for */
	struct rmd_argument_list named_values; /* owned: what `named` points into */
	struct remuda_named_arg *named;	       /* owned */
	size_t named_count;
	struct rmd_option_texts modules; /* owned: whole paths (modules.h) */
	char *retry_words;		 /* owned: what error_types point into */
	const char *error_types[17];
};

/* Checks the settings and the function's name, before anything is started. An enum
 * rmd_exit; what is wrong is reported. Always call fini. */
int rmd_submitter_check(struct rmd_submitter *submitter,
			const struct rmd_submit_settings *settings, const char *function);
/* Opens the client and the pool; from then on signals are noticed (interrupt.h). An enum
 * rmd_exit; what is wrong is reported. */
int rmd_submitter_open(struct rmd_submitter *submitter);
/* Adds a word to a task's arguments as rmd_argument_list_add does; where it matters what
 * the function asks for, looks that up first, once. */
int rmd_submitter_add(struct rmd_submitter *submitter,
		      struct rmd_argument_list *arguments, struct rmd_slice word,
		      char ret_why[RMD_ARGUMENT_WHY_BYTES]);
/* Closes the client, which cancels what is open; shows the last output. */
void rmd_submitter_fini(struct rmd_submitter *submitter);
/* Submits one task; `line`: the number that what it prints is tagged with, 0: none. As
 * remuda_submit_call. One submitter at a time may be open. */
struct remuda_future *rmd_submitter_submit(struct rmd_submitter *submitter,
					   const struct rmd_argument_list *arguments,
					   uint64_t line);
