/* A started call: a plain request is sent, or corked, and what its answer will be waited for with is given at once.
 *
 * Rules of this file
 * - The short way is for a link that is read in the background, so that an answer is taken even when nobody waits for
 *   it; all else is said to be not implemented, before anything of it was sent.
 * - The call is in the link's table before its request leaves.
 */
#include "function.h"

static struct started_object *make_future(struct function_object *function, struct line_object *line, uint64_t id) {
    PyTypeObject *class = (PyTypeObject *)function->future;
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    struct started_object *future = number == NULL ? NULL : (struct started_object *)class->tp_alloc(class, 0);
    if (future == NULL) {
        Py_XDECREF(number);
        return NULL;
    }
    future->id = number;
    future->link = Py_NewRef(line->link);
    future->operation = Py_NewRef(function->name);
    future->timeout = Py_NewRef(function->limit);
    future->reading = Py_NewRef(function->reading);
    future->expected = Py_NewRef(function->expected);
    future->deadline = (double)line->used / 1e9 + function->timeout;
    return future;
}

/* The link's timer goes off by then. -1 with an exception. */
static int expect_by(struct line_object *line, double deadline) {
    struct module_state *state = line_state(line);
    PyObject *due = PyObject_GetAttr(line->deadlines, state->due);
    double when = due == NULL ? -1 : PyFloat_AsDouble(due);
    Py_XDECREF(due);
    if (PyErr_Occurred())
        return -1;
    if (deadline >= when)
        return 0;
    PyObject *number = PyFloat_FromDouble(deadline);
    PyObject *done = number == NULL ? NULL : PyObject_CallMethodOneArg(line->deadlines, state->expect, number);
    Py_XDECREF(number);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Over a stream: it leaves together with those before and after it. -1 with an exception. */
static int cork(struct line_object *line, const struct writer *out) {
    if (line_cork(line, out) < 0)
        return -1;
    bool enough = PyObject_Size(line->corked) >= line->cork_messages;
    return enough ? line_tell(line, line_state(line)->uncork) : line_attend(line);
}

/* Whether it may be sent the short way: at once, or, over a stream, in the middle of a burst. */
static bool is_open(const struct function_object *function, struct line_object *line) {
    bool fresh = line_is_fresh(line, patience_clock(), line->ring == NULL ? line->cork_time : function->probe_after);
    if (!fresh || !line->background || line_is_dead(line))
        return false;
    return line->ring != NULL ? line_may_send(line) : !line_is_empty(line->calls) && line_is_empty(line->posted);
}

/* 1: it is in the table and its request has left, 0: neither, -1: exception. */
static int send(struct line_object *line, struct started_object *future, const struct writer *out) {
    if (PyDict_SetItem(line->calls, future->id, (PyObject *)future) < 0)
        return -1;
    if (line->ring == NULL && !line_is_dead(line)) /* by now: what ends a link goes through the table, and found this */
        return cork(line, out) < 0 ? -1 : 1;
    if (line->ring != NULL && ring_push_at_once(line->ring, out->bytes, out->size) > 0)
        return 1;
    PyErr_Clear(); /* what is wrong is found again by who sends otherwise */
    return PyDict_Contains(line->calls, future->id) == 1 ? PyDict_DelItem(line->calls, future->id) : 0;
}

PyObject *function_start(struct function_object *function, struct line_object *line, PyObject *const *args,
                         Py_ssize_t count) {
    struct writer out;
    plain_begin(&out);
    if (!is_open(function, line))
        return Py_NewRef(Py_NotImplemented);
    uint64_t id = line_next_id(line);
    if (!plain_put_request(&out, id, function->name, args, count, function->timeout) ||
        (line->ring == NULL && (Py_ssize_t)out.size >= line->cork_bytes))
        return Py_NewRef(Py_NotImplemented);
    struct started_object *future = make_future(function, line, id);
    int sent = future == NULL ? -1 : send(line, future, &out);
    if (sent == 1 && expect_by(line, future->deadline) == 0)
        return (PyObject *)future;
    Py_XDECREF(future);
    return sent == 0 ? Py_NewRef(Py_NotImplemented) : NULL;
}
