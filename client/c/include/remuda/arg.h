/* remuda/arg.h: how a C or C++ expression becomes an argument of a task.
 *
 * remuda_submit and its sisters put REMUDA_ARG around each argument; programs that build
 * argument lists at run time call the functions below. An argument borrows what it points
 * to until the submit it is given to has returned: nothing is kept. Header only. */
#ifndef REMUDA_ARG_H
#define REMUDA_ARG_H

#include <string.h>

#include <remuda/value.h>

/* protobuf-c's base of all messages (&message.base); <protobuf-c/protobuf-c.h> is needed
 * only by those who pass messages. */
struct ProtobufCMessage;

/* One argument: a value, or a message that is packed into a `REMUDA_ANY` at submit. */
struct remuda_arg {
	struct remuda_value value;
	const struct ProtobufCMessage *message; /* not NULL: used instead of value */
};

#ifdef __cplusplus
#define REMUDA_ARG_ZERO_ remuda_arg()
#define REMUDA_CAST_(type, x) static_cast<type>(x)
#else
#define REMUDA_ARG_ZERO_ ((struct remuda_arg){0})
#define REMUDA_CAST_(type, x) ((type)(x))
#endif

static inline struct remuda_arg remuda_arg_null(void)
{
	return REMUDA_ARG_ZERO_;
}

static inline struct remuda_arg remuda_arg_boolean(bool boolean)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	arg.value.kind = REMUDA_BOOLEAN;
	arg.value.u.boolean = boolean;
	return arg;
}

static inline struct remuda_arg remuda_arg_int64(int64_t number)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	arg.value.kind = REMUDA_INT64;
	arg.value.u.int64 = number;
	return arg;
}

/* Below 2^63 the same as remuda_arg_int64. */
static inline struct remuda_arg remuda_arg_uint64(uint64_t number)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	if (number <= INT64_MAX)
		return remuda_arg_int64(REMUDA_CAST_(int64_t, number));
	arg.value.kind = REMUDA_UINT64;
	arg.value.u.uint64 = number;
	return arg;
}

static inline struct remuda_arg remuda_arg_double(double number)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	arg.value.kind = REMUDA_FLOAT64;
	arg.value.u.float64 = number;
	return arg;
}

/* Text with its length; must be UTF-8, or the submit fails. */
static inline struct remuda_arg remuda_arg_text(struct remuda_string text)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	arg.value.kind = REMUDA_STRING;
	arg.value.u.string = text;
	return arg;
}

/* NUL-terminated text; NULL is the null value. */
static inline struct remuda_arg remuda_arg_string(const char *text)
{
	struct remuda_string string;
	if (text == NULL)
		return remuda_arg_null();
	string.data = text;
	string.len = strlen(text);
	return remuda_arg_text(string);
}

static inline struct remuda_arg remuda_arg_bytes(struct remuda_bytes bytes)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	arg.value.kind = REMUDA_BYTES;
	arg.value.u.bytes = bytes;
	return arg;
}

static inline struct remuda_arg remuda_arg_array(struct remuda_array array)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	arg.value.kind = REMUDA_ARRAY;
	arg.value.u.array = array;
	return arg;
}

static inline struct remuda_arg remuda_arg_int64s(struct remuda_int64s numbers)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	arg.value.kind = REMUDA_INTS;
	arg.value.u.ints = numbers;
	return arg;
}

static inline struct remuda_arg remuda_arg_doubles(struct remuda_doubles numbers)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	arg.value.kind = REMUDA_DOUBLES;
	arg.value.u.doubles = numbers;
	return arg;
}

static inline struct remuda_arg remuda_arg_value(struct remuda_value value)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	arg.value = value;
	return arg;
}

/* NULL is the null value. */
static inline struct remuda_arg remuda_arg_value_at(const struct remuda_value *value)
{
	return value == NULL ? remuda_arg_null() : remuda_arg_value(*value);
}

/* A protobuf-c message: pass `&message.base`. NULL is the null value. */
static inline struct remuda_arg remuda_arg_message(const struct ProtobufCMessage *message)
{
	struct remuda_arg arg = REMUDA_ARG_ZERO_;
	arg.message = message;
	return arg;
}

