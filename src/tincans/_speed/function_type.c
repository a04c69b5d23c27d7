/* The type Function.
 *
 * Rules of this file
 * - What the C core does not do alone is called `otherwise`, which gets the arguments as they came.
 */
#include "function.h"

#include <stddef.h>
#include <structmember.h>

static PyObject *call(PyObject *self, PyObject *const *args, size_t flags, PyObject *names) {
    struct function_object *function = (struct function_object *)self;
    struct module_state *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *(*way)(struct function_object *, struct line_object *, PyObject *const *, Py_ssize_t) =
        function->future == Py_None ? function_ask : function_start;
    if (names == NULL || PyTuple_GET_SIZE(names) == 0) {
        PyObject *line = PyObject_GetAttr(function->source, state->line);
        if (line == NULL)
            return NULL;
        PyObject *result = !Py_IS_TYPE(line, state->line_type)
                               ? Py_NewRef(Py_NotImplemented)
                               : way(function, (struct line_object *)line, args, PyVectorcall_NARGS(flags));
        Py_DECREF(line);
        if (result != Py_NotImplemented)
            return result;
        Py_DECREF(result);
    }
    return PyObject_Vectorcall(function->otherwise, args, flags, names);
}

/* What only a function that starts has. -1 with an exception. */
static int read_starting(struct function_object *function, struct module_state *state) {
    if (function->future == Py_None)
        return 0;
    if (!PyType_Check(function->future) || !PyType_IsSubtype((PyTypeObject *)function->future, state->started_type)) {
        PyErr_SetString(PyExc_TypeError, "The class of a started call extends Started.");
        return -1;
    }
    function->reading = PyObject_GetAttr(function->way, state->reading);
    function->limit = PyFloat_FromDouble(function->timeout);
    return function->reading == NULL || function->limit == NULL ? -1 : 0;
}

/* What it has of its way. -1 with an exception. */
static int read_way(struct function_object *function, struct module_state *state) {
    function->otherwise = PyObject_GetAttr(function->way, state->otherwise);
    PyObject *rest = function->otherwise == NULL ? NULL : PyObject_GetAttr(function->way, state->probe_after);
    function->probe_after = rest == NULL ? -1 : nanoseconds_from(rest);
    Py_XDECREF(rest);
    return function->probe_after < 0 ? -1 : read_starting(function, state);
}

static PyObject *function_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    struct module_state *state = PyType_GetModuleState(type);
    PyObject *source, *name, *expected, *way, *future = Py_None;
    double timeout;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "Function takes no keywords.");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OUdOO|O:Function", &source, &name, &timeout, &expected, &way, &future))
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
    function->future = Py_NewRef(future);
    function->timeout = timeout;
    if (read_way(function, state) < 0)
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
    Py_VISIT(function->future);
    Py_VISIT(function->reading);
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
    Py_CLEAR(function->future);
    Py_CLEAR(function->reading);
    Py_CLEAR(function->limit);
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
    {Py_tp_doc, "A function of another program: calling it calls that one, and waits for its result, or gives its future."},
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
