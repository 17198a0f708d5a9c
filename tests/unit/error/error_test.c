#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "proto/error/chain.h"

#define MIB (1u << 20)

/* ---- the chain in memory ---- */

static size_t depth_of(const struct remuda_error *err)
{
	size_t depth = 0;
	for (; err != NULL; err = remuda_error_cause(err))
		depth++;
	return depth;
}

static struct remuda_error *chain_of(size_t count)
{
	struct remuda_error *err = NULL;
	for (size_t i = 0; i < count; i++)
		err = remuda_error_wrap(err, "Error", "%zu", i);
	return err;
}

static void a_long_chain_keeps_both_its_ends(void **state)
{
	(void)state;
	struct remuda_error *err = chain_of(10000);
	assert_int_equal(depth_of(err), REMUDA_ERROR_CHAIN_MAX);
	assert_string_equal(remuda_error_message(err), "9999");
	assert_string_equal(remuda_error_message(remuda_error_root(err)), "0");
	char *string = remuda_error_string(err);
	assert_non_null(strstr(string, "[9936 errors left out below]"));
	free(string);
	remuda_error_free(err);
	err = chain_of(64);
	string = remuda_error_string(err);
	assert_null(strstr(string, "left out"));
	free(string);
	err = remuda_error_wrap(err, "Error", "one more");
	string = remuda_error_string(err);
	assert_non_null(strstr(string, "[1 error left out below]"));
	free(string);
	remuda_error_free(err);
}

static void wide_trees_are_bounded_too(void **state)
{
	(void)state;
	struct remuda_error *err = NULL;
	for (int i = 0; i < 10; i++) {
		struct remuda_error *next =
			remuda_error_wrap(chain_of(50), "Error", "%d", i);
		remuda_error_set_context(next, err);
		err = next;
	}
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	assert_non_null(buf);
	struct remuda_error *back = NULL;
	const char *field = "";
	assert_int_equal(rmd_error_decode(rmd_buf_slice(buf), &back, &field), 0);
	rmd_buf_unref(buf);
	remuda_error_free(back);
	remuda_error_free(err);
}

static void causes_and_contexts_can_be_replaced(void **state)
{
	(void)state;
	struct remuda_error *err = remuda_error_wrap(chain_of(3), "A", "a");
	remuda_error_set_cause(err, chain_of(1));
	assert_int_equal(depth_of(err), 2);
	remuda_error_set_cause(err, NULL);
	assert_null(remuda_error_cause(err));
	remuda_error_set_context(err, chain_of(2));
	assert_string_equal(remuda_error_message(remuda_error_root(err)), "0");
	remuda_error_free(err);
	remuda_error_free(NULL);
}

