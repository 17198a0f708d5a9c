#include "worker/protocol/agent_end.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void rmd_wp_shared_unref(struct rmd_wp_shared *shared)
{
	if (shared == NULL ||
	    atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (shared->page != NULL)
		munmap(shared->page, RMD_WP_PAGE_BYTES);
	if (shared->output != NULL)
		munmap((void *)(uintptr_t)shared->output, RMD_WP_OUTPUT_BYTES);
	rmd_free(shared);
}

/* Maps what the two share. RMD_ENOMEM, RMD_ESYS. */
static int open_shared(struct rmd_wp *end)
{
	end->shared = rmd_calloc(1, sizeof *end->shared);
	if (end->shared == NULL)
		return RMD_ENOMEM;
	atomic_init(&end->shared->refs, 1);
	end->page_fd = rmd_wp_memfd("remuda-control", RMD_WP_PAGE_BYTES);
	end->output_fd = rmd_wp_memfd("remuda-output", RMD_WP_OUTPUT_BYTES);
	if (end->page_fd < 0 || end->output_fd < 0 ||
	    fcntl(end->page_fd, F_ADD_SEALS, F_SEAL_SEAL) < 0 ||
	    fcntl(end->output_fd, F_ADD_SEALS, F_SEAL_SEAL) < 0)
		return RMD_ESYS;
	void *page = mmap(NULL, RMD_WP_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			  end->page_fd, 0);
	if (page == MAP_FAILED)
		return RMD_ESYS;
	end->shared->page = page;
	void *output =
		mmap(NULL, RMD_WP_OUTPUT_BYTES, PROT_READ, MAP_SHARED, end->output_fd, 0);
	if (output == MAP_FAILED)
		return RMD_ESYS;
	end->shared->output = output;
	(void)madvise(output, RMD_WP_OUTPUT_BYTES, MADV_DONTDUMP);
	end->shared->page->version = RMD_WP_VERSION;
	atomic_store(&end->shared->page->agent_asleep, 1);
	return rmd_wp_inputs_init(&end->inputs, RMD_WP_INPUT_BYTES);
}

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? RMD_ESYS : 0;
}

/* The socketpair and the two pipes; the worker's ends block, ours do not. RMD_ESYS. */
static int open_channels(struct rmd_wp *end)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return RMD_ESYS;
	end->socket_fd = pair[0];
	end->child_socket_fd = pair[1];
	for (int i = 0; i < 2; i++) {
		if (pipe2(pair, O_CLOEXEC) < 0)
			return RMD_ESYS;
		end->pipes[i].fd = pair[0];
		end->child_pipe_fds[i] = pair[1];
		if (set_nonblocking(pair[0]) < 0)
			return RMD_ESYS;
	}
	return set_nonblocking(end->socket_fd);
}

struct rmd_wp *rmd_wp_open(uint32_t tasks_max, const struct rmd_wp_events *events,
			   void *ctx)
{
	RMD_CHECK(tasks_max >= 1 && tasks_max <= RMD_WP_TASKS_MAX);
	struct rmd_wp *end = rmd_calloc(1, sizeof *end);
	if (end == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	end->magic = RMD_WP_MAGIC;
	end->events = events;
	end->ctx = ctx;
	end->tasks_max = tasks_max;
	end->next_seq = 1;
	end->socket_fd = end->child_socket_fd = end->page_fd = end->output_fd = -1;
	end->inputs.worker_fd = -1;
	for (int i = 0; i < 2; i++)
		end->pipes[i].fd = end->child_pipe_fds[i] = -1;
	rmd_map_init(&end->leases,
		     (uintptr_t)end); /* leases are numbers of our own side's */
	for (uint32_t i = 0; i < tasks_max; i++)
		end->free_slots[end->free_count++] = (uint8_t)(tasks_max - 1 - i);
	int rc = open_shared(end);
	if (rc == 0)
		rc = open_channels(end);
	if (rc == 0)
		return end;
	int saved = rc == RMD_ENOMEM ? ENOMEM : errno;
	rmd_wp_close(end);
	errno = saved;
	return NULL;
}

void rmd_wp_close(struct rmd_wp *end)
{
	if (end == NULL)
		return;
	RMD_CHECK_OBJ(end, RMD_WP_MAGIC);
	rmd_wp_release_child(end);
	close_fd(&end->socket_fd);
	for (int i = 0; i < 2; i++) {
		close_fd(&end->pipes[i].fd);
		rmd_free(end->pipes[i].piece);
	}
	rmd_wp_inputs_fini(&end->inputs);
	rmd_wp_shared_unref(end->shared);
	rmd_wire_writer_fini(&end->packet);
	rmd_map_fini(&end->leases);
	end->magic = 0;
	rmd_free(end);
}

void rmd_wp_child_fds(const struct rmd_wp *end, int ret_fds[RMD_WP_CHILD_FDS],
		      int ret_numbers[RMD_WP_CHILD_FDS])
{
	const int fds[RMD_WP_CHILD_FDS] = {
		end->child_socket_fd, end->page_fd,	      end->inputs.worker_fd,
		end->output_fd,	      end->child_pipe_fds[0], end->child_pipe_fds[1]};
	const int numbers[RMD_WP_CHILD_FDS] = {RMD_WP_WORKER_FD,     RMD_WP_WORKER_FD + 1,
					       RMD_WP_WORKER_FD + 2, RMD_WP_WORKER_FD + 3,
					       STDOUT_FILENO,	     STDERR_FILENO};
	memcpy(ret_fds, fds, sizeof fds);
	memcpy(ret_numbers, numbers, sizeof numbers);
}

void rmd_wp_release_child(struct rmd_wp *end)
{
	close_fd(&end->child_socket_fd);
	close_fd(&end->page_fd);
	close_fd(&end->output_fd);
	close_fd(&end->inputs.worker_fd);
	close_fd(&end->child_pipe_fds[0]);
	close_fd(&end->child_pipe_fds[1]);
}

void rmd_wp_poll_fds(const struct rmd_wp *end, int ret_fds[3])
{
	ret_fds[0] = end->socket_fd;
	ret_fds[1] = end->pipes[0].fd;
	ret_fds[2] = end->pipes[1].fd;
}

void rmd_wp_set_names(struct rmd_wp *end, const char *host, uint64_t worker)
{
	size_t len = host == NULL ? 0 : strnlen(host, sizeof end->host - 1);
	if (len > 0)
		memcpy(end->host, host, len);
	end->host[len] = '\0';
	end->worker = worker;
}

struct rmd_slice rmd_wp_stderr_tail(const struct rmd_wp *end)
{
	return rmd_slice_of(end->stderr_tail, end->stderr_tail_len);
}
