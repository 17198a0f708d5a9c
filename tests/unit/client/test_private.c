/* Local mode: a private coordinator that the host program never notices. argv[1]: the
 * stand-in for remudad; argv[1] "child": act as a program of the test's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <remuda/remuda.h>

static const char *server, *self;
static char report_path[64];

static struct remuda *open_private(struct remuda_error **ret_err)
{
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	const char *modules[] = {"/bin/sh", "/bin/cat", NULL}; /* files that are there */
	options.address = "private";
	options.max_workers = 3;
	options.modules = modules;
	struct remuda *client = remuda_open_with(&options, ret_err);
	if (client == NULL && ret_err == NULL)
		fail_msg("could not open");
	return client;
}

/* What the stand-in told of itself; gives its pid. */
static int report(const char *expected)
{
	char text[200] = "";
	FILE *file = fopen(report_path, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof text, file));
	fclose(file);
	char *pid = strstr(text, "pid=");
	assert_non_null(pid);
	pid[-1] = '\0';
	if (expected != NULL)
		assert_string_equal(text, expected);
	return atoi(pid + 4);
}

/* Waits until the process has gone. */
static void await_end(int pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0) {
		assert_int_equal(errno, ESRCH);
		return;
	}
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&poller, 1, 20000), 1);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	setenv("REMUDA_SERVER", server, 1);
	setenv("FAKE_REMUDAD_TELL", report_path, 1);
	unsetenv("FAKE_REMUDAD_FAIL");
	return 0;
}

static volatile sig_atomic_t children;

static void on_child(int signo)
{
	(void)signo;
	children++;
}

static void a_private_coordinator_serves_and_gets_only_what_it_needs(void **state)
{
	struct remuda_error *err = NULL;
	int64_t number;
	int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */
	(void)state;
	struct remuda *client = open_private(&err);
	if (client == NULL)
		remuda_error_print(err, stderr);
	assert_non_null(client);
	assert_string_equal(remuda_address(client), "private");
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", 42), &number, NULL), 0);
	assert_int_equal(number, 42);
	report("fds=3 blocked=0 ignored=0 private=1 workers=3 modules=2");
	remuda_close(client);
	close(leak);
}

static void the_hosts_wait_and_signals_never_meet_it(void **state)
{
	struct sigaction action = {.sa_handler = on_child}, before;
	sigset_t mask, mask_before, mask_after;
	(void)state;
	children = 0;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, &mask_before);
	sigaction(SIGCHLD, &action, &before);
	struct remuda *client = open_private(NULL);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	int pid = report("fds=3 blocked=0 ignored=0 private=1 workers=3 modules=2");
	sigprocmask(SIG_SETMASK, NULL, &mask_after);
	assert_int_equal(sigismember(&mask_after, SIGUSR1), 1);
	assert_int_equal(sigismember(&mask_after, SIGUSR2), 0);
	remuda_close(client);
	kill(pid, SIGKILL);
	await_end(pid);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(children, 0);
	sigaction(SIGCHLD, &before, NULL);
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

static void it_starts_where_child_signals_are_ignored(void **state)
{
	(void)state;
	void (*before)(int) = signal(SIGCHLD, SIG_IGN);
	struct remuda *client = open_private(NULL);
	assert_non_null(client);
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 1), NULL, NULL),
			 0);
	remuda_close(client);
	signal(SIGCHLD, before);
}

static void *open_and_close(void *arg)
{
	for (int i = 0; i < 3; i++) {
		struct remuda *client = open_private(NULL);
		int code =
			remuda_get(remuda_submit_name(client, "x:echo", i), NULL, NULL);
		remuda_close(client);
		if (code != 0)
			return arg;
	}
	return NULL;
}

static void several_threads_start_their_own_at_once(void **state)
{
	pthread_t threads[4];
	(void)state;
	unsetenv("FAKE_REMUDAD_TELL");
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, open_and_close, threads), 0);
	for (int i = 0; i < 4; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
}

static void a_coordinator_that_dies_ends_open_tasks_and_the_client_says_so(void **state)
{
	struct remuda_error *err = NULL;
	(void)state;
	struct remuda *client = open_private(NULL);
	struct remuda_future *held = remuda_submit_name(client, "x:hold");
	kill(report(NULL), SIGKILL);
	assert_int_equal(remuda_get(held, NULL, &err), REMUDA_EUNREACHABLE);
	assert_string_equal(remuda_error_type(err), "CoordinatorLost");
	assert_non_null(strstr(remuda_error_message(err), "may have run"));
	remuda_error_free(err);
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 1), NULL, NULL),
			 REMUDA_EUNREACHABLE);
	remuda_close(client);
}

static void a_program_that_cannot_start_or_ends_at_once_is_named(void **state)
{
	struct remuda_error *err = NULL;
	(void)state;
	setenv("FAKE_REMUDAD_FAIL", "1", 1);
	assert_null(open_private(&err));
	assert_string_equal(remuda_error_type(err), "ServerFailed");
	assert_non_null(strstr(remuda_error_message(err), server));
	remuda_error_free(err);
	err = NULL;
	setenv("REMUDA_SERVER", "/nonexistent/remudad", 1);
	assert_null(open_private(&err));
	assert_string_equal(remuda_error_type(err), "ServerNotFound");
	assert_non_null(strstr(remuda_error_message(err), "/nonexistent/remudad"));
	remuda_error_free(err);
	err = NULL;
	setenv("REMUDA_SERVER", "/etc/passwd", 1);
	assert_null(open_private(&err));
	assert_non_null(strstr(remuda_error_message(err), "/etc/passwd"));
	remuda_error_free(err);
}

