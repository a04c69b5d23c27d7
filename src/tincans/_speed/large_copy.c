/* Copying more than the caches hold: past them, and with two hands.
 *
 * Rules of this file
 * - Non-temporal stores do not fetch the line that they overwrite, which is a third of the traffic of a plain copy, and
 *   leave the caches to others. For what fits into them a plain copy is better: the reader finds it there.
 * - The GIL is released for all of it. The second hand takes pieces as long as there are any: when it gets no CPU, the
 *   first one does them all.
 * - The second hand is gone before the function returns, and no signal is handled on it.
 */
#define _GNU_SOURCE
#include "module.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define PIECE ((size_t)4 << 20)
/* A thread costs some 50 us, a tenth of what it spares from here on. */
#define TWO_HANDS_FROM ((size_t)32 << 20)

struct work {
    char *to;
    const char *from;
    size_t size;
    _Atomic size_t taken; /* where the next piece begins */
};

#if defined(__SSE2__)
#define LINE 64
#define AHEAD 1024 /* bytes between what is read and what is asked for */

static void copy_piece(char *to, const char *from, size_t size) {
    size_t head = (LINE - (uintptr_t)to % LINE) % LINE;
    if (size < head + LINE) {
        memcpy(to, from, size);
        return;
    }
    memcpy(to, from, head);
    size_t at = head;
    for (; at + LINE <= size; at += LINE) {
        const __m128i *source = (const __m128i *)(from + at);
        __m128i *target = (__m128i *)(to + at);
        _mm_prefetch(from + at + AHEAD, _MM_HINT_NTA); /* behind the end it does nothing */
        __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1);
        __m128i c = _mm_loadu_si128(source + 2), d = _mm_loadu_si128(source + 3);
        _mm_stream_si128(target, a);
        _mm_stream_si128(target + 1, b);
        _mm_stream_si128(target + 2, c);
        _mm_stream_si128(target + 3, d);
    }
    _mm_sfence(); /* before anybody is told that it is there */
    memcpy(to + at, from + at, size - at);
}
#else
static void copy_piece(char *to, const char *from, size_t size) { memcpy(to, from, size); }
#endif

static void *copy_pieces(void *given) {
    struct work *work = given;
    for (;;) {
        size_t at = atomic_fetch_add_explicit(&work->taken, PIECE, memory_order_relaxed);
        if (at >= work->size)
            return NULL;
        copy_piece(work->to + at, work->from + at, work->size - at < PIECE ? work->size - at : PIECE);
    }
}

static bool has_two_cpus(void) {
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) > 1;
}

static bool start(pthread_t *second, struct work *work) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* it inherits that none is for it */
    bool started = pthread_create(second, NULL, copy_pieces, work) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void copy(char *to, const char *from, size_t size) {
    struct work work = {.to = to, .from = from, .size = size};
    pthread_t second;
    bool two = size >= TWO_HANDS_FROM && has_two_cpus() && start(&second, &work);
    copy_pieces(&work);
    if (two)
        pthread_join(second, NULL);
}

static PyObject *copy_large(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer target, source;
    if (!PyArg_ParseTuple(args, "w*y*:copy_large", &target, &source))
        return NULL;
    bool fits = source.len <= target.len;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        copy(target.buf, source.buf, (size_t)source.len);
        Py_END_ALLOW_THREADS
    } else {
        PyErr_Format(PyExc_ValueError, "%zd bytes do not fit into %zd", source.len, target.len);
    }
    PyBuffer_Release(&source);
    PyBuffer_Release(&target);
    return fits ? Py_NewRef(Py_None) : NULL;
}

PyMethodDef copy_functions[] = {
    {"copy_large", copy_large, METH_VARARGS,
     "copy_large(target, source): all of `source` to the beginning of `target`, which must not overlap, past the "
     "caches."},
    {NULL, NULL, 0, NULL},
};
