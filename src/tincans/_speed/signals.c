/* Signals that ring a doorbell: a handler in C that writes to an eventfd, and does nothing else.
 *
 * Rules of this file
 * - Python never runs inside a signal handler, and any thread may install this one (signal.signal wants the main one).
 * - How a signal is handled belongs to the process, not to a module: so here, and only here, is a global.
 * - A handler of somebody else's is left alone. Ours is never taken away again: a signal that is still under way would
 *   end the process.
 */
#include "module.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic int bell = -1;

static void ring(int number) {
    (void)number;
    int fd = atomic_load_explicit(&bell, memory_order_relaxed), before = errno;
    uint64_t one = 1;
    if (fd >= 0 && write(fd, &one, sizeof one) < 0) {
        /* it rings already */
    }
    errno = before;
}

PyDoc_STRVAR(ring_on_signal_doc,
             "ring_on_signal(number, descriptor, /)\n--\n\n"
             "Have the signal ring the eventfd `descriptor` (-1: none) from now on, the same one for all signals.\n\n"
             "False when this program has a handler of its own for it, which stays.");

static PyObject *ring_on_signal(PyObject *module, PyObject *args) {
    (void)module;
    int number, descriptor;
    struct sigaction before, ours = {.sa_handler = ring, .sa_flags = SA_RESTART};
    if (!PyArg_ParseTuple(args, "ii:ring_on_signal", &number, &descriptor))
        return NULL;
    if (sigaction(number, NULL, &before) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    bool is_free = before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN || before.sa_handler == ring;
    if (before.sa_flags & SA_SIGINFO || !is_free)
        Py_RETURN_FALSE;
    atomic_store(&bell, descriptor);
    sigemptyset(&ours.sa_mask);
    if (before.sa_handler != ring && sigaction(number, &ours, NULL) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_TRUE;
}

PyMethodDef signal_functions[] = {
    {"ring_on_signal", ring_on_signal, METH_VARARGS, ring_on_signal_doc},
    {NULL, NULL, 0, NULL},
};
