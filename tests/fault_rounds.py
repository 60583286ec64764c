"""What is done to a record, undisturbed and disturbed, and what must hold of it afterwards.

One decision: a job is what a person starts (`act`) and starts again after a fault (`again`); whatever came between, the
record then holds what it holds when nothing came between, byte for byte. A session is a person's hand instead: any
edits in any order on a disk that fails; its record must be what its own journal says, and hold what was told.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from shapely.geometry import box as rectangle

from bright import bright_stones, make_brightness
from edit_model import RULES, SHAPE, Model, check_whole, draw_request, largest, rows_of, whole
from failing_disk import FailingDisk, one_in
from napari_mosaic import SegmentParams, editing, export_record, open_record, segment
from napari_mosaic.editing.replay import export_edits
from napari_mosaic.editing.replay import import_edits_steps as import_list_steps
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.planning import Choices, make_plan
from napari_mosaic.errors import InputError, MosaicError, WriteError
from napari_mosaic.image import open_image
from napari_mosaic.importing import import_edits_steps, read_outlines
from napari_mosaic.measuring import measure, measured_files
from napari_mosaic.progress import drain
from napari_mosaic.record import Record, create_record
from napari_mosaic.record.decisions import read_decisions
from napari_mosaic.record.finished import finished_boxes, mark_finished
from napari_mosaic.record.tables import read_attributes, read_table
from napari_mosaic.record_setup import initial_areas
from napari_mosaic.segmentation import apply_steps
from napari_mosaic.tiling import Box

PARAMS = SegmentParams(method="brightness", scale=1.0, tile_size=64, tesserae=RULES)
PHOTOGRAPH, EMPTY, FLOOR, EDITS, DRAWN = "floor.png", "empty", "floor", "edits.log", "drawn.geojson"
Content = dict[str, Any]


class Wrong(AssertionError):
    """A record that does not hold what it must."""


def make_templates(folder: Path) -> Path:
    """A photograph, its record before and after a run and with edits, and what others made of it."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(bright_stones(SHAPE, seed=3))).save(folder / PHOTOGRAPH)
    with open_image(folder / PHOTOGRAPH) as image:
        areas, segmenter = initial_areas(image), make_brightness()
        choices = Choices(method="brightness", scale=1.0, tesserae=RULES, shard=64)
        plan = make_plan(image, segmenter, Domain(image, areas, 1.0), choices)
        create_record(record_at(folder, EMPTY), image, plan, areas=areas).close()
    shutil.copytree(record_at(folder, EMPTY), record_at(folder, FLOOR))
    segment(folder / PHOTOGRAPH, record_at(folder, FLOOR), params=PARAMS, resume=True).close()
    other = Path(shutil.copytree(record_at(folder, FLOOR), record_at(folder, "other")))
    with open_record(other, writable=True) as record:
        for count, id_ in enumerate(largest(record, 4)):
            editing.assign(record, [id_], material="glass") if count % 2 else editing.shrink(record, [id_], px=2)
        editing.delete(record, largest(record, 1))
        export_edits(record, folder / EDITS)
        export_record(record, "geojson", folder / DRAWN)
    shutil.rmtree(other)
    with open_record(record_at(folder, FLOOR), writable=True) as record:
        first = largest(record, 3)
        editing.assign(record, first, material="stone", state="sound")
        editing.delete(record, first[:1])
        editing.add_area(record, "lacuna", rectangle(10, 10, 40, 30))
        editing.merge(record, record.table(["id"])["id"].to_pylist()[10:12], bridge=8)
        editing.undo(record)
    return folder


def record_at(folder: Path, name: str) -> Path:
    """The record of that name."""
    return folder / f"{name}.mosaic.zarr"


def content_of(record: Record) -> Content:
    """All that a record holds, as values; its smaller levels must be up to date."""
    measured = measured_files(record)
    return {
        "labels": [array[:].tobytes() for array in record.tessera_levels],
        "map": [array[:].tobytes() for array in record.map_levels],
        "rows": rows_of(record),
        "said": read_attributes(record.tables).to_pydict(),
        "areas": record.areas.to_geojson(),
        "edits": [(edit.tool, edit.gone, edit.made) for edit in editing.list_edits(record)],
        "phases": record.metadata.phases,
        "pixel_mm": record.pixel_mm,
        "rules": record.plan.tesserae,
        "measured": read_table(measured[0]).to_pydict() if measured[1].exists() else None,
    }


