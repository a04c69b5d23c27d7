/* Sending a Python message: `send`, `flush`, and the rest that a timeout leaves behind.
 *
 * Rules of this file
 * - A message is never sent half: when the time is up in the middle, a copy of the rest is kept and goes first later.
 * - The parts are held while the GIL is released, so that nobody can free or resize them.
 */
#include "ring_object.h"

#include <string.h>

/* The parts of one message as C sees them, and what keeps them alive. */
struct held_parts {
    struct ring_part *parts;
    Py_buffer *buffers; /* obj NULL: a bytes object, held in `parts_held` */
    Py_ssize_t count;
    uint64_t size;
    struct ring_part few[FEW_PARTS];
    Py_buffer few_buffers[FEW_PARTS];
};

static void release_parts(struct held_parts *held) {
    for (Py_ssize_t i = 0; i < held->count; i++)
        PyBuffer_Release(&held->buffers[i]);
    if (held->parts != held->few) {
        PyMem_Free(held->parts);
        PyMem_Free(held->buffers);
    }
}

static int hold_part(struct held_parts *held, PyObject *part) {
    Py_buffer *buffer = &held->buffers[held->count];
    if (PyBytes_CheckExact(part)) { /* the common case without the buffer protocol */
        buffer->obj = Py_NewRef(part);
        buffer->buf = PyBytes_AS_STRING(part);
        buffer->len = PyBytes_GET_SIZE(part);
        buffer->internal = NULL;
    } else if (PyObject_GetBuffer(part, buffer, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    held->parts[held->count] = (struct ring_part){buffer->buf, (uint64_t)buffer->len};
    held->size += (uint64_t)buffer->len;
    held->count++;
    return 0;
}

static int hold_each(struct held_parts *held, PyObject *items, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        /* Asking a part for its buffer may run Python code that shortens the list, and drops that very part. */
        PyObject *part = i < PySequence_Fast_GET_SIZE(items) ? Py_NewRef(PySequence_Fast_GET_ITEM(items, i)) : NULL;
        int result = part == NULL ? -1 : hold_part(held, part);
        Py_XDECREF(part);
        if (result < 0) {
            release_parts(held);
            return -1;
        }
    }
    return 0;
}

static int hold_parts(struct ring_object *ring, struct held_parts *held, PyObject *items) {
    Py_ssize_t count = PySequence_Fast_GET_SIZE(items);
    held->count = 0;
    held->size = 0;
    held->parts = held->few;
    held->buffers = held->few_buffers;
    if (count > FEW_PARTS && count <= (Py_ssize_t)RING_MAX_PARTS) {
        held->parts = PyMem_New(struct ring_part, (size_t)count);
        held->buffers = PyMem_New(Py_buffer, (size_t)count);
        if (held->parts == NULL || held->buffers == NULL) {
            release_parts(held);
            PyErr_NoMemory();
            return -1;
        }
    }
    if (count >= 1 && count <= (Py_ssize_t)RING_MAX_PARTS && hold_each(held, items, count) == 0)
        return 0;
    if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_BufferError)) {
        PyErr_Clear();
        PyErr_Format(module_state_of((PyObject *)ring)->unsendable,
                     "A message is a list of 1 to %u contiguous buffers (bytes, bytearray, memoryview), "
                     "and this list of %zd has something else.", RING_MAX_PARTS, count);
    }
    return -1;
}

/* AGAIN with a Python exception set when a signal handler raised. */
static enum link_result push_all(struct ring_object *ring, struct ring_outgoing *message, struct limit *limit) {
    for (;;) {
        enum link_result result = link_push(&ring->link, message);
        if (result != LINK_AGAIN)
            return result;
        int64_t deadline = limit_deadline(limit);
        Py_BEGIN_ALLOW_THREADS
        result = link_wait_space(&ring->link, message, deadline);
        Py_END_ALLOW_THREADS
        if (result == LINK_INTERRUPTED) {
            if (PyErr_CheckSignals() < 0)
                return LINK_AGAIN;
        } else if (result != LINK_READY) {
            return result;
        }
    }
}

static int keep_rest(struct ring_object *ring, struct ring_outgoing *message) {
    uint64_t size = message->left;
    ring->kept = PyMem_RawMalloc(size);
    if (ring->kept == NULL) { /* the stream ends in the middle of a message: nothing can follow it */
        link_close(&ring->link, true);
        PyErr_NoMemory();
        return -1;
    }
    ring_copy(message, ring->kept, size);
    ring->kept_part = (struct ring_part){ring->kept, size};
    /* In the part already: the kept bytes have their words in them. */
    ring->kept_message = (struct ring_outgoing){
        .parts = &ring->kept_part, .count = 1, .left = size, .in_part = true, .begun = true};
    return 0;
}

