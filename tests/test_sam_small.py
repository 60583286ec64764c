"""Our small SAM 2, trained from chance by this project's own commands: what it can do on drawings that it never saw."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_mosaic.cli import main
from napari_mosaic.record import open_record
from napari_mosaic.record.sam2 import Sam2Files
from napari_mosaic.sam.registry import SMALLEST
from napari_mosaic.synthetic import Drawing, draw_mosaic
from napari_mosaic.tiling import Box
from napari_mosaic.training.data import Picture
from napari_mosaic.training.sam.params import SamTrainParams
from napari_mosaic.weights import read_header

if importlib.util.find_spec("sam2") is None:  # importing it here would initialise hydra
    pytest.skip("sam2 is not installed", allow_module_level=True)
from napari_mosaic.sam.network import load_sam
from napari_mosaic.training.sam.crops import fixed_places, take_place
from napari_mosaic.training.sam.validation import guided_labels

SMALL = Path(__file__).parent / "data" / "sam2-mosaic-small.safetensors"
PAGE = Path(__file__).parents[1] / "docs" / "sam2.md"
UNSEEN = 800_000
"""Seeds from here on belong to no training and no validation."""
SIZE = 300


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Drawing]:
    """A folder with a photograph, the small model, and the record of guided masks that the page's command made."""
    folder = tmp_path_factory.mktemp("floor")
    drawing = draw_mosaic(SIZE, UNSEEN, "bond", tessera_px=26.0, damaged=False)
    Image.fromarray(drawing.image).save(folder / "floor.tif")
    shutil.copy(SMALL, folder)
    lines = PAGE.read_text(encoding="utf-8").replace("tests/data/", "").splitlines()
    words = next(line for line in lines if line.endswith(SMALL.name) and "segment" in line).split()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(words[1:]) == 0
    return folder, drawing


@pytest.mark.parametrize(
    ("preset", "more"), [("ours", "--sam2.erosion 1"), ("mosaic-sam2", "--sam2.tessera-px 43 --sam2.crop-n-layers 1")]
)
def test_what_tuning_hands_over_finds_what_was_tuned(
    tmp_path: Path, preset: str, more: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that `sam2-tune` says, given as it stands, reaches the Dice that the search has measured."""
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    drawing = draw_mosaic(140, UNSEEN + 3, "grid", tessera_px=26.0, damaged=False, effects=False)
    for name, picture in (("images", drawing.image), ("labels", drawing.labels.astype(np.uint16))):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "data" / name / "floor.png")
    words = f"sam2-tune data -o tuned --sam2-preset {preset} --sam2.model {SMALL} --trials 4 --sam2.device cpu {more}"
    assert main([*words.split(), "--sam2.points-per-side", "10"]) == 0
    said = capsys.readouterr().out.splitlines()[-1].replace("PHOTOGRAPH", "data/images/floor.png")
    best = json.loads((tmp_path / "tuned" / "best.json").read_text(encoding="utf-8"))
    assert main([*said.split()[1:], "-o", "floor.mosaic.zarr"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "floor.mosaic.zarr", "data/labels/floor.png", "--json"]) == 0
    got = json.loads(capsys.readouterr().out)["metrics"]["pixels"]["dice"]
    assert best["score"] > 0.3
    assert got == pytest.approx(best["score"], abs=0.005)
    with open_record(tmp_path / "floor.mosaic.zarr") as record:
        used = Sam2Files(record).read_plan()
    assert used is not None
    assert {name: used["params"][name] for name in best["sam"]} == best["sam"]


def test_it_is_small_and_says_where_it_comes_from() -> None:
    header = read_header(SMALL)
    assert SMALL.stat().st_size < 8_000_000
    assert (header["config"], header["base"]) == (SMALLEST, "chance")
    for command in header["command"].splitlines():
        assert command.startswith("napari-mosaic sam2-finetune --synthetic --preset small")


@pytest.mark.parametrize("kind", ["bond", "grid"])
def test_points_find_stones_that_it_never_saw(kind: str) -> None:
    network, overlaps = load_sam(SMALL, device="cpu", precision="fp32"), []
    stones = round((network.image_size / network.tessera_px) ** 2)
    for seed in (UNSEEN, UNSEEN + 1):
        drawing = draw_mosaic(SIZE, seed, kind)
        pictures = [Picture(drawing.image, np.where(drawing.valid, drawing.labels, 0), drawing.valid)]
        sample = take_place(pictures, fixed_places(pictures, [0], stones)[0], 0, network.image_size)
        overlaps += guided_labels(network, sample, SamTrainParams())[1]
    assert len(overlaps) > 40
    assert float(np.mean(overlaps)) >= 0.8


def test_guided_masks_as_a_user_makes_them_fit_stones_that_it_never_saw(floor: tuple[Path, Drawing]) -> None:
    folder, drawing = floor
    with open_record(folder / "floor.mosaic.zarr") as record:
        labels, factor = record.read_labels(Box(0, 0, *record.shape)), record.plan.factor
        fallen = record.label_layer("sam2").table()["fallback"].to_numpy()
    places = np.minimum(((np.arange(SIZE) + 0.5) * factor).astype(int), min(labels.shape) - 1)
    overlaps = overlap_of_stones(labels[np.ix_(places, places)], np.where(drawing.valid, drawing.labels, 0))
    assert len(overlaps) > 80
    assert fallen.mean() < 0.1
    assert float(np.mean(overlaps)) >= 0.8


def overlap_of_stones(labels: NDArray[Any], truth: NDArray[Any]) -> list[float]:
    """Of every stone but slivers at the border: the overlap of the tessera that fits it best, 0 where there is none."""
    ids, areas = np.unique(truth[truth > 0], return_counts=True)
    found = []
    for stone in ids[areas >= 0.1 * np.median(areas)]:
        here = truth == stone
        touching = np.unique(labels[here & (labels > 0)])
        found.append(max(((here & (labels == k)).sum() / (here | (labels == k)).sum() for k in touching), default=0.0))
    return found


def test_the_pages_script_runs(floor: tuple[Path, Drawing], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(floor[0])
    scripts = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    script = next(text for text in scripts if "open_clicks" in text).replace("tests/data/", "")
    known: dict[str, Any] = {}
    exec(compile(script, str(PAGE), "exec"), known)
    stone = known["stone"]
    assert stone is not None
    with open_record(floor[0] / "floor.mosaic.zarr") as record:
        labels = record.read_labels(stone.piece.box)
    assert len(np.unique(labels[stone.piece.bits])) == 1