static void text_that_is_not_utf8_is_replaced(void **state)
{
	(void)state;
	struct remuda_error *err = remuda_error_create(
		"T\xff", "%s", "a\xc3\xa4\xe2\x82 b\xf0\x9f\x90\x8e\xed\xa0\x80");
	assert_string_equal(remuda_error_type(err), "T\xef\xbf\xbd");
	assert_string_equal(remuda_error_message(err),
			    "a\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd b\xf0\x9f\x90\x8e"
			    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	remuda_error_free(err);
}

static void of_many_frames_the_outermost_and_innermost_stay(void **state)
{
	(void)state;
	struct remuda_error *err = remuda_error_create("RecursionError", "too deep");
	for (uint32_t i = 1; i <= 1000; i++)
		rmd_error_add_frame(err,
				    &(struct remuda_frame){.file = "r.py", .line = i});
	assert_int_equal(remuda_error_frame_count(err), REMUDA_ERROR_FRAMES_MAX);
	assert_int_equal(remuda_error_frame(err, 0).line, 1);
	assert_int_equal(remuda_error_frame(err, 127).line, 128);
	assert_string_equal(remuda_error_frame(err, 128).function,
			    "[745 frames left out]");
	assert_int_equal(remuda_error_frame(err, 129).line, 128 + 745 + 1);
	assert_int_equal(remuda_error_frame(err, 255).line, 1000);
	assert_string_equal(remuda_error_frame(err, 256).file, "");
	remuda_error_free(err);
}

/* ---- the wire ---- */

static struct remuda_error *full(void)
{
	struct remuda_error *err = remuda_error_create("ParseError", "row 7");
	rmd_error_set_origin(err, REMUDA_ORIGIN_TASK);
	rmd_error_set_place(err, "node-b", 3, 2);
	rmd_error_set_exit_code(err, -7);
	rmd_error_set_signal(err, 11);
	rmd_error_set_runtime_payload(err, "pickle", rmd_slice_of("\0payload", 8));
	rmd_error_add_frame(err, &(struct remuda_frame){"a.c", 4, "f", "i.so", 99});
	rmd_error_add_frame(err, &(struct remuda_frame){.file = "b.c"});
	err = remuda_error_wrap(err, "TaskError", "it failed");
	remuda_error_set_context(
		err, remuda_error_wrap(remuda_error_create("D", "d"), "C", "c"));
	return err;
}

static struct remuda_error *through_the_wire(const struct remuda_error *err)
{
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	struct remuda_error *back = NULL;
	const char *field = "";
	assert_non_null(buf);
	int rc = rmd_error_decode(rmd_buf_slice(buf), &back, &field);
	if (rc != 0)
		fail_msg("%s: %s", rmd_errcode_name(rc), field);
	rmd_buf_unref(buf);
	return back;
}

static void every_detail_goes_over_the_wire(void **state)
{
	(void)state;
	struct remuda_error *err = full(), *back = through_the_wire(err);
	char *before = remuda_error_json(err), *after = remuda_error_json(back);
	assert_string_equal(before, after);
	free(before);
	free(after);
	const struct remuda_error *cause = remuda_error_cause(back);
	size_t len;
	assert_int_equal(remuda_error_origin(cause), REMUDA_ORIGIN_TASK);
	assert_string_equal(remuda_error_host(cause), "node-b");
	assert_int_equal(remuda_error_worker(cause), 3);
	assert_int_equal(remuda_error_attempt(cause), 2);
	assert_true(remuda_error_exited(cause));
	assert_int_equal(remuda_error_exit_code(cause), -7);
	assert_int_equal(remuda_error_signal(cause), 11);
	assert_memory_equal(remuda_error_runtime_payload(cause, &len), "\0payload", 8);
	assert_int_equal(len, 8);
	assert_string_equal(remuda_error_runtime_codec(cause), "pickle");
	assert_string_equal(remuda_error_frame(cause, 0).image, "i.so");
	assert_string_equal(
		remuda_error_type(remuda_error_cause(remuda_error_context(back))), "D");
	remuda_error_free(err);
	remuda_error_free(back);
}

static char *letters(size_t len)
{
	char *text = malloc(len + 1);
	assert_non_null(text);
	memset(text, 'x', len);
	text[len] = '\0';
	return text;
}

static void texts_over_their_limit_are_cut_with_a_mark(void **state)
{
	(void)state;
	char *text = letters(70000);
	memcpy(text + 65536 - 33, "\xf0\x9f\x90\x8e", 4); /* the cut falls into it */
	struct remuda_error *err = remuda_error_create(text, "%s", text);
	rmd_error_set_place(err, text, 1, 1);
	rmd_error_add_frame(err, &(struct remuda_frame){text, 1, text, text, 1});
	struct remuda_error *back = through_the_wire(err);
	const char *message = remuda_error_message(back);
	assert_true(strlen(message) <= 65536 && strlen(message) > 65536 - 40);
	assert_non_null(strstr(message, "x [4497 bytes left out]"));
	assert_true(strlen(remuda_error_type(back)) <= 256);
	assert_non_null(strstr(remuda_error_type(back), " bytes left out]"));
	assert_non_null(strstr(remuda_error_host(back), " bytes left out]"));
	assert_non_null(strstr(remuda_error_frame(back, 0).file, " bytes left out]"));
	assert_true(strlen(remuda_error_frame(back, 0).image) <= 1024);
	remuda_error_free(back);
	remuda_error_free(err);
	text[65536] = '\0'; /* just at the limit: not cut */
	err = remuda_error_create("T", "%s", text);
	back = through_the_wire(err);
	assert_string_equal(remuda_error_message(back), text);
	remuda_error_free(back);
	remuda_error_free(err);
	free(text);
}

static void a_chain_too_large_for_the_wire_loses_payloads_then_length(void **state)
{
	(void)state;
	char *text = letters(MIB);
	struct remuda_error *err = NULL, *back;
	size_t len;
	for (int i = 0; i < 3; i++) {
		err = remuda_error_wrap(err, "Error", "%d", i);
		rmd_error_set_runtime_payload(err, "pickle", rmd_slice_of(text, MIB));
	}
	back = through_the_wire(err);
	assert_null(remuda_error_runtime_payload(back, &len));
	assert_int_equal(len, 0);
	assert_string_equal(remuda_error_message(back), "2");
	remuda_error_free(back);
	remuda_error_free(err);

	text[70000] = '\0';
	const char *name = text + 70000 - 1000;
	err = NULL;
	for (int i = 0; i < 64; i++) {
		err = remuda_error_wrap(err, text, "%s", text);
		for (int j = 0; j < 50; j++)
			rmd_error_add_frame(
				err, &(struct remuda_frame){name, 1, name, name, 1});
	}
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	assert_true(rmd_buf_slice(buf).len <= RMD_ERROR_CHAIN_MAX_BYTES);
	rmd_buf_unref(buf);
	back = through_the_wire(err);
	assert_int_equal(depth_of(back), 64);
	assert_int_equal(remuda_error_frame_count(back), 8);
	remuda_error_free(back);
	remuda_error_free(err);
	free(text);
}

static void encoding_behind_something_else_leaves_that_alone(void **state)
{
	(void)state;
	struct rmd_wire_writer w = {0};
	struct remuda_error *err = remuda_error_create("T", "m");
	rmd_wire_put_varint(&w, 9, 1);
	rmd_error_encode(err, &w);
	assert_int_equal(w.len, 10);
	assert_memory_equal(w.data, "\x48\x01\x0a\x06\x0a\x01T\x12\x01m", 10);
	rmd_wire_writer_fini(&w);
	remuda_error_free(err);
}

static int decode(const char *bytes, size_t len, struct remuda_error **ret_err)
{
	const char *field = NULL;
	int rc = rmd_error_decode(rmd_slice_of(bytes, len), ret_err, &field);
	assert_true(rc == 0 || field != NULL);
	return rc;
}

static void an_error_that_two_name_stays_with_the_first_as_cause(void **state)
{
	(void)state;
	/* 1: context 2, cause 3. 2: cause 3. 4 is named by none. */
	static const char bytes[] = "\x0a\x07\x0a\x01"
				    "A\x20\x03\x28\x02\x0a\x05\x0a\x01"
				    "B\x20\x03"
				    "\x0a\x03\x0a\x01"
				    "C\x0a\x03\x0a\x01"
				    "D";
	struct remuda_error *err = NULL;
	assert_int_equal(decode(bytes, sizeof bytes - 1, &err), 0);
	assert_string_equal(remuda_error_type(err), "A");
	assert_string_equal(remuda_error_type(remuda_error_cause(err)), "C");
	assert_string_equal(remuda_error_type(remuda_error_context(err)), "B");
	assert_null(remuda_error_cause(remuda_error_context(err)));
	remuda_error_free(err);
}

static void a_chain_that_loops_or_points_nowhere_is_refused(void **state)
{
	(void)state;
	struct remuda_error *err = NULL;
	assert_int_equal(decode("", 0, &err), RMD_EPROTO);
	assert_int_equal(decode("\x0a\x02\x20\x01", 4, &err), RMD_EPROTO); /* itself */
	assert_int_equal(decode("\x0a\x02\x20\x02", 4, &err), RMD_EPROTO); /* nobody */
	assert_int_equal(decode("\x0a\x02\x28\x02", 4, &err), RMD_EPROTO);
	assert_int_equal(decode("\x0a\x02\x20\x02\x0a\x02\x20\x01", 8, &err),
			 RMD_EPROTO); /* back */
	assert_null(err);
	assert_int_equal(decode("\x0a\x02\x20\x02\x0a\x00", 6, &err), 0);
	remuda_error_free(err);
}

static void nuls_in_texts_become_question_marks(void **state)
{
	(void)state;
	struct remuda_error *err = NULL;
	assert_int_equal(decode("\x0a\x05\x0a\x03"
				"a\0b",
				7, &err),
			 0);
	assert_string_equal(remuda_error_type(err), "a?b");
	remuda_error_free(err);
}

/* A field of one error (or of its first frame), of `max` bytes. */
static const struct {
	uint32_t field, frame_field;
	size_t max;
} text_limits[] = {{1, 0, 256}, {2, 0, 65536}, {7, 0, 256},  {13, 0, MIB},
		   {14, 0, 64}, {3, 1, 1024},  {3, 3, 1024}, {3, 4, 1024}};

static void decode_keeps_each_limit_of_texts(void **state)
{
	(void)state;
	char *text = letters(MIB + 1);
	for (size_t i = 0; i < 2 * sizeof text_limits / sizeof *text_limits; i++) {
		struct rmd_wire_writer w = {0};
		struct rmd_wire_nest outer = rmd_wire_open(&w, 1), inner = {0};
		uint32_t frame_field = text_limits[i / 2].frame_field;
		if (frame_field != 0)
			inner = rmd_wire_open(&w, 3);
		rmd_wire_put_bytes(
			&w, frame_field != 0 ? frame_field : text_limits[i / 2].field,
			rmd_slice_of(text, text_limits[i / 2].max + i % 2));
		if (frame_field != 0)
			rmd_wire_close(&w, inner);
		rmd_wire_close(&w, outer);
		struct remuda_error *err = NULL;
		assert_int_equal(decode((char *)w.data, w.len, &err),
				 i % 2 ? RMD_ETOOBIG : 0);
		remuda_error_free(err);
		rmd_wire_writer_fini(&w);
	}
	free(text);
}

static void decode_keeps_each_limit_of_numbers(void **state)
{
	(void)state;
	struct rmd_wire_writer w = {0};
	struct remuda_error *err = NULL;
	for (int i = 0; i < 64; i++)
		rmd_wire_put_bytes(&w, 1, rmd_slice_of("", 0));
	assert_int_equal(decode((char *)w.data, w.len, &err), 0);
	remuda_error_free(err);
	rmd_wire_put_bytes(&w, 1, rmd_slice_of("", 0));
	assert_int_equal(decode((char *)w.data, w.len, &err), RMD_ELIMIT);
	rmd_wire_writer_reset(&w);
	for (int more = 0; more < 2; more++) {
		struct rmd_wire_nest nest = rmd_wire_open(&w, 1);
		for (int i = 0; i < 256 + more; i++)
			rmd_wire_put_bytes(&w, 3, rmd_slice_of("", 0));
		rmd_wire_close(&w, nest);
		err = NULL;
		assert_int_equal(decode((char *)w.data, w.len, &err),
				 more ? RMD_ELIMIT : 0);
		remuda_error_free(err);
		rmd_wire_writer_reset(&w);
	}
	rmd_wire_writer_fini(&w);
	/* A signal and an exit code beyond 32 bits; text that is not UTF-8; other wire
	 * types. */
	assert_int_equal(decode("\x0a\x06\x60\x80\x80\x80\x80\x08", 8, &err), RMD_ELIMIT);
	assert_int_equal(decode("\x0a\x06\x50\x80\x80\x80\x80\x08", 8, &err), RMD_ELIMIT);
	assert_int_equal(decode("\x0a\x03\x12\x01\xff", 5, &err), RMD_EPROTO);
	assert_int_equal(decode("\x0a\x02\x18\x01", 4, &err), RMD_EPROTO);
	assert_int_equal(decode("\x08\x01", 2, &err), RMD_EPROTO);
}

static void a_chain_cut_at_any_byte_is_refused(void **state)
{
	(void)state;
	struct remuda_error *err = full();
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	struct rmd_slice whole = rmd_buf_slice(buf);
	for (size_t len = 0; len < whole.len; len++) {
		char *cut = malloc(len + 1);
		assert_non_null(cut);
		memcpy(cut + 1, whole.data, len);
		struct remuda_error *back = NULL;
		assert_true(decode(cut + 1, len, &back) < 0);
		assert_null(back);
		free(cut);
	}
	rmd_buf_unref(buf);
	remuda_error_free(err);
}

/* ---- no memory ---- */

static void without_memory_there_is_still_an_error(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= 4; n++) {
		rmd_alloc_fail_at(n);
		struct remuda_error *err = remuda_error_create("T", "m");
		rmd_alloc_fail_at(0);
		assert_string_equal(remuda_error_type(err), "OutOfMemory");
		rmd_error_set_signal(err, 9);
		rmd_error_set_exit_code(err, 9);
		rmd_error_set_origin(err, REMUDA_ORIGIN_TASK);
		rmd_error_set_place_deep(err, "h", 1, 1);
		rmd_error_add_frame(err, &(struct remuda_frame){.file = "f"});
		rmd_error_set_runtime_payload(err, "c", rmd_slice_of("x", 1));
		remuda_error_set_cause(err, remuda_error_create("Cause", "c"));
		assert_int_equal(remuda_error_signal(err), 0);
		assert_null(remuda_error_cause(err));
		struct remuda_error *outer = remuda_error_wrap(err, "Outer", "o");
		struct remuda_error *back = through_the_wire(outer);
		assert_string_equal(remuda_error_type(remuda_error_cause(back)),
				    "OutOfMemory");
		remuda_error_free(back);
		remuda_error_free(outer);
		remuda_error_free(err);

		rmd_alloc_fail_at(n + 1);
		err = remuda_error_wrap(remuda_error_create("Cause", "c"), "T", "m");
		rmd_alloc_fail_at(0);
		remuda_error_free(err);
	}
}

