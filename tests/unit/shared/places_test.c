/* The books of a segment, alone and against a model that marks each page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/shared/places.h"

#define PAGE RMD_PLACES_ALIGNMENT
#define MODEL_PAGES 300u

static struct rmd_segment_ref ref_of(uint64_t offset, uint64_t length, uint32_t place)
{
	return (struct rmd_segment_ref){
		.offset = offset, .length = length, .place = place, .mark = 1};
}

static void a_place_is_the_lowest_that_is_free_and_has_a_mark_of_its_own(void **state)
{
	struct rmd_places places;
	struct rmd_segment_ref a, b, c;
	(void)state;
	rmd_places_init(&places, PAGE, 10 * PAGE);
	assert_int_equal(rmd_places_take(&places, 2 * PAGE, &a), 0);
	assert_int_equal(rmd_places_take(&places, 1, &b), 0);
	assert_int_equal(a.offset, PAGE);
	assert_int_equal(b.offset, 3 * PAGE);
	rmd_places_drop(&places, a.place);
	assert_int_equal(rmd_places_take(&places, 2 * PAGE + 1, &c), 0);
	assert_int_equal(c.offset, 4 * PAGE);
	assert_int_equal(c.place, a.place);
	assert_int_not_equal(c.mark, a.mark);
	assert_int_equal(rmd_places_take(&places, 2 * PAGE, &a), 0);
	assert_int_equal(a.offset, PAGE);
	rmd_places_fini(&places);
}

static void a_segment_is_full_to_its_last_byte_and_no_further(void **state)
{
	struct rmd_places places;
	struct rmd_segment_ref ref;
	(void)state;
	rmd_places_init(&places, PAGE, 3 * PAGE + 100);
	assert_int_equal(rmd_places_take(&places, 2 * PAGE + 101, &ref), RMD_EAGAIN);
	assert_int_equal(rmd_places_take(&places, 2 * PAGE, &ref), 0);
	assert_int_equal(rmd_places_take(&places, 101, &ref), RMD_EAGAIN);
	assert_int_equal(rmd_places_take(&places, 100, &ref), 0);
	assert_int_equal(rmd_places_take(&places, 1, &ref), RMD_EAGAIN);
	rmd_places_fini(&places);
}

static void there_are_as_many_places_as_marks(void **state)
{
	struct rmd_places places;
	struct rmd_segment_ref ref;
	(void)state;
	rmd_places_init(&places, PAGE, UINT64_C(1) << 40);
	for (uint32_t i = 0; i < RMD_PLACES_MAX; i++) {
		assert_int_equal(rmd_places_take(&places, 1, &ref), 0);
		assert_int_equal(ref.place, i);
	}
	assert_int_equal(rmd_places_take(&places, 1, &ref), RMD_EAGAIN);
	rmd_places_drop(&places, 77);
	assert_int_equal(rmd_places_take(&places, 1, &ref), 0);
	assert_int_equal(ref.place, 77);
	rmd_places_fini(&places);
}

static void what_the_other_side_names_must_lie_within_and_meet_nothing(void **state)
{
	struct rmd_places places;
	const uint64_t end = 100 * PAGE;
	(void)state;
	rmd_places_init(&places, PAGE, end);
	struct rmd_segment_ref held = ref_of(10 * PAGE + 5, 1000, 7);
	assert_int_equal(rmd_places_enter(&places, &held), 0);
	const struct rmd_segment_ref bad[] = {
		ref_of(PAGE - 1, 10, 1),
		ref_of(0, 10, 1),
		ref_of(end, 1, 1),
		ref_of(end - 1, 2, 1),
		ref_of(UINT64_MAX, 2, 1),
		ref_of(UINT64_MAX - 10, 20, 1),
		ref_of(PAGE, UINT64_MAX, 1),
		ref_of(PAGE, end, 1),
		ref_of(PAGE, 0, 1),
		ref_of(PAGE, 10, RMD_PLACES_MAX),
		ref_of(PAGE, 10, UINT32_MAX),
		ref_of(PAGE, 10, 7),
		{.offset = PAGE, .length = 10, .place = 1, .mark = 0},
		ref_of(held.offset, held.length, 1),
		ref_of(held.offset + 999, 1, 1),
		ref_of(held.offset - 1, 2, 1),
		ref_of(held.offset + 10, 10, 1),
		ref_of(PAGE, end - PAGE, 1),
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (rmd_places_enter(&places, &bad[i]) != RMD_EPROTO)
			fail_msg("%zu was taken", i);
	const struct rmd_segment_ref good[] = {
		ref_of(held.offset - 1, 1, 1),
		ref_of(held.offset + 1000, 1, 2),
		ref_of(PAGE, 1, RMD_PLACES_MAX - 1),
		ref_of(end - 1, 1, 3),
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (rmd_places_enter(&places, &good[i]) != 0)
			fail_msg("%zu was refused", i);
	rmd_places_drop(&places, 7);
	assert_int_equal(rmd_places_enter(&places, &held), 0);
	rmd_places_fini(&places);
}

static void gaps_are_whole_free_pages(void **state)
{
	struct rmd_places places;
	struct rmd_segment_ref a = ref_of(2 * PAGE + 1, PAGE, 0), b = ref_of(6 * PAGE, 1, 1);
	uint64_t offset, bytes;
	(void)state;
	rmd_places_init(&places, PAGE, 20 * PAGE);
	assert_int_equal(rmd_places_enter(&places, &b), 0);
	assert_int_equal(rmd_places_enter(&places, &a), 0);
	assert_true(rmd_places_gap(&places, PAGE, 9 * PAGE, &offset, &bytes));
	assert_int_equal(offset, PAGE);
	assert_int_equal(bytes, PAGE);
	assert_true(rmd_places_gap(&places, offset + bytes, 9 * PAGE, &offset, &bytes));
	assert_int_equal(offset, 4 * PAGE);
	assert_int_equal(bytes, 2 * PAGE);
	assert_true(rmd_places_gap(&places, offset + bytes, 9 * PAGE, &offset, &bytes));
	assert_int_equal(offset, 7 * PAGE);
	assert_int_equal(bytes, 2 * PAGE);
	assert_false(rmd_places_gap(&places, offset + bytes, 9 * PAGE, &offset, &bytes));
	assert_false(rmd_places_gap(&places, 2 * PAGE, 4 * PAGE, &offset, &bytes));
	rmd_places_fini(&places);
}

/* ---- against a model ---- */

