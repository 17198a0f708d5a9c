#include "server/direct_link.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "proto/rpc/rpc.h"
#include "worker/agent/agent.h"

#define PAIR_MAGIC 0xd14ec701u

/* Payloads of the agent lie in memory that their worker wants back: it has few places for
 * them, and waits when all are taken. The core keeps outcomes for as long as their
 * clients like; so it borrows no more than this, and gets copies of the rest. */
#define LENT_MAX RMD_DIRECT_LENT_MAX
#define LENT_MAX_BYTES ((size_t)256 << 20)

/* The loop's thread does an idle agent's work where it was given no more than this. */
#define HERE_MAX_BYTES ((size_t)16 << 10)

enum side { CORE, AGENT };

/* What the core has borrowed of the agent. Outlives the pair where that is destroyed
 * first. */
struct lending {
	atomic_uint refs; /* the pair's, and one for each loan */
	atomic_uint count;
	atomic_size_t bytes;
};

struct loan {
	struct lending *lending;
	struct rmd_piece payload;
};

struct transfer {
	uint64_t number;
	struct rmd_piece payload;
	struct transfer *next;
};

/* What one end of the pair has to hear. Everything is under the pair's lock. */
struct inbox {
	struct rmd_wire_writer items;
	struct transfer *first, **last;
	bool woken;                  /* its owner has been told to look */
	bool closed;                 /* the other side has closed */
	bool lost_told;              /* owner's thread only */
};

struct end {
	struct rmd_link link;
	struct rmd_direct_link *pair;
	enum side side;
	bool destroyed;
};

struct rmd_direct_link {
	uint32_t magic;
	pthread_mutex_t lock;
	int refs;                    /* ends that live, and wakes under way */
	struct rmd_loop *loop;
	struct rmd_agent *agent;     /* NULL: not attached (yet, or any more) */
	struct inbox inbox[2];       /* by the side that reads it */
	struct end end[2];
	struct rmd_post post;        /* wakes the core's side */
	struct rmd_deferred kick;    /* wakes the agent's, or does its work */
	struct lending *lending;
};

static void lending_unref(struct lending *lending)
{
	if (atomic_fetch_sub(&lending->refs, 1) == 1)
		rmd_free(lending);
}

static void pair_unref_locked(struct rmd_direct_link *pair)
{
	bool last = --pair->refs == 0;
	pthread_mutex_unlock(&pair->lock);
	if (!last)
		return;
	for (int side = CORE; side <= AGENT; side++) {
		struct inbox *inbox = &pair->inbox[side];
		rmd_wire_writer_fini(&inbox->items);
		while (inbox->first != NULL) {
			struct transfer *transfer = inbox->first;
			inbox->first = transfer->next;
			rmd_piece_unref(transfer->payload);
			rmd_free(transfer);
		}
	}
	pthread_mutex_destroy(&pair->lock);
	lending_unref(pair->lending);
	pair->magic = 0;
	rmd_free(pair);
}

/* Takes the gathered items as one buf that frees the writer's own block: no copy unless
 * something was spliced in. */
static struct rmd_buf *items_take(struct rmd_wire_writer *items)
{
	if (items->splice_count != 0 || items->failed)
		return rmd_wire_writer_take(items);
	struct rmd_buf *buf =
		rmd_buf_wrap(rmd_slice_of(items->data, items->len), rmd_free, items->data);
	if (buf == NULL)
		return NULL;
	items->data = NULL;
	rmd_wire_writer_fini(items);
	return buf;
}

/* Delivers all that has come to `side`: on the thread of that side. */
static void deliver(struct rmd_direct_link *pair, enum side side)
{
	RMD_CHECK_OBJ(pair, PAIR_MAGIC);
	struct inbox *inbox = &pair->inbox[side];
	struct end *end = &pair->end[side];
	pthread_mutex_lock(&pair->lock);
	inbox->woken = false;
	struct transfer *transfers = inbox->first;
	inbox->first = NULL;
	inbox->last = &inbox->first;
	bool failed = inbox->items.failed;
	struct rmd_buf *frame = NULL;
	if (!failed && rmd_wire_writer_len(&inbox->items) != 0) {
		frame = items_take(&inbox->items);
		failed = frame == NULL;
	}
	bool lost = inbox->closed || failed;
	bool deaf = end->destroyed || end->link.events == NULL || inbox->lost_told;
	pthread_mutex_unlock(&pair->lock);

	while (transfers != NULL) {
		struct transfer *transfer = transfers;
		transfers = transfer->next;
		if (deaf)
			rmd_piece_unref(transfer->payload);
		else
			end->link.events->transfer(end->link.ctx, transfer->number,
						   transfer->payload);
		rmd_free(transfer);
	}
	if (frame != NULL && !deaf)
		end->link.events->frame(end->link.ctx,
					(struct rmd_piece){rmd_buf_slice(frame), frame});
	rmd_buf_unref(frame);
	if (lost && !deaf) {
		inbox->lost_told = true;
		end->link.events->lost(end->link.ctx,
				       failed ? "out of memory" : "the other side closed");
	}
	pthread_mutex_lock(&pair->lock);
	pair_unref_locked(pair);
}

