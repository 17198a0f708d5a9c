/* remuda/task_macros.h: what the macros of remuda/task.h expand to. Not for direct
 * use.
 *
 * REMUDA_TASK(ret, f, (T, x), ...) becomes: f's prototype; a thunk that decodes each
 * parameter through the table, calls f and encodes what it returns; a descriptor; a
 * pointer to it in the section remuda_tasks; and f's head, behind which the body
 * stands. The thunk never repeats `ret` (it may say `static`): it lets the compiler
 * deduce it. Lists end in a sentinel `~`, so that no variadic macro is ever called
 * with nothing. */
#ifndef REMUDA_TASK_MACROS_H
#define REMUDA_TASK_MACROS_H

#include <remuda/task.h>

#if defined(__has_attribute)
#if __has_attribute(retain)
#define REMUDA_TK_RETAIN_ retain,
#endif
#endif
#ifndef REMUDA_TK_RETAIN_
#define REMUDA_TK_RETAIN_
#endif
/* Survives --gc-sections and link-time optimisation. */
#define REMUDA_TK_SECTION_(name) __attribute__((used, REMUDA_TK_RETAIN_ section(name)))
#define REMUDA_TK_HIDDEN_WEAK_ __attribute__((weak, visibility("hidden")))

#ifdef __cplusplus
extern "C" {
#endif

/* Bounds of the sections, made by the linker where they exist. */
extern const struct remuda_task *const __start_remuda_tasks[] REMUDA_TK_HIDDEN_WEAK_;
extern const struct remuda_task *const __stop_remuda_tasks[] REMUDA_TK_HIDDEN_WEAK_;
extern const struct remuda_message *const __start_remuda_messages[] REMUDA_TK_HIDDEN_WEAK_;
extern const struct remuda_message *const __stop_remuda_messages[] REMUDA_TK_HIDDEN_WEAK_;

/* One per image: the context of the task that runs on this thread. */
extern __thread remuda_ctx *remuda_current_ REMUDA_TK_HIDDEN_WEAK_;
__thread remuda_ctx *remuda_current_;

static inline remuda_ctx *remuda_current(void)
{
	return remuda_current_;
}

static inline remuda_ctx *remuda_attach(remuda_ctx *ctx)
{
	remuda_ctx *before = remuda_current_;
	remuda_current_ = ctx;
	return before;
}

static inline struct remuda_error *remuda_raised(void)
{
	return remuda_current_ == NULL ? NULL : remuda_current_->abi->raised(remuda_current_);
}

static inline const char *remuda_format(remuda_ctx *ctx, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		return NULL;
	text = (char *)remuda_alloc(ctx, (size_t)len + 1);
	if (text == NULL)
		return NULL;
	va_start(args, format);
	(void)vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}

static inline void remuda_log(remuda_ctx *ctx, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	ctx->abi->log(ctx, format, args);
	va_end(args);
}

__attribute__((format(printf, 4, 5), unused)) static struct remuda_error *
remuda_raise_at_(struct remuda_place place, struct remuda_error *cause, const char *type,
		 const char *format, ...)
{
	struct remuda_error *err = NULL;
	va_list args;

	va_start(args, format);
	if (remuda_current_ != NULL) {
		err = remuda_current_->abi->raise(remuda_current_, &place, cause, type, format,
						  args);
	} else {
		fprintf(stderr, "%s:%u: %s: ", place.file, (unsigned)place.line, type);
		vfprintf(stderr, format, args);
		fputc('\n', stderr);
	}
	va_end(args);
	return err;
}

static inline uint64_t remuda_submit_at_(remuda_ctx *ctx, struct remuda_place place,
					 const struct remuda_child_options *options,
					 const char *function, const struct remuda_value *args,
					 size_t count)
{
	return ctx->abi->submit(ctx, &place, options, function, args, count);
}

static inline int remuda_call_at_(remuda_ctx *ctx, struct remuda_place place,
				  const struct remuda_value *function,
				  const struct remuda_value *args, size_t count,
				  struct remuda_value *ret_value)
{
	return ctx->abi->call(ctx, &place, function, args, count, ret_value);
}

static inline int remuda_get_at_(remuda_ctx *ctx, struct remuda_place place, uint64_t task,
				 int64_t timeout_ms, struct remuda_value *ret_value,
				 struct remuda_error **ret_err)
{
	return ctx->abi->get(ctx, &place, task, timeout_ms, ret_value, ret_err);
}

#ifdef __cplusplus
}
#endif

