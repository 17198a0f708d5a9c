/* A module of a remuda/task.h from another time. */
#include <remuda/task.h>

extern const struct remuda_module remuda_module_v1 __attribute__((visibility("default")));
const struct remuda_module remuda_module_v1 = {.abi_version = 99, .size = 16};
