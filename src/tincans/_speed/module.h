/* What the files of the Python module share.
 *
 * Rules of this file
 * - Nothing is global but the module's state: it works in subinterpreters and in free-threaded builds.
 */
#ifndef TINCANS_MODULE_H
#define TINCANS_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "link.h"

/* The object that a structure holds at this offset. */
static inline PyObject **object_at(void *structure, size_t offset) { return (PyObject **)((char *)structure + offset); }

/* A flag that is only touched with the GIL: taking it needs no locked instruction then. Whether it was free. */
static inline bool flag_take(_Atomic bool *flag) {
#ifdef Py_GIL_DISABLED
    return !atomic_exchange(flag, true);
#else
    bool was_free = !atomic_load_explicit(flag, memory_order_relaxed);
    atomic_store_explicit(flag, true, memory_order_relaxed);
    return was_free;
#endif
}

static inline void flag_leave(_Atomic bool *flag) {
#ifdef Py_GIL_DISABLED
    atomic_store(flag, false);
#else
    atomic_store_explicit(flag, false, memory_order_relaxed);
#endif
}

struct module_state {
    PyTypeObject *ring_type, *patience_type, *role_type, *line_type, *function_type, *started_type, *tap_type, *tray_type;
    PyObject *error, *disconnected, *closed, *protocol, *too_large, *unsendable; /* classes of tincans.errors */
    /* names of attributes, which line.h's files look for */
    PyObject *pass_on, *nudge_next, *look_soon, *line, *otherwise, *more, *failed, *promised, *function, *plain, *slow,
        *probe_after, *reading, *due, *expect, *deliver_plain, *wait_for_result,
        *dead, *uncork, *uncork_answers, *append, *popleft;
};

/* A timeout in seconds as a caller gave it, turned into a deadline at the first wait. */
struct limit {
    int64_t nanoseconds; /* LINK_AT_ONCE .. LINK_FOREVER */
    int64_t deadline;    /* -1: not worked out yet */
};

/* From None or a number of seconds; false with an exception set. */
bool limit_from(PyObject *timeout, struct limit *limit);
int64_t limit_deadline(struct limit *limit);
/* Seconds (a float) as nanoseconds; -1 with an exception set. */
int64_t nanoseconds_from(PyObject *seconds);

/* Grows in every forked child, which must not use its parent's connections. */
unsigned module_process(void);

struct module_state *module_state_of(PyObject *ring);
extern PyType_Spec ring_type_spec, patience_type_spec;
extern PyMethodDef descriptor_functions[];
extern PyMethodDef signal_functions[];
extern PyMethodDef copy_functions[];

#endif
