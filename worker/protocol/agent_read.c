/* Hears what the worker says: the agent's end, incoming.
 *
 * Three sources: the socket (doorbell, ready), the ring (outcomes, log lines, marks) and
 * the two pipes. The ring gives the order. Whose a byte on a pipe is follows from marks:
 * before its outcome a task that has printed leaves a record with the totals ever
 * written; what lies below is its, what lies above belongs to a later one. So pipes can
 * be read at any time, first, and the ring after them: what no mark in it covers was
 * printed by the task that runs now.
 *
 * A ring record is copied to memory of ours first and looked at there; lengths and
 * indexes are loaded once. What does not hold ends the worker (RMD_EPROTO). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "worker/protocol/agent_end.h"
#include "worker/protocol/control.h"

/* Records are copied in blocks of this size: a payload that is kept keeps its block. */
#define BLOCK_BYTES ((uint64_t)16 << 10)
/* What one read takes at most, so that others have their turn. */
#define RING_BYTES_PER_READ ((uint64_t)1 << 20)
#define PACKETS_PER_READ 16
/* What is taken of a pipe whose worker is gone: its children may write for ever. */
#define LAST_PIPE_BYTES ((uint64_t)1 << 20)

/* ---- pipes ---- */

/* Nobody can write to the pipe any more: poll would say so for ever. Something harmless
 * takes the number, which the caller may still name to epoll. */
static void end_pipe(struct rmd_wp *end, struct rmd_wp_pipe *pipe)
{
	pipe->ended = true;
	(void)dup3(end->socket_fd, pipe->fd, O_CLOEXEC);
}

/* Reads one piece if there is none: true if there is one now. */
static bool fill(struct rmd_wp *end, int which)
{
	struct rmd_wp_pipe *pipe = &end->pipes[which];
	struct rmd_wp_page *page = end->shared->page;
	if (pipe->len > 0)
		return true;
	if (pipe->ended)
		return false;
	if (pipe->piece == NULL)
		pipe->piece = rmd_malloc(RMD_WP_PIPE_PIECE_BYTES);
	if (pipe->piece == NULL)
		return false;
	/* The worker adds what we have read to what is left in the pipe: not in between.
	 */
	atomic_fetch_add(&page->pipe_reads, 1);
	ssize_t n = read(pipe->fd, pipe->piece, RMD_WP_PIPE_PIECE_BYTES);
	if (n > 0) {
		pipe->at = 0;
		pipe->len = (size_t)n;
		atomic_store_explicit(&page->pipe_bytes[which],
				      pipe->told_bytes + (uint64_t)n,
				      memory_order_relaxed);
	}
	atomic_fetch_add(&page->pipe_reads, 1);
	if (n == 0)
		end_pipe(end, pipe);
	return n > 0;
}

static void keep_stderr(struct rmd_wp *end, struct rmd_slice bytes)
{
	if (bytes.len > sizeof end->stderr_tail) {
		bytes.data += bytes.len - sizeof end->stderr_tail;
		bytes.len = sizeof end->stderr_tail;
	}
	size_t keep = sizeof end->stderr_tail - bytes.len;
	if (keep > end->stderr_tail_len)
		keep = end->stderr_tail_len;
	memmove(end->stderr_tail, end->stderr_tail + end->stderr_tail_len - keep, keep);
	memcpy(end->stderr_tail + keep, bytes.data, bytes.len);
	end->stderr_tail_len = keep + bytes.len;
}

/* Tells at most `bytes_max` of the piece as output of `lease`. */
static void tell(struct rmd_wp *end, int which, uint64_t lease, uint64_t bytes_max)
{
	struct rmd_wp_pipe *pipe = &end->pipes[which];
	size_t n = pipe->len < bytes_max ? pipe->len : (size_t)bytes_max;
	if (n == 0)
		return;
	struct rmd_slice bytes = rmd_slice_of(pipe->piece + pipe->at, n);
	pipe->at += n;
	pipe->len -= n;
	pipe->told_bytes += n;
	if (which == 1)
		keep_stderr(end, bytes);
	end->events->log(end->ctx, lease, which == 0 ? RMD_WP_STDOUT : RMD_WP_STDERR,
			 bytes, 0);
}

/* All output up to `total_bytes` belongs to `lease`. RMD_EPROTO: the pipe can't hold so
 * much. */
