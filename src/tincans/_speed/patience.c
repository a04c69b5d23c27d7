/* Learning for patience.h.
 *
 * Rules of this file
 * - No lock and no waiting: a few numbers about the past.
 */
#define _GNU_SOURCE
#include "patience.h"

#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Never spin less than most / 32 (1.5 us of 50): about what it costs to find out that the other side answers fast. */
#define LEAST_SHARE 32
/* After so many sleeps that turned out short, try one full spin: it may pay again. Trials that fail, because both
 * programs share a CPU and spinning holds up the other one, become rarer up to the second number. */
#define SLEEPS_BEFORE_TRIAL 8
#define MOST_SLEEPS_BEFORE_TRIAL 1024
/* What is expected is waited for so many times as long: the other side may have to be woken first, and then to map
 * memory. When it was awake it takes a tenth of that; two sides that spin keep each other awake. */
#define EXPECTED_TIMES 3
#define MOST_UNBELIEF 63

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t clock_of(clockid_t id) {
    struct timespec time;
    clock_gettime(id, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t patience_clock(void) { return clock_of(CLOCK_MONOTONIC); }

int64_t patience_rough_clock(void) {
#ifdef CLOCK_MONOTONIC_COARSE
    return clock_of(CLOCK_MONOTONIC_COARSE);
#else
    return patience_clock();
#endif
}

static atomic_int spinning;
static atomic_int most_spinning = 1;

static int count_cpus(void) {
    cpu_set_t allowed;
    /* Fails on machines with more CPUs than it can say. */
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : CPU_SETSIZE;
}

void patience_set(struct patience *patience, int64_t most) {
    int cpus = count_cpus();
    atomic_store_explicit(&most_spinning, cpus < 4 ? 1 : cpus / 2, memory_order_relaxed);
    patience->most = patience->now = cpus == 1 ? 0 : most;
    patience->short_sleeps = 0;
    patience->trial = SLEEPS_BEFORE_TRIAL;
    patience->expected = 0;
    patience->passed_over = patience->unbelief = 0;
    patience->minds_signals = patience->yielded = false;
}

void patience_expect(struct patience *patience) {
    if (patience->passed_over > 0)
        patience->passed_over--;
    else
        patience->expected = EXPECTED_TIMES * patience->most;
}

/* The one on which Python runs the handlers of signals. */
static bool is_first_thread(void) { return syscall(SYS_gettid) == getpid(); }

bool patience_yields(struct patience *patience) {
    patience->yielded = patience->minds_signals && is_first_thread();
    return patience->yielded;
}

bool patience_resumes(struct patience *patience) {
    bool resumes = patience->yielded;
    patience->yielded = false;
    return resumes;
}

bool patience_begin(struct patience *patience) {
    if (patience->now == 0)
        return false;
    if (atomic_fetch_add_explicit(&spinning, 1, memory_order_relaxed) <
        atomic_load_explicit(&most_spinning, memory_order_relaxed))
        return true;
    patience_end();
    return false;
}

void patience_end(void) { atomic_fetch_sub_explicit(&spinning, 1, memory_order_relaxed); }

void patience_after_fork(void) { atomic_store_explicit(&spinning, 0, memory_order_relaxed); }

bool patience_is_high(struct patience *patience) { return patience->now > patience->most / LEAST_SHARE; }

int64_t patience_until(struct patience *patience, int64_t start, int64_t deadline) {
    int64_t expected = patience->expected;
    return smaller(start + (expected != 0 ? expected : patience->now), deadline);
}

void patience_paid(struct patience *patience) {
    if (patience->expected != 0)
        patience->expected = patience->unbelief = 0;
    patience->now = smaller(patience->now * 2, patience->most);
    patience->trial = SLEEPS_BEFORE_TRIAL;
}

void patience_failed(struct patience *patience) {
    if (patience->expected != 0) {
        int more = 2 * patience->unbelief + 1;
        patience->expected = 0;
        patience->passed_over = patience->unbelief = more < MOST_UNBELIEF ? more : MOST_UNBELIEF;
        return;
    }
    int64_t least = patience->most / LEAST_SHARE, half = patience->now / 2;
    if (patience->now == patience->most)
        patience->trial = (int)smaller(2 * patience->trial, MOST_SLEEPS_BEFORE_TRIAL);
    patience->now = half > least ? half : least;
}

void patience_slept(struct patience *patience, int64_t start) {
    if (patience->now == patience->most || patience_clock() - start >= patience->most)
        return;
    if (++patience->short_sleeps >= patience->trial) {
        patience->short_sleeps = 0;
        patience->now = patience->most;
    }
}
