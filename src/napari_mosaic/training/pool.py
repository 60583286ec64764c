"""Drawn mosaics to learn from: a pool on disk, or drawn anew each time.

One decision: a pool is drawn once, in parallel, into three plain arrays that are mapped, never loaded; what
is drawn is noted chunk by chunk, so that a run that was stopped draws only the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic import files, synthetic
from napari_mosaic.errors import MissingError
from napari_mosaic.synthetic import Drawing, draw_mosaic
from napari_mosaic.synthetic.floors import draw_floor
from napari_mosaic.synthetic.grout_recipe import draw_grout_like
from napari_mosaic.training.data import Picture
from napari_mosaic.training.run_files import check_room, read_note, writing

FIRST_TRAINING_SEED = 1_000_000
"""Smaller seeds are for tests, validation and looking at."""
_ARRAYS = {"images": np.uint8, "labels": np.uint16, "known": np.bool_}
_CHUNK = 20
"""Drawings that are made, and noted, at once. *Not varied.*"""

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Pool:
    """Drawn mosaics, mapped from disk.

    `images` (N, S, S, 3) uint8, `labels` (N, S, S) uint16, `known` (N, S, S) bool, false where a stone is not seen.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    known: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> Picture:
        return Picture(self.images[index], self.labels[index], self.known[index])


@dataclass(frozen=True)
class Endless:
    """Mosaics that are drawn when they are asked for, by number; nothing is kept."""

    size: int
    geometry: str = "mix"
    first_seed: int = FIRST_TRAINING_SEED
    count: int = 1_000_000_000

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> Picture:
        drawing = draw_one(self.size, self.first_seed + index, self.geometry)
        return Picture(drawing.image, drawing.labels, drawing.valid)


def draw_one(size: int, seed: int, geometry: str = "mix") -> Drawing:
    """The drawing of a seed: of a mix by its name, or of the one layout that `geometry` names.

    Of `both`, even seeds are worn floors.
    """
    if geometry == "grout":
        return draw_grout_like(size, seed)
    if geometry == "floors" or (geometry == "both" and seed % 2 == 0):
        return draw_floor(size, seed)
    if geometry == "both":
        return draw_mosaic(size, seed)
    return draw_mosaic(size, seed, None if geometry == "mix" else geometry)


def draw_pool(
    folder: str | Path, count: int, *, size: int, seed: int, processes: int, geometry: str = "mix"
) -> Iterator[int]:
    """Draw `count` mosaics into `folder` and yield how many are there; what exists already is kept.

    Parameters
    ----------
    folder
        Where `images.npy`, `labels.npy` and `known.npy` go.
    count, size
        Drawings, and their side in pixels.
    seed
        Seed of the first drawing; the others follow.
    processes
        Drawings at a time.
    geometry
        A layout, or a mix of them.

    Raises
    ------
    WriteError
        If the folder cannot be written, or the disk has too little room.
    """
    folder = Path(folder)
    ask = {"count": count, "size": size, "seed": seed, "geometry": geometry, "drawn_by": drawing_code()}
    with writing(folder):
        done = _prepare(folder, ask)
        jobs = [(str(folder), start, min(start + _CHUNK, count), size, seed, geometry)
                for start in range(0, count, _CHUNK) if start not in done]  # fmt: skip
        drawn = count - sum(stop - start for _, start, stop, *_ in jobs)
        yield drawn
        for start, n in in_parallel(_draw_chunk, jobs, processes):
            with (folder / "drawn").open("a", encoding="utf-8", newline="\n") as stream:
                stream.write(f"{start}\n")
            drawn += n
            yield drawn


def drawing_code() -> str:
    """A mark of the code that draws: where it has changed, the same seed draws another mosaic."""
    digest = hashlib.sha256()
    for file in sorted(Path(synthetic.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def open_pool(folder: str | Path) -> Pool:
    """Map the drawings in `folder`; raises `MissingError` where there are none."""
    folder = Path(folder)
    try:
        images, labels, known = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS)
    except (OSError, ValueError) as error:
        raise MissingError(f"{folder} holds no drawn mosaics; draw a pool of them first.") from error
    return Pool(images, labels, known)


def in_parallel(work: Callable[[J], R], jobs: Iterable[J], processes: int) -> Iterator[R]:
    """Results of `work` in the order of the jobs; what has not begun is dropped when the caller stops."""
    jobs = list(jobs)
    if processes <= 1 or len(jobs) <= 1:
        yield from map(work, jobs)
        return
    executor = ProcessPoolExecutor(
        min(processes, len(jobs)), mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    )
    try:
        yield from executor.map(work, jobs)
    finally:
        executor.shutdown(cancel_futures=True)


def _prepare(folder: Path, ask: dict[str, Any]) -> set[int]:
    """Make the arrays where they are not there yet; the chunks that are drawn."""
    note, ledger = folder / "pool.json", folder / "drawn"
    folder.mkdir(parents=True, exist_ok=True)
    if read_note(note) == ask and (folder / "known.npy").exists():
        lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []
        return {int(line) for line in lines if line.isdigit()}
    note.unlink(missing_ok=True)
    ledger.unlink(missing_ok=True)
    count, size = ask["count"], ask["size"]
    check_room(folder, count * size * size * 6)
    for name, dtype in _ARRAYS.items():
        shape = (count, size, size, 3) if name == "images" else (count, size, size)
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape).flush()
    files.write_json(note, ask, sync=False)
    return set()


def _draw_chunk(job: tuple[str, int, int, int, int, str]) -> tuple[int, int]:
    folder, start, stop, size, seed, geometry = job
    images, labels, known = (np.load(Path(folder) / f"{name}.npy", mmap_mode="r+") for name in _ARRAYS)
    for index in range(start, stop):
        drawing = draw_one(size, seed + index, geometry)
        images[index], labels[index], known[index] = drawing.image, drawing.labels, drawing.valid
    for array in (images, labels, known):
        array.flush()
    return start, stop - start
