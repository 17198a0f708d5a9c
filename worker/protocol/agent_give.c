/* Hands tasks to the worker, takes them back, cancels: the agent's end, outgoing. */
#include <string.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "worker/protocol/agent_end.h"
#include "worker/protocol/control.h"

/* Room in a packet for a task's numbers and tags, over its name and arguments. */
#define ENTRY_OVERHEAD_BYTES 96u

static _Atomic uint64_t *word_of(const struct rmd_wp *end, const struct rmd_wp_slot *slot)
{
	return &end->shared->page->slots[slot - end->slots];
}

static struct rmd_wp_slot *slot_of_lease(const struct rmd_wp *end, uint64_t lease)
{
	return rmd_map_get(&end->leases, lease);
}

struct rmd_wp_slot *rmd_wp_slot_of(struct rmd_wp *end, uint64_t seq)
{
	struct rmd_wp_slot *slot = &end->slots[RMD_WP_SLOT_OF(seq)];
	return seq != 0 && slot->seq == seq ? slot : NULL;
}

void rmd_wp_slot_free(struct rmd_wp *end, struct rmd_wp_slot *slot)
{
	(void)rmd_map_take(&end->leases, slot->lease);
	if (slot->input.len != 0)
		rmd_wp_inputs_drop(&end->inputs, slot->input);
	if (slot->answer.len != 0)
		rmd_wp_inputs_drop(&end->inputs, slot->answer);
	*slot = (struct rmd_wp_slot){0};
	end->free_slots[end->free_count++] = (uint8_t)(slot - end->slots);
}

int rmd_wp_send_setup(struct rmd_wp *end, const char *const *modules, size_t count)
{
	remuda_local_Control *control = rmd_calloc(1, sizeof *control);
	if (control == NULL)
		return RMD_EAGAIN;
	control->which_kind = remuda_local_Control_setup_tag;
	remuda_local_Setup *setup = &control->kind.setup;
	setup->protocol = RMD_WP_VERSION;
	setup->worker = end->worker;
	memcpy(setup->host, end->host, sizeof end->host);
	int rc = 0;
	if (count > sizeof setup->modules / sizeof setup->modules[0])
		rc = RMD_EINVAL;
	for (size_t i = 0; i < count && rc == 0; i++) {
		size_t len = strlen(modules[i]);
		if (len >= sizeof setup->modules[i])
			rc = RMD_EINVAL;
		else
			memcpy(setup->modules[i], modules[i], len + 1);
	}
	setup->modules_count = (pb_size_t)count;
	if (rc == 0)
		rc = rmd_wp_control_send(end->socket_fd, control, -1);
	rmd_free(control);
	return rc == RMD_ENOMEM ? RMD_EAGAIN : rc;
}

/* Begins a packet if none is begun. RMD_EAGAIN: out of memory. */
static int begin_packet(struct rmd_wp *end)
{
	static const uint8_t kind = RMD_WP_PACKET_TASKS;
	if (end->packet.len == 0)
		rmd_wire_put_raw(&end->packet, rmd_slice_of(&kind, 1));
	if (!end->packet.failed)
		return 0;
	rmd_wire_writer_fini(&end->packet);
	return RMD_EAGAIN;
}

/* Appends the task to the packet: it is then the worker's to claim. RMD_EAGAIN: no
 * memory. */
static int offer(struct rmd_wp *end, struct rmd_wp_slot *slot,
		 const struct rmd_wp_task *task)
{
	struct rmd_wp_entry entry = {
		.seq = slot->seq,
		.function = task->function,
		.arguments_offset = slot->input.offset,
		.arguments_bytes = slot->input.len,
		.attempt = task->attempt,
		.depth = task->depth,
		.deadline_mono_ns = task->deadline_mono_ns,
	};
	if (slot->input.len == 0)
		entry.arguments = task->arguments.bytes;
	struct rmd_wire_writer before = end->packet;
	rmd_wp_entry_put(&end->packet, &entry);
	if (end->packet.failed) {
		/* What was gathered is still whole: forget only this task. */
		end->packet.failed = false;
		end->packet.len = before.len;
		return RMD_EAGAIN;
	}
	atomic_store_explicit(word_of(end, slot), RMD_WP_WORD(slot->seq, RMD_WP_OFFERED),
			      memory_order_release);
	return 0;
}

int rmd_wp_give(struct rmd_wp *end, const struct rmd_wp_task *task)
{
	RMD_CHECK_OBJ(end, RMD_WP_MAGIC);
	size_t inline_bytes = task->arguments.bytes.len;
	if (inline_bytes > RMD_WP_INLINE_MAX)
		inline_bytes = 0;
	if (task->function.len > RMD_WP_FUNCTION_MAX)
		return RMD_ETOOBIG;
	if (task->function.len == 0 || task->lease == 0)
		return RMD_EINVAL;
	if (end->closed)
		return RMD_ECLOSED;
	if (end->free_count == 0)
		return RMD_EAGAIN;
	int rc = 0;
	if (end->packet.len + task->function.len + inline_bytes + ENTRY_OVERHEAD_BYTES >
	    RMD_WP_PACKET_MAX)
		rc = rmd_wp_flush(end);
	if (rc == 0)
		rc = begin_packet(end);
	if (rc < 0)
		return rc;
	uint32_t index = end->free_slots[end->free_count - 1];
	struct rmd_wp_slot *slot = &end->slots[index];
	rc = rmd_map_put(&end->leases, task->lease, slot);
	if (rc < 0)
		return rc == RMD_ENOMEM ? RMD_EAGAIN : RMD_EINVAL;
	slot->lease = task->lease;
	slot->seq = end->next_seq++ * RMD_WP_TASKS_MAX + index;
	if (task->arguments.bytes.len > RMD_WP_INLINE_MAX)
		rc = rmd_wp_inputs_put(&end->inputs, task->arguments.bytes, &slot->input);
	end->free_count--;
	if (rc == 0)
		rc = offer(end, slot, task);
	if (rc < 0)
		rmd_wp_slot_free(end, slot);
	return rc;
}

