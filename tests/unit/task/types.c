/* A module with a function for every type that a task can take and give; compiled as C
 * and as C++, by every compiler and at several levels of optimisation. */
#include "orders.pb-c.h"
#include <remuda/task.h>

#include <pthread.h>

#include "tests/unit/task/types_more.h"

REMUDA_MODULE("types");
REMUDA_MESSAGE(Orders__Row, orders__row__descriptor);

REMUDA_TASK(bool, not_, (bool, x)) { return !x; }
REMUDA_TASK(int8_t, i8, (int8_t, x)) { return x; }
REMUDA_TASK(int16_t, i16, (int16_t, x)) { return x; }
REMUDA_TASK(int32_t, i32, (int32_t, x)) { return x; }
REMUDA_TASK(static int64_t, i64, (int64_t, x)) { return x; }
REMUDA_TASK(long, l, (long, x)) { return x; }
REMUDA_TASK(long long, ll, (long long, x)) { return x; }
REMUDA_TASK(uint8_t, u8, (uint8_t, x)) { return x; }
REMUDA_TASK(uint16_t, u16, (uint16_t, x)) { return x; }
REMUDA_TASK(uint32_t, u32, (uint32_t, x)) { return x; }
REMUDA_TASK(uint64_t, u64, (uint64_t, x)) { return x; }
REMUDA_TASK(unsigned long long, ull, (unsigned long long, x)) { return x; }
REMUDA_TASK(size_t, size, (size_t, x)) { return x; }
REMUDA_TASK(float, f32, (float, x)) { return x; }
REMUDA_TASK(double, f64, (double, x)) { return x; }
REMUDA_TASK(static const char *, text, (const char *, x)) { return x[0] == '0' ? NULL : x; }
REMUDA_TASK(struct remuda_string, string, (struct remuda_string, x)) { return x; }
REMUDA_TASK(struct remuda_bytes, bytes, (struct remuda_bytes, x)) { return x; }
REMUDA_TASK(struct remuda_int64s, int64s, (struct remuda_int64s, x)) { return x; }
REMUDA_TASK(struct remuda_doubles, doubles, (struct remuda_doubles, x)) { return x; }
REMUDA_TASK(struct remuda_array, array, (struct remuda_array, x)) { return x; }
REMUDA_TASK(struct remuda_value, value, (struct remuda_value, x)) { return x; }

REMUDA_TASK(void, nothing) { }
REMUDA_TASK(int, answer) { return 42; }
REMUDA_TASK(static void, nothing_with_ctx, (remuda_ctx *, ctx)) { (void)ctx; }

REMUDA_TASK(int, eight, (int, a), (int, b), (int, c), (int, d), (int, e), (int, f), (int, g), (int, h))
{
	return a * 10000000 + b * 1000000 + c * 100000 + d * 10000 + e * 1000 + f * 100 + g * 10 + h;
}

REMUDA_TASK(int, eight_and_ctx, (remuda_ctx *, ctx), (int, a), (int, b), (int, c), (int, d), (int, e),
	    (int, f), (int, g), (int, h))
{
	return eight(a, b, c, d, e, f, g, h) + (int)remuda_attempt(ctx);
}

REMUDA_TASK(const Orders__Row *, same_row, (const Orders__Row *, row)) { return row; }

REMUDA_TASK(Orders__Row *, summed_row, (remuda_ctx *, ctx), (const Orders__Row *, row))
{
	Orders__Row *sum = (Orders__Row *)remuda_alloc(ctx, sizeof *sum);
	int32_t *amount = (int32_t *)remuda_alloc(ctx, sizeof *amount);
	orders__row__init(sum);
	*amount = 0;
	for (size_t i = 0; i < row->n_amounts; i++)
		*amount += row->amounts[i];
	sum->n_amounts = 1;
	sum->amounts = amount;
	sum->name = (char *)remuda_format(ctx, "sum of %s", row->name);
	return sum;
}

REMUDA_TASK(int, raising, (int, depth))
{
	remuda_raise("Low", "at %d", depth);
	raise_in_another_file(depth);
	return depth;
}