#ifdef __cplusplus
#define REMUDA_HERE_ (remuda_place{__FILE__, __func__, static_cast<uint32_t>(__LINE__)})
#define REMUDA_TK_EXTERN_ extern "C"
#define REMUDA_TK_ASSERT_ static_assert
#else
#define REMUDA_HERE_ ((struct remuda_place){__FILE__, __func__, (uint32_t)__LINE__})
#define REMUDA_TK_EXTERN_ extern
#define REMUDA_TK_ASSERT_ _Static_assert
#endif

/* ---- tokens and lists ---- */

#define REMUDA_TK_CAT_(a, b) REMUDA_TK_CAT2_(a, b)
#define REMUDA_TK_CAT2_(a, b) a##b
#define REMUDA_TK_STR_(...) REMUDA_TK_STR2_(__VA_ARGS__)
#define REMUDA_TK_STR2_(...) #__VA_ARGS__
#define REMUDA_TK_FIRST_(t, x) t
#define REMUDA_TK_SECOND_(t, x) x
/* 2 to 12 arguments; more count as 12. */
#define REMUDA_TK_COUNT_(...)                                                        \
	REMUDA_TK_COUNT2_(__VA_ARGS__, 12, 12, 12, 12, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define REMUDA_TK_COUNT2_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, count, ...) count

/* 1 where the parameter is spelled (remuda_ctx *, ...), else 0. */
#define REMUDA_TK_PROBE_remuda_ctx ~, 1,
#define REMUDA_TK_IS_CTX_(p)                                                         \
	REMUDA_TK_PICK_(REMUDA_TK_CAT_(REMUDA_TK_PROBE_, REMUDA_TK_FIRST_ p), 0, ~)
#define REMUDA_TK_PICK_(...) REMUDA_TK_PICK2_(__VA_ARGS__)
#define REMUDA_TK_PICK2_(a, b, ...) b

/* m(index, parameter) for each, bare; with commas between; with a comma before each. */
#define REMUDA_TK_EACH_0(m, z)
#define REMUDA_TK_EACH_1(m, a, z) m(0, a)
#define REMUDA_TK_EACH_2(m, a, b, z) m(0, a) m(1, b)
#define REMUDA_TK_EACH_3(m, a, b, c, z) m(0, a) m(1, b) m(2, c)
#define REMUDA_TK_EACH_4(m, a, b, c, d, z) m(0, a) m(1, b) m(2, c) m(3, d)
#define REMUDA_TK_EACH_5(m, a, b, c, d, e, z) m(0, a) m(1, b) m(2, c) m(3, d) m(4, e)
#define REMUDA_TK_EACH_6(m, a, b, c, d, e, f, z)                                     \
	m(0, a) m(1, b) m(2, c) m(3, d) m(4, e) m(5, f)
#define REMUDA_TK_EACH_7(m, a, b, c, d, e, f, g, z)                                  \
	m(0, a) m(1, b) m(2, c) m(3, d) m(4, e) m(5, f) m(6, g)
#define REMUDA_TK_EACH_8(m, a, b, c, d, e, f, g, h, z)                               \
	m(0, a) m(1, b) m(2, c) m(3, d) m(4, e) m(5, f) m(6, g) m(7, h)
#define REMUDA_TK_EACH_9(m, a, b, c, d, e, f, g, h, i, z)                            \
	m(0, a) m(1, b) m(2, c) m(3, d) m(4, e) m(5, f) m(6, g) m(7, h) m(8, i)

