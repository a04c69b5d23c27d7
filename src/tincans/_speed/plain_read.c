/* Plain messages of the native wire, read in one call.
 *
 * Rules of this file
 * - What is read here would be read by wires/native.py to the same values; for everything else the answer is None.
 *   tests/unit/test_speed_plain.py and tests/fuzz/plain.py hold the two together.
 * - Bytes from the other side are looked at only within their length, and nothing is kept between two calls.
 */
#include "plain.h"

#include "frames.h"

#include <string.h>

bool plain_take_number(struct reader *in, int width, uint64_t *number) {
    if (in->end - in->next < width)
        return false;
    *number = 0;
    for (int i = 0; i < width; i++)
        *number = *number << 8 | *in->next++;
    return true;
}

/* A marked number's width in bytes, 0 for every other mark. */
static int width_of(uint8_t mark) { return mark >= 0xcc && mark <= 0xd3 ? 1 << ((mark - 0xcc) & 3) : 0; }

static PyObject *take_int(struct reader *in, uint8_t mark) {
    uint64_t number;
    int width = width_of(mark);
    if (!plain_take_number(in, width, &number))
        return NULL;
    if (mark <= 0xcf)
        return PyLong_FromUnsignedLongLong(number);
    int unused = 64 - 8 * width; /* spread the sign bit */
    return PyLong_FromLongLong((int64_t)(number << unused) >> unused);
}

static PyObject *take_text(struct reader *in, uint64_t size) {
    if ((uint64_t)(in->end - in->next) < size)
        return NULL;
    const char *start = (const char *)in->next;
    in->next += size;
    return PyUnicode_DecodeUTF8(start, (Py_ssize_t)size, NULL);
}

static PyObject *take_bytes(struct reader *in, uint64_t size) {
    if ((uint64_t)(in->end - in->next) < size)
        return NULL;
    const char *start = (const char *)in->next;
    in->next += size;
    return PyBytes_FromStringAndSize(start, (Py_ssize_t)size);
}

/* The next value, or NULL (with or without an exception) when it is not plain. */
PyObject *plain_take_value(struct reader *in) {
    uint64_t number;
    if (in->next == in->end)
        return NULL;
    uint8_t mark = *in->next++;
    if (mark < 0x80)
        return PyLong_FromLong(mark);
    if (mark >= 0xe0)
        return PyLong_FromLong((int8_t)mark);
    if (width_of(mark) != 0)
        return take_int(in, mark);
    if ((mark & 0xe0) == 0xa0)
        return take_text(in, mark & 0x1f);
    switch (mark) {
    case NIL:
        return Py_NewRef(Py_None);
    case FALSE_BYTE:
        return Py_NewRef(Py_False);
    case TRUE_BYTE:
        return Py_NewRef(Py_True);
    case FLOAT64: {
        double value;
        if (!plain_take_number(in, 8, &number))
            return NULL;
        memcpy(&value, &number, sizeof value);
        return PyFloat_FromDouble(value);
    }
    case 0xc4:
        return plain_take_number(in, 1, &number) ? take_bytes(in, number) : NULL;
    case 0xc5:
        return plain_take_number(in, 2, &number) ? take_bytes(in, number) : NULL;
    case 0xd9:
        return plain_take_number(in, 1, &number) ? take_text(in, number) : NULL;
    case 0xda:
        return plain_take_number(in, 2, &number) ? take_text(in, number) : NULL;
    case 0xc7:
        return plain_take_number(in, 1, &number) ? plain_take_array(in, number) : NULL;
    case 0xc8:
        return plain_take_number(in, 2, &number) ? plain_take_array(in, number) : NULL;
    case 0xd8:
        return plain_take_array(in, 16);
    }
    return NULL;
}

/* Up to 32 bits: never negative. */
static bool take_id_number(struct reader *in, uint64_t *id) {
    if (in->next == in->end)
        return false;
    uint8_t mark = *in->next++;
    *id = mark;
    return mark < 0x80 || (mark >= 0xcc && mark <= 0xce && plain_take_number(in, width_of(mark), id));
}

PyObject *plain_take_id(struct reader *in) {
    uint64_t id;
    return take_id_number(in, &id) ? PyLong_FromUnsignedLongLong(id) : NULL;
}

