#include "worker/agent/config.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define PROGRAM "remuda-agent"

enum {
	OPT_COORDINATOR = 256,
	OPT_NAME,
	OPT_WORKERS_MAX,
	OPT_CPUS,
	OPT_MODULE,
	OPT_LABEL,
	OPT_WORKER,
	OPT_INSECURE,
	OPT_TLS_CA,
	OPT_TLS_CERT,
	OPT_TLS_KEY,
	OPT_TLS_NAME,
	OPT_TOKEN_FILE,
	OPT_ORPHAN,
	OPT_STOP_GRACE,
	OPT_CANCEL_GRACE,
	OPT_READY_FD,
	OPT_LOG_LEVEL,
	OPT_HELP,
	OPT_VERSION,
};

/* One row: getopt's table and the help text are made from it. */
struct option_row {
	const char *name, *argument;
	int code;
	const char *help;
};

static const struct option_row rows[] = {
	{"coordinator", "ADDRESS", OPT_COORDINATOR,
	 "join the coordinator at unix:PATH, tcp:HOST:PORT or dns:///HOST:PORT "
	 "(required)"},
	{"name", "NAME", OPT_NAME,
	 "name of this agent, unique in the cluster (default: the host name)"},
	{"workers-max", "N", OPT_WORKERS_MAX,
	 "most workers that run at a time (default: as many as there are cpus)"},
	{"cpus", "N", OPT_CPUS,
	 "cpus that workers may use, also 1.5 (default: those this process may use)"},
	{"module", "PATH", OPT_MODULE,
	 "load this module in every native worker; repeatable"},
	{"label", "KEY=VALUE", OPT_LABEL, "a label that pools can ask for; repeatable"},
	{"worker", "PATH", OPT_WORKER,
	 "program of native workers (default: beside " PROGRAM ")"},
	{"insecure", NULL, OPT_INSECURE,
	 "join over tcp without TLS: whoever is on the path can run code here"},
	{"tls-ca", "FILE", OPT_TLS_CA,
	 "who signed the coordinator's certificate (PEM; default: REMUDA_CA, else the "
	 "system's authorities)"},
	{"tls-cert", "FILE", OPT_TLS_CERT,
	 "this agent's certificate, where the coordinator wants one (PEM; default: "
	 "REMUDA_CERT)"},
	{"tls-key", "FILE", OPT_TLS_KEY, "its private key (PEM; default: REMUDA_KEY)"},
	{"tls-name", "NAME", OPT_TLS_NAME,
	 "what the coordinator's certificate is for (default: REMUDA_TLS_NAME, else the "
	 "host)"},
	{"token-file", "FILE", OPT_TOKEN_FILE,
	 "file with this agent's token (default: REMUDA_TOKEN_FILE, or REMUDA_TOKEN)"},
	{"orphan", "SECONDS", OPT_ORPHAN,
	 "when the coordinator is lost, tasks that run may run on so long (default 10)"},
	{"stop-grace", "SECONDS", OPT_STOP_GRACE,
	 "from SIGTERM to SIGKILL for a worker (default 5)"},
	{"cancel-grace", "SECONDS", OPT_CANCEL_GRACE,
	 "from a task's cancelling to SIGTERM for its worker (default 1)"},
	{"ready-fd", "N", OPT_READY_FD,
	 "when attached to the coordinator, write \"ready\" to this descriptor and close "
	 "it"},
	{"log-level", "LEVEL", OPT_LOG_LEVEL, "error, warn, info (default) or debug"},
	{"help", NULL, OPT_HELP, "print this text"},
	{"version", NULL, OPT_VERSION, "print the version"},
};

#define ROW_COUNT (sizeof rows / sizeof *rows)

