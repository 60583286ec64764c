"""What a model learns from photographs without labels: only what its views agree about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("torch")

from napari_mosaic.errors import InputError, MissingError
from napari_mosaic.progress import drain
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.training import FinetuneParams, finetune
from napari_mosaic.training.agreement import agree
from napari_mosaic.training.sources import store_agreed

RULES = TesseraParams(min_area=20)


def stones(*, without: tuple[int, ...] = ()) -> NDArray[np.uint8]:
    """The map of 5 x 5 stones of 12 px, 16 px apart, in 80 x 80 px; some of them are not there."""
    map_ = np.zeros((2, 80, 80), np.uint8)
    map_[0] = 255
    for k in set(range(25)) - set(without):
        y, x = 2 + k // 5 * 16, 2 + k % 5 * 16
        map_[0, y : y + 12, x : x + 12] = 0
        map_[1, y + 3 : y + 9, x + 3 : x + 9] = 255
    return map_


def test_what_most_views_see_is_known_and_all_else_is_not() -> None:
    maps = [stones(), stones(), stones(), stones(), stones(without=(12,)), stones(without=(6, 12))]
    labels, known = agree(maps, RULES, 16.0)
    middle = [(2 + k // 5 * 16 + 6, 2 + k % 5 * 16 + 6) for k in range(25)]
    assert labels.max() == 25
    assert known[middle[6]]  # five of six see it
    assert not known[middle[12]]  # four do not suffice
    assert known[middle[8][0], middle[8][1] + 8]  # the joint beside a sure stone
    assert labels[middle[8][0], middle[8][1] + 8] == 0


def test_cut_stones_and_far_ground_are_unknown() -> None:
    map_ = np.pad(stones(), ((0, 0), (0, 60), (0, 0)))
    map_[0, 80:] = 255
    map_[0, :12, 2:14], map_[1, 2:9, 5:11] = 0, 255
    labels, known = agree([map_] * 6, RULES, 16.0)
    assert labels[0, 8] > 0
    assert not known[0, 8]
    assert not known[100].any()  # bare ground: views may all miss what is there


def test_a_model_learns_from_photographs_without_masks(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    Image.fromarray(draw_mosaic(256, 3, "grid").image).save(photographs / "floor.png")
    params = FinetuneParams(masks="agreed", stage="1", steps=1, batch=2, side=64, drawings=1, processes=1, workers=0)
    weights = finetune(photographs, tmp_path / "run", params)
    assert weights.is_file()
    stored = drain(store_agreed(photographs, tmp_path / "again", "grout-lite"))
    picture = stored[0]
    assert picture.known is not None
    assert 0.2 < picture.known.mean() < 1
    assert len(np.unique(picture.labels[picture.known])) > 8


def test_photographs_that_teach_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no photograph"):
        drain(store_agreed(tmp_path, tmp_path / "out", "grout-lite"))
    Image.fromarray(np.full((96, 96, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(InputError, match="sure"):
        drain(store_agreed(tmp_path, tmp_path / "out", "grout-lite"))
