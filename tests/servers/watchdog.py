"""Runs a server that ends with the program that wanted it, however that ends: `watchdog.py PLACE COMMAND [ARG ...]`.

Rules of this file
- Standard input is a pipe from the program that wants the server. Its end is the sign to stop the server, and to remove
  its directory, PLACE.
- The server gets no input, and is killed when it does not stop in time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading

STOPS_WITHIN = 10.0


def main() -> int:
    """Run the server until our input ends, or it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the test run, whose end we see
    server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, start_new_session=True)

    alone = threading.Event()

    def stop_when_alone() -> None:
        while os.read(0, 4096):
            pass
        alone.set()
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOPS_WITHIN)
            return
        server.kill()

    with contextlib.suppress(BrokenPipeError):
        print(server.pid, flush=True)
    threading.Thread(target=stop_when_alone, daemon=True).start()
    code = server.wait()
    if alone.is_set():
        shutil.rmtree(sys.argv[1], ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
