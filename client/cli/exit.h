/* client/cli/exit.h: the exit codes of `remuda`. One table makes the enum, the section of
 * the man page and the tests' expectations. */
#pragma once

#define RMD_EXITS(X)                                                                   \
	X(RMD_EXIT_OK, 0, "All went well.")                                            \
	X(RMD_EXIT_TASK, 1, "A task failed; its error is on standard error.")          \
	X(RMD_EXIT_USAGE, 2, "The command line is wrong; nothing was run.")            \
	X(RMD_EXIT_SERVICE, 3,                                                         \
	  "The coordinator cannot be reached or started, was lost, or refused the request.")      \
	X(RMD_EXIT_SOME, 4, "With --keep-going: some tasks failed, the others ran.")   \
	X(RMD_EXIT_SYSTEM, 5,                                                          \
	  "This machine said no: input cannot be read, output cannot be written, "     \
	  "the run folder is not safe, memory has run out.")                           \
	X(RMD_EXIT_INTERRUPTED, 130,                                                   \
	  "Interrupted (SIGINT, SIGTERM, SIGHUP); open tasks were cancelled.")         \
	X(RMD_EXIT_PIPE, 141,                                                          \
	  "The reader of the output has gone (SIGPIPE, as of any filter); open tasks " \
	  "were cancelled.")

enum rmd_exit {
#define X(name, number, text) name = number,
	RMD_EXITS(X)
#undef X
};
