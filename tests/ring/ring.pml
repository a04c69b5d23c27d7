/* The indices of ring.c: whatever the interleaving, every word comes out once, in order, and none is overwritten unread.
 *
 * Rules of this file
 * - One statement for each step of ring.c that the other side can see; positions count for ever, slots are modulo CAP.
 * - Messages are 1 to 3 words long, published in chunks of at most 2; the reader releases once a message is complete,
 *   or when it ran out of words, as `collect` does.
 * - Planted bugs, each of which must be found: BUG_FULL (one word too many), BUG_EARLY (published before it is copied),
 *   BUG_RELEASE (released before it is copied out).
 */
#define CAP 4
#define WORDS 12

byte slots[CAP];
byte tail; /* published by the writer */
byte head; /* published by the reader */

#ifdef BUG_FULL
#define SPACE(mine) (CAP + 1 - (mine - head_seen))
#else
#define SPACE(mine) (CAP - (mine - head_seen))
#endif

active proctype Writer() {
    byte mine, head_seen, left, chunk, start;
    do
    :: mine == WORDS -> break
    :: mine < WORDS ->
        if
        :: left = 1
        :: WORDS - mine >= 2 -> left = 2
        :: WORDS - mine >= 3 -> left = 3
        fi;
        do
        :: left == 0 -> break
        :: left > 0 ->
            head_seen = head;
            /* A message of up to half the ring goes whole; a longer one as it fits. Otherwise wait for the reader. */
            if
            :: left <= CAP / 2 && SPACE(mine) < left -> head != head_seen
            :: SPACE(mine) == 0 -> head != head_seen
            :: else ->
                chunk = (left < 2 -> left : 2);
                chunk = (SPACE(mine) < chunk -> SPACE(mine) : chunk);
                start = mine;
#ifdef BUG_EARLY
                tail = mine + chunk;
#endif
                do
                :: chunk == 0 -> break
                :: else -> slots[mine % CAP] = mine; mine++; chunk--; left--
                od;
                tail = mine; /* ring_publish */
                assert(mine - start <= CAP)
            fi
        od
    od
}

active proctype Reader() {
    byte mine, tail_seen;
    do
    :: mine == WORDS -> break
    :: mine < WORDS ->
        if
        :: tail_seen == mine -> tail != mine; tail_seen = tail
        :: else -> skip
        fi;
        assert(tail_seen - mine <= CAP);
#ifdef BUG_RELEASE
        head = tail_seen;
#endif
        do
        :: mine == tail_seen -> break
        :: mine < tail_seen -> assert(slots[mine % CAP] == mine); mine++;
            if
            :: break /* a message ends here: release before the next one */
            :: skip
            fi
        od;
        head = mine /* ring_release */
    od
}
