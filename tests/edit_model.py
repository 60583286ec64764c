"""A plain model of edits on one array in memory, random requests, and what must hold of a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.editing import shapes
from napari_mosaic.editing.names import new_name
from napari_mosaic.record import Record
from napari_mosaic.record.tables import read_attributes
from napari_mosaic.tesserae import Flag, TesseraParams, joint_limit
from napari_mosaic.tiling import Box

RULES = TesseraParams(reach=10, blob_limit=60, blob_cell=16, max_hole=8)
Labels = NDArray[np.uint32]
Rows = dict[int, tuple[Any, ...]]


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
    table = record.table(["id", "area", "flags"]).to_pandas()
    table = table[table["flags"] & int(Flag.EDGE) == 0].sort_values(["area", "id"], ascending=False)
    return [int(id_) for id_ in table["id"][:count]]


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
