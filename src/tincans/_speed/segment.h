/* The segment: one sealed memfd that holds both rings of a connection, and the two bells beside it.
 *
 * Rules of this file
 * - Made by the connecting side, checked by the accepting side before a byte of it is touched.
 * - The capacity follows from the file's sealed size, never from what is written inside.
 * - No name anywhere: the memory goes back to the kernel with the last program that holds it.
 */
#ifndef TINCANS_SEGMENT_H
#define TINCANS_SEGMENT_H

#include "ring.h"

#define SEGMENT_HEADER ((uint64_t)4096)
#define SEGMENT_MIN_CAPACITY ((uint64_t)4096)
#define SEGMENT_MAX_CAPACITY ((uint64_t)1 << 30)
/* Tells our layout from another program's memory; the last byte is the version of the layout. */
#define SEGMENT_MAGIC 0x54494e43414e5301u

struct segment_header {
    struct ring_control rings[2]; /* 0: connecting side to accepting side; 1: back */
    _Alignas(RING_LINE) _Atomic uint64_t magic;
};

struct segment {
    struct segment_header *header;
    uint64_t capacity; /* of each ring, in bytes */
};

/* Why a descriptor was refused; SEGMENT_OK and SEGMENT_FAILED (see errno) besides. */
enum segment_verdict {
    SEGMENT_OK,
    SEGMENT_FAILED,
    SEGMENT_NOT_MEMORY,
    SEGMENT_NOT_SEALED,
    SEGMENT_WRONG_SIZE,
    SEGMENT_FOREIGN,
    SEGMENT_NOT_A_BELL,
};

/* A new sealed memfd, or -1 (errno). */
int segment_create(uint64_t capacity);
/* A new bell: an eventfd whose count stays 1 for ever, see wait.h. */
int segment_create_bell(void);
enum segment_verdict segment_map(struct segment *segment, int memory, uint64_t capacity_limit);
enum segment_verdict segment_check_bell(int bell);
void segment_unmap(struct segment *segment);
uint8_t *segment_data(const struct segment *segment, int direction);
/* A sentence for people. */
const char *segment_explain(enum segment_verdict verdict);

#endif
