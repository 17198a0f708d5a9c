#include "worker/crash/helper/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/errcode.h"
#include "worker/crash/catch.h"

#define MEMORY_BYTES ((rlim_t)4 << 30) /* debug information is mapped whole */
#define CPU_SECONDS 2
#define WALL_SECONDS 3

static int limit(__rlimit_resource_t resource, rlim_t to)
{
	struct rlimit both = {to, to}, now;
	if (getrlimit(resource, &now) == 0 && now.rlim_max < to)
		both = (struct rlimit){now.rlim_max, now.rlim_max};
	return setrlimit(resource, &both) < 0 ? RMD_ESYS : 0;
}

/* Of the capabilities keeps those that let it see what a worker can see. Without the one
 * for processes it needs all that the worker has, so then it keeps what there is. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	const uint32_t wanted = 1u << CAP_SYS_PTRACE | 1u << CAP_DAC_READ_SEARCH;
	if (syscall(SYS_capget, &head, data) < 0 ||
	    (data[0].permitted & 1u << CAP_SYS_PTRACE) == 0)
		return;
	data[0].permitted &= wanted;
	data[0].effective = data[0].permitted;
	data[0].inheritable = data[1].inheritable = 0;
	data[1].permitted = data[1].effective = 0;
	(void)syscall(SYS_capset, &head, data);
}

#if defined(__x86_64__) && !defined(RMD_CATCH_SANITIZED)

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define DENY BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

/* What reading files and another process's memory takes; opening comes on top. */
static const int allowed[] = {
	SYS_read,	  SYS_pread64,
	SYS_readv,	  SYS_write,
	SYS_close,	  SYS_fstat,
	SYS_stat,	  SYS_lstat,
	SYS_newfstatat,	  SYS_statx,
	SYS_lseek,	  SYS_mmap,
	SYS_munmap,	  SYS_mprotect,
	SYS_mremap,	  SYS_madvise,
	SYS_brk,	  SYS_access,
	SYS_faccessat,	  SYS_faccessat2,
	SYS_readlink,	  SYS_readlinkat,
	SYS_getcwd,	  SYS_getdents64,
	SYS_fcntl,	  SYS_process_vm_readv,
	SYS_recvfrom,	  SYS_recvmsg,
	SYS_sendto,	  SYS_sendmsg,
	SYS_rt_sigaction, SYS_rt_sigprocmask,
	SYS_rt_sigreturn, SYS_clock_gettime,
	SYS_gettimeofday, SYS_getpid,
	SYS_gettid,	  SYS_getuid,
	SYS_geteuid,	  SYS_getrandom,
	SYS_futex,	  SYS_sysinfo,
	SYS_uname,	  SYS_sched_getaffinity,
	SYS_exit,	  SYS_exit_group,
};

static void filter_calls(void)
{
	enum { COUNT = sizeof allowed / sizeof *allowed, ROOM = 2 * COUNT + 16 };
	const uint32_t changes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
	struct sock_filter code[ROOM];
	unsigned short n = 0;
	/* Another machine's numbers would mean other calls. */
	code[n++] = (struct sock_filter)LOAD(arch);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						 AUDIT_ARCH_X86_64, 1, 0);
	code[n++] = (struct sock_filter)DENY;
	code[n++] = (struct sock_filter)LOAD(nr);
	for (int i = 0; i < COUNT; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (uint32_t)allowed[i], 0, 1);
		code[n++] = (struct sock_filter)ALLOW;
	}
	/* Files, for reading. */
	code[n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 2, 0);
	code[n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_open, 3, 0);
	code[n++] = (struct sock_filter)DENY;
	code[n++] = (struct sock_filter)LOAD(args[2]);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0);
	code[n++] = (struct sock_filter)LOAD(args[1]);
	code[n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, changes, 0, 1);
	code[n++] = (struct sock_filter)DENY;
	code[n++] = (struct sock_filter)ALLOW;
	struct sock_fprog program = {.len = n, .filter = code};
	(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
#else
static void filter_calls(void)
{
}
#endif

int rmd_confine(void)
{
	int rc = limit(RLIMIT_CORE, 0);
	if (rc == 0)
		rc = limit(RLIMIT_CPU, CPU_SECONDS);
	if (rc == 0)
		rc = limit(RLIMIT_FSIZE, 0);
	if (rc == 0)
		rc = limit(RLIMIT_NOFILE, 256);
	if (rc == 0)
		rc = limit(RLIMIT_NPROC, 0);
#ifndef RMD_CATCH_SANITIZED
	if (rc == 0)
		rc = limit(RLIMIT_AS, MEMORY_BYTES);
#endif
	(void)alarm(WALL_SECONDS);
	/* Not for the worker's user code to look into. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	drop_capabilities();
	if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = RMD_ESYS;
	if (rc == 0)
		filter_calls();
	return rc;
}
