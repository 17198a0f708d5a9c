#include "worker/protocol/worker_end.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "worker/protocol/worker_parts.h"

/* Our descriptors lie from here on, out of the way of what tasks open. */
#define FD_MIN 64
/* How often a worker that waits for room looks whether its agent is still there. */
#define ROOM_WAIT_NS 200000000L
/* Memory of the large area is given back after so long without work. */
#define TRIM_AFTER_MS 1000

/* ---- open, setup ---- */

/* Moves `fd` to a high number, close-on-exec; where that fails it stays. */
static int move_fd(int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN);
	if (moved < 0) {
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		return fd;
	}
	close(fd);
	return moved;
}

/* Maps all of the file of `fd`, whose size must be `size` (0: any) and closes it. NULL:
 * errno. */
static void *map_fd(int fd, int protection, uint64_t size, uint64_t *ret_size)
{
	struct stat st;
	void *base = MAP_FAILED;
	if (fstat(fd, &st) == 0) {
		if (size != 0 && (uint64_t)st.st_size != size)
			errno = EINVAL;
		else
			base = mmap(NULL, (size_t)st.st_size, protection, MAP_SHARED, fd,
				    0);
	}
	int saved = errno;
	close(fd);
	errno = saved;
	if (base == MAP_FAILED)
		return NULL;
	(void)madvise(base, (size_t)st.st_size, MADV_DONTDUMP);
	if (ret_size != NULL)
		*ret_size = (uint64_t)st.st_size;
	return base;
}

static int map_all(struct rmd_wpw *end)
{
	const int rw = PROT_READ | PROT_WRITE;
	end->page = map_fd(RMD_WP_WORKER_FD + 1, rw, RMD_WP_PAGE_BYTES, NULL);
	end->input = map_fd(RMD_WP_WORKER_FD + 2, PROT_READ, 0, &end->input_bytes);
	end->output = map_fd(RMD_WP_WORKER_FD + 3, rw, RMD_WP_OUTPUT_BYTES, NULL);
	if (end->page == NULL || end->input == NULL || end->output == NULL)
		return RMD_ESYS;
	if (end->page->version != RMD_WP_VERSION)
		return RMD_EVERSION;
	end->area.page = end->page;
	end->area.base = end->output + RMD_WP_RING_BYTES;
	return 0;
}

int rmd_wpw_open(struct rmd_wpw **ret_end)
{
	struct stat st;
	if (fstat(RMD_WP_WORKER_FD, &st) < 0 || !S_ISSOCK(st.st_mode))
		return RMD_ESYS;
	struct rmd_wpw *end = rmd_calloc(1, sizeof *end);
	if (end == NULL)
		return RMD_ENOMEM;
	end->magic = RMD_WPW_MAGIC;
	end->socket_fd = -1;
	end->output_fds[0] = end->output_fds[1] = -1;
	int rc = RMD_ENOMEM;
	end->packet = rmd_malloc(RMD_WP_PACKET_MAX);
	if (end->packet == NULL)
		goto out;
	rc = map_all(end);
	if (rc < 0)
		goto out;
	end->socket_fd = move_fd(RMD_WP_WORKER_FD);
	for (int i = 0; i < 2; i++)
		end->output_fds[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, FD_MIN);
	*ret_end = end;
	return 0;
out:
	rmd_wpw_close(end);
	return rc;
}

void rmd_wpw_close(struct rmd_wpw *end)
{
	if (end == NULL)
		return;
	RMD_CHECK_OBJ(end, RMD_WPW_MAGIC);
	if (end->page != NULL)
		munmap(end->page, RMD_WP_PAGE_BYTES);
	if (end->input != NULL)
		munmap((void *)(uintptr_t)end->input, end->input_bytes);
	if (end->output != NULL)
		munmap(end->output, RMD_WP_OUTPUT_BYTES);
	if (end->socket_fd >= 0)
		close(end->socket_fd);
	for (int i = 0; i < 2; i++)
		if (end->output_fds[i] >= 0)
			close(end->output_fds[i]);
	rmd_free(end->packet);
	rmd_free(end->control);
	end->magic = 0;
	rmd_free(end);
}