/* Builds, prints, encodes and decodes; what fails for want of memory fails cleanly. */
static bool whole_life(void)
{
	struct remuda_error *err = full(), *back = NULL;
	char *string = remuda_error_string(err), *json = remuda_error_json(err),
	     *line = remuda_error_line(err);
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	const char *field = "";
	int rc = RMD_ENOMEM;
	if (buf != NULL)
		rc = rmd_error_decode(rmd_buf_slice(buf), &back, &field);
	assert_true(rc == 0 || rc == RMD_ENOMEM);
	assert_true(rc == 0 || back == NULL);
	bool whole = string != NULL && json != NULL && line != NULL && rc == 0;
	free(string);
	free(json);
	free(line);
	rmd_buf_unref(buf);
	remuda_error_free(back);
	remuda_error_free(err);
	return whole;
}

static void each_failing_allocation_is_handled(void **state)
{
	(void)state;
	rmd_alloc_fail_at(UINT64_MAX);
	assert_true(whole_life());
	uint64_t count = rmd_alloc_count();
	assert_true(count > 30);
	for (uint64_t n = 1; n <= count; n++) {
		rmd_alloc_fail_at(n);
		(void)whole_life();
		rmd_alloc_fail_at(0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_long_chain_keeps_both_its_ends),
		cmocka_unit_test(wide_trees_are_bounded_too),
		cmocka_unit_test(causes_and_contexts_can_be_replaced),
		cmocka_unit_test(text_that_is_not_utf8_is_replaced),
		cmocka_unit_test(of_many_frames_the_outermost_and_innermost_stay),
		cmocka_unit_test(every_detail_goes_over_the_wire),
		cmocka_unit_test(texts_over_their_limit_are_cut_with_a_mark),
		cmocka_unit_test(
			a_chain_too_large_for_the_wire_loses_payloads_then_length),
		cmocka_unit_test(encoding_behind_something_else_leaves_that_alone),
		cmocka_unit_test(an_error_that_two_name_stays_with_the_first_as_cause),
		cmocka_unit_test(a_chain_that_loops_or_points_nowhere_is_refused),
		cmocka_unit_test(nuls_in_texts_become_question_marks),
		cmocka_unit_test(decode_keeps_each_limit_of_texts),
		cmocka_unit_test(decode_keeps_each_limit_of_numbers),
		cmocka_unit_test(a_chain_cut_at_any_byte_is_refused),
		cmocka_unit_test(without_memory_there_is_still_an_error),
		cmocka_unit_test(each_failing_allocation_is_handled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
