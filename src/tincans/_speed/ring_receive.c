/* Receiving a Python message: `receive`, `receive_one`, `receive_here`, `exchange` and `prepare_wait`.
 *
 * Rules of this file
 * - What has arrived of a message stays in the object when a timeout or a signal comes in between.
 * - Memory for a long part is taken as its bytes arrive, not on the word of its length.
 */
#include "ring_object.h"

/* Memory taken at once for a part; a longer one doubles as it fills. */
#define FIRST_SIZE ((uint64_t)1024 * 1024)
/* Looks at the ring with the GIL held, about 1 us: most answers of a fast partner come within it. */
#define GLANCE_ROUNDS 40

static int append_current(struct ring_object *ring) {
    if (ring->part_count == ring->part_room) {
        size_t room = ring->part_room * 2;
        PyObject **larger = PyMem_New(PyObject *, room);
        if (larger == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        for (size_t i = 0; i < ring->part_count; i++)
            larger[i] = ring->parts[i];
        if (ring->parts != ring->few_parts)
            PyMem_Free(ring->parts);
        ring->parts = larger;
        ring->part_room = room;
    }
    ring->parts[ring->part_count++] = ring->current;
    ring->current = NULL;
    return 0;
}

static int make_room(struct ring_object *ring) {
    uint64_t length = ring->incoming.length;
    if (ring->current == NULL) {
        ring->current = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(length < FIRST_SIZE ? length : FIRST_SIZE));
        return ring->current == NULL ? -1 : 0;
    }
    uint64_t size = (uint64_t)PyBytes_GET_SIZE(ring->current);
    if (ring->incoming.offset < size || size == length)
        return 0;
    uint64_t next = size * 2 < length ? size * 2 : length;
    PyObject *grown = ring->current;
    if (_PyBytes_Resize(&grown, (Py_ssize_t)next) < 0) { /* it freed what was there: the message is lost */
        ring->current = NULL;
        link_close(&ring->link, true);
        return -1;
    }
    ring->current = grown;
    return 0;
}

/* The current part as far as it is here. 1: complete, 0: more to come, -1: exception. */
static int fill_part(struct ring_object *ring) {
    struct ring_incoming *incoming = &ring->incoming;
    struct ring_reader *reader = &ring->link.reader;
    while (incoming->in_part) {
        if (make_room(ring) < 0)
            return -1;
        uint8_t *start = (uint8_t *)PyBytes_AS_STRING(ring->current);
        uint64_t room = (uint64_t)PyBytes_GET_SIZE(ring->current) - incoming->offset;
        int64_t done = ring_read(reader, incoming, start + incoming->offset, room);
        if (done < 0) {
            ring_raise(ring, LINK_BROKEN, false);
            return -1;
        }
        if (incoming->in_part && done == 0)
            return 0;
        if (reader->head - reader->released >= RING_CHUNK)
            link_release(&ring->link);
    }
    return 1;
}

/* The next message as far as it is here. 1: complete, 0: more to come, -1: exception. */
static int collect(struct ring_object *ring) {
    struct ring_incoming *incoming = &ring->incoming;
    if (ring->current == NULL && ring->part_count > 0 && incoming->remaining == 0)
        return 1; /* complete since an earlier call that ran out of memory */
    for (;;) {
        uint64_t most = atomic_load_explicit(&ring->max_message, memory_order_relaxed);
        enum ring_result result = ring_read_word(&ring->link.reader, incoming, most);
        if (result == RING_BROKEN || result == RING_TOO_LARGE) {
            if (result == RING_BROKEN)
                ring_raise(ring, LINK_BROKEN, false);
            else
                ring_raise_too_large(ring, false, 0);
            return -1;
        }
        int filled = result == RING_AGAIN ? 0 : fill_part(ring);
        if (filled > 0 && append_current(ring) < 0)
            return -1;
        if (filled <= 0 || incoming->remaining == 0) {
            link_release(&ring->link);
            return filled;
        }
    }
}

/* With `alone`, a message of one part is that part: most are. */
static PyObject *hand_out(struct ring_object *ring, bool alone) {
    if (alone && ring->part_count == 1) {
        ring->part_count = 0;
        return ring->parts[0];
    }
    PyObject *message = PyList_New((Py_ssize_t)ring->part_count);
    if (message == NULL)
        return NULL;
    for (size_t i = 0; i < ring->part_count; i++)
        PyList_SET_ITEM(message, (Py_ssize_t)i, ring->parts[i]);
    ring->part_count = 0;
    return message;
}

