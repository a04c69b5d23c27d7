/* The type Ring: attaching, closing, attributes, and the errors it raises.
 *
 * Rules of this file
 * - `attach` duplicates the descriptors it keeps: the caller closes its own.
 * - `close` never waits: a thread inside is woken and frees the ring as it leaves.
 * - In a forked child only `close` works: it lets go of the child's copies, and the parent's connection lives on.
 */
#include "ring_object.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

/* Closing and freeing exclude each other (a few lines, never a wait), for closing still writes into the memory. */
static void lock_end(struct ring_object *ring) {
    while (atomic_exchange(&ring->ending, true))
        sched_yield();
}

static void unlock_end(struct ring_object *ring) { atomic_store(&ring->ending, false); }

static void free_when_empty(struct ring_object *ring) {
    lock_end(ring);
    if (!ring->freed && flag_take(&ring->sending)) {
        if (flag_take(&ring->receiving)) {
            ring->freed = true; /* and both directions stay taken for ever */
            link_free(&ring->link);
        } else {
            flag_leave(&ring->sending);
        }
    }
    unlock_end(ring);
}

static bool is_foreign(const struct ring_object *ring) { return ring->process != module_process(); }

bool ring_enter(struct ring_object *ring, _Atomic bool *direction) {
    struct module_state *state = module_state_of((PyObject *)ring);
    if (is_foreign(ring)) {
        PyErr_SetString(state->closed, "This connection belongs to the parent process; a forked child opens its own.");
        return false;
    }
    if (flag_take(direction)) {
        if (!atomic_load(&ring->link.closed))
            return true;
        ring_leave(ring, direction);
    }
    if (atomic_load(&ring->link.closed))
        ring_raise(ring, LINK_CLOSED, false);
    else
        PyErr_SetString(state->error, "Two threads use the same direction of one connection at once; "
                                      "let one of them send and one receive.");
    return false;
}

void ring_leave(struct ring_object *ring, _Atomic bool *direction) {
    flag_leave(direction);
    if (atomic_load(&ring->link.closed))
        free_when_empty(ring);
}

static void raise_disconnected(struct module_state *state, bool sending) {
    const char *text = sending ? "The other program is gone (it closed the connection, or ended); the message was not "
                                 "delivered. Connect again."
                               : "The other program is gone (it closed the connection, or ended). Connect again.";
    PyObject *error = PyObject_CallFunction(state->disconnected, "s", text);
    PyObject *outcome = sending ? PyUnicode_FromString("not_sent") : Py_NewRef(Py_None);
    if (error != NULL && outcome != NULL && PyObject_SetAttrString(error, "outcome", outcome) == 0)
        PyErr_SetObject(state->disconnected, error);
    Py_XDECREF(error);
    Py_XDECREF(outcome);
}

void ring_raise(struct ring_object *ring, enum link_result result, bool sending) {
    struct module_state *state = module_state_of((PyObject *)ring);
    if (PyErr_Occurred()) /* a signal handler's */
        return;
    if (result == LINK_GONE)
        raise_disconnected(state, sending);
    else if (result == LINK_CLOSED)
        PyErr_SetString(state->closed, "This connection was closed on this side; open a new one.");
    else if (result == LINK_BROKEN)
        PyErr_SetString(state->protocol, "The other program wrote something into the shared memory that is not our "
                                         "protocol; close this connection.");
    else
        PyErr_Format(state->error, "Waiting for the other program failed: %s.", strerror(errno));
}

void ring_raise_too_large(struct ring_object *ring, bool sending, uint64_t size) {
    struct module_state *state = module_state_of((PyObject *)ring);
    unsigned long long most = atomic_load(&ring->max_message);
    if (sending)
        PyErr_Format(state->too_large,
                     "The message has %llu bytes, the limit is %llu; send less at once, or raise max_message on both "
                     "sides.", (unsigned long long)size, most);
    else
        PyErr_Format(state->protocol,
                     "The other program sends a message over our limit of %llu bytes; raise max_message here, or "
                     "send less there.", most);
}

static int raise_errno(struct module_state *state, const char *what) {
    PyErr_Format(state->error, "%s: %s.", what, strerror(errno));
    return -1;
}