int rmd_wp_flush(struct rmd_wp *end)
{
	RMD_CHECK_OBJ(end, RMD_WP_MAGIC);
	if (end->closed)
		return RMD_ECLOSED;
	if (end->packet.len > 1) {
		int rc = rmd_wp_packet_send(
			end->socket_fd, rmd_slice_of(end->packet.data, end->packet.len),
			-1);
		if (rc < 0)
			return rc;
		rmd_wire_writer_reset(&end->packet);
	}
	if (end->stop_wanted) {
		remuda_local_Control *control = rmd_calloc(1, sizeof *control);
		if (control == NULL)
			return RMD_EAGAIN;
		control->which_kind = remuda_local_Control_stop_tag;
		int rc = rmd_wp_control_send(end->socket_fd, control, -1);
		rmd_free(control);
		if (rc < 0)
			return rc == RMD_ENOMEM ? RMD_EAGAIN : rc;
		end->stop_wanted = false;
	}
	return 0;
}

void rmd_wp_send_stop(struct rmd_wp *end)
{
	end->stop_wanted = true;
	(void)rmd_wp_flush(end); /* if not now, then with a later flush or read */
}

bool rmd_wp_take_back(struct rmd_wp *end, uint64_t lease)
{
	struct rmd_wp_slot *slot = slot_of_lease(end, lease);
	if (slot == NULL)
		return false;
	uint64_t offered = RMD_WP_WORD(slot->seq, RMD_WP_OFFERED);
	if (!atomic_compare_exchange_strong(word_of(end, slot), &offered,
					    RMD_WP_WORD(slot->seq, RMD_WP_REVOKED)))
		return false;
	rmd_wp_slot_free(end, slot);
	return true;
}

bool rmd_wp_begun(const struct rmd_wp *end, uint64_t lease)
{
	const struct rmd_wp_slot *slot = slot_of_lease(end, lease);
	return slot != NULL &&
	       atomic_load_explicit(word_of(end, slot), memory_order_acquire) !=
		       RMD_WP_WORD(slot->seq, RMD_WP_OFFERED);
}

uint64_t rmd_wp_running(const struct rmd_wp *end)
{
	uint64_t seq =
		atomic_load_explicit(&end->shared->page->running, memory_order_acquire);
	const struct rmd_wp_slot *slot = &end->slots[RMD_WP_SLOT_OF(seq)];
	if (seq == 0 || slot->seq != seq ||
	    atomic_load_explicit(word_of(end, slot), memory_order_acquire) !=
		    RMD_WP_WORD(seq, RMD_WP_CLAIMED))
		return 0;
	return slot->lease;
}

void rmd_wp_cancel(struct rmd_wp *end, uint64_t lease)
{
	const struct rmd_wp_slot *slot = slot_of_lease(end, lease);
	if (slot != NULL)
		atomic_store_explicit(&end->shared->page->cancel, slot->seq,
				      memory_order_release);
}

bool rmd_wp_progress(const struct rmd_wp *end, uint64_t lease, uint64_t *ret_done,
		     uint64_t *ret_total)
{
	const struct rmd_wp_slot *slot = slot_of_lease(end, lease);
	const struct rmd_wp_page *page = end->shared->page;
	if (slot == NULL ||
	    atomic_load_explicit(&page->progress_seq, memory_order_acquire) != slot->seq)
		return false;
	*ret_done = atomic_load_explicit(&page->progress_done, memory_order_relaxed);
	*ret_total = atomic_load_explicit(&page->progress_total, memory_order_relaxed);
	return true;
}

void rmd_wp_trim(struct rmd_wp *end)
{
	if (end->inputs.touched_bytes <= RMD_WP_INPUT_WARM_BYTES ||
	    end->inputs.count != 0 || end->closed || !end->ready || rmd_wp_flush(end) < 0)
		return;
	remuda_local_Control *control = rmd_calloc(1, sizeof *control);
	struct rmd_wp_inputs fresh = {.worker_fd = -1};
	if (control != NULL && rmd_wp_inputs_init(&fresh, end->inputs.size) == 0) {
		control->which_kind = remuda_local_Control_input_segment_tag;
		control->kind.input_segment.size_bytes = fresh.size;
		if (rmd_wp_control_send(end->socket_fd, control, fresh.worker_fd) == 0) {
			struct rmd_wp_inputs old = end->inputs;
			close(fresh.worker_fd);
			fresh.worker_fd = -1;
			end->inputs = fresh;
			fresh = old;
		}
	}
	rmd_wp_inputs_fini(&fresh);
	rmd_free(control);
}
