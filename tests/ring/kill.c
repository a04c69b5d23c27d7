/* kill -9 at every instrumented step, and at random moments: what the survivor sees.
 *
 * Usage: kill [moments]. Promises: every message handed out is whole and right, nobody stays stuck, the death is seen
 * within 50 ms, and no descriptor or name is left.
 */
#include "exchange.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define STEPS 12
#define MOST_DELAY ((int64_t)50000000)

enum way { WAY_ANSWER, WAY_VICTIM_WRITES, WAY_VICTIM_READS, WAYS };

/* Shared with the victim and the killer. */
static struct notes {
    _Atomic int64_t died;
    _Atomic uint64_t sent; /* whole messages, by the victim */
} *notes;

static uint64_t messages; /* that survivors received */

static int doomed_step; /* 0: no such step */
static int doomed_time;

void ring_step(int number) {
    if (number != doomed_step || --doomed_time > 0)
        return;
    atomic_store(&notes->died, patience_clock());
    kill(getpid(), SIGKILL);
}

static int count_entries(const char *path, const char *with) {
    int count = 0;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += strstr(entry->d_name, with) != NULL;
    closedir(directory);
    return count;
}

/* One end of the talk, until the other is gone. Returns how it ended; counts what was received. */
static enum link_result talk(struct link *link, enum way way, bool first, uint64_t *received) {
    static struct arriving arriving;
    memset(&arriving, 0, sizeof arriving);
    for (uint64_t number = 0;; number++) {
        bool send = way == WAY_ANSWER || first == (way == WAY_VICTIM_WRITES);
        bool receive = way == WAY_ANSWER || !send;
        for (int turn = 0; turn < 2; turn++) {
            enum link_result result = LINK_READY;
            bool my_turn = (turn == 0) == first;
            if (my_turn && send && (result = send_message(link, number, LINK_FOREVER)) == LINK_READY && first)
                atomic_store(&notes->sent, number + 1);
            if (!my_turn && receive && (result = receive_message(link, &arriving, LINK_FOREVER)) == LINK_READY) {
                check_message(&arriving, number);
                *received = number + 1;
            }
            if (result != LINK_READY)
                return result;
        }
        if (number % 16 == 3 && mix(number) % 8 == 0)
            usleep(100); /* let the other side fall asleep, or the ring fill up */
    }
}

static pid_t start_victim(struct material *material, enum way way, int side, int64_t spin, int step, int time) {
    pid_t victim = fork();
    CHECK(victim >= 0);
    if (victim > 0)
        return victim;
    struct link link;
    close(material->sockets[1 - side]);
    open_end(&link, material, side, spin);
    doomed_step = step;
    doomed_time = time;
    uint64_t received = 0;
    CHECK(talk(&link, way, true, &received) == LINK_GONE);
    _exit(0);
}

static pid_t start_killer(pid_t victim, unsigned microseconds) {
    pid_t killer = fork();
    CHECK(killer >= 0);
    if (killer > 0)
        return killer;
    usleep(microseconds);
    atomic_store(&notes->died, patience_clock());
    kill(victim, SIGKILL);
    _exit(0);
}

/* One life and death. Returns the delay until the survivor knew; -1 when the victim never came to that step. */
static int64_t one_death(uint64_t round, int step, int time, unsigned moment) {
    enum way way = (enum way)(round % WAYS);
    int side = (int)(round / WAYS % 2);
    int64_t spin = round % 5 < 2 ? 0 : 20000;
    struct material material = make_material(SEGMENT_MIN_CAPACITY);
    struct link link;
    int status;
    atomic_store(&notes->died, 0);
    atomic_store(&notes->sent, 0);
    pid_t victim = start_victim(&material, way, side, spin, step, time);
    close(material.sockets[side]);
    pid_t killer = step == 0 ? start_killer(victim, moment) : start_killer(victim, 30000);
    open_end(&link, &material, 1 - side, spin);
    uint64_t received = 0;
    enum link_result result = talk(&link, way, false, &received);
    int64_t delay = patience_clock() - atomic_load(&notes->died);
    CHECK(result == LINK_GONE);
    CHECK(way != WAY_VICTIM_WRITES || received >= atomic_load(&notes->sent)); /* last words are heard */
    messages += received;
    CHECK(waitpid(victim, &status, 0) == victim && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    bool came = step == 0 || waitpid(killer, &status, WNOHANG) == 0;
    kill(killer, SIGKILL);
    waitpid(killer, &status, 0);
    link_close(&link, true);
    link_free(&link);
    close(material.bells[0]);
    close(material.bells[1]);
    CHECK(delay <= MOST_DELAY);
    return came ? delay : -1;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

int main(int count, char **values) {
    uint64_t moments = argument(count, values, 1, 1000);
    int times[] = {1, 2, 9, 40};
    int64_t worst = 0;
    int deaths = 0;
    alarm(300);
    notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(notes != MAP_FAILED);
    int descriptors = count_entries("/proc/self/fd", "");
    int segments = count_entries("/dev/shm", "tincans"); /* other programs' */
    for (int step = 1; step <= STEPS; step++) {
        int deaths_before = deaths;
        if (step == 8) /* a step of an orderly close, which a victim that is killed never comes to */
            continue;
        for (size_t time = 0; time < sizeof times / sizeof *times; time++) {
            for (uint64_t round = 0; round < 2 * WAYS && (time == 0 || round < WAYS); round++) {
                int64_t delay = one_death(round + 5 * time, step, times[time], 0);
                worst = larger(worst, delay);
                deaths += delay >= 0;
            }
        }
        CHECK(deaths > deaths_before); /* each step was really reached */
    }
    messages = 0;
    for (uint64_t i = 0; i < moments; i++)
        worst = larger(worst, one_death(i, 0, 0, (unsigned)(mix(i) % 2500)));
    CHECK(messages > 20 * moments); /* they were at work when it came */
    CHECK(count_entries("/proc/self/fd", "") == descriptors);
    CHECK(count_entries("/dev/shm", "tincans") == segments);
    printf("kill: %d deaths at %d steps, %llu at random moments; no torn message, nobody stuck, "
           "seen after %.1f ms at most, nothing left (%llu messages)\n",
           deaths, STEPS - 1, (unsigned long long)moments, (double)worst / 1e6, (unsigned long long)messages);
    return 0;
}
