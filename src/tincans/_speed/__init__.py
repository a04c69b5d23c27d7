"""The small C core: rings in shared memory, waiting on descriptors in one call, plain messages in one call.

Rules of this file
- The core is optional: ask `why_not()` first, then import from `tincans._speed.ring` and `._core`.
- Nothing is imported before it is asked for, so that `import tincans` does not pay for it.
"""

from __future__ import annotations

import importlib
import os


def why_not() -> str:
    """Why the C core cannot be used here; "" when it can.

    `TINCANS_PURE=1` in the environment turns it off.

    >>> why_not()
    ''
    """
    if os.environ.get("TINCANS_PURE", "") not in ("", "0"):
        return "TINCANS_PURE is set in the environment"
    try:
        importlib.import_module("tincans._speed._core")
    except ImportError as error:
        return f"the C core was not built when tincans was installed ({error}); reinstall with a C compiler at hand"
    return ""
