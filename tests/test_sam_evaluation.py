"""SAM 2's masks are judged like any labels: by path, beside the tesserae of the same record, in five colours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_mosaic.cli import main
from napari_mosaic.engine.sam.plan import AUTOMATIC
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.errors import MissingError
from napari_mosaic.evaluation import evaluate_files
from napari_mosaic.evaluation.pictures import COLOURS
from test_sam_masks import PARAMS, BrightNetwork, masks_of, start


def test_masks_are_compared_with_a_truth_and_with_the_tesserae(
    tmp_path: Path, brightness: FunctionSegmenter, capsys: Any
) -> None:
    picture = np.full((140, 160, 3), 30, np.uint8)
    truth = np.zeros((140, 160), np.uint8)
    for number, (y, x) in enumerate(((20, 20), (20, 70), (70, 40), (90, 100)), start=1):
        picture[y : y + 30, x : x + 30] = 200
        truth[y : y + 30, x : x + 30] = number
    Image.fromarray(truth).save(tmp_path / "truth.png")
    path = tmp_path / "floor.mosaic.zarr"
    with start(path, picture, brightness) as record:
        with pytest.raises(MissingError, match="has no labels 'sam2' but tesserae"):
            evaluate_files(path / "labels" / "sam2", tmp_path / "truth.png")
        masks_of(record, picture, BrightNetwork(), AUTOMATIC, PARAMS)
    found = evaluate_files(path / "labels" / "sam2", tmp_path / "truth.png")
    assert (found.metrics.truth, found.metrics.predicted) == (4, 4)
    assert found.metrics.at(0.9).f1 == 1
    words = [
        "evaluate",
        str(path / "labels" / "sam2"),
        str(tmp_path / "truth.png"),
        "--against",
        str(path / "labels" / "tesserae"),
    ]
    assert main([*words, "--picture", str(tmp_path / "five.png"), "--json"]) == 0
    shares = json.loads(capsys.readouterr().out)["shares"]
    assert shares["first only"] > 0.9
    five = np.asarray(Image.open(tmp_path / "five.png"))
    assert tuple(five[35, 35]) == COLOURS["first only"]
