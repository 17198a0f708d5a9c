/* Which images can run here, and why others cannot: by changes to this very program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/agent/elf.h"
#include "worker/agent/library.h"

static uint8_t *own;
static size_t own_size;

static int setup(void **state)
{
	(void)state;
	FILE *from = fopen("/proc/self/exe", "rb");
	assert_non_null(from);
	assert_int_equal(fseek(from, 0, SEEK_END), 0);
	own_size = (size_t)ftell(from);
	rewind(from);
	own = malloc(own_size);
	assert_non_null(own);
	assert_int_equal(fread(own, 1, own_size, from), own_size);
	fclose(from);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(own);
	return 0;
}

static struct remuda_error *check(const void *bytes, size_t size,
				  struct rmd_elf_facts *ret_facts)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	struct remuda_error *err = rmd_elf_check(fd, "an-image", ret_facts);
	close(fd);
	return err;
}

static void expect_refused(const char *part)
{
	struct rmd_elf_facts facts;
	struct remuda_error *err = check(own, own_size, &facts);
	assert_non_null(err);
	assert_string_equal(remuda_error_type(err), "ImageRefused");
	if (strstr(remuda_error_message(err), part) == NULL)
		fail_msg("\"%s\" is not in: %s", part, remuda_error_message(err));
	remuda_error_free(err);
}

/* Where `text` stands in the image, whole with its NULs around. */
static char *find(const char *text)
{
	size_t len = strlen(text) + 1;
	for (size_t i = 1; i + len <= own_size; i++)
		if (own[i - 1] == 0 && memcmp(own + i, text, len) == 0)
			return (char *)own + i;
	fail_msg("%s is not in the image", text);
	return NULL;
}

static ElfW(Ehdr) * header(void)
{
	return (ElfW(Ehdr) *)(void *)own;
}

static void this_program_can_run(void **state)
{
	(void)state;
	struct rmd_elf_facts facts = {.program = false};
	struct remuda_error *err = check(own, own_size, &facts);
	if (err != NULL)
		remuda_error_print(err, stderr);
	assert_null(err);
	assert_true(facts.program);
}

static void a_library_is_no_program(void **state)
{
	(void)state;
	struct rmd_elf_facts facts = {.program = true};
	int fd = open(REMUDA_AN_OBJECT, O_RDONLY | O_CLOEXEC);
	assert_null(rmd_elf_check(fd, "an-object", &facts));
	assert_false(facts.program);
	close(fd);
}

static void another_machine_is_refused(void **state)
{
	(void)state;
	header()->e_machine = EM_AARCH64 == header()->e_machine ? EM_X86_64 : EM_AARCH64;
	expect_refused("another machine");
}

static void a_program_of_32_bits_is_refused(void **state)
{
	(void)state;
	header()->e_ident[EI_CLASS] = ELFCLASS32;
	expect_refused("32-bit");
}

static void another_loader_is_refused(void **state)
{
	(void)state;
	char *loader = find(rmd_library_loader());
	memcpy(loader, "/lib/ld-musl.so.1", sizeof "/lib/ld-musl.so.1");
	expect_refused("its loader is /lib/ld-musl.so.1");
}

static void a_program_without_the_c_librarys_start_is_refused(void **state)
{
	(void)state;
	char *name = find("__libc_start_main");
	name[0] = 'x';
	expect_refused("__libc_start_main");
}

static void a_newer_glibc_is_named(void **state)
{
	(void)state;
	char *version = find("GLIBC_2.34");
	memcpy(version, "GLIBC_9.99", sizeof "GLIBC_9.99");
	expect_refused("it needs GLIBC_9.99");
}

static void a_missing_library_is_named(void **state)
{
	(void)state;
	char *name = find("libcmocka.so.0");
	memcpy(name, "libnowhere.s.0", sizeof "libnowhere.s.0");
	expect_refused("libnowhere.s.0");
}

static void a_static_program_is_refused(void **state)
{
	(void)state;
	ElfW(Phdr) *segments = (ElfW(Phdr) *)(void *)(own + header()->e_phoff);
	for (unsigned i = 0; i < header()->e_phnum; i++)
		if (segments[i].p_type == PT_INTERP || segments[i].p_type == PT_DYNAMIC)
			segments[i].p_type = PT_NULL;
	expect_refused("linked statically");
}

/* Bytes from nowhere: whatever they say, nothing is read that is not there. */
static void nonsense_is_survived(void **state)
{
	(void)state;
	struct rmd_elf_facts facts;
	uint32_t seed = 1;
	size_t head = own_size < 4096 ? own_size : 4096;
	for (int round = 0; round < 300; round++) {
		uint8_t *copy = malloc(own_size);
		assert_non_null(copy);
		memcpy(copy, own, own_size);
		for (int i = 0; i < 8; i++) {
			seed = seed * 1664525u + 1013904223u;
			copy[(seed >> 8) % head] = (uint8_t)seed;
		}
		remuda_error_free(check(copy, own_size, &facts));
		free(copy);
	}
	for (size_t size = 1; size < head; size += 7)
		remuda_error_free(check(own, size, &facts));
}

static void the_loaders_cache_is_read(void **state)
{
	(void)state;
	assert_true(rmd_library_here("libc.so.6", NULL));
	assert_false(rmd_library_here("libnowhere.so.1", "/nowhere:/usr/share"));
	assert_true(rmd_library_here("libnowhere.so.1", "$ORIGIN/../lib"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(this_program_can_run),
		CASE(a_library_is_no_program),
		CASE(another_machine_is_refused),
		CASE(a_program_of_32_bits_is_refused),
		CASE(another_loader_is_refused),
		CASE(a_program_without_the_c_librarys_start_is_refused),
		CASE(a_newer_glibc_is_named),
		CASE(a_missing_library_is_named),
		CASE(a_static_program_is_refused),
		CASE(nonsense_is_survived),
		CASE(the_loaders_cache_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
