/* tests/unit/codec/values.h: random values of every kind, for the codec's tests. */
#pragma once

#include "proto/base/arena.h"
#include "proto/codec/value.h"

/* A small generator with a seed of its own (xorshift64*), so that a failure can be
 * repeated. */
struct test_random {
	uint64_t state;              /* not 0 */
	bool plain;                  /* nothing that protobuf-c drops: NULs in text, complex -0.0 */
};

uint64_t test_random_next(struct test_random *random);
/* A number from 0 to `bound` - 1. */
size_t test_random_below(struct test_random *random, size_t bound);

/* A value of any kind in its canonical spelling (what decoding gives), at most `depth`
 * levels, from `arena`. */
struct remuda_value test_value_random(struct test_random *random, struct rmd_arena *arena,
				      unsigned depth);
/* A value of that kind, likewise. */
struct remuda_value test_value_of_kind(struct test_random *random, struct rmd_arena *arena,
				       enum remuda_kind kind, unsigned depth);

/* A string value that borrows `text`. */
struct remuda_value test_string(const char *text);
/* An int64 value. */
struct remuda_value test_int(int64_t number);
/* A list that borrows `items`. */
struct remuda_value test_list(const struct remuda_value *items, size_t len);
/* `levels` lists in each other around a null: as deep as that, from `arena`. */
struct remuda_value test_nested(struct rmd_arena *arena, unsigned levels);
