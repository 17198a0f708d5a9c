#include "proto/python/convert.h"

PyObject *rmd_py_text(const char *text, size_t len)
{
	return PyUnicode_DecodeUTF8(text, (Py_ssize_t)len, "replace");
}

static PyObject *text_of(struct remuda_string text)
{
	return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.len, NULL);
}

static PyObject *bytes_of(struct remuda_bytes bytes)
{
	return PyBytes_FromStringAndSize(bytes.data, (Py_ssize_t)bytes.len);
}

static PyObject *list_of_ints(struct remuda_int64s ints)
{
	PyObject *list = PyList_New((Py_ssize_t)ints.len);
	for (size_t i = 0; list != NULL && i < ints.len; i++) {
		PyObject *item = PyLong_FromLongLong(ints.data[i]);
		if (item == NULL)
			Py_CLEAR(list);
		else
			PyList_SET_ITEM(list, (Py_ssize_t)i, item);
	}
	return list;
}

static PyObject *list_of_doubles(struct remuda_doubles doubles)
{
	PyObject *list = PyList_New((Py_ssize_t)doubles.len);
	for (size_t i = 0; list != NULL && i < doubles.len; i++) {
		PyObject *item = PyFloat_FromDouble(doubles.data[i]);
		if (item == NULL)
			Py_CLEAR(list);
		else
			PyList_SET_ITEM(list, (Py_ssize_t)i, item);
	}
	return list;
}

static PyObject *decode_items(const struct remuda_value *value, PyObject *hook)
{
	Py_ssize_t len = (Py_ssize_t)value->u.list.len;
	bool tuple = value->kind == REMUDA_TUPLE;
	PyObject *items = tuple ? PyTuple_New(len) : PyList_New(len);
	for (Py_ssize_t i = 0; items != NULL && i < len; i++) {
		PyObject *item = rmd_py_decode(&value->u.list.items[i], hook);
		if (item == NULL)
			Py_CLEAR(items);
		else if (tuple)
			PyTuple_SET_ITEM(items, i, item);
		else
			PyList_SET_ITEM(items, i, item);
	}
	return items;
}

static PyObject *decode_set(const struct remuda_value *value, PyObject *hook)
{
	PyObject *set = PySet_New(NULL);
	for (size_t i = 0; set != NULL && i < value->u.list.len; i++) {
		PyObject *item = rmd_py_decode(&value->u.list.items[i], hook);
		if (item == NULL || PySet_Add(set, item) < 0)
			Py_CLEAR(set);
		Py_XDECREF(item);
	}
	return set;
}

static PyObject *decode_map(const struct remuda_value *value, PyObject *hook)
{
	PyObject *dict = PyDict_New();
	for (size_t i = 0; dict != NULL && i < value->u.map.len; i++) {
		const struct remuda_entry *entry = &value->u.map.entries[i];
		PyObject *key = rmd_py_decode(&entry->key, hook);
		PyObject *content = key == NULL ? NULL
						: rmd_py_decode(&entry->value, hook);
		if (content == NULL || PyDict_SetItem(dict, key, content) < 0)
			Py_CLEAR(dict);
		Py_XDECREF(key);
		Py_XDECREF(content);
	}
	return dict;
}

static PyObject *decode_bigint(struct remuda_bytes twos)
{
	PyObject *method = PyObject_GetAttrString((PyObject *)&PyLong_Type, "from_bytes");
	PyObject *args = Py_BuildValue("(y#s)", (const char *)twos.data,
				       (Py_ssize_t)twos.len, "little");
	PyObject *named = Py_BuildValue("{sO}", "signed", Py_True);
	PyObject *number = method == NULL || args == NULL || named == NULL
				   ? NULL
				   : PyObject_Call(method, args, named);
	Py_XDECREF(method);
	Py_XDECREF(args);
	Py_XDECREF(named);
	return number;
}

