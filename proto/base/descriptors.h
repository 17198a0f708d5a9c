/* proto/base/descriptors.h: the system's limit of open files: is it enough, and what to do
 * where it is not. Any thread. */
#pragma once

#include <stddef.h>

/* With fewer a coordinator or an agent can do nothing at all. Each worker takes about five
 * more, each connection one. */
#define RMD_DESCRIPTORS_MIN 24u

/* 0; RMD_ELIMIT: this process may have fewer open than that; `ret_why` (cut to `size`) says
 * the limit, and the way out. */
int rmd_descriptors_check(char *ret_why, size_t size);

/* What to do about the error `error_number` of a system call, to be put behind its text:
 * "; raise …"; "" where it is no lack of descriptors. Borrowed for ever. */
const char *rmd_descriptors_advice(int error_number);
