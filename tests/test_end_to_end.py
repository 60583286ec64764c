"""The shipped network on drawn mosaics, on a photograph of a dependency, and on the development photographs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_mosaic import SegmentParams, draw_mosaic, evaluate_labels, segment
from napari_mosaic.evaluation import evaluate_files
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.tiling import Box


@pytest.mark.parametrize("tessera", [9.0, 24.0, 48.0])
def test_drawn_mosaics_of_any_size_at_the_scale_found_by_itself(tmp_path: Path, tessera: float) -> None:
    drawing = draw_mosaic(max(288, int(tessera * 16)), seed=72, geometry="grid", tessera_px=tessera, damaged=False)
    wanted = 20 if tessera < 20 else min(tessera, 38)
    with segment(drawing.image, tmp_path / "a.mosaic.zarr") as record:
        assert record.plan.factor * tessera == pytest.approx(wanted, rel=0.3)
        labels = read_source_labels(record, Box(0, 0, *drawing.labels.shape))
        metrics = evaluate_labels(labels.astype(np.int64), drawing.labels)
        assert metrics.at(0.5).f1 > 0.7


def test_a_fine_picture_in_a_coarse_field_gets_zones(tmp_path: Path) -> None:
    coarse = draw_mosaic(1200, seed=84, geometry="grid", tessera_px=48, damaged=False).image
    fine = draw_mosaic(1200, seed=72, geometry="grid", tessera_px=12, damaged=False).image
    with segment(np.concatenate([coarse, fine], 1), tmp_path / "a.mosaic.zarr") as record:
        zones = record.plan.zones
        assert zones is not None
        left = np.mean([row[0] for row in zones])
        right = np.mean([row[-1] for row in zones])
        assert right > 1.3 * left


def test_the_first_command_of_the_readme(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "napari_mosaic", "segment", "sample:brick", "-o", "brick.mosaic.zarr"]
    done = subprocess.run(
        [*command, "--preview", "brick.png", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 80 < json.loads(done.stdout)["tesserae"] < 100
    with Image.open(tmp_path / "brick.png") as picture:
        assert min(picture.size) >= 512


def test_a_roman_floor(tmp_path: Path, shared_data: Path) -> None:
    with segment(shared_data / "rabbit_cat18.jpg", tmp_path / "a.mosaic.zarr") as record:
        labels = read_source_labels(record, Box(0, 0, 100, record.source.shape[1]))
        assert not labels.any(), "the black surround must stay empty"
        path = record.path
    metrics = evaluate_files(path, shared_data / "rabbit.json").metrics
    assert metrics.at(0.5).f1 > 0.945
    assert metrics.cnt < 0.06


@pytest.mark.torch
def test_another_runtime_finds_the_same(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    picture = draw_mosaic(320, seed=3, tessera_px=24).image
    counts = {}
    for runtime in ("torch", "openvino"):
        # Alike everywhere: what auto chooses depends on the processor.
        params = SegmentParams(runtime=runtime, scale=1.0, device="cpu", precision="fp32")
        with segment(picture, tmp_path / f"{runtime}.mosaic.zarr", params=params) as record:
            assert record.plan.runtime == runtime
            counts[runtime] = record.count
    assert abs(counts["torch"] - counts["openvino"]) <= 1
