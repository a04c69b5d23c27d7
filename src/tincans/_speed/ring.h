/* The ring: one direction of a string through shared memory, one writer, one reader. No Python, no system calls.
 *
 * Rules of this file
 * - A direction is a stream of bytes in a power-of-two ring; positions count bytes for ever and never wrap.
 * - A message is its parts, one after the other: an 8-byte word (length << 16 | parts still to come, this one
 *   included), the bytes, and zeros up to the next multiple of 8. So words never straddle the end of the ring.
 * - Each side keeps its own position and the capacity in private memory and only publishes them. What comes from the
 *   other side is loaded once into a local, checked, then used: a hostile peer can only break its own connection.
 * - Positions and sleep flags are sequentially consistent: "publish, then look whether the other sleeps" against
 *   "say that I sleep, then look again" must not both miss. tests/ring/handshake.pml proves it.
 */
#ifndef TINCANS_RING_H
#define TINCANS_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two 64-byte lines: x86 fetches cache lines in pairs, so a single one would still be shared by both sides. */
#define RING_LINE 128
#define RING_MAX_PARTS 0xffffu
#define RING_MAX_LENGTH ((uint64_t)1 << 47)
/* The writer publishes and the reader releases at least this often, so that both copy a long message at once. */
#define RING_CHUNK ((uint64_t)16 * 1024)

/* Test builds stop or kill the program here, to prove that every moment is a good one to die. */
#ifndef RING_STEP
#define RING_STEP(number) ((void)0)
#endif

enum ring_state { RING_AWAKE = 0, RING_ASLEEP = 1, RING_GONE = 2 };
enum ring_result { RING_BROKEN = -1, RING_AGAIN = 0, RING_DONE = 1, RING_TOO_LARGE = 2 };

/* In shared memory: one for each direction. Every field is written by the side in its name, except that the other
 * side may turn ASLEEP into AWAKE, so that it rings only once. */
struct ring_control {
    _Alignas(RING_LINE) _Atomic uint64_t tail;   /* bytes written so far */
    _Alignas(RING_LINE) _Atomic uint64_t head;   /* bytes read so far */
    _Alignas(RING_LINE) _Atomic uint32_t reader; /* enum ring_state: waits for bytes */
    _Alignas(RING_LINE) _Atomic uint32_t writer; /* enum ring_state: waits for space */
};

struct ring_writer {
    struct ring_control *control;
    uint8_t *data;
    uint64_t capacity;
    uint64_t tail;      /* our own position; the shared one is only a copy of it */
    uint64_t head_seen; /* the last good value of the other side's position */
};

struct ring_reader {
    struct ring_control *control;
    const uint8_t *data;
    uint64_t capacity;
    uint64_t head;
    uint64_t released; /* what the writer was told about head */
    uint64_t tail_seen;
};

struct ring_part {
    const void *start;
    uint64_t length;
};

/* A message on its way out, and how much of it has been copied. */
struct ring_outgoing {
    const struct ring_part *parts;
    uint32_t count;
    uint32_t index;
    uint64_t offset;
    uint64_t left; /* bytes of stream still to copy, words and padding included */
    bool in_part;
    bool begun;
};

/* A message on its way in: which part we are in, and how much of it has been copied out. */
struct ring_incoming {
    uint32_t remaining; /* parts still to come, the current one included; 0 between messages */
    bool in_part;
    uint64_t length;
    uint64_t offset;
    uint64_t total;
};

void ring_open_writer(struct ring_writer *writer, struct ring_control *control, uint8_t *data, uint64_t capacity);
void ring_open_reader(struct ring_reader *reader, struct ring_control *control, const uint8_t *data,
                      uint64_t capacity);

/* Free bytes, freshly looked up; -1 when the other side's position is impossible. */
int64_t ring_space(struct ring_writer *writer);
/* Bytes to read, freshly looked up when none are known; -1 when the other side's position is impossible. */
int64_t ring_available(struct ring_reader *reader);

/* The bytes of stream that `count` parts take. */
uint64_t ring_stream_length(const struct ring_part *parts, uint32_t count);
void ring_begin(struct ring_outgoing *message, const struct ring_part *parts, uint32_t count);
/* The next bytes of the message's stream into `to`; `room` is a multiple of 8. Returns how many. */
uint64_t ring_copy(struct ring_outgoing *message, uint8_t *to, uint64_t room);
/* The free bytes that the message waits for before it goes on. */
uint64_t ring_wanted(const struct ring_writer *writer, const struct ring_outgoing *message);
/* Writes and publishes at most one chunk. DONE when the message is complete, AGAIN when more is to do (`*moved` says
 * whether anything was written), BROKEN. A message of up to half the ring goes whole or not at all. */
enum ring_result ring_write(struct ring_writer *writer, struct ring_outgoing *message, bool *moved);
/* Publishes `tail`: a reader that looks sees what was written. */
void ring_show(struct ring_writer *writer);
/* After it, soon: true when the reader slept and must be woken, by us alone. */
bool ring_must_wake(struct ring_writer *writer);
/* Both. */
bool ring_publish(struct ring_writer *writer);

/* The word before the next part, unless we are in a part. DONE: `incoming->length` is known. */
enum ring_result ring_read_word(struct ring_reader *reader, struct ring_incoming *incoming, uint64_t max_message);
/* At most a chunk of the current part's bytes into `to`, which has room for the rest of it. Ends the part when it is
 * complete (`in_part` turns false, `remaining` goes down). Returns how many; -1 when broken. */
int64_t ring_read(struct ring_reader *reader, struct ring_incoming *incoming, uint8_t *to, uint64_t room);
/* Publishes `head`; true when the writer waits for space, has enough of it now, and must be woken. */
bool ring_release(struct ring_reader *reader);

static inline bool ring_has_news(const struct ring_reader *reader) {
    const uint8_t *next = reader->data + (reader->head & (reader->capacity - 1));
    __builtin_prefetch(next);
    __builtin_prefetch(next + 40);
    return atomic_load_explicit(&reader->control->tail, memory_order_acquire) != reader->head;
}

#endif
