/* server/service/ticket.c: tickets of sessions' detached tasks, and telling those who
 * wait for a ticket. Those of calls are made and kept in executor.c. */
#include "proto/base/alloc.h"
#include "server/service/executor.h"

struct rmd_ticket *rmd_ticket_detached(void)
{
	struct rmd_ticket *ticket = rmd_calloc(1, sizeof *ticket);
	if (ticket != NULL)
		LIST_INIT(&ticket->waiters);
	return ticket;
}

void rmd_ticket_drop(struct rmd_ticket *ticket)
{
	if (ticket == NULL)
		return;
	while (!LIST_EMPTY(&ticket->waiters))
		rmd_waiter_leave(LIST_FIRST(&ticket->waiters));
	rmd_free(ticket);
}

void rmd_ticket_tell(struct rmd_ticket *ticket, const struct rmd_outcome *outcome,
		     struct rmd_buf *buf)
{
	struct rmd_waiter *waiter;
	while ((waiter = LIST_FIRST(&ticket->waiters)) != NULL) {
		rmd_waiter_leave(waiter);
		waiter->ended(waiter, ticket, outcome, buf);
	}
}
