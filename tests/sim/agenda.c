#include "tests/sim/agenda.h"

#include <stdio.h>
#include <stdlib.h>

void *sim_grow(void *array, size_t bytes)
{
	void *grown = realloc(array, bytes);
	if (grown != NULL)
		return grown;
	fprintf(stderr, "remuda-sim: out of memory\n");
	exit(2);
}

const char *sim_event_name(enum sim_event_kind kind)
{
	static const char *const names[] = {
#define X(name, text) [name] = text,
		SIM_EVENTS(X)
#undef X
	};
	return names[kind];
}

void sim_agenda_fini(struct sim_agenda *agenda)
{
	free(agenda->events);
	*agenda = (struct sim_agenda){0};
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

void sim_agenda_put(struct sim_agenda *agenda, uint64_t due_us, enum sim_event_kind kind,
		    uint32_t who, uint32_t life)
{
	if (agenda->count == agenda->capacity) {
		agenda->capacity = agenda->capacity == 0 ? 256 : agenda->capacity * 2;
		agenda->events = sim_grow(agenda->events,
					  agenda->capacity * sizeof(*agenda->events));
	}
	struct sim_event event = {due_us, agenda->order++, kind, who, life};
	size_t i = agenda->count++;
	while (i > 0 && before(&event, &agenda->events[(i - 1) / 2])) {
		agenda->events[i] = agenda->events[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	agenda->events[i] = event;
}

bool sim_agenda_take(struct sim_agenda *agenda, struct sim_event *ret_event)
{
	struct sim_event *events = agenda->events;
	if (agenda->count == 0)
		return false;
	*ret_event = events[0];
	struct sim_event last = events[--agenda->count];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child + 1 < agenda->count &&
		    before(&events[child + 1], &events[child]))
			child++;
		if (child >= agenda->count || !before(&events[child], &last))
			break;
		events[i] = events[child];
		i = child;
	}
	events[i] = last;
	return true;
}
