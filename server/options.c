#include "server/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/errcode.h"
#include "proto/base/log.h"

enum {
	OPT_LISTEN = 256,
	OPT_INSECURE,
	OPT_TLS_CERT,
	OPT_TLS_KEY,
	OPT_TLS_CA,
	OPT_TOKENS,
	OPT_LOCAL_WORKERS,
	OPT_MODULE,
	OPT_WORKER,
	OPT_GRACE,
	OPT_PAYLOAD_BYTES,
	OPT_BLOB_BYTES,
	OPT_READY_FD,
	OPT_LOG_LEVEL,
	OPT_PRIVATE,
	OPT_CLIENT_FD,
	OPT_CLIENT_PIDFD,
	OPT_MEMORY_FD,
	OPT_SHARED_BYTES,
	OPT_CLIENT_GRACE,
	OPT_CANCEL_GRACE,
	OPT_RETENTION,
	OPT_RETAINED_BYTES,
	OPT_WORKERS_LOST_MAX,
	OPT_CANNOT_RUN_AFTER,
	OPT_HELP,
	OPT_VERSION,
};

/* One row: getopt's table and the help text are made from it. help NULL: not for
 * people. */
struct option_row {
	const char *name, *argument;
	int code;
	const char *help;
};

static const struct option_row rows[] = {
	{"listen", "ADDRESS", OPT_LISTEN,
	 "listen on unix:PATH or tcp:HOST:PORT (port 0: a free one); repeatable"},
	{"insecure", NULL, OPT_INSECURE,
	 "allow tcp listeners that do not ask who comes: whoever reaches the port runs code "
	 "here"},
	{"tls-cert", "FILE", OPT_TLS_CERT, "certificate of tcp listeners (PEM)"},
	{"tls-key", "FILE", OPT_TLS_KEY, "its private key (PEM)"},
	{"tls-ca", "FILE", OPT_TLS_CA,
	 "let in by tcp only who has a certificate signed by one of these (PEM)"},
	{"tokens", "FILE", OPT_TOKENS,
	 "let in by tcp only who has a token of this file (see remuda token create)"},
	{"local-workers", "N", OPT_LOCAL_WORKERS,
	 "run an agent in this process with at most N workers (0: one a cpu)"},
	{"module", "PATH", OPT_MODULE,
	 "load this module in the local agent's native workers; repeatable"},
	{"worker", "PATH", OPT_WORKER, "program of native workers (default: beside remudad)"},
	{"grace", "SECONDS", OPT_GRACE,
	 "how long SIGTERM waits for tasks before it kills them (default 30)"},
	{"cancel-grace", "SECONDS", OPT_CANCEL_GRACE,
	 "with --local-workers: how long a cancelled task may run on before its worker gets "
	 "SIGTERM (default 1)"},
	{"client-grace", "SECONDS", OPT_CLIENT_GRACE,
	 "a client that went without a word may come back for so long before its tasks are "
	 "cancelled (default 10)"},
	{"retention", "SECONDS", OPT_RETENTION,
	 "how long outcomes of detached tasks wait to be asked for (default 600)"},
	{"retained-bytes", "N", OPT_RETAINED_BYTES,
	 "of these outcomes at most so many bytes are held; then the oldest go (default "
	 "128 MiB)"},
	{"workers-lost-max", "N", OPT_WORKERS_LOST_MAX,
	 "a task that has ended so many workers is not tried again, whatever its rules say "
	 "(default 3)"},
	{"cannot-run-after", "SECONDS", OPT_CANNOT_RUN_AFTER,
	 "a task that no agent can run fails when so long agents were there and none that "
	 "suits (default 600; 0: never)"},
	{"payload-bytes", "N", OPT_PAYLOAD_BYTES,
	 "memory for arguments and results, in bytes (default 4 GiB)"},
	{"blob-bytes", "N", OPT_BLOB_BYTES, "memory for blobs, in bytes (default 1 GiB)"},
	{"shared-bytes", "N", OPT_SHARED_BYTES,
	 "memory shared with each client on this host, in bytes (default 1 GiB; 0: none)"},
	{"ready-fd", "N", OPT_READY_FD,
	 "when ready, write \"ready ADDRESS...\" to this descriptor and close it"},
	{"log-level", "LEVEL", OPT_LOG_LEVEL, "error, warn, info (default) or debug"},
	{"private", NULL, OPT_PRIVATE, NULL},
	{"client-fd", "N", OPT_CLIENT_FD, NULL},
	{"client-pidfd", "N", OPT_CLIENT_PIDFD, NULL},
	{"memory-fd", "N", OPT_MEMORY_FD, NULL},
	{"help", NULL, OPT_HELP, "print this text"},
	{"version", NULL, OPT_VERSION, "print the version"},
};