static void print_help(void)
{
	puts("usage: " PROGRAM " --coordinator ADDRESS [OPTION]...\n"
	     "\n"
	     "Runs workers on this host for a remuda coordinator.\n");
	for (size_t i = 0; i < ROW_COUNT; i++) {
		char left[64];
		snprintf(left, sizeof left, "--%s%s%s", rows[i].name,
			 rows[i].argument != NULL ? " " : "",
			 rows[i].argument != NULL ? rows[i].argument : "");
		printf("  %-24s %s\n", left, rows[i].help);
	}
	puts("\n"
	     "When the coordinator is lost, the agent ends its workers and joins again, "
	     "with back-off.\n"
	     "Readiness (sd_notify, --ready-fd) is told when the coordinator has "
	     "welcomed it first.\n"
	     "Signals: SIGTERM and SIGINT drain (what runs ends, nothing begins); a "
	     "second one stops\n"
	     "at once. Exit codes: 0 ended in order, 2 usage, 4 out of a resource.\n"
	     "\n"
	     "Example: " PROGRAM
	     " --coordinator tcp:10.0.0.1:7070 --insecure --label disk=ssd");
}

/* A number with an optional fraction, times `scale`. */
static int parse_scaled(const char *name, const char *text, double scale, double most,
			uint64_t *ret_number)
{
	char *end;
	double number = strtod(text, &end);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || !isfinite(number) ||
	    number > most) {
		fprintf(stderr,
			PROGRAM ": --%s takes a number from 0 to %.0f, not \"%s\"\n",
			name, most, text);
		return RMD_EINVAL;
	}
	*ret_number = (uint64_t)(number * scale + 0.5);
	return 0;
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
			PROGRAM
			": --%s takes a whole number from 0 to %llu, not \"%s\"\n",
			name, (unsigned long long)most, text);
		return RMD_EINVAL;
	}
	*ret_number = number;
	return 0;
}

static int add_to(const char *name, const char **list, size_t *count, size_t most,
		  const char *value)
{
	if (*count == most) {
		fprintf(stderr, PROGRAM ": --%s can be given at most %zu times\n", name,
			most);
		return RMD_EINVAL;
	}
	list[(*count)++] = value;
	return 0;
}

/* By its whole path: workers run elsewhere, and the loader looks for a bare name in the
 * system's folders. */
static int add_module(struct rmd_agent_config *config, const char *value)
{
	static char *paths[RMD_AGENT_MODULES_GIVEN_MAX]; /* kept to the end */
	if (config->module_count < RMD_AGENT_MODULES_GIVEN_MAX) {
		char *path = realpath(value, NULL);
		if (path == NULL || access(path, R_OK) < 0) {
			fprintf(stderr, PROGRAM ": --module %s: %s\n", value, strerror(errno));
			free(path);
			return RMD_EINVAL;
		}
		paths[config->module_count] = path;
		value = paths[config->module_count];
	}
	return add_to("module", config->modules, &config->module_count,
		      RMD_AGENT_MODULES_GIVEN_MAX, value);
}

static int add_label(struct rmd_agent_config *config, const char *text)
{
	const char *equals = strchr(text, '=');
	if (equals == NULL || equals == text || equals - text > 128 ||
	    strlen(equals + 1) > 128) {
		fprintf(stderr,
			PROGRAM
			": --label takes KEY=VALUE, each at most 128 bytes, not \"%s\"\n",
			text);
		return RMD_EINVAL;
	}
	return add_to("label", config->labels, &config->label_count,
		      RMD_AGENT_LABELS_GIVEN_MAX, text);
}

static int take_numbers(struct rmd_agent_config *config, int code, const char *value)
{
	uint64_t n = 0;
	int rc;
	switch (code) {
	case OPT_WORKERS_MAX:
		rc = parse_number("workers-max", value, 4096, &n);
		config->workers_max = (uint32_t)n;
		return rc;
	case OPT_CPUS:
		rc = parse_scaled("cpus", value, 1000, 4096, &n);
		config->cpu_milli = (uint32_t)n;
		return rc;
	case OPT_READY_FD:
		rc = parse_number("ready-fd", value, 1 << 20, &n);
		config->ready_fd = (int)n;
		return rc;
	case OPT_ORPHAN:
		return parse_scaled("orphan", value, 1000, 1e6, &config->orphan_ms);
	case OPT_STOP_GRACE:
		return parse_scaled("stop-grace", value, 1000, 1e6,
				    &config->stop_grace_ms);
	default:
		return parse_scaled("cancel-grace", value, 1000, 1e6,
				    &config->cancel_grace_ms);
	}
}

