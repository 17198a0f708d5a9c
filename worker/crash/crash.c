#include "worker/crash/crash.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* Most of the tail that goes into a message. */
#define TAIL_MAX 4096
#define DETAIL_MAX 1024
#define KIB 1024u
#define MIB (1024u * 1024u)

/* The end of `from` as text, without its last newlines; NULs become '?'. False: it is
 * empty. */
static bool copy_tail(struct rmd_slice from, char tail[TAIL_MAX + 1])
{
	size_t len = from.len < TAIL_MAX ? from.len : TAIL_MAX;
	if (len > 0)
		memcpy(tail, from.data + (from.len - len), len);
	while (len > 0 && tail[len - 1] == '\n')
		len--;
	for (size_t i = 0; i < len; i++)
		if (tail[i] == '\0')
			tail[i] = '?';
	tail[len] = '\0';
	return len > 0;
}

/* ---- what its own record says ---- */

static const char *access_text(remuda_local_Access access)
{
	switch (access) {
	case remuda_local_Access_ACCESS_READ:
		return "it read from";
	case remuda_local_Access_ACCESS_WRITE:
		return "it wrote to";
	case remuda_local_Access_ACCESS_EXECUTE:
		return "it ran code at";
	case remuda_local_Access_ACCESS_UNKNOWN:
		break;
	}
	return "it used";
}

/* What a fault at an address is, by signal and code; NULL: not in our table. The address
 * is that of the memory, or of the instruction. */
static const char *fault_text(int signal, int code)
{
	static const struct {
		int signal, code;
		const char *text;
	} table[] = {
		{SIGSEGV, SEGV_MAPERR, "where no memory is mapped"},
		{SIGSEGV, SEGV_ACCERR, "whose memory does not allow it"},
		{SIGBUS, BUS_ADRALN, "which is not aligned"},
		{SIGBUS, BUS_ADRERR, "which has no memory behind it"},
		{SIGBUS, BUS_OBJERR, "whose memory has an error of the hardware"},
		{SIGBUS, BUS_MCEERR_AR, "whose memory has an error of the hardware"},
		{SIGBUS, BUS_MCEERR_AO, "whose memory has an error of the hardware"},
		{SIGFPE, FPE_INTDIV,
		 "integer division by zero, or with too large a result"},
		{SIGFPE, FPE_INTOVF, "integer overflow"},
		{SIGFPE, FPE_FLTDIV, "floating-point division by zero"},
		{SIGFPE, FPE_FLTOVF, "floating-point overflow"},
		{SIGFPE, FPE_FLTUND, "floating-point underflow"},
		{SIGFPE, FPE_FLTRES, "inexact floating-point result"},
		{SIGFPE, FPE_FLTINV, "invalid floating-point operation"},
		{SIGILL, ILL_ILLOPC, "illegal instruction"},
		{SIGILL, ILL_ILLOPN, "illegal instruction"},
		{SIGILL, ILL_ILLADR, "illegal addressing mode"},
		{SIGILL, ILL_ILLTRP, "illegal trap"},
		{SIGILL, ILL_PRVOPC, "privileged instruction"},
		{SIGILL, ILL_PRVREG, "privileged register"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].signal == signal && table[i].code == code)
			return table[i].text;
	return NULL;
}

static void describe_fault(const remuda_local_CrashRecord *record, char ret[DETAIL_MAX])
{
	int signal = (int)record->signal;
	const char *what = fault_text(signal, record->code);
	if (record->code == SI_KERNEL)
		snprintf(ret, DETAIL_MAX,
			 "; the processor refused an instruction, and names no address");
	else if (signal == SIGSEGV || signal == SIGBUS)
		snprintf(ret, DETAIL_MAX, "; %s address 0x%" PRIx64 "%s%s",
			 access_text(record->access), record->address,
			 what != NULL ? ", " : "", what != NULL ? what : "");
	else
		snprintf(ret, DETAIL_MAX, "; %s at address 0x%" PRIx64,
			 what != NULL ? what : "it failed", record->address);
}

static void describe_record(const struct rmd_crash *crash, char ret[DETAIL_MAX])
{
	const remuda_local_CrashRecord *record = crash->record;
	if (record->code > 0)
		describe_fault(record, ret);
	else if (crash->pid > 0 && record->sender == (uint32_t)crash->pid)
		snprintf(ret, DETAIL_MAX, "; it sent itself the signal");
	else
		snprintf(ret, DETAIL_MAX, "; process %" PRIu32 " sent it the signal",
			 record->sender);
}

/* ---- the error ---- */

#define PEAK_MAX 64

