/* proto/rpc/mutex_mode.h: the one thing that gRPC's locks can be told, in C++ alone. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* (any thread) Switches the detection of lock cycles in gRPC off, for the process. */
void rmd_mutex_mode_production(void);

#ifdef __cplusplus
}
#endif
