"""Counts in words: one of a thing, or several."""

from __future__ import annotations

_MANY = {"tessera": "tesserae"}
"""Plurals that do not end in s."""


def counted(count: int, one: str) -> str:
    """So many of a thing: "1 tessera", "1,204 tesserae", "0 windows".

    Parameters
    ----------
    count
        How many.
    one
        What one of them is called.
    """
    return f"{count:,} {one if count == 1 else _MANY.get(one, f'{one}s')}"


__all__ = ["counted"]
