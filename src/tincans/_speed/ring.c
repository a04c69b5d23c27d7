/* The ring of ring.h: copying, publishing, and checking what the other side says.
 *
 * Rules of this file
 * - No system call, no allocation, no Python: the proofs in tests/ring compile it as it is.
 * - Every value from shared memory goes through `checked_distance` or `ring_read_word` before it is used.
 */
#include "ring.h"

#include <string.h>

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t padded(uint64_t length) { return (length + 7) & ~(uint64_t)7; }

void ring_open_writer(struct ring_writer *writer, struct ring_control *control, uint8_t *data, uint64_t capacity) {
    *writer = (struct ring_writer){.control = control, .data = data, .capacity = capacity};
}

void ring_open_reader(struct ring_reader *reader, struct ring_control *control, const uint8_t *data,
                      uint64_t capacity) {
    *reader = (struct ring_reader){.control = control, .data = data, .capacity = capacity};
}

/* ahead - behind, when it can be true: within the ring, in whole words, and not less than we already knew. */
static int64_t checked_distance(uint64_t ahead, uint64_t behind, uint64_t least, uint64_t capacity) {
    uint64_t distance = ahead - behind;
    if (distance > capacity || distance < least || (distance & 7) != 0)
        return -1;
    return (int64_t)distance;
}

int64_t ring_space(struct ring_writer *writer) {
    uint64_t head = atomic_load(&writer->control->head);
    uint64_t free_before = writer->capacity - (writer->tail - writer->head_seen);
    int64_t space = checked_distance(head + writer->capacity, writer->tail, free_before, writer->capacity);
    if (space >= 0)
        writer->head_seen = head;
    return space;
}

int64_t ring_available(struct ring_reader *reader) {
    uint64_t known = reader->tail_seen - reader->head;
    if (known > 0)
        return (int64_t)known;
    uint64_t tail = atomic_load(&reader->control->tail);
    int64_t available = checked_distance(tail, reader->head, 0, reader->capacity);
    if (available >= 0)
        reader->tail_seen = tail;
    return available;
}

uint64_t ring_stream_length(const struct ring_part *parts, uint32_t count) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += 8 + padded(parts[i].length);
    return total;
}

void ring_begin(struct ring_outgoing *message, const struct ring_part *parts, uint32_t count) {
    *message = (struct ring_outgoing){.parts = parts, .count = count, .left = ring_stream_length(parts, count)};
}

uint64_t ring_copy(struct ring_outgoing *message, uint8_t *to, uint64_t room) {
    uint64_t done = 0;
    while (message->index < message->count && done < room) {
        const struct ring_part *part = &message->parts[message->index];
        if (!message->in_part) {
            uint64_t word = part->length << 16 | (message->count - message->index);
            memcpy(to + done, &word, 8);
            done += 8;
            message->in_part = true;
            message->offset = 0;
        }
        uint64_t rest = part->length - message->offset;
        uint64_t size = smaller(rest, room - done);
        if (size > 0)
            memcpy(to + done, (const uint8_t *)part->start + message->offset, size);
        RING_STEP(1);
        done += size;
        message->offset += size;
        if (size == rest) { /* room is in whole words, so the padding always fits */
            memset(to + done, 0, padded(part->length) - part->length);
            done += padded(part->length) - part->length;
            message->in_part = false;
            message->index++;
        }
    }
    message->left -= done;
    message->begun |= done > 0;
    return done;
}

uint64_t ring_wanted(const struct ring_writer *writer, const struct ring_outgoing *message) {
    return smaller(message->left, writer->capacity / 2);
}

void ring_show(struct ring_writer *writer) {
    RING_STEP(2);
    atomic_store(&writer->control->tail, writer->tail);
    RING_STEP(3);
}

bool ring_publish(struct ring_writer *writer) {
    ring_show(writer);
    return ring_must_wake(writer);
}

