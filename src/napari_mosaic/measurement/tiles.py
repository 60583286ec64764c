"""Tiles of tesserae measured side by side: by threads here, or by the workers of a cluster.

One decision: a tile is measured from the record alone, by whoever takes it, so what is measured is the same on any
number of threads and machines; a worker sends back the values of its tesserae and no pixel.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.cluster import RETRIES, answer_of, opened_once, warn_of_no_worker
from napari_mosaic.errors import ClusterError, MosaicError
from napari_mosaic.image import MosaicImage
from napari_mosaic.measurement.floor import borders_of
from napari_mosaic.measurement.registry import COLUMNS
from napari_mosaic.measurement.table import TesseraTable, read_tesserae
from napari_mosaic.measurement.view import View
from napari_mosaic.measurement.windows import tessera_tiles, window_of
from napari_mosaic.record import Record, open_record
from napari_mosaic.runtimes import usable_cores
from napari_mosaic.tiling import Box

if TYPE_CHECKING:
    from distributed import Client

_MOST_THREADS = 4
"""Tiles measured at once here: each takes up to 0.3 GB. Not varied."""

Borders = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
"""See `floor.borders_of`."""


@dataclass(frozen=True)
class TileFigures:
    """What was measured of the tesserae of a tile: `measured` columns of `rows`, and their `borders` where asked."""

    tile: Box
    rows: NDArray[np.int64]
    measured: dict[str, NDArray[Any]]
    borders: Borders | None


def measure_column(view: View, name: str) -> NDArray[Any]:
    """Values of one column as its function gives them: in pixels of the working grid, with all decimals."""
    if len(view.rows) == 0:
        return np.zeros(0, COLUMNS[name].dtype)
    return np.asarray(COLUMNS[name].measure(view), COLUMNS[name].dtype)


def measure_tiles(
    record: Record, tesserae: TesseraTable, columns: Sequence[str], client: Client | None = None
) -> Iterator[TileFigures]:
    """Columns of all tesserae, tile by tile in order; a part of a floor is measured here even with a client.

    Raises
    ------
    MosaicError
        A photograph is needed and cannot be opened or read.
    """
    if client is None or record.whole_floor is not record:
        yield from _by_threads(record, tesserae, columns)
    else:
        yield from _by_workers(client, record, tesserae, columns)


def _by_threads(record: Record, tesserae: TesseraTable, columns: Sequence[str]) -> Iterator[TileFigures]:
    threads = min(_MOST_THREADS, len(usable_cores()))
    with ExitStack() as stack:
        image = stack.enter_context(record.open_source()) if needs_photograph(columns) else None
        opened, running = _Opened(record, tesserae, image), deque[Future[TileFigures]]()
        pool = ThreadPoolExecutor(threads, "measure")
        stack.callback(pool.shutdown, cancel_futures=True)
        for tile, rows in tessera_tiles(record, tesserae):
            running.append(pool.submit(_measure, opened, columns, tile, rows))
            if len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def needs_photograph(columns: Sequence[str]) -> bool:
    """Whether one of some columns is measured from the photograph."""
    return any(COLUMNS[name].source == "photograph" for name in columns)


@dataclass(frozen=True)
class _Opened:
    """What tiles are measured of."""

    record: Record
    tesserae: TesseraTable
    image: MosaicImage | None


def _measure(of: _Opened, columns: Sequence[str], tile: Box, rows: NDArray[np.int64]) -> TileFigures:
    window = window_of(of.record.read_labels, of.tesserae.columns, rows, tile)
    view = View(of.record, of.tesserae, rows, window, of.image)
    measured = {name: measure_column(view, name) for name in columns}
    return TileFigures(tile, rows, measured, borders_of(view) if "neighbours" in measured else None)


def _by_workers(
    client: Client, record: Record, tesserae: TesseraTable, columns: Sequence[str]
) -> Iterator[TileFigures]:
    opening = partial(_open, str(record.path.resolve()), record.tesserae.name, needs_photograph(columns))
    warn_of_no_worker(client)
    task = partial(_measure_task, uuid.uuid4().hex, opening, list(columns))
    futures = [
        client.submit(task, tuple(tile), rows, pure=False, retries=RETRIES)
        for tile, rows in tessera_tiles(record, tesserae)
    ]
    for future in futures:
        try:
            yield answer_of(future, "nothing was kept: start it again, or measure without it")
        except MosaicError:
            raise
        except Exception as error:  # whatever a worker raised
            raise ClusterError(
                f"The workers could not measure a tile ({type(error).__name__}: {error}); see that they reach "
                f"{record.path} and its photograph under the same paths."
            ) from error


def _open(path: str, labels: str, photograph: bool) -> _Opened:
    record = open_record(path).with_labels(labels)
    return _Opened(record, read_tesserae(record), record.open_source() if photograph else None)


def _measure_task(
    run: str, opening: Callable[[], _Opened], columns: Sequence[str], tile: tuple[int, ...], rows: NDArray[np.int64]
) -> TileFigures:
    return _measure(opened_once(run, opening), columns, Box(*tile), rows)
