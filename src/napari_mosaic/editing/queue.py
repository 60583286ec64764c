"""The queue of tesserae that need a look, worst first, and what a person said of each.

One decision: the floor is walked by rows of shards, three in memory at a time, so that every tessera sees its
neighbours and ten million need no more memory than ten thousand. A decision holds while its tessera does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.editing.extents import bounding_box
from napari_mosaic.editing.outliers import EMPTY_KINDS, REASONS, QueueParams, severity, strengths
from napari_mosaic.editing.transaction import Transaction
from napari_mosaic.editing.wrongness import doubts, wrongness
from napari_mosaic.errors import InputError, MosaicError, ReadError, RecordError
from napari_mosaic.image import MosaicImage
from napari_mosaic.measurement.features import measure_column
from napari_mosaic.measurement.table import TesseraTable
from napari_mosaic.measurement.view import View
from napari_mosaic.measurement.windows import BOX, HALO, window_of
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Record
from napari_mosaic.record.decisions import (
    DECISIONS,
    Decision,
    Listed,
    add_decision,
    read_decisions,
    read_list,
    write_list,
)
from napari_mosaic.record.tables import Columns, take_rows
from napari_mosaic.tesserae import Flag
from napari_mosaic.tiling import Box

_FIGURES = {"solidity": "solidity", "elongation": "elongation", "contrast": "colour_contrast"}
"""What `outliers` judges by, and the columns that tell it; the last one needs the photograph."""

_KEPT = ("id", "y", "x", *BOX, "severity", "reasons")


@dataclass(frozen=True)
class Suspect:
    """A tessera that needs a look: seed and box on the working grid, why, and how much (0 to 1).

    `reason` is the strongest of `reasons`, all in the words of `REASONS`; `severity` is how likely it is wrong.
    """

    id: int
    y: int
    x: int
    box: Box
    reason: str
    severity: float
    reasons: tuple[str, ...] = ()


def suspects(record: Record, params: QueueParams | None = None) -> list[Suspect]:
    """The tesserae that need a look, worst first; see `suspects_steps`."""
    return drain(suspects_steps(record, params))


def suspects_steps(record: Record, params: QueueParams | None = None) -> Steps[list[Suspect]]:
    """Look for tesserae that need a look.

    Parameters
    ----------
    record
        Open for reading; the list is kept in one that is open for writing (`read_suspects`).
    params
        What is suspicious. Colours are looked at only where the photograph lies on this machine.

    Returns
    -------
    list of Suspect
        Those of which nothing was said yet, worst first, then by id: the same whenever it is asked for.

    Raises
    ------
    RecordError
        A part of the tesserae cannot be read.
    """
    params = params or QueueParams()
    decided, decisions = read_decisions(record)
    edits = len(record.journal)
    worst: list[Columns] = []
    seen, total = 0.0, record.shape[0] * record.shape[1] / 1e6
    with ExitStack() as stack:
        image = None if params.without_colours else _photograph(record, stack)
        empty = record.areas.of(*EMPTY_KINDS)
        for core, ready in _walk(record, image):
            if ready is not None:
                row, around = ready
                found = strengths(row, around, params, empty, record.plan.factor)
                weight = severity(found, wrongness(doubts(row, around)), params)
                weight[_hidden(row, decided, params)] = 0
                worst.append(_suspicious(row, found, weight))
                if sum(len(part["id"]) for part in worst) > 2 * params.most:
                    worst = [_worst(worst, params.most)]
            seen += core.area / 1e6
            yield Progress(phase="queue", done=min(seen, total), total=total, region=core)
    columns = _worst(worst, params.most)
    if record.writable:
        write_list(record, columns, decisions=decisions, edits=edits)
    return _suspects(columns)


def measured_rows(record: Record, image: MosaicImage | None) -> Iterator[tuple[Columns, Columns]]:
    """Rows of the table with what tesserae are judged by, each with all that lie near them."""
    return (ready for _, ready in _walk(record, image) if ready is not None)


def read_suspects(record: Record) -> list[Suspect] | None:
    """The list that was made last, without what was decided or edited since; None where there was none."""
    listed = read_list(record)
    if listed is None:
        return None
    after = _seen_since(record, listed, read_decisions(record)[0])
    columns = {name: listed.table.column(name).to_numpy(zero_copy_only=False) for name in _KEPT}
    return [suspect for suspect in _suspects(columns) if suspect.id not in after]


def _seen_since(record: Record, listed: Listed, decided: Mapping[int, Decision]) -> set[int]:
    """The tesserae that were decided about or edited since a list was made."""
    after = {id_ for id_, decision in decided.items() if decision.line >= listed.decisions}
    return after | record.journal.touched_since(listed.edits)


def decide(record: Record, id_: int, word: str | None) -> None:
    """Say of a suspicious tessera that it is "fine", "ignored" or "fixed"; None takes back what was said.

    On the disk when this returns. What is edited counts as fixed without a word, until the edit is undone.

    Raises
    ------
    InputError
        Another word.
    RecordError
        The record is open for reading only.
    """
    if word is not None and word not in DECISIONS:
        raise InputError(f"A tessera cannot be decided to be {word!r}; say one of {', '.join(DECISIONS)}.")
    if not record.writable:
        raise RecordError(f"{record.path} is open for reading only; open it with writable=True to check tesserae.")
    with record.journal.lock:
        rows = Transaction(record).known_rows(np.array([id_], np.uint64))
        add_decision(record, int(id_), word, bounding_box(rows) if len(rows["id"]) else Box(0, 0, 0, 0))


def progress_of_queue(record: Record) -> tuple[int, int]:
    """How many suspicious tesserae were checked, and how many there are with those that still wait."""
    listed, (decided, _) = read_list(record), read_decisions(record)
    if listed is None:
        return len(decided), len(decided)
    ids = set(listed.table.column("id").to_pylist())
    total = len(ids | decided.keys())
    return total - len(ids - _seen_since(record, listed, decided)), total


def _suspicious(rows: Columns, found: NDArray[np.float64], weight: NDArray[np.float64]) -> Columns:
    """What the list keeps of the rows that are suspicious."""
    kept = np.flatnonzero(weight > 0)
    order = np.argsort(-found[kept], axis=1, kind="stable")
    reasons = [
        ", ".join(REASONS[k] for k in ranks if found[row, k] > 0) for row, ranks in zip(kept, order, strict=True)
    ]
    part = take_rows({name: rows[name] for name in _KEPT[:-2]}, kept)
    return {**part, "severity": weight[kept], "reasons": np.array(reasons, object)}


def _worst(parts: list[Columns], most: int) -> Columns:
    """The worst of all parts, no more than `most`, worst first, then by id."""
    if not parts:
        return {name: np.zeros(0, object if name == "reasons" else np.int64) for name in _KEPT}
    joined = _joined(parts)
    return take_rows(joined, np.lexsort((joined["id"], -joined["severity"]))[:most])


def _suspects(columns: Columns) -> list[Suspect]:
    rows = zip(*(columns[name].tolist() for name in _KEPT), strict=True)
    return [
        Suspect(id_, y, x, Box(*box), reasons.split(", ")[0], float(weight), tuple(reasons.split(", ")))
        for id_, y, x, *box, weight, reasons in rows
    ]


def _hidden(rows: Columns, decided: Mapping[int, Decision], params: QueueParams) -> NDArray[np.bool_]:
    """Which rows are not asked about: those that were decided, and edited ones where these are not wanted."""
    hidden = np.zeros(len(rows["id"]), bool)
    hidden[_decided(rows, decided)] = True
    return hidden if params.edited else hidden | (rows["flags"] & int(Flag.EDITED) > 0)


def _decided(rows: Columns, decided: Mapping[int, Decision]) -> list[int]:
    """The rows of tesserae of which something was said while they were as they are."""
    said = np.flatnonzero(np.isin(rows["id"], np.fromiter(decided, np.uint64, len(decided))))
    return [k for k in said.tolist() if decided[int(rows["id"][k])].box == tuple(int(rows[name][k]) for name in BOX)]


def _walk(record: Record, image: MosaicImage | None) -> Iterator[tuple[Box, tuple[Columns, Columns] | None]]:
    """Every part of the table, measured; after the last of a row of shards, a row whose neighbours are known."""
    shards = record.plan.shards
    last, width = shards.counts[0] - 1, shards.counts[1]
    lines: list[Columns] = []
    for i in range(last + 1):
        parts = []
        for j in range(width):
            core = shards.tile((i, j)).core
            parts.append(_measured(record, image, record.tesserae.read_rows((i, j)), core))
            if j < width - 1:
                yield core, None
        lines = [*lines[-2:], _joined(parts)]
        yield shards.tile((i, width - 1)).core, (lines[-2], _joined(lines)) if i else None
        if i == last:
            yield shards.tile((i, width - 1)).core, (lines[-1], _joined(lines[-2:]))


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _measured(record: Record, image: MosaicImage | None, rows: Columns, core: Box) -> Columns:
    """The rows of a part with the figures of its tesserae; those of giants made by hand stay unknown."""
    count = len(rows["id"])
    rows = rows | {name: np.full(count, np.nan) for name in _FIGURES}
    near = core.grow(HALO)
    low, high = (np.array([[near[k], near[k + 1]]]) for k in (0, 2))
    boxes = np.column_stack([rows[name] for name in BOX]).astype(np.int64).reshape(-1, 4)
    own = np.flatnonzero(((boxes[:, :2] >= low) & (boxes[:, 2:] <= high)).all(axis=1))
    if len(own) == 0:
        return rows
    window = window_of(partial(_labels, record), rows, own, core)
    view = View(record, TesseraTable(rows), own, window, image)
    for name, column in _FIGURES.items():
        with suppress(ReadError):  # a photograph that cannot be read there says nothing
            if name != "contrast" or image is not None:
                rows[name][own] = measure_column(view, column)
    return rows


def _labels(record: Record, window: Box) -> NDArray[Any]:
    try:
        return record.read_labels(window)
    except (ValueError, RuntimeError, OSError) as error:
        raise RecordError(
            f"Tesserae of {record.path.name} at {tuple(window)} cannot be read ({error}); restore them with "
            "segment --resume and look again."
        ) from error


def _photograph(record: Record, stack: ExitStack) -> MosaicImage | None:
    """The photograph where it lies on this machine: nobody waits for a gigapixel from afar."""
    if "://" in record.source.location:
        return None
    try:
        return stack.enter_context(record.open_source())
    except (MosaicError, OSError):
        return None
