/* An enemy on the other side: impossible positions, lengths, counts, flags and descriptors, under AddressSanitizer.
 *
 * Usage: hostile [states [seed]]. Each state is a fresh reader and writer on memory of exactly the ring's size, which
 * the enemy rewrites between our steps. Allowed: our data, their garbage within our limits, or BROKEN. Never: a byte
 * outside, a length over the limit, a wait that blocks.
 */
#include "exchange.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

static uint64_t seed;
static uint64_t next(void) { return mix(seed++); }
static uint64_t below(uint64_t limit) { return next() % limit; }

static struct ring_control *control;
static uint8_t *data; /* exactly `capacity` bytes: one more and the sanitizer stops us */
static uint64_t capacity;
static uint8_t *room;
static uint64_t broken, complete;

/* A position near what would be right, at the edges of it, or anything. */
static uint64_t position(uint64_t right) {
    switch (below(24)) {
    case 0:
        return right;
    case 1:
        return next();
    case 2:
        return right + capacity + 8 * below(3) - 8;
    case 3:
        return right - 8 * below(capacity / 8 + 2);
    case 4:
        return right + below(64);
    default: /* mostly a possible one, to get past the first check */
        return right + 8 * below(capacity / 8 + 1);
    }
}

static uint64_t word(void) {
    uint64_t length = below(16) == 0 ? next() >> 16 : below(8) == 0 ? capacity + below(32) - 16 : below(48);
    uint64_t parts = below(4) == 0 ? below(0x10000) : below(4);
    return length << 16 | parts;
}

static void attack(uint64_t our_head, uint64_t our_tail) {
    if (below(2) == 0)
        atomic_store(&control->tail, position(our_head));
    if (below(2) == 0)
        atomic_store(&control->head, position(our_tail));
    if (below(4) == 0)
        atomic_store(&control->reader, (uint32_t)below(4));
    if (below(4) == 0)
        atomic_store(&control->writer, (uint32_t)next());
    for (uint64_t i = below(4); i > 0; i--) {
        uint64_t content = word();
        memcpy(data + 8 * below(capacity / 8), &content, 8);
    }
    uint64_t content = word(); /* where we look next */
    memcpy(data + (our_head & (capacity - 1)), &content, 8);
}

static void read_under_attack(void) {
    struct ring_reader reader;
    struct ring_incoming incoming = {0};
    uint64_t most = below(2) ? 256 : 64;
    uint64_t start = below(2) ? 8 * below(capacity) : (uint64_t)0 - 8 * below(64);
    ring_open_reader(&reader, control, data, capacity);
    reader.head = reader.released = reader.tail_seen = start;
    for (int step = 0; step < 12; step++) {
        attack(reader.head & ~(uint64_t)7, 0);
        enum ring_result result = ring_read_word(&reader, &incoming, most);
        if (result == RING_BROKEN || result == RING_TOO_LARGE) {
            broken++;
            return;
        }
        if (result == RING_AGAIN)
            continue;
        CHECK(incoming.total <= most && incoming.length <= most && incoming.offset <= incoming.length);
        attack(reader.head & ~(uint64_t)7, 0);
        uint64_t rest = incoming.length - incoming.offset;
        int64_t done = ring_read(&reader, &incoming, room + 256 - rest, rest); /* ends where `room` ends */
        if (done < 0) {
            broken++;
            return;
        }
        CHECK((uint64_t)done <= rest && (reader.head & 7) == 0 && reader.tail_seen - reader.head <= capacity);
        complete += !incoming.in_part;
        ring_release(&reader);
    }
}

static void write_under_attack(void) {
    struct ring_writer writer;
    struct ring_outgoing message;
    struct ring_part parts[3];
    uint32_t count = 1 + (uint32_t)below(3);
    uint64_t start = below(2) ? 8 * below(capacity) : (uint64_t)0 - 8 * below(64);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size = below(257);
        parts[i] = (struct ring_part){room + 256 - size, size};
    }
    ring_open_writer(&writer, control, data, capacity);
    writer.tail = writer.head_seen = start;
    ring_begin(&message, parts, count);
    for (int step = 0; step < 12 && message.left > 0; step++) {
        bool moved;
        uint64_t seen = writer.head_seen;
        attack(0, writer.tail);
        if (ring_write(&writer, &message, &moved) == RING_BROKEN) {
            broken++;
            return;
        }
        CHECK((writer.tail & 7) == 0 && writer.tail - writer.head_seen <= capacity);
        CHECK(writer.head_seen - seen <= capacity); /* what was read once is never unread */
        if (moved)
            ring_publish(&writer);
    }
}

static void states(uint64_t number) {
    uint64_t sizes[] = {64, 128, 256, 1024};
    room = malloc(256);
    memset(room, 1, 256);
    control = aligned_alloc(RING_LINE, sizeof *control);
    memset(control, 0, sizeof *control);
    for (uint64_t i = 0; i < number; i++) {
        if (i % 1024 == 0) {
            free(data);
            capacity = sizes[below(4)];
            data = malloc(capacity);
            memset(data, 0, capacity);
        }
        if (i % 2 == 0)
            read_under_attack();
        else
            write_under_attack();
    }
    free(room);
    free(control);
    free(data);
}

#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define RIGHT_SIZE ((int64_t)(SEGMENT_HEADER + 2 * SEGMENT_MIN_CAPACITY))