/* The fields that are left must hold these, as far as they are there, and say at `rich` whether an array was met. */
static bool rest_is(struct reader *in, uint8_t *wanted, size_t count, size_t rich) {
    size_t left = (size_t)(in->end - in->next);
    wanted[rich] = in->rich ? TRUE_BYTE : FALSE_BYTE;
    return left <= count && memcmp(in->next, wanted, left) == 0 && (!in->rich || left > rich);
}

static PyObject *take_arguments(struct reader *in) {
    if (in->next == in->end || (*in->next & 0xf0) != 0x90)
        return NULL;
    Py_ssize_t number = *in->next++ & 0x0f;
    PyObject *args = PyTuple_New(number);
    for (Py_ssize_t i = 0; args != NULL && i < number; i++) {
        PyObject *value = plain_take_value(in);
        if (value == NULL)
            Py_CLEAR(args);
        else
            PyTuple_SET_ITEM(args, i, value);
    }
    return args;
}

static PyObject *take_name(struct reader *in) {
    if (in->next == in->end || (*in->next & 0xe0) != 0xa0)
        return NULL;
    if (in->name != NULL) {
        Py_ssize_t size;
        const char *known = PyUnicode_AsUTF8AndSize(in->name, &size);
        if (known != NULL && size == (*in->next & 0x1f) && size < in->end - in->next &&
            memcmp(known, in->next + 1, (size_t)size) == 0) {
            in->next += 1 + size;
            return Py_NewRef(in->name);
        }
        PyErr_Clear();
    }
    return plain_take_value(in);
}

/* None or a float: the number of seconds; a whole number is left to the thorough way. */
static PyObject *take_timeout(struct reader *in) {
    if (in->next == in->end || (*in->next != NIL && *in->next != FLOAT64))
        return NULL;
    return plain_take_value(in);
}

/* (id, name, args, timeout), or NULL. */
static PyObject *read_request(struct reader *in, int fields) {
    uint8_t rest[] = {NIL, FALSE_BYTE, NIL}; /* key, rich, buffers */
    PyObject *id = plain_take_id(in), *name = NULL, *args = NULL, *timeout = NULL, *result = NULL;
    if (id != NULL && (name = take_name(in)) != NULL && (args = take_arguments(in)) != NULL && in->next < in->end &&
        *in->next++ == NIL && (timeout = take_timeout(in)) != NULL && rest_is(in, rest, sizeof rest, 1) &&
        in->end - in->next == fields - 6)
        result = PyTuple_Pack(4, id, name, args, timeout);
    Py_XDECREF(id);
    Py_XDECREF(name);
    Py_XDECREF(args);
    Py_XDECREF(timeout);
    return result;
}

/* The value, or NULL. */
static PyObject *take_answer(struct reader *in, int fields) {
    uint8_t rest[] = {FALSE_BYTE, FALSE_BYTE, NIL}; /* rich, stream, buffers */
    PyObject *value = plain_take_value(in);
    if (value != NULL && (!rest_is(in, rest, sizeof rest, 0) || in->end - in->next != fields - 3))
        Py_CLEAR(value);
    return value;
}

/* (id, value), or NULL. */
static PyObject *read_reply(struct reader *in, int fields) {
    PyObject *id = plain_take_id(in), *value = id == NULL ? NULL : take_answer(in, fields);
    PyObject *result = value == NULL ? NULL : PyTuple_Pack(2, id, value);
    Py_XDECREF(id);
    Py_XDECREF(value);
    return result;
}

/* (id, topic, value), or NULL. */
static PyObject *read_publication(struct reader *in, int fields) {
    uint8_t rest[] = {0, FALSE_BYTE, NIL}; /* dropped, rich, buffers */
    PyObject *id = plain_take_id(in), *topic = NULL, *value = NULL, *result = NULL;
    if (id != NULL && (topic = take_name(in)) != NULL && (value = plain_take_value(in)) != NULL &&
        rest_is(in, rest, sizeof rest, 1) && in->end - in->next == fields - 4)
        result = PyTuple_Pack(3, id, topic, value);
    Py_XDECREF(id);
    Py_XDECREF(topic);
    Py_XDECREF(value);
    return result;
}

PyDoc_STRVAR(read_doc, "read(data, /)\n--\n\n"
                       "(id, name, args, timeout) of a plain Request, (id, value) of a plain Reply, "
                       "(id, topic, value) of a plain Publication, None for the rest.");
