/* Plain messages: where one is written to and read from. */
#ifndef TINCANS_PLAIN_H
#define TINCANS_PLAIN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#define PLAIN_BYTES 4096

enum { TAG_REQUEST = 1, TAG_REPLY = 2, TAG_PUBLICATION = 8 };
enum { NIL = 0xc0, FALSE_BYTE = 0xc2, TRUE_BYTE = 0xc3, FLOAT64 = 0xcb };

struct writer {
    uint8_t bytes[PLAIN_BYTES];
    size_t size;
    bool rich;        /* there is an array in it */
    PyObject *beside; /* a list for the memory of large arrays, which travels beside the message; NULL: none may */
};

/* `rebuild` makes an array; NULL: then none is read. `parts`: the list of the message's parts, or NULL. `name`: the one
 * of the last request, which the next one often has as well, or NULL. */
struct reader {
    const uint8_t *next, *end;
    PyObject *rebuild, *parts;
    PyObject *name;
    bool rich;
};

uint8_t *plain_room(struct writer *out, size_t count);
bool plain_put_byte(struct writer *out, uint8_t byte);
bool plain_put_number(struct writer *out, uint8_t mark, uint64_t number, int width);
bool plain_put_unsigned(struct writer *out, uint64_t number);
bool plain_put_bytes(struct writer *out, const void *start, size_t size);
bool plain_take_number(struct reader *in, int width, uint64_t *number);

bool plain_is_array(PyObject *value);
bool plain_put_array(struct writer *out, PyObject *array);
PyObject *plain_take_array(struct reader *in, uint64_t size);

/* For who needs no Python object of the whole message (line_type.c): written to the stack, false when not plain. */
void plain_begin(struct writer *out);
PyObject *plain_bytes(const struct writer *out);
bool plain_put_request(struct writer *out, uint64_t id, PyObject *name, PyObject *const *args, Py_ssize_t number,
                       double timeout);
bool plain_put_reply(struct writer *out, PyObject *id, PyObject *value);
/* The value of a plain Reply, or (id, name, args, timeout) of a plain Request. NULL without an exception: not plain. */
PyObject *plain_read_reply(PyObject *data, PyObject *rebuild, uint64_t *id);
PyObject *plain_read_request(PyObject *data, PyObject *rebuild, PyObject *name);

/* For news.c: the bytes of a Publication of (id, topic, value), or None when it is not plain; an id and a value. */
PyObject *plain_publication(PyObject *const *given);
PyObject *plain_take_id(struct reader *in);
PyObject *plain_take_value(struct reader *in);
PyObject *take_news(PyObject *module, PyObject *const *given, Py_ssize_t count);
extern const char take_news_doc[];
extern PyType_Spec tap_type_spec;
extern PyType_Spec tray_type_spec;

bool plain_right_count(const char *name, Py_ssize_t count, Py_ssize_t wanted);
/* Whether plain values are what a function wants: 1, 0, or -1 with an exception. */
int plain_fit(PyObject *args, PyObject *shape);
PyObject *plain_fits(PyObject *module, PyObject *const *given, Py_ssize_t count);
extern const char plain_fits_doc[];
extern PyMethodDef plain_writing[], plain_reading[];

#endif
