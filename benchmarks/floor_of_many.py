"""A gigapixel record of drawn tesserae in minutes: one drawn shard, repeated, every tessera named by its place.

    python benchmarks/floor_of_many.py /tmp/floor.mosaic.zarr --side 32768

The pattern joins at its edges, so stones cross shards; those that the floor's edge would cut are left out.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from napari_mosaic.ids import id_at, id_dtype
from napari_mosaic.record import Plan, Record, SourceEntry, layout, open_record, tables
from napari_mosaic.record.map_layer import halve_map
from napari_mosaic.record.metadata import Metadata, write_metadata
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box

SHARD = 1024
PITCH = 32
JOINT = 3.0


@dataclass(frozen=True)
class Pattern:
    """One shard: which stone each pixel is (0 joint; else 1 + 9 n + its home's place among the nine shards around),
    the map, and the stones' seeds, boxes and areas counted from the corner of their home.
    """

    code: np.ndarray
    map: np.ndarray
    seeds: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray


def draw_pattern(seed: int = 0) -> Pattern:
    """Stones around scattered points on a torus."""
    rng = np.random.default_rng(seed)
    side = SHARD // PITCH
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
    points = (grid + 0.5 + rng.uniform(-0.27, 0.27, grid.shape)) * PITCH
    homes = [(oy, ox) for oy in (-1, 0, 1) for ox in (-1, 0, 1)]
    around = np.concatenate([points + np.array(home) * SHARD for home in homes])
    y, x = np.mgrid[:SHARD, :SHARD]
    places = np.column_stack([y.ravel(), x.ravel()]) + 0.5
    distance, near = cKDTree(around).query(places, k=2)
    inside = (distance[:, 1] - distance[:, 0]).reshape(SHARD, SHARD) - JOINT
    home, stone = np.divmod(near[:, 0].reshape(SHARD, SHARD), len(points))
    code = np.where(inside > 0, 1 + 9 * stone + home, 0)
    grout = np.clip(128 - 60 * inside, 8, 247)
    core = np.clip(40 * (inside - 4), 0, 250)
    own = code > 0
    at = np.column_stack([y[own], x[own]]) - (np.array(homes) * SHARD)[home[own]]
    boxes = np.tile([4 * SHARD, 4 * SHARD, -SHARD, -SHARD], (len(points), 1))
    for axis in (0, 1):
        np.minimum.at(boxes[:, axis], stone[own], at[:, axis])
        np.maximum.at(boxes[:, axis + 2], stone[own], at[:, axis] + 1)
    return Pattern(
        code=code,
        map=np.stack([grout, core]).astype(np.uint8),
        seeds=np.floor(points).astype(np.int64),
        boxes=boxes,
        areas=np.bincount(stone[own], minlength=len(points)),
    )


def make_floor(path: Path, side: int) -> Record:
    """The record at `path`, finished, open for writing."""
    plan = Plan(
        source_shape=(side, side), shape=(side, side), factor=1.0, tessera_px=float(PITCH), method="grout",
        model="drawn", model_sha256="", channels=2, stride=32, window=SHARD, halo=64, tesserae=TesseraParams(),
    )  # fmt: skip
    if side % SHARD or side < 2 * SHARD:
        raise SystemExit(f"--side must be a multiple of {SHARD} and at least {2 * SHARD}.")
    layout.create_arrays(path, plan, None)
    source = SourceEntry(name="drawn", location="", relative="", fingerprint="", size_bytes=0, shape=(side, side))
    write_metadata(path, Metadata(source=source, plan=plan, phases={"map": "done", "tesserae": "done"}))
    record, pattern = open_record(path, writable=True), draw_pattern()
    write_map(record, pattern)
    for tile in plan.shards:
        write_shard(record, pattern, tile.index)
    write_smaller(record)
    for phase in ("map", "tesserae", "pyramid"):
        record.ledger.add(phase, [tile.index for tile in plan.shards])
    return record


def write_map(record: Record, pattern: Pattern) -> None:
    """The same shard everywhere, in every level."""
    map_ = pattern.map
    for level, array in enumerate(record.map_levels):
        rows, columns = (-(-edge // SHARD) for edge in array.shape[1:])
        repeats = -(-SHARD // map_.shape[1])
        tiled = np.tile(map_, (1, repeats, repeats))[:, : array.shape[1], : array.shape[2]]
        array[:, : tiled.shape[1], : tiled.shape[2]] = tiled
        first = record.path / str(level) / "c" / "0" / "0" / "0"
        for i in range(rows):
            for j in range(columns):
                target = first.parents[1] / str(i) / str(j)
                if target != first:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(first, target)
        map_ = halve_map(map_)


def write_shard(record: Record, pattern: Pattern, index: tuple[int, int]) -> None:
    """Ids of one shard, and the rows of the stones at home in it."""
    side, dtype = record.shape[0], id_dtype(record.shape)
    names = np.zeros((len(pattern.seeds), 9), dtype)
    for k, home in enumerate((oy, ox) for oy in (-1, 0, 1) for ox in (-1, 0, 1)):
        corner = (np.array(index) + home) * SHARD
        low, high = pattern.boxes[:, :2] + corner, pattern.boxes[:, 2:] + corner
        whole = ((low >= 0) & (high <= side)).all(axis=1)
        y, x = (pattern.seeds + corner)[whole].T
        names[whole, k] = id_at(y, x, side)
    labels = np.concatenate([[0], names.ravel()]).astype(dtype)[pattern.code]
    record.write_labels(0, record.plan.shards.tile(index).core, labels)
    own, corner = names[:, 4], np.array(index) * SHARD
    kept = np.flatnonzero(own)
    kept = kept[np.argsort(own[kept])]
    boxes, seeds = pattern.boxes[kept] + np.tile(corner, 2), pattern.seeds[kept] + corner
    columns = {
        "id": own[kept], "y": seeds[:, 0], "x": seeds[:, 1], "area": pattern.areas[kept],
        **{name: boxes[:, k] for k, name in enumerate(("y0", "x0", "y1", "x1"))},
        "score": np.full(len(kept), 0.95), "flags": np.zeros(len(kept), np.uint8),
    }  # fmt: skip
    tables.write_part(record.tables, index, columns)


def write_smaller(record: Record) -> None:
    """Every smaller level of the ids, by every second pixel."""
    for below, array in zip(record.tessera_levels, record.tessera_levels[1:], strict=False):
        for y in range(0, array.shape[0], SHARD):
            for x in range(0, array.shape[1], SHARD):
                box = Box(y, x, y + SHARD, x + SHARD).clip(array.shape)
                array[box.slices] = below[2 * box.y0 : 2 * box.y1 : 2, 2 * box.x0 : 2 * box.x1 : 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path)
    parser.add_argument("--side", type=int, default=32768)
    arguments = parser.parse_args()
    with make_floor(arguments.record, arguments.side) as record:
        print(f"{record.path}: {record.shape[1]} x {record.shape[0]} px, {record.count:,} tesserae")


if __name__ == "__main__":
    main()