/* Takes one option. 0, RMD_EINVAL (said), or RMD_ECLOSED: nothing is left to do. */
static int take(struct rmd_agent_config *config, int code, const char *value)
{
	enum rmd_log_level level;
	switch (code) {
	case OPT_COORDINATOR:
		config->coordinator = value;
		return 0;
	case OPT_NAME:
		if (strlen(value) == 0 || strlen(value) > 256) {
			fputs(PROGRAM ": --name takes 1 to 256 bytes\n", stderr);
			return RMD_EINVAL;
		}
		config->name = value;
		return 0;
	case OPT_MODULE:
		return add_module(config, value);
	case OPT_LABEL:
		return add_label(config, value);
	case OPT_WORKER:
		config->worker_path = value;
		return 0;
	case OPT_INSECURE:
		config->insecure = true;
		return 0;
	case OPT_TLS_CA:
		config->tls_ca = value;
		return 0;
	case OPT_TLS_CERT:
		config->tls_cert = value;
		return 0;
	case OPT_TLS_KEY:
		config->tls_key = value;
		return 0;
	case OPT_TLS_NAME:
		config->tls_name = value;
		return 0;
	case OPT_TOKEN_FILE:
		config->token_file = value;
		return 0;
	case OPT_LOG_LEVEL:
		if (rmd_log_level_parse(value, &level) < 0) {
			fprintf(stderr,
				PROGRAM ": --log-level takes error, warn, info or debug, "
					"not \"%s\"\n",
				value);
			return RMD_EINVAL;
		}
		rmd_log_set_level(level);
		return 0;
	case OPT_HELP:
		print_help();
		return RMD_ECLOSED;
	case OPT_VERSION:
		puts(PROGRAM " " REMUDA_VERSION);
		return RMD_ECLOSED;
	case '?':
		return RMD_EINVAL; /* getopt has said why */
	default:
		return take_numbers(config, code, value);
	}
}

static int check(const struct rmd_agent_config *config)
{
	if (config->coordinator == NULL) {
		fputs(PROGRAM ": --coordinator is missing (unix:PATH, tcp:HOST:PORT or "
			      "dns:///HOST:PORT)\n",
		      stderr);
		return RMD_EINVAL;
	}
	if (config->insecure && (config->tls_ca != NULL || config->tls_cert != NULL ||
				 config->tls_key != NULL)) {
		fputs(PROGRAM ": --insecure is without TLS: leave it out, or leave out "
			      "--tls-ca, --tls-cert and --tls-key\n",
		      stderr);
		return RMD_EINVAL;
	}
	return 0;
}

int rmd_agent_config_parse(int argc, char **argv, struct rmd_agent_config *ret_config,
			   enum rmd_agent_exit *ret_exit)
{
	struct option options[ROW_COUNT + 1] = {{0}};
	int code, rc = 0;
	for (size_t i = 0; i < ROW_COUNT; i++)
		options[i] = (struct option){
			.name = rows[i].name,
			.has_arg = rows[i].argument != NULL ? required_argument
							    : no_argument,
			.val = rows[i].code,
		};
	*ret_config = (struct rmd_agent_config){.ready_fd = -1, .orphan_ms = 10000};
	*ret_exit = RMD_AGENT_EXIT_USAGE;
	while (rc == 0 && (code = getopt_long(argc, argv, "", options, NULL)) != -1)
		rc = take(ret_config, code, optarg);
	if (rc == RMD_ECLOSED) {
		*ret_exit = RMD_AGENT_EXIT_OK;
		return RMD_EINVAL;
	}
	if (rc == 0 && optind < argc) {
		fprintf(stderr, PROGRAM ": \"%s\" is not an option\n", argv[optind]);
		rc = RMD_EINVAL;
	}
	if (rc == 0)
		rc = check(ret_config);
	if (rc < 0)
		fputs("Try \"" PROGRAM " --help\".\n", stderr);
	return rc;
}
