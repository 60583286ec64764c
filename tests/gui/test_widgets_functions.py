"""Finding, previewing and exporting as functions that are forms as well."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from magicgui import magicgui
from PIL import Image

from bright import bright_stones
from napari_mosaic.errors import InputError
from napari_mosaic.export import FORMATS
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import preview_tesserae as cut_again
from napari_mosaic.segmentation import segment
from napari_mosaic.widgets import _knowing, _runs, export_tesserae, preview_tesserae, segment_this_layer
from napari_mosaic.widgets._edited import tessera_layers
from napari_mosaic.widgets._sources import view_box

FUNCTIONS = (segment_this_layer, export_tesserae, preview_tesserae)


@pytest.fixture
def shown(viewer: Any, tmp_path: Path) -> Any:
    """A viewer with a record of one picture."""
    Image.fromarray(bright_stones((150, 210), seed=5, pitch=30)).save(tmp_path / "floor.png")
    segment(tmp_path / "floor.png", params=SegmentParams(method="brightness", scale=1.0)).close()
    viewer.open(str(tmp_path / "floor.mosaic.zarr"), plugin="napari-mosaic")
    return viewer


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_each_is_a_form_whose_bounds_are_those_of_the_core(shown: Any, function: Any) -> None:
    form = shown.window.add_function_widget(function).widget()
    gui = magicgui(function)
    names = set(inspect.signature(function).parameters)
    assert {widget.name for widget in gui} >= names
    assert form is not None
    if "threshold" in names:
        assert (gui.threshold.min, gui.threshold.max, gui.threshold.value) == (0.05, 0.95, SegmentParams.threshold)
        assert (gui.smallest.min, gui.smallest.max, gui.smallest.value) == (0, 400, SegmentParams.min_area)
        assert gui.threshold.tooltip.startswith("joint probability")
    if "format" in names:
        assert list(gui.format.choices) == list(FORMATS)


def test_the_form_of_the_preview_adds_a_layer_and_replaces_it(shown: Any) -> None:
    """What it shows is what the core cuts with those rules, where the tesserae lie."""
    tesserae = tessera_layers(shown)[0]
    gui = magicgui(preview_tesserae)
    shown.window.add_dock_widget(gui)
    gui.tesserae.value = tesserae
    gui.threshold.value, gui.smallest.value = 0.3, 100
    gui()
    gui()
    added = [layer for layer in shown.layers if layer.name.endswith("(rules)")]
    assert len(added) == 1
    with open_record(tesserae.metadata["mosaic_record"]) as record:
        rules = SegmentParams(threshold=0.3, core_threshold=0.7, min_area=100).tesserae
        np.testing.assert_array_equal(added[0].data, cut_again(record, view_box(shown, tesserae), rules))
    np.testing.assert_allclose(added[0].data_to_world((0, 0)), tesserae.data_to_world((0, 0)))


def test_the_form_of_the_export_writes_the_file(shown: Any, tmp_path: Path, qtbot: Any) -> None:
    gui = magicgui(export_tesserae)
    shown.window.add_dock_widget(gui)
    gui.tesserae.value = tessera_layers(shown)[0]
    gui.file.value, gui.format.value = tmp_path / "stones.csv", "csv"
    written = gui().wait()
    assert written == tmp_path / "stones.csv"
    with open_record(tmp_path / "floor.mosaic.zarr") as record:
        assert len(written.read_text().splitlines()) == record.count + 1


def test_the_form_of_finding_starts_the_job_of_the_layer(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the numbers of the form, for the part that is seen."""
    asked: list[Any] = []

    def steps(request: Any) -> Any:
        asked.append(request)
        return _knowing.read_facts(request.place)
        yield

    monkeypatch.setattr(_runs, "find_steps", steps)
    gui = magicgui(segment_this_layer)
    shown.window.add_dock_widget(gui)
    photograph = shown.layers[0]
    gui.photograph.value = photograph
    gui.threshold.value, gui.view_only.value = 0.4, True
    facts = gui().wait()
    assert facts.count > 0
    request = asked[0]
    assert request.layer is photograph
    assert (request.params.threshold, request.params.core_threshold) == (0.4, 0.6)
    assert request.only == view_box(shown, photograph)


def test_another_layer_is_refused_in_a_sentence(viewer: Any, tmp_path: Path) -> None:
    layer = viewer.add_labels(np.ones((8, 8), np.uint8), name="cells")
    with pytest.raises(InputError, match="“cells” shows no tesserae"):
        preview_tesserae(layer)
    with pytest.raises(InputError, match="“cells” shows no tesserae"):
        export_tesserae(layer, tmp_path / "a.csv")
