/* tests/sim/session.c: the coordinator's side of clients. A session outlives its stream:
 * when its client comes back, it is sent the outcomes that it has not acknowledged. */
#include <inttypes.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/world.h"

#define LINGER_MS 4000u

static struct sim_session *by_link(struct sim_world *world, uint32_t link)
{
	for (uint32_t i = 0; i < SIM_SESSIONS; i++)
		if (world->service.sessions[i].used &&
		    world->service.sessions[i].link == link)
			return &world->service.sessions[i];
	return NULL;
}

struct sim_session *sim_session_find(struct sim_world *world, uint32_t slot,
				     uint32_t life)
{
	for (uint32_t i = 0; i < SIM_SESSIONS; i++) {
		struct sim_session *session = &world->service.sessions[i];
		if (session->used && session->slot == slot && session->life == life)
			return session;
	}
	return NULL;
}

static void say(struct sim_world *world, const struct sim_session *session,
		struct sim_message message)
{
	if (session->link != SIM_NONE)
		sim_link_send(world, session->link, SIM_PEER, message);
}

/* --- what goes to the client ------------------------------------------------------- */

void sim_session_outcome(struct sim_world *world, struct sim_session *session,
			 struct rmd_core_task *task, uint8_t end)
{
	struct sim_history *h = sim_history_of(world, task);
	SIM_MUST(world, session->slot == h->client && session->life == h->life,
		 "the end of a task is told to another's session");
	say(world, session,
	    (struct sim_message){.word = SIM_S_OUTCOME,
				 .number = rmd_core_task_number(task),
				 .history = (uint32_t)(h - world->histories.items),
				 .end = end,
				 .count = {h->outcome_attempt}});
}

static void say_refused(struct sim_world *world, const struct sim_session *session,
			uint32_t history)
{
	const struct sim_history *h = &world->histories.items[history];
	say(world, session,
	    (struct sim_message){.word = SIM_S_OUTCOME,
				 .number = h->number,
				 .history = history,
				 .end = RMD_CORE_END_NONE});
}

/* Acknowledges submits, and opens the window further. */
static void tell_progress(struct sim_world *world, struct sim_session *session)
{
	uint64_t accepted = rmd_core_client_accepted(session->client);
	uint64_t window = rmd_core_client_window(session->client);
	SIM_MUST(world, window >= session->window_most, "a client's window fell");
	session->window_most = window;
	if (accepted < session->refused_most) { /* refusals use up numbers too */
		window += session->refused_most - accepted;
		accepted = session->refused_most;
	}
	if (session->link == SIM_NONE)
		return;
	if (accepted > session->accepted_told)
		say(world, session,
		    (struct sim_message){.word = SIM_S_ACCEPTED, .number = accepted});
	if (window > session->window_told)
		say(world, session,
		    (struct sim_message){.word = SIM_S_WINDOW, .number = window});
	session->accepted_told = accepted;
	session->window_told = window;
	if (session->goodbye &&
	    rmd_core_client_tasks(session->client) ==
		    rmd_core_client_detached(session->client) &&
	    session->refused_count == 0) {
		uint32_t link = session->link;
		sim_link_finish(world, link, SIM_SERVER);
		sim_session_lost(world, link);
	}
}

void sim_sessions_feed(struct sim_world *world)
{
	for (uint32_t i = 0; i < SIM_SESSIONS; i++) {
		struct sim_session *session = &world->service.sessions[i];
		if (session->used && session->link != SIM_NONE)
			tell_progress(world, session);
	}
}

/* --- what comes from it ------------------------------------------------------------ */

static struct sim_session *session_open(struct sim_world *world, uint32_t slot,
					uint32_t life)
{
	uint32_t i = 0;
	while (i < SIM_SESSIONS && world->service.sessions[i].used)
		i++;
	SIM_MUST(world, i < SIM_SESSIONS, "the simulator has too few sessions");
	struct sim_session *session = &world->service.sessions[i];
	memset(session, 0, sizeof(*session));
	session->slot = slot;
	session->life = life;
	session->link = SIM_NONE;
	sim_memory_short(world);
	int rc = rmd_core_client_open(world->service.core, sim_service_ms(world),
				      slot % 2 == 0 ? "uid:1" : "uid:2", session,
				      &session->client);
	sim_memory_back();
	SIM_MUST(world,
		 rc == 0 || rc == RMD_ENOMEM || (rc == RMD_ECLOSED && world->settling),
		 "opening a client: %s", rmd_errcode_text(rc));
	session->used = rc == 0;
	return rc == 0 ? session : NULL;
}

