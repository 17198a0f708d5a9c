/* remuda module push, remuda module list. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <remuda/remuda.h>
#include <remuda/v1/admin.pb-c.h>

#include "client/cli/call.h"
#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/outcome.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"
#include "proto/base/digest.h"

#define TIMEOUT_MS 30000u

struct settings {
	const char *address;
	bool json;
};

static const struct rmd_column columns[] = {
	{"DIGEST", "digest", RMD_COLUMN_TEXT},
	{"NAME", "name", RMD_COLUMN_TEXT},
	{"SIZE", "size_bytes", RMD_COLUMN_BYTES},
};

/* A person's slip, told before a worker meets it: the file is no shared object at all. */
static int check_module(const char *path)
{
	char magic[4] = "";
	FILE *file = fopen(path, "re");
	const char *trouble = NULL;

	if (file == NULL)
		trouble = strerror(errno);
	else if (fread(magic, 1, sizeof magic, file) != sizeof magic ||
		 memcmp(magic, "\177ELF", 4) != 0)
		trouble = "it is no shared object";
	if (file != NULL)
		fclose(file);
	if (trouble != NULL)
		rmd_report("module %s cannot be pushed: %s", path, trouble);
	return trouble != NULL ? RMD_EXIT_USAGE : RMD_EXIT_OK;
}

static int push_all(struct remuda *client, int count, char **paths, bool json)
{
	char hex[RMD_DIGEST_HEX_BYTES];

	for (int i = 0; i < count; i++) {
		struct remuda_error *err = NULL;
		struct rmd_digest digest;
		int rc = remuda_module_push(client, paths[i], digest.bytes, &err);

		if (rc < 0) {
			rmd_report("module %s cannot be pushed:", paths[i]);
			remuda_error_print(err, stderr);
			remuda_error_free(err);
			return rmd_outcome_exit(rc, RMD_EXIT_SYSTEM);
		}
		rmd_digest_hex(&digest, hex);
		if (json) {
			printf("{\"digest\": \"%s\", \"path\": ", hex);
			rmd_rows_write_json_text(paths[i], strlen(paths[i]), stdout);
			puts("}");
		} else {
			printf("%s  %s\n", hex, paths[i]);
		}
	}
	return RMD_EXIT_OK;
}

static int push(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct rmd_place address = {0};
	struct remuda_error *err = NULL;
	struct remuda *client = NULL;
	int rc = RMD_EXIT_OK;

	for (int i = 0; rc == RMD_EXIT_OK && i < count; i++)
		rc = check_module(arguments[i]);
	if (rc == RMD_EXIT_OK)
		rc = rmd_place_find(set->address, &address);
	if (rc != RMD_EXIT_OK)
		return rc;
	options.start = REMUDA_START_NEVER; /* a private one would forget it at once */
	options.address = address.text;
	client = remuda_open_with(&options, &err);
	if (client == NULL) {
		rc = rmd_place_report_nobody(&address, remuda_error_message(err));
		remuda_error_free(err);
	} else {
		rc = push_all(client, count, arguments, set->json);
		remuda_close(client);
	}
	rmd_place_fini(&address);
	return rc;
}

static void put_module(struct rmd_rows *rows, const Remuda__V1__BlobInfo *module)
{
	char hex[RMD_DIGEST_HEX_BYTES] = "";
	struct rmd_digest digest;

	if (module->digest.len == sizeof digest.bytes) {
		memcpy(digest.bytes, module->digest.data, sizeof digest.bytes);
		rmd_digest_hex(&digest, hex);
	}
	rmd_rows_text(rows, hex);
	rmd_rows_text(rows, module->name);
	rmd_rows_number(rows, module->size_bytes);
}

static int list(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	Remuda__V1__ListModulesRequest request = REMUDA__V1__LIST_MODULES_REQUEST__INIT;
	Remuda__V1__ListModulesResponse *modules = NULL;
	struct rmd_caller *caller = NULL;
	struct rmd_rows rows;
	int rc = rmd_caller_open(set->address, &caller);

	(void)count, (void)arguments;
	if (rc == RMD_EXIT_OK)
		rc = rmd_caller_unary(caller, "/remuda.v1.Admin/ListModules",
				      &request.base,
				      &remuda__v1__list_modules_response__descriptor,
				      TIMEOUT_MS, &modules);
	if (rc == RMD_EXIT_OK) {
		rmd_rows_init(&rows, columns, RMD_COUNT(columns), set->json, stdout);
		for (size_t i = 0; i < modules->n_modules; i++)
			put_module(&rows, modules->modules[i]);
		rc = rmd_rows_finish(&rows);
		if (modules->n_modules == 0 && !set->json)
			rmd_report("no modules were pushed");
		remuda__v1__list_modules_response__free_unpacked(modules, NULL);
	}
	rmd_caller_close(caller);
	return rc;
}

static const struct rmd_option options[] = {
	RMD_OPTION_ROW_JSON(struct settings),
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_module_push = {
	.name = "module push",
	.arguments = "FILE...",
	.summary = "send modules of task functions to the coordinator",
	.description = "Sends shared objects of task functions, once each, so that "
		       "native workers on "
		       "all agents can run them. Prints the SHA-256 of each.",
	.examples = "remuda module push ./orders.so\nremuda run native:orders.parse_row "
		    "'a,b,c'",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.arguments_min = 1,
	.arguments_max = 64,
	.argument_kind = RMD_ARGUMENT_FILE,
	.run = push,
};

const struct rmd_command rmd_command_module_list = {
	.name = "module list",
	.arguments = "",
	.summary = "list the modules that were pushed",
	.description = "Lists the modules that the coordinator holds.",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.run = list,
};
