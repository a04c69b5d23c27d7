/* How long to spin before the next sleep: longer while it pays, hardly at all when it does not.
 *
 * Rules of this file
 * - Spinning saves the cost of sleeping and waking when the answer comes soon; on a CPU that both programs share it
 *   keeps the answer from coming. Nobody can tell beforehand, so each wait teaches the next one.
 * - Fields are atomic so that two threads may share one; nothing depends on their being exact.
 */
#ifndef TINCANS_PATIENCE_H
#define TINCANS_PATIENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct patience {
    _Atomic int64_t most; /* nanoseconds; 0: never spin */
    _Atomic int64_t now;
    _Atomic int short_sleeps; /* sleeps that a full spin would have saved, */
    _Atomic int trial;        /* and after how many of them to try one */
    _Atomic bool minds_signals; /* whether signals end the waits of the first thread */
    _Atomic bool yielded; /* the wait is begun again: it has spun already */
    _Atomic int64_t expected; /* nanoseconds to spin in the next wait, whatever was learned; 0: nothing is expected */
    _Atomic int passed_over;  /* expectations not to be believed, */
    _Atomic int unbelief;     /* and how many after the next one that was wrong */
};

/* Monotonic nanoseconds. */
int64_t patience_clock(void);
/* The same to a few milliseconds, which costs a third. */
int64_t patience_rough_clock(void);
/* Starts anew with `most` nanoseconds, or 0 when this program may run on one CPU only. */
void patience_set(struct patience *patience, int64_t most);
/* Whether spinning paid lately. */
bool patience_is_high(struct patience *patience);
/* Whether this thread may spin now: one that spins for each two CPUs of this program are enough, for more would take
 * the CPU from those that they wait for. After true: `patience_end` when it has spun. */
bool patience_begin(struct patience *patience);
/* After a spin in vain: whether signals are to be handled before we sleep, for one that came meanwhile interrupts no
 * system call. Then the wait is begun again, and `patience_resumes` says that it has spun. */
bool patience_yields(struct patience *patience);
bool patience_resumes(struct patience *patience);
void patience_end(void);
/* In a forked child: the threads that were spinning did not come along. */
void patience_after_fork(void);
/* The next wait will be short, but not as short as most: it may spin longer. When that fails it teaches nothing about
 * other waits, and expectations that fail one after the other are believed more and more rarely. */
void patience_expect(struct patience *patience);
/* When to stop spinning that began at `start`. */
int64_t patience_until(struct patience *patience, int64_t start, int64_t deadline);
void patience_paid(struct patience *patience);
void patience_failed(struct patience *patience);
/* After a sleep that ended with news: `start` is when the whole wait began. */
void patience_slept(struct patience *patience, int64_t start);

static inline void patience_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

#endif
