#include "proto/python/convert.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "proto/base/errcode.h"
#include "proto/codec/value.h"

/* Longer texts and byte strings are borrowed from their object, others copied. */
#define BORROW_MIN_BYTES 512

struct rmd_py_kept {
	struct rmd_py_kept *next;
	PyObject *object; /* owned; NULL: `view` is in use */
	Py_buffer view;
};

static int encode(struct rmd_py_encoder *encoder, PyObject *object, int depth,
		  struct remuda_value *ret);

void rmd_py_encoder_init(struct rmd_py_encoder *encoder, PyObject *hook, PyObject *mode)
{
	*encoder = (struct rmd_py_encoder){.hook = hook, .mode = mode};
	rmd_arena_init(&encoder->arena, 0);
	rmd_map_init(&encoder->seen, (uintptr_t)encoder);
}

void rmd_py_encoder_fini(struct rmd_py_encoder *encoder)
{
	for (struct rmd_py_kept *each = encoder->kept; each != NULL; each = each->next) {
		if (each->object != NULL)
			Py_DECREF(each->object);
		else
			PyBuffer_Release(&each->view);
	}
	rmd_map_fini(&encoder->seen);
	rmd_arena_fini(&encoder->arena);
}

static int no_memory(void)
{
	PyErr_NoMemory();
	return RMD_PY_RAISED;
}

static struct rmd_py_kept *keep(struct rmd_py_encoder *encoder, PyObject *object)
{
	struct rmd_py_kept *kept = rmd_arena_alloc(&encoder->arena, sizeof *kept);
	if (kept == NULL) {
		no_memory();
		return NULL;
	}
	kept->object = object;
	kept->next = encoder->kept;
	Py_XINCREF(object);
	return kept;
}

/* Has `ret` hold `len` bytes that lie in `object`. */
static int put_bytes(struct rmd_py_encoder *encoder, PyObject *object, const char *data,
		     size_t len, struct remuda_bytes *ret)
{
	if (len < BORROW_MIN_BYTES) {
		data = rmd_arena_copy(&encoder->arena, rmd_slice_of(data, len));
		if (data == NULL)
			return no_memory();
	} else {
		struct rmd_py_kept *kept = keep(encoder, object);
		if (kept == NULL)
			return RMD_PY_RAISED;
		encoder->kept = kept;
	}
	*ret = (struct remuda_bytes){data, len};
	return RMD_PY_OK;
}

static int put_text(struct rmd_py_encoder *encoder, PyObject *text,
		    struct remuda_string *ret)
{
	Py_ssize_t len;
	struct remuda_bytes bytes;
	const char *data = PyUnicode_AsUTF8AndSize(text, &len);
	if (data == NULL)
		return RMD_PY_RAISED;
	int rc = put_bytes(encoder, text, data, (size_t)len, &bytes);
	if (rc == RMD_PY_OK)
		*ret = (struct remuda_string){bytes.data, bytes.len};
	return rc;
}

