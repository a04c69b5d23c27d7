/* Sleeping and waking in link.c: nobody sleeps for ever while there is work, or while the other side is dead.
 *
 * Rules of this file
 * - Both waits of one direction: the reader for words, the writer for space. One bell, watched by both: ringing it marks
 *   it in each watcher's set (edge-triggered); only the watcher takes its mark.
 * - The reader sleeps in link_wait_bytes, or as a poller: receive at once, then wait for the set without taking.
 * - A store goes to memory at once (sequentially consistent) or, for a planted bug, waits in a store buffer as on x86.
 * - With DEATH the writer may stop at any step; then the socket says so, level-triggered.
 * - A run that cannot go on before both are done is an invalid end state, which is what spin looks for.
 * - Planted bugs: BUG_NO_SECOND_LOOK, BUG_TAKE_AFTER_ASLEEP, BUG_WRITER_BUFFERS, BUG_READER_BUFFERS, BUG_NO_SPACE_LOOK,
 *   BUG_WAIT_WHILE_QUIET, BUG_LOOK_BEFORE_GONE (needs DEATH).
 * - The writer may leave the reader asleep after a message that another one follows; the last one wakes it.
 */
#define CAP 4
#define HALF 2
#ifndef WORDS
#define WORDS 6
#endif
#define AWAKE 0
#define ASLEEP 1

byte tail, head;
bit reader_flag, writer_flag;
bit reader_mark, writer_mark; /* the bell, in the set of each watcher */
bit gone;                     /* the socket's end of file */
bit writer_done;

bit tail_waits; byte tail_value; /* store buffers, for the planted bugs only */
bit flag_waits;

inline ring_bell() {
    reader_mark = 1;
    writer_mark = 1
}

inline publish_tail(value) {
#ifdef BUG_WRITER_BUFFERS
    atomic { !tail_waits -> tail_waits = 1; tail_value = value }
#else
    tail = value
#endif
}

inline say_asleep() {
#ifdef BUG_READER_BUFFERS
    atomic { !flag_waits -> flag_waits = 1 }
#else
    reader_flag = ASLEEP
#endif
}

#if defined(BUG_WRITER_BUFFERS) || defined(BUG_READER_BUFFERS)
active proctype Buffers() {
end:
    do
    :: atomic { tail_waits -> tail = tail_value; tail_waits = 0 }
    :: atomic { flag_waits -> reader_flag = ASLEEP; flag_waits = 0 }
    od
}
#endif

/* link_wake: the load, then the exchange */
inline wake() {
    won = 0;
    quiet = 0;
    if
    :: reader_flag == ASLEEP ->
        atomic {
            if
            :: reader_flag == ASLEEP -> reader_flag = AWAKE; won = 1
            :: else -> skip
            fi
        };
#ifdef DEATH
        if
        :: goto dead /* between the exchange and the bell: the socket wakes the reader */
        :: skip
        fi;
#endif
        if
        :: won -> ring_bell()
        :: else -> skip
        fi
    :: else -> skip
    fi
}

active proctype Writer() {
    byte mine, need;
    bit won, quiet;
    do
    :: mine >= WORDS -> break
#ifdef DEATH
    :: break
#endif
    :: mine < WORDS ->
        if
        :: need = 1
        :: WORDS - mine >= HALF -> need = HALF
        fi;
        /* link_wait_space */
        do
        :: CAP - (mine - head) >= need -> break
#ifndef BUG_WAIT_WHILE_QUIET
        :: CAP - (mine - head) < need && quiet -> wake() /* serve.c, before anybody waits for room */
        :: CAP - (mine - head) < need && !quiet ->
#else
        :: else ->
#endif
            writer_flag = ASLEEP;
            if
#ifndef BUG_NO_SPACE_LOOK
            :: CAP - (mine - head) >= need -> writer_flag = AWAKE; break
#endif
            :: else -> atomic { writer_mark == 1 -> writer_mark = 0 }
            fi
        od;
        mine = mine + need;
        publish_tail(mine);
        if
        :: mine < WORDS -> quiet = 1 /* link_push_quietly: more follows */
        :: true -> wake()
        fi
    od;
dead:
    writer_done = 1;
#ifdef DEATH
    gone = 1
#endif
}

#define NEWS (tail != mine)

active proctype Reader() {
    byte mine, tail_seen;
    bit was_gone, was_news;
    do
    :: mine == WORDS -> break
    :: else ->
        if
        :: tail_seen != mine -> skip
        :: else -> tail_seen = tail
        fi;
        if
        :: tail_seen != mine ->
            mine++;
            head = mine; /* ring_release */
            if
            :: writer_flag == ASLEEP && tail_seen - mine <= HALF ->
                atomic {
                    if
                    :: writer_flag == ASLEEP -> writer_flag = AWAKE; ring_bell()
                    :: else -> skip
                    fi
                }
            :: else -> skip
            fi
        :: else ->
            if
            :: true -> goto blocking
            :: true -> goto polling
            fi
        fi;
        goto again;

blocking: /* link_wait_bytes with time to sleep */
        say_asleep();
#ifdef BUG_LOOK_BEFORE_GONE
        was_news = NEWS; was_gone = gone;
#else
        was_gone = gone; was_news = NEWS;
#endif
#ifdef BUG_NO_SECOND_LOOK
        was_news = 0;
#endif
        if
        :: was_news -> reader_flag = AWAKE; goto again
        :: !was_news && was_gone -> goto dead
        :: else -> skip
        fi;
        atomic { (reader_mark == 1 || gone) -> reader_mark = 0 };
        goto blocking;

polling: /* link_wait_bytes at once, which found nothing; then somebody waits for the set */
#ifndef BUG_TAKE_AFTER_ASLEEP
        reader_mark = 0;
#endif
        was_gone = gone;
        say_asleep();
#ifdef BUG_TAKE_AFTER_ASLEEP
        reader_mark = 0;
#endif
        was_news = NEWS;
        if
        :: was_news -> reader_flag = AWAKE; goto again
        :: !was_news && was_gone -> goto dead
        :: else -> skip
        fi;
        (reader_mark == 1 || gone);
again:
        skip
    od;
    goto finished;
dead:
    assert(mine == tail); /* everything that was written before the death has been read */
finished:
    skip
}
