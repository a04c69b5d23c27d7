/* The type Function: what `peer.call.add` is, a plain call in one step.
 *
 * Rules of this file
 * - The short way is for a link that was used a moment ago and on which nobody waits for anything; all else, and what is
 *   not plain, is called `otherwise`, which gets the arguments as they came. Nothing of it was sent then.
 * - Who has sent a request has the reading role until it is answered, or until `more` and `failed` have seen to it.
 */
#include "line.h"

#include <stddef.h>
#include <structmember.h>

struct function_object {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *source;   /* its attribute `line` is the Line to use now, or None */
    PyObject *name;     /* of the function that is called */
    PyObject *expected; /* the exact class of its result; None: as it comes */
    PyObject *way;      /* has `otherwise`, `more`, `failed`, `promised` and `probe_after` */
    PyObject *otherwise;
    PyObject *shown; /* __name__ and __qualname__ */
    double timeout;
    int64_t probe_after; /* nanoseconds of silence after which a link is looked at before it is used */
};

/* The next id of a call; 0 with an exception. */
static uint64_t next_id(struct line_object *line) {
    PyObject *number = PyObject_CallNoArgs(line->new_id);
    uint64_t id = number == NULL ? 0 : PyLong_AsUnsignedLongLong(number);
    Py_XDECREF(number);
    return id == (uint64_t)-1 ? 0 : id;
}

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
    uint64_t id = next_id(line);
    plain_begin(&out);
    if (id == 0)
        return NULL;
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
    int64_t now = patience_clock(), before = line->used;
    line->used = now; /* also when it is not open: what is done otherwise looks at the link */
    return now - before <= function->probe_after && !atomic_load_explicit(&line->ring->link.closed, memory_order_relaxed) &&
           line_is_empty(line->calls) && line_is_empty(line->inlets) && line_is_empty(line->dropped) &&
           line_may_send(line) && role_take(line->role);
}

static PyObject *ask(struct function_object *function, struct line_object *line, PyObject *const *args,
                     Py_ssize_t count) {
    if (!is_open(function, line))
        return Py_NewRef(Py_NotImplemented);
    PyObject *result = exchange(function, line, args, count);
    if (line_leave(line) < 0)
        Py_CLEAR(result);
    return result;
}

static PyObject *call(PyObject *self, PyObject *const *args, size_t flags, PyObject *names) {
    struct function_object *function = (struct function_object *)self;
    struct module_state *state = PyType_GetModuleState(Py_TYPE(self));
    if (names == NULL || PyTuple_GET_SIZE(names) == 0) {
        PyObject *line = PyObject_GetAttr(function->source, state->line);
        if (line == NULL)
            return NULL;
        PyObject *result = Py_IS_TYPE(line, state->line_type) ? ask(function, (struct line_object *)line, args,
                                                                    PyVectorcall_NARGS(flags))
                                                              : Py_NewRef(Py_NotImplemented);
        Py_DECREF(line);
        if (result != Py_NotImplemented)
            return result;
        Py_DECREF(result);
    }
    return PyObject_Vectorcall(function->otherwise, args, flags, names);
}

/* ---- the type ---- */

static PyObject *function_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    struct module_state *state = PyType_GetModuleState(type);
    PyObject *source, *name, *expected, *way;
    double timeout;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "Function takes no keywords.");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OUdOO:Function", &source, &name, &timeout, &expected, &way))
        return NULL;
    if (!(timeout >= 0 && timeout < 9e9)) {
        PyErr_SetString(PyExc_ValueError, "A Function needs a timeout in seconds.");
        return NULL;
    }
    struct function_object *function = (struct function_object *)type->tp_alloc(type, 0);
    if (function == NULL)
        return NULL;
    function->vectorcall = call;
    function->source = Py_NewRef(source);
    function->name = Py_NewRef(name);
    function->shown = Py_NewRef(name);
    function->expected = Py_NewRef(expected);
    function->way = Py_NewRef(way);
    function->timeout = timeout;
    function->otherwise = PyObject_GetAttr(way, state->otherwise);
    PyObject *rest = function->otherwise == NULL ? NULL : PyObject_GetAttr(way, state->probe_after);
    function->probe_after = rest == NULL ? -1 : nanoseconds_from(rest);
    Py_XDECREF(rest);
    if (function->probe_after < 0)
        Py_CLEAR(function);
    return (PyObject *)function;
}

static int function_traverse(PyObject *self, visitproc visit, void *arg) {
    struct function_object *function = (struct function_object *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(function->source);
    Py_VISIT(function->expected);
    Py_VISIT(function->way);
    Py_VISIT(function->otherwise);
    return 0;
}

static void function_dealloc(PyObject *self) {
    struct function_object *function = (struct function_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(function->source);
    Py_CLEAR(function->name);
    Py_CLEAR(function->shown);
    Py_CLEAR(function->expected);
    Py_CLEAR(function->way);
    Py_CLEAR(function->otherwise);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *function_repr(PyObject *self) {
    struct function_object *function = (struct function_object *)self;
    return PyUnicode_FromFormat("<function %U of another program>", function->name);
}

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct function_object, vectorcall), READONLY, NULL},
    {"__name__", T_OBJECT, offsetof(struct function_object, shown), 0, "The name of the function."},
    {"__qualname__", T_OBJECT, offsetof(struct function_object, shown), 0, "The same."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A function of another program: calling it calls that one, and waits for its result."},
    {Py_tp_new, function_new},
    {Py_tp_dealloc, function_dealloc},
    {Py_tp_traverse, function_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_repr, function_repr},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec function_type_spec = {
    .name = "tincans._speed._core.Function",
    .basicsize = sizeof(struct function_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
