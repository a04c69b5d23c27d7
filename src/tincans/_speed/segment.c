/* Making, checking and mapping the segment of segment.h.
 *
 * Rules of this file
 * - Every descriptor is somebody else's word until it is checked here: type, seals, size, magic.
 * - SHRINK must be sealed, or the other side could truncate the file under us (SIGBUS).
 */
#define _GNU_SOURCE
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Newer than some C libraries. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

_Static_assert(sizeof(struct segment_header) <= SEGMENT_HEADER, "the header page holds the controls");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "shared atomics must be lock-free");

static int close_failed(int descriptor) {
    int reason = errno;
    close(descriptor);
    errno = reason;
    return -1;
}

static bool fits(uint64_t capacity, uint64_t limit) {
    return capacity >= SEGMENT_MIN_CAPACITY && capacity <= limit && (capacity & (capacity - 1)) == 0;
}

static uint64_t size_for(uint64_t capacity) { return SEGMENT_HEADER + 2 * capacity; }

int segment_create(uint64_t capacity) {
    if (!fits(capacity, SEGMENT_MAX_CAPACITY)) {
        errno = EINVAL;
        return -1;
    }
    int memory = memfd_create("tincans-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (memory < 0 && errno == EINVAL) /* before Linux 6.3 */
        memory = memfd_create("tincans-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0)
        return -1;
    if (ftruncate(memory, (off_t)size_for(capacity)) < 0)
        return close_failed(memory);
    uint64_t magic = SEGMENT_MAGIC;
    off_t at = (off_t)offsetof(struct segment_header, magic);
    if (pwrite(memory, &magic, sizeof magic, at) != (ssize_t)sizeof magic || fcntl(memory, F_ADD_SEALS, SEALS) < 0)
        return close_failed(memory);
    return memory;
}

int segment_create_bell(void) { return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); }

static enum segment_verdict check_memory(int memory, uint64_t capacity_limit, uint64_t *capacity) {
    struct stat about;
    struct statfs system;
    if (fstat(memory, &about) < 0 || fstatfs(memory, &system) < 0)
        return SEGMENT_FAILED;
    /* Huge pages can fail at the touch of a hole, which is SIGBUS; a plain memfd lives on tmpfs. */
    if (!S_ISREG(about.st_mode) || system.f_type != TMPFS_MAGIC)
        return SEGMENT_NOT_MEMORY;
    int seals = fcntl(memory, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return SEGMENT_NOT_SEALED;
    uint64_t size = (uint64_t)about.st_size;
    *capacity = (size - SEGMENT_HEADER) / 2;
    if (size < size_for(SEGMENT_MIN_CAPACITY) || !fits(*capacity, capacity_limit) || size_for(*capacity) != size)
        return SEGMENT_WRONG_SIZE;
    return SEGMENT_OK;
}

enum segment_verdict segment_map(struct segment *segment, int memory, uint64_t capacity_limit) {
    uint64_t capacity;
    enum segment_verdict verdict = check_memory(memory, capacity_limit, &capacity);
    if (verdict != SEGMENT_OK)
        return verdict;
    void *place = mmap(NULL, size_for(capacity), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (place == MAP_FAILED)
        return SEGMENT_FAILED;
    *segment = (struct segment){.header = place, .capacity = capacity};
    if (atomic_load(&segment->header->magic) == SEGMENT_MAGIC)
        return SEGMENT_OK;
    segment_unmap(segment);
    return SEGMENT_FOREIGN;
}

enum segment_verdict segment_check_bell(int bell) {
    struct stat about;
    if (fstat(bell, &about) < 0)
        return SEGMENT_FAILED;
    /* An eventfd has no file type, refuses less than 8 bytes, and always takes 8 zero bytes without waiting. */
    uint64_t nothing = 0;
    if ((about.st_mode & S_IFMT) != 0 || write(bell, &nothing, 4) != -1 || errno != EINVAL ||
        write(bell, &nothing, 8) != 8)
        return SEGMENT_NOT_A_BELL;
    return SEGMENT_OK;
}

void segment_unmap(struct segment *segment) {
    if (segment->header != NULL)
        munmap(segment->header, size_for(segment->capacity));
    segment->header = NULL;
}

uint8_t *segment_data(const struct segment *segment, int direction) {
    return (uint8_t *)segment->header + SEGMENT_HEADER + (uint64_t)direction * segment->capacity;
}

const char *segment_explain(enum segment_verdict verdict) {
    switch (verdict) {
    case SEGMENT_NOT_MEMORY:
        return "its descriptor is not plain shared memory (a memfd)";
    case SEGMENT_NOT_SEALED:
        return "its memory is not sealed against shrinking and growing";
    case SEGMENT_WRONG_SIZE:
        return "its memory has a size that we do not accept";
    case SEGMENT_FOREIGN:
        return "its memory has another layout; both programs need compatible versions of tincans";
    case SEGMENT_NOT_A_BELL:
        return "the descriptor that should wake it is not an eventfd";
    default:
        return "a descriptor could not be used";
    }
}
