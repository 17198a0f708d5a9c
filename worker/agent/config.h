/* worker/agent/config.h: the command line of remuda-agent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RMD_AGENT_MODULES_GIVEN_MAX 64u
#define RMD_AGENT_LABELS_GIVEN_MAX 64u

/* Exit codes of remuda-agent. */
enum rmd_agent_exit {
	RMD_AGENT_EXIT_OK = 0, /* drained, or stopped by a signal */
	RMD_AGENT_EXIT_USAGE = 2,
	RMD_AGENT_EXIT_SYSTEM = 4, /* out of a resource */
};

/* All texts are borrowed from argv. */
struct rmd_agent_config {
	const char *coordinator;
	const char *name;
	const char *worker_path;
	const char *modules[RMD_AGENT_MODULES_GIVEN_MAX];
	size_t module_count;
	const char *labels[RMD_AGENT_LABELS_GIVEN_MAX];
	size_t label_count;
	uint32_t workers_max;
	uint32_t cpu_milli;
	uint64_t orphan_ms;
	uint64_t stop_grace_ms;
	uint64_t cancel_grace_ms;
	int ready_fd; /* -1: none */
	bool insecure;
	/* NULL: as the environment says (proto/rpc/identity.h). */
	const char *tls_ca, *tls_cert, *tls_key, *tls_name, *token_file;
};

/* Reads the command line. 0: go on. RMD_EINVAL: end with *ret_exit; what was to be said
 * has been printed (help and version too). */
int rmd_agent_config_parse(int argc, char **argv, struct rmd_agent_config *ret_config,
			   enum rmd_agent_exit *ret_exit);
