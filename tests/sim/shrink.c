#include "tests/sim/shrink.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/world.h"

#define TRY_SECONDS 300u

static void be_quiet(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0)
		return;
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
}

bool sim_try(const struct sim_options *options, bool quietly, uint64_t *ret_step)
{
	uint64_t *step = mmap(NULL, sizeof(*step), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (step == MAP_FAILED) {
		perror("remuda-sim: mmap");
		exit(2);
	}
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		struct sim_summary summary;
		if (quietly)
			be_quiet();
		alarm(TRY_SECONDS);
		sim_failed_step = step;
		sim_run(options, &summary);
		_exit(0);
	}
	int status = 0;
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("remuda-sim: fork");
		exit(2);
	}
	*ret_step = *step;
	munmap(step, sizeof(*step));
	return status != 0;
}

/* Takes `smaller` over if it fails too; its events end where it failed. */
static bool take_over(struct sim_options *options, struct sim_options smaller)
{
	uint64_t step;
	if (!sim_try(&smaller, true, &step))
		return false;
	if (step != 0 && step < smaller.events)
		smaller.events = step;
	*options = smaller;
	fprintf(stderr, "still fails: %" PRIu64 " events\n", options->events);
	return true;
}

static bool fewer_events(struct sim_options *options)
{
	uint64_t before = options->events, cut = options->events / 2;
	while (cut > 0) {
		struct sim_options smaller = *options;
		smaller.events -= cut;
		if (!take_over(options, smaller))
			cut /= 2;
		else if (cut > options->events / 2)
			cut = options->events / 2;
	}
	return options->events < before;
}

static bool less_trouble(struct sim_options *options)
{
	bool any = false;
	for (uint32_t i = 0; i < SIM_FAULT_COUNT; i++) {
		struct sim_options smaller = *options;
		smaller.without |= UINT32_C(1) << i;
		if (smaller.without != options->without)
			any = take_over(options, smaller) || any;
	}
	return any;
}

static bool fewer_peers(struct sim_options *options)
{
	bool any = false;
	for (uint32_t n = 1; n < SIM_CLIENTS_MAX; n++) {
		struct sim_options smaller = *options;
		smaller.clients = n;
		if (options->clients != 0 && n >= options->clients)
			break;
		if (take_over(options, smaller)) {
			any = true;
			break;
		}
	}
	for (uint32_t n = 1; n < SIM_AGENTS_MAX; n++) {
		struct sim_options smaller = *options;
		smaller.agents = n;
		if (options->agents != 0 && n >= options->agents)
			break;
		if (take_over(options, smaller)) {
			any = true;
			break;
		}
	}
	return any;
}

void sim_shrink(struct sim_options *options)
{
	bool more = true;
	for (unsigned round = 0; more && round < 4; round++) {
		more = less_trouble(options);
		more = fewer_peers(options) || more;
		more = fewer_events(options) || more;
	}
}