/* An integer beyond 64 bits: to_bytes, and its shortest form. */
static int put_bigint(struct rmd_py_encoder *encoder, PyObject *number,
		      struct remuda_value *ret)
{
	PyObject *bits = PyObject_CallMethod(number, "bit_length", NULL);
	size_t count = bits == NULL ? 0 : PyLong_AsSize_t(bits);
	Py_XDECREF(bits);
	if (PyErr_Occurred() != NULL)
		return RMD_PY_RAISED;
	if (count / 8 + 1 > REMUDA_BIGINT_MAX)
		return RMD_PY_INEXACT;
	PyObject *method = PyObject_GetAttrString(number, "to_bytes");
	PyObject *args = Py_BuildValue("(ns)", (Py_ssize_t)(count / 8 + 1), "little");
	PyObject *named = Py_BuildValue("{sO}", "signed", Py_True);
	PyObject *bytes = method == NULL || args == NULL || named == NULL
				  ? NULL
				  : PyObject_Call(method, args, named);
	Py_XDECREF(method);
	Py_XDECREF(args);
	Py_XDECREF(named);
	int rc = RMD_PY_RAISED;
	char *copy;
	if (bytes == NULL)
		return rc;
	struct rmd_slice slice =
		rmd_slice_of(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
	copy = rmd_arena_copy(&encoder->arena, slice);
	if (copy != NULL) {
		*ret = rmd_value_of_twos(rmd_slice_of(copy, slice.len));
		rc = RMD_PY_OK;
	} else {
		no_memory();
	}
	Py_DECREF(bytes);
	return rc;
}

static int put_int(struct rmd_py_encoder *encoder, PyObject *number,
		   struct remuda_value *ret)
{
	int overflow;
	long long small = PyLong_AsLongLongAndOverflow(number, &overflow);
	if (overflow != 0)
		return put_bigint(encoder, number, ret);
	ret->kind = REMUDA_INT64;
	ret->u.int64 = small;
	return RMD_PY_OK;
}

/* A container that others refer to, too, might be met again: then its identity would be
 * lost. One that is referred to once cannot. */
static int note(struct rmd_py_encoder *encoder, PyObject *container)
{
	if (Py_REFCNT(container) <= 1)
		return RMD_PY_OK;
	int rc = rmd_map_put(&encoder->seen, (uintptr_t)container, container);
	if (rc == RMD_EEXIST)
		return RMD_PY_INEXACT;
	return rc < 0 ? no_memory() : RMD_PY_OK;
}

static int changed(void)
{
	PyErr_SetString(PyExc_RuntimeError,
			"a container was changed while it was encoded");
	return RMD_PY_RAISED;
}

/* A list of small integers alone: packed. 1: it is not one. */
static int put_ints(struct rmd_py_encoder *encoder, PyObject *list, size_t len,
		    struct remuda_value *ret)
{
	int64_t *packed = rmd_arena_alloc(&encoder->arena, len * sizeof *packed);
	if (packed == NULL)
		return no_memory();
	for (size_t i = 0; i < len; i++) {
		PyObject *item = PyList_GET_ITEM(list, (Py_ssize_t)i);
		int overflow = 1;
		if (PyLong_CheckExact(item))
			packed[i] = PyLong_AsLongLongAndOverflow(item, &overflow);
		if (overflow != 0)
			return 1;
	}
	ret->kind = REMUDA_INTS;
	ret->u.ints = (struct remuda_int64s){packed, len};
	return RMD_PY_OK;
}

static int put_doubles(struct rmd_py_encoder *encoder, PyObject *list, size_t len,
		       struct remuda_value *ret)
{
	double *packed = rmd_arena_alloc(&encoder->arena, len * sizeof *packed);
	if (packed == NULL)
		return no_memory();
	for (size_t i = 0; i < len; i++) {
		PyObject *item = PyList_GET_ITEM(list, (Py_ssize_t)i);
		if (!PyFloat_CheckExact(item))
			return 1;
		packed[i] = PyFloat_AS_DOUBLE(item);
	}
	ret->kind = REMUDA_DOUBLES;
	ret->u.doubles = (struct remuda_doubles){packed, len};
	return RMD_PY_OK;
}

static int put_list(struct rmd_py_encoder *encoder, PyObject *list, int depth,
		    struct remuda_value *ret)
{
	size_t len = (size_t)PyList_GET_SIZE(list);
	int rc = note(encoder, list);
	if (rc != RMD_PY_OK)
		return rc;
	if (len > 1 && PyLong_CheckExact(PyList_GET_ITEM(list, 0)))
		rc = put_ints(encoder, list, len, ret);
	else if (len > 1 && PyFloat_CheckExact(PyList_GET_ITEM(list, 0)))
		rc = put_doubles(encoder, list, len, ret);
	else
		rc = 1;
	if (rc != 1)
		return rc;
	struct remuda_value *items =
		rmd_arena_alloc(&encoder->arena, (len + 1) * sizeof *items);
	if (items == NULL)
		return no_memory();
	for (size_t i = 0; i < len; i++) {
		if ((size_t)PyList_GET_SIZE(list) != len)
			return changed();
		PyObject *item = PyList_GET_ITEM(list, (Py_ssize_t)i);
		rc = encode(encoder, item, depth + 1, &items[i]);
		if (rc != RMD_PY_OK)
			return rc;
	}
	ret->kind = REMUDA_LIST;
	ret->u.list.items = items;
	ret->u.list.len = len;
	return RMD_PY_OK;
}

static int put_tuple(struct rmd_py_encoder *encoder, PyObject *tuple, int depth,
		     struct remuda_value *ret)
{
	size_t len = (size_t)PyTuple_GET_SIZE(tuple);
	bool nests = false;
	struct remuda_value *items =
		rmd_arena_alloc(&encoder->arena, (len + 1) * sizeof *items);
	if (items == NULL)
		return no_memory();
	for (size_t i = 0; i < len; i++) {
		PyObject *item = PyTuple_GET_ITEM(tuple, (Py_ssize_t)i);
		nests = nests || PyObject_IS_GC(item);
		int rc = encode(encoder, item, depth + 1, &items[i]);
		if (rc != RMD_PY_OK)
			return rc;
	}
	ret->kind = REMUDA_TUPLE;
	ret->u.list.items = items;
	ret->u.list.len = len;
	/* Of plain constants there is no way to tell one from two. */
	return nests ? note(encoder, tuple) : RMD_PY_OK;
}

static int put_dict(struct rmd_py_encoder *encoder, PyObject *dict, int depth,
		    struct remuda_value *ret)
{
	size_t len = (size_t)PyDict_GET_SIZE(dict), i = 0;
	Py_ssize_t at = 0;
	PyObject *key, *value;
	int rc = note(encoder, dict);
	if (rc != RMD_PY_OK)
		return rc;
	struct remuda_entry *entries =
		rmd_arena_alloc(&encoder->arena, (len + 1) * sizeof *entries);
	if (entries == NULL)
		return no_memory();
	while (PyDict_Next(dict, &at, &key, &value)) {
		if (i == len)
			return changed();
		if (PyFloat_Check(key) && isnan(PyFloat_AS_DOUBLE(key)))
			return RMD_PY_INEXACT; /* equal to none, not even to itself */
		rc = encode(encoder, key, depth + 1, &entries[i].key);
		if (rc == RMD_PY_OK)
			rc = encode(encoder, value, depth + 1, &entries[i].value);
		if (rc != RMD_PY_OK)
			return rc;
		if ((size_t)PyDict_GET_SIZE(dict) != len)
			return changed();
		i++;
	}
	ret->kind = REMUDA_MAP;
	ret->u.map.entries = entries;
	ret->u.map.len = len;
	return RMD_PY_OK;
}

static int put_set(struct rmd_py_encoder *encoder, PyObject *set, int depth,
		   struct remuda_value *ret)
{
	size_t len = (size_t)PySet_GET_SIZE(set), i = 0;
	struct remuda_value *items =
		rmd_arena_alloc(&encoder->arena, (len + 1) * sizeof *items);
	PyObject *iterator = PyObject_GetIter(set), *item;
	if (items == NULL || iterator == NULL) {
		Py_XDECREF(iterator);
		return items == NULL ? no_memory() : RMD_PY_RAISED;
	}
	int rc = note(encoder, set);
	while (rc == RMD_PY_OK && (item = PyIter_Next(iterator)) != NULL) {
		rc = i < len ? encode(encoder, item, depth + 1, &items[i++]) : changed();
		Py_DECREF(item);
	}
	Py_DECREF(iterator);
	if (rc == RMD_PY_OK && PyErr_Occurred() != NULL)
		rc = RMD_PY_RAISED;
	ret->kind = REMUDA_SET;
	ret->u.list.items = items;
	ret->u.list.len = i;
	return rc;
}

/* ---- what the hook says ---- */

/* A named value: its content is in turn an object. */
static int put_named(struct rmd_py_encoder *encoder, PyObject *name, PyObject *content,
		     int depth, struct remuda_value *ret)
{
	struct remuda_value *value = rmd_arena_alloc(&encoder->arena, sizeof *value);
	if (value == NULL)
		return no_memory();
	struct remuda_string text;
	int rc = put_text(encoder, name, &text);
	if (rc == RMD_PY_OK)
		rc = encode(encoder, content, depth + 1, value);
	ret->kind = REMUDA_NAMED;
	ret->u.named.name = text;
	ret->u.named.value = value;
	return rc;
}

/* Takes a buffer for as long as the encoder lives. */
static int put_buffer(struct rmd_py_encoder *encoder, PyObject *object,
		      struct remuda_bytes *ret)
{
	struct rmd_py_kept *kept = keep(encoder, NULL);
	if (kept == NULL ||
	    PyObject_GetBuffer(object, &kept->view, PyBUF_C_CONTIGUOUS) < 0)
		return RMD_PY_RAISED;
	encoder->kept = kept;
	*ret = (struct remuda_bytes){kept->view.buf, (size_t)kept->view.len};
	return RMD_PY_OK;
}

static int put_array(struct rmd_py_encoder *encoder, PyObject *dtype, PyObject *shape,
		     PyObject *object, struct remuda_value *ret)
{
	struct remuda_bytes bytes;
	size_t rank = (size_t)PyTuple_GET_SIZE(shape);
	uint64_t *sizes = rmd_arena_alloc(&encoder->arena, (rank + 1) * sizeof *sizes);
	if (sizes == NULL)
		return no_memory();
	for (size_t i = 0; i < rank; i++)
		sizes[i] =
			PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(shape, (Py_ssize_t)i));
	long element = PyLong_AsLong(dtype);
	if (PyErr_Occurred() != NULL || put_buffer(encoder, object, &bytes) < 0)
		return RMD_PY_RAISED;
	ret->kind = REMUDA_ARRAY;
	ret->u.array = (struct remuda_array){(enum remuda_dtype)element, (uint32_t)rank,
					     sizes, bytes.data, bytes.len};
	return RMD_PY_OK;
}

