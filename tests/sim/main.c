/* tests/sim/main.c: the program: which seeds to run, and what to say of them. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "tests/sim/options.h"
#include "tests/sim/scale.h"
#include "tests/sim/shrink.h"
#include "tests/sim/world.h"

#define EVENTS_DEFAULT 1000000u
#define EVENTS_A_SEED 100000u /* where --seeds does not say how to divide them */
#define LINE_MAX_BYTES 512u
#define LINE_WORDS_MAX 24u

struct command {
	struct sim_options options;
	uint64_t events, seeds, tasks;
	uint32_t agents, workers; /* --scale */
	const char *corpus;
	bool seed_given, shrink;
};

struct totals {
	uint64_t seeds, events, accepted;
	double seconds;
};

static const char usage_text[] =
	"usage: remuda-sim [options]\n"
	"\n"
	"Runs the scheduler (server/core) with model clients, agents and network under "
	"a\n"
	"virtual clock, and checks after every event what must always hold.\n"
	"\n"
	"  --events N        events in all (default 1000000), 100000 for each seed;\n"
	"                    with --seed all for that one, with --seeds divided\n"
	"  --seed S          the first seed (default: random, printed)\n"
	"  --seeds K         how many seeds: S, S + 1, …\n"
	"  --without A,B     switch kinds of trouble off (see below)\n"
	"  --clients N, --agents N   no more than so many\n"
	"  --corpus FILE     first run each line of FILE: \"SEED EVENTS [WITHOUT] # "
	"why\"\n"
	"  --shrink          make the first seed that fails as small as it can be\n"
	"  --trace           say everything that happens\n"
	"  --quiet           no line for each seed\n"
	"  --scale AxW       with A agents of W workers each: what decisions and tasks\n"
	"                    cost; --tasks N: from 1000 to N (default 10000000)\n"
	"\n"
	"Exit status: 0, 1 where a seed fails (it is printed), 2 wrong usage.\n"
	"\n"
	"Trouble:\n";

static void usage(FILE *to)
{
	static const char *const texts[] = {
#define X(name, word, text) [name] = text,
		SIM_FAULTS(X)
#undef X
	};
	fputs(usage_text, to);
	for (uint32_t i = 0; i < SIM_FAULT_COUNT; i++)
		fprintf(to, "  %-12s %s\n", sim_fault_word((enum sim_fault)i), texts[i]);
}

static _Noreturn void wrong(const char *what)
{
	fprintf(stderr, "remuda-sim: %s; see remuda-sim --help\n", what);
	exit(2);
}

static uint64_t number(const char *text, const char *what)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0')
		wrong(what);
	return value;
}

static void read_scale(struct command *command, const char *text)
{
	if (sscanf(text, "%" SCNu32 "x%" SCNu32, &command->agents, &command->workers) !=
		    2 ||
	    command->agents == 0 || command->workers == 0)
		wrong("--scale is AGENTSxWORKERS, such as 10000x64");
}

enum option_number {
	OPT_EVENTS = 256,
	OPT_SEED,
	OPT_SEEDS,
	OPT_WITHOUT,
	OPT_CLIENTS,
	OPT_AGENTS,
	OPT_CORPUS,
	OPT_SHRINK,
	OPT_TRACE,
	OPT_QUIET,
	OPT_SCALE,
	OPT_TASKS,
	OPT_HELP,
};

static void read_option(struct command *command, int option, const char *value)
{
	struct sim_options *options = &command->options;
	switch (option) {
	case OPT_EVENTS:
		command->events = number(value, "--events is a number");
		return;
	case OPT_SEED:
		options->seed = number(value, "--seed is a number");
		command->seed_given = true;
		return;
	case OPT_SEEDS:
		command->seeds = number(value, "--seeds is a number");
		return;
	case OPT_WITHOUT:
		if (!sim_faults_read(value, &options->without))
			wrong("--without has a word that is no kind of trouble");
		return;
	case OPT_CLIENTS:
		options->clients = (uint32_t)number(value, "--clients is a number");
		return;
	case OPT_AGENTS:
		options->agents = (uint32_t)number(value, "--agents is a number");
		return;
	case OPT_CORPUS:
		command->corpus = value;
		return;
	case OPT_SHRINK:
		command->shrink = true;
		return;
	case OPT_TRACE:
		options->trace = true;
		return;
	case OPT_QUIET:
		options->quiet = true;
		return;
	case OPT_SCALE:
		read_scale(command, value);
		return;
	case OPT_TASKS:
		command->tasks = number(value, "--tasks is a number");
		return;
	case OPT_HELP:
		usage(stdout);
		exit(0);
	default:
		wrong("an option is not known");
	}
}