int rmd_wpw_recv_setup(struct rmd_wpw *end, struct rmd_wpw_setup *ret_setup)
{
	size_t len;
	int rc = rmd_wp_packet_recv(end->socket_fd, end->packet, RMD_WP_PACKET_MAX, &len,
				    NULL);
	if (rc < 0)
		return rc;
	end->control = rmd_malloc(sizeof *end->control);
	if (end->control == NULL)
		return RMD_ENOMEM;
	rc = rmd_wp_control_parse(rmd_slice_of(end->packet, len), end->control);
	if (rc < 0)
		return rc;
	const remuda_local_Setup *setup = &end->control->kind.setup;
	if (end->control->which_kind != remuda_local_Control_setup_tag)
		return RMD_EPROTO;
	if (setup->protocol != RMD_WP_VERSION)
		return RMD_EVERSION;
	for (size_t i = 0; i < setup->modules_count; i++)
		end->modules[i] = setup->modules[i];
	*ret_setup = (struct rmd_wpw_setup){
		.host = setup->host,
		.worker = setup->worker,
		.modules = end->modules,
		.module_count = setup->modules_count,
	};
	return 0;
}

static int send_control(struct rmd_wpw *end, pb_size_t kind, struct rmd_slice error_chain)
{
	remuda_local_Control *control = rmd_calloc(1, sizeof *control);
	if (control == NULL)
		return RMD_ENOMEM;
	control->which_kind = kind;
	if (error_chain.len > 0)
		memcpy(control->kind.start_failed.error_chain.bytes, error_chain.data,
		       error_chain.len);
	if (kind == remuda_local_Control_start_failed_tag)
		control->kind.start_failed.error_chain.size = (pb_size_t)error_chain.len;
	int rc = rmd_wp_control_send(end->socket_fd, control, -1);
	rmd_free(control);
	return rc;
}

int rmd_wpw_send_ready(struct rmd_wpw *end)
{
	return send_control(end, remuda_local_Control_ready_tag, rmd_slice_of(NULL, 0));
}

int rmd_wpw_send_start_failed(struct rmd_wpw *end, struct rmd_slice error_chain)
{
	_Static_assert(RMD_WPW_START_ERROR_MAX <=
			       sizeof((remuda_local_StartFailed *)0)->error_chain.bytes,
		       "as in worker.options");
	if (error_chain.len > RMD_WPW_START_ERROR_MAX)
		return RMD_ETOOBIG;
	return send_control(end, remuda_local_Control_start_failed_tag, error_chain);
}

/* ---- taking tasks ---- */

/* Maps the segment that came with the packet in place of the one before. */
static int change_input(struct rmd_wpw *end, int fd)
{
	uint64_t size = 0;
	const void *base = fd < 0 ? NULL : map_fd(fd, PROT_READ, 0, &size);
	if (base == NULL)
		return RMD_EPROTO;
	munmap((void *)(uintptr_t)end->input, end->input_bytes);
	end->input = base;
	end->input_bytes = size;
	return 0;
}

