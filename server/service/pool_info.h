/* server/service/pool_info.h: a pool of the core as a message for people. */
#pragma once

#include "proto/base/arena.h"
#include "remuda/v1/pools.pb-c.h"
#include "server/service/coordinator.h"

/* Makes it in `arena`; NULL: out of memory. Loop's thread. */
Remuda__V1__PoolInfo *rmd_pool_info_make(struct rmd_arena *arena, const struct rmd_core_pool *pool);
