#include "client/cli/complete.h"

#include <string.h>

#include "client/cli/command.h"

static void offer(const char *candidate, const char *help, const char *begun, FILE *out)
{
	if (strncmp(candidate, begun, strlen(begun)) == 0)
		fprintf(out, "%s\t%s\n", candidate, help);
}

/* Words of commands: the first ones, or the second ones behind `first`. */
static void offer_commands(const char *first, const char *begun, FILE *out)
{
	char word[64], last[64] = "";
	size_t first_len = first != NULL ? strlen(first) : 0;

	for (size_t i = 0; rmd_commands[i] != NULL; i++) {
		const struct rmd_command *command = rmd_commands[i];
		const char *name = command->name;

		if (command->hidden)
			continue;
		if (first != NULL) {
			if (strncmp(name, first, first_len) != 0 ||
			    name[first_len] != ' ')
				continue;
			name += first_len + 1;
		}
		size_t len = strcspn(name, " ");
		snprintf(word, sizeof word, "%.*s", (int)len, name);
		if (strcmp(word, last) == 0)
			continue; /* "module" stands in several rows */
		snprintf(last, sizeof last, "%s", word);
		offer(word, name[len] == 0 ? command->summary : "commands on modules",
		      begun, out);
	}
}

static void offer_options(const struct rmd_command *command, const char *begun, FILE *out)
{
	char word[64];

	for (size_t i = 0; i < command->option_count; i++) {
		const struct rmd_option *option = &command->options[i];

		snprintf(word, sizeof word, "--%s", option->name);
		offer(word, option->help, begun, out);
	}
	offer("--help", "show the help of this command", begun, out);
}

/* The option whose value the word after `word` is, or NULL. */
static const struct rmd_option *awaits_value(const struct rmd_command *command,
					     const char *word)
{
	const struct rmd_option *option = NULL;

	if (strncmp(word, "--", 2) == 0)
		option = rmd_option_by_name(command, word + 2, strlen(word + 2));
	else if (word[0] == '-' && word[1] != 0)
		option = rmd_option_by_letter(command, word[strlen(word) - 1]);
	return option != NULL && rmd_option_takes_value(option) ? option : NULL;
}

static void offer_value(const struct rmd_option *option, const char *begun, FILE *out)
{
	if (option->kind == RMD_OPTION_FILE || option->kind == RMD_OPTION_FILES) {
		fputs(":files\n", out);
	} else if (strcmp(option->name, "address") == 0) {
		offer("unix:", "path of a socket", begun, out);
		offer("tcp:", "host and port", begun, out);
		offer("dns:///", "host and port", begun, out);
	}
}

static void offer_arguments(const struct rmd_command *command, const char *begun,
			    FILE *out)
{
	switch (command->argument_kind) {
	case RMD_ARGUMENT_NONE:
		break;
	case RMD_ARGUMENT_FUNCTION:
		offer("native:", "a function of a module", begun, out);
		offer("python:", "a function that workers can import", begun, out);
		break;
	case RMD_ARGUMENT_TASK:
		fputs(":tasks\n", out);
		break;
	case RMD_ARGUMENT_FILE:
		fputs(":files\n", out);
		break;
	case RMD_ARGUMENT_COMMAND:
		offer_commands(NULL, begun, out);
		break;
	}
}

void rmd_complete_write(int count, char **words, FILE *out)
{
	const char *begun = words[count - 1];
	int taken = 0;
	const struct rmd_command *command = rmd_command_find(count - 1, words, &taken);

	if (command == NULL) {
		if (count <= 2)
			offer_commands(count == 2 ? words[0] : NULL, begun, out);
		if (count == 1) {
			offer("--help", "show what there is", begun, out);
			offer("--version", "show the version", begun, out);
		}
		return;
	}
	const struct rmd_option *option =
		count - 1 > taken ? awaits_value(command, words[count - 2]) : NULL;
	if (option != NULL)
		offer_value(option, begun, out);
	else if (begun[0] == '-')
		offer_options(command, begun, out);
	else
		offer_arguments(command, begun, out);
}
