/* Waiting and waking for link.h.
 *
 * Rules of this file
 * - The order of steps in `link_wait_bytes` and `link_wait_space` is proved in tests/ring/handshake.pml: change both.
 * - The ring is looked at once more after the socket said that the other end is gone: what it wrote before counts.
 */
#define _GNU_SOURCE
#include "link.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum watched { WATCHED_BELL, WATCHED_SOCKET };

/* Looks at the ring between two looks at the clock (which costs as much as several pauses). */
#define ROUNDS_PER_CLOCK 16
static int watch(int set, int descriptor, uint32_t events, enum watched what) {
    struct epoll_event event = {.events = events, .data = {.u32 = what}};
    return epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event);
}

static int open_set(const struct link *link, int bell) {
    int set = epoll_create1(EPOLL_CLOEXEC);
    if (set < 0)
        return -1;
    if (watch(set, bell, EPOLLIN | EPOLLET, WATCHED_BELL) < 0 ||
        watch(set, link->socket, EPOLLRDHUP, WATCHED_SOCKET) < 0) {
        int reason = errno;
        close(set);
        errno = reason;
        return -1;
    }
    return set;
}

int link_open(struct link *link, struct segment segment, const int bells[2], int socket, int side, int64_t spin) {
    struct segment_header *header = segment.header;
    *link = (struct link){.segment = segment, .socket = socket, .in_set = -1, .out_set = -1};
    link->bell_out = bells[side];
    link->bell_in = bells[1 - side];
    ring_open_writer(&link->writer, &header->rings[side], segment_data(&segment, side), segment.capacity);
    ring_open_reader(&link->reader, &header->rings[1 - side], segment_data(&segment, 1 - side), segment.capacity);
    patience_set(&link->receiving, spin);
    patience_set(&link->sending, spin);
    link->in_set = open_set(link, link->bell_in);
    if (link->in_set >= 0)
        return 0;
    int reason = errno;
    link_free(link);
    errno = reason;
    return -1;
}

void link_close(struct link *link, bool tell) {
    if (atomic_exchange(&link->closed, true) || !tell)
        return;
    atomic_store(&link->reader.control->reader, RING_GONE);
    RING_STEP(8);
    shutdown(link->socket, SHUT_RDWR);
}

void link_free(struct link *link) {
    int *descriptors[] = {&link->bell_out, &link->bell_in, &link->socket, &link->in_set, &link->out_set};
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++) {
        if (*descriptors[i] >= 0)
            close(*descriptors[i]);
        *descriptors[i] = -1;
    }
    segment_unmap(&link->segment);
}

static void ring_bell(int bell) {
    uint64_t nothing = 0;
    RING_STEP(9);
    /* Cannot block (adding 0 always fits). An error would mean that the other side lost its own wake-up. */
    ssize_t ignored = write(bell, &nothing, sizeof nothing);
    (void)ignored;
    RING_STEP(10);
}

void link_wake(struct link *link) {
    if (ring_must_wake(&link->writer))
        ring_bell(link->bell_out);
}

static enum link_result push(struct link *link, struct ring_outgoing *message, bool wakes) {
    if (atomic_load_explicit(&link->closed, memory_order_relaxed))
        return LINK_CLOSED;
    if (atomic_load_explicit(&link->gone, memory_order_relaxed) ||
        atomic_load_explicit(&link->writer.control->reader, memory_order_relaxed) == RING_GONE)
        return LINK_GONE;
    for (;;) {
        bool moved;
        enum ring_result result = ring_write(&link->writer, message, &moved);
        if (result == RING_BROKEN)
            return LINK_BROKEN;
        if (moved)
            ring_show(&link->writer);
        if (moved && wakes)
            link_wake(link);
        if (result == RING_DONE)
            return LINK_READY;
        if (!moved)
            return LINK_AGAIN;
    }
}

enum link_result link_push(struct link *link, struct ring_outgoing *message) { return push(link, message, true); }

enum link_result link_push_quietly(struct link *link, struct ring_outgoing *message) {
    return push(link, message, false);
}

void link_release(struct link *link) {
    if (link->reader.head != link->reader.released && ring_release(&link->reader))
        ring_bell(link->bell_in); /* the writer of this ring watches the same bell */
}

void link_disarm(struct link *link) {
    if (link->armed) {
        link->armed = false;
        atomic_store_explicit(&link->reader.control->reader, RING_AWAKE, memory_order_relaxed);
    }
}

bool link_glance(struct link *link, int rounds) {
    if (!patience_is_high(&link->receiving))
        return false;
    for (int i = 0; i < rounds; i++) {
        if (ring_has_news(&link->reader))
            return true;
        patience_pause();
    }
    return false;
}

static bool has_space(const struct link *link, uint64_t wanted) {
    uint64_t head = atomic_load_explicit(&link->writer.control->head, memory_order_acquire);
    return link->writer.capacity - (link->writer.tail - head) >= wanted;
}

/* Spins until there is news (`wanted` 0) or so many free bytes; true when it came. */
static bool spin(struct link *link, struct patience *patience, uint64_t wanted, int64_t start, int64_t deadline) {
    if (!patience_begin(patience))
        return false;
    int64_t until = patience_until(patience, start, deadline);
    bool came = false;
    while (!came && patience_clock() < until && !atomic_load_explicit(&link->closed, memory_order_relaxed)) {
        for (int i = 0; i < ROUNDS_PER_CLOCK && !came; i++) {
            came = wanted == 0 ? ring_has_news(&link->reader) : has_space(link, wanted);
            if (!came)
                patience_pause();
        }
    }
    patience_end();
    if (came)
        patience_paid(patience);
    else
        patience_failed(patience);
    return came;
}

