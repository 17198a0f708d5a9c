/* server/store: blobs by digest, uploads, budget, time to live. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "server/store/blobs.h"

#define TTL_MS       1000u
#define BUDGET_BYTES 1000u

struct rig {
	struct rmd_loop *loop;
	struct rmd_jobs *jobs;
	struct rmd_blobs *blobs;
	int rc;                      /* of the last upload */
	const char *why;
	bool existed;
	struct rmd_blob *blob;
};

static int setup(void **state)
{
	struct rig *rig = rmd_calloc(1, sizeof *rig);
	rig->loop = rmd_loop_create();
	rig->jobs = rmd_jobs_create(rig->loop);
	rig->blobs = rmd_blobs_create(rig->jobs, BUDGET_BYTES, TTL_MS);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	rmd_jobs_destroy(rig->jobs);
	rmd_blobs_destroy(rig->blobs);
	rmd_loop_destroy(rig->loop);
	rmd_free(rig);
	return 0;
}

static void on_done(void *ctx, int rc, const char *why, struct rmd_blob *blob, bool existed)
{
	struct rig *rig = ctx;
	rig->why = why;
	rig->rc = rc;
	rig->blob = blob;
	rig->existed = existed;
	rmd_loop_stop(rig->loop);
}

static struct rmd_digest digest_of(const char *text)
{
	struct rmd_digest digest;
	assert_int_equal(rmd_digest_of(rmd_slice_of_string(text), &digest), 0);
	return digest;
}

/* Uploads `text` under the digest of `announced`, to its end. */
static void upload(struct rig *rig, const char *text, const char *announced, bool module,
		   uint64_t now_ms)
{
	struct rmd_upload *upload;
	struct rmd_digest digest = digest_of(announced);
	assert_int_equal(rmd_upload_begin(rig->blobs, &digest, strlen(text),
					  rmd_slice_of_string("a name"), module, &upload),
			 0);
	size_t half = strlen(text) / 2;
	assert_int_equal(rmd_upload_append(upload, rmd_slice_of(text, half)), 0);
	assert_int_equal(rmd_upload_append(upload, rmd_slice_of(text + half, strlen(text) - half)),
			 0);
	assert_int_equal(rmd_upload_finish(upload, now_ms, on_done, rig), 0);
	rmd_loop_run(rig->loop);
}

static void stored_blob_is_found_by_its_digest(void **state)
{
	struct rig *rig = *state;
	struct rmd_digest digest = digest_of("some bytes"), other = digest_of("others");
	upload(rig, "some bytes", "some bytes", false, 0);
	assert_int_equal(rig->rc, 0);
	assert_false(rig->existed);
	struct rmd_blob *blob = rmd_blobs_find(rig->blobs, &digest, 0);
	assert_non_null(blob);
	assert_true(rmd_slice_equal(blob->bytes.bytes, rmd_slice_of_string("some bytes")));
	assert_string_equal(blob->name, "a name");
	assert_false(blob->module);
	assert_null(rmd_blobs_find(rig->blobs, &other, 0));
}

static void second_upload_of_the_same_bytes_is_told_so(void **state)
{
	struct rig *rig = *state;
	upload(rig, "twice", "twice", false, 0);
	struct rmd_blob *first = rig->blob;
	upload(rig, "twice", "twice", false, 0);
	assert_int_equal(rig->rc, 0);
	assert_true(rig->existed);
	assert_ptr_equal(rig->blob, first);
	assert_null(first->next);
}

static void bytes_that_are_no_module_are_refused_as_one(void **state)
{
	struct rig *rig = *state;
	struct rmd_digest digest = digest_of("text");
	upload(rig, "text", "text", true, 0);
	assert_int_equal(rig->rc, RMD_EPROTO);
	assert_non_null(strstr(rig->why, "no shared object"));
	assert_null(rmd_blobs_find(rig->blobs, &digest, 0));
	upload(rig, "text", "text", false, 0);
	assert_int_equal(rig->rc, 0);
	upload(rig, "text", "text", true, 0); /* the bytes are there, but no module */
	assert_int_equal(rig->rc, RMD_EPROTO);
	assert_false(rmd_blobs_find(rig->blobs, &digest, 0)->module);
}

