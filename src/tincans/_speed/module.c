/* The Python module `tincans._speed._core`.
 *
 * Rules of this file
 * - It starts the module and keeps its state. The types are in ring_type.c, line_type.c, function_type.c, started.c,
 *   news.c and descriptors.c, the functions in plain_write.c, plain_read.c, descriptors.c, large_copy.c and signals.c.
 * - Errors are raised as the classes of tincans.errors, so that no Python layer is needed on the fast path.
 */
#include "module.h"
#include "line.h"

#include <math.h>
#include <pthread.h>
#include <stddef.h>

static _Atomic unsigned process_number;

static void count_process(void) {
    atomic_fetch_add(&process_number, 1);
    patience_after_fork();
}
static void watch_forks(void) { pthread_atfork(NULL, NULL, count_process); }

unsigned module_process(void) { return atomic_load_explicit(&process_number, memory_order_relaxed); }

int64_t nanoseconds_from(PyObject *seconds) {
    double value = PyFloat_AsDouble(seconds);
    if (value == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(value)) {
        PyErr_SetString(PyExc_ValueError, "A timeout is a number of seconds, or None to wait as long as it takes.");
        return -1;
    }
    if (value <= 0.0)
        return 0;
    return value > 9e9 ? LINK_FOREVER : (int64_t)(value * 1e9);
}

bool limit_from(PyObject *timeout, struct limit *limit) {
    limit->deadline = -1;
    limit->nanoseconds = timeout == Py_None ? LINK_FOREVER : nanoseconds_from(timeout);
    return limit->nanoseconds >= 0;
}

int64_t limit_deadline(struct limit *limit) {
    if (limit->nanoseconds == LINK_AT_ONCE || limit->nanoseconds == LINK_FOREVER)
        return limit->nanoseconds;
    if (limit->deadline < 0)
        limit->deadline = patience_clock() + limit->nanoseconds;
    return limit->deadline;
}

/* What the state holds, by name: the types of this module, classes of tincans.errors, and names. */
#define HELD(what, of) {offsetof(struct module_state, of), what}
struct held {
    size_t place;
    const char *name;
};

static const struct held error_classes[] = {
    HELD("TincansError", error),       HELD("DisconnectedError", disconnected), HELD("ClosedError", closed),
    HELD("ProtocolError", protocol),   HELD("TooLargeError", too_large),        HELD("UnsendableError", unsendable),
};
static const struct held names[] = {
    HELD("pass_on", pass_on),     HELD("nudge_next", nudge_next), HELD("look_soon", look_soon), HELD("line", line),
    HELD("otherwise", otherwise), HELD("more", more),             HELD("failed", failed),       HELD("promised", promised),
    HELD("function", function),   HELD("plain", plain),           HELD("slow", slow),
    HELD("probe_after", probe_after), HELD("reading", reading), HELD("due", due), HELD("expect", expect),
    HELD("deliver_plain", deliver_plain), HELD("wait_for_result", wait_for_result), HELD("dead", dead),
    HELD("uncork", uncork), HELD("uncork_answers", uncork_answers), HELD("append", append), HELD("popleft", popleft),
};
static const struct {
    size_t place;
    PyType_Spec *spec;
} types[] = {
    HELD(&ring_type_spec, ring_type), HELD(&patience_type_spec, patience_type), HELD(&role_type_spec, role_type),
    HELD(&line_type_spec, line_type), HELD(&function_type_spec, function_type),
    HELD(&started_type_spec, started_type), HELD(&tap_type_spec, tap_type), HELD(&tray_type_spec, tray_type),
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static int load_errors(struct module_state *state) {
    PyObject *errors = PyImport_ImportModule("tincans.errors");
    if (errors == NULL)
        return -1;
    int result = 0;
    for (size_t i = 0; i < COUNT(error_classes) && result == 0; i++) {
        PyObject *class = PyObject_GetAttrString(errors, error_classes[i].name);
        *object_at(state, error_classes[i].place) = class;
        result = class == NULL ? -1 : 0;
    }
    Py_DECREF(errors);
    return result;
}

static int make_names(struct module_state *state) {
    for (size_t i = 0; i < COUNT(names); i++)
        if ((*object_at(state, names[i].place) = PyUnicode_InternFromString(names[i].name)) == NULL)
            return -1;
    return 0;
}

static int make_types(PyObject *module, struct module_state *state) {
    for (size_t i = 0; i < COUNT(types); i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, types[i].spec, NULL);
        *object_at(state, types[i].place) = type;
        if (type == NULL || PyModule_AddType(module, (PyTypeObject *)type) < 0)
            return -1;
    }
    return 0;
}

static int execute(PyObject *module) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    struct module_state *state = PyModule_GetState(module);
    if (make_types(module, state) < 0 || load_errors(state) < 0 || make_names(state) < 0)
        return -1;
    PyMethodDef *functions[] = {signal_functions, descriptor_functions, plain_writing, plain_reading, copy_functions};
    for (size_t i = 0; i < COUNT(functions); i++)
        if (PyModule_AddFunctions(module, functions[i]) < 0)
            return -1;
    return 0;
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    struct module_state *state = PyModule_GetState(module);
    for (size_t i = 0; i < COUNT(types); i++)
        Py_VISIT(*object_at(state, types[i].place));
    for (size_t i = 0; i < COUNT(error_classes); i++)
        Py_VISIT(*object_at(state, error_classes[i].place));
    return 0;
}

static int clear(PyObject *module) {
    struct module_state *state = PyModule_GetState(module);
    for (size_t i = 0; i < COUNT(types); i++)
        Py_CLEAR(*object_at(state, types[i].place));
    for (size_t i = 0; i < COUNT(error_classes); i++)
        Py_CLEAR(*object_at(state, error_classes[i].place));
    for (size_t i = 0; i < COUNT(names); i++)
        Py_CLEAR(*object_at(state, names[i].place));
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tincans._speed._core",
    .m_doc = "Plain messages, rings in shared memory, calls through them, and waiting on descriptors in one call.",
    .m_size = sizeof(struct module_state),
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

struct module_state *module_state_of(PyObject *ring) { return PyType_GetModuleState(Py_TYPE(ring)); }

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