REMUDA_TASK(int, raising_in_context, (int, x))
{
	remuda_raise("First", "one");
	remuda_raise("Second", "two %d", x);
	return 1;
}

static void *in_thread(void *arg)
{
	remuda_ctx *ctx = (remuda_ctx *)arg;
	remuda_log(ctx, "in a thread");
	(void)remuda_attach(ctx);
	remuda_raise("ThreadError", "raised in a thread");
	return NULL;
}

REMUDA_TASK(void, raising_in_thread, (remuda_ctx *, ctx))
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, in_thread, ctx) == 0)
		pthread_join(thread, NULL);
}

REMUDA_TASK(int, raising_for_ever, (int, rounds))
{
	for (int i = 0; i < rounds; i++)
		remuda_raise_from(i % 2 == 0 ? remuda_raised() : NULL, "Round", "%d", i);
	return 0;
}

REMUDA_TASK(struct remuda_string, bad_utf8)
{
	struct remuda_string bad = {"\xff\xfe", 2};
	return bad;
}

REMUDA_TASK(struct remuda_value, too_deep, (remuda_ctx *, ctx))
{
	struct remuda_value *items = (struct remuda_value *)remuda_alloc(ctx, 40 * sizeof *items);
	memset(items, 0, 40 * sizeof *items);
	for (int i = 0; i < 39; i++) {
		items[i].kind = REMUDA_LIST;
		items[i].u.list.items = &items[i + 1];
		items[i].u.list.len = 1;
	}
	return items[0];
}

REMUDA_TASK(int64_t, deadline, (remuda_ctx *, ctx)) { return remuda_deadline_ms(ctx); }

REMUDA_TASK(void, logging, (remuda_ctx *, ctx), (const char *, what))
{
	remuda_log(ctx, "%s and %d", what, 2);
}

REMUDA_TASK(int64_t, submitting, (remuda_ctx *, ctx))
{
	struct remuda_value result;
	uint64_t task = remuda_ctx_submit(ctx, "native:types.answer", NULL, 0);
	return remuda_ctx_get(ctx, task, &result) < 0 ? -1 : result.u.int64;
}

REMUDA_TASK_NAMED("default", int, default_, (int, x)) { return x; }

REMUDA_TASK_IN("demo", int64_t, square, (int64_t, x));
REMUDA_TASK_IN("demo", const char *, none);

REMUDA_TASK(bool, descriptors_are_right)
{
	const struct remuda_task *task = REMUDA_TASK_OF(square);
	return strcmp(task->module, "demo") == 0 && strcmp(task->name, "square") == 0 &&
	       task->param_count == 1 && task->params[0].type == REMUDA_TYPE_INT64 &&
	       strcmp(task->params[0].name, "x") == 0 && task->ret_type == REMUDA_TYPE_INT64 &&
	       task->thunk == NULL && REMUDA_TASK_OF(none)->param_count == 0 &&
	       REMUDA_TASK_OF(none)->ret_type == REMUDA_TYPE_TEXT &&
	       REMUDA_TASK_OF(nothing)->ret_type == REMUDA_TYPE_VOID &&
	       REMUDA_TASK_OF(eight_and_ctx)->takes_ctx == 1 &&
	       REMUDA_TASK_OF(eight_and_ctx)->param_count == 8 && remuda_current() != NULL;
}

#ifdef __cplusplus
#include <stdexcept>
#include <string>

namespace shop {
struct trouble : std::runtime_error {
	using std::runtime_error::runtime_error;
};
enum class colour : uint8_t { red, green };

REMUDA_TASK(int, throwing, (int, what))
{
	if (what == 0)
		throw trouble("no stock");
	if (what == 1)
		throw "a text";
	if (what == 2)
		throw 17;
	return what;
}

REMUDA_TASK(colour, next_colour, (colour, c))
{
	return c == colour::red ? colour::green : colour::red;
}

struct destroyed {
	~destroyed() { remuda_raise("Late", "in a destructor"); }
};

REMUDA_TASK(int, unwinding)
{
	destroyed d;
	throw trouble("unwound");
}
} /* namespace shop */
#endif