static int tell_until(struct rmd_wp *end, int which, uint64_t lease, uint64_t total_bytes)
{
	struct rmd_wp_pipe *pipe = &end->pipes[which];
	uint64_t read_bytes = pipe->told_bytes + pipe->len;
	if (total_bytes > read_bytes && !pipe->ended) {
		int capacity = fcntl(pipe->fd, F_GETPIPE_SZ);
		if (capacity < 0 || total_bytes - read_bytes > (uint64_t)capacity)
			return RMD_EPROTO;
	}
	while (pipe->told_bytes < total_bytes && fill(end, which))
		tell(end, which, lease, total_bytes - pipe->told_bytes);
	return 0;
}

/* ---- records of the ring ---- */

/* A payload in the large area, handed out by reference. */
struct loan {
	struct rmd_wp_shared *shared;
	uint32_t index;
};

/* Any thread: the last reference is gone, the worker may use the place again. */
static void loan_release(void *owner)
{
	struct loan *loan = owner;
	struct rmd_wp_shared *shared = loan->shared;
	atomic_store_explicit(&shared->held[loan->index], false, memory_order_release);
	atomic_store_explicit(&shared->page->large[loan->index], 0, memory_order_release);
	rmd_wp_wake_worker(shared->page);
	rmd_wp_shared_unref(shared);
	rmd_free(loan);
}

/* Checks a large payload and lends it. RMD_EPROTO, RMD_ENOMEM. */
static int lend(struct rmd_wp *end, const struct rmd_wp_large *large,
		struct rmd_piece *ret_piece)
{
	struct rmd_wp_shared *shared = end->shared;
	if (large->index >= RMD_WP_LARGE_MAX || large->len > RMD_WP_OUTCOME_MAX ||
	    large->offset > RMD_WP_LARGE_BYTES ||
	    large->len > RMD_WP_LARGE_BYTES - large->offset ||
	    atomic_load_explicit(&shared->held[large->index], memory_order_acquire))
		return RMD_EPROTO;
	struct loan *loan = rmd_malloc(sizeof *loan);
	if (loan == NULL)
		return RMD_ENOMEM;
	*loan = (struct loan){shared, (uint32_t)large->index};
	struct rmd_slice bytes = rmd_slice_of(
		shared->output + RMD_WP_RING_BYTES + large->offset, large->len);
	struct rmd_buf *buf = rmd_buf_wrap(bytes, loan_release, loan);
	if (buf == NULL) {
		rmd_free(loan);
		return RMD_ENOMEM;
	}
	atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
	atomic_store_explicit(&shared->held[large->index], true, memory_order_relaxed);
	*ret_piece = (struct rmd_piece){bytes, buf};
	return 0;
}

/* A payload that names a place in the large area becomes what lies there, lent. */
static int lend_payload(struct rmd_wp *end, struct rmd_piece *payload)
{
	struct rmd_wp_large place;
	if (payload->bytes.len != sizeof place)
		return RMD_EPROTO;
	memcpy(&place, payload->bytes.data, sizeof place);
	return lend(end, &place, payload);
}

/* An outcome: the task leaves the worker's hands before it is told. */
static int handle_outcome(struct rmd_wp *end, const struct rmd_wp_record *record,
			  struct rmd_piece payload)
{
	struct rmd_wp_slot *slot = rmd_wp_slot_of(end, record->seq);
	if (slot == NULL)
		return RMD_EPROTO;
	uint64_t word = atomic_load_explicit(&end->shared->page->slots[slot - end->slots],
					     memory_order_acquire);
	if (word != RMD_WP_WORD(record->seq, RMD_WP_CLAIMED) &&
	    word != RMD_WP_WORD(record->seq, RMD_WP_DONE))
		return RMD_EPROTO;
	bool large = record->kind == RMD_WP_RECORD_LARGE_VALUE ||
		     record->kind == RMD_WP_RECORD_LARGE_ERROR;
	int rc = large ? lend_payload(end, &payload) : 0;
	if (rc < 0)
		return rc;
	struct rmd_wp_outcome outcome = {
		.lease = slot->lease,
		.kind = record->kind == RMD_WP_RECORD_VALUE ||
					record->kind == RMD_WP_RECORD_LARGE_VALUE
				? RMD_WP_VALUE
				: RMD_WP_ERROR,
		.payload = payload,
		.run_ns = record->a,
	};
	rmd_wp_slot_free(end, slot);
	end->events->outcome(end->ctx, &outcome);
	if (large)
		rmd_piece_unref(payload);
	return 0;
}