/* Handles a control packet: 0: go on; RMD_ECLOSED: asked to exit. */
static int handle_control(struct rmd_wpw *end, struct rmd_slice packet, int fd)
{
	remuda_local_Control *control = rmd_malloc(sizeof *control);
	if (control == NULL)
		return RMD_ENOMEM;
	int rc = rmd_wp_control_parse(packet, control);
	if (rc == 0 && control->which_kind == remuda_local_Control_stop_tag)
		rc = RMD_ECLOSED;
	else if (rc == 0 &&
		 control->which_kind == remuda_local_Control_input_segment_tag) {
		rc = change_input(end, fd);
		fd = -1; /* it has closed it */
	} else
		rc = RMD_EPROTO;
	rmd_free(control);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Waits for a packet; meanwhile, after a time, memory is given back. */
static int recv_packet(struct rmd_wpw *end)
{
	if (rmd_wp_area_warm(&end->area)) {
		struct pollfd poll_fd = {.fd = end->socket_fd, .events = POLLIN};
		if (poll(&poll_fd, 1, TRIM_AFTER_MS) == 0)
			rmd_wp_area_trim(&end->area);
	}
	size_t len;
	int fd;
	int rc = rmd_wp_packet_recv(end->socket_fd, end->packet, RMD_WP_PACKET_MAX, &len,
				    &fd);
	if (rc < 0)
		return rc;
	if (end->packet[0] != RMD_WP_PACKET_TASKS)
		return handle_control(end, rmd_slice_of(end->packet, len), fd);
	if (fd >= 0)
		close(fd);
	end->reader = rmd_wire_reader_of(rmd_slice_of(end->packet + 1, len - 1));
	return 0;
}

/* Claims the task: false: it was taken back. */
static bool claim(struct rmd_wpw *end, uint64_t seq)
{
	uint64_t offered = RMD_WP_WORD(seq, RMD_WP_OFFERED);
	atomic_store_explicit(&end->page->running, seq, memory_order_relaxed);
	if (!atomic_compare_exchange_strong(&end->page->slots[RMD_WP_SLOT_OF(seq)],
					    &offered, RMD_WP_WORD(seq, RMD_WP_CLAIMED)))
		return false;
	end->seq = seq;
	return true;
}

int rmd_wpw_next(struct rmd_wpw *end, struct rmd_wpw_task *ret_task)
{
	RMD_CHECK_OBJ(end, RMD_WPW_MAGIC);
	RMD_CHECK(end->seq == 0);
	rmd_free(end->control);
	end->control = NULL;
	for (;;) {
		struct rmd_wp_entry entry;
		int rc = rmd_wp_entry_next(&end->reader, &entry);
		if (rc == 0)
			rc = recv_packet(end);
		else if (rc > 0 && (entry.arguments_bytes > end->input_bytes ||
				    entry.arguments_offset >
					    end->input_bytes - entry.arguments_bytes))
			rc = RMD_EPROTO;
		if (rc < 0)
			return rc;
		if (rc == 0 || !claim(end, entry.seq))
			continue;
		struct rmd_slice arguments = entry.arguments;
		if (entry.arguments_bytes != 0)
			arguments = rmd_slice_of(end->input + entry.arguments_offset,
						 entry.arguments_bytes);
		*ret_task = (struct rmd_wpw_task){
			.seq = entry.seq,
			.function = entry.function,
			.arguments = arguments,
			.attempt = entry.attempt,
			.depth = entry.depth,
			.deadline_mono_ns = entry.deadline_mono_ns,
		};
		return 0;
	}
}

/* ---- giving outcomes ---- */

bool rmd_wpw_agent_gone(const struct rmd_wpw *end)
{
	struct pollfd poll_fd = {.fd = end->socket_fd, .events = POLLRDHUP};
	return poll(&poll_fd, 1, 0) > 0 &&
	       (poll_fd.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) != 0;
}

/* True if a record of `bytes` bytes fits in the ring now: sets where it goes. */
static bool place_in_ring(struct rmd_wpw *end, uint64_t bytes)
{
	uint64_t tail = atomic_load_explicit(&end->page->ring_tail, memory_order_acquire);
	uint64_t to_end = RMD_WP_RING_BYTES - end->ring_head % RMD_WP_RING_BYTES;
	uint64_t pad = to_end < bytes ? to_end : 0;
	if (end->ring_head - tail + pad + bytes > RMD_WP_RING_BYTES)
		return false;
	end->record_at = end->ring_head + pad;
	end->reserved_head = end->record_at + bytes;
	return true;
}

/* True if there is room for a payload of `len` bytes now, in the ring or beyond it. */
static bool place(struct rmd_wpw *end, size_t len)
{
	end->large.len = 0;
	if (len <= RMD_WP_RING_PAYLOAD_MAX)
		return place_in_ring(end, rmd_wp_record_bytes(len));
	return place_in_ring(end, rmd_wp_record_bytes(sizeof end->large)) &&
	       rmd_wp_area_find(&end->area, len, &end->large);
}

void rmd_wpw_ring(struct rmd_wpw *end)
{
	static const uint8_t bell = RMD_WP_PACKET_DOORBELL;
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&end->page->agent_asleep, memory_order_relaxed) != 0 &&
	    atomic_exchange(&end->page->agent_asleep, 0) != 0)
		(void)rmd_wp_packet_send(end->socket_fd, rmd_slice_of(&bell, 1), -1);
}

