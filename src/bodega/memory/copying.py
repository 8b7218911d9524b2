"""Writing over huge pages that are there already: two threads that copy into a mapping beat one system call.

On small pages it is the other way round, since every page of a new mapping faults (see ``docs/benchmarks.md``).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence

WORTH_IT = 16 << 20
"""Bytes below which starting threads costs more than they gain."""
_PIECE = 4 << 20
_THREADS = min(2, os.cpu_count() or 1)


def copy_mapped(descriptor: int, offset: int, views: Sequence[memoryview]) -> int:
    """Copy views, one behind the other, over bytes of a file that exist already; returns how many bytes.

    Args:
        descriptor: open for reading and writing; the caller has the file for itself.
        offset: where the first view goes. The file must be long enough, and without holes: a missing page on a full
            file system would be a SIGBUS.
        views: of bytes.
    """
    from concurrent.futures import ThreadPoolExecutor  # Slow to import, and seldom needed.

    import numpy as np  # Its copies release the interpreter's lock.

    total = sum(view.nbytes for view in views)
    start = offset - offset % mmap.ALLOCATIONGRANULARITY
    with mmap.mmap(descriptor, offset - start + total, offset=start) as mapping:
        target = np.frombuffer(mapping, "u1")
        pairs, at = [], offset - start
        for view in views:
            source = np.frombuffer(view, "u1")
            for begin in range(0, view.nbytes, _PIECE):
                piece = source[begin : begin + _PIECE]
                pairs.append((target[at + begin : at + begin + piece.nbytes], piece))
            at += view.nbytes
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(lambda pair: np.copyto(*pair), pairs))
        # The mapping closes only when nothing looks at it any more.
        del target, pairs
    return total
