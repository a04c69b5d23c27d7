/* News: a plain publication straight from its publisher into a ring, and all those that have come straight to where
 * their subscribers find them.
 *
 * Rules of this file
 * - Each function is one step for every other thread and for signal handlers: nothing in it runs Python code or gives
 *   the GIL away, for what it calls (a ring's `send_at_once` and `receive_here`) is C and never waits.
 *   So nothing is lost or overtaken between what it takes and what it gives.
 * - Small is what pump/flows.py counts as small: numbers, and texts and bytes up to NEWS_SMALL. Everything else is
 *   left to pump/flows.py and pump/receiving.py, before anything of it was sent or handed on.
 * - Bytes from the other side are looked at only within their length.
 */
#include "plain.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

#define NEWS_SMALL 1024 /* SMALL_VALUE in pump/flows.py */
#define NEWS_START 0x94 /* a Publication with its first four fields */

/* ---- from the publisher ---- */

/* What a subscription over a ring is sent by, as long as there is credit and nothing else waits to be sent. */
struct tap {
    PyObject_HEAD
    PyObject *id, *send, *before, *ring, *owed, *slow, *full; /* owed: the name */
    Py_ssize_t credit;
};

static bool is_small(PyObject *value) {
    if (PyBytes_CheckExact(value))
        return PyBytes_GET_SIZE(value) <= NEWS_SMALL;
    if (PyUnicode_CheckExact(value))
        return PyUnicode_GET_LENGTH(value) <= NEWS_SMALL;
    return value == Py_None || PyLong_CheckExact(value) || PyBool_Check(value) || PyFloat_CheckExact(value);
}

/* Whether something else has to leave before: the queues of what was kept, or a message that is owed. */
static bool must_wait(struct tap *tap) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tap->before); i++)
        if (PyObject_Size(PyTuple_GET_ITEM(tap->before, i)) != 0)
            return true;
    PyObject *owes = PyObject_GetAttr(tap->ring, tap->owed);
    bool free = owes == Py_False;
    Py_XDECREF(owes);
    return !free;
}

static bool is_sent(struct tap *tap, PyObject *topic, PyObject *value) {
    PyObject *const message[] = {tap->id, topic, value};
    if (tap->credit <= 0 || !is_small(value) || must_wait(tap))
        return false;
    PyObject *data = plain_publication(message);
    PyObject *sent = data == NULL || data == Py_None ? NULL : PyObject_CallOneArg(tap->send, data);
    bool done = sent == Py_True;
    Py_XDECREF(data);
    Py_XDECREF(sent);
    return done;
}

PyDoc_STRVAR(push_doc, "push(topic, value, /)\n--\n\n"
                       "Send it, or do what slow(topic, value) does. `full`, when that took the last of the credit.");

static PyObject *tap_push(PyObject *self, PyObject *const *given, Py_ssize_t count) {
    struct tap *tap = (struct tap *)self;
    if (!plain_right_count("push", count, 2))
        return NULL;
    if (!is_sent(tap, given[0], given[1])) {
        PyErr_Clear(); /* what is wrong with it, or with the connection, is found there again */
        return PyObject_Vectorcall(tap->slow, given, 2, NULL);
    }
    tap->credit--;
    return Py_NewRef(tap->credit == 0 ? tap->full : Py_None);
}

PyDoc_STRVAR(take_back_doc, "take_back()\n--\n\nThe credit that is left; from now on there is none.");

static PyObject *tap_take_back(PyObject *self, PyObject *Py_UNUSED(unused)) {
    struct tap *tap = (struct tap *)self;
    Py_ssize_t credit = tap->credit;
    tap->credit = 0;
    return PyLong_FromSsize_t(credit);
}

