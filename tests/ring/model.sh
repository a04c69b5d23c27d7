#!/bin/sh
# Checks both models with spin: the real ones must be clean, and every planted bug must be found.
# Usage: model.sh BUILD_DIRECTORY
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"

# errors MODEL DEFINES...: prints how many errors spin found.
errors() {
    model=$1
    shift
    mkdir -p "model-$$"
    (
        cd "model-$$"
        spin -a "$@" "$here/$model" >spin.log 2>&1 || { cat spin.log >&2; exit 1; }
        cc -O0 -DSAFETY -o pan pan.c  # to translate it well takes ten times as long as to run it
        ./pan -m1000000 >pan.log
        grep -q "errors:" pan.log || { cat pan.log >&2; exit 1; }
        ! grep -q "max search depth too small" pan.log || { cat pan.log >&2; exit 1; }
        sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
    )
    rm -rf "model-$$"
}

clean() {
    [ "$(errors "$@")" = 0 ] || { echo "model: $* is not clean" >&2; exit 1; }
    echo "model: $* clean"
}

caught() {
    [ "$(errors "$@")" != 0 ] || { echo "model: $* was not found" >&2; exit 1; }
    echo "model: $* found"
}

clean ring.pml
caught ring.pml -DBUG_FULL
caught ring.pml -DBUG_EARLY
caught ring.pml -DBUG_RELEASE
clean handshake.pml
clean handshake.pml -DDEATH
caught handshake.pml -DBUG_NO_SECOND_LOOK
caught handshake.pml -DBUG_TAKE_AFTER_ASLEEP
caught handshake.pml -DBUG_WRITER_BUFFERS
caught handshake.pml -DBUG_READER_BUFFERS
caught handshake.pml -DBUG_NO_SPACE_LOOK
caught handshake.pml -DBUG_WAIT_WHILE_QUIET
caught handshake.pml -DBUG_LOOK_BEFORE_GONE -DDEATH
