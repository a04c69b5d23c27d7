/* Many small frames in one call: `split` what a stream brought, `join` what goes into it.
 *
 * Rules of this file
 * - A frame of one part: 8 bytes (0x01CA, number of further parts 0, the length; little-endian), then that part
 *   (core/framing.py). Everything else is left to core/deframing.py, which says what is wrong with it.
 * - Lengths from the other side are compared with what is there before anything is taken.
 */
#define PY_SSIZE_T_CLEAN
#include "frames.h"

#include <stdint.h>

#define HEADER 8
#define MAGIC 0x01CAu

static uint32_t number_at(const uint8_t *from) {
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static void put_number(uint8_t *to, uint32_t number) {
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(number >> 8 * i);
}

PyObject *split_frames(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    if (count != 3 || !PyBytes_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "split takes bytes, where to begin, and the largest length of a message");
        return NULL;
    }
    Py_ssize_t at = PyLong_AsSsize_t(args[1]), end = PyBytes_GET_SIZE(args[0]);
    unsigned long long most = PyErr_Occurred() ? 0 : PyLong_AsUnsignedLongLong(args[2]);
    PyObject *messages = PyErr_Occurred() || at < 0 ? NULL : PyList_New(0);
    if (messages == NULL)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "split cannot begin at %zd", at);
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(args[0]);
    while (at <= end - HEADER && number_at(data + at) == MAGIC) {
        uint32_t size = number_at(data + at + 4);
        if (size > most || size > (uint64_t)(end - at - HEADER))
            break;
        PyObject *message = PyBytes_FromStringAndSize((const char *)data + at + HEADER, (Py_ssize_t)size);
        int result = message == NULL ? -1 : PyList_Append(messages, message);
        Py_XDECREF(message);
        if (result < 0) {
            Py_DECREF(messages);
            return NULL;
        }
        at += HEADER + (Py_ssize_t)size;
    }
    return Py_BuildValue("(Nn)", messages, at);
}

PyObject *join_frames(PyObject *Py_UNUSED(module), PyObject *messages) {
    if (!PyTuple_CheckExact(messages)) {
        PyErr_SetString(PyExc_TypeError, "join takes a tuple of bytes");
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(messages);
    uint64_t total = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *message = PyTuple_GET_ITEM(messages, i);
        if (!PyBytes_CheckExact(message) || (uint64_t)PyBytes_GET_SIZE(message) > UINT32_MAX) {
            PyErr_SetString(PyExc_TypeError, "join takes a tuple of bytes, each shorter than 4 GiB");
            return NULL;
        }
        total += HEADER + (uint64_t)PyBytes_GET_SIZE(message);
    }
    PyObject *frames = total > PY_SSIZE_T_MAX ? PyErr_NoMemory() : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
    uint8_t *to = frames == NULL ? NULL : (uint8_t *)PyBytes_AS_STRING(frames);
    for (Py_ssize_t i = 0; to != NULL && i < count; i++) {
        PyObject *message = PyTuple_GET_ITEM(messages, i);
        size_t size = (size_t)PyBytes_GET_SIZE(message);
        put_number(to, MAGIC);
        put_number(to + 4, (uint32_t)size);
        memcpy(to + HEADER, PyBytes_AS_STRING(message), size);
        to += HEADER + size;
    }
    return frames;
}