static inline struct remuda_arg remuda_arg_same(struct remuda_arg arg)
{
	return arg;
}

/* What NULL is: the null value. */
static inline struct remuda_arg remuda_arg_pointer(const void *null)
{
	(void)null;
	return remuda_arg_null();
}

#ifndef __cplusplus

/* One argument from an expression. `true` is an int in C: a task that takes a bool takes
 * 0 and 1 too; where no signature is known write (bool)true. */
#define REMUDA_ARG(x)                                                                \
	_Generic((x),                                                                \
		bool: remuda_arg_boolean,                                            \
		char: remuda_arg_int64,                                              \
		signed char: remuda_arg_int64,                                       \
		unsigned char: remuda_arg_uint64,                                    \
		short: remuda_arg_int64,                                             \
		unsigned short: remuda_arg_uint64,                                   \
		int: remuda_arg_int64,                                               \
		unsigned: remuda_arg_uint64,                                         \
		long: remuda_arg_int64,                                              \
		unsigned long: remuda_arg_uint64,                                    \
		long long: remuda_arg_int64,                                         \
		unsigned long long: remuda_arg_uint64,                               \
		float: remuda_arg_double,                                            \
		double: remuda_arg_double,                                           \
		char *: remuda_arg_string,                                           \
		const char *: remuda_arg_string,                                     \
		void *: remuda_arg_pointer,                                          \
		struct remuda_string: remuda_arg_text,                               \
		struct remuda_bytes: remuda_arg_bytes,                               \
		struct remuda_array: remuda_arg_array,                               \
		struct remuda_int64s: remuda_arg_int64s,                             \
		struct remuda_doubles: remuda_arg_doubles,                           \
		struct remuda_value: remuda_arg_value,                               \
		struct remuda_value *: remuda_arg_value_at,                          \
		const struct remuda_value *: remuda_arg_value_at,                    \
		struct ProtobufCMessage *: remuda_arg_message,                       \
		const struct ProtobufCMessage *: remuda_arg_message,                 \
		struct remuda_arg: remuda_arg_same)(x)

/* A list of 0 to 8 arguments, as `const struct remuda_arg *`, until the end of the block.
 */
#define REMUDA_ARGS_0() ((const struct remuda_arg *)0)
#define REMUDA_ARGS_1(a) ((const struct remuda_arg[]){REMUDA_ARG(a)})
#define REMUDA_ARGS_2(a, b) ((const struct remuda_arg[]){REMUDA_ARG(a), REMUDA_ARG(b)})
#define REMUDA_ARGS_3(a, b, c)                                                       \
	((const struct remuda_arg[]){REMUDA_ARG(a), REMUDA_ARG(b), REMUDA_ARG(c)})
#define REMUDA_ARGS_4(a, b, c, d)                                                    \
	((const struct remuda_arg[]){REMUDA_ARG(a), REMUDA_ARG(b), REMUDA_ARG(c),    \
				     REMUDA_ARG(d)})
#define REMUDA_ARGS_5(a, b, c, d, e)                                                 \
	((const struct remuda_arg[]){REMUDA_ARG(a), REMUDA_ARG(b), REMUDA_ARG(c),    \
				     REMUDA_ARG(d), REMUDA_ARG(e)})
#define REMUDA_ARGS_6(a, b, c, d, e, f)                                              \
	((const struct remuda_arg[]){REMUDA_ARG(a), REMUDA_ARG(b), REMUDA_ARG(c),    \
				     REMUDA_ARG(d), REMUDA_ARG(e), REMUDA_ARG(f)})
#define REMUDA_ARGS_7(a, b, c, d, e, f, g)                                           \
	((const struct remuda_arg[]){REMUDA_ARG(a), REMUDA_ARG(b), REMUDA_ARG(c),    \
				     REMUDA_ARG(d), REMUDA_ARG(e), REMUDA_ARG(f),    \
				     REMUDA_ARG(g)})
#define REMUDA_ARGS_8(a, b, c, d, e, f, g, h)                                        \
	((const struct remuda_arg[]){REMUDA_ARG(a), REMUDA_ARG(b), REMUDA_ARG(c),    \
				     REMUDA_ARG(d), REMUDA_ARG(e), REMUDA_ARG(f),    \
				     REMUDA_ARG(g), REMUDA_ARG(h)})

