/* A module that takes a message without saying what that is. */
#include <remuda/task.h>

REMUDA_MODULE("orders");

typedef struct Row {
	int number;
} Row;

REMUDA_TASK(static int, number_of, (const Row *, row))
{
	return row->number;
}
