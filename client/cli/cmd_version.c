/* remuda version. */
#include <stdio.h>

#include "client/cli/command.h"
#include "client/cli/commands.h"
#include "client/cli/exit.h"

struct settings {
	bool json;
};

static int run(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;

	(void)count, (void)arguments;
	if (set->json)
		printf("{\"version\": \"%s\"}\n", REMUDA_VERSION);
	else
		printf("remuda %s\n", REMUDA_VERSION);
	return RMD_EXIT_OK;
}

static const struct rmd_option options[] = {
	RMD_OPTION_ROW_JSON(struct settings),
};

const struct rmd_command rmd_command_version = {
	.name = "version",
	.arguments = "",
	.summary = "show the version of this program",
	.description = "Shows the version of this program. That of the coordinator is in "
		       "'remuda status'.",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.run = run,
};
