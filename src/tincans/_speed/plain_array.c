/* numpy arrays in plain messages: the bytes of small ones in the message itself, large ones as parts beside it.
 *
 * Rules of this file
 * - numpy is not needed to build this: an array is known by its class, and its memory found by the buffer protocol.
 * - The payload is that of core/arrays.py: [type, shape, whether in Fortran's order, bytes] under the code 24.
 * - Only numbers in C order, and, unless the caller has looked after that, in memory of numpy's own or of bytes: other
 *   memory may be such that it is to be written to by both programs.
 * - What is read is checked by the function that makes the array of it; here only that it lies within the message.
 */
#include "plain.h"

#include <string.h>

#define CODE_ARRAY 24
#define MOST_DIMENSIONS 15
#define MOST_BASES 8
#define LARGE (16 * 1024) /* as in core/values.py */
#define MOST_BESIDE 16

/* Exactly numpy's class, which is no class made by a Python program. */
bool plain_is_array(PyObject *value) {
    PyTypeObject *kind = Py_TYPE(value);
    return !PyType_HasFeature(kind, Py_TPFLAGS_HEAPTYPE) && strcmp(kind->tp_name, "numpy.ndarray") == 0;
}

/* Whether its memory is numpy's own, or that of bytes, perhaps by way of other arrays. */
static bool is_private(PyObject *array) {
    PyObject *each = Py_NewRef(array);
    for (int i = 0; i < MOST_BASES; i++) {
        PyObject *base = PyObject_GetAttrString(each, "base");
        Py_DECREF(each);
        if (base == NULL) {
            PyErr_Clear();
            return false;
        }
        if (base == Py_None || PyBytes_CheckExact(base) || !plain_is_array(base)) {
            bool private = base == Py_None || PyBytes_CheckExact(base);
            Py_DECREF(base);
            return private;
        }
        each = base;
    }
    Py_DECREF(each);
    return false;
}

/* The letter of numpy's kind for a buffer's format; 0 for everything but native numbers. */
static char kind_of(const char *format) {
    if (format == NULL || format[0] == 0 || format[1] != 0)
        return 0;
    if (format[0] == '?')
        return 'b';
    return strchr("bhilq", format[0]) ? 'i' : strchr("BHILQ", format[0]) ? 'u' : strchr("efd", format[0]) ? 'f' : 0;
}

static bool put_type(struct writer *out, char kind, Py_ssize_t width) {
    uint8_t *place = plain_room(out, 4);
    if (place == NULL)
        return false;
    place[0] = 0xa3;
    place[1] = width == 1 ? '|' : PY_BIG_ENDIAN ? '>' : '<';
    place[2] = (uint8_t)kind;
    place[3] = (uint8_t)('0' + width);
    return true;
}

/* The memory as a part of its own, and its number in the message. */
static bool put_beside(struct writer *out, PyObject *array) {
    Py_ssize_t number = PyList_GET_SIZE(out->beside) - 1; /* the first is the message itself */
    PyObject *view = number < MOST_BESIDE ? PyMemoryView_FromObject(array) : NULL;
    PyObject *flat = view == NULL ? NULL : PyObject_CallMethod(view, "cast", "s", "B");
    bool put = flat != NULL && PyList_Append(out->beside, flat) == 0;
    Py_XDECREF(view);
    Py_XDECREF(flat);
    PyErr_Clear();
    return put && plain_put_unsigned(out, (uint64_t)number);
}

static bool put_data(struct writer *out, PyObject *array, const Py_buffer *view) {
    if (out->beside != NULL && view->len >= LARGE)
        return put_beside(out, array);
    return plain_put_bytes(out, view->buf, (size_t)view->len);
}

static bool put_payload(struct writer *out, PyObject *array, const Py_buffer *view) {
    char kind = kind_of(view->format);
    if (kind == 0 || view->ndim > MOST_DIMENSIONS || view->itemsize > 8)
        return false;
    if (!plain_put_byte(out, 0x94) || !put_type(out, kind, view->itemsize) ||
        !plain_put_byte(out, (uint8_t)(0x90 | view->ndim)))
        return false;
    for (int i = 0; i < view->ndim; i++)
        if (!plain_put_unsigned(out, (uint64_t)view->shape[i]))
            return false;
    return plain_put_byte(out, FALSE_BYTE) && put_data(out, array, view);
}

