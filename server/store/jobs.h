/* server/store/jobs.h: a thread for what the loop's thread must not do: hash, copy,
 * read files.
 *
 * Jobs run one after another, in the order in which they came. */
#pragma once

#include "proto/rpc/rpc.h"

struct rmd_jobs;

/* One job, embedded by its owner; it is the jobs' own from submit until `done` is
 * called. */
struct rmd_job {
	void (*work)(struct rmd_job *job);   /* on the jobs' thread */
	void (*done)(struct rmd_job *job);   /* then on the loop's thread; may free the job */
	struct rmd_post post;
	struct rmd_job *next;
};

/* Starts the thread. NULL: out of memory or threads. */
struct rmd_jobs *rmd_jobs_create(struct rmd_loop *loop);
/* Loop's thread. */
void rmd_jobs_submit(struct rmd_jobs *jobs, struct rmd_job *job);
/* Waits for the running job, runs `done` of no further one, and frees. Jobs that have
 * not been done are left to their owners. NULL is allowed. */
void rmd_jobs_destroy(struct rmd_jobs *jobs);
