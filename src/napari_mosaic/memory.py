"""What is known of memory: how much is free, how much was used, whether an error says that there is too little.

One decision: an error is judged by its words, because torch, OpenVINO and numpy have no common kind for it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

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
