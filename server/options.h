/* server/options.h: what remudad's command line says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RMD_LISTENERS_MAX 16u
#define RMD_MODULES_MAX   64u

/* Exit codes of remudad. */
enum rmd_exit {
	RMD_EXIT_OK = 0,
	RMD_EXIT_USAGE = 2,          /* the command line is wrong */
	RMD_EXIT_LISTEN = 3,         /* an address cannot be listened on */
	RMD_EXIT_SYSTEM = 4,         /* memory, descriptors or processes are missing */
};

/* All strings are borrowed from argv. */
struct rmd_server_config {
	const char *listen[RMD_LISTENERS_MAX];
	size_t listen_count;
	const char *modules[RMD_MODULES_MAX];
	size_t module_count;
	bool insecure;
	const char *tls_cert, *tls_key; /* of tcp listeners; NULL: none */
	const char *tls_ca;          /* clients' certificates are asked for; NULL: not */
	const char *tokens;          /* file of those who may call by TCP; NULL: none */
	bool agent;                  /* the built-in agent is wanted */
	uint32_t local_workers;      /* its most workers; 0: one a cpu */
	bool private_mode;           /* started by a client library, for that client alone */
	int client_fd;               /* connected to the client; -1: none */
	int client_pidfd;            /* ends with the client; -1: none */
	int memory_fd;               /* where it posts shared memory; -1: nowhere */
	int ready_fd;                /* told "ready ADDRESS...\n" and closed; -1: none */
	const char *worker_path;     /* NULL: beside our own program */
	uint64_t grace_ms;           /* how long SIGTERM lets tasks run */
	uint64_t cancel_grace_ms;    /* from the cancel of a task to SIGTERM; 0: the agent's own */
	uint64_t client_grace_ms;    /* how long a lost client may come back */
	uint64_t retention_ms;       /* how long outcomes wait that nobody is there for */
	uint64_t retained_bytes;     /* at most so much of them */
	uint32_t workers_lost_max;   /* by one task */
	uint64_t cannot_run_ms;      /* until what no agent suits fails; UINT64_MAX: never */
	uint64_t payload_budget_bytes;
	uint64_t blob_budget_bytes;
	uint64_t shared_bytes;       /* of memory shared with each local client; 0: none */
};

/* Reads the command line. 0: go on; else exit with *ret_exit: help and version were
 * printed to stdout, mistakes to stderr. */
int rmd_options_parse(int argc, char **argv, struct rmd_server_config *ret_config,
		      enum rmd_exit *ret_exit);
