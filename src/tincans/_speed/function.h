/* A Function: what `peer.call.add` and `peer.start.add` are, where C can do it alone. */
#ifndef TINCANS_FUNCTION_H
#define TINCANS_FUNCTION_H

#include "line.h"

struct function_object {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *source;   /* its attribute `line` is the Line to use now, or None */
    PyObject *name;     /* of the function that is called */
    PyObject *expected; /* the exact class of its result; None: as it comes */
    PyObject *way;      /* what becomes of the rest (pump/plain_calls.py) */
    PyObject *otherwise;
    PyObject *future;           /* the class of what a started call is; None: it is waited for */
    PyObject *reading, *limit;  /* for those: how answers are read, and the timeout as an object */
    PyObject *shown;            /* __name__ and __qualname__ */
    double timeout;
    int64_t probe_after; /* nanoseconds of silence after which a link is looked at before it is used */
};

/* The result, or what is waited for later; NULL with an exception; NotImplemented when nothing was sent. */
PyObject *function_ask(struct function_object *function, struct line_object *line, PyObject *const *args,
                       Py_ssize_t count);
PyObject *function_start(struct function_object *function, struct line_object *line, PyObject *const *args,
                         Py_ssize_t count);

#endif
