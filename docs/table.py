"""Writes the generated parts of the papers: `python docs/table.py` (`make table`).

Rules of this file
- A part stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`; PARTS says which function writes it.
- `python docs/table.py --check` writes nothing and fails when a part is not up to date (a test runs it).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tables import guarantees, limits, methods, public

ROOT = Path(__file__).resolve().parent.parent
PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"table": methods.short_table},
    "docs/choose.md": {"table": methods.long_table},
    "docs/reference.md": {
        "functions": public.functions,
        "classes": public.classes,
        "errors": public.error_table,
        "wires": methods.wire_table,
        "urls": methods.urls,
        "commands": public.command_table,
        "exits": public.exit_codes,
    },
    "docs/why.md": {"guarantees": guarantees.by_method},
    "docs/limits.md": {"limits": limits.table, "methods": limits.by_method},
}


def renewed(text: str, parts: dict[str, Callable[[], str]]) -> str:
    """The text with each of its parts written anew. ValueError when a part has no place."""
    for name, write in parts.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if begin not in text or end not in text:
            raise ValueError(f"there is no place for {name}: {begin} and {end}")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{write()}\n{end}{rest.partition(end)[2]}"
    return text


def main() -> int:
    """Write, or check."""
    stale = []
    for name, parts in PARTS.items():
        path = ROOT / name
        text = path.read_text()
        new = renewed(text, parts)
        if new != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(new)
    if stale and "--check" in sys.argv:
        print(f"not up to date: {', '.join(stale)}; run: make table")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
