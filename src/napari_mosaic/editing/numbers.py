"""The tessera that a person names: by its id, or by the number that exports give it.

One decision: the id is the name for ever, the number only that of reading order now, so an id goes first; where a plain
figure is an id of one tessera and the number of another, that is said, and `#17` always means the number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_mosaic.errors import InputError
from napari_mosaic.measurement.table import read_tesserae
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box


@dataclass(frozen=True)
class Named:
    """A tessera: its id, its number in the exports of now, its box on the working grid; `words` say which it is."""

    id: int
    number: int
    box: Box
    words: str


def find_tessera(record: Record, text: str) -> Named:
    """The tessera that `text` names: an id, else a number of the exports, or `#` and such a number.

    Raises
    ------
    InputError
        The text is no number, or no tessera has it.
    """
    digits = text.strip().replace(",", "").replace(" ", "")
    numbered, figure = digits.startswith("#"), digits.removeprefix("#")
    if not figure.isdecimal():
        raise InputError(
            f"“{text}” is no number of a tessera; give its id or its number as they stand in the table, such as #17."
        )
    tesserae, value = read_tesserae(record), int(figure)
    ids = tesserae.columns["id"]
    rows = np.flatnonzero(ids == value) if not numbered and value <= np.iinfo(ids.dtype).max else np.zeros(0, int)
    is_number = 1 <= value <= len(tesserae)
    if not len(rows) and not is_number:
        raise InputError(
            f"There is no tessera {figure} in {record.path.name}, neither as id nor as number: numbers go from 1 to "
            f"{len(tesserae):,}; it was never found, or an edit took it away."
        )
    row = int(rows[0]) if len(rows) else value - 1
    other = f" Number {value} is another one: #{value}." if len(rows) and is_number and row != value - 1 else ""
    box = Box(*(int(tesserae.columns[edge][row]) for edge in ("y0", "x0", "y1", "x1")))
    return Named(int(ids[row]), row + 1, box, f"Tessera {int(ids[row])}, number {row + 1:,} of the exports.{other}")
