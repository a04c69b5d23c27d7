/* Line.serve and Line.serve_ready: run plain requests as they come, and answer them.
 *
 * Rules of this file
 * - The reading role is given back before a function runs, so that a slow one holds up nobody, and taken again after it.
 * - A plain answer that comes in between is its waiter's. What is neither, or no request for an exposed, quick function,
 *   is handed out unread, with the role.
 * - Whatever a function raises is its caller's: sys.exit() ends no thread of ours, and leaves no caller waiting.
 */
#include "line.h"

/* Nanoseconds: a function that takes longer wakes its caller at once, as does one that comes so long after the first
 * answer that woke nobody. One that suddenly takes long is noticed at the reactor's next tick. */
#define QUICK 20000
#define MOST_QUIET 50000

/* How a link's requests are run: the tuple that `serve` gets (pump/plain_serving.py makes it). */
struct serving {
    PyObject *exposed;       /* dict: name to Exposed */
    PyObject *queued;        /* dict: the links that have something to read and queue for a worker */
    PyObject *visit;         /* the ContextVar that holds who calls */
    PyObject *uncancellable; /* stands in `running` while a function runs */
    PyObject *finish;        /* finish(found, result): an answer that is not plain */
    PyObject *fail;          /* fail(found, error) */
    PyObject *say;           /* say(answer): an answer that has to wait */
    PyObject *send;          /* send(answer), over a stream: whether it has left */
    long parity;             /* of the other side's ids */
    long share;              /* requests that are run on one link while others queue */
    double slow;             /* seconds: a function that took longer lets another thread read on before it runs, */
    long slow_calls;         /* the next so many times */
    bool shares;             /* whether others, who queue, get their turn */
};

/* When a function began, and when it returned, in nanoseconds. */
struct span {
    int64_t began, end;
};

const char line_serve_doc[] =
    "serve(how, linger, shares, /)\n--\n\n"
    "With the reading role: run plain requests as long as nothing else comes. What came instead, not yet read; None when "
    "nothing came for `linger` seconds, False when somebody else has the role.";

/* What we know of the function of this name, kept for the next request. 1, 0: not such a one, -1: exception. */
static int look_up(struct line_object *line, const struct serving *how, PyObject *name) {
    struct module_state *state = line_state(line);
    PyObject *exposed = PyDict_GetItemWithError(how->exposed, name);
    if (exposed == NULL)
        return PyErr_Occurred() ? -1 : 0;
    if (exposed != line->exposed) {
        line_wake(line); /* nobody knows how long another function takes, or whether it lets go of the GIL */
        PyObject *function = PyObject_GetAttr(exposed, state->function);
        PyObject *shape = function == NULL ? NULL : PyObject_GetAttr(exposed, state->plain);
        if (shape == NULL) {
            Py_XDECREF(function);
            return -1;
        }
        Py_XSETREF(line->exposed, Py_NewRef(exposed));
        Py_XSETREF(line->function, function);
        Py_XSETREF(line->shape, shape);
        Py_XSETREF(line->name, Py_NewRef(name));
    }
    PyObject *slow = PyObject_GetAttr(exposed, state->slow);
    int is_slow = slow == NULL ? -1 : PyObject_IsTrue(slow);
    Py_XDECREF(slow);
    return is_slow < 0 ? -1 : !is_slow;
}

/* Whether the other side may open this id, and has not yet. -1: exception. */
static int may_open(struct line_object *line, const struct serving *how, PyObject *id) {
    long number = PyLong_AsLong(id);
    if (number == -1 && PyErr_Occurred())
        return -1;
    if (number == 0 || (number & 1) != how->parity)
        return 0;
    int taken = PyDict_Contains(line->running, id);
    return taken < 0 ? -1 : !taken;
}

/* Whether `found` may be run here, for which `line` has the function then. -1: exception. */
static int suits(struct line_object *line, const struct serving *how, PyObject *found) {
    int known = look_up(line, how, PyTuple_GET_ITEM(found, 1));
    int fit = known == 1 ? plain_fit(PyTuple_GET_ITEM(found, 2), line->shape) : known;
    return fit == 1 ? may_open(line, how, PyTuple_GET_ITEM(found, 0)) : fit;
}

/* Takes the id out of those that run. 1: it was there, 0: the caller has given up, -1: exception. */
static int settle(struct line_object *line, PyObject *id) {
    int running = PyDict_Contains(line->running, id);
    return running == 1 && PyDict_DelItem(line->running, id) < 0 ? -1 : running;
}

