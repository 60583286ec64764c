"""The panel's step *Find* with SAM 2: four windows of a pyramid of 12 megapixels, by the small model of the tests."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Labels, Shapes

from napari_mosaic.progress import Progress
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import MosaicPanel, _dialogs, _models
from napari_mosaic.widgets._edit.dock import EditDock
from napari_mosaic.widgets._edited import tessera_layers
from napari_mosaic.widgets._facts import RecordFacts, SourceFacts
from napari_mosaic.widgets._forms import AreaValue
from napari_mosaic.widgets._panel.method_form import OWN, SamForm, with_preset
from napari_mosaic.widgets._places import place_beside
from napari_mosaic.widgets._state import PanelState, resolve

SMALL = Path(__file__).parents[1] / "data" / "sam2-mosaic-small.safetensors"
SHAPE = (3072, 4096)
"""Twelve shards: nine tenths of them lie beyond the area and are not looked at, as of a photograph of any size."""
AREA = Box(1400, 2000, 1520, 2120)
"""Of the photograph: some four windows of the small model."""
needs_sam = pytest.mark.skipif(importlib.util.find_spec("sam2") is None, reason="sam2 is not installed")


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TIFF of 12 megapixels and three levels: one drawn tile again and again, so that its file is small."""
    tile = draw_mosaic(512, 7, "grid", tessera_px=26.0, damaged=False, effects=False).image
    picture = np.tile(tile, (SHAPE[0] // 512, SHAPE[1] // 512, 1))
    path = tmp_path_factory.mktemp("pyramid") / "floor.tif"
    with tifffile.TiffWriter(path) as writer:
        for level, step in enumerate((1, 4, 16)):
            more: Any = {"subifds": 2} if level == 0 else {"subfiletype": 1}
            writer.write(
                picture[::step, ::step], photometric="rgb", tile=(512, 512), compression="zlib",
                compressionargs={"level": 1}, metadata=None, **more,
            )  # fmt: skip
    return path


@pytest.fixture
def panel(viewer: Any, qtbot: Any) -> Iterator[MosaicPanel]:
    """A panel that uses the small model, on one core."""
    made = MosaicPanel(viewer, SegmentParams(scale=1.0, device="cpu", tile_size=512))
    qtbot.addWidget(made)
    made.sam = replace(made.sam, model=str(SMALL), device="cpu", points_per_side=12)
    made.methods.show()
    yield made
    made.close()


def draw_area(viewer: Any) -> None:
    ring = [(AREA.y0, AREA.x0), (AREA.y0, AREA.x1), (AREA.y1, AREA.x1), (AREA.y1, AREA.x0)]
    viewer.add_layer(Shapes([np.array(ring, float)], shape_type="polygon", name="part"))


@needs_sam
def test_masks_of_sam_2_from_the_panel_on_12_megapixels(
    panel: MosaicPanel,
    viewer: Any,
    qtbot: Any,
    settled: Callable[[Any], None],
    pyramid: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Automatic ones are cancelled, finished and compared; guided ones are the tesserae, and are edited."""
    viewer.show()
    panel.open_photograph(pyramid)
    settled(panel)
    draw_area(viewer)
    panel.limits.choose(AreaValue("part", ""))
    form = panel.view.method_form
    assert form.sam.isHidden()
    form.method.setCurrentIndex(form.method.findData("sam2"))
    form.method.activated.emit(form.method.currentIndex())
    assert not form.sam.isHidden()
    assert form.sam_model.value() == str(SMALL)
    assert panel.methods.asked is not None
    panel.set_place(tmp_path / "floor.mosaic.zarr")

    def cancel_early(event: Any) -> None:
        if isinstance(event, Progress) and event.phase == "sam2":
            assert event.total <= 9  # no window is looked at beyond the area
            panel.cancel()

    panel.view.find_all.click()
    assert panel.job is not None
    panel.job.stepped.connect(cancel_early)
    settled(panel)
    qtbot.waitUntil(lambda: not panel._reader.busy)
    assert "Cancelled" in panel.state.message
    assert panel.state.record is not None
    assert not panel.state.record.complete
    assert panel.view.find_all.text() == "Go on with the whole"

    panel.view.find_all.click()
    settled(panel)
    assert panel.state.message == ""
    facts = panel.state.record
    assert facts.complete
    masks = panel.shown.masks
    assert isinstance(masks, Labels)
    assert masks.multiscale
    assert (panel.shown.tesserae.contour, masks.contour) == (2, 0)
    assert tessera_layers(viewer) == [panel.shown.tesserae]
    with open_record(facts.path) as record:
        stored = record.label_layer("sam2")
        assert facts.count == facts.masks == stored.count > 10
        part = stored.read(AREA.grow(40))
        np.testing.assert_array_equal(np.asarray(masks.data[0][AREA.grow(40).slices]), part)
        outside = stored.read(Box(0, 0, 400, 400))
    assert not outside.any()
    assert "by SAM 2" in panel.view.steps[3].word.text()
    panel.view.look_form.fields["masks"].native.click()
    assert not masks.visible

    panel.use_method("grout+sam2")
    assert panel.state.place == tmp_path / "floor grout sam2.mosaic.zarr"
    assert panel.state.record is None
    panel.find_all()
    settled(panel)
    assert panel.state.message == ""
    assert panel.shown.masks is None
    layer = panel.shown.tesserae
    before = np.asarray(layer.data[0][AREA.slices])
    assert before.any()
    edit = EditDock(viewer)
    qtbot.addWidget(edit)
    qtbot.waitUntil(lambda: edit.session is not None and edit.state.ready)
    ident = int(np.bincount(before[before > 0]).argmax())
    count = panel.state.record.count
    edit.session.edit({"tool": "delete", "ids": [ident]})
    qtbot.waitUntil(lambda: edit.state.journal.done == 1)
    qtbot.waitUntil(lambda: not (np.asarray(layer.data[0][AREA.slices]) == ident).any())
    edit.close()
    panel.recount(panel.state.record.path)
    qtbot.waitUntil(lambda: panel.state.record.count == count - 1)
    panel.save_as(tmp_path / "floor.csv", "csv")
    settled(panel)
    rows = (tmp_path / "floor.csv").read_text(encoding="utf-8").splitlines()
    assert str(ident) not in {row.split(",")[0] for row in rows}

    monkeypatch.setattr(panel.costs, "ask", lambda: None)  # nothing is found any more
    panel.use_method("sam2")
    settled(panel)
    assert panel.state.place == tmp_path / "floor sam2.mosaic.zarr"


def test_what_a_form_of_sam_2_says_is_what_it_was_given(qtbot: Any) -> None:
    form = SamForm()
    qtbot.addWidget(form)
    chosen = replace(form.value(), model="mine.pt", into="tesserae", points_per_side=20)
    form.set_value(chosen)
    assert form.value() == chosen
    assert form.preset.currentIndex() == -1
    form.preset.setCurrentIndex(form.preset.findData("mosaic-sam2"))
    with qtbot.waitSignal(form.changed):
        form.preset.activated.emit(form.preset.currentIndex())
    assert form.value() == with_preset(chosen, "mosaic-sam2")
    assert (form.value().model, form.value().into, form.value().opening) == ("mine.pt", "tesserae", 1)
    form.show_mode("guided")
    assert form.figures.fields["points_per_side"].native.isHidden()
    form.show_mode("automatic")
    assert form.figures.fields["least_share"].native.isHidden()
    assert not form.figures.fields["points_per_side"].native.isHidden()


def test_a_model_that_is_not_here_is_fetched_where_it_is_chosen(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here: list[str] = []
    monkeypatch.setattr(_models, "present_models", lambda: dict.fromkeys(here, tmp_path))

    def fetch(entry: Any) -> Iterator[Progress]:
        yield Progress(phase="download", done=1.0, total=2.0, unit="MB")
        here.append(entry.name)

    monkeypatch.setattr(_models, "download_steps", fetch)
    choice = _models.ModelChoice("sam2")
    qtbot.addWidget(choice)
    choice.set_value("sam2.1-hiera-tiny")
    assert not choice.here
    assert "156 MB" in choice.words.text()
    with qtbot.waitSignal(choice.chosen):
        choice.fetch.click()
    assert choice.here
    assert choice.words.isHidden()
    choice.set_value("mosaic-sam2")
    assert choice.fetch.isHidden()
    assert "by hand" in choice.words.text()
    monkeypatch.setattr(_dialogs, "ask_model", lambda *_: str(SMALL))
    with qtbot.waitSignal(choice.chosen):
        choice.box.activated.emit(choice.box.findData(""))
    assert choice.value() == str(SMALL)


def test_what_is_made_in_another_way_is_kept_beside(tmp_path: Path) -> None:
    facts = RecordFacts(path=tmp_path / "floor.mosaic.zarr", count=1, complete=True, factor=1.0, model="grout-lite")
    beside = place_beside(facts, "sam2", "sam2")
    assert beside.name == "floor sam2.mosaic.zarr"
    masks = replace(facts, path=beside, method="sam2")
    assert place_beside(masks, "grout", "grout") == facts.path
    assert place_beside(masks, "sam2", "sam2").name == "floor sam2 2.mosaic.zarr"
    assert place_beside(facts, "grout", "model 1").name == "floor model 1.mosaic.zarr"
    assert place_beside(facts, "mine:bright", "mine:bright").name == "floor mine bright.mosaic.zarr"


def test_a_model_that_is_missing_is_why_nothing_can_be_found() -> None:
    source = SourceFacts(name="floor", shape=(100, 100))
    state = PanelState(source=source, place=Path("floor.mosaic.zarr"), method="sam2", lacks="sam2.1-hiera-tiny")
    assert "sam2.1-hiera-tiny is not here" in resolve(state).find_all.reason
    assert resolve(replace(state, lacks="")).find_all.enabled


def test_a_function_of_ones_own_is_a_method(panel: MosaicPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    form = panel.view.method_form
    monkeypatch.setattr(_dialogs, "ask_function", lambda _: "mine:bright")
    form.method.activated.emit(form.method.findData(OWN))
    assert panel.params.method == "mine:bright"
    assert form.method.currentText() == "Other: mine:bright"
    assert form.model.isHidden()


def test_the_best_quality_is_chosen_kept_beside_and_told_of_a_record(
    panel: MosaicPanel, settled: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "floor.tif"
    tifffile.imwrite(path, draw_mosaic(192, 3, "grid", tessera_px=24.0).image)
    form = panel.view.method_form

    def choose(quality: str) -> None:
        form.quality.setCurrentIndex(form.quality.findData(quality))
        form.quality.activated.emit(form.quality.currentIndex())

    panel.open_photograph(path)
    settled(panel)
    panel.view.find_all.click()
    settled(panel)
    quick = panel.state.place
    choose("best")
    assert panel.state.place == tmp_path / "floor best.mosaic.zarr"
    settled(panel)
    panel.view.find_all.click()
    settled(panel)
    with open_record(tmp_path / "floor best.mosaic.zarr") as record:
        assert len(record.plan.views) == 3
    choose("quick")
    settled(panel)
    assert panel.state.place == quick
    panel.open_record(tmp_path / "floor best.mosaic.zarr")
    settled(panel)
    assert (panel.params.quality, form.quality.currentData()) == ("best", "best")
    monkeypatch.setattr(panel.costs, "ask", lambda: None)  # nothing is found any more
    panel.use_method("grout-augmented")
    assert form.quality.isHidden()