#else /* C++ */

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace remuda_cpp { /* not `remuda`: that is a struct */

/* One argument from an expression, by type: any integer, bool, floating point, text (char
 * *, std::string, std::string_view), vectors of numbers, and remuda's own structs. */
template <class T> inline remuda_arg arg(const T &x)
{
	if constexpr (std::is_same_v<T, bool>)
		return remuda_arg_boolean(x);
	else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>)
		return remuda_arg_int64(x);
	else if constexpr (std::is_integral_v<T>)
		return remuda_arg_uint64(x);
	else if constexpr (std::is_enum_v<T>)
		return arg(static_cast<std::underlying_type_t<T>>(x));
	else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>)
		return remuda_arg_double(static_cast<double>(x));
	else if constexpr (std::is_null_pointer_v<T>)
		return remuda_arg_null();
	else if constexpr (std::is_convertible_v<T, const char *>)
		return remuda_arg_string(x);
	else if constexpr (std::is_convertible_v<T, std::string_view>) {
		std::string_view text = x;
		return remuda_arg_text(remuda_string{text.data(), text.size()});
	} else if constexpr (std::is_same_v<T, std::vector<int64_t>>)
		return remuda_arg_int64s(remuda_int64s{x.data(), x.size()});
	else if constexpr (std::is_same_v<T, std::vector<double>>)
		return remuda_arg_doubles(remuda_doubles{x.data(), x.size()});
	else if constexpr (std::is_same_v<T, std::vector<unsigned char>>)
		return remuda_arg_bytes(remuda_bytes{x.data(), x.size()});
	else if constexpr (std::is_same_v<T, remuda_string>)
		return remuda_arg_text(x);
	else if constexpr (std::is_same_v<T, remuda_bytes>)
		return remuda_arg_bytes(x);
	else if constexpr (std::is_same_v<T, remuda_array>)
		return remuda_arg_array(x);
	else if constexpr (std::is_same_v<T, remuda_int64s>)
		return remuda_arg_int64s(x);
	else if constexpr (std::is_same_v<T, remuda_doubles>)
		return remuda_arg_doubles(x);
	else if constexpr (std::is_same_v<T, remuda_value>)
		return remuda_arg_value(x);
	else if constexpr (std::is_same_v<T, remuda_arg>)
		return x;
	else if constexpr (std::is_convertible_v<T, const remuda_value *>)
		return remuda_arg_value_at(x);
	else {
		static_assert(
			std::is_convertible_v<T, const ProtobufCMessage *>,
			"remuda: no way to pass this type as an argument of a task");
		return remuda_arg_message(x);
	}
}

/* Holds the list until the end of the full expression. */
template <std::size_t N> struct arg_list {
	remuda_arg items[N + 1];
	const remuda_arg *data() const { return items; }
};

template <class... A> inline arg_list<sizeof...(A)> args(const A &...a)
{
	return arg_list<sizeof...(A)>{{arg<std::decay_t<const A &>>(a)..., remuda_arg()}};
}

} /* namespace remuda_cpp */

#define REMUDA_ARG(x) (::remuda_cpp::arg(x))
#define REMUDA_ARGS_0() (static_cast<const remuda_arg *>(nullptr))
#define REMUDA_ARGS_1(a) (::remuda_cpp::args(a).data())
#define REMUDA_ARGS_2(a, b) (::remuda_cpp::args(a, b).data())
#define REMUDA_ARGS_3(a, b, c) (::remuda_cpp::args(a, b, c).data())
#define REMUDA_ARGS_4(a, b, c, d) (::remuda_cpp::args(a, b, c, d).data())
#define REMUDA_ARGS_5(a, b, c, d, e) (::remuda_cpp::args(a, b, c, d, e).data())
#define REMUDA_ARGS_6(a, b, c, d, e, f) (::remuda_cpp::args(a, b, c, d, e, f).data())
#define REMUDA_ARGS_7(a, b, c, d, e, f, g) \
	(::remuda_cpp::args(a, b, c, d, e, f, g).data())
#define REMUDA_ARGS_8(a, b, c, d, e, f, g, h) \
	(::remuda_cpp::args(a, b, c, d, e, f, g, h).data())

#endif
#endif