static int call_with(PyObject *callable, PyObject *one, PyObject *other) {
    PyObject *done = PyObject_CallFunctionObjArgs(callable, one, other, NULL);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Sends an answer. When it took no time, and the next request is here, who waits for it is woken a little later, once
 * for several: he would only get a few of his answers, and sleep again. */
static int push(struct line_object *line, const struct writer *out, const struct span *taken) {
    /* Whoever ended the link while the function ran has freed the ring's memory. */
    bool more = taken->end - taken->began < QUICK && !line_is_dead(line) && ring_has_news(&line->ring->link.reader);
    if (!more || (line->quiet != 0 && taken->end - line->quiet > MOST_QUIET)) {
        int sent = ring_push_at_once(line->ring, out->bytes, out->size);
        if (sent > 0)
            line->quiet = 0; /* this one has woken him */
        return sent;
    }
    if (line->quiet == 0)
        line->quiet = taken->end;
    return ring_push_quietly(line->ring, out->bytes, out->size);
}

static PyObject *tell_bytes(PyObject *callable, const struct writer *out) {
    PyObject *bytes = plain_bytes(out);
    PyObject *told = bytes == NULL ? NULL : PyObject_CallOneArg(callable, bytes);
    Py_XDECREF(bytes);
    return told;
}

/* Answers to what has come along leave together; one alone leaves at once, if nothing stands before it. */
static int send_over_stream(struct line_object *line, const struct serving *how, const struct writer *out) {
    bool more = PyObject_Size(line->ready) > 0, alone = line_may_send(line);
    if ((Py_ssize_t)out->size < line->cork_bytes && (more || !alone) && line_is_empty(line->posted)) {
        if (line_cork(line, out) < 0)
            return -1;
        bool enough = !more || PyObject_Size(line->corked) >= line->cork_messages;
        return enough ? line_tell(line, line_state(line)->uncork_answers) : 0;
    }
    PyObject *sent = alone ? tell_bytes(how->send, out) : Py_NewRef(Py_False);
    if (sent == Py_False)
        Py_SETREF(sent, tell_bytes(how->say, out));
    Py_XDECREF(sent);
    return sent == NULL ? -1 : 0;
}

static int answer(struct line_object *line, const struct serving *how, PyObject *found, PyObject *result,
                  const struct span *taken) {
    PyObject *id = PyTuple_GET_ITEM(found, 0);
    struct writer out;
    plain_begin(&out);
    if (!plain_put_reply(&out, id, result))
        return call_with(how->finish, found, result);
    int settled = settle(line, id);
    if (settled <= 0)
        return settled;
    if (line->ring == NULL)
        return send_over_stream(line, how, &out);
    int sent = line_may_send(line) ? push(line, &out, taken) : 0;
    if (sent != 0)
        return sent < 0 ? -1 : 0;
    line_wake(line); /* before anybody waits for room */
    PyObject *said = tell_bytes(how->say, &out);
    Py_XDECREF(said);
    return said == NULL ? -1 : 0;
}

/* Tells the caller of the error that is set. -1: that raised. */
static int tell_failure(const struct serving *how, PyObject *found) {
    PyObject *error = line_take_error();
    int told = call_with(how->fail, found, error);
    Py_XDECREF(error);
    return told;
}

/* `caller()` in the function is this one. */
static int set_visit(struct line_object *line, const struct serving *how, PyObject *found) {
    PyObject *visit = PyTuple_Pack(2, line->link, found);
    PyObject *token = visit == NULL ? NULL : PyContextVar_Set(how->visit, visit);
    Py_XDECREF(visit);
    Py_XDECREF(token);
    return token == NULL ? -1 : 0;
}

static PyObject *run_function(struct line_object *line, const struct serving *how, PyObject *exposed, PyObject *function,
                              PyObject *args, struct span *taken) {
    struct module_state *state = line_state(line);
    taken->began = patience_clock();
    PyObject *result = PyObject_Vectorcall(function, PySequence_Fast_ITEMS(args), (size_t)PyTuple_GET_SIZE(args), NULL);
    taken->end = patience_clock();
    if (result != NULL && (double)(taken->end - taken->began) > how->slow * 1e9) {
        PyObject *calls = PyLong_FromLong(how->slow_calls);
        if (calls == NULL || PyObject_SetAttr(exposed, state->slow, calls) < 0)
            Py_CLEAR(result);
        Py_XDECREF(calls);
    }
    return result;
}

/* Without the role: run a request and answer it. -1 with an exception: the caller could not be told. */
static int run(struct line_object *line, const struct serving *how, PyObject *found, PyObject *exposed,
               PyObject *function) {
    PyObject *args = PyTuple_GET_ITEM(found, 2);
    struct span taken;
    PyObject *result = set_visit(line, how, found) < 0 ? NULL : run_function(line, how, exposed, function, args, &taken);
    int done = result == NULL ? -1 : answer(line, how, found, result, &taken);
    Py_XDECREF(result);
    return done < 0 ? tell_failure(how, found) : 0;
}

/* Before a function runs: the id is taken, and whoever waits for the role may have it. */
static int let_others_read(struct line_object *line, const struct serving *how, PyObject *found) {
    struct module_state *state = line_state(line);
    line->heard++;
    if (PyDict_SetItem(line->running, PyTuple_GET_ITEM(found, 0), how->uncancellable) < 0)
        return -1;
    role_leave(line->role);
    if (!line_is_empty(line->parked) && line_tell(line, state->nudge_next) < 0)
        return -1;
    return line_attend(line);
}

/* With the role, which is given back: what `suits` has found is run. From the moment when the role is free, another thread
 * may serve this line, and what the line remembers is that one's. */
static int run_found(struct line_object *line, const struct serving *how, PyObject *found) {
    PyObject *exposed = Py_NewRef(line->exposed), *function = Py_NewRef(line->function);
    int done = let_others_read(line, how, found) < 0 ? -1 : run(line, how, found, exposed, function);
    Py_DECREF(exposed);
    Py_DECREF(function);
    return done;
}

/* One message, with the role. 1: it is done, 0: it is for somebody else, -1: exception. `ran`: the role was given back. */
static int serve_one(struct line_object *line, const struct serving *how, PyObject *data, bool *ran) {
    PyObject *found = plain_read_request(data, line->rebuild, line->name);
    int fit = found != NULL ? suits(line, how, found) : PyErr_Occurred() ? -1 : 0;
    *ran = fit == 1;
    if (*ran && run_found(line, how, found) < 0)
        fit = -1;
    if (fit == 0 && found == NULL)
        fit = line_take_answer(line, data);
    Py_XDECREF(found);
    return fit;
}

/* One message, with the role. Whether that was all, and then what is to be given; else we have the role again. Takes over
 * `data`. */
static bool ends_serving(struct line_object *line, const struct serving *how, PyObject *data, PyObject **gives) {
    bool ran;
    int done = serve_one(line, how, data, &ran);
    *gives = done == 0 ? data : NULL;
    if (done == 0)
        return true;
    Py_DECREF(data);
    if (done > 0 && ran && !role_take(line->role)) {
        *gives = Py_NewRef(Py_False);
        return true;
    }
    return done < 0;
}

/* Requests, until there is something to be given: NULL with an exception, or what `serve` gives. */
static PyObject *serve_each(struct line_object *line, const struct serving *how, int64_t linger) {
    for (long count = 0;;) {
        struct limit limit = {linger, -1};
        if (how->shares && !line_is_empty(how->queued)) { /* others have something to read as well */
            limit.nanoseconds = LINK_AT_ONCE;
            if (++count > how->share)
                Py_RETURN_NONE;
        }
        PyObject *data = ring_next(line->ring, &limit);
        if (data == NULL || data == Py_None)
            return data;
        PyObject *gives;
        if (ends_serving(line, how, data, &gives))
            return gives;
    }
}

static bool read_how(PyObject *given, PyObject *shares, struct serving *how) {
    how->shares = shares == Py_True;
    return PyArg_ParseTuple(given, "O!O!OOOOOOlldl:serve", &PyDict_Type, &how->exposed, &PyDict_Type, &how->queued,
                            &how->visit, &how->uncancellable, &how->finish, &how->fail, &how->say, &how->send, &how->parity,
                            &how->share, &how->slow, &how->slow_calls);
}

const char line_serve_ready_doc[] =
    "serve_ready(how, data, shares, /)\n--\n\n"
    "Over a stream, with the reading role: the same for `data` and what has come along with it. The first message that is "
    "something else; None when there is none, or others wait for their turn; False when somebody else has the role.";

/* The same for what is there already. Takes over `data`. */
static PyObject *serve_those(struct line_object *line, const struct serving *how, PyObject *data) {
    struct module_state *state = line_state(line);
    for (long count = 1; data != NULL; count++) {
        PyObject *gives;
        if (ends_serving(line, how, data, &gives))
            return gives;
        bool enough = how->shares && count >= how->share && !line_is_empty(how->queued);
        if (PyObject_Size(line->ready) <= 0 || line_is_dead(line) || enough)
            Py_RETURN_NONE;
        data = PyObject_CallMethodNoArgs(line->ready, state->popleft);
    }
    return NULL;
}

PyObject *line_serve_ready(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    struct line_object *line = (struct line_object *)self;
    struct serving how;
    if (!line_is_over(line, false) || !plain_right_count("serve_ready", count, 3) || !read_how(args[0], args[2], &how))
        return NULL;
    PyObject *held = Py_NewRef(args[0]);
    Py_INCREF(line);
    PyObject *came = serve_those(line, &how, Py_NewRef(args[1]));
    Py_DECREF(line);
    Py_DECREF(held);
    return came;
}

PyObject *line_serve(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    struct line_object *line = (struct line_object *)self;
    struct limit linger;
    struct serving how;
    if (!line_is_over(line, true) || !plain_right_count("serve", count, 3) || !limit_from(args[1], &linger) ||
        !read_how(args[0], args[2], &how))
        return NULL;
    PyObject *held = Py_NewRef(args[0]);
    Py_INCREF(line);
    PyObject *came = serve_each(line, &how, linger.nanoseconds);
    line_wake(line);
    Py_DECREF(line);
    Py_DECREF(held);
    return came;
}
