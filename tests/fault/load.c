/* tests/fault/load.c: a client that loads a coordinator and counts how its tasks end.
 *
 * fault_load ADDRESS JOURNAL LEDGER SEED TASKS WINDOW
 *
 * Submits TASKS tasks of mixed kinds, at most WINDOW at a time: short ones, large ones,
 * ones that are cancelled, that miss their deadline, that kill their worker. The tasks
 * write to JOURNAL when they begin (module.c). LEDGER gets a line "ID" for each outcome
 * as it comes, so that those of a client that is killed can be counted too. At the end
 * one JSON object: how many were submitted, ended, ended twice, never ended (lost), gave
 * another value than they should (wrong), and how often each kind of end came. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <remuda/remuda.h>

#define LARGE_BYTES (200u << 10)
#define TYPES_MAX 32u
#define PATIENCE_S 240

enum kind { SHORT, LARGE, CANCELLED, LATE, DEADLY };

struct task {
	struct load *load;
	int64_t id;
	enum kind kind;
	uint32_t ends;
};

struct load {
	struct remuda *client;
	const char *journal;
	int ledger_fd;
	uint64_t random;
	uint8_t *large;
	int64_t large_sum;
	pthread_mutex_t lock;
	pthread_cond_t room;
	/* Under the lock. */
	uint64_t open, ended, twice, wrong, values;
	char *types[TYPES_MAX]; /* owned */
	uint64_t counts[TYPES_MAX];
};

static uint64_t next(struct load *load)
{
	uint64_t x = load->random += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static void count_type(struct load *load, const char *type)
{
	size_t i = 0;
	while (i < TYPES_MAX - 1 && load->types[i] != NULL &&
	       strcmp(load->types[i], type) != 0)
		i++;
	if (load->types[i] == NULL)
		load->types[i] = strdup(type);
	load->counts[i]++;
}

/* On the client's thread: the task has ended. */
static void on_done(struct remuda_future *future, void *ctx)
{
	struct task *task = ctx;
	struct load *load = task->load;
	struct remuda_error *err = NULL;
	int64_t value = 0;
	char line[32];
	int rc = remuda_get(future, &value, &err);
	int len = snprintf(line, sizeof line, "%lld\n", (long long)task->id);
	if (write(load->ledger_fd, line, (size_t)len) != len)
		abort();
	pthread_mutex_lock(&load->lock);
	task->ends++;
	load->twice += task->ends > 1;
	load->ended += task->ends == 1;
	load->open--;
	if (rc == 0) {
		load->values++;
		load->wrong += value != 2 * task->id + 1;
	} else if (rc == REMUDA_ECANCELLED) {
		count_type(load, "cancelled");
	} else {
		count_type(load,
			   err != NULL ? remuda_error_type(err) : remuda_code_text(rc));
	}
	pthread_cond_signal(&load->room);
	pthread_mutex_unlock(&load->lock);
	remuda_error_free(err);
}

static enum kind pick(struct load *load)
{
	uint64_t die = next(load) % 1000;
	return die < 860   ? SHORT
	       : die < 900 ? LARGE
	       : die < 950 ? CANCELLED
	       : die < 995 ? LATE
			   : DEADLY;
}

static struct remuda_future *submit(struct load *load, struct task *task)
{
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	const char *path = load->journal;
	int64_t id = task->id, most = 1 + (int64_t)(next(load) % 3);
	struct remuda_bytes bytes = {load->large, LARGE_BYTES};
	options.max_attempts = (uint32_t)most;
	switch (task->kind) {
	case SHORT:
		return remuda_submit_name_with(load->client, &options,
					       "native:fault.mark", path, id, most,
					       (int64_t)(next(load) % 3000));
	case LARGE:
		return remuda_submit_name_with(load->client, &options,
					       "native:fault.weigh", path, id, most,
					       bytes, load->large_sum);
	case CANCELLED:
		return remuda_submit_name_with(load->client, &options,
					       "native:fault.mark", path, id, most,
					       (int64_t)(next(load) % 50000));
	case LATE:
		options.deadline_ms = 1 + next(load) % 100;
		return remuda_submit_name_with(load->client, &options,
					       "native:fault.mark", path, id, most,
					       (int64_t)(next(load) % 100000));
	case DEADLY:
		return remuda_submit_name_with(load->client, &options, "native:fault.die",
					       path, id, most);
	}
	return NULL;
}

static void run_one(struct load *load, struct task *task, uint64_t window)
{
	pthread_mutex_lock(&load->lock);
	while (load->open >= window)
		pthread_cond_wait(&load->room, &load->lock);
	load->open++;
	pthread_mutex_unlock(&load->lock);
	struct remuda_future *future = submit(load, task);
	if (future == NULL)
		abort();
	if (task->kind == CANCELLED)
		(void)remuda_cancel(future);
	if (remuda_on_done(future, on_done, task) < 0)
		abort();
}

/* Waits until all have ended, or for long enough to call the others lost. */
static void await_all(struct load *load)
{
	struct timespec until;
	int rc = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&load->lock);
	while (load->open > 0 && rc == 0)
		rc = pthread_cond_timedwait(&load->room, &load->lock, &until);
	pthread_mutex_unlock(&load->lock);
}