static PyObject *ring_create(PyObject *type, PyObject *capacity) {
    struct module_state *state = PyType_GetModuleState((PyTypeObject *)type);
    unsigned long long bytes = PyLong_AsUnsignedLongLong(capacity);
    if (bytes == (unsigned long long)-1 && PyErr_Occurred())
        PyErr_Clear(); /* -1 is refused below like any other wrong number */
    int memory = segment_create(bytes);
    int to_server = memory < 0 ? -1 : segment_create_bell();
    int to_client = to_server < 0 ? -1 : segment_create_bell();
    if (to_client >= 0)
        return Py_BuildValue("(iii)", memory, to_server, to_client);
    if (errno == EINVAL)
        PyErr_Format(state->error, "The capacity of a ring is a power of two from %llu to %llu bytes, not %R.",
                     (unsigned long long)SEGMENT_MIN_CAPACITY, (unsigned long long)SEGMENT_MAX_CAPACITY, capacity);
    else
        raise_errno(state, "Shared memory for a connection could not be made");
    if (memory >= 0)
        close(memory);
    if (to_server >= 0)
        close(to_server);
    return NULL;
}

static enum segment_verdict check_given(const int given[4], unsigned long long limit, struct segment *segment) {
    enum segment_verdict verdict = segment_check_bell(given[1]);
    if (verdict == SEGMENT_OK)
        verdict = segment_check_bell(given[2]);
    return verdict == SEGMENT_OK ? segment_map(segment, given[0], limit) : verdict;
}

/* Our own copies of the bells and the socket; all or none. */
static int duplicate(const int given[4], int own[3]) {
    for (int i = 0; i < 3; i++) {
        own[i] = fcntl(given[i + 1], F_DUPFD_CLOEXEC, 0);
        if (own[i] < 0) {
            while (i-- > 0)
                close(own[i]);
            return -1;
        }
    }
    return 0;
}

/* Checks and duplicates what the other side gave us, and opens the link. */
static int open_ring(struct ring_object *ring, const int given[4], int side, unsigned long long limit) {
    struct module_state *state = module_state_of((PyObject *)ring);
    struct segment segment;
    int own[3];
    enum segment_verdict verdict = check_given(given, limit, &segment);
    if (verdict != SEGMENT_OK) {
        PyErr_Format(state->protocol, "The other program's half of the connection was refused: %s.",
                     segment_explain(verdict));
        return -1;
    }
    if (duplicate(given, own) < 0) {
        raise_errno(state, "A descriptor of the connection could not be duplicated");
        segment_unmap(&segment);
        return -1;
    }
    if (link_open(&ring->link, segment, own, own[2], side, ring->spin) < 0)
        return raise_errno(state, "The connection could not be watched");
    ring->link.receiving.minds_signals = ring->link.sending.minds_signals = true;
    ring->opened = true;
    return 0;
}

static PyObject *ring_attach(PyObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"memory", "to_server", "to_client", "socket",      "side",
                            "capacity_limit", "max_message", "spin", NULL};
    int given[4];
    int side;
    unsigned long long limit = SEGMENT_MAX_CAPACITY;
    unsigned long long max_message = RING_MAX_LENGTH;
    double spin = 50e-6;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iiiii|$KKd:attach", names, &given[0], &given[1], &given[2],
                                     &given[3], &side, &limit, &max_message, &spin))
        return NULL;
    struct ring_object *ring = PyObject_New(struct ring_object, (PyTypeObject *)type);
    if (ring == NULL)
        return NULL;
    memset((char *)ring + sizeof(PyObject), 0, sizeof *ring - sizeof(PyObject));
    ring->process = module_process();
    ring->max_message = max_message;
    ring->spin = spin > 0 ? (int64_t)((spin < 1 ? spin : 1) * 1e9) : 0;
    ring->parts = ring->few_parts;
    ring->part_room = FEW_PARTS;
    if (open_ring(ring, given, side != 0, limit) == 0)
        return (PyObject *)ring;
    Py_DECREF(ring);
    return NULL;
}

static PyObject *ring_close(PyObject *self, PyObject *Py_UNUSED(unused)) {
    struct ring_object *ring = (struct ring_object *)self;
    if (is_foreign(ring)) { /* the threads that were inside exist in the parent only */
        ring->sending = ring->receiving = ring->freed;
        ring->ending = false;
    }
    lock_end(ring);
    link_close(&ring->link, !is_foreign(ring));
    unlock_end(ring);
    free_when_empty(ring);
    Py_RETURN_NONE;
}

