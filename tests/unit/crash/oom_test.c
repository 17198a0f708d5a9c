/* The kernel's count of OOM kills: read from fixtures of both versions of cgroups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/crash/oom.h"

static char folder[64];

static const char *path_of(const char *name)
{
	static char paths[4][256];
	static int next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

__attribute__((format(printf, 2, 3))) static void put(const char *name,
						      const char *format, ...)
{
	va_list args;
	FILE *file = fopen(path_of(name), "we");
	assert_non_null(file);
	va_start(args, format);
	vfprintf(file, format, args);
	va_end(args);
	fclose(file);
}

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/rmdoomXXXXXX");
	return mkdtemp(folder) == NULL || mkdir(path_of("pod"), 0700) < 0 ||
	       mkdir(path_of("pod/agent"), 0700) < 0;
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"pod/agent/memory.events",
					    "pod/agent/memory.oom_control",
					    "memory.events", "cgroup", "mounts"};
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		(void)unlink(path_of(names[i]));
	return rmdir(path_of("pod/agent")) || rmdir(path_of("pod")) || rmdir(folder);
}

static void count_v2(int kills)
{
	put("pod/agent/memory.events",
	    "low 0\nhigh 0\nmax 97\noom 4\noom_kill %d\noom_group_kill 9\n", kills);
}

static void start_v2(struct rmd_oom *oom, int kills)
{
	put("cgroup", "0::/pod/agent\n");
	put("mounts",
	    "31 23 0:28 / /sys rw,relatime - sysfs sysfs rw\n"
	    "35 31 0:32 / %s rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
	    folder);
	count_v2(kills);
	rmd_oom_init(oom, path_of("cgroup"), path_of("mounts"));
}

static void each_kill_explains_one_death(void **state)
{
	struct rmd_oom oom;
	struct rmd_oom_proof proof;
	(void)state;
	start_v2(&oom, 5);
	assert_false(rmd_oom_prove(&oom, &proof)); /* those before us are not ours */
	count_v2(7);
	assert_true(rmd_oom_prove(&oom, &proof));
	assert_string_equal(proof.group, path_of("pod/agent"));
	assert_int_equal(proof.before, 5);
	assert_int_equal(proof.after, 7);
	assert_true(rmd_oom_prove(&oom, &proof));
	assert_int_equal(proof.before, 6);
	assert_false(rmd_oom_prove(&oom, &proof)); /* the third died of something else */
}

static void a_kill_of_long_ago_explains_nothing(void **state)
{
	struct rmd_oom oom;
	struct rmd_oom_proof proof;
	(void)state;
	start_v2(&oom, 0);
	count_v2(1); /* a child of some task */
	rmd_oom_look(&oom);
	rmd_oom_look(&oom);
	assert_false(rmd_oom_prove(&oom, &proof));
	count_v2(2);
	rmd_oom_look(&oom); /* so soon after, its death may still be on its way to us */
	assert_true(rmd_oom_prove(&oom, &proof));
	assert_int_equal(proof.before, 1);
	count_v2(3);
	rmd_oom_settle(&oom);
	assert_false(rmd_oom_prove(&oom, &proof));
}

static void version_1_is_read_too(void **state)
{
	struct rmd_oom oom;
	struct rmd_oom_proof proof;
	(void)state;
	put("cgroup", "9:name=systemd:/\n5:cpu,memory:/docker/x/pod/agent\n0::/other\n");
	put("mounts",
	    "33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	    "35 31 0:32 /docker/x %s rw - cgroup cgroup rw,cpu,memory\n",
	    folder);
	put("pod/agent/memory.oom_control",
	    "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
	rmd_oom_init(&oom, path_of("cgroup"), path_of("mounts"));
	assert_false(rmd_oom_prove(&oom, &proof));
	put("pod/agent/memory.oom_control",
	    "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
	assert_true(rmd_oom_prove(&oom, &proof));
	assert_int_equal(proof.before, 3);
	assert_int_equal(proof.after, 4);
}

static void where_there_is_no_count_nothing_is_proven(void **state)
{
	struct rmd_oom oom;
	struct rmd_oom_proof proof;
	(void)state;
	start_v2(&oom, 1);
	(void)unlink(path_of("pod/agent/memory.events")); /* the group is gone */
	assert_false(rmd_oom_prove(&oom, &proof));
	rmd_oom_look(&oom);
	put("cgroup", "nonsense\n:\n::\n");
	put("mounts", "35 31 0:32 / x\n - cgroup2\n%s", "");
	rmd_oom_init(&oom, path_of("cgroup"), path_of("mounts"));
	assert_false(rmd_oom_prove(&oom, &proof));
	rmd_oom_init(&oom, "/nonexistent/cgroup", "/nonexistent/mounts");
	assert_false(rmd_oom_prove(&oom, &proof));
	put("pod/agent/memory.events", "oom_kill\noom_kill x\n");
	start_v2(&oom, 0);
	put("pod/agent/memory.events", "oom_kill nothing\n");
	assert_false(rmd_oom_prove(&oom, &proof));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_kill_explains_one_death, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(a_kill_of_long_ago_explains_nothing,
						make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(version_1_is_read_too, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(where_there_is_no_count_nothing_is_proven,
						make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