static PyObject *receive_message(struct ring_object *ring, struct limit *limit, bool alone) {
    for (bool glanced = false;;) {
        int collected = collect(ring);
        if (collected != 0)
            return collected > 0 ? hand_out(ring, alone) : NULL;
        bool glances = !glanced && limit->nanoseconds != LINK_AT_ONCE;
        glanced = true; /* once: who trickles bytes in keeps the GIL from nobody */
        if (glances && link_glance(&ring->link, GLANCE_ROUNDS))
            continue; /* without a look at the clock, which costs as much as several at the ring */
        int64_t deadline = limit_deadline(limit);
        enum link_result result;
        if (deadline == LINK_AT_ONCE) {
            result = link_wait_bytes(&ring->link, deadline);
        } else {
            Py_BEGIN_ALLOW_THREADS
            result = link_wait_bytes(&ring->link, deadline);
            Py_END_ALLOW_THREADS
        }
        if (result == LINK_TIMEOUT)
            return Py_NewRef(Py_None);
        if (result == LINK_INTERRUPTED && PyErr_CheckSignals() < 0)
            return NULL;
        if (result != LINK_READY && result != LINK_INTERRUPTED) {
            ring_raise(ring, result, false);
            return NULL;
        }
    }
}

static PyObject *receive_within(struct ring_object *ring, struct limit *limit, bool alone) {
    if (!ring_enter(ring, &ring->receiving))
        return NULL;
    PyObject *message = receive_message(ring, limit, alone);
    ring_leave(ring, &ring->receiving);
    return message;
}

PyObject *ring_next(struct ring_object *ring, struct limit *limit) { return receive_within(ring, limit, true); }

PyObject *ring_receive(PyObject *self, PyObject *timeout) {
    struct limit limit;
    return limit_from(timeout, &limit) ? receive_within((struct ring_object *)self, &limit, false) : NULL;
}

PyObject *ring_receive_one(PyObject *self, PyObject *timeout) {
    struct limit limit;
    return limit_from(timeout, &limit) ? ring_next((struct ring_object *)self, &limit) : NULL;
}

PyObject *ring_receive_here(PyObject *self, PyObject *look) {
    struct ring_object *ring = (struct ring_object *)self;
    if (!ring_enter(ring, &ring->receiving))
        return NULL;
    bool known = ring->link.reader.tail_seen != ring->link.reader.head;
    int collected = known || look == Py_True ? collect(ring) : 0;
    PyObject *message = collected > 0 ? hand_out(ring, true) : collected < 0 ? NULL : Py_NewRef(Py_None);
    ring_leave(ring, &ring->receiving);
    return message;
}

PyObject *ring_exchange(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "exchange takes the message and a timeout: ring.exchange(b'message', 1.0)");
        return NULL;
    }
    int sent = ring_push_bytes((struct ring_object *)self, args[0]);
    if (sent != 1)
        return sent < 0 ? NULL : Py_NewRef(Py_False);
    return ring_receive_one(self, args[1]);
}

PyObject *ring_prepare_wait(PyObject *self, PyObject *Py_UNUSED(unused)) {
    struct ring_object *ring = (struct ring_object *)self;
    if (!ring_enter(ring, &ring->receiving))
        return NULL;
    enum link_result result = link_wait_bytes(&ring->link, LINK_AT_ONCE);
    ring_leave(ring, &ring->receiving);
    return PyBool_FromLong(result != LINK_TIMEOUT);
}

PyObject *ring_pending(PyObject *self, PyObject *Py_UNUSED(unused)) {
    struct ring_object *ring = (struct ring_object *)self;
    if (!ring_enter(ring, &ring->receiving))
        return NULL;
    bool news = ring_has_news(&ring->link.reader);
    ring_leave(ring, &ring->receiving);
    return PyBool_FromLong(news);
}

void ring_drop_incoming(struct ring_object *ring) {
    Py_CLEAR(ring->current);
    for (size_t i = 0; i < ring->part_count; i++)
        Py_DECREF(ring->parts[i]);
    ring->part_count = 0;
    if (ring->parts != ring->few_parts)
        PyMem_Free(ring->parts);
    ring->parts = ring->few_parts;
}