PyDoc_STRVAR(read_with_doc, "read_with(rebuild, data, /)\n--\n\n"
                            "As `read`, of bytes or of a list of parts, and arrays are what rebuild(type, shape, data) "
                            "makes of them; a message for which it raises an Exception is not plain.");

/* After a message that is not plain: true when an exception stays, for it is about us and not about the message. */
static bool must_raise(void) {
    if (PyErr_Occurred() && (PyErr_ExceptionMatches(PyExc_MemoryError) || !PyErr_ExceptionMatches(PyExc_Exception)))
        return true;
    PyErr_Clear(); /* a text or an array that is none: the thorough way says so */
    return false;
}

/* The tag of a message, whose fields `in` then stands before, or 0; and how many fields there are. */
static uint8_t begin_reading(struct reader *in, PyObject *data, int *fields) {
    if (!PyBytes_CheckExact(data))
        return 0;
    const uint8_t *start = (const uint8_t *)PyBytes_AS_STRING(data);
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    if (size < 4 || size > PLAIN_BYTES || (start[0] & 0xf0) != 0x90)
        return 0;
    in->next = start + 2;
    in->end = start + size;
    *fields = start[0] & 0x0f;
    bool right = start[1] == TAG_REQUEST       ? *fields >= 6 && *fields <= 9
                 : start[1] == TAG_REPLY       ? *fields >= 3 && *fields <= 6
                 : start[1] == TAG_PUBLICATION ? *fields >= 4 && *fields <= 7
                                               : false;
    return right ? start[1] : 0;
}

PyObject *plain_read_request(PyObject *data, PyObject *rebuild, PyObject *name) {
    struct reader in = {NULL, NULL, rebuild, NULL, name, false};
    int fields;
    PyObject *found = begin_reading(&in, data, &fields) == TAG_REQUEST ? read_request(&in, fields) : NULL;
    if (found == NULL)
        must_raise();
    return found;
}

PyObject *plain_read_reply(PyObject *data, PyObject *rebuild, uint64_t *id) {
    struct reader in = {NULL, NULL, rebuild, NULL, NULL, false};
    int fields;
    bool is_reply = begin_reading(&in, data, &fields) == TAG_REPLY && take_id_number(&in, id);
    PyObject *value = is_reply ? take_answer(&in, fields) : NULL;
    if (value == NULL)
        must_raise();
    return value;
}

static PyObject *read_any(PyObject *data, PyObject *rebuild) {
    PyObject *parts = NULL;
    if (PyList_CheckExact(data) && PyList_GET_SIZE(data) != 0) {
        parts = data;
        data = PyList_GET_ITEM(parts, 0);
    }
    struct reader in = {NULL, NULL, rebuild, parts, NULL, false};
    int fields;
    uint8_t tag = begin_reading(&in, data, &fields);
    PyObject *result = tag == TAG_REQUEST       ? read_request(&in, fields)
                       : tag == TAG_REPLY       ? read_reply(&in, fields)
                       : tag == TAG_PUBLICATION ? read_publication(&in, fields)
                                                : NULL;
    if (result != NULL || must_raise())
        return result;
    Py_RETURN_NONE;
}

static PyObject *read_message(PyObject *Py_UNUSED(module), PyObject *data) {
    if (PyList_CheckExact(data))
        Py_RETURN_NONE;
    return read_any(data, NULL);
}

static PyObject *read_message_with(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count) {
    return plain_right_count("read_with", count, 2) ? read_any(given[1], given[0]) : NULL;
}

PyMethodDef plain_reading[] = {
    {"read", read_message, METH_O, read_doc},
    {"read_with", (PyCFunction)(void (*)(void))read_message_with, METH_FASTCALL, read_with_doc},
    {"fits", (PyCFunction)(void (*)(void))plain_fits, METH_FASTCALL, plain_fits_doc},
    {"take_news", (PyCFunction)(void (*)(void))take_news, METH_FASTCALL, take_news_doc},
    {"split", (PyCFunction)(void (*)(void))split_frames, METH_FASTCALL,
     "split(data, at, most): the messages of the small frames in `data` from `at` on, and where the rest begins."},
    {"join", join_frames, METH_O, "join(messages): a tuple of small messages as frames, one after the other."},
    {NULL, NULL, 0, NULL},
};
