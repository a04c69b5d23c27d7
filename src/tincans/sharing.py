"""Arrays in memory that can be passed on without a copy.

Rules of this file
- numpy is imported only when there is an array; any other buffer becomes a memoryview.
- What is returned is read-only: it may be in several programs at once.
"""

from __future__ import annotations

import sys
from typing import Any

from tincans.toolkit import sealed_memory


def share(array: Any) -> Any:
    """Copy an array (or any buffer) once into sealed memory; passing the result on copies nothing on `unix`.

    >>> bytes(share(b"abc"))
    b'abc'
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(array, numpy.ndarray):
        contiguous = numpy.ascontiguousarray(array)
        memory = sealed_memory.share(contiguous.view(numpy.uint8).reshape(-1).data)
        return numpy.frombuffer(memory, dtype=array.dtype).reshape(array.shape)
    return sealed_memory.share(array)
