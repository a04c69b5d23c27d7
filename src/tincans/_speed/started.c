/* The type Started, and how the answers of started calls reach them.
 *
 * Rules of this file
 * - The meaning is Python's (pump/future.py): what is here is the case that nobody sleeps for the answer yet, and
 *   nobody has asked for the state of the standard class.
 * - A call leaves the table before its waiter is told, once.
 */
#include "line.h"

#include <stddef.h>
#include <structmember.h>

/* Whether this value may simply be put there. */
static bool is_as_expected(const struct started_object *call, PyObject *value) {
    return call->expected != NULL && (call->expected == Py_None || call->expected == (PyObject *)Py_TYPE(value)) &&
           !call->settled && !call->full && (call->lock == NULL || call->lock == Py_None);
}

static int deliver(struct module_state *state, PyObject *waiter, PyObject *value) {
    if (PyObject_TypeCheck(waiter, state->started_type) && is_as_expected((struct started_object *)waiter, value)) {
        struct started_object *call = (struct started_object *)waiter;
        Py_XSETREF(call->value, Py_NewRef(value));
        call->settled = true;
        return 0;
    }
    PyObject *done = PyObject_CallMethodOneArg(waiter, state->deliver_plain, value);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* What stands in the table under this id, which it does no longer; NULL without an exception: nothing. */
static PyObject *take_call(PyObject *calls, uint64_t id) {
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    PyObject *waiter = number == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(calls, number));
    if (waiter != NULL && PyDict_DelItem(calls, number) < 0)
        Py_CLEAR(waiter);
    Py_XDECREF(number);
    return waiter;
}

int line_take_answer(struct line_object *line, PyObject *data) {
    uint64_t id = 0;
    PyObject *value = PyBytes_CheckExact(data) ? plain_read_reply(data, line->rebuild, &id) : NULL;
    if (value == NULL)
        return PyErr_Occurred() ? -1 : 0;
    line->heard++;
    PyObject *waiter = take_call(line->calls, id);
    int done = waiter != NULL ? deliver(line_state(line), waiter, value)
               : PyErr_Occurred() ? -1 : 0; /* nobody waits: he has given up */
    Py_XDECREF(waiter);
    Py_DECREF(value);
    return done < 0 ? -1 : 1;
}

const char line_take_answers_doc[] =
    "take_answers(timeout, /)\n--\n\n"
    "With the reading role: take plain answers to those who wait for them. The first after `timeout` seconds at most, "
    "then what else is here. True: there was one at least; None: nothing came in time; or what came instead, not yet read.";

PyObject *line_take_answers(PyObject *self, PyObject *timeout) {
    struct line_object *line = (struct line_object *)self;
    struct limit limit;
    PyObject *data = line_is_over(line, true) && limit_from(timeout, &limit) ? ring_next(line->ring, &limit) : NULL;
    for (bool some = false;; some = true) {
        if (data == NULL || (data == Py_None && !some))
            return data;
        if (data == Py_None) {
            Py_DECREF(data);
            Py_RETURN_TRUE;
        }
        int taken = line_take_answer(line, data);
        if (taken == 0)
            return data;
        Py_DECREF(data);
        data = taken < 0 ? NULL : ring_receive_here((PyObject *)line->ring, Py_True);
    }
}

const char line_take_ready_doc[] =
    "take_ready()\n--\n\n"
    "Over a stream, with the reading role: take the plain answers that have come along to those who wait for them. The "
    "first message that is something else, or None.";

PyObject *line_take_ready(PyObject *self, PyObject *Py_UNUSED(unused)) {
    struct line_object *line = (struct line_object *)self;
    struct module_state *state = line_state(line);
    if (!line_is_over(line, false))
        return NULL;
    while (PyObject_Size(line->ready) > 0) {
        PyObject *data = PyObject_CallMethodNoArgs(line->ready, state->popleft);
        int taken = data == NULL ? -1 : line_take_answer(line, data);
        if (taken == 0)
            return data;
        Py_XDECREF(data);
        if (taken < 0)
            return NULL;
    }
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* ---- the type ---- */

static PyObject *started_result(PyObject *self, PyTypeObject *class, PyObject *const *args, Py_ssize_t count,
                                PyObject *names) {
    struct started_object *call = (struct started_object *)self;
    if (call->settled && call->value != NULL && (call->error == NULL || call->error == Py_None) && count == 0)
        return Py_NewRef(call->value);
    struct module_state *state = PyType_GetModuleState(class);
    PyObject *wait = PyObject_GetAttr(self, state->wait_for_result);
    PyObject *result = wait == NULL ? NULL : PyObject_Vectorcall(wait, args, (size_t)count, names);
    Py_XDECREF(wait);
    return result;
}

static const size_t places[] = {
    offsetof(struct started_object, link),    offsetof(struct started_object, id),
    offsetof(struct started_object, operation), offsetof(struct started_object, timeout),
    offsetof(struct started_object, reading), offsetof(struct started_object, expected),
    offsetof(struct started_object, value),   offsetof(struct started_object, error),
    offsetof(struct started_object, lock),
};
#define PLACES (sizeof places / sizeof *places)

static PyObject **place_of(PyObject *self, size_t number) { return object_at(self, places[number]); }

static int started_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    for (size_t i = 0; i < PLACES; i++)
        Py_VISIT(*place_of(self, i));
    return 0;
}

static int started_clear(PyObject *self) {
    for (size_t i = 0; i < PLACES; i++)
        Py_CLEAR(*place_of(self, i));
    return 0;
}

static void started_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    started_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"result", (PyCFunction)(void (*)(void))started_result, METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     "result(timeout=None)\n--\n\nThe result of the call, which is waited for."},
    {NULL, NULL, 0, NULL},
};

#define MEMBER(name, kind, of) {name, kind, offsetof(struct started_object, of), 0, NULL}
static PyMemberDef members[] = {
    MEMBER("_link", T_OBJECT, link),       MEMBER("_id", T_OBJECT, id),         MEMBER("operation", T_OBJECT, operation),
    MEMBER("_timeout", T_OBJECT, timeout), MEMBER("_reading", T_OBJECT, reading), MEMBER("_value", T_OBJECT, value),
    MEMBER("error", T_OBJECT, error),      MEMBER("lock", T_OBJECT, lock),      MEMBER("deadline", T_DOUBLE, deadline),
    MEMBER("settled", T_BOOL, settled),    MEMBER("_full", T_BOOL, full),       MEMBER("_published", T_BOOL, published),
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A started call that waits for its answer; see pump/future.py."},
    {Py_tp_dealloc, started_dealloc},
    {Py_tp_traverse, started_traverse},
    {Py_tp_clear, started_clear},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec started_type_spec = {
    .name = "tincans._speed._core.Started",
    .basicsize = sizeof(struct started_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
