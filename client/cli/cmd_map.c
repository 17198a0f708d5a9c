/* remuda map: one function over many lines. */
#include <stdio.h>
#include <unistd.h>

#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/mapper.h"
#include "client/cli/submit.h"

#define OUTPUT_BUFFER_BYTES 65536u

static int run(const void *settings, int count, char **words)
{
	static char buffer[OUTPUT_BUFFER_BYTES];
	struct rmd_submitter submitter;
	int rc = rmd_submitter_check(&submitter, settings, words[0]);

	(void)count;
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	if (rc == RMD_EXIT_OK)
		rc = rmd_submitter_open(&submitter);
	if (rc == RMD_EXIT_OK)
		rc = rmd_mapper_run(&submitter, STDIN_FILENO, stdout);
	rmd_submitter_fini(&submitter);
	return rc;
}

/* Rows, each on a line or two. */
/* clang-format off */
#define MAP_FLAG(name, letter, field, help)                                          \
	RMD_SUBMIT_ROW(name, letter, FLAG, NULL, field, 0, 0, help)

static const struct rmd_option options[] = {
	MAP_FLAG("null", '0', nul, "lines end with a NUL, as 'find -print0' writes them"),
	RMD_SUBMIT_ROWS_ARGUMENT,
	MAP_FLAG("unordered", 'u', unordered, "print each result as soon as it is there"),
	MAP_FLAG("keep-going", 'K', keep_going,
		 "go on when a line fails: report it, and print null (with -r an empty "
		 "line) in its place; exit code 4 if any failed"),
	MAP_FLAG("json", 'j', json,
		 "print {\"line\": N, \"value\": ...} or {\"line\": N, \"error\": ...} for "
		 "each line"),
	MAP_FLAG("no-progress", 0, no_progress, "draw no bar, also on a terminal"),
	RMD_SUBMIT_ROWS_TASK,
};
/* clang-format on */

const struct rmd_command rmd_command_map = {
	.name = "map",
	.arguments = "FUNCTION",
	.summary = "run one function over each line of the input",
	.description = "Runs FUNCTION once for each line of standard input, on all "
		       "workers at a time, and "
		       "prints one result a line, in the order of the input. The input "
		       "may be of any size: it "
		       "is read no faster than it is worked off. On a terminal, a bar on "
		       "standard error shows "
		       "how far it is.\n\n"
		       "A line is one argument: JSON where it parses as JSON and the "
		       "function does not ask for a "
		       "string, else a string; with -R always a string. A line may be up "
		       "to 64 MiB long.\n\n"
		       "The first line that fails, in the order of the input, ends the "
		       "run with exit code 1: "
		       "results of lines before it are printed, what runs behind it is "
		       "cancelled. With "
		       "--keep-going the others go on. With --unordered a line that "
		       "failed leaves no gap.\n\n"
		       "What tasks print goes to standard error, each line with the "
		       "number of the input line "
		       "before it, as in \"[17] text\".",
	.examples = "find . -name '*.c' | remuda map -r native:files.sha256\n"
		    "find . -type f -print0 | remuda map -0 -R -r native:files.sha256\n"
		    "seq 1000 | remuda map native:demo.square\n"
		    "printf '[1, 2]\\n[3, 4]\\n' | remuda map --spread native:demo.add",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct rmd_submit_settings),
	.arguments_min = 1,
	.arguments_max = 1,
	.argument_kind = RMD_ARGUMENT_FUNCTION,
	.run = run,
};
