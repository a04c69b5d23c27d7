/* The Python module `tincans._speed._ring`: the type Ring, and waiting on descriptors in one call.
 *
 * Rules of this file
 * - It starts the module and keeps its state; ring_type.c, descriptors.c and signals.c have the contents.
 * - Errors are raised as the classes of tincans.errors, so that no Python layer is needed on the fast path.
 */
#include "module.h"

#include <math.h>
#include <pthread.h>

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

static int load_errors(struct module_state *state) {
    PyObject *errors = PyImport_ImportModule("tincans.errors");
    if (errors == NULL)
        return -1;
    struct {
        PyObject **place;
        const char *name;
    } wanted[] = {
        {&state->error, "TincansError"},       {&state->disconnected, "DisconnectedError"},
        {&state->closed, "ClosedError"},       {&state->protocol, "ProtocolError"},
        {&state->too_large, "TooLargeError"},  {&state->unsendable, "UnsendableError"},
    };
    int result = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && result == 0; i++)
        if ((*wanted[i].place = PyObject_GetAttrString(errors, wanted[i].name)) == NULL)
            result = -1;
    Py_DECREF(errors);
    return result;
}

static int execute(PyObject *module) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    struct module_state *state = PyModule_GetState(module);
    state->ring_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &ring_type_spec, NULL);
    state->patience_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &patience_type_spec, NULL);
    if (state->patience_type == NULL || PyModule_AddType(module, state->patience_type) < 0)
        return -1;
    if (state->ring_type == NULL || PyModule_AddType(module, state->ring_type) < 0 || load_errors(state) < 0)
        return -1;
    if (PyModule_AddFunctions(module, signal_functions) < 0)
        return -1;
    return PyModule_AddFunctions(module, descriptor_functions);
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    struct module_state *state = PyModule_GetState(module);
    Py_VISIT(state->ring_type);
    Py_VISIT(state->patience_type);
    Py_VISIT(state->error);
    Py_VISIT(state->disconnected);
    Py_VISIT(state->closed);
    Py_VISIT(state->protocol);
    Py_VISIT(state->too_large);
    Py_VISIT(state->unsendable);
    return 0;
}

static int clear(PyObject *module) {
    struct module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->ring_type);
    Py_CLEAR(state->patience_type);
    Py_CLEAR(state->error);
    Py_CLEAR(state->disconnected);
    Py_CLEAR(state->closed);
    Py_CLEAR(state->protocol);
    Py_CLEAR(state->too_large);
    Py_CLEAR(state->unsendable);
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
    .m_name = "tincans._speed._ring",
    .m_doc = "Messages through rings in shared memory, and waiting on descriptors in one call.",
    .m_size = sizeof(struct module_state),
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

struct module_state *module_state_of(PyObject *ring) { return PyType_GetModuleState(Py_TYPE(ring)); }

PyMODINIT_FUNC PyInit__ring(void) { return PyModuleDef_Init(&definition); }
