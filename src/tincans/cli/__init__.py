"""The command `tincans`: everything the library says, for a shell.

Rules of this room
- Nothing but data on stdout; messages, hints and errors go to stderr. Tables are drawn on a terminal only.
- A command is a thin face: it turns words into values, calls the library, and prints what comes back.
- Exit codes are promises to shell scripts; they stand in `cli/exits.py` and nowhere else.
- This file loads no library, so that it can say what is missing.
"""

from __future__ import annotations

import sys

HINT = "The command line needs two libraries that are not installed: pip install 'tincans[cli]'"


def main() -> None:
    """The console script and `python -m tincans`: run one command and exit with its code."""
    try:
        from tincans.cli import program
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"click", "rich", "rich_click"}:
            raise
        sys.stderr.write(f"tincans: {HINT}\n")
        sys.exit(5)
    sys.exit(program.run())
