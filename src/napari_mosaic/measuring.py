"""`measure`: the table and the figures of a whole floor, in one look at its pixels.

One decision: every column and every figure comes from one measurement, so table, summary, drawing and delivery never
contradict each other; it is kept in the record beside the table of the labels that it is of.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from napari_mosaic.areas import CLASSES
from napari_mosaic.editing import Edit, add_area
from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.evaluation.floor import Square, count_found, estimate_error
from napari_mosaic.evaluation.floor_files import TABLE, check_folder, read_counts
from napari_mosaic.files import make_folder, read_object, write_json, writing
from napari_mosaic.measurement.bare import NAME, BareGround, bare_ground
from napari_mosaic.measurement.counting import LEVEL, Basis, Count, count_by_confidence, count_of_import
from napari_mosaic.measurement.features import (
    BLOCK,
    DEFAULT,
    Features,
    choose_fields,
    fields_of_floor,
    measure_floor_steps,
    needed_columns,
    row_blocks,
    rows_of,
)
from napari_mosaic.measurement.floor import COLOUR, SHAPE, Floor, FloorPart, part_of
from napari_mosaic.measurement.opus import OPERA
from napari_mosaic.measurement.registry import COLUMNS, Field
from napari_mosaic.measurement.table import TesseraTable, read_tesserae
from napari_mosaic.measurement.whole import Setting, Whole, summarise
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Record
from napari_mosaic.record.finished import finished_boxes
from napari_mosaic.record.label_layer import TESSERAE
from napari_mosaic.record.looked_at import Figures, preserved_part
from napari_mosaic.record.shown import is_imported
from napari_mosaic.record.tables import write_table
from napari_mosaic.tiling import Box
from napari_mosaic.words import counted

if TYPE_CHECKING:
    from distributed import Client

MEASURED = (
    DEFAULT,
    *("perimeter", "rectangle_length", "rectangle_width", "rectangle_angle", "orientation", "elongation"),
    *("rectangularity", "solidity", "convexity", "corners", *(f"fourier_{k}" for k in range(2, 7))),
    *("joint_width", "joint_width_spread", "neighbours", "local_density"),
    *("row", "row_place", "row_direction", "row_coherence"),
    *("lightness", "colour_a", "colour_b", "colour_spread", "palette_class"),
)
"""Columns of the table where nobody chose."""
NOT_PRESERVED = tuple(one.name for one in CLASSES if not one.counted)
"""Classes of areas that bare ground may be of."""


@dataclass(frozen=True)
class Measurement:
    """What was measured of a floor: the figures of the whole, and the table's `fields` with their values.

    `without` says what could not be told and why, in a sentence; "" where all could. `pixels` holds the values of the
    fields that need pixels, of all tesserae.
    """

    record: Record
    whole: Whole
    floor: Floor
    fields: list[Field]
    opus: NDArray[np.int64]
    without: str
    pixels: Features

    def blocks(self) -> Iterator[Features]:
        """Values by name of the field, some rows at a time, in reading order."""
        return row_blocks(self.record, self.floor.tesserae, self.fields, self.pixels)

    def table(self) -> Features:
        """All values by name of the field, `(n,)` each."""
        return rows_of(self.record, self.floor.tesserae, np.arange(len(self.floor.tesserae)), self.fields, self.pixels)


def measure(
    record: Record,
    columns: Sequence[str] | None = None,
    *,
    labels: str | None = None,
    client: Client | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Measurement:
    """Measure a floor; see `measure_steps`.

    Examples
    --------
    >>> from napari_mosaic import measure, open_record
    >>> with open_record("floor.mosaic.zarr", writable=True) as record:  # doctest: +SKIP
    ...     measured = measure(record)
    ...     print(measured.whole.count.words)
    """
    return drain(measure_steps(record, columns, labels=labels, client=client), on_progress)


def measure_steps(
    record: Record,
    columns: Sequence[str] | None = None,
    *,
    labels: str | None = None,
    keep: bool = True,
    client: Client | None = None,
) -> Steps[Measurement]:
    """Measure the table and the figures of a floor, tile by tile.

    Parameters
    ----------
    record
        Where it is open for writing, the table and the figures are kept in it; see `measured_files`. Of a part of a
        record nothing is kept, and rows, palette, opus and densities are those of the whole floor.
    columns
        Of the table, as `feature_table` names them; `MEASURED` by default.
    labels
        Of which of its label layers, such as "sam2"; by default of what its method was asked for: see
        `Record.with_labels`.
    keep
        Whether to keep what was measured in the record.
    client
        A `dask.distributed.Client`, on whose workers the pixels are measured; they must reach the record, and the
        photograph for colours, at the same places. Figures are the same without one.

    Returns
    -------
    Measurement
        Without the photograph no colour is told, and `without` says so.

    Raises
    ------
    InputError
        There is no such column or label layer, or a unit that cannot be told; a colour was asked for by name, and the
        photograph cannot be opened.
    """
    kept_in, record = record, record.with_labels(labels)
    tesserae = read_tesserae(record)
    names = list(MEASURED if columns is None else columns)
    without = _missing_photograph(record) if columns is None else ""
    wanted = not without and (columns is None or any(_needs_photograph(name) for name in names))
    if without:
        names = [name for name in names if not _needs_photograph(name)]
    fields = choose_fields(record, names)
    own = [field.column.name for field in fields if field.column.source in ("labels", "photograph")]
    needed = [*needed_columns(fields), *SHAPE, "joint_width", *(COLOUR if wanted else ())]
    floor = yield from _measure_steps(record, tesserae, own, needed, client)
    pixels = [field for field in fields if field.column.source != "table"]
    whole_floor = floor.whole if isinstance(floor, FloorPart) else None
    values = fields_of_floor(record, floor, pixels, whole=whole_floor)
    whole = _whole(record, floor)
    if not len(tesserae):
        without = _nothing_in(record)
    found = Measurement(record, whole, floor, fields, floor.opus, without, values)
    if kept_in.writable and keep and whole_floor is None:
        _keep(found)
    return found


def _nothing_in(record: Record) -> str:
    """Why there is nothing to measure but areas."""
    if record.region is None:
        return f"{record.path.name} holds no tessera, so there is nothing to measure but its areas; find some first."
    return (
        f"No tessera of {record.path.name} has its centre in the region, so there is nothing to measure but its areas; "
        "give another one."
    )


def _measure_steps(
    record: Record, tesserae: TesseraTable, own: Sequence[str], needed: Sequence[str], client: Client | None
) -> Steps[Floor]:
    """Measure the columns `own` of some tesserae, and `needed` of the whole floor that they are of."""
    floor = record.whole_floor
    if floor is record:
        return (yield from measure_floor_steps(record, tesserae, list(dict.fromkeys([*own, *needed])), client=client))
    floor = floor.with_labels(record.tesserae.name)
    whole = yield from measure_floor_steps(floor, read_tesserae(floor), list(dict.fromkeys(needed)), client=client)
    mine = yield from measure_floor_steps(record, tesserae, [name for name in own if name not in needed])
    return part_of(whole, tesserae, mine.measured)


def _whole(record: Record, floor: Floor) -> Whole:
    factor, mm = record.plan.factor, record.pixel_mm
    preserved, of_whole = (
        shapely.transform(preserved_part(each), lambda places: places * factor) for each in (record, record.whole_floor)
    )
    shapely.prepare(preserved)
    centres = floor.centres
    inside = np.asarray(shapely.contains_xy(preserved, centres[:, 0], centres[:, 1]), bool)
    edge = (1 if mm is None else mm) / factor
    setting = Setting(unit="px" if mm is None else "mm", edge=edge, edge_px=1 / factor, inside=inside)
    figures = record.figures()
    return summarise(
        floor,
        figures,
        count_of(record, floor.tesserae, figures, inside),
        setting,
        names=(record.source.name, record.tesserae.name),
        opus=floor.opus_regions,
        bare=bare_ground(record),
        density=floor.densities(np.arange(len(floor.tesserae)), of_whole),
    )


def mark_bare_ground(record: Record, kind: str, *, labels: str | None = None) -> tuple[Edit | None, BareGround]:
    """Find ground without a stone inside what counts as preserved, and add it as an area of a class that is not.

    Parameters
    ----------
    record
        Open for writing; the edit can be undone.
    kind
        The class: lacuna, repair, not legible or outside.
    labels
        Whose tesserae say what is bare; see `measure_steps`.

    Returns
    -------
    edit, found
        No edit where there is no such ground to speak of.

    Raises
    ------
    InputError
        The class counts as preserved, or there is no such class.
    """
    if kind not in NOT_PRESERVED:
        raise InputError(f"Bare ground cannot be marked as {kind!r}; choose one of {', '.join(NOT_PRESERVED)}.")
    found = bare_ground(record.with_labels(labels))
    return add_area(record, kind, found.geometry, name=NAME) if found.words else None, found


def count_of(record: Record, tesserae: TesseraTable, figures: Figures, inside: NDArray[np.bool_]) -> Count:
    """The count of a record with its interval, by the best evidence that there is.

    Squares that were counted for `napari-mosaic check` come first, then finished windows, two at least, then the
    method's confidences; what came from a file has none.
    """
    if record.tesserae.name == TESSERAE:
        squares = [square for square in _counted_squares(record) if _holds(record, square.box)]
        if len(squares) > 1:
            return _by_squares(squares, figures.count, known=0, basis="counted squares")
        windows = _finished_windows(record, tesserae)
        known = sum(window.counted or 0 for window in windows)
        if len(windows) > 1 and known:
            return _by_squares(windows, figures.count, known=known, basis="finished windows")
    if is_imported(record):
        return count_of_import(int(inside.sum()))
    return count_by_confidence(tesserae.columns["score"][inside])


def _counted_squares(record: Record) -> list[Square]:
    path = check_folder(record.path) / TABLE
    if not path.exists():
        return []
    squares = read_counts(path)
    counted = [square.counted for square in squares if square.counted is not None]
    if len(counted) < len(squares) or sum(counted) == 0:
        return []
    return count_found(record, squares)


def _by_squares(squares: list[Square], total: int, *, known: int, basis: Basis) -> Count:
    """The count where `known` tesserae are beyond doubt and the rest is off as the squares are."""
    error = estimate_error(squares, level=LEVEL)
    rest = max(total - known, 0)
    low, middle, high = (known + rest / max(1 + part, 1e-9) for part in (error.high, error.error, error.low))
    return Count(found=total, middle=round(middle), low=int(np.floor(low)), high=int(np.ceil(high)), basis=basis)


def _finished_windows(record: Record, tesserae: TesseraTable) -> list[Square]:
    """The windows that a person finished: what is there now is the truth, what was there before the edits was found."""
    factor = record.plan.factor
    windows = []
    for k, box in enumerate(box for box in finished_boxes(record) if _holds(record, box)):
        now = _held(tesserae.columns, box, factor)
        windows.append(Square(name=str(k + 1), box=box, found=now - _gained(record, box, factor), counted=now))
    return windows


def _holds(record: Record, box: Box) -> bool:
    """Whether all of a box of the photograph is in the part that a record is of."""
    if record.whole_floor is record:
        return True
    return record.region is not None and bool(record.region.covers(shapely.box(box.x0, box.y0, box.x1, box.y1)))


def _gained(record: Record, box: Box, factor: float) -> int:
    """How many more tesserae a box holds by all edits that count."""
    gained, journal = 0, record.journal
    near = box.scale(factor)
    for number in journal.done:
        if journal[number].box.intersect(near).area:
            patch = journal.patch(number)
            gained += _held(patch.rows_after, box, factor) - _held(patch.rows_before, box, factor)
    return gained


def _held(columns: Any, box: Box, factor: float) -> int:
    """How many rows of a table have the middle of their box in a box of the photograph."""
    y, x = ((columns[f"{axis}0"].astype(float) + columns[f"{axis}1"]) / 2 / factor for axis in "yx")
    return int(((y >= box.y0) & (y < box.y1) & (x >= box.x0) & (x < box.x1)).sum())


def _missing_photograph(record: Record) -> str:
    """Why colours cannot be told; "" where they can."""
    try:
        record.open_source().close()
    except MosaicError as error:
        return f"Colours and the palette are left out: {error}"
    return ""


def _needs_photograph(name: str) -> bool:
    for column in COLUMNS.values():
        if name == column.name or name in column.forms:
            return column.source == "photograph" or any(COLUMNS[each].source == "photograph" for each in column.needs)
    return False


def measured_files(record: Record, labels: str | None = None) -> tuple[Path, Path]:
    """Where a measurement of some labels is kept: the table as Parquet, and the figures of the whole as JSON."""
    folder, labels = record.path / "tables", record.with_labels(labels).tesserae.name
    return folder / f"{labels}.measured.parquet", folder / f"{labels}.measured.json"


def read_measured(record: Record, labels: str | None = None) -> dict[str, Any]:
    """The figures of the whole as they were last kept in a record; {} where nobody has measured it."""
    return read_object(measured_files(record, labels)[1])


def _keep(found: Measurement) -> None:
    from napari_mosaic.measurement.parquet import table_of

    table, figures = measured_files(found.record)
    make_folder(table.parent)
    rows = pa.concat_tables(list(table_of(found.fields, found.blocks())))
    rows = rows.append_column("opus", pa.array([OPERA[k] for k in found.opus], pa.string()))
    said = {"entries": found.whole.entries(), "without": found.without, "measured_when": _state_of(found.record)}
    with writing(found.record.path):
        write_table(table, rows, rows=BLOCK)
        write_json(figures, found.whole.to_json() | said, sync=False)


def _state_of(record: Record) -> dict[str, Any]:
    """What a measurement depends on and what may change after it."""
    areas = record.path / "areas.geojson"
    return {
        "journal": len(record.journal) if record.tesserae.name == TESSERAE else 0,
        "tesserae": record.tesserae.count,
        "areas": zlib.crc32(areas.read_bytes()) if areas.exists() else 0,
        "pixel_mm": record.pixel_mm,
        "rules": json.loads(json.dumps(asdict(record.plan.tesserae))),
    }


def changed_since_measured(record: Record, labels: str | None = None) -> str:
    """What has changed in a record since it was measured, in a few words; "" for nothing, or where nobody measured it.

    Undone edits and redone ones count as edits: each is one entry of the journal.
    """
    then = read_measured(record, labels).get("measured_when")
    if then is None:
        return ""
    now = _state_of(record.with_labels(labels))
    if now == then:
        return ""
    edits = now["journal"] - then["journal"]
    if edits > 0:
        return f"before {counted(edits, 'edit')}"
    if now["pixel_mm"] != then["pixel_mm"]:
        return "before the pixel size was changed"
    if now["areas"] != then["areas"]:
        return "before the areas were changed"
    return "before the tesserae were made anew"


__all__ = [
    "MEASURED",
    "NOT_PRESERVED",
    "Measurement",
    "changed_since_measured",
    "count_of",
    "mark_bare_ground",
    "measure",
    "measure_steps",
    "measured_files",
    "read_measured",
]