def read_content(path: Path) -> Content:
    """The content of a record that somebody opens to work on, and closes: as it stays on the disk."""
    with open_record(path, writable=True) as record:
        editing.settle(record)
    with open_record(path) as record:
        check_whole(record, connected=False)
        return content_of(record)


@dataclass(frozen=True)
class Job:
    """What a person starts in a folder, and starts again."""

    name: str
    template: str
    act: Callable[[Path], object]
    again: Callable[[Path], object]

    def prepare(self, templates: Path, folder: Path) -> Path:
        """A fresh folder with what the job needs; the record is `FLOOR` there."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in (PHOTOGRAPH, EDITS, DRAWN):
            shutil.copy(templates / name, folder)
        if self.template:
            shutil.copytree(record_at(templates, self.template), record_at(folder, FLOOR))
        return folder


def _run(folder: Path, **asked: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        segment(folder / PHOTOGRAPH, record_at(folder, FLOOR), params=PARAMS, **asked).close()


def _go_on(folder: Path) -> None:
    _run(folder, resume=record_at(folder, FLOOR).exists())


def _overwrite_again(folder: Path) -> None:
    path = record_at(folder, FLOOR)
    with open_record(path) as record:
        unfinished = not record.complete or record.edits.kept is not None
    _run(folder, **({"resume": True} if unfinished else {"overwrite": True}))


def _recut(folder: Path) -> None:
    rules = RULES.__class__(**{**RULES.__dict__, "threshold": 0.3, "min_area": 90})
    with open_record(record_at(folder, FLOOR), writable=True) as record:
        drain(apply_steps(record, rules, tile_size=64)).close()


def _recut_again(folder: Path) -> None:
    _run(folder, resume=True)
    with open_record(record_at(folder, FLOOR)) as record:
        done = record.plan.tesserae.min_area == 90
    if not done:
        _recut(folder)


def _edited(request: Callable[[Record], object], count: int = 1) -> tuple[Callable[[Path], None], ...]:
    """An edit, and the same edit where the journal has not got it."""

    def act(folder: Path) -> None:
        with open_record(record_at(folder, FLOOR), writable=True) as record:
            request(record)

    def again(folder: Path) -> None:
        with open_record(record_at(folder, FLOOR), writable=True) as record:
            if len(record.journal) < _ENTRIES + count:
                request(record)

    return act, again


_ENTRIES = 5
"""Of the journal of the floor: four edits, and an undo."""


def _opened(work: Callable[[Record], object]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        with open_record(record_at(folder, FLOOR), writable=True) as record:
            work(record)

    return act


def _import_list(record: Record) -> None:
    drain(import_list_steps(record, record.path.parent / EDITS))


def _import_drawn(record: Record) -> None:
    height, width = record.plan.source_shape
    from napari_mosaic.area_files import Grid

    outlines = read_outlines(record.path.parent / DRAWN, Grid(shape=(height, width), crs=None, affine=None))
    drain(import_edits_steps(record, outlines))


def _line(record: Record) -> object:
    y0, x0, y1, x1 = next(row for row in zip(*_boxes(record), strict=True))
    return editing.split_line(record, [[y0 - 2, (x0 + x1) / 2], [y1 + 2, (x0 + x1) / 2]], gap=1)


def _boxes(record: Record) -> list[list[int]]:
    id_ = largest(record, 1)[0]
    rows = [row for row in record.table().to_pylist() if row["id"] == id_]
    return [[row[name] for row in rows] for name in ("y0", "x0", "y1", "x1")]


_outline = np.array([[60.0, 50.0], [60.0, 90.0], [95.0, 88.0], [93.0, 52.0]])
_EDITS: dict[str, Callable[[Record], object]] = {
    "delete": lambda record: editing.delete(record, largest(record, 2)),
    "merge": lambda record: editing.merge(record, record.table(["id"])["id"].to_pylist()[20:22], bridge=8),
    "split": _line,
    "draw": lambda record: editing.add_outline(record, _outline, over=True),
    "grow": lambda record: editing.grow(record, largest(record, 2), px=2),
    "assign": lambda record: editing.assign(record, largest(record, 3), material="ceramic", state="lost"),
    "area": lambda record: editing.add_area(record, "repair", rectangle(50, 50, 90, 80)),
    "undo": editing.undo,
    "redo": editing.redo,
}
JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        Job("start", "", _run, _go_on),
        Job("run", EMPTY, _go_on, _go_on),
        Job("overwrite", FLOOR, lambda folder: _run(folder, overwrite=True), _overwrite_again),
        Job("recut", FLOOR, _recut, _recut_again),
        *(Job(name, FLOOR, *_edited(request)) for name, request in _EDITS.items()),
        Job("import list", FLOOR, _opened(_import_list), _opened(_import_list)),
        Job("import drawn", FLOOR, _opened(_import_drawn), _opened(_import_drawn)),
        Job("measure", FLOOR, _opened(measure), _opened(measure)),
        Job("size", FLOOR, *(_opened(lambda record: record.set_pixel_size(0.5)),) * 2),
    )
}


def outcome(templates: Path, folder: Path, job: Job) -> Content:
    """What a record holds after a job that nothing disturbed."""
    job.act(job.prepare(templates, folder))
    return read_content(record_at(folder, FLOOR))


def disturbed(templates: Path, folder: Path, job: Job, disk: FailingDisk) -> str:
    """Do a job on a failing disk; the sentence that it ended with, or nothing. Raises what is no sentence."""
    job.prepare(templates, folder)
    try:
        with disk:
            job.act(folder)
    except MosaicError as error:
        return str(error)
    return ""


def check_again(folder: Path, job: Job, expected: Content) -> None:
    """After a fault: the job is started again, and its record holds what it must."""
    job.again(folder)
    found = read_content(record_at(folder, FLOOR))
    wrong = [name for name, value in expected.items() if found[name] != value]
    if wrong:
        raise Wrong(f"{job.name}: other {', '.join(wrong)} than undisturbed")
    left = [str(path.relative_to(folder)) for path in _leftovers(folder)]
    if left:
        raise Wrong(f"{job.name}: {', '.join(left)} is left over")


def _leftovers(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.suffix in (".tmp", ".partial", ".new", ".old") or "previous" in path.name:
            yield path


QUICK_HANDS = (*("undo", "redo") * 4, "assign", "area", "size", "decide", "mark")
"""Things of a few milliseconds: many faults a second."""
_HANDS = (*("edit",) * 4, "assign", "area", "undo", "undo", "redo", "settle", "size", "decide", "mark")


class Session:
    """A person's hand on a record whose disk fails now and then: any edits, in any order.

    Parameters
    ----------
    templates, folder
        From `make_templates`; a folder of its own.
    seed
        Of all that is drawn.
    chance
        One operation in so many fails.
    hands
        What the person does, drawn from these.
    """

    def __init__(
        self, templates: Path, folder: Path, seed: int, chance: int = 10, hands: Sequence[str] = _HANDS
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.templates, self.folder, self.chance, self.hands = templates, folder, chance, hands
        self.told: list[str] = []
        self.size: set[float | None] = {None}
        self.decided: dict[int, set[str | None]] = {}
        self.marked: list[Box] = []
        JOBS["delete"].prepare(templates, folder)

    def run(self, steps: int) -> FailingDisk:
        """So many things that a person does; then the record is checked on a sound disk."""
        disk = FailingDisk(self.folder, one_in(self.chance, self.rng))
        path, left = record_at(self.folder, FLOOR), steps
        while left:
            with suppress(WriteError), disk, open_record(path, writable=True) as record:
                for _ in range(min(left, int(self.rng.integers(2, 9)))):
                    left -= 1
                    self._step(record)
        self.check()
        return disk

    def _step(self, record: Record) -> None:
        kind = str(self.rng.choice(self.hands))
        if kind in ("settle", "size", "decide", "mark"):
            getattr(self, f"_{kind}")(record)
            return
        try:
            made = getattr(self, f"_{kind}")(record)
        except InputError:
            return
        except WriteError as error:
            if str(error).startswith("The edit is kept"):
                self.told.append("?" if kind in ("edit", "assign", "area") else kind)
            return
        if made is not None:
            self.told.append(made.tool if kind in ("edit", "assign", "area") else kind)

    def _edit(self, record: Record) -> Any:
        model = Model(whole(record), record.read_map(Box(0, 0, *record.shape)))
        tools = ("merge", "delete", "split_line", "add_outline", "grow", "shrink", "fill_holes", "replace_window")
        return editing.apply_request(record, draw_request(str(self.rng.choice(tools)), self.rng, model))

    def _assign(self, record: Record) -> Any:
        ids = record.table(["id"])["id"].to_pylist()
        some = [int(id_) for id_ in self.rng.choice(ids, 2)]
        return editing.assign(record, some, material=str(self.rng.choice(["stone", "glass", "ceramic"])))

    def _area(self, record: Record) -> Any:
        x, y = self.rng.uniform(0, 100, 2)
        return editing.add_area(record, "lacuna", rectangle(x, y, x + 20, y + 12))

    def _undo(self, record: Record) -> Any:
        return editing.undo(record)

    def _redo(self, record: Record) -> Any:
        return editing.redo(record)

    def _settle(self, record: Record) -> None:
        with suppress(WriteError):
            editing.settle(record)

    def _size(self, record: Record) -> None:
        mm = float(self.rng.uniform(0.1, 2))
        try:
            record.set_pixel_size(mm)
        except WriteError:
            self.size.add(mm)
        else:
            self.size = {mm}

    def _decide(self, record: Record) -> None:
        id_, word = int(self.rng.choice(record.table(["id"])["id"].to_pylist())), "fine"
        try:
            editing.decide(record, id_, word)
        except WriteError:
            return
        self.decided[id_] = {word}

    def _mark(self, record: Record) -> None:
        y, x = (int(edge) for edge in self.rng.integers(0, 140, 2))
        with suppress(WriteError):
            mark_finished(record, Box(y, x, y + 9, x + 9))
            self.marked.append(Box(y, x, y + 9, x + 9))

    def check(self) -> None:
        """On a sound disk the record is what its journal says, and holds all that was told."""
        path = record_at(self.folder, FLOOR)
        found = read_content(path)
        with open_record(path) as record:
            self._check_journal(record)
            words = read_decisions(record)[0]
            for id_, told in self.decided.items():
                if id_ not in words or words[id_].word not in told:
                    raise Wrong(f"the decision about {id_} is lost")
            boxes = finished_boxes(record)
            for box in self.marked:
                if not any(other.intersect(box.clip(SHAPE)) == box.clip(SHAPE) for other in boxes):
                    raise Wrong(f"the mark {box} is lost")
            document = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
            scale = document["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
        if found["pixel_mm"] not in self.size:
            raise Wrong(f"a pixel of {found['pixel_mm']} mm was never told")
        if found["pixel_mm"] is not None and scale["scale"][-1] != found["pixel_mm"]:
            raise Wrong(f"scale {scale} of a pixel of {found['pixel_mm']} mm")

    def _check_journal(self, record: Record) -> None:
        journal = record.journal
        kinds = [journal[n].kind for n in range(_ENTRIES, len(journal))]
        entries = [journal.header(n)["tool"] if kind == "edit" else kind for n, kind in enumerate(kinds, _ENTRIES)]
        if len(entries) != len(self.told) or any(
            told not in ("?", entry) for told, entry in zip(self.told, entries, strict=True)
        ):
            raise Wrong(f"told {self.told}, in the journal {entries}")
        with open_record(record_at(self.templates, FLOOR)) as first:
            labels, rows = whole(first).copy(), dict(rows_of(first))
        for number in range(_ENTRIES, len(journal)):
            patch = journal.effect(number)
            view = labels[patch.box.slices]
            if patch.box.area and not np.array_equal(view[patch.mask], patch.before):
                raise Wrong(f"entry {number} was made of labels that were not there")
            if patch.box.area:
                view[patch.mask] = patch.after
            for id_ in patch.rows_before["id"].tolist():
                rows.pop(id_, None)
            names = [name for name in patch.rows_after if name not in ("id", "material", "state")]
            values = zip(*(patch.rows_after[name].tolist() for name in names), strict=True)
            rows.update(zip(patch.rows_after["id"].tolist(), values, strict=True))
        if not np.array_equal(labels, whole(record)):
            raise Wrong("the labels are not those of the journal")
        if rows != rows_of(record):
            raise Wrong("the rows are not those of the journal")
