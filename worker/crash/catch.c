#include "worker/crash/catch.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "worker/crash/record.h"

#define FD_MIN 64 /* our descriptors lie out of the way of what tasks open */
#define STACK_BYTES \
	((size_t)48 << 10) /* more than the handler, and what the kernel puts */
#define GUARD_BYTES ((size_t)4096)
#define OTHER_MS 500 /* beyond what the first waits: for a thread that crashes second */

#ifdef RMD_CATCH_SANITIZED
#define HANDLES false
#else
#define HANDLES true
#endif

static const int caught[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

/* All that the handler needs, made beforehand. */
static struct {
	int fd; /* -1: there is no channel */
	pid_t pid;
	atomic_int thread; /* that crashed first; 0: none */
	pthread_key_t stack_key;
	remuda_local_CrashRecord record;
	uint8_t packet[RMD_CRASH_RECORD_MAX];
} catcher = {.fd = -1};

/* ---- the handler ---- */

static int64_t now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#if defined(__x86_64__)
#define PAGE_FAULT 14	 /* the trap's number */
#define FAULT_OF_WRITE 2 /* bits of its error code */
#define FAULT_OF_FETCH 16

static void note_registers(remuda_local_CrashRecord *record, const ucontext_t *context)
{
	static const int numbers[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI,
				      REG_RDI, REG_RBP, REG_RSP, REG_R8,  REG_R9,
				      REG_R10, REG_R11, REG_R12, REG_R13, REG_R14,
				      REG_R15, REG_RIP};
	const greg_t *from = context->uc_mcontext.gregs;
	record->registers_count = sizeof numbers / sizeof *numbers;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		record->registers[i] = (uint64_t)from[numbers[i]];
	if (from[REG_TRAPNO] != PAGE_FAULT || record->code <= 0)
		return;
	record->access = (from[REG_ERR] & FAULT_OF_WRITE) != 0
				 ? remuda_local_Access_ACCESS_WRITE
			 : (from[REG_ERR] & FAULT_OF_FETCH) != 0
				 ? remuda_local_Access_ACCESS_EXECUTE
				 : remuda_local_Access_ACCESS_READ;
}
#else
static void note_registers(remuda_local_CrashRecord *record, const ucontext_t *context)
{
	(void)record;
	(void)context;
}
#endif

static void note_crash(int signal_number, const siginfo_t *info, const void *context)
{
	remuda_local_CrashRecord *record = &catcher.record;
	record->signal = (uint32_t)signal_number;
	record->code = info->si_code;
	if (info->si_code > 0)
		record->address = (uint64_t)(uintptr_t)info->si_addr;
	else
		record->sender = (uint32_t)info->si_pid;
	record->thread = (uint32_t)atomic_load(&catcher.thread);
	note_registers(record, context);
}

static void send_word(enum rmd_crash_op op)
{
	struct rmd_crash_word word = {.op = op};
	(void)send(catcher.fd, &word, sizeof word, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Waits for the agent's words until it is done, or gone, or it takes too long. */
static void await_agent(void)
{
	struct pollfd ready = {.fd = catcher.fd, .events = POLLIN};
	int64_t until = now_ms() + RMD_CRASH_LINE_MS;
	for (int64_t left; (left = until - now_ms()) > 0;) {
		struct rmd_crash_word word;
		int n = poll(&ready, 1, (int)left);
		if (n < 0 && errno != EINTR)
			return;
		if (n <= 0)
			continue;
		ssize_t got = recv(catcher.fd, &word, sizeof word, MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got != (ssize_t)sizeof word || word.op == RMD_CRASH_DONE)
			return;
		if (word.op == RMD_CRASH_TRACER && word.pid > 0) {
			/* EINVAL: this kernel needs no such permission. */
			(void)prctl(PR_SET_PTRACER, (unsigned long)word.pid, 0, 0, 0);
			until = now_ms() + RMD_CRASH_WAIT_MS;
			send_word(RMD_CRASH_AGREED);
		}
	}
}

static void tell(int signal_number, const siginfo_t *info, const void *context)
{
	note_crash(signal_number, info, context);
	size_t len = rmd_crash_record_put(&catcher.record, catcher.packet);
	if (len == 0)
		return;
	ssize_t n = send(catcher.fd, catcher.packet, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == (ssize_t)len)
		await_agent();
}

static void on_crash(int signal_number, siginfo_t *info, void *context)
{
	int self = (int)syscall(SYS_gettid), first = 0;
	if (getpid() == catcher.pid) {
		if (atomic_compare_exchange_strong(&catcher.thread, &first, self))
			tell(signal_number, info, context);
		else /* the other one will end us both */
			(void)poll(NULL, 0,
				   RMD_CRASH_LINE_MS + RMD_CRASH_WAIT_MS + OTHER_MS);
	}
	/* Blocked until we return; then it kills, and the wait status is the truth. */
	struct sigaction standard = {.sa_handler = SIG_DFL};
	(void)sigaction(signal_number, &standard, NULL);
	(void)syscall(SYS_tgkill, getpid(), self, signal_number);
}

/* ---- beforehand ---- */

/* Finds a build-id among notes of `size` bytes. */
static void note_build_id(remuda_local_Image *image, const uint8_t *notes, size_t size)
{
	while (size >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) head;
		memcpy(&head, notes, sizeof head);
		size_t name = ((size_t)head.n_namesz + 3) & ~(size_t)3;
		size_t desc = ((size_t)head.n_descsz + 3) & ~(size_t)3;
		size_t body = sizeof head + name;
		if (name > size || desc > size || body + desc > size)
			return;
		if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 &&
		    memcmp(notes + sizeof head, "GNU", 4) == 0 &&
		    head.n_descsz <= sizeof image->build_id.bytes) {
			image->build_id.size = (pb_size_t)head.n_descsz;
			memcpy(image->build_id.bytes, notes + body, head.n_descsz);
			return;
		}
		notes += body + desc;
		size -= body + desc;
	}
}

static void note_path(remuda_local_Image *image, const char *path)
{
	size_t room = sizeof image->path;
	if (path[0] != '\0') {
		if (strlen(path) < room)
			memcpy(image->path, path, strlen(path) + 1);
		return;
	}
	ssize_t n = readlink("/proc/self/exe", image->path, room);
	image->path[n > 0 && (size_t)n < room ? n : 0] = '\0';
}

static int note_image(struct dl_phdr_info *info, size_t size, void *arg)
{
	remuda_local_CrashRecord *record = arg;
	(void)size;
	if (record->images_count == sizeof record->images / sizeof *record->images)
		return 1;
	remuda_local_Image *image = &record->images[record->images_count];
	*image = (remuda_local_Image){.base = info->dlpi_addr};
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *head = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + head->p_vaddr;
		if (head->p_type == PT_LOAD && (image->end == 0 || start < image->start))
			image->start = start;
		if (head->p_type == PT_LOAD && start + head->p_memsz > image->end)
			image->end = start + head->p_memsz;
		if (head->p_type == PT_NOTE && image->build_id.size == 0)
			note_build_id(image, (const uint8_t *)(uintptr_t)start,
				      head->p_memsz);
	}
	note_path(image, info->dlpi_name);
	if (image->end > image->start)
		record->images_count++;
	return 0;
}

