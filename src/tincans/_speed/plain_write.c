/* Plain messages of the native wire, written in one call: what most calls are made of.
 *
 * Rules of this file
 * - Plain is: None, a bool, a whole number of 64 bits, a float, a text, bytes, a small array (plain_array.c); at most
 *   PLAIN_ARGUMENTS of them, at most PLAIN_BYTES in all. For everything else the answer is None, and wires/native.py does
 *   it the thorough way.
 * - The bytes are those of wires/native.py, without the fields at the end that hold their defaults.
 */
#include "plain.h"

#include <string.h>

#define PLAIN_ARGUMENTS 15

/* Room for `count` more bytes, or NULL: the message is not plain any more. */
uint8_t *plain_room(struct writer *out, size_t count) {
    if (PLAIN_BYTES - out->size < count)
        return NULL;
    uint8_t *place = out->bytes + out->size;
    out->size += count;
    return place;
}

bool plain_put_byte(struct writer *out, uint8_t byte) {
    uint8_t *place = plain_room(out, 1);
    if (place != NULL)
        *place = byte;
    return place != NULL;
}

/* A marking byte and the low `width` bytes of a number, the highest first. */
bool plain_put_number(struct writer *out, uint8_t mark, uint64_t number, int width) {
    uint8_t *place = plain_room(out, 1 + (size_t)width);
    if (place == NULL)
        return false;
    *place = mark;
    for (int i = width; i > 0; i--, number >>= 8)
        place[i] = (uint8_t)number;
    return true;
}

bool plain_put_unsigned(struct writer *out, uint64_t number) {
    if (number < 0x80)
        return plain_put_byte(out, (uint8_t)number);
    if (number <= UINT8_MAX)
        return plain_put_number(out, 0xcc, number, 1);
    if (number <= UINT16_MAX)
        return plain_put_number(out, 0xcd, number, 2);
    return number <= UINT32_MAX ? plain_put_number(out, 0xce, number, 4) : plain_put_number(out, 0xcf, number, 8);
}

static bool put_negative(struct writer *out, int64_t number) {
    if (number >= -32)
        return plain_put_byte(out, (uint8_t)number);
    if (number >= INT8_MIN)
        return plain_put_number(out, 0xd0, (uint64_t)number, 1);
    if (number >= INT16_MIN)
        return plain_put_number(out, 0xd1, (uint64_t)number, 2);
    return number >= INT32_MIN ? plain_put_number(out, 0xd2, (uint64_t)number, 4) : plain_put_number(out, 0xd3, (uint64_t)number, 8);
}

static bool put_int(struct writer *out, PyObject *value) {
    int overflow;
    int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow != 0)
        return false;
    return number >= 0 ? plain_put_unsigned(out, (uint64_t)number) : put_negative(out, number);
}

static bool put_double(struct writer *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return plain_put_number(out, FLOAT64, bits, 8);
}

static bool put_text(struct writer *out, PyObject *text) {
    Py_ssize_t size;
    const char *start = PyUnicode_AsUTF8AndSize(text, &size);
    if (start == NULL) { /* a lone surrogate: the thorough way says what is wrong with it */
        PyErr_Clear();
        return false;
    }
    bool marked = size < 32            ? plain_put_byte(out, (uint8_t)(0xa0 | size))
                  : size <= UINT8_MAX  ? plain_put_number(out, 0xd9, (uint64_t)size, 1)
                  : size < PLAIN_BYTES ? plain_put_number(out, 0xda, (uint64_t)size, 2)
                                       : false;
    uint8_t *place = marked ? plain_room(out, (size_t)size) : NULL;
    if (place != NULL)
        memcpy(place, start, (size_t)size);
    return place != NULL;
}