#define ROW_COUNT (sizeof rows / sizeof *rows)

static void print_help(void)
{
	puts("usage: remudad --listen ADDRESS [OPTION]...\n"
	     "\n"
	     "The coordinator of remuda: keeps pools of workers and gives them tasks.\n");
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (rows[i].help == NULL)
			continue;
		char left[64];
		snprintf(left, sizeof left, "--%s%s%s", rows[i].name,
			 rows[i].argument != NULL ? " " : "",
			 rows[i].argument != NULL ? rows[i].argument : "");
		printf("  %-22s %s\n", left, rows[i].help);
	}
	puts("\n"
	     "Signals: SIGTERM and SIGINT drain; a second one stops at once.\n"
	     "Exit codes: 0 ended in order, 2 usage, 3 cannot listen, 4 out of a "
	     "resource.\n"
	     "\n"
	     "Example: remudad --listen unix:/run/user/1000/remuda.sock --local-workers "
	     "4");
}

static int parse_number(const char *name, const char *text, uint64_t most,
			uint64_t *ret_number)
{
	char *end;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
	    number > most) {
		fprintf(stderr,
			"remudad: --%s takes a number from 0 to %llu, not \"%s\"\n", name,
			(unsigned long long)most, text);
		return RMD_EINVAL;
	}
	*ret_number = number;
	return 0;
}

static int add_to(const char *name, const char **list, size_t *count, size_t most,
		  const char *value)
{
	if (*count == most) {
		fprintf(stderr, "remudad: --%s can be given at most %zu times\n", name,
			most);
		return RMD_ELIMIT;
	}
	list[(*count)++] = value;
	return 0;
}

/* By its whole path: workers run elsewhere, and the loader looks for a bare name in the
 * system's folders. */
static int add_module(struct rmd_server_config *config, const char *value)
{
	static char *paths[RMD_MODULES_MAX]; /* kept to the end */
	if (config->module_count < RMD_MODULES_MAX) {
		char *path = realpath(value, NULL);
		if (path == NULL || access(path, R_OK) < 0) {
			fprintf(stderr, "remudad: --module %s: %s\n", value, strerror(errno));
			free(path);
			return RMD_EINVAL;
		}
		paths[config->module_count] = path;
		value = paths[config->module_count];
	}
	return add_to("module", config->modules, &config->module_count, RMD_MODULES_MAX,
		      value);
}

static int add_listener(struct rmd_server_config *config, const char *address)
{
	if (strncmp(address, "unix:", 5) != 0 && strncmp(address, "tcp:", 4) != 0) {
		fprintf(stderr,
			"remudad: --listen takes unix:PATH or tcp:HOST:PORT, not "
			"\"%s\"\n",
			address);
		return RMD_EINVAL;
	}
	return add_to("listen", config->listen, &config->listen_count, RMD_LISTENERS_MAX,
		      address);
}

