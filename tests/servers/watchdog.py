"""Runs a server that ends when the program that wanted it ends, however that ends: `watchdog.py COMMAND [ARG ...]`.

Rules of this file
- Standard input is a pipe from the program that wants the server. Its end is the sign to stop the server.
- The server gets no input, and is killed when it does not stop in time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

STOPS_WITHIN = 10.0


def main() -> int:
    """Run the server until our input ends, or it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the test run, whose end we see
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)

    def stop_when_alone() -> None:
        while os.read(0, 4096):
            pass
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOPS_WITHIN)
            return
        server.kill()

    print(server.pid, flush=True)
    threading.Thread(target=stop_when_alone, daemon=True).start()
    return server.wait()


if __name__ == "__main__":
    sys.exit(main())
