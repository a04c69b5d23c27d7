/* A call: a plain request is sent, and its answer received, in one step.
 *
 * Rules of this file
 * - The short way is for a link on which nobody waits for anything; all else, and what is not plain, is said to be not
 *   implemented, before anything of it was sent.
 * - Who has sent a request has the reading role until it is answered, or until `more` and `failed` have seen to it.
 */
#include "function.h"

/* The error that is set is told to `failed`, whose result or error counts; NotImplemented: nothing was sent. */
static PyObject *tell_failure(struct function_object *function, struct line_object *line, uint64_t id) {
    struct module_state *state = module_state_of((PyObject *)line->ring);
    PyObject *error = line_take_error(), *number = PyLong_FromUnsignedLongLong(id);
    PyObject *result = number == NULL ? NULL
                                      : PyObject_CallMethodObjArgs(function->way, state->failed, line->link, number,
                                                                   error, NULL);
    Py_XDECREF(number);
    Py_XDECREF(error);
    return result;
}

/* With `more`, what came is not the plain answer: it is handled, and waited on. Else it is, of another class. */
static PyObject *hand_on(struct function_object *function, struct line_object *line, uint64_t id, PyObject *came,
                         bool more) {
    struct module_state *state = module_state_of((PyObject *)line->ring);
    if (!more)
        return PyObject_CallMethodObjArgs(function->way, state->promised, came, NULL);
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    PyObject *result =
        number == NULL ? NULL : PyObject_CallMethodObjArgs(function->way, state->more, line->link, number, came, NULL);
    Py_XDECREF(number);
    return result;
}

static PyObject *read_answer(struct function_object *function, struct line_object *line, uint64_t id, PyObject *came) {
    uint64_t answered = 0;
    PyObject *value = plain_read_reply(came, line->rebuild, &answered);
    if (value == NULL && PyErr_Occurred())
        return NULL;
    if (value == NULL || answered != id) {
        Py_XDECREF(value);
        return hand_on(function, line, id, came, true);
    }
    line->heard++;
    if (function->expected == Py_None || function->expected == (PyObject *)Py_TYPE(value))
        return value;
    PyObject *promised = hand_on(function, line, id, value, false);
    Py_DECREF(value);
    return promised;
}

/* With the role: the result; NULL with an exception; NotImplemented when nothing was sent. */
static PyObject *exchange(struct function_object *function, struct line_object *line, PyObject *const *args,
                          Py_ssize_t count) {
    struct writer out;
    struct limit limit = {(int64_t)(function->timeout * 1e9), -1};
    uint64_t id = line_next_id(line);
    plain_begin(&out);
    if (!plain_put_request(&out, id, function->name, args, count, function->timeout))
        return Py_NewRef(Py_NotImplemented);
    int sent = ring_push_at_once(line->ring, out.bytes, out.size);
    if (sent == 0)
        return Py_NewRef(Py_NotImplemented);
    PyObject *came = sent < 0 ? NULL : ring_next(line->ring, &limit);
    if (came == NULL)
        return tell_failure(function, line, id);
    PyObject *result = read_answer(function, line, id, came);
    Py_DECREF(came);
    return result;
}

/* Whether the short way is open: a link that was used a moment ago, and on which nothing else goes on. */
static bool is_open(const struct function_object *function, struct line_object *line) {
    return line_is_fresh(line, patience_rough_clock(), function->probe_after) && !line_is_dead(line) &&
           line_is_empty(line->calls) && line_is_empty(line->inlets) && line_is_empty(line->dropped) &&
           line_may_send(line) && role_take(line->role);
}

PyObject *function_ask(struct function_object *function, struct line_object *line, PyObject *const *args,
                       Py_ssize_t count) {
    if (line->ring == NULL || !is_open(function, line))
        return Py_NewRef(Py_NotImplemented);
    PyObject *result = exchange(function, line, args, count);
    if (line_leave(line) < 0)
        Py_CLEAR(result);
    return result;
}
