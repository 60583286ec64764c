"""What a run reads and writes once: blocks of the photograph in the order of the windows, shards of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_mosaic import SegmentParams, open_image, segment
from napari_mosaic.engine.mapping import in_order
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.engine.windows import read_window
from napari_mosaic.image import ome_zarr, tiff
from napari_mosaic.record import Plan
from napari_mosaic.record.label_layer import LabelLayer
from napari_mosaic.tiling import Box

SHAPE = 3072, 36864
"""Wider than what is kept of its decoded blocks: a row of its windows is 121 MB."""


def count(patch: pytest.MonkeyPatch, owner: Any, name: str, key: Callable[..., Any]) -> Counter[Any]:
    """How often a method is called from now on, by key."""
    counted: Counter[Any] = Counter()
    original = getattr(owner, name)

    def method(*arguments: Any, **options: Any) -> Any:
        counted[key(*arguments)] += 1
        return original(*arguments, **options)

    patch.setattr(owner, name, method)
    return counted


def write_tiff(path: Path, **layout: Any) -> None:
    """A black TIFF, compressed."""
    nothing = np.zeros((*SHAPE, 3), np.uint8)  # memory that is only looked at takes none
    tifffile.imwrite(path, nothing, compression="zlib", photometric="rgb", **layout)


def read_all(path: Path, patch: pytest.MonkeyPatch, counted: tuple[Any, str, Callable[..., Any]]) -> Counter[Any]:
    """How often each block of an image is decoded for the windows of a whole run."""
    with open_image(path) as image:
        plan = Plan(
            source_shape=SHAPE, shape=SHAPE, factor=1.0, tessera_px=24.0, method="own", model="own", model_sha256="",
            channels=1, stride=32, window=1024, halo=64,
        )  # fmt: skip
        decoded = count(patch, *counted)
        for index in in_order(plan.lattice.overlapping(Box(0, 0, *SHAPE)), plan, 2048, image):
            read_window(image, plan, index)
    return decoded


@pytest.mark.parametrize("layout", [{"tile": (512, 512)}, {"tile": (256, 256)}, {"rowsperstrip": 64}])
def test_a_run_decodes_a_block_of_a_tiff_once(
    layout: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiff(tmp_path / "a.tif", **layout)
    decoded = read_all(tmp_path / "a.tif", monkeypatch, (tiff.PageReader, "_decode", lambda self, index: index))
    assert sum(decoded.values()) <= 1.4 * len(decoded)
    rows = layout.get("rowsperstrip")
    assert len(decoded) == (SHAPE[0] // rows if rows else SHAPE[0] * SHAPE[1] // layout["tile"][0] ** 2)


def test_a_run_decodes_a_chunk_of_a_zarr_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(*SHAPE, 3), chunks=(1024, 1024, 3), dtype=np.uint8)
    asked = (ome_zarr.zarr.Array, "__getitem__", lambda self, key: str(key))
    decoded = read_all(tmp_path / "a.zarr", monkeypatch, asked)
    assert len(decoded) > 100
    assert sum(decoded.values()) <= 1.4 * len(decoded)


def test_a_run_writes_a_shard_of_labels_once(
    tmp_path: Path, photograph: Callable[..., Any], brightness: FunctionSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = count(monkeypatch, LabelLayer, "write_shard", lambda self, index, *rest: index)
    image = np.tile(photograph((512, 512)), (5, 5, 1))
    params = SegmentParams(scale=1, tile_size=1024)
    with segment(image, tmp_path / "a.mosaic.zarr", segmenter=brightness, params=params) as record:
        assert record.count > 0
        assert written == {(row, column): 1 for row in range(3) for column in range(3)}