static void ring_dealloc(PyObject *self) {
    struct ring_object *ring = (struct ring_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (ring->opened && !ring->freed) {
        link_close(&ring->link, !is_foreign(ring));
        link_free(&ring->link);
    }
    ring_drop_incoming(ring);
    PyMem_RawFree(ring->kept);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *ring_fileno(PyObject *self, PyObject *Py_UNUSED(unused)) {
    struct ring_object *ring = (struct ring_object *)self;
    if (atomic_load(&ring->link.closed) || is_foreign(ring))
        Py_RETURN_NONE;
    return PyLong_FromLong(ring->link.in_set);
}

static PyObject *get_max_message(PyObject *self, void *Py_UNUSED(unused)) {
    return PyLong_FromUnsignedLongLong(atomic_load(&((struct ring_object *)self)->max_message));
}

static int set_max_message(PyObject *self, PyObject *value, void *Py_UNUSED(unused)) {
    unsigned long long bytes = value == NULL ? 0 : PyLong_AsUnsignedLongLong(value);
    if (value == NULL || (bytes == (unsigned long long)-1 && PyErr_Occurred()))
        return -1;
    atomic_store(&((struct ring_object *)self)->max_message, bytes);
    return 0;
}

static PyObject *get_capacity(PyObject *self, void *Py_UNUSED(unused)) {
    return PyLong_FromUnsignedLongLong(((struct ring_object *)self)->link.segment.capacity);
}

static PyObject *get_owed(PyObject *self, void *Py_UNUSED(unused)) {
    return PyBool_FromLong(((struct ring_object *)self)->owed);
}

static int set_owed(PyObject *self, PyObject *value, void *Py_UNUSED(unused)) {
    int owed = value == NULL ? 0 : PyObject_IsTrue(value);
    if (owed >= 0)
        ((struct ring_object *)self)->owed = owed != 0;
    return owed < 0 ? -1 : 0;
}

static PyObject *ring_expect(PyObject *self, PyObject *Py_UNUSED(unused)) {
    patience_expect(&((struct ring_object *)self)->link.receiving);
    Py_RETURN_NONE;
}

static PyObject *get_spin(PyObject *self, void *Py_UNUSED(unused)) {
    return PyFloat_FromDouble((double)((struct ring_object *)self)->link.receiving.most / 1e9);
}

static PyObject *get_closed(PyObject *self, void *Py_UNUSED(unused)) {
    return PyBool_FromLong(atomic_load(&((struct ring_object *)self)->link.closed));
}

static PyMethodDef methods[] = {
    {"create", ring_create, METH_O | METH_CLASS,
     "Descriptors for a new connection: memory, bell to the server, bell to the client."},
    {"attach", (PyCFunction)(void (*)(void))ring_attach, METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "One end of a connection; the descriptors are duplicated."},
    {"send", (PyCFunction)(void (*)(void))ring_send, METH_FASTCALL,
     "Send one message; False when nothing of it left in time."},
    {"flush", ring_flush, METH_O, "Send what an earlier send had to keep; True when nothing is left."},
    {"receive", ring_receive, METH_O, "The next message's parts; None when it did not come in time."},
    {"send_at_once", ring_send_at_once, METH_O, "Send one part of bytes; False when it cannot leave now: nothing was sent."},
    {"receive_one", ring_receive_one, METH_O, "Like receive, but a message of one part is that part."},
    {"receive_here", ring_receive_here, METH_O,
     "Like receive_one, but only what is here: never waits, and asks for no bell; with False only what the last look "
     "has found. None also when the other end is gone."},
    {"exchange", (PyCFunction)(void (*)(void))ring_exchange, METH_FASTCALL,
     "Send one part and receive as receive_one does; False when it cannot leave at once: nothing was sent."},
    {"prepare_wait", ring_prepare_wait, METH_NOARGS, "Before polling fileno(): True when receive would not wait now."},
    {"expect", ring_expect, METH_NOARGS, "The next message comes soon after what is being done: spin longer for it."},
    {"pending", ring_pending, METH_NOARGS, "True when something was written that is not received; never waits."},
    {"fileno", ring_fileno, METH_NOARGS, "Polls readable when receive(0) may get something; None once closed."},
    {"close", ring_close, METH_NOARGS, "Close, wake everybody on both sides. May be called twice, from any thread."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"max_message", get_max_message, set_max_message, "Bytes; the largest message either way.", NULL},
    {"capacity", get_capacity, NULL, "Bytes in each direction's ring.", NULL},
    {"spin", get_spin, NULL, "Seconds to spin at most before sleeping; 0 with one CPU.", NULL},
    {"owed", get_owed, set_owed, "Whether a message must be sent before any other; who sends it says so.", NULL},
    {"closed", get_closed, NULL, "Whether close was called on this side.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "One end of a connection through two rings in shared memory."},
    {Py_tp_dealloc, ring_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

PyType_Spec ring_type_spec = {
    .name = "tincans._speed._core.Ring",
    .basicsize = sizeof(struct ring_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};
