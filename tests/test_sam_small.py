"""Our small SAM 2, trained from chance by this project's own command: what it can do on drawings that it never saw."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_mosaic.sam.registry import SMALLEST
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.training.data import Picture
from napari_mosaic.training.sam.params import SamTrainParams
from napari_mosaic.weights import read_header

if importlib.util.find_spec("sam2") is None:  # importing it here would initialise hydra
    pytest.skip("sam2 is not installed", allow_module_level=True)
from napari_mosaic.sam.network import load_sam
from napari_mosaic.training.sam.crops import fixed_places, take_place
from napari_mosaic.training.sam.validation import guided_labels

SMALL = Path(__file__).parent / "data" / "sam2-mosaic-small.safetensors"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_it_is_small_and_says_where_it_comes_from() -> None:
    header = read_header(SMALL)
    assert SMALL.stat().st_size < 8_000_000
    assert (header["config"], header["base"]) == (SMALLEST, "chance")
    assert "sam2-finetune --synthetic" in header["command"]


def test_points_find_stones_that_it_never_saw() -> None:
    drawing = draw_mosaic(256, 77, "grid", tessera_px=24.0, damaged=False)
    pictures = [Picture(drawing.image, drawing.labels)]
    network = load_sam(SMALL, device="cpu", precision="fp32")
    stones = round((network.image_size / network.tessera_px) ** 2)
    sample = take_place(pictures, fixed_places(pictures, [0], stones)[0], 0, network.image_size)
    _, overlaps = guided_labels(network, sample, SamTrainParams())
    assert len(overlaps) > 30
    assert float(np.mean(overlaps)) > 0.8