static void run_on_loop(struct rmd_post *post)
{
	struct rmd_direct_link *pair =
		(struct rmd_direct_link *)((char *)post - offsetof(struct rmd_direct_link, post));
	deliver(pair, CORE);
}

static void run_on_agent(void *arg)
{
	deliver(arg, AGENT);
}

static void wake_agent_locked(struct rmd_direct_link *pair)
{
	if (rmd_agent_post(pair->agent, run_on_agent, pair) == 0)
		return;
	pair->inbox[AGENT].woken = false;    /* no memory: the next item tries again */
	pair->refs--;
}

/* Makes the owner of `side` look at its inbox soon. */
static void wake_locked(struct rmd_direct_link *pair, enum side side)
{
	struct inbox *inbox = &pair->inbox[side];
	if (inbox->woken || (side == AGENT && pair->agent == NULL))
		return;
	inbox->woken = true;
	pair->refs++;
	if (side == CORE)
		rmd_loop_post(pair->loop, &pair->post);
	else if (rmd_loop_is_here(pair->loop))
		rmd_loop_defer_flush(pair->loop, &pair->kick);
	else
		wake_agent_locked(pair);
}

/* The end of a round of the loop: what it gave the agent, which sleeps, is a few tasks? Then
 * they are on their way sooner from here than by waking the agent's thread. */
static void kick_agent(struct rmd_deferred *kick)
{
	struct rmd_direct_link *pair =
		(struct rmd_direct_link *)((char *)kick -
					   offsetof(struct rmd_direct_link, kick));
	struct inbox *inbox = &pair->inbox[AGENT];
	pthread_mutex_lock(&pair->lock);
	struct rmd_agent *agent = pair->agent;
	bool few = inbox->first == NULL && !inbox->closed &&
		   rmd_wire_writer_len(&inbox->items) <= HERE_MAX_BYTES;
	pthread_mutex_unlock(&pair->lock);
	if (agent != NULL && few && rmd_agent_try_run(agent, run_on_agent, pair))
		return;
	pthread_mutex_lock(&pair->lock);
	if (pair->agent != NULL) {
		wake_agent_locked(pair);
		pthread_mutex_unlock(&pair->lock);
	} else {
		inbox->woken = false;
		pair_unref_locked(pair);
	}
}

static struct end *end_of(struct rmd_link *link)
{
	struct end *end = (struct end *)link;
	RMD_CHECK_OBJ(end->pair, PAIR_MAGIC);
	return end;
}

static struct inbox *other_inbox(const struct end *end)
{
	return &end->pair->inbox[end->side == CORE ? AGENT : CORE];
}

static struct rmd_wire_writer *direct_begin(struct rmd_link *link)
{
	struct end *end = end_of(link);
	pthread_mutex_lock(&end->pair->lock);
	return &other_inbox(end)->items;
}

static void direct_end(struct rmd_link *link)
{
	struct end *end = end_of(link);
	wake_locked(end->pair, end->side == CORE ? AGENT : CORE);
	pthread_mutex_unlock(&end->pair->lock);
}

/* Any thread: the core has let go of a loan. */
static void give_back(void *owner)
{
	struct loan *loan = owner;
	struct lending *lending = loan->lending;
	atomic_fetch_sub(&lending->count, 1);
	atomic_fetch_sub(&lending->bytes, loan->payload.bytes.len);
	rmd_piece_unref(loan->payload);
	rmd_free(loan);
	lending_unref(lending);
}

/* True if the core may keep `bytes` more where they lie. */
static bool may_lend(const struct lending *lending, size_t bytes)
{
	unsigned count = atomic_load(&lending->count);
	size_t lent = atomic_load(&lending->bytes);
	return count == 0 || (count < LENT_MAX && lent < LENT_MAX_BYTES &&
			      bytes <= LENT_MAX_BYTES - lent);
}

/* Makes what the core will hold of `payload`, which it takes: a loan, or a copy. Where
 * memory is short, the payload itself. */
