"""What is known of memory: how much is free, how much was used, whether an error says that there is too little.

One decision: an error is judged by its words, because torch, OpenVINO and numpy have no common kind for it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

ARENAS = "MALLOC_ARENA_MAX"
"""The variable by which glibc is told the same before a process begins."""
MOST_ARENAS = 2
_M_ARENA_MAX = -8
_WORDS = ("out of memory", "not enough memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, on whatever device, or numpy ran out of memory."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _WORDS)


def free_memory() -> int:
    """Bytes of the computer's memory that are free now; a cautious guess where the system does not say."""
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 4 * 2**30 if sys.maxsize > 2**32 else 2**30


def peak_of_process() -> int | None:
    """Bytes of memory that this process used at most; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def use_few_arenas() -> None:
    """Have glibc share its heaps between threads, in a process of our own, before its threads begin.

    Each thread has one otherwise, and keeps what large arrays left in it: a run of 0.4 gigapixels takes 1.39 GB with
    them and 0.94 GB with two heaps, 4.45 and 4.71 MP/s (`benchmarks/throughput.py`). What a person has set stays.
    """
    if sys.platform == "linux" and ARENAS not in os.environ:
        with suppress(OSError, AttributeError):  # a C library that is not glibc
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MOST_ARENAS)