#define REMUDA_TK_LIST_0(m, z) m##NONE_
#define REMUDA_TK_LIST_1(m, a, z) m(0, a)
#define REMUDA_TK_LIST_2(m, a, b, z) m(0, a), m(1, b)
#define REMUDA_TK_LIST_3(m, a, b, c, z) m(0, a), m(1, b), m(2, c)
#define REMUDA_TK_LIST_4(m, a, b, c, d, z) m(0, a), m(1, b), m(2, c), m(3, d)
#define REMUDA_TK_LIST_5(m, a, b, c, d, e, z) m(0, a), m(1, b), m(2, c), m(3, d), m(4, e)
#define REMUDA_TK_LIST_6(m, a, b, c, d, e, f, z)                                     \
	m(0, a), m(1, b), m(2, c), m(3, d), m(4, e), m(5, f)
#define REMUDA_TK_LIST_7(m, a, b, c, d, e, f, g, z)                                  \
	m(0, a), m(1, b), m(2, c), m(3, d), m(4, e), m(5, f), m(6, g)
#define REMUDA_TK_LIST_8(m, a, b, c, d, e, f, g, h, z)                               \
	m(0, a), m(1, b), m(2, c), m(3, d), m(4, e), m(5, f), m(6, g), m(7, h)
#define REMUDA_TK_LIST_9(m, a, b, c, d, e, f, g, h, i, z)                            \
	m(0, a), m(1, b), m(2, c), m(3, d), m(4, e), m(5, f), m(6, g), m(7, h), m(8, i)

#define REMUDA_TK_COMMA_LIST_(n, m, ...)                                             \
	REMUDA_TK_CAT_(REMUDA_TK_TAIL_, n)(m, __VA_ARGS__)
#define REMUDA_TK_TAIL_0(m, z)
#define REMUDA_TK_TAIL_1(m, ...) , REMUDA_TK_LIST_1(m, __VA_ARGS__)
#define REMUDA_TK_TAIL_2(m, ...) , REMUDA_TK_LIST_2(m, __VA_ARGS__)
#define REMUDA_TK_TAIL_3(m, ...) , REMUDA_TK_LIST_3(m, __VA_ARGS__)
#define REMUDA_TK_TAIL_4(m, ...) , REMUDA_TK_LIST_4(m, __VA_ARGS__)
#define REMUDA_TK_TAIL_5(m, ...) , REMUDA_TK_LIST_5(m, __VA_ARGS__)
#define REMUDA_TK_TAIL_6(m, ...) , REMUDA_TK_LIST_6(m, __VA_ARGS__)
#define REMUDA_TK_TAIL_7(m, ...) , REMUDA_TK_LIST_7(m, __VA_ARGS__)
#define REMUDA_TK_TAIL_8(m, ...) , REMUDA_TK_LIST_8(m, __VA_ARGS__)

