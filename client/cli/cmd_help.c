/* remuda help, and the two hidden commands by which the table reaches the man page and
 * the shells. */
#include <stdio.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/commands.h"
#include "client/cli/complete.h"
#include "client/cli/exit.h"
#include "client/cli/help.h"
#include "client/cli/manual.h"
#include "client/cli/report.h"
#include "client/cli/tasks.h"

static int help(const void *settings, int count, char **arguments)
{
	int taken;
	const struct rmd_command *command;

	(void)settings;
	if (count == 0) {
		rmd_help_program(stdout);
		return RMD_EXIT_OK;
	}
	command = rmd_command_find(count, arguments, &taken);
	if (command != NULL) {
		rmd_help_command(command, stdout);
		return RMD_EXIT_OK;
	}
	for (size_t i = 0; rmd_commands[i] != NULL; i++) { /* "module" */
		size_t len = strlen(arguments[0]);

		if (strncmp(rmd_commands[i]->name, arguments[0], len) != 0 ||
		    rmd_commands[i]->name[len] != ' ')
			continue;
		if (command != NULL)
			putchar('\n');
		command = rmd_commands[i];
		rmd_help_command(command, stdout);
	}
	if (command != NULL)
		return RMD_EXIT_OK;
	const char *nearest = rmd_command_nearest(arguments[0]);
	if (nearest != NULL)
		rmd_report("there is no command '%s': did you mean '%s'?", arguments[0],
			   nearest);
	else
		rmd_report("there is no command '%s': see 'remuda help'", arguments[0]);
	return RMD_EXIT_USAGE;
}

static int man(const void *settings, int count, char **arguments)
{
	(void)settings, (void)count, (void)arguments;
	rmd_manual_write(stdout);
	return RMD_EXIT_OK;
}

static int complete(const void *settings, int count, char **arguments)
{
	(void)settings;
	rmd_complete_write(count, arguments, stdout);
	return RMD_EXIT_OK;
}

static int complete_tasks(const void *settings, int count, char **arguments)
{
	(void)settings, (void)count, (void)arguments;
	return rmd_tasks_write_ids(stdout);
}

const struct rmd_command rmd_command_help = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "show what there is, or tell about one command",
	.description = "Without COMMAND, lists the commands. With it, shows its usage, "
		       "options and "
		       "examples.",
	.arguments_max = 2,
	.argument_kind = RMD_ARGUMENT_COMMAND,
	.run = help,
};

const struct rmd_command rmd_command_man = {
	.name = "__man",
	.arguments = "",
	.summary = "write the man page",
	.description = "Writes the man page in mdoc to standard output.",
	.hidden = true,
	.run = man,
};

const struct rmd_command rmd_command_complete = {
	.name = "__complete",
	.arguments = "WORD...",
	.summary = "write what may stand at the end of a command line",
	.description =
		"Takes the words behind 'remuda' after '--', the last one unfinished.",
	.arguments_min = 1,
	.arguments_max = RMD_ARGUMENTS_ANY,
	.hidden = true,
	.run = complete,
};

const struct rmd_command rmd_command_complete_tasks = {
	.name = "__tasks",
	.arguments = "",
	.summary = "write the ids of tasks, for completion",
	.description = "Writes one id a line, a tab and the function; nothing where no "
		       "coordinator is up.",
	.hidden = true,
	.run = complete_tasks,
};
