/* remuda/remuda.h alone: compiles in C11 with every warning an error. */
#include <remuda/remuda.h>

int headers_in_c(struct remuda *client);
int headers_in_c(struct remuda *client)
{
	int64_t number;
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_task_options task = REMUDA_TASK_OPTIONS_INIT;
	struct remuda_map_options map = REMUDA_MAP_OPTIONS_INIT;
	struct remuda_pool_options pool = REMUDA_POOL_OPTIONS_INIT;
	int used = (int)(options.version + map.version + pool.version);
	return used + remuda_get(remuda_submit_name(client, "x:echo"), &number, NULL) +
	       remuda_get(
		       remuda_submit_name_with(client, &task, "x:echo", 1, 2.5f, "three"),
		       &number, NULL);
}