/* Those of the rules by which tasks end. */
static int take_rule(struct rmd_server_config *config, int code, const char *value)
{
	uint64_t number = 0;
	int rc = RMD_EINVAL; /* getopt has said why */
	if (code == OPT_RETAINED_BYTES)
		return parse_number("retained-bytes", value, UINT64_C(1) << 50,
				    &config->retained_bytes);
	if (code == OPT_RETENTION) {
		rc = parse_number("retention", value, 31536000, &number);
		config->retention_ms = rc == 0 ? number * 1000 : 0;
	} else if (code == OPT_CANNOT_RUN_AFTER) {
		rc = parse_number("cannot-run-after", value, 31536000, &number);
		config->cannot_run_ms = number == 0 ? UINT64_MAX : number * 1000;
	} else if (code == OPT_WORKERS_LOST_MAX) {
		rc = parse_number("workers-lost-max", value, 100, &number);
		if (rc == 0 && number == 0) {
			fputs("remudad: --workers-lost-max is at least 1\n", stderr);
			rc = RMD_EINVAL;
		}
		config->workers_lost_max = (uint32_t)number;
	}
	return rc;
}

/* Takes one option that has a number. */
static int take_number(struct rmd_server_config *config, int code, const char *value)
{
	uint64_t number = 0;
	int rc = 0;
	switch (code) {
	case OPT_LOCAL_WORKERS:
		config->agent = true;
		if ((rc = parse_number("local-workers", value, 100000, &number)) == 0)
			config->local_workers = (uint32_t)number;
		return rc;
	case OPT_GRACE:
		if ((rc = parse_number("grace", value, 86400, &number)) == 0)
			config->grace_ms = number * 1000;
		return rc;
	case OPT_PAYLOAD_BYTES:
		return parse_number("payload-bytes", value, UINT64_C(1) << 50,
				    &config->payload_budget_bytes);
	case OPT_BLOB_BYTES:
		return parse_number("blob-bytes", value, UINT64_C(1) << 50,
				    &config->blob_budget_bytes);
	case OPT_READY_FD:
		if ((rc = parse_number("ready-fd", value, 1 << 20, &number)) == 0)
			config->ready_fd = (int)number;
		return rc;
	case OPT_CLIENT_FD:
		if ((rc = parse_number("client-fd", value, 1 << 20, &number)) == 0)
			config->client_fd = (int)number;
		return rc;
	case OPT_CLIENT_PIDFD:
		if ((rc = parse_number("client-pidfd", value, 1 << 20, &number)) == 0)
			config->client_pidfd = (int)number;
		return rc;
	case OPT_MEMORY_FD:
		if ((rc = parse_number("memory-fd", value, 1 << 20, &number)) == 0)
			config->memory_fd = (int)number;
		return rc;
	case OPT_CANCEL_GRACE:
		if ((rc = parse_number("cancel-grace", value, 86400, &number)) == 0)
			config->cancel_grace_ms = number != 0 ? number * 1000 : 1;
		return rc;
	case OPT_CLIENT_GRACE:
		if ((rc = parse_number("client-grace", value, 86400, &number)) == 0)
			config->client_grace_ms = number * 1000;
		return rc;
	case OPT_SHARED_BYTES:
		return parse_number("shared-bytes", value, UINT64_C(1) << 30,
				    &config->shared_bytes);
	default:
		return take_rule(config, code, value);
	}
}

static int take_log_level(const char *value)
{
	enum rmd_log_level level;
	if (rmd_log_level_parse(value, &level) == 0) {
		rmd_log_set_level(level);
		return 0;
	}
	fprintf(stderr,
		"remudad: --log-level takes error, warn, info or debug, not \"%s\"\n",
		value);
	return RMD_EINVAL;
}

static int take(struct rmd_server_config *config, int code, const char *value)
{
	switch (code) {
	case OPT_LISTEN:
		return add_listener(config, value);
	case OPT_MODULE:
		return add_module(config, value);
	case OPT_INSECURE:
		config->insecure = true;
		return 0;
	case OPT_TLS_CERT:
		config->tls_cert = value;
		return 0;
	case OPT_TLS_KEY:
		config->tls_key = value;
		return 0;
	case OPT_TLS_CA:
		config->tls_ca = value;
		return 0;
	case OPT_TOKENS:
		config->tokens = value;
		return 0;
	case OPT_WORKER:
		config->worker_path = value;
		return 0;
	case OPT_LOG_LEVEL:
		return take_log_level(value);
	case OPT_PRIVATE:
		config->private_mode = true;
		config->agent = true;
		rmd_log_set_level(RMD_LOG_ERROR);
		return 0;
	default:
		return take_number(config, code, value);
	}
}

