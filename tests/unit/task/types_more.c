#include "tests/unit/task/types_more.h"

#include <remuda/task.h>

void raise_in_another_file(int depth)
{
	remuda_raise_from(remuda_raised(), "High", "above %d", depth);
}

REMUDA_TASK(int, elsewhere, (int, x)) { return x + 1; }
