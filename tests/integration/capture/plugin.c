/* A library whose static function a program submits; no module of remuda's. */
#include <remuda/remuda.h>

struct remuda_future *plugin_submit(struct remuda *client, int64_t x);

static int64_t factor = 3;

REMUDA_TASK(static int64_t, thrice, (int64_t, x))
{
	return factor * x;
}

struct remuda_future *plugin_submit(struct remuda *client, int64_t x)
{
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	struct remuda_future *future;
	factor = 3;
	options.globals = REMUDA_WITH(factor);
	future = remuda_submit_with(client, &options, thrice, x);
	factor = 0; /* what was sent is what it was */
	return future;
}
