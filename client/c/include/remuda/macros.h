/* remuda/macros.h: what the macros of remuda/remuda.h expand to. Not for direct use. */
#ifndef REMUDA_MACROS_H
#define REMUDA_MACROS_H

#include <remuda/remuda.h>

#define REMUDA_CAT_(a, b) REMUDA_CAT2_(a, b)
#define REMUDA_CAT2_(a, b) a##b
/* How many arguments: 1 to 11. */
#define REMUDA_COUNT_(...) \
	REMUDA_COUNT2_(__VA_ARGS__, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define REMUDA_COUNT2_(a, b, c, d, e, f, g, h, i, j, k, n, ...) n
#define REMUDA_PICK_(kind, ...) REMUDA_CAT_(REMUDA_##kind##_, REMUDA_COUNT_(__VA_ARGS__))

#define REMUDA_SUBMIT_2(client, fn) \
	REMUDA_TASK_CALL_(client, NULL, fn, REMUDA_ARGS_0(), 0)
#define REMUDA_SUBMIT_3(client, fn, a) \
	REMUDA_TASK_CALL_(client, NULL, fn, REMUDA_ARGS_1(a), 1)
#define REMUDA_SUBMIT_4(client, fn, a, b)                                            \
	REMUDA_TASK_CALL_(client, NULL, fn, REMUDA_ARGS_2(a, b), 2)
#define REMUDA_SUBMIT_5(client, fn, a, b, c)                                         \
	REMUDA_TASK_CALL_(client, NULL, fn, REMUDA_ARGS_3(a, b, c), 3)
#define REMUDA_SUBMIT_6(client, fn, a, b, c, d)                                      \
	REMUDA_TASK_CALL_(client, NULL, fn, REMUDA_ARGS_4(a, b, c, d), 4)
#define REMUDA_SUBMIT_7(client, fn, a, b, c, d, e)                                   \
	REMUDA_TASK_CALL_(client, NULL, fn, REMUDA_ARGS_5(a, b, c, d, e), 5)
#define REMUDA_SUBMIT_8(client, fn, a, b, c, d, e, f)                                \
	REMUDA_TASK_CALL_(client, NULL, fn, REMUDA_ARGS_6(a, b, c, d, e, f), 6)
#define REMUDA_SUBMIT_9(client, fn, a, b, c, d, e, f, g)                             \
	REMUDA_TASK_CALL_(client, NULL, fn, REMUDA_ARGS_7(a, b, c, d, e, f, g), 7)
#define REMUDA_SUBMIT_10(client, fn, a, b, c, d, e, f, g, h)                         \
	REMUDA_TASK_CALL_(client, NULL, fn, REMUDA_ARGS_8(a, b, c, d, e, f, g, h), 8)

#define REMUDA_SUBMIT_WITH_3(client, options, fn)                                    \
	REMUDA_TASK_CALL_(client, options, fn, REMUDA_ARGS_0(), 0)
#define REMUDA_SUBMIT_WITH_4(client, options, fn, a)                                 \
	REMUDA_TASK_CALL_(client, options, fn, REMUDA_ARGS_1(a), 1)
#define REMUDA_SUBMIT_WITH_5(client, options, fn, a, b)                              \
	REMUDA_TASK_CALL_(client, options, fn, REMUDA_ARGS_2(a, b), 2)
#define REMUDA_SUBMIT_WITH_6(client, options, fn, a, b, c)                           \
	REMUDA_TASK_CALL_(client, options, fn, REMUDA_ARGS_3(a, b, c), 3)
#define REMUDA_SUBMIT_WITH_7(client, options, fn, a, b, c, d)                        \
	REMUDA_TASK_CALL_(client, options, fn, REMUDA_ARGS_4(a, b, c, d), 4)
#define REMUDA_SUBMIT_WITH_8(client, options, fn, a, b, c, d, e)                     \
	REMUDA_TASK_CALL_(client, options, fn, REMUDA_ARGS_5(a, b, c, d, e), 5)
#define REMUDA_SUBMIT_WITH_9(client, options, fn, a, b, c, d, e, f)                  \
	REMUDA_TASK_CALL_(client, options, fn, REMUDA_ARGS_6(a, b, c, d, e, f), 6)
#define REMUDA_SUBMIT_WITH_10(client, options, fn, a, b, c, d, e, f, g)              \
	REMUDA_TASK_CALL_(client, options, fn, REMUDA_ARGS_7(a, b, c, d, e, f, g), 7)
#define REMUDA_SUBMIT_WITH_11(client, options, fn, a, b, c, d, e, f, g, h)           \
	REMUDA_TASK_CALL_(client, options, fn, REMUDA_ARGS_8(a, b, c, d, e, f, g, h), 8)

#define REMUDA_NAME_2(client, fn) \
	remuda_submit_list_(client, NULL, fn, REMUDA_ARGS_0(), 0)
#define REMUDA_NAME_3(client, fn, a) \
	remuda_submit_list_(client, NULL, fn, REMUDA_ARGS_1(a), 1)
#define REMUDA_NAME_4(client, fn, a, b)                                              \
	remuda_submit_list_(client, NULL, fn, REMUDA_ARGS_2(a, b), 2)
#define REMUDA_NAME_5(client, fn, a, b, c)                                           \
	remuda_submit_list_(client, NULL, fn, REMUDA_ARGS_3(a, b, c), 3)
#define REMUDA_NAME_6(client, fn, a, b, c, d)                                        \
	remuda_submit_list_(client, NULL, fn, REMUDA_ARGS_4(a, b, c, d), 4)
#define REMUDA_NAME_7(client, fn, a, b, c, d, e)                                     \
	remuda_submit_list_(client, NULL, fn, REMUDA_ARGS_5(a, b, c, d, e), 5)
#define REMUDA_NAME_8(client, fn, a, b, c, d, e, f)                                  \
	remuda_submit_list_(client, NULL, fn, REMUDA_ARGS_6(a, b, c, d, e, f), 6)
#define REMUDA_NAME_9(client, fn, a, b, c, d, e, f, g)                               \
	remuda_submit_list_(client, NULL, fn, REMUDA_ARGS_7(a, b, c, d, e, f, g), 7)
#define REMUDA_NAME_10(client, fn, a, b, c, d, e, f, g, h)                           \
	remuda_submit_list_(client, NULL, fn, REMUDA_ARGS_8(a, b, c, d, e, f, g, h), 8)

#define REMUDA_NAME_WITH_3(client, options, fn)                                      \
	remuda_submit_list_(client, options, fn, REMUDA_ARGS_0(), 0)
#define REMUDA_NAME_WITH_4(client, options, fn, a)                                   \
	remuda_submit_list_(client, options, fn, REMUDA_ARGS_1(a), 1)
#define REMUDA_NAME_WITH_5(client, options, fn, a, b)                                \
	remuda_submit_list_(client, options, fn, REMUDA_ARGS_2(a, b), 2)
#define REMUDA_NAME_WITH_6(client, options, fn, a, b, c)                             \
	remuda_submit_list_(client, options, fn, REMUDA_ARGS_3(a, b, c), 3)
#define REMUDA_NAME_WITH_7(client, options, fn, a, b, c, d)                          \
	remuda_submit_list_(client, options, fn, REMUDA_ARGS_4(a, b, c, d), 4)
#define REMUDA_NAME_WITH_8(client, options, fn, a, b, c, d, e)                       \
	remuda_submit_list_(client, options, fn, REMUDA_ARGS_5(a, b, c, d, e), 5)
#define REMUDA_NAME_WITH_9(client, options, fn, a, b, c, d, e, f)                    \
	remuda_submit_list_(client, options, fn, REMUDA_ARGS_6(a, b, c, d, e, f), 6)
#define REMUDA_NAME_WITH_10(client, options, fn, a, b, c, d, e, f, g)                \
	remuda_submit_list_(client, options, fn, REMUDA_ARGS_7(a, b, c, d, e, f, g), 7)
#define REMUDA_NAME_WITH_11(client, options, fn, a, b, c, d, e, f, g, h)             \
	remuda_submit_list_(client, options, fn, REMUDA_ARGS_8(a, b, c, d, e, f, g, h), 8)

#define REMUDA_GLOBAL_(x) {&(x), sizeof(x)},
#define REMUDA_WITH_1(a) REMUDA_GLOBAL_(a)
#define REMUDA_WITH_2(a, b) REMUDA_WITH_1(a) REMUDA_GLOBAL_(b)
#define REMUDA_WITH_3(a, b, c) REMUDA_WITH_2(a, b) REMUDA_GLOBAL_(c)
#define REMUDA_WITH_4(a, b, c, d) REMUDA_WITH_3(a, b, c) REMUDA_GLOBAL_(d)
#define REMUDA_WITH_5(a, b, c, d, e) REMUDA_WITH_4(a, b, c, d) REMUDA_GLOBAL_(e)
#define REMUDA_WITH_6(a, b, c, d, e, f) REMUDA_WITH_5(a, b, c, d, e) REMUDA_GLOBAL_(f)
#define REMUDA_WITH_7(a, b, c, d, e, f, g) REMUDA_WITH_6(a, b, c, d, e, f) REMUDA_GLOBAL_(g)
#define REMUDA_WITH_8(a, b, c, d, e, f, g, h)                                        \
	REMUDA_WITH_7(a, b, c, d, e, f, g) REMUDA_GLOBAL_(h)

/* What a function is until it is submitted: an opaque that holds its descriptor's address. */
#define REMUDA_FN_CODEC "remuda.fn"
#define REMUDA_WRAP_CODEC "remuda.wrap"

static inline struct remuda_value
remuda_function_value_(const struct remuda_task *const *entry, const char *codec)
{
	struct remuda_value value;
	memset(&value, 0, sizeof value);
	value.kind = REMUDA_OPAQUE;
	value.u.opaque.codec.data = codec;
	value.u.opaque.codec.len = strlen(codec);
	value.u.opaque.data.data = entry;
	value.u.opaque.data.len = sizeof *entry;
	return value;
}

#define REMUDA_TASK_CALL_(client, options, fn, args, count)                          \
	remuda_submit_task(client, REMUDA_TASK_OF(fn), options, args, count)

static inline struct remuda_future *
remuda_submit_list_(struct remuda *client, const struct remuda_task_options *options,
		    const char *function, const struct remuda_arg *args, size_t count)
{
	struct remuda_call call;
	call.function = function;
	call.options = options;
	call.args = args;
	call.count = count;
	call.named_args = NULL;
	call.named_count = 0;
	return remuda_submit_call(client, &call);
}

#ifndef __cplusplus

#define REMUDA_GET_(future, ret, ret_err)                                            \
	_Generic((ret),                                                              \
		long *: REMUDA_GET_LONG_,                                            \
		unsigned long *: REMUDA_GET_ULONG_,                                  \
		long long *: remuda_get_llong,                                       \
		unsigned long long *: remuda_get_ullong,                             \
		int *: remuda_get_int,                                               \
		unsigned *: remuda_get_uint,                                         \
		double *: remuda_get_double,                                         \
		float *: remuda_get_float,                                           \
		bool *: remuda_get_bool,                                             \
		char **: remuda_get_text,                                            \
		struct remuda_string *: remuda_get_string,                           \
		struct remuda_bytes *: remuda_get_bytes,                             \
		struct remuda_int64s *: remuda_get_int64s,                           \
		struct remuda_doubles *: remuda_get_doubles,                         \
		struct remuda_value *: remuda_get_value,                             \
		void *: remuda_get_nothing)(future, ret, ret_err)
#define REMUDA_GET_LONG_ remuda_get_int64
#define REMUDA_GET_ULONG_ remuda_get_uint64

#else /* C++ */

#include <cstdlib>

namespace remuda_cpp {

inline int get(remuda_future *f, int64_t *ret, remuda_error **e)
{
	return remuda_get_int64(f, ret, e);
}
inline int get(remuda_future *f, long long *ret, remuda_error **e)
{
	return remuda_get_llong(f, ret, e);
}
inline int get(remuda_future *f, int *ret, remuda_error **e)
{
	return remuda_get_int(f, ret, e);
}
inline int get(remuda_future *f, uint64_t *ret, remuda_error **e)
{
	return remuda_get_uint64(f, ret, e);
}
inline int get(remuda_future *f, unsigned long long *ret, remuda_error **e)
{
	return remuda_get_ullong(f, ret, e);
}
inline int get(remuda_future *f, unsigned *ret, remuda_error **e)
{
	return remuda_get_uint(f, ret, e);
}
inline int get(remuda_future *f, double *ret, remuda_error **e)
{
	return remuda_get_double(f, ret, e);
}
inline int get(remuda_future *f, float *ret, remuda_error **e)
{
	return remuda_get_float(f, ret, e);
}
inline int get(remuda_future *f, bool *ret, remuda_error **e)
{
	return remuda_get_bool(f, ret, e);
}
inline int get(remuda_future *f, char **ret, remuda_error **e)
{
	return remuda_get_text(f, ret, e);
}
inline int get(remuda_future *f, remuda_string *ret, remuda_error **e)
{
	return remuda_get_string(f, ret, e);
}
inline int get(remuda_future *f, remuda_bytes *ret, remuda_error **e)
{
	return remuda_get_bytes(f, ret, e);
}
inline int get(remuda_future *f, remuda_int64s *ret, remuda_error **e)
{
	return remuda_get_int64s(f, ret, e);
}
inline int get(remuda_future *f, remuda_doubles *ret, remuda_error **e)
{
	return remuda_get_doubles(f, ret, e);
}
inline int get(remuda_future *f, remuda_value *ret, remuda_error **e)
{
	return remuda_get_value(f, ret, e);
}
inline int get(remuda_future *f, std::nullptr_t, remuda_error **e)
{
	return remuda_get_nothing(f, nullptr, e);
}

/* Text into a std::string. */
inline int get(remuda_future *f, std::string *ret, remuda_error **e)
{
	remuda_string text;
	int code = remuda_get_string(f, &text, e);
	if (code == 0) {
		ret->assign(text.data, text.len);
		std::free(const_cast<char *>(text.data));
	}
	return code;
}

} /* namespace remuda_cpp */

#define REMUDA_GET_(future, ret, ret_err) (::remuda_cpp::get(future, ret, ret_err))

#endif
#endif
