"""Where a record goes that is made in another way than the one that is there.

One decision: a record keeps what it was made with; what differs from it gets a name beside it that says so.
"""

from __future__ import annotations

from pathlib import Path

from napari_mosaic.widgets._facts import RecordFacts

ENDING = ".mosaic.zarr"


def place_beside(record: RecordFacts, method: str, word: str) -> Path:
    """Where a record goes that is made in another way than the one that is there: by another `word` of the name.

    With the usual method again it is the first one; with other settings of the same, one with the next free number.
    """
    whole = record.path.name.removesuffix(ENDING)
    stem = whole.removesuffix(f" {_file_word(record.quality)}").removesuffix(f" {_file_word(record.method)}")
    back = word == method == type(record).method and stem != whole
    names = [stem if back else f"{stem} {_file_word(word)}", *(f"{whole} {number}" for number in range(2, 1000))]
    places = (record.path.with_name(f"{name}{ENDING}") for name in names)
    found = next(places)
    return found if found != record.path else next(place for place in places if not place.exists())


def _file_word(word: str) -> str:
    """A method's name as a part of a file's."""
    return word.replace(":", " ").replace("+", " ")