/* Of a task that submits tasks. */
static int handle_nested(struct rmd_wp *end, const struct rmd_wp_record *record,
			 struct rmd_piece payload)
{
	if (record->kind != RMD_WP_RECORD_LARGE_SUBMIT)
		return rmd_wp_nested(end, record, payload);
	int rc = lend_payload(end, &payload);
	if (rc < 0)
		return rc;
	rc = rmd_wp_nested(end, record, payload);
	rmd_piece_unref(payload);
	return rc;
}

/* `record` and `payload` are copies in our memory. RMD_EPROTO; RMD_ENOMEM: not handled.
 */
static int handle(struct rmd_wp *end, const struct rmd_wp_record *record,
		  struct rmd_piece payload)
{
	if (record->kind == RMD_WP_RECORD_PAD)
		return 0;
	if (record->kind >= RMD_WP_RECORD_KINDS)
		return RMD_EPROTO;
	if (record->kind <= RMD_WP_RECORD_LARGE_ERROR)
		return handle_outcome(end, record, payload);
	if (record->kind >= RMD_WP_RECORD_SUBMIT)
		return handle_nested(end, record, payload);
	const struct rmd_wp_slot *slot = rmd_wp_slot_of(end, record->seq);
	if (slot == NULL && record->seq != 0)
		return RMD_EPROTO;
	uint64_t lease = slot == NULL ? 0 : slot->lease;
	if (record->kind == RMD_WP_RECORD_LOG) {
		end->events->log(end->ctx, lease, RMD_WP_LOG, payload.bytes, 0);
		return 0;
	}
	int rc = tell_until(end, 0, lease, record->a);
	return rc < 0 ? rc : tell_until(end, 1, lease, record->b);
}

/* Handles the whole records in `block`, a copy. *ret_used: their length. The first one is
 * whole, or RMD_EPROTO. RMD_ENOMEM: those before *ret_used are handled. */
static int handle_block(struct rmd_wp *end, struct rmd_buf *block, uint64_t *ret_used)
{
	struct rmd_slice bytes = rmd_buf_slice(block);
	uint64_t at = 0;
	int rc = 0;
	while (bytes.len - at >= sizeof(struct rmd_wp_record)) {
		struct rmd_wp_record record;
		memcpy(&record, bytes.data + at, sizeof record);
		uint64_t size = rmd_wp_record_bytes(record.payload_bytes);
		if (record.payload_bytes > RMD_WP_RING_PAYLOAD_MAX ||
		    size > bytes.len - at)
			break;
		struct rmd_piece payload = {rmd_slice_of(bytes.data + at + sizeof record,
							 record.payload_bytes),
					    block};
		rc = handle(end, &record, payload);
		if (rc < 0)
			break;
		at += size;
	}
	*ret_used = at;
	return rc == 0 && at == 0 ? RMD_EPROTO : rc;
}

/* Takes one block of at most `avail` bytes off the ring. RMD_EPROTO, RMD_ENOMEM. */
static int take_block(struct rmd_wp *end, uint64_t avail)
{
	const uint8_t *ring = end->shared->output;
	uint64_t offset = end->ring_tail % RMD_WP_RING_BYTES;
	uint64_t whole = RMD_WP_RING_BYTES - offset;
	uint64_t used = whole;
	int rc = 0;
	if (whole > avail)
		whole = avail;
	if (RMD_WP_RING_BYTES - offset >= sizeof(struct rmd_wp_record)) {
		/* How much to copy: only a guess, since the worker may write meanwhile.
		 */
		struct rmd_wp_record first;
		if (whole < sizeof first)
			return RMD_EPROTO;
		memcpy(&first, ring + offset, sizeof first);
		uint64_t want = rmd_wp_record_bytes(first.payload_bytes);
		if (want < BLOCK_BYTES)
			want = BLOCK_BYTES;
		if (want > whole)
			want = whole;
		struct rmd_buf *block = rmd_buf_create(want);
		if (block == NULL)
			return RMD_ENOMEM;
		memcpy(rmd_buf_writable(block), ring + offset, want);
		rc = handle_block(end, block, &used);
		rmd_buf_unref(block);
	} else if (used > avail) {
		return RMD_EPROTO;
	}
	end->ring_tail += used;
	atomic_store_explicit(&end->shared->page->ring_tail, end->ring_tail,
			      memory_order_release);
	rmd_wp_wake_worker(end->shared->page);
	return rc;
}