/* Memory that is wrong in one thing: its size, its seals, its magic, its kind. */
static const struct {
    int64_t size;
    int seals;
    unsigned flags;
    bool foreign;
} wrong_memory[] = {
    {RIGHT_SIZE, 0, 0, false},
    {RIGHT_SIZE, F_SEAL_SHRINK, 0, false},
    {RIGHT_SIZE, F_SEAL_GROW | F_SEAL_SEAL, 0, false},
    {RIGHT_SIZE, ALL_SEALS | F_SEAL_WRITE, 0, false},
    {RIGHT_SIZE, ALL_SEALS | F_SEAL_FUTURE_WRITE, 0, false},
    {0, ALL_SEALS, 0, false},
    {1, ALL_SEALS, 0, false},
    {(int64_t)SEGMENT_HEADER, ALL_SEALS, 0, false},
    {RIGHT_SIZE - 1, ALL_SEALS, 0, false},
    {RIGHT_SIZE + 1, ALL_SEALS, 0, false},
    {RIGHT_SIZE + 4096, ALL_SEALS, 0, false}, /* not a power of two */
    {(int64_t)1 << 45, ALL_SEALS, 0, false},
    {RIGHT_SIZE, ALL_SEALS, 0, true},
    {(int64_t)2 << 21, ALL_SEALS, MFD_HUGETLB, true},
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static void refused(int descriptor) {
    struct segment segment = {0};
    enum segment_verdict verdict = segment_map(&segment, descriptor, 1 << 20);
    CHECK(verdict != SEGMENT_OK && segment.header == NULL && segment_explain(verdict)[0] != 0);
    CHECK(segment_check_bell(descriptor) != SEGMENT_OK);
    if (descriptor >= 0)
        close(descriptor);
}

static void refused_memory(void) {
    for (size_t i = 0; i < COUNT(wrong_memory); i++) {
        uint64_t magic = SEGMENT_MAGIC;
        off_t at = (off_t)offsetof(struct segment_header, magic);
        int memory = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | wrong_memory[i].flags);
        if (memory < 0 && wrong_memory[i].flags != 0) /* no huge pages here */
            continue;
        CHECK(memory >= 0 && (wrong_memory[i].foreign || pwrite(memory, &magic, 8, at) == 8));
        CHECK(ftruncate(memory, wrong_memory[i].size) == 0);
        CHECK(wrong_memory[i].seals == 0 || fcntl(memory, F_ADD_SEALS, wrong_memory[i].seals) == 0);
        refused(memory);
    }
}

/* Descriptors of every wrong kind; a careless write to the full pipe would hang. */
static void refused_kinds(void) {
    int pipes[2], sockets[2];
    CHECK(pipe2(pipes, O_CLOEXEC) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    fcntl(pipes[1], F_SETFL, O_NONBLOCK);
    while (write(pipes[1], pipes, 8) > 0)
        ;
    fcntl(pipes[1], F_SETFL, 0);
    int wrong[] = {
        -1,
        open("/dev/null", O_RDWR),
        open("/dev/zero", O_RDWR),
        open("/", O_RDONLY),
        open("/proc/self/exe", O_RDONLY),
        pipes[1],
        pipes[0],
        sockets[0],
        sockets[1],
        epoll_create1(0),
        timerfd_create(CLOCK_MONOTONIC, 0),
    };
    for (size_t i = 0; i < COUNT(wrong); i++)
        refused(wrong[i]);
}

static void accepted(void) {
    int good = segment_create(SEGMENT_MIN_CAPACITY), bell = segment_create_bell();
    struct segment segment;
    CHECK(segment_check_bell(good) != SEGMENT_OK && segment_check_bell(bell) == SEGMENT_OK);
    CHECK(segment_map(&segment, good, SEGMENT_MIN_CAPACITY / 2) == SEGMENT_WRONG_SIZE);
    CHECK(segment_map(&segment, good, SEGMENT_MIN_CAPACITY) == SEGMENT_OK);
    CHECK(ftruncate(good, 0) < 0 && errno == EPERM); /* the other side cannot pull it away */
    segment_unmap(&segment);
    close(good);
    close(bell);
}

/* A bell that the enemy made blocking and filled to the brim: ringing it must not block, nor must closing. */
static void poisoned_bell(void) {
    struct material material = make_material(SEGMENT_MIN_CAPACITY);
    struct link link;
    struct arriving *arriving = calloc(1, sizeof *arriving);
    open_end(&link, &material, 0, 0);
    for (int i = 0; i < 2; i++) {
        uint64_t most = UINT64_MAX - 2;
        CHECK(write(material.bells[i], &most, 8) == 8);
        CHECK(fcntl(material.bells[i], F_SETFL, 0) == 0);
    }
    atomic_store(&link.writer.control->reader, RING_ASLEEP);
    CHECK(send_message(&link, 1, patience_clock() + 1000000) == LINK_READY);
    CHECK(atomic_load(&link.writer.control->reader) == RING_AWAKE);
    CHECK(receive_message(&link, arriving, patience_clock() + 1000000) == LINK_TIMEOUT);
    close(material.sockets[1]);
    CHECK(receive_message(&link, arriving, LINK_FOREVER) == LINK_GONE);
    link_close(&link, true);
    link_free(&link);
    close(material.bells[0]);
    close(material.bells[1]);
    free(arriving);
}

int main(int count, char **values) {
    uint64_t number = argument(count, values, 1, 10000000);
    seed = argument(count, values, 2, 20240607);
    alarm(600);
    refused_memory();
    refused_kinds();
    accepted();
    poisoned_bell();
    states(number);
    CHECK(broken > number / 10 && complete > number / 10); /* the states reach both the checks and the copying */
    printf("hostile: %llu states, %llu refused, %llu parts of garbage within the limits: no harm\n",
           (unsigned long long)number, (unsigned long long)broken, (unsigned long long)complete);
    return 0;
}
