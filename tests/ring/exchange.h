/* Two C ends of a connection for the proofs: messages whose every byte can be checked.
 *
 * Rules of this file
 * - A message is one to three parts; their sizes and bytes follow from its number alone, so any tear shows.
 * - The core is used as Python uses it: push and wait for space, read and wait for bytes.
 */
#ifndef TINCANS_EXCHANGE_H
#define TINCANS_EXCHANGE_H

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"

#define MOST_BYTES ((size_t)40000)
#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                   \
            _exit(1);                                                                                                 \
        }                                                                                                             \
    } while (0)

static inline uint64_t mix(uint64_t x) { /* splitmix64: a well spread number for each x */
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

struct expected {
    uint32_t count;
    uint64_t sizes[3];
    uint64_t total;
};

static inline struct expected expect(uint64_t number) {
    uint64_t random = mix(number);
    struct expected expected = {.count = 1 + (uint32_t)(random % 3)};
    for (uint32_t i = 0; i < expected.count; i++) {
        uint64_t kind = mix(random + i);
        uint64_t most = kind % 64 == 0 ? MOST_BYTES / 3 : kind % 8 == 0 ? 600 : 40; /* some longer than the ring */
        expected.sizes[i] = (kind >> 8) % (most + 1);
        expected.total += expected.sizes[i];
    }
    return expected;
}

static inline void fill(uint8_t *to, uint64_t number, uint64_t size) {
    for (uint64_t i = 0; i < size; i += 8) {
        uint64_t word = mix(number * 1000003 + i);
        memcpy(to + i, &word, size - i < 8 ? size - i : 8);
    }
}

/* What has come of the next message. */
struct arriving {
    struct ring_incoming incoming;
    uint32_t count;
    uint64_t sizes[3];
    uint64_t total;
    uint8_t bytes[MOST_BYTES + 64];
};

/* One whole message, or why not. */
static inline enum link_result receive_message(struct link *link, struct arriving *arriving, int64_t deadline) {
    for (;;) {
        enum ring_result word = ring_read_word(&link->reader, &arriving->incoming, MOST_BYTES);
        if (word == RING_BROKEN || word == RING_TOO_LARGE)
            return LINK_BROKEN;
        int64_t done = 0;
        if (word == RING_DONE) {
            CHECK(arriving->count < 3);
            uint8_t *to = arriving->bytes + arriving->total + arriving->incoming.offset;
            done = ring_read(&link->reader, &arriving->incoming, to, arriving->incoming.length);
            if (done < 0)
                return LINK_BROKEN;
            if (!arriving->incoming.in_part) {
                arriving->sizes[arriving->count++] = arriving->incoming.length;
                arriving->total += arriving->incoming.length;
                if (arriving->incoming.remaining > 0)
                    continue;
                link_release(link);
                return LINK_READY;
            }
        }
        link_release(link);
        if (done == 0) {
            enum link_result waited = link_wait_bytes(link, deadline);
            if (waited != LINK_READY && waited != LINK_INTERRUPTED)
                return waited;
        }
    }
}

/* Ends the program when the message is not exactly number `number`. */
static inline void check_message(struct arriving *arriving, uint64_t number) {
    static _Thread_local uint8_t wanted[MOST_BYTES + 64];
    struct expected expected = expect(number);
    CHECK(arriving->count == expected.count && arriving->total == expected.total);
    for (uint32_t i = 0; i < expected.count; i++)
        CHECK(arriving->sizes[i] == expected.sizes[i]);
    fill(wanted, number, expected.total);
    CHECK(memcmp(wanted, arriving->bytes, expected.total) == 0);
    arriving->count = 0;
    arriving->total = 0;
}

static inline enum link_result send_parts(struct link *link, const struct ring_part *parts, uint32_t count,
                                          int64_t deadline) {
    struct ring_outgoing message;
    ring_begin(&message, parts, count);
    for (;;) {
        enum link_result result = link_push(link, &message);
        if (result == LINK_AGAIN)
            result = link_wait_space(link, &message, deadline);
        else
            return result;
        if (result != LINK_READY && result != LINK_INTERRUPTED)
            return result;
    }
}

static inline enum link_result send_message(struct link *link, uint64_t number, int64_t deadline) {
    static _Thread_local uint8_t bytes[MOST_BYTES + 64];
    struct expected expected = expect(number);
    struct ring_part parts[3];
    uint64_t at = 0;
    fill(bytes, number, expected.total);
    for (uint32_t i = 0; i < expected.count; at += expected.sizes[i], i++)
        parts[i] = (struct ring_part){bytes + at, expected.sizes[i]};
    return send_parts(link, parts, expected.count, deadline);
}

/* What both ends are made of; in one program (threads) or inherited by a fork. */
struct material {
    struct segment segment;
    int bells[2];
    int sockets[2];
};

static inline struct material make_material(uint64_t capacity) {
    struct material material;
    int memory = segment_create(capacity);
    CHECK(memory >= 0 && segment_map(&material.segment, memory, capacity) == SEGMENT_OK);
    close(memory);
    for (int i = 0; i < 2; i++)
        CHECK((material.bells[i] = segment_create_bell()) >= 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, material.sockets) == 0);
    return material;
}

static inline void open_end(struct link *link, const struct material *material, int side, int64_t spin) {
    int bells[2] = {fcntl(material->bells[0], F_DUPFD_CLOEXEC, 0), fcntl(material->bells[1], F_DUPFD_CLOEXEC, 0)};
    CHECK(bells[0] >= 0 && bells[1] >= 0);
    CHECK(link_open(link, material->segment, bells, material->sockets[side], side, spin) == 0);
}

static inline uint64_t argument(int count, char **values, int index, uint64_t otherwise) {
    return count > index ? strtoull(values[index], NULL, 10) : otherwise;
}

#endif