/* What is listed of a parameter (T, x). */
#define REMUDA_TK_PARAM_(i, p) REMUDA_TK_FIRST_ p REMUDA_TK_SECOND_ p
#define REMUDA_TK_PARAM_NONE_ void
#define REMUDA_TK_LOCAL_(i, p) remuda_p##i
#define REMUDA_TK_LOCAL_NONE_
#define REMUDA_TK_FAKE_(i, p) (*REMUDA_TK_NULL_(REMUDA_TK_FIRST_ p))
#define REMUDA_TK_FAKE_NONE_
#define REMUDA_TK_DECODE_(i, p)                                                      \
	|| remuda_ctx_->abi->decode(remuda_ctx_, i, (void *)&remuda_p##i) < 0
#define REMUDA_TK_ENTRY_(i, p)                                                       \
	{REMUDA_TK_STR_(REMUDA_TK_SECOND_ p), REMUDA_TK_STR_(REMUDA_TK_FIRST_ p),    \
	 REMUDA_TK_TYPE_(*REMUDA_TK_NULL_(REMUDA_TK_FIRST_ p))},
#define REMUDA_TK_CHECK_(i, p)                                                       \
	REMUDA_TK_TYPE_CHECK_(*REMUDA_TK_NULL_(REMUDA_TK_FIRST_ p));

/* ---- finding the form: with a context or without, by number of parameters ---- */

#define REMUDA_TK_DISPATCH_(kind, other, ...)                                        \
	REMUDA_TK_CAT_(REMUDA_TK_ARITY_, REMUDA_TK_COUNT_(__VA_ARGS__))(kind, other, __VA_ARGS__)

#define REMUDA_TK_ARITY_2(k, o, r, f) REMUDA_TK_FORM_0(k, o, r, f, ~, 0, ~)
#define REMUDA_TK_ARITY_3(k, o, r, f, a) REMUDA_TK_FORM_OF_(a)(k, o, r, f, 0, 1, a, ~)
#define REMUDA_TK_ARITY_4(k, o, r, f, a, ...)                                        \
	REMUDA_TK_FORM_OF_(a)(k, o, r, f, 1, 2, a, __VA_ARGS__, ~)
#define REMUDA_TK_ARITY_5(k, o, r, f, a, ...)                                        \
	REMUDA_TK_FORM_OF_(a)(k, o, r, f, 2, 3, a, __VA_ARGS__, ~)
#define REMUDA_TK_ARITY_6(k, o, r, f, a, ...)                                        \
	REMUDA_TK_FORM_OF_(a)(k, o, r, f, 3, 4, a, __VA_ARGS__, ~)
#define REMUDA_TK_ARITY_7(k, o, r, f, a, ...)                                        \
	REMUDA_TK_FORM_OF_(a)(k, o, r, f, 4, 5, a, __VA_ARGS__, ~)
#define REMUDA_TK_ARITY_8(k, o, r, f, a, ...)                                        \
	REMUDA_TK_FORM_OF_(a)(k, o, r, f, 5, 6, a, __VA_ARGS__, ~)
#define REMUDA_TK_ARITY_9(k, o, r, f, a, ...)                                        \
	REMUDA_TK_FORM_OF_(a)(k, o, r, f, 6, 7, a, __VA_ARGS__, ~)
#define REMUDA_TK_ARITY_10(k, o, r, f, a, ...)                                       \
	REMUDA_TK_FORM_OF_(a)(k, o, r, f, 7, 8, a, __VA_ARGS__, ~)
#define REMUDA_TK_ARITY_11(k, o, r, f, a, ...)                                       \
	REMUDA_TK_FORM_OF_(a)(k, o, r, f, 8, 9, a, __VA_ARGS__, ~)
#define REMUDA_TK_ARITY_12(k, o, r, f, ...)                                          \
	REMUDA_TK_ASSERT_(0, "remuda: " #f ": a task has at most 8 parameters"); r f(void)

#define REMUDA_TK_FORM_OF_(a) REMUDA_TK_CAT_(REMUDA_TK_FORM_, REMUDA_TK_IS_CTX_(a))
/* Without a context. */
#define REMUDA_TK_FORM_0(k, o, r, f, fewer, n, ...)                                  \
	REMUDA_TK_##k##_(o, r, f, 0, n,                                              \
			 (REMUDA_TK_CAT_(REMUDA_TK_LIST_, n)(REMUDA_TK_PARAM_, __VA_ARGS__)), \
			 (REMUDA_TK_CAT_(REMUDA_TK_LIST_, n)(REMUDA_TK_LOCAL_, __VA_ARGS__)), \
			 (REMUDA_TK_CAT_(REMUDA_TK_LIST_, n)(REMUDA_TK_FAKE_, __VA_ARGS__)), \
			 __VA_ARGS__)
/* With one: c is its parameter, the others follow. */
#define REMUDA_TK_FORM_1(k, o, r, f, fewer, n, c, ...)                               \
	REMUDA_TK_##k##_(                                                            \
		o, r, f, 1, fewer,                                                   \
		(REMUDA_TK_PARAM_(~, c) REMUDA_TK_COMMA_LIST_(fewer, REMUDA_TK_PARAM_, __VA_ARGS__)), \
		(remuda_ctx_ REMUDA_TK_COMMA_LIST_(fewer, REMUDA_TK_LOCAL_, __VA_ARGS__)), \
		(REMUDA_TK_FAKE_(~, c) REMUDA_TK_COMMA_LIST_(fewer, REMUDA_TK_FAKE_, __VA_ARGS__)), \
		__VA_ARGS__)

/* ---- what is left in the image ---- */

