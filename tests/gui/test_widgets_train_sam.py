"""SAM 2 in the docks: a script's masks, a few steps of teaching, thresholds, and the comparison with the truth."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from PIL import Image

from napari_mosaic import editing
from napari_mosaic.evaluation import evaluate_files
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.params import SamParams
from napari_mosaic.segmentation import segment
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.training.sam.params import PRESETS, SamTrainParams, SamTuneParams
from napari_mosaic.widgets import EvaluateDock, MosaicPanel, TrainDock
from napari_mosaic.widgets._evaluate.runs import results_of
from napari_mosaic.widgets._forms import ValueForm
from napari_mosaic.widgets._layers import LookValue
from napari_mosaic.widgets._train.request import TrainRequest, read_rows
from napari_mosaic.widgets._train.state import RECIPES, STARTS, TrainState, length_of, resolve_training

if importlib.util.find_spec("sam2") is None:
    pytest.skip("sam2 is not installed", allow_module_level=True)

SMALL = Path(__file__).parents[1] / "data" / "sam2-mosaic-small.safetensors"
SAM = SamParams(model=str(SMALL), device="cpu", points_per_side=12)
PLAIN = SegmentParams(scale=1.0, device="cpu", method="sam2")


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for training with one drawn floor; its record, with masks of SAM 2, lies beside the picture."""
    folder = tmp_path_factory.mktemp("data")
    drawing = draw_mosaic(160, 800_011, "grid", tessera_px=26.0, damaged=False, effects=False)
    for name, picture in (("images", drawing.image), ("labels", drawing.labels.astype(np.uint16))):
        (folder / name).mkdir()
        Image.fromarray(picture).save(folder / name / "floor.png")
    segment(folder / "images" / "floor.png", folder / "floor.mosaic.zarr", params=PLAIN, sam=SAM).close()
    return folder


@pytest.fixture
def panel(viewer: Any, qtbot: Any) -> Iterator[MosaicPanel]:
    made = MosaicPanel(viewer, SegmentParams(scale=1.0, device="cpu"))
    qtbot.addWidget(made)
    made.sam = SAM
    made.methods.show()
    yield made
    made.close()


