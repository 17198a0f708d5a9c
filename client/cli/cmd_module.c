/* remuda module push, remuda module list, remuda module remove. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <remuda/remuda.h>
#include <remuda/v1/admin.pb-c.h>

#include "client/cli/call.h"
#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/outcome.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"
#include "proto/base/digest.h"
#include "proto/task/module_file.h"

#define TIMEOUT_MS 30000u
#define WORKER_PROGRAM "remuda-worker-native"

struct settings {
	const char *address;
	bool json;
	bool unchecked;
};

static const struct rmd_column columns[] = {
	{"DIGEST", "digest", RMD_COLUMN_TEXT},
	{"NAME", "name", RMD_COLUMN_TEXT},
	{"PREFIX", "prefix", RMD_COLUMN_TEXT},
	{"FUNCTIONS", "functions", RMD_COLUMN_NUMBER},
	{"SIZE", "size_bytes", RMD_COLUMN_BYTES},
	{"STATE", "state", RMD_COLUMN_TEXT},
};

/* What the file says of itself; NULL: it is a module. */
static const char *file_trouble(const char *path)
{
	struct rmd_module_facts facts;
	struct stat st;
	const char *trouble = NULL;
	void *bytes = MAP_FAILED;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		trouble = strerror(errno);
	else if (!S_ISREG(st.st_mode) || st.st_size == 0)
		trouble = "it is no regular file, or empty";
	else if ((bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd,
			       0)) == MAP_FAILED)
		trouble = strerror(errno);
	else
		(void)rmd_module_file_read(rmd_slice_of(bytes, (size_t)st.st_size),
					   &facts, &trouble);
	if (bytes != MAP_FAILED)
		munmap(bytes, (size_t)st.st_size);
	if (fd >= 0)
		close(fd);
	return trouble;
}

/* Lets a worker program of this host load it, in a process of its own, which says on
 * stderr what is wrong. True: it does not load. Where there is no such program, workers
 * will tell. */
static bool load_refused(const char *path)
{
	extern char **environ;
	char program[PATH_MAX], whole[PATH_MAX];
	char *argv[] = {program, "--check", whole, NULL};
	int status = 0;
	pid_t pid;
	ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
	char *slash;

	if (len <= 0 || realpath(path, whole) == NULL)
		return false;
	program[len] = '\0';
	slash = strrchr(program, '/');
	if (slash == NULL ||
	    (size_t)(slash + 1 - program) + sizeof WORKER_PROGRAM > sizeof program)
		return false;
	memcpy(slash + 1, WORKER_PROGRAM, sizeof WORKER_PROGRAM);
	if (access(program, X_OK) < 0 ||
	    posix_spawn(&pid, program, NULL, NULL, argv, environ) != 0)
		return false;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return status != 0;
}

/* A person's slip, told before a worker meets it. */
static int check_module(const char *path, bool load)
{
	const char *trouble = file_trouble(path);

	if (trouble != NULL) {
		rmd_report("module %s cannot be pushed: %s", path, trouble);
		return RMD_EXIT_USAGE;
	}
	if (load && load_refused(path)) {
		rmd_report(
			"module %s cannot be pushed: a worker of this host does not load "
			"it (--no-check pushes it all the same, for other hosts)",
			path);
		return RMD_EXIT_USAGE;
	}
	return RMD_EXIT_OK;
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
		rc = check_module(arguments[i], !set->unchecked);
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
	rmd_rows_text(rows, module->prefix);
	rmd_rows_number(rows, module->functions);
	rmd_rows_number(rows, module->size_bytes);
	rmd_rows_text(rows, module->newest ? "loaded" : "replaced");
}

static void put_modules(Remuda__V1__BlobInfo **modules, size_t count, bool json,
			int *ret_code)
{
	struct rmd_rows rows;

	rmd_rows_init(&rows, columns, RMD_COUNT(columns), json, stdout);
	for (size_t i = 0; i < count; i++)
		put_module(&rows, modules[i]);
	*ret_code = rmd_rows_finish(&rows);
}

