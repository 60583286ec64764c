"""A plain model of edits on one array in memory, random requests, and what must hold of a record."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from bright import bright_stones, make_brightness
from napari_mosaic import editing
from napari_mosaic.editing import shapes
from napari_mosaic.editing.names import new_name
from napari_mosaic.engine.cluster import run_on
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.mapping import plan_work
from napari_mosaic.engine.planning import Choices, make_plan
from napari_mosaic.engine.windows import MapContext
from napari_mosaic.errors import InputError
from napari_mosaic.image import open_image
from napari_mosaic.record import Record, create_record, open_record
from napari_mosaic.record.tables import read_attributes
from napari_mosaic.record_setup import initial_areas
from napari_mosaic.tesserae import Flag, TesseraParams, joint_limit
from napari_mosaic.tiling import Box

SHAPE = (170, 150)
RULES = TesseraParams(reach=10, blob_limit=60, blob_cell=16, max_hole=8)
Labels = NDArray[np.uint32]
Rows = dict[int, tuple[Any, ...]]


def make_floor(path: Path) -> Path:
    """A finished record with shards of 64 px, so that a small picture has nine."""
    image, segmenter = open_image(bright_stones(SHAPE, seed=3)), make_brightness()
    areas = initial_areas(image)
    choices = Choices(method="brightness", scale=1.0, tesserae=RULES, shard=64)
    plan = make_plan(image, segmenter, Domain(image, areas, 1.0), choices)
    with create_record(path, image, plan, areas=areas) as record:
        run_all(record)
        record.set_phase(map="done", tesserae="done")
    return path


def run_all(record: Record) -> None:
    image = open_image(bright_stones(SHAPE, seed=3))
    context = MapContext(image, record.plan, make_brightness(), Domain(image, record.areas, 1.0))
    for _ in run_on(None, plan_work(record, 64, context=context), 1):
        pass


def whole(record: Record) -> Labels:
    return record.read_labels(Box(0, 0, *record.shape))


def rows_of(record: Record) -> Rows:
    table = record.table().to_pylist()
    return {row.pop("id"): tuple(row.values()) for row in table}


def first_bytes(record: Record) -> tuple[Any, ...]:
    parts = [(path.name, list(record.table().to_pydict().items())) for path in sorted(record.tables.glob("*.parquet"))]
    return whole(record).tobytes(), parts, read_attributes(record.tables).to_pydict()


def largest(record: Record, count: int = 1) -> list[int]:
    """Ids of the largest tesserae that touch no border."""
    rows = record.table(["id", "area", "flags"]).to_pylist()
    inside = [(row["area"], row["id"]) for row in rows if not row["flags"] & int(Flag.EDGE)]
    return [int(id_) for _, id_ in sorted(inside, reverse=True)[:count]]


def neighbours(labels: Labels, id_: int, reach: int = 4) -> list[int]:
    from scipy import ndimage

    near = labels[ndimage.binary_dilation(labels == id_, iterations=reach)]
    return [int(other) for other in np.unique(near) if other not in (0, id_)]


def check_whole(record: Record, connected: bool = True) -> None:
    """Level 0, tables and smaller levels say the same."""
    labels, rows = whole(record), rows_of(record)
    assert sorted(rows) == np.unique(labels[labels > 0]).tolist()
    assert len(rows) == record.count
    for id_, (y, x, y0, x0, y1, x1, area, *_) in rows.items():
        mask = labels == id_
        places = np.argwhere(mask)
        assert (area, labels[y, x]) == (len(places), id_)
        assert (y0, x0) == tuple(places.min(axis=0))
        assert (y1, x1) == tuple(places.max(axis=0) + 1)
        assert not connected or len(shapes.components(mask)[1]) == 1
    for level, array in enumerate(record.tessera_levels):
        np.testing.assert_array_equal(array[:], labels[:: 2**level, :: 2**level])


class Model:
    """The same edits on one array in memory: no windows, shards, tables or journal."""

    def __init__(self, labels: Labels, map_: NDArray[np.uint8]) -> None:
        self.labels, self.map = labels.copy(), map_
        self.used: set[int] = set()
        self.box = Box(0, 0, *labels.shape)

    def ids(self) -> list[int]:
        return np.unique(self.labels[self.labels > 0]).tolist()

    def name(self, mask: NDArray[np.bool_]) -> int:
        id_, _ = new_name(np.argwhere(mask), self.labels.shape, self.used.__contains__)
        self.used.add(id_)
        return id_

    def area(self, id_: int) -> int:
        return int((self.labels == id_).sum())

    def merge(self, ids: list[int], bridge: int) -> None:
        keep = max(sorted(set(ids)), key=self.area)
        self.labels[shapes.bridged(np.isin(self.labels, ids), self.labels == 0, bridge)] = keep

    def delete(self, ids: list[int]) -> None:
        self.labels[np.isin(self.labels, ids)] = 0

    def part(self, id_: int, parts: Labels) -> None:
        sizes = np.bincount(parts.ravel())[1:]
        if len(sizes) < 2:
            return
        self.labels[(self.labels == id_)] = 0
        for number in range(1, len(sizes) + 1):
            if sizes[number - 1]:
                mask = parts == number
                self.labels[mask] = id_ if number == np.argmax(sizes) + 1 else self.name(mask)

    def split_line(self, line: list[list[float]], gap: int) -> None:
        points = np.array(line)
        stroke, thin = (shapes.line_mask(points, self.box, width) for width in (gap, 0))
        for id_ in np.unique(self.labels[thin & (self.labels > 0)]).tolist():
            self.part(id_, shapes.parts_by_line(self.labels == id_, stroke, gap=gap > 0, least=8))

    def split_seeds(self, points: list[list[float]]) -> None:
        places = np.floor(points).astype(int)
        seeds = np.zeros(self.labels.shape, np.uint32)
        for number, (y, x) in enumerate(places, 1):
            seeds[y, x] = number
        id_ = int(self.labels[tuple(places[0])])
        self.part(id_, shapes.parts_by_seeds(self.labels == id_, seeds, self.map[0]))

    def split_auto(self, ids: list[int]) -> None:
        for id_ in sorted(set(ids)):
            mask, least = self.labels == id_, max(RULES.min_seed, self.area(id_) // 12)
            seeds = shapes.inner_parts(mask, self.map, joint_limit(RULES.threshold), least)
            if seeds.max() > 1:
                self.part(id_, shapes.parts_by_seeds(mask, seeds, self.map[0]))

    def add_outline(self, outline: list[list[float]], over: bool) -> None:
        mask = shapes.outline_mask(np.array(outline), self.box)
        mask = shapes.largest_part(mask if over else mask & (self.labels == 0))
        cut = np.unique(self.labels[mask & (self.labels > 0)]).tolist()
        self.labels[mask] = self.name(mask)
        for id_ in cut:
            parts, areas = shapes.components(self.labels == id_)
            for number in sorted(set(range(1, len(areas) + 1)) - {int(np.argmax(areas)) + 1 if len(areas) else 0}):
                piece = parts == number
                self.labels[piece] = self.name(piece) if areas[number - 1] >= RULES.min_area else 0

    def add_click(self, point: list[float], tolerance: float) -> None:
        y, x = (int(edge) for edge in point)
        here = max(int(np.median(self.map[0][max(0, y - 1) : y + 2, max(0, x - 1) : x + 2])), int(self.map[0][y, x]))
        limit = min(254, max(joint_limit(RULES.threshold), here + round(tolerance * 255)))
        mask = shapes.grown_from((y, x), self.labels == 0, self.map[0], limit, RULES.reach)
        self.labels[mask] = self.name(mask)

    def grow(self, ids: list[int], px: int) -> None:
        self.labels = shapes.grown(self.labels, np.unique(np.array(ids, np.uint32)), px)

    def reshape(self, ids: list[int], change: Callable[[NDArray[np.bool_]], NDArray[np.bool_]]) -> None:
        for id_ in sorted(set(ids)):
            own = self.labels == id_
            new = change(own)
            self.labels[own & ~new] = 0
            self.labels[new] = id_

    def shrink(self, ids: list[int], px: int) -> None:
        self.reshape(ids, lambda mask: shapes.shrunk(mask, px))

    def snap(self, ids: list[int], reach: int) -> None:
        limit = joint_limit(RULES.threshold)
        self.reshape(ids, lambda mask: shapes.snapped(mask, self.labels == 0, self.map[0], limit, reach))

    def fill_holes(self, ids: list[int]) -> None:
        self.reshape(ids, lambda mask: shapes.filled(mask, self.labels == 0))

    def convex(self, ids: list[int]) -> None:
        self.reshape(ids, lambda mask: shapes.convex(mask, self.labels == 0, self.box))

    def replace_window(self, box: list[int], labels: Labels) -> None:
        view = self.labels[Box(*box).slices]
        known = np.unique(view)
        new = [number for number in np.unique(labels).tolist() if number not in known and number]
        changed = labels != view
        view[changed] = np.where(np.isin(labels, known), labels, 0)[changed]
        for number in new:
            mask = np.zeros(self.labels.shape, bool)
            mask[Box(*box).slices] = labels == number
            self.labels[mask] = self.name(mask)


def draw_request(tool: str, rng: np.random.Generator, model: Model) -> dict[str, Any]:
    """A request that means something on the labels as they are."""
    ids, (height, width) = model.ids(), model.labels.shape
    some = [int(id_) for id_ in rng.choice(ids, rng.integers(1, 3))]
    y, x = np.argwhere(model.labels == some[0])[rng.integers(model.area(some[0]))].tolist()
    place = [float(rng.uniform(0, height - 1)), float(rng.uniform(0, width - 1))]
    free = np.argwhere(model.labels == 0)
    fy, fx = free[rng.integers(len(free))].tolist()
    angle, long = rng.uniform(0, np.pi), rng.uniform(8, 60)
    dy, dx = np.sin(angle) * long, np.cos(angle) * long
    choices: dict[str, Callable[[], dict[str, Any]]] = {
        "merge": lambda: {"ids": [some[0], *(neighbours(model.labels, some[0])[:1] or some)], "bridge": 6},
        "delete": lambda: {"ids": some},
        "split_line": lambda: {"line": [[y - dy, x - dx], [y + dy, x + dx]], "gap": int(rng.integers(0, 3))},
        "split_seeds": lambda: {
            "points": [[float(py), float(px)] for py, px in rng.choice(np.argwhere(model.labels == some[0]), 2)]
        },
        "split_auto": lambda: {"ids": some},
        "add_outline": lambda: {
            "outline": (np.array(place) + rng.uniform(-14, 14, (5, 2))).tolist(),
            "over": bool(rng.integers(2)),
        },
        "add_click": lambda: {"point": [fy, fx], "tolerance": 0.3},
        "grow": lambda: {"ids": some, "px": int(rng.integers(1, 4))},
        "shrink": lambda: {"ids": some, "px": int(rng.integers(1, 4))},
        "snap": lambda: {"ids": some, "reach": 4},
        "fill_holes": lambda: {"ids": some},
        "convex": lambda: {"ids": some},
        "replace_window": lambda: _painting(rng, model, (int(place[0]), int(place[1]))),
    }
    return {"tool": tool, **choices[tool]()}


def _painting(rng: np.random.Generator, model: Model, place: tuple[int, int]) -> dict[str, Any]:
    box = Box(*place, place[0] + 50, place[1] + 40).clip(model.labels.shape)
    labels = model.labels[box.slices].copy()
    for number in (1, 0, int(rng.choice(labels.ravel())), 2**20):
        y, x = rng.integers(0, labels.shape[0]), rng.integers(0, labels.shape[1])
        labels[y : y + 7, x : x + 9] = number
    return {"box": list(box), "labels": labels}


TOOLS = (
    "merge", "delete", "split_line", "split_seeds", "split_auto", "add_outline", "add_click",
    "grow", "shrink", "snap", "fill_holes", "convex", "replace_window",
)  # fmt: skip


class Twin:
    """A record and the plain model of it, edited side by side; every step is compared."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = open_record(path, writable=True)
        self.start = first_bytes(self.record)
        self.model = Model(whole(self.record), self.record.read_map(Box(0, 0, *self.record.shape)))
        self._before: list[bytes] = []
        self._after: list[bytes] = []
        self.edits = 0

    def edit(self, tool: str, seed: int) -> None:
        """An edit that means something, drawn from a seed; or one that both refuse."""
        if not self.model.ids():
            return
        request = draw_request(tool, np.random.default_rng(seed), self.model)
        before, tainted = self._packed(), self._broken()
        try:
            made = editing.apply_request(self.record, request)
        except InputError:
            self.same()
            return
        used = set(self.record.journal.used)
        getattr(self.model, tool)(**{name: value for name, value in request.items() if name != "tool"})
        self.same()
        assert used >= self.model.used
        self.model.used = used
        if made is not None:
            self.edits += 1
            self._before.append(before)
            self._after.clear()
            touched = {*made.gone, *made.kept}
            if tool not in ("merge", "replace_window") and not touched & tainted:
                assert not {*made.made, *made.kept} & self._broken(), tool

    def assign(self, seed: int) -> None:
        """Say something of a tessera; its pixels stay."""
        rng = np.random.default_rng(seed)
        ids = self.model.ids()
        material = str(rng.choice(["stone", "glass", "ceramic"]))
        if ids and editing.assign(self.record, [int(rng.choice(ids))], material=material) is not None:
            self.edits += 1
            self._before.append(self._packed())
            self._after.clear()
        self.same()

    def undo(self) -> None:
        """Take back the last edit, where there is one."""
        made = editing.undo(self.record)
        assert (made is None) == (not self._before)
        if made is not None:
            self._after.append(self._packed())
            self._restore(self._before.pop())

    def redo(self) -> None:
        """Make it again, where nothing was edited since."""
        made = editing.redo(self.record)
        assert (made is None) == (not self._after)
        if made is not None:
            self._before.append(self._packed())
            self._restore(self._after.pop())

    def settle(self) -> None:
        """All levels and the table say what the model says."""
        editing.settle(self.record)
        check_whole(self.record, connected=False)

    def reopen(self) -> None:
        """Another session goes on."""
        self.record.close()
        self.record = open_record(self.path, writable=True)
        self.same()

    def same(self) -> None:
        """Level 0 equals the model."""
        np.testing.assert_array_equal(whole(self.record), self.model.labels)

    def finish(self) -> None:
        """Undo of everything gives back the first bytes, redo of everything the last."""
        self.settle()
        end, count = first_bytes(self.record), len(self._before)
        for _ in range(count):
            assert editing.undo(self.record) is not None
        assert editing.undo(self.record) is None
        assert first_bytes(self.record) == self.start
        self.settle_start()
        for _ in range(count):
            assert editing.redo(self.record) is not None
        assert first_bytes(self.record) == end
        self.record.close()

    def settle_start(self) -> None:
        """The smaller levels are the first ones again too."""
        editing.settle(self.record)
        check_whole(self.record, connected=False)

    def _packed(self) -> bytes:
        return zlib.compress(self.model.labels.tobytes(), 1)

    def _restore(self, packed: bytes) -> None:
        shape, dtype = self.model.labels.shape, self.model.labels.dtype
        self.model.labels = np.frombuffer(zlib.decompress(packed), dtype).reshape(shape).copy()
        self.same()

    def _broken(self) -> set[int]:
        """Tesserae that are in more than one piece."""
        return broken(self.model.labels)


def broken(labels: Labels) -> set[int]:
    """Ids whose pixels are not connected by their sides."""
    size = labels.size
    place = np.arange(size).reshape(labels.shape)
    down, right = labels[:-1] == labels[1:], labels[:, :-1] == labels[:, 1:]
    first = np.concatenate([place[:-1][down], place[:, :-1][right]])
    second = np.concatenate([place[1:][down], place[:, 1:][right]])
    links = coo_matrix((np.ones(len(first), bool), (first, second)), (size, size))
    _, part = connected_components(links, directed=False)
    _, heads = np.unique(part, return_index=True)
    ids, counts = np.unique(labels.ravel()[heads], return_counts=True)
    return set(ids[(counts > 1) & (ids > 0)].tolist())
