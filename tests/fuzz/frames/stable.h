/* tests/fuzz/frames/stable.h: what a reader takes and its writer writes, it takes again,
 * and then the same bytes come out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tests/unit/frames/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts where that does not hold; bytes that the reader refuses are allowed, if it names
 * a field. */
void check_stable(rewrite_fn *rewrite, const uint8_t *data, size_t size);