struct model {
	struct rmd_places ours, theirs; /* what one side gives out and the other enters */
	uint8_t used[MODEL_PAGES];
	struct rmd_segment_ref live[MODEL_PAGES];
	size_t count;
};

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * UINT64_C(0x2545f4914f6cdd1d);
}

static void mark_pages(struct model *model, const struct rmd_segment_ref *ref, uint8_t used)
{
	for (uint64_t page = ref->offset / PAGE; page <= (ref->offset + ref->length - 1) / PAGE;
	     page++) {
		assert_int_not_equal(model->used[page], used);
		model->used[page] = used;
	}
}

/* The offset that first-fit must give for so many pages; 0: none. */
static uint64_t expected(const struct model *model, uint64_t pages)
{
	for (uint64_t first = 1; first + pages <= MODEL_PAGES; first++) {
		uint64_t n = 0;
		while (n < pages && !model->used[first + n])
			n++;
		if (n == pages)
			return first * PAGE;
	}
	return 0;
}

static void step_take(struct model *model, uint64_t length)
{
	struct rmd_segment_ref ref;
	uint64_t offset = expected(model, (length + PAGE - 1) / PAGE);
	int rc = rmd_places_take(&model->ours, length, &ref);
	assert_int_equal(rc, offset == 0 ? RMD_EAGAIN : 0);
	if (rc < 0)
		return;
	assert_int_equal(ref.offset, offset);
	assert_int_equal(rmd_places_enter(&model->theirs, &ref), 0);
	assert_int_equal(rmd_places_enter(&model->theirs, &ref), RMD_EPROTO);
	mark_pages(model, &ref, 1);
	model->live[model->count++] = ref;
}

