/* Both ends in one program, four threads, under ThreadSanitizer: no data race, no message wrong or lost.
 *
 * Usage: threads [messages [capacity]]. Each side sends and receives at once, spinning, sleeping and with a full ring.
 */
#include "exchange.h"

#include <pthread.h>

struct job {
    struct link *link;
    uint64_t messages;
};

static void dawdle(uint64_t number) { /* now and then long enough for the other side to fall asleep, or fill up */
    if (mix(number) % 512 == 0)
        usleep(200);
}

static void *send_all(void *argument) {
    struct job *job = argument;
    for (uint64_t number = 0; number < job->messages; number++) {
        dawdle(number);
        CHECK(send_message(job->link, number, LINK_FOREVER) == LINK_READY);
    }
    return NULL;
}

static void *receive_all(void *argument) {
    struct job *job = argument;
    struct arriving *arriving = calloc(1, sizeof *arriving);
    for (uint64_t number = 0; number < job->messages; number++) {
        dawdle(number + 7);
        if (number % 3 == 0) { /* as a poller does: look, and be told to sleep */
            enum link_result looked = link_wait_bytes(job->link, LINK_AT_ONCE);
            CHECK(looked == LINK_READY || looked == LINK_TIMEOUT);
        }
        CHECK(receive_message(job->link, arriving, LINK_FOREVER) == LINK_READY);
        check_message(arriving, number);
    }
    free(arriving);
    return NULL;
}

static void *receive_until_closed(void *argument) {
    struct job *job = argument;
    struct arriving *arriving = calloc(1, sizeof *arriving);
    CHECK(receive_message(job->link, arriving, LINK_FOREVER) != LINK_READY);
    free(arriving);
    return NULL;
}

static void run(uint64_t messages, uint64_t capacity, int64_t spin) {
    struct material material = make_material(capacity);
    struct link links[2];
    struct job jobs[2];
    pthread_t threads[4];
    for (int side = 0; side < 2; side++) {
        open_end(&links[side], &material, side, spin);
        jobs[side] = (struct job){&links[side], messages};
        pthread_create(&threads[side], NULL, send_all, &jobs[side]);
        pthread_create(&threads[2 + side], NULL, receive_all, &jobs[side]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    /* A close from a third thread wakes the waiting ones, here and there. */
    for (int side = 0; side < 2; side++)
        pthread_create(&threads[side], NULL, receive_until_closed, &jobs[side]);
    usleep(2000);
    link_close(&links[0], true);
    for (int side = 0; side < 2; side++)
        pthread_join(threads[side], NULL);
    links[1].segment.header = NULL; /* one mapping for both, so that the sanitizer sees one memory */
    link_free(&links[1]);
    link_free(&links[0]);
    close(material.bells[0]);
    close(material.bells[1]);
}

int main(int count, char **values) {
    uint64_t messages = argument(count, values, 1, 20000);
    uint64_t capacity = argument(count, values, 2, 4096);
    int64_t spins[] = {0, 3000, 50000};
    for (size_t i = 0; i < sizeof spins / sizeof *spins; i++)
        run(messages, capacity, spins[i]);
    printf("threads: %llu messages each way, three ways of waiting, ring of %llu bytes: all right\n",
           (unsigned long long)messages, (unsigned long long)capacity);
    return 0;
}