bool plain_put_bytes(struct writer *out, const void *start, size_t size) {
    bool marked = size <= UINT8_MAX    ? plain_put_number(out, 0xc4, size, 1)
                  : size < PLAIN_BYTES ? plain_put_number(out, 0xc5, size, 2)
                                       : false;
    uint8_t *place = marked ? plain_room(out, size) : NULL;
    if (place != NULL && size != 0)
        memcpy(place, start, size);
    return place != NULL;
}

/* Exact types only: a subclass (an Enum, a numpy scalar) has a form of its own. */
static bool put_value(struct writer *out, PyObject *value) {
    if (value == Py_None)
        return plain_put_byte(out, NIL);
    if (PyLong_CheckExact(value))
        return put_int(out, value);
    if (PyUnicode_CheckExact(value))
        return put_text(out, value);
    if (PyBytes_CheckExact(value))
        return plain_put_bytes(out, PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value));
    if (PyBool_Check(value))
        return plain_put_byte(out, value == Py_True ? TRUE_BYTE : FALSE_BYTE);
    if (PyFloat_CheckExact(value))
        return put_double(out, PyFloat_AS_DOUBLE(value));
    return plain_is_array(value) && plain_put_array(out, value);
}

static bool put_id(struct writer *out, PyObject *id) {
    return PyLong_CheckExact(id) && put_int(out, id);
}

/* A marked value (an array) makes the message `rich`, which is said behind `between` more fields with their defaults. */
static bool put_rich(struct writer *out, uint8_t between) {
    if (!out->rich)
        return true;
    out->bytes[0] += 2;
    return plain_put_byte(out, between) && plain_put_byte(out, TRUE_BYTE);
}

PyObject *plain_bytes(const struct writer *out) {
    return PyBytes_FromStringAndSize((const char *)out->bytes, (Py_ssize_t)out->size);
}

static PyObject *written(const struct writer *out, bool plain) {
    if (!plain)
        Py_RETURN_NONE;
    return plain_bytes(out);
}

static bool begin_request(struct writer *out) { return plain_put_byte(out, 0x96) && plain_put_byte(out, TAG_REQUEST); }

/* What follows the id. */
static bool put_call(struct writer *out, PyObject *name, PyObject *const *args, Py_ssize_t number) {
    bool plain = number <= PLAIN_ARGUMENTS && put_text(out, name) && plain_put_byte(out, (uint8_t)(0x90 | number));
    for (Py_ssize_t i = 0; plain && i < number; i++)
        plain = put_value(out, args[i]);
    return plain && plain_put_byte(out, NIL);
}

static bool put_request(struct writer *out, PyObject *const *given) {
    PyObject *args = given[2], *timeout = given[3];
    return PyTuple_CheckExact(args) && PyUnicode_CheckExact(given[1]) && begin_request(out) && put_id(out, given[0]) &&
           put_call(out, given[1], PySequence_Fast_ITEMS(args), PyTuple_GET_SIZE(args)) &&
           (timeout == Py_None || PyFloat_CheckExact(timeout)) && put_value(out, timeout) && put_rich(out, NIL);
}

bool plain_put_request(struct writer *out, uint64_t id, PyObject *name, PyObject *const *args, Py_ssize_t number,
                       double timeout) {
    return begin_request(out) && plain_put_unsigned(out, id) && put_call(out, name, args, number) &&
           put_double(out, timeout) && put_rich(out, NIL);
}

bool plain_put_reply(struct writer *out, PyObject *id, PyObject *value) {
    bool plain = plain_put_byte(out, 0x93) && plain_put_byte(out, TAG_REPLY) && put_id(out, id) &&
                 put_value(out, value);
    if (!plain || !out->rich)
        return plain;
    out->bytes[0]++;
    return plain_put_byte(out, TRUE_BYTE);
}

static bool put_reply(struct writer *out, PyObject *const *given) { return plain_put_reply(out, given[0], given[1]); }

static bool put_publication(struct writer *out, PyObject *const *given) {
    return PyUnicode_CheckExact(given[1]) && plain_put_byte(out, 0x94) && plain_put_byte(out, TAG_PUBLICATION) &&
           put_id(out, given[0]) && put_text(out, given[1]) && put_value(out, given[2]) && put_rich(out, 0);
}