def test_a_script_gets_the_automatic_masks_as_a_labels_layer(
    viewer: Any, floor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
    from scripted_sam2 import find_masks

    picture = tmp_path / "floor.png"
    picture.write_bytes((floor / "images" / "floor.png").read_bytes())
    layer = find_masks(viewer, picture, SMALL, replace(SAM, device="cpu"))
    assert isinstance(layer, Labels)
    assert layer.multiscale
    with open_record(tmp_path / "floor.mosaic.zarr") as record:
        stored = record.label_layer("sam2").levels[0][:]
    np.testing.assert_array_equal(np.asarray(layer.data[0]), stored)
    assert len(np.unique(stored)) > 10
    sys.modules.pop("scripted_sam2")


def test_sam_2_is_taught_a_few_steps_from_the_dock_and_used(
    panel: MosaicPanel, viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "floor.png"
    picture.write_bytes((floor / "images" / "floor.png").read_bytes())
    panel.open_photograph(picture)
    settled(panel)
    dock = TrainDock(viewer, panel)
    qtbot.addWidget(dock)
    dock.learn_from("folder", floor)
    dock.set_recipe("sam2")
    dock.set_out(tmp_path / "mine")
    assert dock.view.sam_model.value() == str(SMALL)
    assert dock.view.sam_model.isVisibleTo(dock)
    assert not dock.view.sample.isVisibleTo(dock)
    few: dict[str, Any] = {"steps": 2, "epochs": None, "most_prompts": 4, "stones": 16, "device": "cpu"}
    few |= {"judge": "prompts", "most_judged": 1, "accumulate": 1, "round_steps": 1, "processes": 1}
    dock.view.sam_form.set_value(replace(PRESETS["mosaic-sam2"], **few))
    qtbot.waitUntil(lambda: not dock._looker.busy)
    dock.view.start.click()
    qtbot.waitUntil(lambda: dock.job is None and not dock._looker.busy)
    assert dock.state.message == ""
    assert dock.state.model == str(tmp_path / "mine" / "mine.safetensors")
    assert dock.state.rows[-1]["step"] == 2
    assert dock.view.loss.value()
    dock.view.use.click()
    assert (panel.params.method, panel.sam.model) == ("sam2", dock.state.model)
    panel.find_all()
    settled(panel)
    assert panel.state.message == ""
    assert panel.state.record is not None
    assert panel.state.record.sam is not None
    assert panel.state.record.sam.model == dock.state.model
    assert panel.shown is not None
    assert panel.shown.masks is not None
    dock.close()


def test_thresholds_are_searched_and_handed_to_the_panel(
    panel: MosaicPanel, viewer: Any, qtbot: Any, floor: Path, tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    dock = TrainDock(viewer, panel)
    qtbot.addWidget(dock)
    dock.learn_from("folder", floor)
    dock.set_recipe("sam2-tune")
    dock.set_out(tmp_path / "tuned")
    dock.view.tune_form.set_value(SamTuneParams(trials=3, crops=1))
    qtbot.waitUntil(lambda: not dock._looker.busy)
    assert dock.state.length == "3 trials" or dock.view_model.start.enabled
    dock.view.start.click()
    qtbot.waitUntil(lambda: dock.job is None and not dock._looker.busy)
    assert dock.state.message == ""
    assert len(dock.state.scores) == 3
    assert dock.view.use.text() == "Use these settings"
    dock.view.use.click()
    assert panel.params.method == "sam2"
    assert panel.sam != SAM
    assert (panel.sam.model, panel.sam.into) == (str(SMALL.resolve()), SAM.into)
    dock.close()


def test_a_record_is_compared_with_its_truth_in_figures_curves_and_colours(
    panel: MosaicPanel, viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path, tmp_path: Path
) -> None:
    panel.open_record(floor / "floor.mosaic.zarr")
    settled(panel)
    dock = EvaluateDock(viewer, panel)
    qtbot.addWidget(dock)
    dock.look()
    assert dock.state.layers == ("tesserae", "SAM 2")
    truth = floor / "labels" / "floor.png"
    dock.compare_with(truth)
    dock.view.start.click()
    qtbot.waitUntil(lambda: dock.job is None and dock.state.compared is not None)
    rows = dock.view.table.value()
    assert [row[0] for row in rows] == ["", "tesserae", "SAM 2"]
    for (_, path), row in zip(results_of(floor / "floor.mosaic.zarr"), rows[1:], strict=True):
        found = evaluate_files(path, truth).metrics
        assert row[3:6] == (f"{found.at(0.5).f1:.3f}", f"{found.fm:.3f}", f"{found.pixels.dice:.3f}")
    assert [curve.name for curve in dock.view.curves.value()] == ["tesserae", "SAM 2"]
    dock.view.show.click()
    qtbot.waitUntil(lambda: "comparison" in viewer.layers)
    layer = viewer.layers["comparison"]
    assert layer.data.shape == (160, 160, 3)
    assert len(np.unique(layer.data.reshape(-1, 3), axis=0)) >= 3
    np.testing.assert_allclose(layer.scale, panel.photograph.scale[-2:])
    dock.save_table(tmp_path / "figures.csv")
    qtbot.waitUntil(lambda: (tmp_path / "figures.csv").exists())
    dock.compare("folder", floor / "labels")
    dock.compare_with(floor / "labels")
    dock.start()
    qtbot.waitUntil(lambda: dock.job is None and dock.state.compared is not None)
    assert dock.view.table.value()[-1][0] == "mean"
    assert not dock.view.show.isEnabled()
    dock.close()


def test_figures_and_files_are_of_what_is_shown(
    panel: MosaicPanel, viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path, tmp_path: Path
) -> None:
    """SAM 2's masks while they are seen; the joints' tesserae once these alone are, or once one of them was edited."""
    mine = Path(shutil.copytree(floor, tmp_path / "data")) / "floor.mosaic.zarr"
    panel.open_record(mine)
    settled(panel)
    with open_record(mine) as record:
        counts = {name: record.with_labels(name).figures().count for name in ("tesserae", "sam2")}
        ident = int(record.table(["id"])["id"][0].as_py())
    assert counts["tesserae"] != counts["sam2"]

    def rows(name: str) -> int:
        panel.save_as(tmp_path / name, "csv")
        settled(panel)
        return len((tmp_path / name).read_text(encoding="utf-8").splitlines()) - 1

    assert (panel.labels, panel.state.record.count) == ("sam2", counts["sam2"])
    assert rows("masks.csv") == counts["sam2"]
    panel.look(LookValue(masks=False))
    qtbot.waitUntil(lambda: panel.state.record.labels == "tesserae")
    assert panel.state.record.count == counts["tesserae"]
    assert "by SAM 2" not in panel.view.steps[3].word.text()
    assert rows("tesserae.csv") == counts["tesserae"]
    panel.look(LookValue())
    qtbot.waitUntil(lambda: panel.state.record.labels == "sam2")
    with open_record(mine, writable=True) as record:
        editing.delete(record, [ident])
    panel.recount(mine.absolute())
    qtbot.waitUntil(lambda: panel.state.record.count == counts["tesserae"] - 1)
    assert panel.labels == "tesserae"
    assert "You edited" in panel.state.message
    assert not panel.shown.masks.visible
    assert rows("edited.csv") == counts["tesserae"] - 1


@pytest.mark.parametrize("recipe", ["sam2", "sam2-small", "sam2-grid", "sam2-tune"])
def test_the_forms_of_sam_2_give_back_what_recipes_begin_with(qtbot: Any, recipe: str) -> None:
    start = STARTS[recipe]
    form = ValueForm(type(start), ("seed",), leave_out=("model", "config"))
    qtbot.addWidget(form)
    form.set_value(start)
    assert form.value() == start
    state = TrainState(recipe=recipe, data="folder", source="/data", out="/runs/1")
    assert resolve_training(state).start.enabled
    assert recipe in RECIPES


def test_the_runs_of_a_grid_are_curves_of_their_own(tmp_path: Path) -> None:
    params = SamTrainParams()
    request = TrainRequest(task="sam2-grid", out=str(tmp_path), params=asdict(params))
    for run, score in ((1, 0.5), (7, 0.75)):
        (tmp_path / f"run{run}").mkdir()
        (tmp_path / f"run{run}" / "history.csv").write_text(f"step,loss,score\n1,1,0.25\n2,0.5,{score}\n")
    rows = tuple(read_rows(request))
    assert [(row["run"], row["step"]) for row in rows] == [(1, 1), (1, 2), (7, 1), (7, 2)]
    view = resolve_training(TrainState(recipe="sam2-grid", rows=rows))
    assert [(curve.name, curve.faint) for curve in view.figures] == [("", True), ("run 7", False)]
    assert length_of(params, "sam2-grid").startswith("12 runs")