static void a_program_with_a_bad_format_gives_the_reason_of_exec(void **state)
{
	char path[] = "/tmp/remuda-noexec-XXXXXX";
	struct remuda_error *err = NULL;
	(void)state;
	int fd = mkstemp(path);
	assert_int_equal(write(fd, "no program", 10), 10);
	fchmod(fd, 0700);
	close(fd);
	setenv("REMUDA_SERVER", path, 1);
	assert_null(open_private(&err));
	assert_string_equal(remuda_error_type(err), "ServerStartFailed");
	assert_non_null(strstr(remuda_error_message(err), strerror(ENOEXEC)));
	remuda_error_free(err);
	unlink(path);
}

/* Runs a program as "child HOW": its pid. */
static pid_t run_child(const char *program, const char *how)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl(program, program, "child", how, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static int exit_code(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* In a program that lies where no remudad is: what its error must say. */
static int child_missing(void)
{
	struct remuda_error *err = NULL;
	unsetenv("REMUDA_SERVER");
	setenv("PATH", "/nonexistent/one:/nonexistent/two", 1);
	if (open_private(&err) != NULL)
		return 1;
	const char *message = remuda_error_message(err);
	bool right = strcmp(remuda_error_type(err), "ServerNotFound") == 0 &&
		     strstr(message, "REMUDA_SERVER") != NULL &&
		     strstr(message, "/nonexistent/two/remudad") != NULL &&
		     strstr(message, "/a/b/../bin/remudad") != NULL;
	remuda_error_free(err);
	return right ? 0 : 2;
}

static void copy_program(const char *from, const char *to)
{
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	assert_int_equal(fstat(in, &st), 0);
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(out, in, NULL, (size_t)left);
		assert_true(n > 0);
		left -= n;
	}
	close(in);
	close(out);
}

static void a_missing_program_names_all_places_and_the_variable(void **state)
{
	char root[] = "/tmp/remuda-alone-XXXXXX", folder[64], program[80];
	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(folder, sizeof folder, "%s/a", root);
	assert_int_equal(mkdir(folder, 0700), 0);
	snprintf(folder, sizeof folder, "%s/a/b", root);
	assert_int_equal(mkdir(folder, 0700), 0);
	snprintf(program, sizeof program, "%s/program", folder);
	copy_program("/proc/self/exe", program);
	assert_int_equal(exit_code(run_child(program, "missing")), 0);
	unlink(program);
	rmdir(folder);
	snprintf(folder, sizeof folder, "%s/a", root);
	rmdir(folder);
	rmdir(root);
}

static void it_ends_with_a_client_that_is_killed(void **state)
{
	int status;
	(void)state;
	unlink(report_path);
	pid_t pid = run_child(self, "kill");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	await_end(report(NULL));
}

static void a_program_that_frees_nothing_ends_cleanly(void **state)
{
	(void)state;
	unlink(report_path);
	assert_int_equal(exit_code(run_child(self, "leave")), 0);
	await_end(report(NULL));
}

/* The programs that run_child starts. */
static int child(const char *how)
{
	int64_t number;
	if (strcmp(how, "missing") == 0)
		return child_missing();
	struct remuda *client = remuda_open("private");
	for (int i = 0; i < 100; i++)
		remuda_submit_name(client, "x:hold");
	if (remuda_get(remuda_submit_name(client, "x:echo", 7), &number, NULL) != 0 ||
	    number != 7)
		return 1;
	if (strcmp(how, "kill") == 0)
		raise(SIGKILL);
	return 0;
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc == 3 && strcmp(argv[1], "child") == 0)
		return child(argv[2]);
	if (argc != 2) {
		fprintf(stderr, "usage: %s SERVER\n", argv[0]);
		return 2;
	}
	server = argv[1];
	snprintf(report_path, sizeof report_path, "/tmp/remuda-report-%d", (int)getpid());
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			a_private_coordinator_serves_and_gets_only_what_it_needs, setup),
		cmocka_unit_test_setup(the_hosts_wait_and_signals_never_meet_it, setup),
		cmocka_unit_test_setup(it_starts_where_child_signals_are_ignored, setup),
		cmocka_unit_test_setup(several_threads_start_their_own_at_once, setup),
		cmocka_unit_test_setup(
			a_coordinator_that_dies_ends_open_tasks_and_the_client_says_so,
			setup),
		cmocka_unit_test_setup(
			a_program_that_cannot_start_or_ends_at_once_is_named, setup),
		cmocka_unit_test_setup(
			a_program_with_a_bad_format_gives_the_reason_of_exec, setup),
		cmocka_unit_test_setup(
			a_missing_program_names_all_places_and_the_variable, setup),
		cmocka_unit_test_setup(it_ends_with_a_client_that_is_killed, setup),
		cmocka_unit_test_setup(a_program_that_frees_nothing_ends_cleanly, setup),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(report_path);
	return failed;
}
