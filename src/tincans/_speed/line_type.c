/* The types Role and Line.
 *
 * Rules of this file
 * - A Role is used like threading.Lock by Python, without waiting; C uses it directly.
 * - A Line holds its link and is held by it: the garbage collector knows both ways.
 */
#include "line.h"

#include <stddef.h>
#include <structmember.h>

/* ---- Role ---- */

static PyObject *role_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (!PyArg_ParseTuple(args, ":Role") || (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0))
        return NULL;
    return type->tp_alloc(type, 0); /* zeroed: free */
}

static void role_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *role_acquire(PyObject *self, PyObject *Py_UNUSED(blocking)) {
    return PyBool_FromLong(role_take((struct role_object *)self));
}

static PyObject *role_release(PyObject *self, PyObject *Py_UNUSED(unused)) {
    role_leave((struct role_object *)self);
    Py_RETURN_NONE;
}

static PyObject *role_locked(PyObject *self, PyObject *Py_UNUSED(unused)) {
    return PyBool_FromLong(atomic_load(&((struct role_object *)self)->held));
}

static PyMethodDef role_methods[] = {
    {"acquire", role_acquire, METH_O, "acquire(False): whether we have it now; it never waits."},
    {"release", role_release, METH_NOARGS, "Give it back."},
    {"locked", role_locked, METH_NOARGS, "Whether somebody has it."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot role_slots[] = {
    {Py_tp_doc, "The role of the one who reads a link: a lock that nobody waits for."},
    {Py_tp_new, role_new},
    {Py_tp_dealloc, role_dealloc},
    {Py_tp_methods, role_methods},
    {0, NULL},
};

PyType_Spec role_type_spec = {
    .name = "tincans._speed._core.Role",
    .basicsize = sizeof(struct role_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = role_slots,
};

/* ---- Line ---- */

PyObject *line_take_error(void) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(error, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return error;
}

bool line_is_over(struct line_object *line, bool ring) {
    if ((line->ring != NULL) == ring)
        return true;
    PyErr_SetString(PyExc_TypeError, ring ? "This line is over a stream." : "This line is over a ring.");
    return false;
}

int line_cork(struct line_object *line, const struct writer *out) {
    PyObject *bytes = plain_bytes(out);
    PyObject *parts = bytes == NULL ? NULL : PyList_New(1);
    if (parts == NULL) {
        Py_XDECREF(bytes);
        return -1;
    }
    PyList_SET_ITEM(parts, 0, bytes);
    PyObject *done = PyObject_CallMethodOneArg(line->corked, line_state(line)->append, parts);
    Py_DECREF(parts);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int line_attend(struct line_object *line) {
    int attended = PyDict_Contains(line->attended, line->link);
    return attended == 0 ? line_tell(line, line_state(line)->look_soon) : attended < 0 ? -1 : 0;
}

int line_tell(struct line_object *line, PyObject *method) {
    PyObject *told = PyObject_CallMethodNoArgs(line->link, method);
    Py_XDECREF(told);
    return told == NULL ? -1 : 0;
}

/* Whether nobody else sees to what is left in the background: news, or a link that nobody looks after. */
static bool needs_attention(struct line_object *line) {
    return line->background &&
           (ring_has_news(&line->ring->link.reader) || PyDict_Contains(line->attended, line->link) != 1);
}

int line_leave(struct line_object *line) {
    struct module_state *state = line_state(line);
    PyObject *type, *value, *traceback;
    bool alive = !atomic_load_explicit(&line->ring->link.closed, memory_order_relaxed);
    if (alive && !needs_attention(line) && line_is_empty(line->parked)) {
        role_leave(line->role);
        return 0;
    }
    PyErr_Fetch(&type, &value, &traceback);
    int told = line_tell(line, state->pass_on);
    if (told == 0 || type != NULL)
        PyErr_Restore(type, value, traceback);
    return told;
}

/* The objects of a line, in the order of the arguments of `Line`; the types of the first two are looked at. */
static const size_t places[] = {
    offsetof(struct line_object, ring),     offsetof(struct line_object, role),    offsetof(struct line_object, link),
    offsetof(struct line_object, calls),    offsetof(struct line_object, running), offsetof(struct line_object, inlets),
    offsetof(struct line_object, dropped),  offsetof(struct line_object, posted),  offsetof(struct line_object, corked),
    offsetof(struct line_object, parked),   offsetof(struct line_object, attended),
    offsetof(struct line_object, rebuild),  offsetof(struct line_object, deadlines), offsetof(struct line_object, ready),
    /* and what the last request leaves */
    offsetof(struct line_object, name),     offsetof(struct line_object, exposed), offsetof(struct line_object, function),
    offsetof(struct line_object, shape),
};
#define PLACES (sizeof places / sizeof *places)
#define GIVEN 14

static PyObject **place_of(PyObject *self, size_t number) { return object_at(self, places[number]); }

static PyObject *line_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    struct module_state *state = PyType_GetModuleState(type);
    bool right = PyTuple_GET_SIZE(args) == GIVEN + 1 && (kwargs == NULL || PyDict_GET_SIZE(kwargs) == 0);
    bool over_ring = right && Py_IS_TYPE(PyTuple_GET_ITEM(args, 0), state->ring_type);
    double cork_time = 0;
    Py_ssize_t cork_bytes = 0, cork_messages = 0;
    unsigned long long next_id = 0;
    if (!right || (!over_ring && PyTuple_GET_ITEM(args, 0) != Py_None) ||
        !Py_IS_TYPE(PyTuple_GET_ITEM(args, 1), state->role_type) || !PyTuple_Check(PyTuple_GET_ITEM(args, GIVEN))) {
        PyErr_SetString(PyExc_TypeError, "Line takes a Ring, a Role, the link and what it needs of it (_core.pyi).");
        return NULL;
    }
    if (!PyArg_ParseTuple(PyTuple_GET_ITEM(args, GIVEN), "Knnd", &next_id, &cork_bytes, &cork_messages, &cork_time))
        return NULL;
    PyObject *self = type->tp_alloc(type, 0);
    for (size_t i = over_ring ? 0 : 1; self != NULL && i < GIVEN; i++)
        *place_of(self, i) = Py_NewRef(PyTuple_GET_ITEM(args, i));
    if (self != NULL) {
        struct line_object *line = (struct line_object *)self;
        line->next_id = next_id;
        line->cork_bytes = cork_bytes;
        line->cork_messages = cork_messages;
        line->cork_time = (int64_t)(cork_time * 1e9);
    }
    return self;
}

static int line_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    for (size_t i = 0; i < PLACES; i++)
        Py_VISIT(*place_of(self, i));
    return 0;
}

/* What could hold its link; the ring and the role are needed as long as it lives. */
static int line_clear(PyObject *self) {
    for (size_t i = 2; i < PLACES; i++)
        Py_CLEAR(*place_of(self, i));
    return 0;
}

static void line_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    for (size_t i = 0; i < PLACES; i++)
        Py_CLEAR(*place_of(self, i));
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(line_wake_doc, "wake()\n--\n\nWake who waits for answers that have woken nobody yet, for more were to follow.");

static PyObject *line_wake_now(PyObject *self, PyObject *Py_UNUSED(unused)) {
    line_wake((struct line_object *)self);
    Py_RETURN_NONE;
}

static PyObject *line_new_id(PyObject *self, PyObject *Py_UNUSED(unused)) {
    return PyLong_FromUnsignedLongLong(line_next_id((struct line_object *)self));
}

static PyMethodDef line_methods[] = {
    {"serve", (PyCFunction)(void (*)(void))line_serve, METH_FASTCALL, line_serve_doc},
    {"serve_ready", (PyCFunction)(void (*)(void))line_serve_ready, METH_FASTCALL, line_serve_ready_doc},
    {"new_id", line_new_id, METH_NOARGS, "new_id()\n--\n\nThe next id of a call."},
    {"wake", line_wake_now, METH_NOARGS, line_wake_doc},
    {"take_answers", line_take_answers, METH_O, line_take_answers_doc},
    {"take_ready", line_take_ready, METH_NOARGS, line_take_ready_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef line_members[] = {
    {"heard", T_ULONGLONG, offsetof(struct line_object, heard), READONLY, "Messages that were received here."},
    {"background", T_BOOL, offsetof(struct line_object, background), 0, "Whether the link is read in the background."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot line_slots[] = {
    {Py_tp_doc, "What a plain call needs of one link, over a ring or a stream."},
    {Py_tp_new, line_new},
    {Py_tp_dealloc, line_dealloc},
    {Py_tp_traverse, line_traverse},
    {Py_tp_clear, line_clear},
    {Py_tp_methods, line_methods},
    {Py_tp_members, line_members},
    {0, NULL},
};

PyType_Spec line_type_spec = {
    .name = "tincans._speed._core.Line",
    .basicsize = sizeof(struct line_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = line_slots,
};