/* 1: nothing is kept any more, 0: not in time, -1: exception. */
static int push_kept(struct ring_object *ring, struct limit *limit) {
    if (ring->kept == NULL)
        return 1;
    enum link_result result = push_all(ring, &ring->kept_message, limit);
    if (result == LINK_TIMEOUT)
        return 0;
    if (result != LINK_READY) {
        ring_raise(ring, result, true);
        return -1;
    }
    PyMem_RawFree(ring->kept);
    ring->kept = NULL;
    return 1;
}

static int push_message(struct ring_object *ring, const struct held_parts *held, struct limit *limit) {
    struct ring_outgoing message;
    ring_begin(&message, held->parts, (uint32_t)held->count);
    enum link_result result = push_all(ring, &message, limit);
    if (result == LINK_READY)
        return 1;
    bool interrupted = result == LINK_AGAIN;
    if (message.begun && (interrupted || result == LINK_TIMEOUT)) {
        if (keep_rest(ring, &message) < 0)
            return -1;
        return interrupted ? -1 : 1;
    }
    if (result == LINK_TIMEOUT)
        return 0;
    ring_raise(ring, result, true);
    return -1;
}

static int send_parts(struct ring_object *ring, PyObject *parts, struct limit *limit) {
    bool ready = PyList_CheckExact(parts) || PyTuple_CheckExact(parts);
    PyObject *items = ready ? Py_NewRef(parts) : PySequence_Tuple(parts);
#ifdef Py_GIL_DISABLED
    Py_SETREF(items, items == NULL ? NULL : PySequence_Tuple(items)); /* another thread may change the list */
#endif
    if (items == NULL)
        return -1;
    struct held_parts held;
    int result = hold_parts(ring, &held, items);
    if (result == 0) {
        if (held.size > atomic_load_explicit(&ring->max_message, memory_order_relaxed)) {
            ring_raise_too_large(ring, true, held.size);
            result = -1;
        } else if ((result = push_kept(ring, limit)) == 1) {
            result = push_message(ring, &held, limit);
        }
        release_parts(&held);
    }
    Py_DECREF(items);
    return result;
}

PyObject *ring_send(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    struct ring_object *ring = (struct ring_object *)self;
    struct limit limit;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "send takes the parts and a timeout: ring.send([b'message'], 1.0)");
        return NULL;
    }
    if (!limit_from(args[1], &limit) || !ring_enter(ring, &ring->sending))
        return NULL;
    int result = send_parts(ring, args[0], &limit);
    ring_leave(ring, &ring->sending);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static int push_at_once(struct ring_object *ring, const void *start, uint64_t length,
                        enum link_result (*push)(struct link *, struct ring_outgoing *)) {
    if (atomic_load_explicit(&ring->sending, memory_order_relaxed) || ring->kept != NULL)
        return 0;
    if (!ring_enter(ring, &ring->sending))
        return -1;
    int result = -1;
    struct ring_part whole = {start, length};
    if (whole.length > atomic_load_explicit(&ring->max_message, memory_order_relaxed)) {
        ring_raise_too_large(ring, true, whole.length);
    } else {
        struct ring_outgoing message;
        ring_begin(&message, &whole, 1);
        enum link_result pushed = message.left > ring->link.writer.capacity / 2 ? LINK_AGAIN
                                                                               : push(&ring->link, &message);
        result = pushed == LINK_READY ? 1 : 0;
        if (pushed != LINK_READY && pushed != LINK_AGAIN) {
            ring_raise(ring, pushed, true);
            result = -1;
        }
    }
    ring_leave(ring, &ring->sending);
    return result;
}

int ring_push_at_once(struct ring_object *ring, const void *start, uint64_t length) {
    return push_at_once(ring, start, length, link_push);
}

int ring_push_quietly(struct ring_object *ring, const void *start, uint64_t length) {
    return push_at_once(ring, start, length, link_push_quietly);
}

void ring_wake(struct ring_object *ring) {
    if (!ring->freed)
        link_wake(&ring->link);
}

/* `ring_push_at_once` of a bytes object. */
int ring_push_bytes(struct ring_object *ring, PyObject *part) {
    if (PyBytes_CheckExact(part))
        return ring_push_at_once(ring, PyBytes_AS_STRING(part), (uint64_t)PyBytes_GET_SIZE(part));
    PyErr_SetString(PyExc_TypeError, "This takes the message as bytes.");
    return -1;
}

PyObject *ring_send_at_once(PyObject *self, PyObject *part) {
    int sent = ring_push_bytes((struct ring_object *)self, part);
    return sent < 0 ? NULL : PyBool_FromLong(sent);
}

PyObject *ring_flush(PyObject *self, PyObject *timeout) {
    struct ring_object *ring = (struct ring_object *)self;
    struct limit limit;
    if (!limit_from(timeout, &limit) || !ring_enter(ring, &ring->sending))
        return NULL;
    int result = push_kept(ring, &limit);
    ring_leave(ring, &ring->sending);
    return result < 0 ? NULL : PyBool_FromLong(result);
}