bool ring_must_wake(struct ring_writer *writer) {
    uint32_t asleep = RING_ASLEEP;
    return atomic_load(&writer->control->reader) == RING_ASLEEP &&
           atomic_compare_exchange_strong(&writer->control->reader, &asleep, RING_AWAKE);
}

enum ring_result ring_write(struct ring_writer *writer, struct ring_outgoing *message, bool *moved) {
    uint64_t space = writer->capacity - (writer->tail - writer->head_seen);
    uint64_t least = message->begun || message->left > writer->capacity / 2 ? 8 : message->left;
    *moved = false;
    if (space < smaller(message->left, RING_CHUNK) || space < least) {
        int64_t fresh = ring_space(writer);
        if (fresh < 0)
            return RING_BROKEN;
        space = (uint64_t)fresh;
    }
    if (space < least)
        return RING_AGAIN;
    uint64_t chunk = smaller(space, RING_CHUNK);
    while (chunk > 0 && message->left > 0) {
        uint64_t at = writer->tail & (writer->capacity - 1);
        uint64_t size = ring_copy(message, writer->data + at, smaller(chunk, writer->capacity - at));
        writer->tail += size;
        chunk -= size;
    }
    *moved = true;
    return message->left == 0 ? RING_DONE : RING_AGAIN;
}

enum ring_result ring_read_word(struct ring_reader *reader, struct ring_incoming *incoming, uint64_t max_message) {
    if (incoming->in_part)
        return RING_DONE;
    int64_t available = ring_available(reader);
    if (available <= 0)
        return available < 0 ? RING_BROKEN : RING_AGAIN;
    uint64_t word;
    memcpy(&word, reader->data + (reader->head & (reader->capacity - 1)), 8);
    uint32_t parts = (uint32_t)(word & RING_MAX_PARTS);
    uint64_t length = word >> 16;
    bool first = incoming->remaining == 0;
    if (parts == 0 || (!first && parts != incoming->remaining))
        return RING_BROKEN;
    uint64_t total = (first ? 0 : incoming->total) + length;
    if (length >= RING_MAX_LENGTH || total > max_message)
        return RING_TOO_LARGE;
    *incoming = (struct ring_incoming){.remaining = parts, .in_part = true, .length = length, .total = total};
    reader->head += 8;
    RING_STEP(4);
    return RING_DONE;
}

int64_t ring_read(struct ring_reader *reader, struct ring_incoming *incoming, uint8_t *to, uint64_t room) {
    uint64_t rest = incoming->length - incoming->offset;
    uint64_t done = 0;
    if (rest > 0) {
        int64_t available = ring_available(reader);
        if (available < 0)
            return -1;
        uint64_t size = smaller(smaller(rest, (uint64_t)available), smaller(room, RING_CHUNK));
        size = size == rest ? size : size & ~(uint64_t)7;
        while (done < size) {
            uint64_t at = (reader->head + done) & (reader->capacity - 1);
            uint64_t piece = smaller(size - done, reader->capacity - at);
            memcpy(to + done, reader->data + at, piece);
            done += piece;
        }
        RING_STEP(5);
        incoming->offset += done;
    }
    bool complete = done == rest;
    reader->head += complete ? padded(done) : done;
    incoming->in_part = !complete;
    incoming->remaining -= complete;
    return (int64_t)done;
}

bool ring_release(struct ring_reader *reader) {
    RING_STEP(6);
    reader->released = reader->head;
    atomic_store(&reader->control->head, reader->head);
    RING_STEP(7);
    if (atomic_load(&reader->control->writer) != RING_ASLEEP || reader->tail_seen - reader->head > reader->capacity / 2)
        return false; /* the one who waits for space is woken when half of the ring is free, not for every byte */
    uint32_t asleep = RING_ASLEEP;
    return atomic_compare_exchange_strong(&reader->control->writer, &asleep, RING_AWAKE);
}
