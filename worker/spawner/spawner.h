/* worker/spawner/spawner.h: the small process that is the parent of the workers.
 *
 * Exec'ed from our own binary (`PROGRAM --spawner`) before gRPC starts its threads. It is
 * a subreaper, has one thread, and speaks packets on one socket: start a program, signal
 * a process group, tell how a process ended. When the agent's end of the socket closes,
 * or on SIGTERM, it kills everything below it and exits; should it be killed itself, the
 * workers get SIGKILL (PR_SET_PDEATHSIG) and what they started falls to the agent's
 * process, which is a subreaper too.
 *
 * What a worker process has: a session and process group of its own, all signals default
 * and unblocked, exactly the descriptors of the request (0, 1 and 2 are /dev/null where
 * the request says nothing), the spawner's environment with the request's on top. When a
 * worker ends, what is left of its process group and session is killed.
 *
 * The functions here are the agent's end: one thread at a time, never blocking. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Limits of a request; beyond them RMD_ETOOBIG. */
#define RMD_SPAWN_FDS_MAX 96u	    /* descriptors */
#define RMD_SPAWN_NUMBER_MAX 1023   /* highest number of a descriptor in the child */
#define RMD_SPAWN_STRINGS_MAX 1024u /* arguments and variables together */
#define RMD_SPAWN_BODY_MAX (120u * 1024u) /* bytes of all strings with their NULs */
/* Most processes at a time; beyond: the report says EAGAIN. */
#define RMD_SPAWN_CHILDREN_MAX 4096u

/* Starts the spawner by posix_spawn of /proc/self/exe with the argument "--spawner" (no
 * fork handlers run; still meant to come before grpc_init). The calling process becomes a
 * subreaper. On success *ret_fd is the agent's end of its socket (non-blocking,
 * close-on-exec, owned by the caller), *ret_pid its process, to be waited for by the
 * caller once the descriptor is closed. The spawner ends also when the calling *thread*
 * ends. RMD_ESYS. */
int rmd_spawner_start(int *ret_fd, pid_t *ret_pid);

/* Once the spawner is gone: waits for it, and kills and waits for every process that has
 * fallen to the calling process as the nearest subreaper: its children in sessions other
 * than its own that are not spawners. Blocks for as long as the kernel takes to end them
 * (milliseconds). */
void rmd_spawner_bury(pid_t pid);

/* The spawner's main: called first thing by a program whose argv[1] is "--spawner". Does
 * not return. */
_Noreturn void rmd_spawner_main(void);

/* A descriptor for the child. */
struct rmd_spawn_fd {
	int fd;	    /* here; borrowed for the call */
	int number; /* what the child shall call it, 0 to RMD_SPAWN_NUMBER_MAX */
};

/* A program to start. All borrowed for the call. */
struct rmd_spawn_request {
	uint64_t id; /* chosen by the caller; comes back in reports; unique, not 0 */
	const char *program; /* a path, also /proc/self/fd/NUMBER; not searched on PATH */
	const char *const *argv; /* NULL-terminated, with argv[0] */
	const char *const
		*env; /* "NAME=VALUE", NULL-terminated, over the spawner's own; or NULL */
	const char *cwd; /* NULL: the spawner's */
	const struct rmd_spawn_fd *fds;
	size_t fd_count;
};

/* Asks for a start; a STARTED or FAILED report with this id follows. RMD_EAGAIN: the
 * socket is full; RMD_ETOOBIG, RMD_EINVAL: bad request; RMD_ECLOSED: the spawner is gone;
 * RMD_ESYS. */
int rmd_spawner_spawn(int fd, const struct rmd_spawn_request *request);

/* Sends `signal_number` to the process group of `id`; nothing happens when that has
 * ended. RMD_EAGAIN, RMD_ECLOSED, RMD_ESYS. */
int rmd_spawner_signal(int fd, uint64_t id, int signal_number);

enum rmd_spawn_report_kind {
	RMD_SPAWN_STARTED, /* the program runs (exec has succeeded) */
	RMD_SPAWN_FAILED,  /* it could not be started: error, stage */
	RMD_SPAWN_EXITED,  /* it has ended and been waited for: wait_status */
};

/* What failed of a start. */
enum rmd_spawn_stage {
	RMD_SPAWN_STAGE_NONE,
	RMD_SPAWN_STAGE_FORK,  /* no process could be made */
	RMD_SPAWN_STAGE_SETUP, /* descriptors, session */
	RMD_SPAWN_STAGE_CWD,
	RMD_SPAWN_STAGE_EXEC,
};

struct rmd_spawn_report {
	enum rmd_spawn_report_kind kind;
	uint64_t id;
	pid_t pid;		    /* STARTED, EXITED */
	int pidfd;		    /* STARTED: gives a pidfd, close-on-exec; else -1 */
	int error;		    /* FAILED: an errno value */
	enum rmd_spawn_stage stage; /* FAILED */
	int wait_status;	    /* EXITED: as of waitpid */
	uint64_t peak_bytes; /* EXITED: most memory that it or a child it waited for had */
};

/* Reads one report. RMD_EAGAIN: none now; RMD_ECLOSED: the spawner is gone; RMD_EPROTO.
 */
int rmd_spawner_read(int fd, struct rmd_spawn_report *ret_report);