int rmd_wpw_place(struct rmd_wpw *end, size_t len)
{
	const struct timespec timeout = {0, ROOM_WAIT_NS};
	struct rmd_wp_page *page = end->page;
	while (!place(end, len)) {
		rmd_wpw_ring(end); /* a mark may lie there that nobody was rung for */
		uint32_t room = atomic_load(&page->room);
		atomic_store(&page->worker_waits, 1);
		atomic_thread_fence(memory_order_seq_cst);
		if (place(end, len)) {
			atomic_store(&page->worker_waits, 0);
			break;
		}
		long rc = syscall(SYS_futex, &page->room, FUTEX_WAIT, room, &timeout,
				  NULL, 0);
		if (rc < 0 && errno == ETIMEDOUT && rmd_wpw_agent_gone(end))
			return RMD_ECLOSED;
	}
	return 0;
}

void rmd_wpw_publish(struct rmd_wpw *end)
{
	uint64_t pad = end->record_at - end->ring_head;
	if (pad >= sizeof(struct rmd_wp_record)) {
		struct rmd_wp_record filler = {
			.kind = RMD_WP_RECORD_PAD,
			.payload_bytes = (uint32_t)(pad - sizeof filler),
		};
		memcpy(end->output + end->ring_head % RMD_WP_RING_BYTES, &filler,
		       sizeof filler);
	}
	memcpy(end->output + end->record_at % RMD_WP_RING_BYTES, &end->record,
	       sizeof end->record);
	end->ring_head = end->reserved_head;
	atomic_store_explicit(&end->page->ring_head, end->ring_head,
			      memory_order_release);
}

/* Bytes ever written to stdout and stderr: what the agent has read, and what still lies
 * in the pipes. */
static void count_output(struct rmd_wpw *end, uint64_t ret_totals[2])
{
	struct rmd_wp_page *page = end->page;
	for (uint32_t spins = 1;; spins++) {
		uint32_t reads = atomic_load(&page->pipe_reads);
		for (int i = 0; i < 2; i++) {
			int unread = 0;
			if (end->output_fds[i] < 0 ||
			    ioctl(end->output_fds[i], FIONREAD, &unread) < 0)
				unread = 0;
			ret_totals[i] = atomic_load(&page->pipe_bytes[i]) +
					(uint64_t)unread;
		}
		if (reads % 2 == 0 && atomic_load(&page->pipe_reads) == reads)
			return;
		if (spins % 1024 == 0 && rmd_wpw_agent_gone(end))
			return;
		sched_yield();
	}
}

/* Leaves a mark if something was printed since the last: it belongs to `seq`.
 * RMD_ECLOSED. */
static int mark_output(struct rmd_wpw *end, uint64_t seq)
{
	uint64_t totals[2];
	count_output(end, totals);
	if (totals[0] == end->marked_bytes[0] && totals[1] == end->marked_bytes[1])
		return 0;
	int rc = rmd_wpw_place(end, 0);
	if (rc < 0)
		return rc;
	end->record = (struct rmd_wp_record){
		.kind = RMD_WP_RECORD_MARK, .seq = seq, .a = totals[0], .b = totals[1]};
	rmd_wpw_publish(end);
	memcpy(end->marked_bytes, totals, sizeof totals);
	return 0;
}

int rmd_wpw_disown_output(struct rmd_wpw *end)
{
	return mark_output(end, 0);
}

