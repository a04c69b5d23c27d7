/* Ping-pong of one small message in pure C: what the ring itself costs, to compare with Python's.
 *
 * Usage: echo [rounds [bytes [spin in ns]]]. Prints one line: median, 99th percentile and mean of a round trip in ns.
 */
#include "exchange.h"

#include <sys/wait.h>

static enum link_result receive_bytes(struct link *link, uint8_t *to, uint64_t *size) {
    struct ring_incoming incoming = {0};
    for (;;) {
        enum ring_result word = ring_read_word(&link->reader, &incoming, MOST_BYTES);
        if (word == RING_BROKEN || word == RING_TOO_LARGE)
            return LINK_BROKEN;
        if (word == RING_DONE) {
            CHECK(ring_read(&link->reader, &incoming, to + incoming.offset, incoming.length - incoming.offset) >= 0);
            if (!incoming.in_part) {
                *size = incoming.length;
                link_release(link);
                return LINK_READY;
            }
        }
        link_release(link);
        enum link_result waited = link_glance(link, 40) ? LINK_READY : link_wait_bytes(link, LINK_FOREVER);
        if (waited != LINK_READY)
            return waited;
    }
}

static void answer_all(struct link *link) {
    static uint8_t bytes[MOST_BYTES];
    struct ring_part part = {bytes, 0};
    while (receive_bytes(link, bytes, &part.length) == LINK_READY)
        if (send_parts(link, &part, 1, LINK_FOREVER) != LINK_READY)
            return;
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int count, char **values) {
    uint64_t rounds = argument(count, values, 1, 200000), size = argument(count, values, 2, 20);
    int64_t spin = (int64_t)argument(count, values, 3, 50000);
    static uint8_t bytes[MOST_BYTES];
    struct material material = make_material(512 * 1024);
    struct link link;
    int64_t *times = malloc(rounds * sizeof *times), total = 0;
    CHECK(times != NULL && rounds > 0 && size <= MOST_BYTES);
    pid_t child = fork();
    if (child == 0) {
        close(material.sockets[0]);
        open_end(&link, &material, 1, spin);
        answer_all(&link);
        _exit(0);
    }
    close(material.sockets[1]);
    open_end(&link, &material, 0, spin);
    struct ring_part part = {bytes, size};
    for (uint64_t i = 0; i < rounds + 1000; i++) {
        uint64_t back;
        int64_t start = patience_clock();
        CHECK(send_parts(&link, &part, 1, LINK_FOREVER) == LINK_READY);
        CHECK(receive_bytes(&link, bytes, &back) == LINK_READY && back == size);
        if (i >= 1000) /* the first ones touch the memory */
            total += times[i - 1000] = patience_clock() - start;
    }
    link_close(&link, true);
    link_free(&link);
    waitpid(child, NULL, 0);
    qsort(times, rounds, sizeof *times, by_size);
    printf("echo in C, %llu bytes: median %lld ns, 99%% %lld ns, mean %lld ns\n", (unsigned long long)size,
           (long long)times[rounds / 2], (long long)times[rounds * 99 / 100], (long long)(total / (int64_t)rounds));
    free(times);
    return 0;
}