static void step_drop(struct model *model, size_t at)
{
	struct rmd_segment_ref ref = model->live[at], got;
	assert_true(rmd_places_get(&model->ours, ref.place, &got));
	assert_memory_equal(&got, &ref, sizeof ref);
	rmd_places_drop(&model->theirs, ref.place);
	rmd_places_drop(&model->ours, ref.place);
	assert_false(rmd_places_get(&model->ours, ref.place, &got));
	mark_pages(model, &ref, 0);
	model->live[at] = model->live[--model->count];
}

/* Anything may be named by a hostile side: it is taken only where the model says so. */
static void step_forge(struct model *model, uint64_t *seed)
{
	struct rmd_segment_ref ref = {
		.offset = next_random(seed) % ((MODEL_PAGES + 2) * PAGE),
		.length = next_random(seed) % (4 * PAGE),
		.place = (uint32_t)(next_random(seed) % (RMD_PLACES_MAX + 10)),
		.mark = (uint32_t)(next_random(seed) % 3)};
	bool good = ref.length != 0 && ref.mark != 0 && ref.place < RMD_PLACES_MAX &&
		    ref.offset >= PAGE && ref.offset + ref.length <= MODEL_PAGES * PAGE;
	for (size_t i = 0; i < model->count; i++)
		good = good && ref.place != model->live[i].place &&
		       (ref.offset >= model->live[i].offset + model->live[i].length ||
			model->live[i].offset >= ref.offset + ref.length);
	int rc = rmd_places_enter(&model->theirs, &ref);
	assert_int_equal(rc, good ? 0 : RMD_EPROTO);
	if (rc == 0)
		rmd_places_drop(&model->theirs, ref.place);
}

static void check_gaps(const struct model *model)
{
	uint8_t gap[MODEL_PAGES] = {0};
	uint64_t offset, bytes, at = PAGE;
	for (; rmd_places_gap(&model->ours, at, MODEL_PAGES * PAGE, &offset, &bytes);
	     at = offset + bytes)
		memset(gap + offset / PAGE, 1, bytes / PAGE);
	for (size_t page = 1; page < MODEL_PAGES; page++)
		assert_int_equal(gap[page], !model->used[page]);
}

static void random_use_agrees_with_a_model(void **state)
{
	(void)state;
	for (uint64_t round = 1; round <= 30; round++) {
		struct model model = {.count = 0};
		uint64_t seed = round * UINT64_C(0x9e3779b97f4a7c15);
		rmd_places_init(&model.ours, PAGE, MODEL_PAGES * PAGE);
		rmd_places_init(&model.theirs, PAGE, MODEL_PAGES * PAGE);
		for (int step = 0; step < 2000; step++) {
			uint64_t choice = next_random(&seed) % 8;
			if (choice < 3 + round % 2)
				step_take(&model, 1 + next_random(&seed) % (12 * PAGE));
			else if (choice < 7 && model.count != 0)
				step_drop(&model, next_random(&seed) % model.count);
			else
				step_forge(&model, &seed);
		}
		check_gaps(&model);
		rmd_places_fini(&model.ours);
		rmd_places_fini(&model.theirs);
	}
}

static void a_failing_allocation_changes_nothing(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n++) {
		struct rmd_places places;
		struct rmd_segment_ref ref;
		uint32_t taken = 0;
		rmd_places_init(&places, PAGE, 1000 * PAGE);
		rmd_alloc_fail_at(n);
		int rc = 0;
		while (taken < 40 && (rc = rmd_places_take(&places, 1, &ref)) == 0)
			taken++;
		rmd_alloc_fail_at(0);
		assert_int_equal(places.count, taken);
		if (rc < 0) {
			assert_int_equal(rc, RMD_ENOMEM);
			assert_int_equal(rmd_places_take(&places, 1, &ref), 0);
			assert_int_equal(ref.offset, (taken + 1) * PAGE);
		}
		rmd_places_fini(&places);
		if (rc == 0)
			return;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_place_is_the_lowest_that_is_free_and_has_a_mark_of_its_own),
		cmocka_unit_test(a_segment_is_full_to_its_last_byte_and_no_further),
		cmocka_unit_test(there_are_as_many_places_as_marks),
		cmocka_unit_test(what_the_other_side_names_must_lie_within_and_meet_nothing),
		cmocka_unit_test(gaps_are_whole_free_pages),
		cmocka_unit_test(random_use_agrees_with_a_model),
		cmocka_unit_test(a_failing_allocation_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
