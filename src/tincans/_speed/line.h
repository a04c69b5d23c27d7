/* A line: what a plain call needs of one link, where C can reach it.
 *
 * Rules of this file
 * - The meaning is Python's (pump/plain_calls.py, pump/plain_serving.py): whatever is not plain, or not as usual, is left
 *   to it, before anything of it was sent or run. What is here is the same in as few steps as there can be.
 * - Over a ring, C does all of it. Over a stream, which has no `ring`, Python sends and receives (several messages at a
 *   time), and C does what lies between: `ready` has what was received, `corked` what is to be sent.
 * - All of this needs the GIL; pump/quick.py does without it in a program that has none.
 */
#ifndef TINCANS_LINE_H
#define TINCANS_LINE_H

#include "plain.h"
#include "ring_object.h"

/* The role of the one who reads a link: a lock that nobody waits for. */
struct role_object {
    PyObject_HEAD
    _Atomic bool held;
};

static inline bool role_take(struct role_object *role) { return flag_take(&role->held); }
static inline void role_leave(struct role_object *role) { flag_leave(&role->held); }

/* Some of a link's own containers, in which Python says what else goes on; and what the last call left for the next. */
struct line_object {
    PyObject_HEAD
    struct ring_object *ring; /* NULL: a stream */
    struct role_object *role;
    PyObject *link;
    PyObject *calls, *running, *inlets, *dropped, *posted, *corked, *parked; /* of the link and its session */
    PyObject *attended; /* of the reactor: the links that somebody looks after */
    PyObject *rebuild, *deadlines;
    PyObject *ready;          /* of a stream's connection */
    Py_ssize_t cork_bytes;    /* a shorter message may be corked, */
    Py_ssize_t cork_messages; /* so many leave together at the latest, */
    int64_t cork_time;        /* nanoseconds: what comes so soon after the last one belongs to the same burst */
    PyObject *name, *exposed, *function, *shape; /* of the last request that was run */
    uint64_t next_id;                            /* of a call; every other one is the other side's */
    int64_t used;                                /* when it was asked last, in nanoseconds */
    int64_t quiet;                               /* since when there are answers that wake nobody yet; 0: there are none */
    unsigned long long heard;
    char background;
};

/* A started call that waits for its answer: what the class of futures in pump/future.py extends. */
struct started_object {
    PyObject_HEAD
    PyObject *link, *id, *operation, *timeout, *reading;
    PyObject *expected; /* as of a Function; NULL: Python made it, and is told of its answer */
    PyObject *value, *error, *lock;
    double deadline; /* seconds of the monotonic clock */
    char settled, full, published;
};

static inline bool line_is_empty(PyObject *container) {
    return (PyDict_CheckExact(container) ? PyDict_GET_SIZE(container) : PyObject_Size(container)) == 0;
}

/* Whether a message may be sent just so: none of ours stands before it. */
static inline bool line_may_send(struct line_object *line) {
    return (line->ring == NULL || !line->ring->owed) && line_is_empty(line->posted) && line_is_empty(line->corked);
}

static inline struct module_state *line_state(struct line_object *line) {
    return PyType_GetModuleState(Py_TYPE(line->role));
}

/* Notes that the line is used `now`. Whether it was a moment ago: else it needs a closer look first. */
static inline bool line_is_fresh(struct line_object *line, int64_t now, int64_t moment) {
    int64_t before = line->used;
    line->used = now;
    return now - before <= moment;
}

/* Whether its link has ended. */
static inline bool line_is_dead(struct line_object *line) {
    if (line->ring != NULL)
        return atomic_load_explicit(&line->ring->link.closed, memory_order_relaxed);
    PyObject *dead = PyObject_GetAttr(line->link, line_state(line)->dead);
    bool alive = dead == Py_None;
    Py_XDECREF(dead);
    PyErr_Clear();
    return !alive;
}

/* What was written, among what leaves together. -1 with an exception. */
int line_cork(struct line_object *line, const struct writer *out);

/* Wakes who waits for the answers that woke nobody. */
static inline void line_wake(struct line_object *line) {
    if (line->quiet == 0)
        return;
    line->quiet = 0;
    ring_wake(line->ring);
}

/* The next id of a call. */
static inline uint64_t line_next_id(struct line_object *line) {
    uint64_t id = line->next_id;
    line->next_id += 2;
    return id;
}

/* With the role: whoever waits for this plain answer has it now. 1; 0: it is something else, -1: exception. */
int line_take_answer(struct line_object *line, PyObject *data);
/* False with an exception when this is not what the line is over. */
bool line_is_over(struct line_object *line, bool ring);
/* The error that is set, which is set no longer, with its traceback. */
PyObject *line_take_error(void);
/* Has somebody look after the link, if nobody does. -1 with an exception. */
int line_attend(struct line_object *line);
/* Calls a method of the link, without arguments. -1 with an exception. */
int line_tell(struct line_object *line, PyObject *method);
/* Gives the role back, and wakes one who may want it; an exception that is set stays. -1 with an exception. */
int line_leave(struct line_object *line);

PyObject *line_serve(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *line_serve_ready(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *line_take_answers(PyObject *self, PyObject *timeout);
PyObject *line_take_ready(PyObject *self, PyObject *unused);
extern const char line_serve_doc[], line_serve_ready_doc[], line_take_answers_doc[], line_take_ready_doc[];
extern PyType_Spec role_type_spec, line_type_spec, function_type_spec, started_type_spec;

#endif