/* What the core holds for the client is what the agent sent. */
static void check_held(struct sim_world *world, const struct rmd_core_task *task)
{
	const struct sim_history *h = sim_history_of(world, task);
	struct rmd_slice bytes = rmd_core_task_outcome(task).bytes;
	uint32_t words[2] = {0, 0};
	enum rmd_core_end end = rmd_core_task_end(task);
	if (end != RMD_CORE_END_VALUE && end != RMD_CORE_END_ERROR)
		return;
	if (bytes.len >= sizeof(words))
		memcpy(words, bytes.data, sizeof(words));
	SIM_MUST(world,
		 &world->histories.items[words[0]] == h && words[1] == h->outcome_attempt,
		 "task %td is held with another outcome", h - world->histories.items);
}

static void resend(struct sim_world *world, struct sim_session *session)
{
	struct rmd_core_task *task = NULL;
	while ((task = rmd_core_client_outcome_next(session->client, task)) != NULL) {
		check_held(world, task);
		sim_session_outcome(world, session, task,
				    (uint8_t)rmd_core_task_end(task));
	}
	for (uint32_t i = 0; i < session->refused_count; i++)
		say_refused(world, session, session->refused[i]);
}

static void hear_hello(struct sim_world *world, uint32_t link,
		       const struct sim_message *message)
{
	uint32_t slot = world->links[link].slot;
	struct sim_session *session = sim_session_find(world, slot, message->history);
	bool abandoned = session != NULL && rmd_core_client_abandoned(session->client);
	if ((session == NULL && message->flag) || abandoned) { /* it was away for too long */
		sim_link_send(world, link, SIM_PEER,
			      (struct sim_message){.word = SIM_S_WELCOME});
		sim_link_finish(world, link, SIM_SERVER);
		return;
	}
	if (session == NULL)
		session = session_open(world, slot, message->history);
	if (session == NULL) {
		sim_link_drop(world, link, SIM_SERVER);
		return;
	}
	if (session->link != SIM_NONE) /* a half-open one: the newest counts */
		sim_link_drop(world, session->link, SIM_SERVER);
	session->link = link;
	rmd_core_client_resume(world->service.core, sim_service_ms(world),
			       session->client);
	session->accepted_told = session->window_told = 0;
	say(world, session,
	    (struct sim_message){
		    .word = SIM_S_WELCOME,
		    .flag = true,
		    .number = rmd_core_client_accepted(session->client) >
					      session->refused_most
				      ? rmd_core_client_accepted(session->client)
				      : session->refused_most});
	resend(world, session);
}

/* The pool that a task goes to, or NULL. */
static struct rmd_core_pool *pool_of(struct sim_world *world, struct sim_session *session,
				     const struct sim_history *h)
{
	struct rmd_core_pool *pool = NULL;
	if (h->local_pool == 0) {
		int rc = sim_service_open(world, NULL, 0, 0, &pool);
		return rc == 0 ? pool : NULL;
	}
	pool = rmd_core_pool_find(world->service.core, session->pools[h->local_pool]);
	if (pool != NULL && !rmd_core_pool_held_by(pool, session->client))
		pool = NULL;
	return pool;
}

static bool is_refused(const struct sim_session *session, uint32_t history)
{
	for (uint32_t i = 0; i < session->refused_count; i++)
		if (session->refused[i] == history)
			return true;
	return false;
}

static void hear_submit(struct sim_world *world, struct sim_session *session,
			const struct sim_message *message)
{
	struct sim_history *h = &world->histories.items[message->history];
	if (is_refused(session, message->history)) {
		say_refused(world, session, message->history);
		return;
	}
	struct rmd_core_pool *pool = NULL;
	if (h->number > session->refused_most && session->refused_count < SIM_REFUSED)
		pool = pool_of(world, session, h);
	int rc = pool == NULL ? RMD_ECLOSED
			      : sim_service_submit(world, session->client, pool,
						   message->history);
	if (rc == 0 || rc == RMD_EEXIST || h->accepted > 0 || h->refused)
		return; /* it is known, or was before */
	if (session->refused_count == SIM_REFUSED) {
		sim_link_break(world, session->link); /* it floods: cut off */
		return;
	}
	h->refused = true;
	session->refused[session->refused_count++] = message->history;
	if (h->number > session->refused_most)
		session->refused_most = h->number;
	say_refused(world, session, message->history);
}