static void describe_peak(const struct rmd_crash *crash, char ret[PEAK_MAX])
{
	ret[0] = '\0';
	if (crash->peak_bytes >= MIB)
		snprintf(ret, PEAK_MAX, "; its peak was %" PRIu64 " MiB",
			 crash->peak_bytes / MIB);
	else if (crash->peak_bytes > 0)
		snprintf(ret, PEAK_MAX, "; its peak was %" PRIu64 " KiB",
			 crash->peak_bytes / KIB);
}

static bool over_limit(const struct rmd_crash *crash)
{
	return crash->limit_bytes != 0 && crash->status_known &&
	       WIFSIGNALED(crash->wait_status) && WTERMSIG(crash->wait_status) == SIGKILL;
}

/* Sizes are told in the unit of the limit. */
static void describe_limit(const struct rmd_crash *crash, char ret[DETAIL_MAX])
{
	char peak[PEAK_MAX], children[64] = "";
	uint64_t unit = crash->limit_bytes >= MIB ? MIB : KIB;
	describe_peak(crash, peak);
	if (crash->used_children > 0)
		snprintf(children, sizeof children,
			 " and %" PRIu32 " process%s that it started", crash->used_children,
			 crash->used_children == 1 ? "" : "es");
	snprintf(ret, DETAIL_MAX,
		 "; its agent ended it: it%s used %" PRIu64 " %s of memory, and its pool's "
		 "memory_bytes allow %" PRIu64 " %s%s",
		 children, crash->used_bytes / unit, unit == MIB ? "MiB" : "KiB",
		 crash->limit_bytes / unit, unit == MIB ? "MiB" : "KiB", peak);
}

static void describe_oom(const struct rmd_crash *crash, char ret[DETAIL_MAX])
{
	char peak[PEAK_MAX];
	describe_peak(crash, peak);
	snprintf(ret, DETAIL_MAX,
		 " (oom_kill of %s rose from %" PRIu64 " to %" PRIu64 ")%s",
		 crash->oom->group, crash->oom->before, crash->oom->after, peak);
}

static bool has_record(const struct rmd_crash *crash)
{
	return crash->record != NULL && crash->status_known &&
	       WIFSIGNALED(crash->wait_status) &&
	       (uint32_t)WTERMSIG(crash->wait_status) == crash->record->signal;
}

/* What is known beyond how it ended. */
static void describe(const struct rmd_crash *crash, char ret[DETAIL_MAX])
{
	ret[0] = '\0';
	if (crash->oom != NULL)
		describe_oom(crash, ret);
	else if (over_limit(crash))
		describe_limit(crash, ret);
	else if (crash->killed_for != NULL)
		snprintf(ret, DETAIL_MAX, "; its agent ended it: %s", crash->killed_for);
	else if (has_record(crash))
		describe_record(crash, ret);
}

/* The frames; where none were taken, the place of the crash if the worker knew it. */
static void add_frames(struct remuda_error *err, const struct rmd_crash *crash)
{
	size_t count = crash->stack != NULL ? remuda_error_frame_count(crash->stack) : 0;
	for (size_t i = 0; i < count; i++) {
		struct remuda_frame frame = remuda_error_frame(crash->stack, i);
		rmd_error_add_frame(err, &frame);
	}
	uint64_t pc = rmd_crash_pc(crash->record);
	const remuda_local_Image *image = rmd_crash_image(crash->record, pc);
	if (count > 0 || image == NULL || image->path[0] == '\0')
		return;
	rmd_error_add_frame(err, &(struct remuda_frame){.image = image->path,
							.offset = pc - image->base});
}

static const char *ending(const struct rmd_crash *crash)
{
	if (crash->oom != NULL)
		return "was killed by the kernel for lack of memory";
	if (crash->status_known && WIFEXITED(crash->wait_status))
		return "exited";
	return "ended";
}

struct remuda_error *rmd_crash_error(const struct rmd_crash *crash)
{
	char tail[TAIL_MAX + 1], detail[DETAIL_MAX];
	const char *said =
		copy_tail(crash->stderr_tail, tail) ? "\nIt last wrote to stderr:\n" : "";
	bool ran = crash->function.len > 0;
	describe(crash, detail);
	struct remuda_error *err = remuda_error_create(
		over_limit(crash) ? "OutOfMemory" : "WorkerLost",
		"the worker process %s%s%.*s%s%s%s", ending(crash),
		ran ? " while it ran " : "", (int)crash->function.len,
		ran ? (const char *)crash->function.data : "", detail, said, tail);
	rmd_error_set_origin(err, REMUDA_ORIGIN_WORKER);
	rmd_error_set_place(err, crash->host, crash->worker, crash->attempt);
	if (crash->status_known && WIFEXITED(crash->wait_status))
		rmd_error_set_exit_code(err, WEXITSTATUS(crash->wait_status));
	if (crash->status_known && WIFSIGNALED(crash->wait_status))
		rmd_error_set_signal(err, WTERMSIG(crash->wait_status));
	if (has_record(crash))
		add_frames(err, crash);
	return err;
}
