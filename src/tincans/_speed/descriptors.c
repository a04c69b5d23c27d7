/* Waiting on plain descriptors in one call: what a pipe or socket needs to answer fast.
 *
 * Rules of this file
 * - The GIL is released once for spinning, waiting and reading together.
 * - Descriptors are the caller's, and must be non-blocking: another reader may be quicker.
 */
#include "module.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALL_READ 16384
#define READ_TIMEOUT (-2)

struct patience_object {
    PyObject_HEAD
    struct patience patience;
};

static PyObject *patience_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"most", NULL};
    double most;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "d:Patience", names, &most))
        return NULL;
    struct patience_object *patience = PyObject_New(struct patience_object, type);
    if (patience != NULL)
        patience_set(&patience->patience, most > 0 ? (int64_t)((most < 1 ? most : 1) * 1e9) : 0);
    if (patience != NULL)
        patience->patience.minds_signals = true;
    return (PyObject *)patience;
}

static void patience_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot patience_slots[] = {
    {Py_tp_doc, "Patience(most): how long to spin before sleeping, in seconds, learned from wait to wait."},
    {Py_tp_new, patience_new},
    {Py_tp_dealloc, patience_dealloc},
    {0, NULL},
};

PyType_Spec patience_type_spec = {
    .name = "tincans._speed._core.Patience",
    .basicsize = sizeof(struct patience_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = patience_slots,
};

static int milliseconds_left(int64_t deadline) {
    if (deadline == LINK_FOREVER)
        return -1;
    int64_t left = deadline == LINK_AT_ONCE ? 0 : deadline - patience_clock();
    if (left <= 0)
        return 0;
    return left > (int64_t)3600 * 1000000000 ? 3600 * 1000 : (int)((left + 999999) / 1000000);
}

/* poll() until something is ready, the deadline passes (0), or a signal comes (-1, EINTR). */
static int poll_until(struct pollfd *watched, nfds_t count, int64_t deadline) {
    for (;;) {
        int milliseconds = milliseconds_left(deadline);
        int ready = poll(watched, count, milliseconds);
        if (ready != 0 || milliseconds_left(deadline) == 0)
            return ready;
    }
}

/* What is there now. A socket need not be non-blocking for this, another descriptor must be. */
static ssize_t look(int descriptor, char *to, size_t room, bool is_socket) {
    return is_socket ? recv(descriptor, to, room, MSG_DONTWAIT) : read(descriptor, to, room);
}

/* After a spin in vain: whether signals are to be handled before we sleep; then errno says EINTR. */
static bool is_interrupted(struct patience *patience) {
    patience_failed(patience);
    bool interrupted = patience_yields(patience);
    if (interrupted)
        errno = EINTR;
    return interrupted;
}

/* Bytes read, 0 at the end, READ_TIMEOUT, or -1 (errno; EINTR: signals are to be handled). */
static ssize_t read_until(int descriptor, char *to, size_t room, bool is_socket, struct patience *patience,
                          int64_t deadline) {
    int64_t start = patience_clock();
    if (!patience_resumes(patience)) {
        int64_t until = patience_until(patience, start, deadline);
        while (patience_clock() < until) {
            ssize_t size = look(descriptor, to, room, is_socket);
            if (size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
                patience_paid(patience);
                return size;
            }
        }
        if (is_interrupted(patience))
            return -1;
    }
    for (;;) {
        struct pollfd watched = {.fd = descriptor, .events = POLLIN};
        int ready = poll_until(&watched, 1, deadline);
        if (ready <= 0)
            return ready == 0 ? READ_TIMEOUT : -1;
        patience_slept(patience, start);
        ssize_t size = look(descriptor, to, room, is_socket);
        if (size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            return size;
    }
}

static ssize_t read_with_signals(int descriptor, char *to, size_t room, bool is_socket, struct patience *patience,
                                 struct limit *limit) {
    for (;;) {
        ssize_t size = look(descriptor, to, room, is_socket); /* what is there already needs no release of the GIL */
        if (size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            return size;
        int64_t deadline = limit_deadline(limit);
        if (deadline == LINK_AT_ONCE)
            return READ_TIMEOUT;
        Py_BEGIN_ALLOW_THREADS
        size = read_until(descriptor, to, room, is_socket, patience, deadline);
        Py_END_ALLOW_THREADS
        if (size != -1 || errno != EINTR || PyErr_CheckSignals() < 0)
            return size;
    }
}

static PyObject *ready_bytes(PyObject *module, PyObject *const *args, Py_ssize_t count, bool is_socket) {
    struct module_state *state = PyModule_GetState(module);
    char small[SMALL_READ];
    struct limit limit;
    if (count != 4 || Py_TYPE(args[2]) != state->patience_type) {
        PyErr_SetString(PyExc_TypeError, "it takes a descriptor, a size, a Patience, and a timeout");
        return NULL;
    }
    int descriptor = PyObject_AsFileDescriptor(args[0]);
    Py_ssize_t room = descriptor < 0 ? -1 : PyLong_AsSsize_t(args[1]);
    if (PyErr_Occurred() || !limit_from(args[3], &limit))
        return NULL;
    if (room < 1) {
        PyErr_SetString(PyExc_ValueError, "it reads at least one byte");
        return NULL;
    }
    PyObject *large = room > SMALL_READ ? PyBytes_FromStringAndSize(NULL, room) : NULL;
    if (room > SMALL_READ && large == NULL)
        return NULL;
    char *to = large == NULL ? small : PyBytes_AS_STRING(large);
    struct patience *patience = &((struct patience_object *)args[2])->patience;
    ssize_t size = read_with_signals(descriptor, to, (size_t)room, is_socket, patience, &limit);
    if (size >= 0) {
        if (large == NULL)
            return PyBytes_FromStringAndSize(small, size);
        _PyBytes_Resize(&large, size);
        return large;
    }
    Py_XDECREF(large);
    if (size == READ_TIMEOUT)
        Py_RETURN_NONE;
    return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *read_ready(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return ready_bytes(module, args, count, false);
}

static PyObject *receive_ready(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return ready_bytes(module, args, count, true);
}

/* Looks while that pays, then sleeps in the kernel, which ends the wait (SO_RCVTIMEO). -1: errno. */
static ssize_t look_and_sleep(int socket, char *to, size_t room, struct patience *patience) {
    int64_t start = patience_clock();
    if (!patience_resumes(patience) && patience_is_high(patience) && patience_begin(patience)) {
        int64_t until = patience_until(patience, start, LINK_FOREVER);
        ssize_t size;
        do {
            size = recv(socket, to, room, MSG_DONTWAIT);
        } while (size < 0 && errno == EAGAIN && patience_clock() < until);
        patience_end();
        if (size >= 0 || errno != EAGAIN) {
            patience_paid(patience);
            return size;
        }
        if (is_interrupted(patience))
            return -1;
    }
    ssize_t size = recv(socket, to, room, 0);
    if (size > 0)
        patience_slept(patience, start);
    return size;
}

static PyObject *receive_waiting(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    struct module_state *state = PyModule_GetState(module);
    if (count != 2 || Py_TYPE(args[1]) != state->patience_type) {
        PyErr_SetString(PyExc_TypeError, "receive_waiting takes a socket's descriptor and a Patience");
        return NULL;
    }
    int socket = PyObject_AsFileDescriptor(args[0]);
    if (socket < 0)
        return NULL;
    struct patience *patience = &((struct patience_object *)args[1])->patience;
    char bytes[SMALL_READ];
    for (;;) {
        ssize_t size = -1;
        bool look = patience_is_high(patience); /* what is there already needs no release of the GIL */
        if (look)
            size = recv(socket, bytes, sizeof bytes, MSG_DONTWAIT);
        if (!look || (size < 0 && errno == EAGAIN)) {
            Py_BEGIN_ALLOW_THREADS
            size = look_and_sleep(socket, bytes, sizeof bytes, patience);
            Py_END_ALLOW_THREADS
        }
        if (size >= 0)
            return PyBytes_FromStringAndSize(bytes, size);
        if (errno == EAGAIN)
            Py_RETURN_NONE;
        if (errno != EINTR)
            return PyErr_SetFromErrno(PyExc_OSError);
        if (PyErr_CheckSignals() < 0)
            return NULL;
    }
}

static PyObject *wait_readable(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    struct limit limit;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "wait_readable takes a descriptor, a descriptor that wakes it, and a timeout");
        return NULL;
    }
    int descriptor = PyObject_AsFileDescriptor(args[0]);
    int wake = descriptor < 0 ? -1 : PyObject_AsFileDescriptor(args[1]);
    if (wake < 0 || !limit_from(args[2], &limit))
        return NULL;
    struct pollfd watched[2] = {{.fd = descriptor, .events = POLLIN}, {.fd = wake, .events = POLLIN}};
    for (;;) {
        int64_t deadline = limit_deadline(&limit);
        int ready;
        Py_BEGIN_ALLOW_THREADS
        ready = poll_until(watched, 2, deadline);
        Py_END_ALLOW_THREADS
        if (ready >= 0)
            return PyLong_FromLong(ready == 0 ? 0 : (watched[0].revents != 0) | (watched[1].revents != 0) << 1);
        if (errno != EINTR)
            return PyErr_SetFromErrno(PyExc_OSError);
        if (PyErr_CheckSignals() < 0)
            return NULL;
    }
}

PyMethodDef descriptor_functions[] = {
    {"receive_ready", (PyCFunction)(void (*)(void))receive_ready, METH_FASTCALL,
     "The same for a socket, which may be a blocking one."},
    {"receive_waiting", (PyCFunction)(void (*)(void))receive_waiting, METH_FASTCALL,
     "receive_waiting(descriptor, patience): up to 16 KiB of a blocking socket, b'' at the end; None when nothing came "
     "within its SO_RCVTIMEO."},
    {"read_ready", (PyCFunction)(void (*)(void))read_ready, METH_FASTCALL,
     "read_ready(descriptor, size, patience, timeout): bytes, b'' at the end, None when nothing came in time."},
    {"wait_readable", (PyCFunction)(void (*)(void))wait_readable, METH_FASTCALL,
     "wait_readable(descriptor, wake, timeout): 1 the first is readable, 2 the second, 3 both, 0 neither in time."},
    {NULL, NULL, 0, NULL},
};