int rmd_wpw_reserve(struct rmd_wpw *end, size_t len, enum rmd_wpw_output output,
		    uint8_t **ret_bytes)
{
	RMD_CHECK_OBJ(end, RMD_WPW_MAGIC);
	RMD_CHECK(end->seq != 0);
	if (len > RMD_WP_OUTCOME_MAX)
		return RMD_ETOOBIG;
	int rc = output == RMD_WPW_SILENT ? 0 : mark_output(end, end->seq);
	if (rc == 0)
		rc = rmd_wpw_place(end, len);
	if (rc < 0)
		return rc;
	uint8_t *payload = end->output + end->record_at % RMD_WP_RING_BYTES +
			   sizeof end->record;
	end->record = (struct rmd_wp_record){.seq = end->seq};
	end->reserved_bytes = len;
	if (end->large.len != 0)
		payload = end->area.base + end->large.offset;
	*ret_bytes = payload;
	return 0;
}

bool rmd_wpw_size_record(struct rmd_wpw *end, size_t len)
{
	RMD_CHECK(len <= end->reserved_bytes);
	if (end->large.len == 0) {
		end->record.payload_bytes = (uint32_t)len;
		end->reserved_head = end->record_at + rmd_wp_record_bytes(len);
		return false;
	}
	rmd_wp_area_take(&end->area, &end->large);
	end->large.len = len;
	end->record.payload_bytes = sizeof end->large;
	memcpy(end->output + end->record_at % RMD_WP_RING_BYTES + sizeof end->record,
	       &end->large, sizeof end->large);
	return true;
}

void rmd_wpw_commit(struct rmd_wpw *end, enum rmd_wp_outcome_kind kind, size_t len,
		    uint64_t run_ns)
{
	RMD_CHECK_OBJ(end, RMD_WPW_MAGIC);
	bool large = rmd_wpw_size_record(end, len);
	if (kind == RMD_WP_VALUE)
		end->record.kind = large ? RMD_WP_RECORD_LARGE_VALUE
					 : RMD_WP_RECORD_VALUE;
	else
		end->record.kind = large ? RMD_WP_RECORD_LARGE_ERROR
					 : RMD_WP_RECORD_ERROR;
	end->record.a = run_ns;
	uint64_t seq = end->seq;
	end->seq = 0;
	rmd_wpw_publish(end);
	/* Only if the agent has not given the slot to another task meanwhile. */
	uint64_t claimed = RMD_WP_WORD(seq, RMD_WP_CLAIMED);
	(void)atomic_compare_exchange_strong(&end->page->slots[RMD_WP_SLOT_OF(seq)],
					     &claimed, RMD_WP_WORD(seq, RMD_WP_DONE));
	rmd_wpw_ring(end);
}

int rmd_wpw_log(struct rmd_wpw *end, struct rmd_slice bytes)
{
	RMD_CHECK_OBJ(end, RMD_WPW_MAGIC);
	if (bytes.len > RMD_WP_RING_PAYLOAD_MAX)
		bytes.len = RMD_WP_RING_PAYLOAD_MAX;
	int rc = rmd_wpw_place(end, bytes.len);
	if (rc < 0)
		return rc;
	end->record = (struct rmd_wp_record){.kind = RMD_WP_RECORD_LOG,
					     .seq = end->seq,
					     .payload_bytes = (uint32_t)bytes.len};
	if (bytes.len > 0)
		memcpy(end->output + end->record_at % RMD_WP_RING_BYTES +
			       sizeof end->record,
		       bytes.data, bytes.len);
	rmd_wpw_publish(end);
	rmd_wpw_ring(end);
	return 0;
}

void rmd_wpw_set_progress(struct rmd_wpw *end, uint64_t done, uint64_t total)
{
	struct rmd_wp_page *page = end->page;
	atomic_store_explicit(&page->progress_done, done, memory_order_relaxed);
	atomic_store_explicit(&page->progress_total, total, memory_order_relaxed);
	atomic_store_explicit(&page->progress_seq, end->seq, memory_order_release);
}

bool rmd_wpw_cancelled(const struct rmd_wpw *end)
{
	return atomic_load_explicit(&end->page->cancel, memory_order_acquire) ==
		       end->seq &&
	       end->seq != 0;
}
