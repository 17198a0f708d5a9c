/* A module that needs what nobody has. */
#include <remuda/task.h>

REMUDA_MODULE("missing");

int no_such_function_anywhere(void);

REMUDA_TASK(int, call_it)
{
	return no_such_function_anywhere();
}