/* A wait before it sleeps. READY: it came. INTERRUPTED: signals are to be handled first, then the wait is begun again.
 * AGAIN: now it may sleep. */
static enum link_result spin_first(struct link *link, struct patience *patience, uint64_t wanted, int64_t start,
                                   int64_t deadline) {
    if (patience_resumes(patience))
        return LINK_AGAIN;
    if (spin(link, patience, wanted, start, deadline))
        return LINK_READY;
    return patience_yields(patience) ? LINK_INTERRUPTED : LINK_AGAIN;
}

/* Milliseconds for epoll, rounded up so that a wait is never shorter than asked. */
static int milliseconds_until(int64_t deadline) {
    if (deadline == LINK_FOREVER)
        return -1;
    int64_t left = deadline - patience_clock();
    if (left <= 0)
        return 0;
    return left > (int64_t)3600 * 1000000000 ? 3600 * 1000 : (int)((left + 999999) / 1000000);
}

static enum link_result take_events(struct link *link, int set, int milliseconds) {
    struct epoll_event events[2];
    int count = epoll_wait(set, events, 2, milliseconds);
    if (count < 0)
        return errno == EINTR ? LINK_INTERRUPTED : LINK_FAILED;
    for (int i = 0; i < count; i++)
        if (events[i].data.u32 == WATCHED_SOCKET)
            atomic_store(&link->gone, true);
    return count > 0 ? LINK_READY : LINK_TIMEOUT;
}

/* One sleep. READY: something happened (and was taken from the set). TIMEOUT: the time is up and nothing was taken. */
static enum link_result sleep_in(struct link *link, int set, int64_t deadline) {
    int milliseconds = milliseconds_until(deadline);
    if (milliseconds == 0)
        return LINK_TIMEOUT;
    enum link_result slept = take_events(link, set, milliseconds);
    return slept == LINK_TIMEOUT && milliseconds_until(deadline) != 0 ? LINK_READY : slept;
}

/* Without time to sleep nobody would notice a death: look now, before saying ASLEEP. */
static enum link_result look_around(struct link *link, int set, int64_t deadline) {
    return milliseconds_until(deadline) == 0 ? take_events(link, set, 0) : LINK_READY;
}

/* AGAIN: nothing is there yet, nobody is gone. */
static enum link_result look_for_bytes(struct link *link) {
    bool closed = atomic_load(&link->closed);
    bool gone = atomic_load(&link->gone);
    int64_t available = ring_available(&link->reader); /* after `gone`: what was written before death counts */
    if (closed)
        return LINK_CLOSED;
    if (available != 0)
        return available > 0 ? LINK_READY : LINK_BROKEN;
    return gone ? LINK_GONE : LINK_AGAIN;
}

enum link_result link_wait_bytes(struct link *link, int64_t deadline) {
    int64_t start = 0;
    if (deadline != LINK_AT_ONCE) {
        start = patience_clock();
        link_disarm(link);
        enum link_result spun = spin_first(link, &link->receiving, 0, start, deadline);
        if (spun != LINK_AGAIN)
            return spun;
    }
    if (look_around(link, link->in_set, deadline) == LINK_FAILED)
        return LINK_FAILED;
    for (;;) {
        link->armed = true;
        atomic_store(&link->reader.control->reader, RING_ASLEEP);
        RING_STEP(11);
        enum link_result found = look_for_bytes(link);
        if (found != LINK_AGAIN) {
            link_disarm(link);
            return found;
        }
        enum link_result slept = sleep_in(link, link->in_set, deadline);
        if (slept != LINK_READY)
            return slept;
        patience_slept(&link->receiving, start);
    }
}

static enum link_result look_for_space(struct link *link, uint64_t wanted) {
    int64_t space = ring_space(&link->writer);
    if (atomic_load(&link->closed))
        return LINK_CLOSED;
    if (atomic_load(&link->gone) || atomic_load(&link->writer.control->reader) == RING_GONE)
        return LINK_GONE;
    if (space < 0)
        return LINK_BROKEN;
    return (uint64_t)space >= wanted ? LINK_READY : LINK_AGAIN;
}

enum link_result link_wait_space(struct link *link, const struct ring_outgoing *message, int64_t deadline) {
    uint64_t wanted = ring_wanted(&link->writer, message);
    int64_t start = 0;
    if (deadline != LINK_AT_ONCE) {
        start = patience_clock();
        enum link_result spun = spin_first(link, &link->sending, wanted, start, deadline);
        if (spun != LINK_AGAIN)
            return spun;
    }
    if (link->out_set < 0 && (link->out_set = open_set(link, link->bell_out)) < 0)
        return LINK_FAILED;
    if (look_around(link, link->out_set, deadline) == LINK_FAILED)
        return LINK_FAILED;
    for (;;) {
        atomic_store(&link->writer.control->writer, RING_ASLEEP);
        RING_STEP(12);
        enum link_result found = look_for_space(link, wanted);
        enum link_result slept = found == LINK_AGAIN ? sleep_in(link, link->out_set, deadline) : LINK_READY;
        if (found != LINK_AGAIN || slept != LINK_READY) {
            atomic_store_explicit(&link->writer.control->writer, RING_AWAKE, memory_order_relaxed);
            return found != LINK_AGAIN ? found : slept;
        }
        patience_slept(&link->sending, start);
    }
}