/* A tcp listener is secured, and asks who comes; or somebody has said that it need not.
 */
static int check_tcp(const struct rmd_server_config *config, const char *address)
{
	bool secured = config->tls_cert != NULL && config->tls_key != NULL;
	bool asks = config->tls_ca != NULL || config->tokens != NULL;
	if (!secured && (config->tls_cert != NULL || config->tls_key != NULL || asks)) {
		fprintf(stderr,
			"remudad: %s: TLS needs both --tls-cert and --tls-key%s\n",
			address, asks ? ", and --tls-ca and --tokens need TLS" : "");
		return RMD_EINVAL;
	}
	if (config->insecure || (secured && asks))
		return 0;
	fprintf(stderr,
		"remudad: %s would be open to whoever reaches it, and a task is code: "
		"use "
		"unix:PATH; or give --tls-cert and --tls-key, and --tokens or --tls-ca "
		"to say "
		"who may come; or say --insecure if the network is trusted\n",
		address);
	return RMD_EINVAL;
}

/* What only the whole line shows. */
static int check(const struct rmd_server_config *config)
{
	if (config->private_mode && config->client_fd < 0) {
		fputs("remudad: --private is for client libraries, and needs "
		      "--client-fd\n",
		      stderr);
		return RMD_EINVAL;
	}
	if (!config->private_mode && config->listen_count == 0) {
		fputs("remudad: nowhere to listen: give --listen unix:PATH or "
		      "--listen tcp:HOST:PORT (see --help)\n",
		      stderr);
		return RMD_EINVAL;
	}
	for (size_t i = 0; i < config->listen_count; i++)
		if (strncmp(config->listen[i], "tcp:", 4) == 0 &&
		    check_tcp(config, config->listen[i]) < 0)
			return RMD_EINVAL;
	if (config->module_count != 0 && !config->agent) {
		fputs("remudad: --module is for the local agent: add --local-workers N, "
		      "or give "
		      "it to remuda-agent\n",
		      stderr);
		return RMD_EINVAL;
	}
	return 0;
}

int rmd_options_parse(int argc, char **argv, struct rmd_server_config *ret_config,
		      enum rmd_exit *ret_exit)
{
	struct option table[ROW_COUNT + 1] = {0};
	for (size_t i = 0; i < ROW_COUNT; i++)
		table[i] = (struct option){rows[i].name,
					   rows[i].argument != NULL ? required_argument
								    : no_argument,
					   NULL, rows[i].code};
	struct rmd_server_config config = {.client_fd = -1,
					   .client_pidfd = -1,
					   .memory_fd = -1,
					   .ready_fd = -1,
					   .grace_ms = 30000,
					   .client_grace_ms = 10000,
					   .retention_ms = 600000,
					   .retained_bytes = UINT64_C(128) << 20,
					   .workers_lost_max = 3,
					   .cannot_run_ms = 600000,
					   .payload_budget_bytes = UINT64_C(4) << 30,
					   .blob_budget_bytes = UINT64_C(1) << 30,
					   .shared_bytes = UINT64_C(1) << 30};
	*ret_exit = RMD_EXIT_USAGE;
	int code;
	while ((code = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (code == OPT_HELP || code == OPT_VERSION) {
			if (code == OPT_HELP)
				print_help();
			else
				puts("remudad " REMUDA_VERSION);
			*ret_exit = RMD_EXIT_OK;
			return RMD_EINVAL;
		}
		if (take(&config, code, optarg) < 0) {
			if (code == '?')
				fputs("remudad: see --help\n", stderr);
			return RMD_EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "remudad: \"%s\" is not an option (see --help)\n",
			argv[optind]);
		return RMD_EINVAL;
	}
	if (check(&config) < 0)
		return RMD_EINVAL;
	*ret_config = config;
	return 0;
}
