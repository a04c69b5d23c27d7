"""Alice as a program of her own: `python -m tincans.conformance.program URL [URL ...] [--keep FILE]`.

Rules of this file
- Nothing but the addresses on stdout (on stderr for stdio, whose stdout is the string), one a line, when it is ready.
"""

from __future__ import annotations

import sys

import tincans
from tincans.conformance.service import Alice, expose_all


def main(arguments: list[str]) -> None:
    """Serve until told to stop."""
    keep = None
    if "--keep" in arguments:
        at = arguments.index("--keep")
        keep = arguments[at + 1]
        del arguments[at : at + 2]
    server = tincans.serve(*arguments, keep=keep)
    expose_all(server, Alice())
    out = sys.stderr if arguments[0].startswith("stdio") else sys.stdout
    for url in server.urls:
        print(url, file=out, flush=True)
    server.run()


if __name__ == "__main__":
    main(sys.argv[1:])
