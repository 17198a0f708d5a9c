/* tests/unit/task/types_more.h: what the module types has in another file. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Raises an error caused by the last one. */
void raise_in_another_file(int depth);

#ifdef __cplusplus
}
#endif