void rmd_catch_note_images(void)
{
	if (catcher.fd < 0)
		return;
	/* A crash meanwhile sees the images that have been written. */
	catcher.record.images_count = 0;
	(void)dl_iterate_phdr(note_image, &catcher.record);
}

static size_t stack_bytes(void)
{
	/* What the kernel puts there grows with the processor's registers. */
	return (STACK_BYTES + getauxval(AT_MINSIGSTKSZ) + 4095) & ~(size_t)4095;
}

static void free_stack(void *base)
{
	stack_t none = {.ss_flags = SS_DISABLE};
	(void)sigaltstack(&none, NULL);
	(void)munmap(base, stack_bytes() + GUARD_BYTES);
}

bool rmd_catch_thread_begin(void)
{
	stack_t before;
	if (catcher.fd < 0)
		return true;
	if (sigaltstack(NULL, &before) == 0 && (before.ss_flags & SS_DISABLE) == 0)
		return true; /* somebody has given it one */
	size_t size = stack_bytes();
	uint8_t *base = mmap(NULL, size + GUARD_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1,
			     0);
	if (base == MAP_FAILED)
		return false;
	stack_t stack = {.ss_sp = base + GUARD_BYTES, .ss_size = size};
	if (mprotect(base, GUARD_BYTES, PROT_NONE) == 0 &&
	    pthread_setspecific(catcher.stack_key, base) == 0 &&
	    sigaltstack(&stack, NULL) == 0)
		return true;
	(void)pthread_setspecific(catcher.stack_key, NULL);
	(void)munmap(base, size + GUARD_BYTES);
	return false;
}

static void set_handlers(void)
{
	struct sigaction ours = {.sa_sigaction = on_crash,
				 .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigfillset(&ours.sa_mask); /* a SIGTERM now would belie the wait status */
	for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) {
		struct sigaction theirs;
		if (sigaction(caught[i], NULL, &theirs) == 0 &&
		    (theirs.sa_flags & SA_SIGINFO) == 0 && theirs.sa_handler == SIG_DFL)
			(void)sigaction(caught[i], &ours, NULL);
	}
}

void rmd_catch_open(void)
{
	struct stat st;
	if (!HANDLES || fstat(RMD_CRASH_CHILD_FD, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	catcher.fd = fcntl(RMD_CRASH_CHILD_FD, F_DUPFD_CLOEXEC, FD_MIN);
	(void)close(RMD_CRASH_CHILD_FD);
	if (catcher.fd < 0 || pthread_key_create(&catcher.stack_key, free_stack) != 0)
		return;
	catcher.pid = getpid();
	rmd_catch_note_images();
	(void)rmd_catch_thread_begin();
	set_handlers();
}