static void hear_ack(struct sim_world *world, struct sim_session *session,
		     uint64_t number)
{
	struct rmd_core_task *task = rmd_core_task_find(session->client, number);
	bool done = task != NULL && rmd_core_task_state(task) == RMD_CORE_TASK_DONE;
	for (uint32_t i = 0; i < session->refused_count; i++) {
		if (world->histories.items[session->refused[i]].number != number)
			continue;
		session->refused[i] = session->refused[--session->refused_count];
		return;
	}
	int rc = rmd_core_ack(world->service.core, sim_service_ms(world), session->client,
			      number);
	SIM_MUST(world, rc == (done ? 0 : RMD_ENOTFOUND), "an ack is answered by %s",
		 rmd_errcode_text(rc));
}

static void hear_cancel(struct sim_world *world, struct sim_session *session,
			uint64_t number)
{
	struct rmd_core_task *task = rmd_core_task_find(session->client, number);
	if (task == NULL)
		return;
	if (rmd_core_task_state(task) != RMD_CORE_TASK_DONE)
		sim_history_of(world, task)->cancel_asked = true;
	rmd_core_cancel(world->service.core, sim_service_ms(world), task,
			RMD_CORE_END_CANCELLED);
}

static void hear_pool(struct sim_world *world, struct sim_session *session,
		      const struct sim_message *message)
{
	struct rmd_core_pool *pool;
	if (sim_service_open(world, session->client, message->count[0], message->count[1],
			     &pool) == 0)
		session->pools[message->number] = rmd_core_pool_number(pool);
}

void sim_session_hear(struct sim_world *world, uint32_t link,
		      const struct sim_message *message)
{
	struct sim_session *session = by_link(world, link);
	if (message->word == SIM_C_HELLO) {
		hear_hello(world, link, message);
		session = by_link(world, link);
	} else if (session == NULL) {
		sim_fail(world, "a client speaks before its hello");
	}
	switch (message->word) {
	case SIM_C_SUBMIT:
		hear_submit(world, session, message);
		break;
	case SIM_C_CANCEL:
		hear_cancel(world, session, message->number);
		break;
	case SIM_C_ACK:
		hear_ack(world, session, message->number);
		break;
	case SIM_C_POOL:
		hear_pool(world, session, message);
		break;
	case SIM_C_GOODBYE:
		session->goodbye = true;
		break;
	default:
		break;
	}
	sim_check_counters(world);
	if (session != NULL && session->used)
		tell_progress(world, session);
	sim_service_touch(world);
}

void sim_session_lost(struct sim_world *world, uint32_t link)
{
	struct sim_session *session = by_link(world, link);
	if (session == NULL)
		return; /* gone before its hello */
	session->link = SIM_NONE;
	bool detached = rmd_core_client_detached(session->client) > 0;
	if (session->goodbye && !detached) {
		session->used = false;
		sim_service_close(world, session->client);
		return;
	}
	rmd_core_client_leave(world->service.core, sim_service_ms(world), session->client,
			      session->goodbye ? 0 : LINGER_MS);
	session->left_ms = world->service.core_ms;
	sim_check_counters(world);
	sim_service_touch(world);
}

void sim_session_expired(struct sim_world *world, struct rmd_core_client *client)
{
	struct sim_session *session = rmd_core_client_user(client);
	struct rmd_core_task *task = NULL;
	SIM_MUST(world, session != NULL && session->link == SIM_NONE,
		 "a client expired that is here");
	SIM_MUST(world,
		 session->goodbye ||
			 world->service.core_ms >= session->left_ms + LINGER_MS,
		 "a client expired before its time");
	while ((task = rmd_core_task_next(world->service.core, task)) != NULL)
		if (rmd_core_task_client(task) == client)
			sim_history_of(world, task)->closed_under = true;
	session->used = false;
}