typedef bool put_message(struct writer *out, PyObject *const *given);

void plain_begin(struct writer *out) {
    out->size = 0;
    out->rich = false;
    out->beside = NULL;
}

static PyObject *write_message(put_message *put, PyObject *const *given) {
    struct writer out;
    plain_begin(&out);
    bool plain = put(&out, given);
    return written(&out, plain);
}

/* The message and its further parts as a list. */
static PyObject *write_beside(put_message *put, PyObject *const *given) {
    struct writer out;
    plain_begin(&out);
    out.beside = PyList_New(1);
    if (out.beside == NULL)
        return NULL;
    PyList_SET_ITEM(out.beside, 0, Py_NewRef(Py_None));
    bool plain = put(&out, given);
    PyObject *envelope = written(&out, plain);
    if (envelope == NULL || !plain) {
        Py_DECREF(out.beside);
        return envelope;
    }
    PyList_SetItem(out.beside, 0, envelope);
    return out.beside;
}

PyDoc_STRVAR(request_doc, "request(id, name, args, timeout, /)\n--\n\n"
                          "The bytes of a Request, or None when it is not plain. `timeout`: a float or None.");
PyDoc_STRVAR(request_beside_doc, "request_beside(id, name, args, timeout, /)\n--\n\n"
                                 "The parts of a Request with large arrays, in no memory that is written to by several "
                                 "programs; None when it has other values.");
PyDoc_STRVAR(reply_doc, "reply(id, value, /)\n--\n\nThe bytes of a Reply, or None when it is not plain.");
PyDoc_STRVAR(reply_beside_doc, "reply_beside(id, value, /)\n--\n\n"
                               "The parts of a Reply with a large array, or None; as request_beside.");

static PyObject *write_request(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count) {
    return plain_right_count("request", count, 4) ? write_message(put_request, given) : NULL;
}

static PyObject *request_beside(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count) {
    return plain_right_count("request_beside", count, 4) ? write_beside(put_request, given) : NULL;
}

static PyObject *write_reply(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count) {
    return plain_right_count("reply", count, 2) ? write_message(put_reply, given) : NULL;
}

static PyObject *reply_beside(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count) {
    return plain_right_count("reply_beside", count, 2) ? write_beside(put_reply, given) : NULL;
}

PyDoc_STRVAR(publication_doc, "publication(id, topic, value, /)\n--\n\n"
                              "The bytes of a Publication, before which nothing was lost, or None when it is not plain.");

PyDoc_STRVAR(publication_beside_doc, "publication_beside(id, topic, value, /)\n--\n\n"
                                     "The parts of a Publication of a large array, or None; as request_beside.");

PyObject *plain_publication(PyObject *const *given) { return write_message(put_publication, given); }

static PyObject *write_publication(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count) {
    return plain_right_count("publication", count, 3) ? write_message(put_publication, given) : NULL;
}

static PyObject *publication_beside(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count) {
    return plain_right_count("publication_beside", count, 3) ? write_beside(put_publication, given) : NULL;
}

PyMethodDef plain_writing[] = {
    {"request", (PyCFunction)(void (*)(void))write_request, METH_FASTCALL, request_doc},
    {"request_beside", (PyCFunction)(void (*)(void))request_beside, METH_FASTCALL, request_beside_doc},
    {"reply", (PyCFunction)(void (*)(void))write_reply, METH_FASTCALL, reply_doc},
    {"reply_beside", (PyCFunction)(void (*)(void))reply_beside, METH_FASTCALL, reply_beside_doc},
    {"publication", (PyCFunction)(void (*)(void))write_publication, METH_FASTCALL, publication_doc},
    {"publication_beside", (PyCFunction)(void (*)(void))publication_beside, METH_FASTCALL, publication_beside_doc},
    {NULL, NULL, 0, NULL},
};