static void read_command(int argc, char **argv, struct command *command)
{
	static const struct option options[] = {
		{"events", required_argument, NULL, OPT_EVENTS},
		{"seed", required_argument, NULL, OPT_SEED},
		{"seeds", required_argument, NULL, OPT_SEEDS},
		{"without", required_argument, NULL, OPT_WITHOUT},
		{"clients", required_argument, NULL, OPT_CLIENTS},
		{"agents", required_argument, NULL, OPT_AGENTS},
		{"corpus", required_argument, NULL, OPT_CORPUS},
		{"shrink", no_argument, NULL, OPT_SHRINK},
		{"trace", no_argument, NULL, OPT_TRACE},
		{"quiet", no_argument, NULL, OPT_QUIET},
		{"scale", required_argument, NULL, OPT_SCALE},
		{"tasks", required_argument, NULL, OPT_TASKS},
		{"help", no_argument, NULL, OPT_HELP},
		{NULL, 0, NULL, 0},
	};
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		read_option(command, option, optarg);
	if (optind < argc)
		wrong("there are words that are no options");
}

/* --- running ----------------------------------------------------------------------- */

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run_one(const struct sim_options *options, struct totals *totals)
{
	struct sim_summary summary;
	double start = seconds();
	sim_run(options, &summary);
	double took = seconds() - start;
	totals->seeds++;
	totals->events += summary.steps;
	totals->accepted += summary.accepted;
	totals->seconds += took;
	if (options->quiet)
		return;
	printf("seed %" PRIu64 ": %" PRIu64 " events in %.1f virtual s, %" PRIu64
	       " tasks accepted, %" PRIu64 " leases, %" PRIu64 " runs, %" PRIu64
	       " walks: ok (%.0f events/s)\n",
	       options->seed, summary.steps, (double)summary.virtual_ms / 1e3,
	       summary.accepted, summary.grants, summary.begun, summary.walks,
	       (double)summary.steps / took);
	fflush(stdout);
}

static int shrink_one(struct sim_options options)
{
	uint64_t step;
	if (!sim_try(&options, false, &step))
		return 0;
	if (step != 0 && step < options.events)
		options.events = step;
	sim_shrink(&options);
	fprintf(stderr, "the smallest that still fails:\n");
	sim_try(&options, false, &step);
	return 1;
}

/* Reads the words of a line of the corpus as options. */
static void read_line(char *line, struct command *command)
{
	char *words[LINE_WORDS_MAX] = {"corpus"}, *rest = NULL;
	int count = 1;
	for (char *word = strtok_r(line, " \t", &rest);
	     word != NULL && count + 1 < (int)LINE_WORDS_MAX;
	     word = strtok_r(NULL, " \t", &rest))
		words[count++] = word;
	optind = 0; /* getopt begins anew */
	read_command(count, words, command);
}

static void run_corpus(const struct command *command, struct totals *totals)
{
	char line[LINE_MAX_BYTES];
	FILE *file = fopen(command->corpus, "r");
	if (file == NULL) {
		perror(command->corpus);
		exit(2);
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		struct command past = {.options.quiet = command->options.quiet};
		line[strcspn(line, "#\n")] = '\0';
		if (line[strspn(line, " \t")] == '\0')
			continue;
		read_line(line, &past);
		past.options.events = past.events;
		run_one(&past.options, totals);
	}
	fclose(file);
}

static uint64_t random_seed(void)
{
	uint32_t seed;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
		perror("remuda-sim: getrandom");
		exit(2);
	}
	return seed;
}

static int run_all(struct command *command)
{
	struct totals totals = {0};
	struct sim_options options = command->options;
	if (!command->seed_given)
		options.seed = random_seed();
	if (command->seeds == 0)
		command->seeds = command->seed_given ? 1
						     : (command->events + EVENTS_A_SEED -
							1) / EVENTS_A_SEED;
	options.events = command->events / command->seeds;
	printf("remuda-sim: %" PRIu64 " seeds from %" PRIu64 ", %" PRIu64
	       " events each\n",
	       command->seeds, options.seed, options.events);
	fflush(stdout);
	if (command->corpus != NULL)
		run_corpus(command, &totals);
	for (uint64_t i = 0; i < command->seeds; i++, options.seed++) {
		if (!command->shrink)
			run_one(&options, &totals);
		else if (shrink_one(options) != 0)
			return 1;
	}
	printf("remuda-sim: ok: %" PRIu64 " seeds, %" PRIu64 " events, %" PRIu64
	       " tasks in %.1f s (%.0f events/s)\n",
	       totals.seeds, totals.events, totals.accepted, totals.seconds,
	       totals.seconds > 0 ? (double)totals.events / totals.seconds : 0.0);
	return 0;
}

int main(int argc, char **argv)
{
	struct command command = {.events = EVENTS_DEFAULT, .tasks = 10000000};
	read_command(argc, argv, &command);
	if (command.agents != 0) {
		sim_scale(command.agents, command.workers, command.tasks);
		return 0;
	}
	if (command.events == 0)
		wrong("--events is at least 1");
	return run_all(&command);
}
