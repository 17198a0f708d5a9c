/* fault: task functions for tests/fault. Each writes a line to an append-only journal
 * when its user code begins, so that what was begun twice can be counted; some break what
 * they can reach. */
#include <dirent.h>
#include <fcntl.h>
#include <remuda/task.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

REMUDA_MODULE("fault");

/* "ID MOST\n": task ID begins, which may begin MOST times. One write to a file opened for
 * appending is whole, also when the worker is killed a moment later. */
static void journal(const char *path, int64_t id, int64_t most)
{
	char line[64];
	int len = snprintf(line, sizeof line, "%lld %lld\n", (long long)id,
			   (long long)most);
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0 || write(fd, line, (size_t)len) != len)
		abort();
	close(fd);
}

/* Begins, sleeps, and gives 2 * id + 1. */
REMUDA_TASK(int64_t, mark, (const char *, path), (int64_t, id), (int64_t, most),
	    (int64_t, us))
{
	struct timespec pause = {us / 1000000, us % 1000000 * 1000};
	journal(path, id, most);
	if (us > 0)
		nanosleep(&pause, NULL);
	return 2 * id + 1;
}

/* The same with a large argument, which it adds up; gives 2 * id + 1 if the sum is right.
 */
REMUDA_TASK(int64_t, weigh, (const char *, path), (int64_t, id), (int64_t, most),
	    (struct remuda_bytes, bytes), (int64_t, sum))
{
	int64_t found = 0;
	journal(path, id, most);
	for (size_t i = 0; i < bytes.len; i++)
		found += ((const uint8_t *)bytes.data)[i];
	return found == sum ? 2 * id + 1 : 0;
}

/* Begins, and is killed. */
REMUDA_TASK(void, die, (const char *, path), (int64_t, id), (int64_t, most))
{
	journal(path, id, most);
	raise(SIGKILL);
}

static uint32_t next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Writes garbage to every mapping that the worker shares with its agent and may write to.
 */
static void scribble_memory(uint32_t *state)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
		unsigned long from, to;
		char mode[8];
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 ||
		    strcmp(mode, "rw-s") != 0)
			continue;
		size_t bytes = to - from < 65536 ? to - from : 65536;
		for (size_t i = 0; i + 4 <= bytes; i += 4)
			if (next(state) % 4 != 0)
				*(volatile uint32_t *)(from + i) = next(state);
	}
	if (maps != NULL)
		fclose(maps);
}

/* Sends garbage on every socket that is open here. */
static void scribble_sockets(uint32_t *state)
{
	for (int fd = 3; fd < 1024; fd++) {
		struct stat st;
		if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
			continue;
		for (int i = 0; i < 200; i++) {
			uint32_t packet[64];
			for (size_t k = 0; k < sizeof packet / sizeof *packet; k++)
				packet[k] = next(state);
			((char *)packet)[0] = "TCDX"[next(state) % 4];
			(void)!send(fd, packet, 1 + next(state) % sizeof packet,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
		}
	}
}

/* Attacks its agent through all that they have in common: 1: memory, 2: sockets, 3: both;
 * then returns as if nothing had been. */
REMUDA_TASK(int64_t, scribble, (int64_t, what), (int64_t, seed))
{
	uint32_t state = (uint32_t)seed * 2654435761u | 1u;
	if (what & 1)
		scribble_memory(&state);
	if (what & 2)
		scribble_sockets(&state);
	return what;
}

/* Closes every descriptor but 0 to 2, and goes on. */
REMUDA_TASK(int64_t, close_all)
{
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	return 1;
}
