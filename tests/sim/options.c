#include "tests/sim/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const words[] = {
#define X(name, word, text) [name] = word,
	SIM_FAULTS(X)
#undef X
};

const char *sim_fault_word(enum sim_fault fault)
{
	return words[fault];
}

bool sim_faults_read(const char *text, uint32_t *ret_bits)
{
	uint32_t bits = 0;
	while (*text != '\0') {
		size_t len = strcspn(text, ",");
		uint32_t i = 0;
		while (i < SIM_FAULT_COUNT &&
		       !(strlen(words[i]) == len && memcmp(words[i], text, len) == 0))
			i++;
		if (i == SIM_FAULT_COUNT)
			return false;
		bits |= UINT32_C(1) << i;
		text += len + (text[len] == ',');
	}
	*ret_bits |= bits;
	return true;
}

void sim_options_print(const struct sim_options *options)
{
	const char *before = " --without ";
	printf("remuda-sim --seed %" PRIu64 " --events %" PRIu64, options->seed,
	       options->events);
	if (options->clients != 0)
		printf(" --clients %" PRIu32, options->clients);
	if (options->agents != 0)
		printf(" --agents %" PRIu32, options->agents);
	for (uint32_t i = 0; i < SIM_FAULT_COUNT; i++) {
		if ((options->without >> i & 1) == 0)
			continue;
		printf("%s%s", before, words[i]);
		before = ",";
	}
	printf("\n");
}