static int put_opaque(struct rmd_py_encoder *encoder, PyObject *codec, PyObject *data,
		      struct remuda_value *ret)
{
	struct remuda_string name;
	struct remuda_bytes bytes;
	if (put_text(encoder, codec, &name) < 0 || put_buffer(encoder, data, &bytes) < 0)
		return RMD_PY_RAISED;
	ret->kind = REMUDA_OPAQUE;
	ret->u.opaque.codec = name;
	ret->u.opaque.data = bytes;
	return RMD_PY_OK;
}

static int put_time(char kind, PyObject *seconds, PyObject *nanos,
		    struct remuda_value *ret)
{
	ret->kind = kind == 't' ? REMUDA_TIMESTAMP : REMUDA_DURATION;
	ret->u.time.seconds = PyLong_AsLongLong(seconds);
	ret->u.time.nanos = (int32_t)PyLong_AsLong(nanos);
	return PyErr_Occurred() != NULL ? RMD_PY_RAISED : RMD_PY_OK;
}

/* Does what the hook's answer says: a tuple, its first item a letter. */
static int put_answer(struct rmd_py_encoder *encoder, PyObject *answer, int depth,
		      struct remuda_value *ret)
{
	const char *letter = NULL;
	PyObject *a = NULL, *b = NULL, *c = NULL;
	if (!PyTuple_Check(answer) ||
	    !PyArg_ParseTuple(answer, "sO|OO", &letter, &a, &b, &c))
		return RMD_PY_RAISED;
	switch (*letter) {
	case 'f':
		ret->kind = REMUDA_FUNCTION;
		return put_text(encoder, a, &ret->u.string);
	case 'n': /* a named value */
	case 'm': /* the same, of an object that can change */
		return put_named(encoder, a, b, depth, ret);
	case 'a':
		return put_array(encoder, a, b, c, ret);
	case 'p': /* a pickle of an object */
		encoder->others++;
		return put_opaque(encoder, a, b, ret);
	case 'c': /* a captured function */
		return put_opaque(encoder, a, b, ret);
	case 't':
	case 'd':
		return put_time(*letter, a, b, ret);
	default:
		PyErr_Format(PyExc_SystemError, "encode_other answered '%s'", letter);
		return RMD_PY_RAISED;
	}
}

