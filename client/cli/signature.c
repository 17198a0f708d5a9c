#include "client/cli/signature.h"

#include <string.h>

#include "client/cli/interrupt.h"

#define RUNTIME "native:"
#define DESCRIBE "native:remuda.describe"
#define LOOK_EVERY_MS 100 /* for an interrupt */
#define PARAMS_MAX 64u

/* The value under a text key of a map, or NULL. */
static const struct remuda_value *member(const struct remuda_value *map, const char *key)
{
	for (size_t i = 0; map->kind == REMUDA_MAP && i < map->u.map.len; i++) {
		const struct remuda_entry *entry = &map->u.map.entries[i];

		if (entry->key.kind == REMUDA_STRING &&
		    entry->key.u.string.len == strlen(key) &&
		    memcmp(entry->key.u.string.data, key, strlen(key)) == 0)
			return &entry->value;
	}
	return NULL;
}

static bool is_text(const struct remuda_value *value, const char *text)
{
	return value != NULL && value->kind == REMUDA_STRING &&
	       value->u.string.len == strlen(text) &&
	       memcmp(value->u.string.data, text, strlen(text)) == 0;
}

uint64_t rmd_signature_strings_of(const struct remuda_value *description)
{
	const struct remuda_value *params = member(description, "params");
	uint64_t strings = 0;
	unsigned place = 0;

	if (params == NULL || params->kind != REMUDA_LIST)
		return 0;
	for (size_t i = 0; i < params->u.list.len && place < PARAMS_MAX; i++) {
		const struct remuda_value *kind =
			member(&params->u.list.items[i], "kind");

		if (is_text(kind, "context")) /* the runtime's own, no argument */
			continue;
		if (is_text(kind, "string"))
			strings |= UINT64_C(1) << place;
		place++;
	}
	return strings;
}

uint64_t rmd_signature_strings(struct remuda *client, const char *function,
			       const struct remuda_task_options *options)
{
	struct remuda_task_options ours = *options;
	const struct remuda_value *description = NULL;
	struct remuda_future *future;
	uint64_t strings = 0;

	if (strncmp(function, RUNTIME, strlen(RUNTIME)) != 0)
		return 0;
	ours.on_log = NULL;
	future = remuda_submit_name_with(client, &ours, DESCRIBE,
					 function + strlen(RUNTIME));
	if (future == NULL)
		return 0;
	while (!rmd_interrupt_seen() &&
	       remuda_wait(future, LOOK_EVERY_MS) == REMUDA_ETIMEOUT)
		;
	if (rmd_interrupt_seen())
		remuda_cancel(future);
	else if (remuda_result(future, &description, NULL) == 0)
		strings = rmd_signature_strings_of(description);
	remuda_future_free(future);
	return strings;
}
