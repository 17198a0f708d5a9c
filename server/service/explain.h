/* server/service/explain.h: Admin.Explain, and what it shares with the rest of Admin.
 * Loop's thread. */
#pragma once

#include "remuda/v1/admin.pb-c.h"
#include "server/service/coordinator.h"
#include "server/service/unary.h"

/* What Admin says of one task, in the call's arena; NULL: out of memory. */
Remuda__V1__TaskInfo *rmd_admin_task_info(struct rmd_unary *call,
					  struct rmd_coordinator *coordinator,
					  const struct rmd_core_task *task);
/* Answers an Explain. */
void rmd_admin_explain(struct rmd_unary *call, const Remuda__V1__ExplainRequest *request,
		       struct rmd_coordinator *coordinator);