/* Takes all records that are there, `*budget` bytes at most. RMD_EPROTO, RMD_ENOMEM. */
static int drain_ring(struct rmd_wp *end, uint64_t *budget)
{
	for (;;) {
		uint64_t head = atomic_load_explicit(&end->shared->page->ring_head,
						     memory_order_acquire);
		uint64_t avail = head - end->ring_tail, before = end->ring_tail;
		if (avail > RMD_WP_RING_BYTES || head % 8 != 0)
			return RMD_EPROTO;
		if (avail == 0 || *budget == 0)
			return 0;
		int rc = take_block(end, avail);
		if (rc < 0)
			return rc;
		uint64_t used = end->ring_tail - before;
		*budget -= used < *budget ? used : *budget;
	}
}

/* ---- the socket ---- */

static int handle_control(struct rmd_wp *end, struct rmd_slice packet)
{
	remuda_local_Control *control = rmd_malloc(sizeof *control);
	if (control == NULL)
		return RMD_EPROTO; /* its only packets are about starting: give up on it
				    */
	int rc = rmd_wp_control_parse(packet, control);
	if (rc == 0 && end->ready)
		rc = RMD_EPROTO;
	if (rc == 0 && control->which_kind == remuda_local_Control_ready_tag) {
		end->ready = true;
		end->events->ready(end->ctx);
	} else if (rc == 0 &&
		   control->which_kind == remuda_local_Control_start_failed_tag) {
		const remuda_local_StartFailed *failed = &control->kind.start_failed;
		end->events->start_failed(end->ctx,
					  rmd_slice_of(failed->error_chain.bytes,
						       failed->error_chain.size));
	} else {
		rc = RMD_EPROTO;
	}
	rmd_free(control);
	return rc;
}

/* Reads packets up to a doorbell (*ret_rang). RMD_EPROTO; at the end it sets end->closed.
 */
static int read_socket(struct rmd_wp *end, bool *ret_rang)
{
	uint8_t packet[RMD_WP_PACKET_MAX];
	for (int i = 0; i < PACKETS_PER_READ && !end->closed; i++) {
		size_t len;
		int rc = rmd_wp_packet_recv(end->socket_fd, packet, sizeof packet, &len,
					    NULL);
		if (rc == RMD_EAGAIN)
			return 0;
		if (rc == RMD_ECLOSED || rc == RMD_ESYS)
			end->closed = true;
		else if (rc < 0)
			return rc;
		else if (packet[0] == RMD_WP_PACKET_DOORBELL && len == 1) {
			*ret_rang = true;
			return 0;
		} else {
			rc = handle_control(end, rmd_slice_of(packet, len));
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* ---- all of it ---- */

/* Tells what is left of the pieces: it belongs to the task that runs now. False: another
 * record has come, so the marks are not known yet. */
static bool tell_rest(struct rmd_wp *end)
{
	if (end->pipes[0].len == 0 && end->pipes[1].len == 0)
		return true;
	uint64_t lease = rmd_wp_running(end);
	if (atomic_load_explicit(&end->shared->page->ring_head, memory_order_acquire) !=
	    end->ring_tail)
		return false;
	tell(end, 0, lease, UINT64_MAX);
	tell(end, 1, lease, UINT64_MAX);
	return true;
}

/* The worker is gone: what is left in the pipes. */
static void tell_last(struct rmd_wp *end)
{
	uint64_t lease = rmd_wp_running(end);
	for (int which = 0; which < 2; which++) {
		uint64_t until = end->pipes[which].told_bytes + LAST_PIPE_BYTES;
		while (end->pipes[which].told_bytes < until && fill(end, which))
			tell(end, which, lease, UINT64_MAX);
	}
}

int rmd_wp_read(struct rmd_wp *end)
{
	RMD_CHECK_OBJ(end, RMD_WP_MAGIC);
	struct rmd_wp_page *page = end->shared->page;
	uint64_t budget = RING_BYTES_PER_READ;
	bool rang = false;
	int rc = read_socket(end, &rang);
	if (rc < 0)
		return rc;
	if (!rang) {
		(void)fill(end, 0);
		(void)fill(end, 1);
	}
	do {
		atomic_store_explicit(&page->agent_asleep, 0, memory_order_relaxed);
		do {
			rc = drain_ring(end, &budget);
			if (rc == RMD_EPROTO)
				return rc;
			if (rc < 0 || budget == 0) {
				atomic_store(&page->agent_asleep, 1);
				return 1;
			}
		} while (!tell_rest(end));
		/* From here on the worker rings; what came before that we must see. */
		atomic_store(&page->agent_asleep, 1);
		atomic_thread_fence(memory_order_seq_cst);
	} while (atomic_load(&page->ring_head) != end->ring_tail);
	if (end->closed) {
		tell_last(end);
		return RMD_ECLOSED;
	}
	if (end->stop_wanted)
		(void)rmd_wp_flush(end);
	return 0;
}
