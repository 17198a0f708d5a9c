/* client/cli/options.h: options of a command, each a row with its help text.
 *
 * The rows are read by the parser, by --help, by the man page and by the shell
 * completion. A command's options are written to its settings, a plain struct; each
 * row names the place of its field. Main thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rmd_command;

/* What an option takes, and the type of its field. */
enum rmd_option_kind {
	RMD_OPTION_FLAG,     /* nothing; bool */
	RMD_OPTION_TEXT,     /* a word; const char *, NULL: not given */
	RMD_OPTION_FILE,     /* a path; as TEXT */
	RMD_OPTION_NUMBER,   /* an integer in [min, max]; struct rmd_option_number */
	RMD_OPTION_DURATION, /* "250ms", "30s", "5m", "2h"; struct rmd_option_number, in
				milliseconds */
	RMD_OPTION_TEXTS,    /* a word, may come often; struct rmd_option_texts */
	RMD_OPTION_FILES,    /* a path, may come often; as TEXTS */
};

struct rmd_option_number {
	bool given;
	int64_t value;
};

struct rmd_option_texts {
	const char **items; /* owned array of borrowed words and a NULL; NULL: none */
	size_t count;
};

struct rmd_option {
	const char *name; /* long name without its dashes */
	char letter;	  /* short name; 0: none */
	enum rmd_option_kind kind;
	const char *metavar; /* what help calls its value; NULL for flags */
	size_t offset;	     /* of its field in the settings */
	int64_t min, max;    /* NUMBER and DURATION */
	const char *help;    /* one sentence, no full stop */
};

/* Longest duration an option takes: ten years. */
#define RMD_OPTION_DURATION_MAX_MS INT64_C(315360000000)

/* True if the option takes a value. */
bool rmd_option_takes_value(const struct rmd_option *option);
/* The option of `command` with that long name (`len` bytes) or letter, or NULL. */
const struct rmd_option *rmd_option_by_name(const struct rmd_command *command,
					    const char *name, size_t len);
const struct rmd_option *rmd_option_by_letter(const struct rmd_command *command,
					      char letter);
/* "250ms", "30s", "5m", "2h", "1d", a bare number: seconds. 0, or RMD_EINVAL,
 * RMD_ERANGE. */
int rmd_option_duration_parse(const char *text, int64_t *ret_ms);

/* What stands behind a command's name, sorted out. */
struct rmd_options_parsed {
	void *settings;	  /* owned: the command's settings, zeroed where not given */
	char **arguments; /* owned array of borrowed words: what is no option */
	int argument_count;
	bool help_wanted; /* --help or -h stood there; then nothing is checked */
};

/* Sorts `words` (borrowed; those behind the command's name). Options may stand
 * anywhere before "--"; a word that looks like a negative number is an argument,
 * unless the command has that digit as a letter. Gives RMD_EXIT_OK, or has reported
 * what is wrong and gives RMD_EXIT_USAGE. Always call fini. */
int rmd_options_parse(const struct rmd_command *command, int count, char **words,
		      struct rmd_options_parsed *ret_parsed);
void rmd_options_fini(const struct rmd_command *command,
		      struct rmd_options_parsed *parsed);
