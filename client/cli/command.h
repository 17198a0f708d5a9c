/* client/cli/command.h: the commands of `remuda`, each a row.
 *
 * The table is read by main, by --help, by the man page (manual.c) and by the shell
 * completion (complete.c), so none of them can drift. Each command lives in a file of its
 * own, cmd_NAME.c. Main thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "client/cli/options.h"

/* What a command's arguments name; for completion. */
enum rmd_argument_kind {
	RMD_ARGUMENT_NONE,
	RMD_ARGUMENT_FUNCTION,
	RMD_ARGUMENT_TASK,
	RMD_ARGUMENT_FILE,
	RMD_ARGUMENT_COMMAND,
};

/* No limit on the number of arguments. */
#define RMD_ARGUMENTS_ANY (-1)

struct rmd_command {
	const char *name;	 /* "map"; of two words: "module push" */
	const char *arguments;	 /* "FUNCTION [ARG...]"; "": none */
	const char *summary;	 /* one line, no full stop */
	const char *description; /* paragraphs, divided by "\n\n" */
	const char *examples;	 /* lines "command line"; NULL: none */
	const struct rmd_option *options;
	size_t option_count;
	size_t settings_bytes;
	int arguments_min, arguments_max;
	enum rmd_argument_kind argument_kind;
	bool hidden; /* for scripts of ours: not in help, manual or completion */
	/* Runs it; `settings` and `arguments` are borrowed for the call. Gives an enum
	 * rmd_exit. */
	int (*run)(const void *settings, int argument_count, char **arguments);
};

/* The table; NULL at its end. */
extern const struct rmd_command *const rmd_commands[];

/* Finds the command at the start of `words`: the row, and how many words its name
 * takes; NULL: none. */
const struct rmd_command *rmd_command_find(int count, char **words, int *ret_taken);
/* The command that `word` was probably meant to be, or NULL. */
const char *rmd_command_nearest(const char *word);
/* Finds and runs what stands on the command line (without the program's name). Gives
 * an enum rmd_exit. */
int rmd_command_line(int count, char **words);

/* Rows that many commands have. `S` is the settings' type; fields: `const char
 * *address`, `bool json`. */
#define RMD_OPTION_ROW_ADDRESS(S)                                                        \
	{                                                                                \
		"address", 'a', RMD_OPTION_TEXT, "ADDR", offsetof(S, address), 0, 0,     \
			"the coordinator: unix:PATH, tcp:HOST:PORT or dns:///HOST:PORT " \
			"(default: "                                                     \
			"REMUDA_ADDRESS, else that of 'remuda up')"                      \
	}
#define RMD_OPTION_ROW_JSON(S)                                               \
	{                                                                    \
		"json", 'j', RMD_OPTION_FLAG, NULL, offsetof(S, json), 0, 0, \
			"print one JSON object a line"                       \
	}

#define RMD_COUNT(array) (sizeof(array) / sizeof(array)[0])