/* True if the object that was answered for has an identity that can be told. */
static bool changeable(PyObject *answer)
{
	const char *letter = PyUnicode_AsUTF8(PyTuple_GET_ITEM(answer, 0));
	return letter != NULL && (*letter == 'm' || *letter == 'a');
}

static int put_other(struct rmd_py_encoder *encoder, PyObject *object, int depth,
		     struct remuda_value *ret)
{
	PyObject *answer = PyObject_CallFunctionObjArgs(encoder->hook, object,
							depth == 1 ? Py_True : Py_False,
							encoder->mode, NULL);
	if (answer == NULL)
		return RMD_PY_RAISED;
	int rc = put_answer(encoder, answer, depth, ret);
	if (rc == RMD_PY_OK && changeable(answer))
		rc = note(encoder, object);
	Py_DECREF(answer);
	/* Two pickles might share what neither knows of the other. */
	if (rc == RMD_PY_OK && encoder->others > 1)
		return RMD_PY_INEXACT;
	return rc;
}

static int put_str(struct rmd_py_encoder *encoder, PyObject *text, int depth,
		   struct remuda_value *ret)
{
	ret->kind = REMUDA_STRING;
	int rc = put_text(encoder, text, &ret->u.string);
	if (rc == RMD_PY_OK || !PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
		return rc;
	PyErr_Clear(); /* lone surrogates: no UTF-8 can say them */
	return put_other(encoder, text, depth, ret);
}

static int encode(struct rmd_py_encoder *encoder, PyObject *object, int depth,
		  struct remuda_value *ret)
{
	if (depth > REMUDA_VALUE_DEPTH_MAX)
		return RMD_PY_INEXACT;
	PyTypeObject *type = Py_TYPE(object);
	if (type == &PyLong_Type)
		return put_int(encoder, object, ret);
	if (type == &PyUnicode_Type)
		return put_str(encoder, object, depth, ret);
	if (type == &PyList_Type)
		return put_list(encoder, object, depth, ret);
	if (type == &PyTuple_Type)
		return put_tuple(encoder, object, depth, ret);
	if (type == &PyDict_Type)
		return put_dict(encoder, object, depth, ret);
	if (type == &PySet_Type)
		return put_set(encoder, object, depth, ret);
	if (type == &PyFloat_Type) {
		ret->kind = REMUDA_FLOAT64;
		ret->u.float64 = PyFloat_AS_DOUBLE(object);
	} else if (object == Py_None) {
		ret->kind = REMUDA_NULL;
	} else if (type == &PyBool_Type) {
		ret->kind = REMUDA_BOOLEAN;
		ret->u.boolean = object == Py_True;
	} else if (type == &PyBytes_Type) {
		ret->kind = REMUDA_BYTES;
		return put_bytes(encoder, object, PyBytes_AS_STRING(object),
				 (size_t)PyBytes_GET_SIZE(object), &ret->u.bytes);
	} else if (type == &PyComplex_Type) {
		ret->kind = REMUDA_COMPLEX;
		ret->u.complex.real = PyComplex_RealAsDouble(object);
		ret->u.complex.imaginary = PyComplex_ImagAsDouble(object);
	} else {
		return put_other(encoder, object, depth, ret);
	}
	return RMD_PY_OK;
}

int rmd_py_encode(struct rmd_py_encoder *encoder, PyObject *object,
		  struct remuda_value *ret_value)
{
	struct remuda_value value = {.kind = REMUDA_NULL};
	int rc = encode(encoder, object, 1, &value);
	if (rc == RMD_PY_OK)
		*ret_value = value;
	return rc;
}
