/* One end of a connection: the two rings, the bells, the socket as proof of life, and how to wait for them.
 *
 * Rules of this file
 * - A wait spins first, as long as spinning has paid lately, then says ASLEEP, looks again, and sleeps in epoll on its
 *   bell and the socket, so that news, death and `link_close` all wake it. Nothing here needs Python.
 * - A bell is an eventfd whose count stays 1: it is rung by adding 0, watched edge-triggered and never read. So ringing
 *   and waiting never block, whatever the other side, which shares the eventfd, does to its flags or its count.
 * - An event that was taken from epoll is gone: whoever takes one says ASLEEP again and looks again before it sleeps
 *   or tells anyone to sleep. tests/ring/handshake.pml shows what happens otherwise.
 * - One thread may be in a receiving function while another is in a sending one; `link_close` is for everyone.
 */
#ifndef TINCANS_LINK_H
#define TINCANS_LINK_H

#include "patience.h"
#include "segment.h"

#define LINK_AT_ONCE ((int64_t)0)
#define LINK_FOREVER INT64_MAX

enum link_result {
    LINK_READY,
    LINK_AGAIN, /* not now: wait for it */
    LINK_TIMEOUT,
    LINK_GONE,   /* the other end is gone, and everything it said has been read */
    LINK_CLOSED, /* this end was closed */
    LINK_BROKEN, /* the other end wrote something impossible */
    LINK_INTERRUPTED,
    LINK_FAILED, /* see errno */
};

struct link {
    struct segment segment;
    struct ring_writer writer;
    struct ring_reader reader;
    int bell_out; /* of the ring that we write */
    int bell_in;  /* of the ring that we read */
    int socket;
    int in_set; /* epoll: bell_in and socket; what an outside poller watches */
    int out_set;
    bool armed; /* we said ASLEEP and have not taken it back */
    struct patience receiving;
    struct patience sending;
    _Atomic bool closed;
    _Atomic bool gone;
};

/* Takes over the segment, the descriptors and `side` (0: the connecting one). -1: errno, everything released. */
int link_open(struct link *link, struct segment segment, const int bells[2], int socket, int side, int64_t spin);
/* Wakes whoever waits here and there. With `tell` false, only this process's share ends (a forked child). */
void link_close(struct link *link, bool tell);
/* Releases memory and descriptors; nobody may be inside. */
void link_free(struct link *link);

/* As much of the message as fits now. READY: all of it. */
enum link_result link_push(struct link *link, struct ring_outgoing *message);
/* The same without waking a reader that sleeps: `link_wake` does it, soon. Many messages need one bell then. */
enum link_result link_push_quietly(struct link *link, struct ring_outgoing *message);
void link_wake(struct link *link);
/* READY when `link_push` can go on. */
enum link_result link_wait_space(struct link *link, const struct ring_outgoing *message, int64_t deadline);
/* READY when there is something to read. TIMEOUT leaves us ASLEEP: the next message makes `in_set` readable. */
enum link_result link_wait_bytes(struct link *link, int64_t deadline);
/* A short look of `rounds` pauses, for callers who hold a lock that they should not hold for long; none at all when
 * spinning has not paid lately. */
bool link_glance(struct link *link, int rounds);
/* We are awake: the writer need not ring. */
void link_disarm(struct link *link);
/* Tells the writer how far we read, and wakes it when it waits for that. */
void link_release(struct link *link);

#endif
