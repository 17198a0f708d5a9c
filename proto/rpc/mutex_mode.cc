// Debian builds gRPC's mutexes (Abseil's) with a detector of lock cycles, which keeps a
// graph of all locks under one lock of its own: about a tenth of a message's cost. Only
// C++ can switch it off.
#include <absl/synchronization/mutex.h>

#include "proto/rpc/mutex_mode.h"

void rmd_mutex_mode_production(void)
{
	absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}
