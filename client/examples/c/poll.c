/* poll: remuda inside a program that has an event loop of its own (poll, epoll, libuv …).
 *
 *	./poll demo.so
 *
 * Three tasks that sleep 30, 20 and 10 ms end in the other order, given workers enough;
 * meanwhile the loop goes on: it also hears standard input. */
#include <remuda/remuda.h>

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

struct job {
	int milliseconds;
	int *left;
};

/* Called by remuda_dispatch, so on the loop's own thread: no locks needed. */
static void job_done(struct remuda_future *future, void *ctx)
{
	struct job *job = ctx;
	struct remuda_error *err = NULL;
	int64_t slept;
	if (remuda_get(future, &slept, &err) == 0) {
		printf("asked for %d ms: done\n", job->milliseconds);
	} else {
		remuda_error_print(err, stdout);
		remuda_error_free(err);
	}
	(*job->left)--;
}

int main(int argc, char **argv)
{
	const char *modules[] = {argc > 1 ? argv[1] : "demo.so", NULL};
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	int left = 3;
	struct job jobs[] = {{30, &left}, {20, &left}, {10, &left}};

	options.modules = modules;
	options.max_workers = 3;
	struct remuda *client = remuda_open_with(&options, &err);
	if (client == NULL) {
		remuda_error_print(err, stderr);
		remuda_error_free(err);
		return 1;
	}
	for (int i = 0; i < 3; i++)
		remuda_enqueue(remuda_submit_name(client, "native:demo.sleep_ms",
						  jobs[i].milliseconds),
			       job_done, &jobs[i]);

	struct pollfd fds[] = {{.fd = remuda_fd(client), .events = POLLIN},
			       {.fd = STDIN_FILENO, .events = POLLIN}};
	while (left > 0) {
		char text[256];
		if (poll(fds, 2, -1) < 0)
			break;
		if (fds[0].revents != 0)
			remuda_dispatch(client);
		if (fds[1].revents != 0 && read(STDIN_FILENO, text, sizeof text) <= 0)
			fds[1].fd = -1;      /* poll passes over it from now on */
	}
	remuda_close(client);
	return 0;
}