static void report(struct load *load, uint64_t submitted)
{
	pthread_mutex_lock(&load->lock);
	printf("{\"submitted\": %llu, \"ended\": %llu, \"twice\": %llu, \"lost\": %llu, "
	       "\"wrong\": %llu, \"value\": %llu",
	       (unsigned long long)submitted, (unsigned long long)load->ended,
	       (unsigned long long)load->twice,
	       (unsigned long long)(submitted - load->ended),
	       (unsigned long long)load->wrong, (unsigned long long)load->values);
	for (size_t i = 0; i < TYPES_MAX && load->types[i] != NULL; i++)
		printf(", \"%s\": %llu", load->types[i],
		       (unsigned long long)load->counts[i]);
	puts("}");
	pthread_mutex_unlock(&load->lock);
}

int main(int argc, char **argv)
{
	if (argc != 7) {
		fputs("usage: fault_load ADDRESS JOURNAL LEDGER SEED TASKS WINDOW\n",
		      stderr);
		return 2;
	}
	struct load load = {.journal = argv[2],
			    .random = strtoull(argv[4], NULL, 10),
			    .lock = PTHREAD_MUTEX_INITIALIZER,
			    .room = PTHREAD_COND_INITIALIZER};
	uint64_t count = strtoull(argv[5], NULL, 10),
		 window = strtoull(argv[6], NULL, 10);
	struct task *tasks = calloc(count, sizeof *tasks);
	load.large = malloc(LARGE_BYTES);
	load.ledger_fd = open(argv[3], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (tasks == NULL || load.large == NULL || load.ledger_fd < 0)
		abort();
	for (size_t i = 0; i < LARGE_BYTES; i++)
		load.large_sum += load.large[i] = (uint8_t)next(&load);
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	options.address = argv[1];
	options.client_name = "fault_load";
	load.client = remuda_open_with(&options, &err);
	if (load.client == NULL) {
		remuda_error_print(err, stderr);
		return 3;
	}
	/* Ids of different loads differ: the seed is part of them. */
	int64_t first = (int64_t)(strtoull(argv[4], NULL, 10) % 1000000) * 10000000;
	for (uint64_t i = 0; i < count; i++) {
		tasks[i] = (struct task){&load, first + (int64_t)i, pick(&load), 0};
		run_one(&load, &tasks[i], window);
	}
	await_all(&load);
	report(&load, count);
	remuda_close(load.client);
	close(load.ledger_fd);
	for (size_t i = 0; i < TYPES_MAX; i++)
		free(load.types[i]);
	free(load.large);
	free(tasks);
	return 0;
}