/* False: it goes the thorough way. */
bool plain_put_array(struct writer *out, PyObject *array) {
    Py_buffer view;
    if (out->beside == NULL && !is_private(array))
        return false;
    if (PyObject_GetBuffer(array, &view, PyBUF_ND | PyBUF_FORMAT) != 0) { /* gaps, or no numbers */
        PyErr_Clear();
        return false;
    }
    size_t start = out->size;
    bool put = plain_put_number(out, 0xc8, 0, 2) && plain_put_byte(out, CODE_ARRAY) && put_payload(out, array, &view);
    PyBuffer_Release(&view);
    if (put) {
        size_t size = out->size - start - 4;
        out->bytes[start + 1] = (uint8_t)(size >> 8);
        out->bytes[start + 2] = (uint8_t)size;
        out->rich = true;
    }
    return put;
}

static PyObject *take_type(struct reader *in) {
    if (in->next == in->end || (*in->next & 0xe0) != 0xa0)
        return NULL;
    Py_ssize_t size = *in->next++ & 0x1f;
    if (in->end - in->next < size)
        return NULL;
    PyObject *type = PyUnicode_DecodeASCII((const char *)in->next, size, NULL);
    in->next += size;
    return type;
}

static bool take_length(struct reader *in, uint64_t *length) {
    if (in->next == in->end)
        return false;
    uint8_t mark = *in->next++;
    *length = mark;
    if (mark < 0x80)
        return true;
    return mark >= 0xcc && mark <= 0xce && plain_take_number(in, 1 << (mark - 0xcc), length);
}

static PyObject *take_shape(struct reader *in) {
    if (in->next == in->end || (*in->next & 0xf0) != 0x90)
        return NULL;
    Py_ssize_t count = *in->next++ & 0x0f;
    PyObject *shape = PyTuple_New(count);
    for (Py_ssize_t i = 0; shape != NULL && i < count; i++) {
        uint64_t length;
        PyObject *number = take_length(in, &length) ? PyLong_FromUnsignedLongLong(length) : NULL;
        if (number == NULL)
            Py_CLEAR(shape);
        else
            PyTuple_SET_ITEM(shape, i, number);
    }
    return shape;
}

/* The rest of the payload: bytes, or the number of a part beside the message. */
static PyObject *take_data(struct reader *in) {
    uint64_t size;
    if (in->end - in->next < 2 || *in->next++ != FALSE_BYTE)
        return NULL;
    uint8_t mark = *in->next++;
    if (mark < 0x80 && in->parts != NULL && in->next == in->end && mark + 1 < PyList_GET_SIZE(in->parts))
        return Py_NewRef(PyList_GET_ITEM(in->parts, mark + 1));
    if ((mark != 0xc4 && mark != 0xc5) || !plain_take_number(in, mark == 0xc4 ? 1 : 2, &size) ||
        size != (uint64_t)(in->end - in->next))
        return NULL;
    return PyBytes_FromStringAndSize((const char *)in->next, (Py_ssize_t)size);
}

/* The array in the next `size` bytes behind their code; NULL, with or without an exception, when there is none. */
PyObject *plain_take_array(struct reader *in, uint64_t size) {
    if (in->rebuild == NULL || (uint64_t)(in->end - in->next) < size + 1 || *in->next++ != CODE_ARRAY)
        return NULL;
    struct reader payload = {in->next, in->next + size, NULL, in->parts, NULL, false};
    in->next += size;
    in->rich = true;
    if (size == 0 || *payload.next++ != 0x94)
        return NULL;
    PyObject *type = take_type(&payload), *shape = NULL, *data = NULL, *array = NULL;
    if (type != NULL && (shape = take_shape(&payload)) != NULL && (data = take_data(&payload)) != NULL)
        array = PyObject_CallFunctionObjArgs(in->rebuild, type, shape, data, NULL);
    Py_XDECREF(type);
    Py_XDECREF(shape);
    Py_XDECREF(data);
    return array;
}