/* Asks the hook; takes the arguments, of which none may be NULL. */
static PyObject *ask(PyObject *hook, const char *letter, PyObject *a, PyObject *b,
		     PyObject *c)
{
	PyObject *kind = PyUnicode_FromString(letter), *made = NULL;
	if (PyErr_Occurred() == NULL)
		made = PyObject_CallFunctionObjArgs(hook, kind, a, b, c, NULL);
	Py_XDECREF(kind);
	Py_XDECREF(a);
	Py_XDECREF(b);
	Py_XDECREF(c);
	return made;
}

static PyObject *decode_array(const struct remuda_array *array, PyObject *hook)
{
	PyObject *shape = PyTuple_New((Py_ssize_t)array->rank);
	for (uint32_t i = 0; shape != NULL && i < array->rank; i++)
		PyTuple_SET_ITEM(shape, (Py_ssize_t)i,
				 PyLong_FromUnsignedLongLong(array->shape[i]));
	struct remuda_bytes data = {array->data, array->data_bytes};
	return ask(hook, "a", PyLong_FromLong((long)array->dtype), shape, bytes_of(data));
}

/* What only Python code can make. */
static PyObject *decode_other(const struct remuda_value *value, PyObject *hook)
{
	struct remuda_bytes digest = {value->u.blob.digest, sizeof value->u.blob.digest};
	switch (value->kind) {
	case REMUDA_ARRAY:
		return decode_array(&value->u.array, hook);
	case REMUDA_FUNCTION:
		return ask(hook, "f", text_of(value->u.string), NULL, NULL);
	case REMUDA_NAMED:
		return ask(hook, "n", text_of(value->u.named.name),
			   rmd_py_decode(value->u.named.value, hook), NULL);
	case REMUDA_OPAQUE:
		return ask(hook, "o", text_of(value->u.opaque.codec),
			   bytes_of(value->u.opaque.data), NULL);
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
		return ask(hook, value->kind == REMUDA_TIMESTAMP ? "t" : "d",
			   PyLong_FromLongLong(value->u.time.seconds),
			   PyLong_FromLong(value->u.time.nanos), NULL);
	case REMUDA_BLOB:
		return ask(hook, "b", bytes_of(digest),
			   PyLong_FromUnsignedLongLong(value->u.blob.size_bytes), NULL);
	case REMUDA_ANY:
		return ask(hook, "y", text_of(value->u.any.type_url),
			   bytes_of(value->u.any.data), NULL);
	default:
		PyErr_Format(PyExc_SystemError, "a value of kind %d", (int)value->kind);
		return NULL;
	}
}

PyObject *rmd_py_decode(const struct remuda_value *value, PyObject *hook)
{
	switch (value->kind) {
	case REMUDA_NULL:
		Py_RETURN_NONE;
	case REMUDA_BOOLEAN:
		return PyBool_FromLong(value->u.boolean);
	case REMUDA_INT64:
		return PyLong_FromLongLong(value->u.int64);
	case REMUDA_UINT64:
		return PyLong_FromUnsignedLongLong(value->u.uint64);
	case REMUDA_BIGINT:
		return decode_bigint(value->u.bytes);
	case REMUDA_FLOAT64:
		return PyFloat_FromDouble(value->u.float64);
	case REMUDA_COMPLEX:
		return PyComplex_FromDoubles(value->u.complex.real,
					     value->u.complex.imaginary);
	case REMUDA_STRING:
		return text_of(value->u.string);
	case REMUDA_BYTES:
		return bytes_of(value->u.bytes);
	case REMUDA_LIST:
	case REMUDA_TUPLE:
		return decode_items(value, hook);
	case REMUDA_SET:
		return decode_set(value, hook);
	case REMUDA_MAP:
		return decode_map(value, hook);
	case REMUDA_INTS:
		return list_of_ints(value->u.ints);
	case REMUDA_DOUBLES:
		return list_of_doubles(value->u.doubles);
	case REMUDA_ARRAY:
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
	case REMUDA_FUNCTION:
	case REMUDA_BLOB:
	case REMUDA_ANY:
	case REMUDA_NAMED:
	case REMUDA_OPAQUE:
		return decode_other(value, hook);
	}
	PyErr_Format(PyExc_SystemError, "a value of kind %d", (int)value->kind);
	return NULL;
}
