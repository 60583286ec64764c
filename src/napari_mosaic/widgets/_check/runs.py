"""What the dock *How good is it?* asks for: squares of a record, and what their counts say.

One decision: squares and counts lie in `NAME.check` beside the record, as the command leaves them, so a
check that was begun is gone on with, in the viewer or at a desk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_mosaic.evaluation.floor import (
    Square,
    SquareParams,
    count_found,
    describe_error,
    describe_size,
    estimate_error,
    propose_squares,
)
from napari_mosaic.evaluation.floor_files import TABLE, check_folder, read_counts, write_counts, write_squares
from napari_mosaic.record import open_record


@dataclass(frozen=True)
class Proposal:
    """Squares to count and their size in words; none where no check was begun."""

    squares: tuple[Square, ...]
    size: str


def held_check(record: Path) -> Proposal:
    """The squares of a check that was begun."""
    table = check_folder(record) / TABLE
    if not table.exists():
        return Proposal((), "")
    squares = tuple(read_counts(table))
    with open_record(record) as opened:
        return Proposal(squares, describe_size(opened, squares))


def propose(record: Path, params: SquareParams, labels: str | None = None) -> Proposal:
    """Random squares, kept for counting here or on paper; with outlines of `labels`, see `Record.with_labels`."""
    with open_record(record) as opened, opened.open_source() as image:
        counted = opened.with_labels(labels)
        squares = tuple(propose_squares(counted, image, params))
        write_squares(counted, image, squares, check_folder(record))
        return Proposal(squares, describe_size(opened, squares))


def keep_counts(record: Path, squares: tuple[Square, ...], labels: str | None = None) -> str:
    """Keep what is counted; the sentence once all squares are, else nothing."""
    write_counts(squares, check_folder(record))
    if any(square.counted is None for square in squares):
        return ""
    with open_record(record) as opened:
        counted = opened.with_labels(labels)
        now = count_found(counted, squares)
        return describe_error(estimate_error(now, total=counted.figures().count), describe_size(opened, now))
