"""Progress of a long operation, written once for the API, the command line and the viewer.

One decision: a long operation is a generator that yields `Progress` and returns its result.
Whoever runs it may stop between two yields; what is finished stays.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TypeVar

from napari_mosaic.tiling import Box

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One finished piece of a long operation.

    `done` and `total` count `unit` (megapixels of the working grid, files, windows) within `phase`;
    `region` is the finished box on the working grid, where there is one; `figures` are what was measured in this piece,
    by name, such as a loss.
    """

    phase: str
    done: float
    total: float
    unit: str = "MP"
    region: Box | None = None
    message: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What is told of it: its message, or else its phase, and its figures."""
        return ", ".join([self.message or self.phase, *(f"{name} {value:.4f}" for name, value in self.figures.items())])


Steps = Generator[Progress, None, T]


def drain(steps: Steps[T], on_progress: Callable[[Progress], None] | None = None) -> T:
    """Run a generator of steps to its end and return its result.

    Where `on_progress` raises or the user stops, the steps are closed: locks are freed and pieces removed.
    """
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if on_progress is not None:
                on_progress(progress)
    finally:
        steps.close()


def duration(seconds: float) -> str:
    """A time in words that nobody takes for exact."""
    if seconds < 1.5:
        return "1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def side_by_side(*steps: Steps[None]) -> Iterator[Progress]:
    """Run generators of steps by turns, over the same pieces together; tells the progress of the first.

    Whatever ends them, all are closed.
    """
    try:
        for told in zip_longest(*steps):
            if told[0] is not None:
                yield told[0]
    finally:
        for each in steps:
            each.close()