static struct rmd_piece for_core(struct lending *lending, struct rmd_piece payload)
{
	struct rmd_buf *buf = NULL;
	if (!may_lend(lending, payload.bytes.len)) {
		buf = rmd_buf_copy(payload.bytes);
		if (buf == NULL)
			return payload;
		rmd_piece_unref(payload);
		return (struct rmd_piece){rmd_buf_slice(buf), buf};
	}
	struct loan *loan = rmd_malloc(sizeof *loan);
	if (loan != NULL)
		buf = rmd_buf_wrap(payload.bytes, give_back, loan);
	if (buf == NULL) {
		rmd_free(loan);
		return payload;
	}
	*loan = (struct loan){lending, payload};
	atomic_fetch_add(&lending->refs, 1);
	atomic_fetch_add(&lending->count, 1);
	atomic_fetch_add(&lending->bytes, payload.bytes.len);
	return (struct rmd_piece){payload.bytes, buf};
}

static int direct_send_transfer(struct rmd_link *link, uint64_t number, struct rmd_piece payload)
{
	struct end *end = end_of(link);
	struct transfer *transfer = rmd_malloc(sizeof *transfer);
	if (transfer == NULL) {
		rmd_piece_unref(payload);
		return RMD_ENOMEM;
	}
	if (end->side == AGENT)
		payload = for_core(end->pair->lending, payload);
	*transfer = (struct transfer){number, payload, NULL};
	pthread_mutex_lock(&end->pair->lock);
	struct inbox *inbox = other_inbox(end);
	*inbox->last = transfer;
	inbox->last = &transfer->next;
	wake_locked(end->pair, end->side == CORE ? AGENT : CORE);
	pthread_mutex_unlock(&end->pair->lock);
	return 0;
}

static size_t direct_pending_bytes(const struct rmd_link *link)
{
	const struct end *end = (const struct end *)link;
	pthread_mutex_lock(&end->pair->lock);
	size_t pending = rmd_wire_writer_len(&other_inbox(end)->items);
	pthread_mutex_unlock(&end->pair->lock);
	return pending;
}

static void direct_close(struct rmd_link *link)
{
	struct end *end = end_of(link);
	pthread_mutex_lock(&end->pair->lock);
	other_inbox(end)->closed = true;
	end->pair->inbox[end->side].closed = true;
	wake_locked(end->pair, CORE);
	wake_locked(end->pair, AGENT);
	pthread_mutex_unlock(&end->pair->lock);
}

static void direct_destroy(struct rmd_link *link)
{
	struct end *end = end_of(link);
	struct rmd_direct_link *pair = end->pair;
	pthread_mutex_lock(&pair->lock);
	RMD_CHECK(!end->destroyed);
	end->destroyed = true;
	struct inbox *inbox = other_inbox(end);
	if (!inbox->closed) {
		inbox->closed = true;
		wake_locked(pair, end->side == CORE ? AGENT : CORE);
	}
	pair_unref_locked(pair);
}

static const struct rmd_link_ops direct_ops = {
	.begin = direct_begin,
	.end = direct_end,
	.send_transfer = direct_send_transfer,
	.pending_bytes = direct_pending_bytes,
	.close = direct_close,
	.destroy = direct_destroy,
};

int rmd_direct_link_create(struct rmd_loop *loop, struct rmd_link **ret_core,
			   struct rmd_link **ret_agent)
{
	struct rmd_direct_link *pair = rmd_calloc(1, sizeof *pair);
	struct lending *lending = rmd_calloc(1, sizeof *lending);
	if (pair == NULL || lending == NULL) {
		rmd_free(pair);
		rmd_free(lending);
		return RMD_ENOMEM;
	}
	atomic_init(&lending->refs, 1);
	pair->lending = lending;
	pair->magic = PAIR_MAGIC;
	pair->refs = 2;
	pair->loop = loop;
	pair->post.run = run_on_loop;
	pair->kick.run = kick_agent;
	pthread_mutex_init(&pair->lock, NULL);
	for (int side = CORE; side <= AGENT; side++) {
		pair->inbox[side].last = &pair->inbox[side].first;
		pair->end[side] = (struct end){.link.ops = &direct_ops,
					       .pair = pair,
					       .side = (enum side)side};
	}
	*ret_core = &pair->end[CORE].link;
	*ret_agent = &pair->end[AGENT].link;
	return 0;
}

void rmd_direct_link_attach_agent(struct rmd_link *core_end, struct rmd_agent *agent)
{
	struct rmd_direct_link *pair = end_of(core_end)->pair;
	pthread_mutex_lock(&pair->lock);
	pair->agent = agent;
	struct inbox *inbox = &pair->inbox[AGENT];
	if (rmd_wire_writer_len(&inbox->items) != 0 || inbox->first != NULL || inbox->closed)
		wake_locked(pair, AGENT);
	pthread_mutex_unlock(&pair->lock);
}

void rmd_direct_link_detach_agent(struct rmd_link *core_end)
{
	struct rmd_direct_link *pair = end_of(core_end)->pair;
	pthread_mutex_lock(&pair->lock);
	pair->agent = NULL;
	pthread_mutex_unlock(&pair->lock);
}