/* 64 hexadecimal digits are a digest. */
static bool read_digest(const char *text, uint8_t ret_digest[RMD_DIGEST_BYTES])
{
	if (strlen(text) != RMD_DIGEST_HEX_BYTES - 1 ||
	    strspn(text, "0123456789abcdefABCDEF") != RMD_DIGEST_HEX_BYTES - 1)
		return false;
	for (size_t i = 0; i < RMD_DIGEST_BYTES; i++) {
		char digits[] = {text[2 * i], text[2 * i + 1], '\0'};
		ret_digest[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return true;
}

static int remove_one(struct rmd_caller *caller, char *name, bool json)
{
	Remuda__V1__RemoveModulesRequest request =
		REMUDA__V1__REMOVE_MODULES_REQUEST__INIT;
	Remuda__V1__RemoveModulesResponse *removed = NULL;
	uint8_t digest[RMD_DIGEST_BYTES];
	int rc;

	if (read_digest(name, digest))
		request.digest = (ProtobufCBinaryData){sizeof digest, digest};
	else
		request.name = name;
	rc = rmd_caller_unary(caller, "/remuda.v1.Admin/RemoveModules", &request.base,
			      &remuda__v1__remove_modules_response__descriptor,
			      TIMEOUT_MS, &removed);
	if (rc == RMD_EXIT_OK) {
		put_modules(removed->modules, removed->n_modules, json, &rc);
		remuda__v1__remove_modules_response__free_unpacked(removed, NULL);
	}
	return rc;
}

static int remove_all(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	struct rmd_caller *caller = NULL;
	int rc = rmd_caller_open(set->address, &caller);

	for (int i = 0; rc == RMD_EXIT_OK && i < count; i++)
		rc = remove_one(caller, arguments[i], set->json);
	rmd_caller_close(caller);
	return rc;
}

static int list(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	Remuda__V1__ListModulesRequest request = REMUDA__V1__LIST_MODULES_REQUEST__INIT;
	Remuda__V1__ListModulesResponse *modules = NULL;
	struct rmd_caller *caller = NULL;
	int rc = rmd_caller_open(set->address, &caller);

	(void)count, (void)arguments;
	if (rc == RMD_EXIT_OK)
		rc = rmd_caller_unary(caller, "/remuda.v1.Admin/ListModules",
				      &request.base,
				      &remuda__v1__list_modules_response__descriptor,
				      TIMEOUT_MS, &modules);
	if (rc == RMD_EXIT_OK) {
		put_modules(modules->modules, modules->n_modules, set->json, &rc);
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

static const struct rmd_option push_options[] = {
	RMD_OPTION_ROW_JSON(struct settings),
	{"no-check", 0, RMD_OPTION_FLAG, NULL, offsetof(struct settings, unchecked), 0, 0,
	 "do not try whether a worker of this host loads them"},
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_module_push = {
	.name = "module push",
	.arguments = "FILE...",
	.summary = "send modules of task functions to the coordinator",
	.description =
		"Sends shared objects of task functions, once each, so that "
		"native workers on all agents can run them. Prints the SHA-256 of each. "
		"A newer build replaces the older one of its prefix (the name in "
		"REMUDA_MODULE): tasks that run end on the old one, all others run on "
		"the new. A file that is no module, or that a worker of this host does "
		"not load, is refused.",
	.examples = "remuda module push ./orders.so\nremuda run native:orders.parse_row "
		    "'a,b,c'",
	.options = push_options,
	.option_count = RMD_COUNT(push_options),
	.settings_bytes = sizeof(struct settings),
	.arguments_min = 1,
	.arguments_max = 64,
	.argument_kind = RMD_ARGUMENT_FILE,
	.run = push,
};

const struct rmd_command rmd_command_module_remove = {
	.name = "module remove",
	.arguments = "NAME|DIGEST...",
	.summary = "forget modules that were pushed",
	.description =
		"Forgets modules by name (\"demo.so\"), prefix (\"demo\") or whole "
		"SHA-256. A name or a prefix means all builds; after the newest build "
		"is removed by its SHA-256, the one that was pushed before it is loaded "
		"again.",
	.examples = "remuda module remove orders",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.arguments_min = 1,
	.arguments_max = 64,
	.run = remove_all,
};

const struct rmd_command rmd_command_module_list = {
	.name = "module list",
	.arguments = "",
	.summary = "list the modules that were pushed",
	.description =
		"Lists the modules that the coordinator holds: \"loaded\" is the newest "
		"of its prefix, which workers load; \"replaced\" an older one.",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.run = list,
};
