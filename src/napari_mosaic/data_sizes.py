"""Sizes of data in words.

One decision: every message says bytes by this one function, in the unit that fits, so that nothing that is there is
told as 0.0 GB.
"""

from __future__ import annotations

_UNITS = (("GB", 1e9), ("MB", 1e6))


def data_size(count: float) -> str:
    """Bytes in the unit that fits, by powers of 1000 as disks are sold.

    Examples
    --------
    >>> data_size(23e9), data_size(2.35e9), data_size(45e6), data_size(1200)
    ('23 GB', '2.4 GB', '45 MB', '1 kB')

    """
    for unit, size in _UNITS:
        if count >= 0.9995 * size:  # so that 999.96 MB are not told as 1000 MB
            return f"{count / size:.1f} {unit}" if count < 9.95 * size else f"{count / size:.0f} {unit}"
    return f"{max(1, round(count / 1e3))} kB" if count > 0 else "nothing"
