/* The Python object around a link, and who may use it when.
 *
 * Rules of this file
 * - `ring_enter` and `ring_leave` stand around every use of a direction; the last to leave a closed ring frees it.
 * - Send state belongs to whoever is in `sending`, receive state to whoever is in `receiving`.
 */
#ifndef TINCANS_RING_OBJECT_H
#define TINCANS_RING_OBJECT_H

#include "module.h"

#define FEW_PARTS 8

struct ring_object {
    PyObject_HEAD
    struct link link;
    unsigned process; /* module_process() of the owner */
    _Atomic uint64_t max_message;
    _Atomic bool sending;
    _Atomic bool receiving;
    _Atomic bool ending;
    bool owed; /* the memory of a message has left beside the ring, and the message itself has not */
    bool opened;
    bool freed;
    int64_t spin;
    /* sending: what an earlier send had to keep */
    uint8_t *kept;
    struct ring_part kept_part;
    struct ring_outgoing kept_message;
    /* receiving: the parts of the next message that are here, and the one that is coming */
    struct ring_incoming incoming;
    PyObject *current;
    PyObject **parts;
    size_t part_count;
    size_t part_room;
    PyObject *few_parts[FEW_PARTS];
};

/* Becomes the one user of a direction; false with an exception set. */
bool ring_enter(struct ring_object *ring, _Atomic bool *direction);
void ring_leave(struct ring_object *ring, _Atomic bool *direction);
/* Sets the exception for a wait that ended badly; `sending` says what the other end's death means. */
void ring_raise(struct ring_object *ring, enum link_result result, bool sending);
void ring_raise_too_large(struct ring_object *ring, bool sending, uint64_t size);

PyObject *ring_send(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* One part, when nobody else is sending and it fits in now. 1: sent, 0: nothing left, -1: exception. */
int ring_push_at_once(struct ring_object *ring, const void *start, uint64_t length);
/* The same without waking who waits for it; 1: then `ring_wake`, soon. */
int ring_push_quietly(struct ring_object *ring, const void *start, uint64_t length);
void ring_wake(struct ring_object *ring);
int ring_push_bytes(struct ring_object *ring, PyObject *part);
/* The next message: its part if it has one alone, else a list of its parts; None when it did not come in time. */
PyObject *ring_next(struct ring_object *ring, struct limit *limit);
PyObject *ring_send_at_once(PyObject *self, PyObject *part);
PyObject *ring_flush(PyObject *self, PyObject *timeout);
PyObject *ring_receive(PyObject *self, PyObject *timeout);
PyObject *ring_receive_one(PyObject *self, PyObject *timeout);
PyObject *ring_receive_here(PyObject *self, PyObject *look);
PyObject *ring_exchange(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ring_prepare_wait(PyObject *self, PyObject *unused);
PyObject *ring_pending(PyObject *self, PyObject *unused);
void ring_drop_incoming(struct ring_object *ring);

#endif