static void bytes_with_another_digest_are_refused(void **state)
{
	struct rig *rig = *state;
	struct rmd_digest digest = digest_of("honest");
	upload(rig, "forged", "honest", false, 0);
	assert_int_equal(rig->rc, RMD_EINVAL);
	assert_null(rmd_blobs_find(rig->blobs, &digest, 0));
}

static void budget_counts_uploads_from_their_beginning(void **state)
{
	struct rig *rig = *state;
	struct rmd_digest digest = digest_of("x");
	struct rmd_upload *first, *second;
	struct rmd_slice name = rmd_slice_of_string("");
	assert_int_equal(rmd_upload_begin(rig->blobs, &digest, 600, name, false, &first), 0);
	assert_int_equal(rmd_upload_begin(rig->blobs, &digest, 401, name, false, &second),
			 RMD_ELIMIT);
	assert_int_equal(rmd_upload_begin(rig->blobs, &digest, 400, name, false, &second), 0);
	rmd_upload_abort(first);
	rmd_upload_abort(second);
	assert_int_equal(rmd_upload_begin(rig->blobs, &digest, BUDGET_BYTES, name, false, &first),
			 0);
	rmd_upload_abort(first);
	assert_int_equal(rmd_upload_begin(rig->blobs, &digest, RMD_BLOB_BYTES_MAX + 1, name, false,
					  &first),
			 RMD_ETOOBIG);
}

static void more_or_fewer_bytes_than_announced_are_refused(void **state)
{
	struct rig *rig = *state;
	struct rmd_digest digest = digest_of("abc");
	struct rmd_upload *upload_;
	assert_int_equal(rmd_upload_begin(rig->blobs, &digest, 3, rmd_slice_of_string(""), false,
					  &upload_),
			 0);
	assert_int_equal(rmd_upload_append(upload_, rmd_slice_of("ab", 2)), 0);
	assert_int_equal(rmd_upload_finish(upload_, 0, on_done, rig), RMD_ETRUNC);
	assert_int_equal(rmd_upload_append(upload_, rmd_slice_of("cd", 2)), RMD_ERANGE);
	assert_int_equal(rmd_upload_append(upload_, rmd_slice_of("c", 1)), 0);
	assert_int_equal(rmd_upload_finish(upload_, 0, on_done, rig), 0);
	rmd_loop_run(rig->loop);
	assert_int_equal(rig->rc, 0);
}

static void blob_goes_when_nobody_used_or_holds_it_for_its_time(void **state)
{
	struct rig *rig = *state;
	struct rmd_digest a = digest_of("a"), b = digest_of("b");
	upload(rig, "a", "a", false, 0);
	upload(rig, "b", "b", false, 0);
	rmd_blobs_hold(rig->blobs, rmd_blobs_find(rig->blobs, &b, 0));
	assert_int_equal(rmd_blobs_tick(rig->blobs, TTL_MS - 1), TTL_MS);
	assert_non_null(rmd_blobs_find(rig->blobs, &a, TTL_MS - 1)); /* renews it */
	rmd_blobs_tick(rig->blobs, TTL_MS);
	assert_non_null(rmd_blobs_find(rig->blobs, &a, 1));
	rmd_blobs_tick(rig->blobs, 1 + TTL_MS);
	assert_null(rmd_blobs_find(rig->blobs, &a, 1 + TTL_MS));
	struct rmd_blob *held = rmd_blobs_find(rig->blobs, &b, 1 + TTL_MS);
	assert_non_null(held);
	rmd_blobs_release(rig->blobs, held, 5000);
	assert_int_equal(rmd_blobs_tick(rig->blobs, 5000), 5000 + TTL_MS);
	assert_int_equal(rmd_blobs_tick(rig->blobs, 5000 + TTL_MS), 0);
	assert_null(rmd_blobs_first(rig->blobs));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(stored_blob_is_found_by_its_digest),
		T(second_upload_of_the_same_bytes_is_told_so),
		T(bytes_that_are_no_module_are_refused_as_one),
		T(bytes_with_another_digest_are_refused),
		T(budget_counts_uploads_from_their_beginning),
		T(more_or_fewer_bytes_than_announced_are_refused),
		T(blob_goes_when_nobody_used_or_holds_it_for_its_time),
#undef T
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