static PyObject *tap_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(names)) {
    PyObject *id, *send, *before, *ring, *slow, *full;
    if (!PyArg_ParseTuple(args, "O!OO!OOO:Tap", &PyLong_Type, &id, &send, &PyTuple_Type, &before, &ring, &slow, &full))
        return NULL;
    PyObject *owed = PyUnicode_InternFromString("owed");
    struct tap *tap = owed == NULL ? NULL : (struct tap *)type->tp_alloc(type, 0);
    if (tap == NULL) {
        Py_XDECREF(owed);
        return NULL;
    }
    tap->owed = owed;
    tap->id = Py_NewRef(id);
    tap->send = Py_NewRef(send);
    tap->before = Py_NewRef(before);
    tap->ring = Py_NewRef(ring);
    tap->slow = Py_NewRef(slow);
    tap->full = Py_NewRef(full);
    return (PyObject *)tap;
}

static int tap_traverse(PyObject *self, visitproc visit, void *arg) {
    struct tap *tap = (struct tap *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(tap->send);
    Py_VISIT(tap->before);
    Py_VISIT(tap->ring);
    Py_VISIT(tap->slow);
    Py_VISIT(tap->full);
    return 0;
}

/* Of the cycles it is in, these two are enough; the others stay, so that `push` never meets a NULL. */
static int tap_clear(PyObject *self) {
    struct tap *tap = (struct tap *)self;
    tap->credit = 0;
    Py_XSETREF(tap->slow, Py_NewRef(Py_None));
    Py_XSETREF(tap->full, Py_NewRef(Py_None));
    return 0;
}

static void tap_dealloc(PyObject *self) {
    struct tap *tap = (struct tap *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(tap->id);
    Py_XDECREF(tap->send);
    Py_XDECREF(tap->before);
    Py_XDECREF(tap->ring);
    Py_XDECREF(tap->owed);
    Py_XDECREF(tap->slow);
    Py_XDECREF(tap->full);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef tap_methods[] = {
    {"push", (PyCFunction)(void (*)(void))tap_push, METH_FASTCALL, push_doc},
    {"take_back", tap_take_back, METH_NOARGS, take_back_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef tap_members[] = {
    {"credit", T_PYSSIZET, offsetof(struct tap, credit), 0, "How many may be sent."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot tap_slots[] = {
    {Py_tp_doc, "Tap(id, send, before, ring, slow, full, /): what sends the small news of one subscription.\n\n"
                "`send(data)` says whether it was sent; `before` are the queues that must be empty, and the `ring` "
                "must owe nothing; slow(topic, value) does what this cannot."},
    {Py_tp_new, tap_new},
    {Py_tp_dealloc, tap_dealloc},
    {Py_tp_traverse, tap_traverse},
    {Py_tp_clear, tap_clear},
    {Py_tp_methods, tap_methods},
    {Py_tp_members, tap_members},
    {0, NULL},
};

PyType_Spec tap_type_spec = {
    .name = "tincans._speed._core.Tap",
    .basicsize = sizeof(struct tap),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = tap_slots,
};

/* ---- to the subscribers ---- */

/* The latest subscriber and topic: mostly the next message is for the same. */
struct handing {
    PyObject *inlets, *touched;
    PyObject *id, *append, *make; /* append NULL: nobody listens to `id`; make None: he gets a tuple */
    PyObject *topic;
    const char *topic_start; /* within `topic_of` */
    Py_ssize_t topic_size;
    PyObject *topic_of;
};

/* The queue of the subscription `id`; -1 with an exception. Takes over `id`. */
static int turn_to(struct handing *to, PyObject *id) {
    Py_XSETREF(to->id, id);
    Py_CLEAR(to->append);
    Py_CLEAR(to->make);
    PyObject *incoming = PyDict_GetItemWithError(to->inlets, id);
    if (incoming == NULL)
        return PyErr_Occurred() ? -1 : 0;
    if (PyList_Append(to->touched, incoming) < 0)
        return -1;
    PyObject *inlet = PyObject_GetAttrString(incoming, "inlet");
    PyObject *items = inlet == NULL ? NULL : PyObject_GetAttrString(inlet, "items");
    to->make = items == NULL ? NULL : PyObject_GetAttrString(inlet, "make");
    to->append = to->make == NULL ? NULL : PyObject_GetAttrString(items, "append");
    Py_XDECREF(inlet);
    Py_XDECREF(items);
    return to->append == NULL ? -1 : 0;
}

/* 1: the same as before or found now, 0: not plain, -1: exception. */
static int take_topic(struct handing *to, struct reader *in, PyObject *data) {
    Py_ssize_t size = in->next < in->end && (*in->next & 0xe0) == 0xa0 ? *in->next & 0x1f : -1;
    if (size < 0 || in->end - in->next < size + 1)
        return 0;
    const char *start = (const char *)in->next + 1;
    in->next += size + 1;
    if (to->topic != NULL && size == to->topic_size && memcmp(start, to->topic_start, (size_t)size) == 0)
        return 1;
    PyObject *topic = PyUnicode_DecodeUTF8(start, size, NULL);
    if (topic == NULL) {
        PyErr_Clear(); /* the thorough way says what is wrong with it */
        return 0;
    }
    Py_XSETREF(to->topic, topic);
    Py_XSETREF(to->topic_of, Py_NewRef(data));
    to->topic_start = start;
    to->topic_size = size;
    return 1;
}

static int take_subscriber(struct handing *to, struct reader *in) {
    PyObject *id = plain_take_id(in);
    if (id == NULL)
        return 0;
    int same = to->id == NULL ? 0 : PyObject_RichCompareBool(id, to->id, Py_EQ);
    if (same == 0)
        return turn_to(to, id) < 0 ? -1 : 1;
    Py_DECREF(id);
    return same;
}

/* 1, or -1 with an exception. */
static int put(struct handing *to, PyObject *value) {
    if (to->append == NULL)
        return 1;
    PyObject *const both[] = {to->topic, value};
    PyObject *made = to->make == Py_None ? PyTuple_Pack(3, to->id, to->topic, value)
                                         : PyObject_Vectorcall(to->make, both, 2, NULL);
    PyObject *done = made == NULL ? NULL : PyObject_CallOneArg(to->append, made);
    Py_XDECREF(made);
    Py_XDECREF(done);
    return done == NULL ? -1 : 1;
}

/* 1: it was news, and is where it belongs; 0: something else, -1: exception. */
static int hand_on(struct handing *to, PyObject *data) {
    if (!PyBytes_CheckExact(data) || PyBytes_GET_SIZE(data) < 5 || PyBytes_GET_SIZE(data) > NEWS_SMALL)
        return 0;
    const uint8_t *start = (const uint8_t *)PyBytes_AS_STRING(data);
    struct reader in = {.next = start + 2, .end = start + PyBytes_GET_SIZE(data)};
    if (start[0] != NEWS_START || start[1] != TAG_PUBLICATION)
        return 0;
    int known = take_subscriber(to, &in);
    known = known == 1 ? take_topic(to, &in, data) : known;
    PyObject *value = known == 1 ? plain_take_value(&in) : NULL;
    if (value == NULL || in.next != in.end) {
        Py_XDECREF(value);
        if (known == 1)
            PyErr_Clear();
        return known < 0 ? -1 : 0;
    }
    int result = put(to, value);
    Py_DECREF(value);
    return result;
}

const char take_news_doc[] =
    "take_news(receive, inlets, touched, /)\n--\n\n"
    "Take what receive(True), then receive(False) gives, as long as it is small news, to its subscriber `inlets[id].inlet`: its deque `items` gets "
    "what `make(topic, value)` makes of it, which is C as well, or (id, topic, value) when that is None. Subscribers that "
    "got some are added to the list `touched`. How many there were, and what came last: None, or the first message that "
    "is something else.";

PyObject *take_news(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count) {
    if (!plain_right_count("take_news", count, 3))
        return NULL;
    if (!PyDict_CheckExact(given[1]) || !PyList_CheckExact(given[2])) {
        PyErr_SetString(PyExc_TypeError, "take_news takes the inlets as a dict, and a list");
        return NULL;
    }
    struct handing to = {.inlets = given[1], .touched = given[2]};
    PyObject *data = NULL, *result = NULL;
    Py_ssize_t number = 0;
    int handed = 1;
    while (handed == 1) { /* no look for more: whoever chases the writer pays for each message's line of the cache */
        Py_XSETREF(data, PyObject_CallOneArg(given[0], number == 0 ? Py_True : Py_False));
        handed = data == NULL ? -1 : hand_on(&to, data);
        number += handed == 1;
    }
    if (handed == 0)
        result = Py_BuildValue("(nO)", number, data);
    Py_XDECREF(data);
    Py_XDECREF(to.id);
    Py_XDECREF(to.append);
    Py_XDECREF(to.make);
    Py_XDECREF(to.topic);
    Py_XDECREF(to.topic_of);
    return result;
}

/* What a subscriber may simply take: elements of one class, as long as nothing is owed for them. */
struct tray {
    PyObject_HEAD
    PyObject *kind, *items, *popleft;
    Py_ssize_t room;
};

PyDoc_STRVAR(take_doc, "take()\n--\n\nThe next element, if it is of the class and there is room; else None.");

static PyObject *tray_take(PyObject *self, PyObject *Py_UNUSED(unused)) {
    struct tray *tray = (struct tray *)self;
    if (tray->room <= 0 || PyObject_Size(tray->items) <= 0)
        Py_RETURN_NONE;
    PyObject *first = PySequence_GetItem(tray->items, 0);
    bool fits = first != NULL && (PyObject *)Py_TYPE(first) == tray->kind;
    Py_XDECREF(first);
    if (!fits)
        return first == NULL ? NULL : Py_NewRef(Py_None);
    tray->room--;
    return PyObject_CallNoArgs(tray->popleft);
}

PyDoc_STRVAR(fill_doc, "fill(items, room, /)\n--\n\nFrom now on take so many from this deque.");

static PyObject *tray_fill(PyObject *self, PyObject *const *given, Py_ssize_t count) {
    struct tray *tray = (struct tray *)self;
    if (!plain_right_count("fill", count, 2))
        return NULL;
    Py_ssize_t room = PyLong_AsSsize_t(given[1]);
    PyObject *popleft = room == -1 && PyErr_Occurred() ? NULL : PyObject_GetAttrString(given[0], "popleft");
    if (popleft == NULL)
        return NULL;
    Py_SETREF(tray->items, Py_NewRef(given[0]));
    Py_XSETREF(tray->popleft, popleft);
    tray->room = room;
    Py_RETURN_NONE;
}

static PyObject *tray_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(names)) {
    PyObject *kind;
    if (!PyArg_ParseTuple(args, "O!:Tray", &PyType_Type, &kind))
        return NULL;
    struct tray *tray = (struct tray *)type->tp_alloc(type, 0);
    if (tray != NULL) {
        tray->kind = Py_NewRef(kind);
        tray->items = Py_NewRef(Py_None);
    }
    return (PyObject *)tray;
}

static int tray_traverse(PyObject *self, visitproc visit, void *arg) {
    struct tray *tray = (struct tray *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(tray->kind);
    Py_VISIT(tray->items);
    Py_VISIT(tray->popleft);
    return 0;
}

static int tray_clear(PyObject *self) {
    struct tray *tray = (struct tray *)self;
    tray->room = 0;
    Py_CLEAR(tray->popleft);
    Py_XSETREF(tray->items, Py_NewRef(Py_None));
    return 0;
}

static void tray_dealloc(PyObject *self) {
    struct tray *tray = (struct tray *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(tray->kind);
    Py_XDECREF(tray->items);
    Py_XDECREF(tray->popleft);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef tray_methods[] = {
    {"take", tray_take, METH_NOARGS, take_doc},
    {"fill", (PyCFunction)(void (*)(void))tray_fill, METH_FASTCALL, fill_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef tray_members[] = {
    {"room", T_PYSSIZET, offsetof(struct tray, room), READONLY, "How many may still be taken."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot tray_slots[] = {
    {Py_tp_doc, "Tray(kind, /): elements of one exact class, to be taken in one step."},
    {Py_tp_new, tray_new},
    {Py_tp_dealloc, tray_dealloc},
    {Py_tp_traverse, tray_traverse},
    {Py_tp_clear, tray_clear},
    {Py_tp_methods, tray_methods},
    {Py_tp_members, tray_members},
    {0, NULL},
};

PyType_Spec tray_type_spec = {
    .name = "tincans._speed._core.Tray",
    .basicsize = sizeof(struct tray),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = tray_slots,
};
