/* A module with a name that demo has already. */
#include <remuda/task.h>

REMUDA_MODULE("demo");

REMUDA_TASK(static int, square, (int, x))
{
	return x;
}