#define REMUDA_TK_PARAMS_(f, n, ...)                                                 \
	REMUDA_TK_ASSERT_(n <= 8, "remuda: " #f ": a task has at most 8 parameters");  \
	REMUDA_TK_CAT_(REMUDA_TK_EACH_, n)(REMUDA_TK_CHECK_, __VA_ARGS__)            \
	static const struct remuda_param f##__remuda_params[] = {                    \
		REMUDA_TK_CAT_(REMUDA_TK_EACH_, n)(REMUDA_TK_ENTRY_, __VA_ARGS__)    \
		{0, 0, 0}};

#define REMUDA_TK_DESCRIPTOR_(module, name, r, f, ctx, n, ret_type, thunk)           \
	__attribute__((unused)) static const struct remuda_task f##__remuda = {      \
		REMUDA_ABI_VERSION, (uint32_t)sizeof(struct remuda_task), module, name, \
		__FILE__, (uint32_t)__LINE__, ret_type, REMUDA_TK_STR_(r), n, ctx,   \
		f##__remuda_params, thunk, __start_remuda_messages,                  \
		__stop_remuda_messages}

#define REMUDA_TK_DEFINE_(o, r, f, ...) REMUDA_TK_NAMED_(#f, r, f, __VA_ARGS__)
#define REMUDA_TK_NAMED_(name, r, f, ctx, n, proto, call, fake, ...)                 \
	r f proto;                                                                   \
	REMUDA_TK_PARAMS_(f, n, __VA_ARGS__)                                         \
	REMUDA_TK_RESULT_CHECK_(f fake);                                             \
	static void f##__remuda_thunk(remuda_ctx *remuda_ctx_);                      \
	REMUDA_TK_DESCRIPTOR_(0, name, r, f, ctx, n, REMUDA_TK_RESULT_(f fake), f##__remuda_thunk); \
	REMUDA_TK_SECTION_("remuda_tasks")                                           \
	static const struct remuda_task *const f##__remuda_entry = &f##__remuda;     \
	static void f##__remuda_thunk(remuda_ctx *remuda_ctx_)                       \
	{                                                                            \
		REMUDA_TK_CAT_(REMUDA_TK_EACH_, n)(REMUDA_TK_LOCALS_, __VA_ARGS__)   \
		if (0 REMUDA_TK_CAT_(REMUDA_TK_EACH_, n)(REMUDA_TK_DECODE_, __VA_ARGS__)) \
			return;                                                      \
		REMUDA_TK_CALL_(f, f call)                                           \
	}                                                                            \
	r f proto

#define REMUDA_TK_DECLARE_(o, r, f, ctx, n, proto, call, fake, ...)                  \
	typedef r f##__remuda_fn proto;                                              \
	REMUDA_TK_PARAMS_(f, n, __VA_ARGS__)                                         \
	REMUDA_TK_RESULT_CHECK_((*REMUDA_TK_NULL_FN_(f##__remuda_fn)) fake);            \
	REMUDA_TK_DESCRIPTOR_(o, #f, r, f, ctx, n,                                     \
			      REMUDA_TK_RESULT_((*REMUDA_TK_NULL_FN_(f##__remuda_fn)) fake), 0)

#define REMUDA_TK_MODULE_(prefix)                                                    \
	REMUDA_TK_EXTERN_ const struct remuda_module remuda_module_v1                \
		__attribute__((visibility("default")));                              \
	__attribute__((used)) const struct remuda_module remuda_module_v1 = {        \
		REMUDA_ABI_VERSION, (uint32_t)sizeof(struct remuda_module), prefix,  \
		__start_remuda_tasks, __stop_remuda_tasks, __start_remuda_messages,  \
		__stop_remuda_messages}

#define REMUDA_TK_MESSAGE_(type, desc_)                                         \
	static const char *type##__remuda_name(void) { return (desc_).name; }   \
	static bool type##__remuda_valid(const void *message)                        \
	{                                                                            \
		const ProtobufCMessage *m = (const ProtobufCMessage *)message;       \
		return m->descriptor == &(desc_) && protobuf_c_message_check(m); \
	}                                                                            \
	static size_t type##__remuda_packed_size(const void *message)                \
	{                                                                            \
		return protobuf_c_message_get_packed_size((const ProtobufCMessage *)message); \
	}                                                                            \
	static size_t type##__remuda_pack(const void *message, uint8_t *ret_bytes)   \
	{                                                                            \
		return protobuf_c_message_pack((const ProtobufCMessage *)message, ret_bytes); \
	}                                                                            \
	static void *type##__remuda_unpack(void *(*alloc)(void *arg, size_t size),   \
					   void (*release)(void *arg, void *memory), \
					   void *arg, size_t len, const uint8_t *bytes) \
	{                                                                            \
		ProtobufCAllocator allocator;                                        \
		REMUDA_TK_ASSERT_(sizeof(type) >= sizeof(ProtobufCMessage),          \
				  "remuda: " #type ": not a message of protobuf-c");  \
		allocator.alloc = alloc;                                             \
		allocator.free = release;                                            \
		allocator.allocator_data = arg;                                      \
		return protobuf_c_message_unpack(&(desc_), &allocator, len, bytes); \
	}                                                                            \
	static const struct remuda_message type##__remuda_message = {                \
		#type, type##__remuda_name, type##__remuda_valid,                    \
		type##__remuda_packed_size, type##__remuda_pack, type##__remuda_unpack}; \
	REMUDA_TK_SECTION_("remuda_messages")                                        \
	static const struct remuda_message *const type##__remuda_message_entry =     \
		&type##__remuda_message

/* ---- types ---- */

#define REMUDA_TK_TYPE_CHECK_(x)                                                     \
	REMUDA_TK_ASSERT_(REMUDA_TK_TYPE_(x) != REMUDA_TYPE_CTX,                     \
			  "remuda: the context is the first parameter, spelled (remuda_ctx *, ctx)"); \
	REMUDA_TK_ASSERT_(REMUDA_TK_TYPE_(x) != REMUDA_TYPE_VOID,                    \
			  "remuda: a task cannot take a parameter of this type")

#ifndef __cplusplus

/* Volatile, since clang warns of others, evaluated or not. */
#define REMUDA_TK_NULL_(...) ((__typeof__(__VA_ARGS__) volatile *)0)
#define REMUDA_TK_NULL_FN_(fn) ((fn *)0)
/* Pointers that no other line names are messages (5: pointer_type_class); what is no
 * pointer comes out as VOID and fails the check. */
#define REMUDA_TK_TYPE_(x)                                                           \
	_Generic((x),                                                                \
		_Bool: REMUDA_TYPE_BOOL,                                             \
		signed char: REMUDA_TYPE_INT8,                                       \
		unsigned char: REMUDA_TYPE_UINT8,                                    \
		short: REMUDA_TYPE_INT16,                                            \
		unsigned short: REMUDA_TYPE_UINT16,                                  \
		int: REMUDA_TYPE_INT32,                                              \
		unsigned: REMUDA_TYPE_UINT32,                                        \
		long: sizeof(long) == 8 ? REMUDA_TYPE_INT64 : REMUDA_TYPE_INT32,     \
		unsigned long: sizeof(long) == 8 ? REMUDA_TYPE_UINT64 : REMUDA_TYPE_UINT32, \
		long long: REMUDA_TYPE_INT64,                                        \
		unsigned long long: REMUDA_TYPE_UINT64,                              \
		float: REMUDA_TYPE_FLOAT,                                            \
		double: REMUDA_TYPE_DOUBLE,                                          \
		const char *: REMUDA_TYPE_TEXT,                                      \
		char *: REMUDA_TYPE_VOID,                                            \
		void *: REMUDA_TYPE_VOID,                                            \
		const void *: REMUDA_TYPE_VOID,                                      \
		struct remuda_string: REMUDA_TYPE_STRING,                            \
		struct remuda_bytes: REMUDA_TYPE_BYTES,                              \
		struct remuda_int64s: REMUDA_TYPE_INT64S,                            \
		struct remuda_doubles: REMUDA_TYPE_DOUBLES,                          \
		struct remuda_array: REMUDA_TYPE_ARRAY,                              \
		struct remuda_value: REMUDA_TYPE_VALUE,                              \
		remuda_ctx *: REMUDA_TYPE_CTX,                                       \
		default: __builtin_classify_type(x) == 5 ? REMUDA_TYPE_MESSAGE       \
							 : REMUDA_TYPE_VOID)

#define REMUDA_TK_RETURNS_VOID_(e) __builtin_types_compatible_p(__typeof__(e), void)
/* `e`, or an int where it is void. */
#define REMUDA_TK_VALUE_(e) __builtin_choose_expr(REMUDA_TK_RETURNS_VOID_(e), 0, e)
#define REMUDA_TK_RESULT_TYPE_(e)                                                    \
	_Generic(REMUDA_TK_VALUE_(e), char *: REMUDA_TYPE_TEXT,                      \
		 default: REMUDA_TK_TYPE_(REMUDA_TK_VALUE_(e)))
#define REMUDA_TK_RESULT_(e)                                                         \
	(REMUDA_TK_RETURNS_VOID_(e) ? (uint32_t)REMUDA_TYPE_VOID                     \
				    : (uint32_t)REMUDA_TK_RESULT_TYPE_(e))
#define REMUDA_TK_RESULT_CHECK_(e)                                                   \
	_Static_assert(REMUDA_TK_RETURNS_VOID_(e) ||                                 \
			       (REMUDA_TK_RESULT_TYPE_(e) != REMUDA_TYPE_VOID &&     \
				REMUDA_TK_RESULT_TYPE_(e) != REMUDA_TYPE_CTX),       \
		       "remuda: a task cannot return a result of this type")
#define REMUDA_TK_LOCALS_(i, p) REMUDA_TK_FIRST_ p remuda_p##i;
#define REMUDA_TK_CALL_(f, e)                                                        \
	remuda_ctx *remuda_before_ = remuda_attach(remuda_ctx_);                     \
	__typeof__(REMUDA_TK_VALUE_(e)) remuda_r_ =                                  \
		__builtin_choose_expr(REMUDA_TK_RETURNS_VOID_(e), ((e), 0), e);      \
	(void)remuda_attach(remuda_before_);                                         \
	(void)remuda_ctx_->abi->encode(remuda_ctx_,                                  \
				       REMUDA_TK_RETURNS_VOID_(e) ? NULL : (const void *)&remuda_r_);

#else /* C++ */

#include <type_traits>
#include <utility>
#ifdef __cpp_exceptions
#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <typeinfo>
#endif

namespace remuda_cpp {
namespace tk {

template <class Q> constexpr uint32_t type_of()
{
	using T = std::remove_cv_t<std::remove_reference_t<Q>>;
	if constexpr (std::is_same_v<T, bool>)
		return REMUDA_TYPE_BOOL;
	else if constexpr (std::is_enum_v<T>)
		return type_of<std::underlying_type_t<T>>();
	else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, char> &&
			   !std::is_same_v<T, wchar_t> && !std::is_same_v<T, char16_t> &&
			   !std::is_same_v<T, char32_t>)
		return (std::is_signed_v<T> ? REMUDA_TYPE_INT8 : REMUDA_TYPE_UINT8) +
		       (sizeof(T) == 1 ? 0u : sizeof(T) == 2 ? 1u : sizeof(T) == 4 ? 2u : 3u);
	else if constexpr (std::is_same_v<T, float>)
		return REMUDA_TYPE_FLOAT;
	else if constexpr (std::is_same_v<T, double>)
		return REMUDA_TYPE_DOUBLE;
	else if constexpr (std::is_same_v<T, const char *>)
		return REMUDA_TYPE_TEXT;
	else if constexpr (std::is_same_v<T, remuda_string>)
		return REMUDA_TYPE_STRING;
	else if constexpr (std::is_same_v<T, remuda_bytes>)
		return REMUDA_TYPE_BYTES;
	else if constexpr (std::is_same_v<T, remuda_int64s>)
		return REMUDA_TYPE_INT64S;
	else if constexpr (std::is_same_v<T, remuda_doubles>)
		return REMUDA_TYPE_DOUBLES;
	else if constexpr (std::is_same_v<T, remuda_array>)
		return REMUDA_TYPE_ARRAY;
	else if constexpr (std::is_same_v<T, remuda_value>)
		return REMUDA_TYPE_VALUE;
	else if constexpr (std::is_same_v<T, remuda_ctx *>)
		return REMUDA_TYPE_CTX;
	else if constexpr (std::is_pointer_v<T> && std::is_class_v<std::remove_pointer_t<T>>)
		return REMUDA_TYPE_MESSAGE;
	else
		return REMUDA_TYPE_VOID;
}

template <class R> constexpr uint32_t result_of()
{
	return std::is_same_v<R, char *> ? static_cast<uint32_t>(REMUDA_TYPE_TEXT) : type_of<R>();
}

__attribute__((format(printf, 3, 4))) inline void raise(const remuda_task &task, const char *type,
							 const char *format, ...)
{
	remuda_place place{task.file, task.name, task.line};
	remuda_ctx *ctx = remuda_current();
	va_list args;
	va_start(args, format);
	ctx->abi->raise(ctx, &place, nullptr, type, format, args);
	va_end(args);
}

template <class F> void call(remuda_ctx *ctx, F function)
{
	using R = decltype(function());
	if constexpr (std::is_void_v<R>) {
		function();
		ctx->abi->encode(ctx, nullptr);
	} else {
		R result = function();
		ctx->abi->encode(ctx, &result);
	}
}

#ifdef __cpp_exceptions
/* Raises what is being handled. */
inline void raise_current(const remuda_task &task)
{
	const std::type_info *info = abi::__cxa_current_exception_type();
	int status = 0;
	char *name = info == nullptr ? nullptr
				     : abi::__cxa_demangle(info->name(), nullptr, nullptr, &status);
	const char *type = name != nullptr ? name : info != nullptr ? info->name() : "exception";
	try {
		throw;
	} catch (const std::exception &e) {
		raise(task, type, "%s", e.what());
	} catch (const char *text) {
		raise(task, "exception", "%s", text);
	} catch (...) {
		raise(task, type, "an exception that is not a std::exception");
	}
	std::free(name);
}
#endif

/* Runs the function with `ctx` as the current one; what escapes from it is raised. */
template <class F> void invoke(remuda_ctx *ctx, [[maybe_unused]] const remuda_task &task, F function)
{
	struct attached {
		remuda_ctx *before;
		explicit attached(remuda_ctx *now) : before(remuda_attach(now)) {}
		~attached() { remuda_attach(before); }
	} scope(ctx);
#ifdef __cpp_exceptions
	try {
		call(ctx, function);
	} catch (const abi::__forced_unwind &) {
		throw; /* pthread_exit, thread cancellation: not ours to stop */
	} catch (...) {
		raise_current(task);
	}
#else
	call(ctx, function);
#endif
}

} /* namespace tk */
} /* namespace remuda_cpp */

#define REMUDA_TK_NULL_(...) (static_cast<std::add_pointer_t<__VA_ARGS__>>(nullptr))
#define REMUDA_TK_NULL_FN_ REMUDA_TK_NULL_
#define REMUDA_TK_TYPE_(x) (::remuda_cpp::tk::type_of<decltype(x)>())
#define REMUDA_TK_RESULT_(e) (::remuda_cpp::tk::result_of<decltype(e)>())
#define REMUDA_TK_RESULT_CHECK_(e)                                                   \
	static_assert(std::is_void_v<decltype(e)> ||                                 \
			      (::remuda_cpp::tk::result_of<decltype(e)>() != REMUDA_TYPE_VOID && \
			       ::remuda_cpp::tk::result_of<decltype(e)>() != REMUDA_TYPE_CTX), \
		      "remuda: a task cannot return a result of this type")
#define REMUDA_TK_LOCALS_(i, p) REMUDA_TK_FIRST_ p remuda_p##i{};
#define REMUDA_TK_CALL_(f, e)                                                        \
	::remuda_cpp::tk::invoke(remuda_ctx_, f##__remuda, [&]() { return e; });

#endif
#endif
