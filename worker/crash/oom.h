/* worker/crash/oom.h: whether the kernel has killed for lack of memory.
 *
 * The proof is the kernel's own count for the memory cgroup that agent and workers are
 * in: `oom_kill` of memory.events (version 2) or memory.oom_control (version 1). Each
 * kill in it explains one worker that died of a SIGKILL that nobody here has sent. One
 * thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RMD_OOM_PATH_MAX 512

struct rmd_oom {
	char group[RMD_OOM_PATH_MAX]; /* folder of the cgroup */
	char file[RMD_OOM_PATH_MAX];  /* with its count; "" : there is none */
	uint64_t explained; /* kills up to here have their worker, or none of ours */
	uint64_t looked;    /* the count at the last look */
};

/* That the kernel killed a process of `group`: its count rose between two looks. */
struct rmd_oom_proof {
	char group[RMD_OOM_PATH_MAX];
	uint64_t before, after;
};

/* Finds the calling process's cgroup. `cgroup_path` is its list (/proc/self/cgroup),
 * `mounts_path` the list of mounts (/proc/self/mountinfo). Where there is no count, no
 * look finds anything. */
void rmd_oom_init(struct rmd_oom *oom, const char *cgroup_path, const char *mounts_path);
/* Looks: what rose until the look before this one explains no later death. To be called
 * now and then, seconds apart. */
void rmd_oom_look(struct rmd_oom *oom);
/* What rose until now explains no later death. */
void rmd_oom_settle(struct rmd_oom *oom);
/* A process has died of SIGKILL: whether the count proves that the kernel killed it. */
bool rmd_oom_prove(struct rmd_oom *oom, struct rmd_oom_proof *ret_proof);
