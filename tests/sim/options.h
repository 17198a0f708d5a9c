/* tests/sim/options.h: what a run is made of: a seed, a number of events, and which kinds
 * of trouble it may meet. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SIM_CLIENTS_MAX 12u
#define SIM_AGENTS_MAX 8u

/* Kinds of trouble; each seed draws some of them, --without switches some off. */
#define SIM_FAULTS(X)                                                          \
	X(SIM_LATENCY, "latency", "messages take up to seconds")               \
	X(SIM_CUTS, "cuts", "connections are lost with what is in flight")     \
	X(SIM_HALFOPEN, "halfopen", "one end learns late of a loss")           \
	X(SIM_SLOW, "slow", "readers that stop for seconds, late acks")        \
	X(SIM_CRASHES, "crashes", "agents die and start again")                \
	X(SIM_STARTS, "starts", "workers fail to start")                       \
	X(SIM_DEATHS, "deaths", "workers die under their task")                \
	X(SIM_ERRORS, "errors", "tasks fail")                                  \
	X(SIM_DRAINS, "drains", "agents drain and leave")                      \
	X(SIM_CLOCK, "clock", "the clock jumps, both ways")                    \
	X(SIM_RESIZES, "resizes", "pools change their size")                   \
	X(SIM_CLOSES, "closes", "pools are drained, closed, killed, released") \
	X(SIM_CANCELS, "cancels", "clients and operators cancel")              \
	X(SIM_DEADLINES, "deadlines", "tasks have deadlines")                  \
	X(SIM_LEAVES, "leaves", "clients leave and come back")                 \
	X(SIM_QUITS, "quits", "clients close or die")                          \
	X(SIM_LIMITS, "limits", "the core may hold little")                    \
	X(SIM_MEMORY, "memory", "allocations fail")                            \
	X(SIM_PRIORITIES, "priorities", "tasks have priorities")               \
	X(SIM_NESTS, "nests", "tasks submit tasks, and wait for them")         \
	X(SIM_RULES, "rules", "tasks have deadlines of queue and runs, retry rules") \
	X(SIM_DETACHED, "detached", "tasks go on when their client is gone")        \
	X(SIM_BREAKS, "breaks", "initializers fail, crashes break pools")

#define SIM_ENUM(name, word, text) name,
enum sim_fault { SIM_FAULTS(SIM_ENUM) SIM_FAULT_COUNT };
#undef SIM_ENUM

struct sim_options {
	uint64_t seed;
	uint64_t events;  /* of this run */
	uint32_t without; /* bit i: fault i is off */
	uint32_t clients; /* 0: the seed says */
	uint32_t agents;  /* 0: the seed says */
	bool trace, quiet;
};

/* The word for a fault, borrowed for ever. */
const char *sim_fault_word(enum sim_fault fault);
/* Reads "cuts,clock" into bits. False: a word is not known. */
bool sim_faults_read(const char *words, uint32_t *ret_bits);
/* Prints the command line that runs `options` again, with a newline. */
void sim_options_print(const struct sim_options *options);
