#include "server/store/jobs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/alloc.h"

struct rmd_jobs {
	struct rmd_loop *loop;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct rmd_job *first, **last;
	bool stopping;
};

static void job_done(struct rmd_post *post)
{
	struct rmd_job *job = (struct rmd_job *)((char *)post - offsetof(struct rmd_job, post));
	job->done(job);
}

static void *run(void *arg)
{
	struct rmd_jobs *jobs = arg;
	pthread_mutex_lock(&jobs->lock);
	for (;;) {
		while (jobs->first == NULL && !jobs->stopping)
			pthread_cond_wait(&jobs->more, &jobs->lock);
		if (jobs->stopping)
			break;
		struct rmd_job *job = jobs->first;
		jobs->first = job->next;
		if (jobs->first == NULL)
			jobs->last = &jobs->first;
		pthread_mutex_unlock(&jobs->lock);
		job->work(job);
		job->post = (struct rmd_post){.run = job_done};
		rmd_loop_post(jobs->loop, &job->post);
		pthread_mutex_lock(&jobs->lock);
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

struct rmd_jobs *rmd_jobs_create(struct rmd_loop *loop)
{
	struct rmd_jobs *jobs = rmd_calloc(1, sizeof *jobs);
	if (jobs == NULL)
		return NULL;
	jobs->loop = loop;
	jobs->last = &jobs->first;
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->more, NULL);
	if (pthread_create(&jobs->thread, NULL, run, jobs) != 0) {
		pthread_cond_destroy(&jobs->more);
		pthread_mutex_destroy(&jobs->lock);
		rmd_free(jobs);
		return NULL;
	}
	return jobs;
}

void rmd_jobs_submit(struct rmd_jobs *jobs, struct rmd_job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&jobs->lock);
	*jobs->last = job;
	jobs->last = &job->next;
	pthread_cond_signal(&jobs->more);
	pthread_mutex_unlock(&jobs->lock);
}

void rmd_jobs_destroy(struct rmd_jobs *jobs)
{
	if (jobs == NULL)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->stopping = true;
	pthread_cond_signal(&jobs->more);
	pthread_mutex_unlock(&jobs->lock);
	pthread_join(jobs->thread, NULL);
	pthread_cond_destroy(&jobs->more);
	pthread_mutex_destroy(&jobs->lock);
	rmd_free(jobs);
}
