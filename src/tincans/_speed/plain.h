/* What the files of the module `_plain` share: where a message is written to and read from. */
#ifndef TINCANS_PLAIN_H
#define TINCANS_PLAIN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#define PLAIN_BYTES 4096
#define FALSE_BYTE 0xc2

struct writer {
    uint8_t bytes[PLAIN_BYTES];
    size_t size;
    bool rich;        /* there is an array in it */
    PyObject *beside; /* a list for the memory of large arrays, which travels beside the message; NULL: none may */
};

/* `rebuild` makes an array; NULL: then none is read. `parts`: the list of the message's parts, or NULL. */
struct reader {
    const uint8_t *next, *end;
    PyObject *rebuild, *parts;
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

bool plain_right_count(const char *name, Py_ssize_t count, Py_ssize_t wanted);
PyObject *plain_fits(PyObject *module, PyObject *const *given, Py_ssize_t count);
extern const char plain_fits_doc[];

#endif
