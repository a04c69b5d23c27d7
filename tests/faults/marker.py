"""Alice, who writes down each call that she runs: `marker.py URL FILE`; she says "serving"."""

from __future__ import annotations

import json
import os
import sys

import tincans


def main() -> None:
    """Until killed."""
    url, place = sys.argv[1:]
    marks = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    alice = tincans.serve(url)

    @alice.expose
    def mark(number: int) -> int:
        os.write(marks, f"{number}\n".encode())
        return number

    @alice.expose(idempotent=True)
    def mark_again(number: int) -> int:
        os.write(marks, f"again {number}\n".encode())
        return number

    print(json.dumps({"said": "serving"}), flush=True)
    alice.run()


if __name__ == "__main__":
    main()
