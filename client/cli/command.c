#include "client/cli/command.h"

#include <stdio.h>
#include <string.h>

#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/help.h"
#include "client/cli/nearest.h"
#include "client/cli/report.h"

/* In the order in which help and the manual show them. */
const struct rmd_command *const rmd_commands[] = {
	&rmd_command_run,
	&rmd_command_map,
	&rmd_command_wait,
	&rmd_command_ps,
	&rmd_command_explain,
	&rmd_command_pools,
	&rmd_command_workers,
	&rmd_command_logs,
	&rmd_command_cancel,
	&rmd_command_up,
	&rmd_command_down,
	&rmd_command_status,
	&rmd_command_module_push,
	&rmd_command_module_list,
	&rmd_command_module_remove,
	&rmd_command_token_create,
	&rmd_command_token_list,
	&rmd_command_token_revoke,
	&rmd_command_version,
	&rmd_command_help,
	&rmd_command_man,
	&rmd_command_complete,
	&rmd_command_complete_tasks,
	NULL,
};

/* How many of `words` make up `name`; 0: they don't. */
static int name_words(const char *name, int count, char **words)
{
	for (int taken = 0; taken < count;) {
		size_t len = strcspn(name, " ");

		if (strlen(words[taken]) != len || memcmp(words[taken], name, len) != 0)
			return 0;
		taken++;
		if (name[len] == 0)
			return taken;
		name += len + 1;
	}
	return 0;
}

const struct rmd_command *rmd_command_find(int count, char **words, int *ret_taken)
{
	for (size_t i = 0; rmd_commands[i] != NULL; i++) {
		int taken = name_words(rmd_commands[i]->name, count, words);

		if (taken > 0) {
			*ret_taken = taken;
			return rmd_commands[i];
		}
	}
	return NULL;
}

const char *rmd_command_nearest(const char *word)
{
	struct rmd_nearest search = {.word = word};

	for (size_t i = 0; rmd_commands[i] != NULL; i++)
		if (!rmd_commands[i]->hidden)
			rmd_nearest_offer(&search, rmd_commands[i]->name);
	return search.best;
}

/* Says what commands begin with this first word of two, if any do. */
static bool report_second_word(const char *first, const char *second)
{
	size_t len = strlen(first);
	char known[128] = "";

	for (size_t i = 0; rmd_commands[i] != NULL; i++) {
		const char *name = rmd_commands[i]->name;

		if (strncmp(name, first, len) != 0 || name[len] != ' ')
			continue;
		snprintf(known + strlen(known), sizeof known - strlen(known),
			 "%s'remuda %s'", *known != 0 ? " or " : "", name);
	}
	if (*known == 0)
		return false;
	if (second != NULL && second[0] != '-')
		rmd_report("'%s' has no command '%s': there is %s", first, second, known);
	else
		rmd_report("'%s' is half a command: there is %s", first, known);
	return true;
}

static int unknown_command(int count, char **words)
{
	const char *nearest;

	if (report_second_word(words[0], count > 1 ? words[1] : NULL))
		return RMD_EXIT_USAGE;
	nearest = rmd_command_nearest(words[0]);
	if (strchr(words[0], ':') != NULL)
		rmd_report("there is no command '%s': to run a function, 'remuda run %s'",
			   words[0], words[0]);
	else if (nearest != NULL)
		rmd_report("there is no command '%s': did you mean '%s'?", words[0],
			   nearest);
	else
		rmd_report("there is no command '%s': see 'remuda help'", words[0]);
	return RMD_EXIT_USAGE;
}

/* What a person writes before or instead of a command. */
static const struct rmd_command *spoken_command(const char *word)
{
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		return &rmd_command_version;
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return &rmd_command_help;
	return NULL;
}

static int run_command(const struct rmd_command *command, int count, char **words)
{
	struct rmd_options_parsed parsed;
	int rc = rmd_options_parse(command, count, words, &parsed);

	if (rc == RMD_EXIT_OK && parsed.help_wanted)
		rmd_help_command(command, stdout);
	else if (rc == RMD_EXIT_OK)
		rc = command->run(parsed.settings, parsed.argument_count,
				  parsed.arguments);
	rmd_options_fini(command, &parsed);
	return rc;
}

int rmd_command_line(int count, char **words)
{
	const struct rmd_command *command;
	int taken = 1;

	if (count == 0) {
		rmd_help_program(stderr);
		return RMD_EXIT_USAGE;
	}
	command = spoken_command(words[0]);
	if (command == NULL)
		command = rmd_command_find(count, words, &taken);
	if (command == NULL && words[0][0] == '-') {
		rmd_report("%s: options stand behind the command: remuda COMMAND %s",
			   words[0], words[0]);
		return RMD_EXIT_USAGE;
	}
	if (command == NULL)
		return unknown_command(count, words);
	int rc = run_command(command, count - taken, words + taken);
	if (ferror(stdout) && rc != RMD_EXIT_OK) /* the command has said so */
		return rc;
	int flushed = rmd_report_flush();
	return rc != RMD_EXIT_OK ? rc : flushed;
}
