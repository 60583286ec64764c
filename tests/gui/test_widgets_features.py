"""The features of a tesserae layer: napari's status bar, its table and colours, after edits, and of a large record."""

from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from qtpy.QtWidgets import QApplication

from bright import bright_stones
from napari_mosaic.errors import InputError
from napari_mosaic.record import layer_features, open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.widgets import colour_by_feature
from napari_mosaic.widgets._edited import tessera_layers
from napari_mosaic.widgets._features import _following
from napari_mosaic.widgets._napari import camera_of
from napari_mosaic.widgets._session import borrow_session, give_back
from napari_mosaic.widgets._sources import view_box

SHAPE = (560, 720)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    Image.fromarray(bright_stones(SHAPE, seed=5, pitch=30)).save(folder / "floor.png")
    segment(folder / "floor.png", params=SegmentParams(method="brightness", scale=1.0)).close()
    return folder


@pytest.fixture
def floor(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "mosaic")
    return tmp_path / "mosaic" / "floor.mosaic.zarr"


@pytest.fixture
def layer(viewer: Any, floor: Path) -> Any:
    """The tesserae, opened as a person opens a record: without the panel."""
    viewer.window.resize(1100, 800)
    viewer.show()
    viewer.open(str(floor), plugin="napari-mosaic")
    layer = tessera_layers(viewer)[0]
    viewer.layers.selection.active = layer
    return layer


def settle(layer: Any, qtbot: Any) -> None:
    """Wait until the features are those of what is shown."""
    qtbot.waitUntil(lambda: not _following[layer].busy)


def test_the_status_bar_tells_them(viewer: Any, layer: Any, qtbot: Any) -> None:
    settle(layer, qtbot)
    row = layer.features.iloc[10]
    with open_record(layer.metadata["mosaic_record"]) as record:
        rows = record.table(["id", "y", "x"]).to_pandas().set_index("id")
    id_ = int(row["index"])
    told = layer.get_status(layer.data_to_world(tuple(rows.loc[id_, ["y", "x"]])), world=True)["coordinates"]
    assert f"{id_}; height_px: {row['height_px']:g}, width_px: {row['width_px']:g}" in told


def test_naparis_table_shows_them_and_follows_edits(viewer: Any, layer: Any, floor: Path, qtbot: Any) -> None:
    """A stone that is deleted leaves the table, without a click elsewhere; undo brings it back."""
    table = pytest.importorskip("napari_builtins._qt.features_table")
    settle(layer, qtbot)
    widget = table.FeaturesTable(viewer)
    viewer.window.add_dock_widget(widget, name="Features table")
    model = widget.table.model().sourceModel()
    assert list(model.df["index"]) == list(layer.features["index"])
    first, count = int(layer.features["index"][0]), len(layer.features)
    session = borrow_session(viewer, floor)
    session.edit({"tool": "delete", "ids": [first]})
    qtbot.waitUntil(lambda: first not in set(layer.features["index"]))
    assert first not in set(model.df["index"])
    assert len(model.df) == count - 1
    session.undo()
    qtbot.waitUntil(lambda: first in set(model.df["index"]))
    qtbot.waitUntil(lambda: not session.busy)
    give_back(session, viewer)
    viewer.window.remove_dock_widget(widget)


def test_a_confirmed_pixel_size_brings_millimetres(layer: Any, floor: Path, qtbot: Any) -> None:
    settle(layer, qtbot)
    assert "area_px" in layer.features
    with open_record(floor, writable=True) as record:
        record.set_pixel_size(0.5)
    layer.refresh()
    qtbot.waitUntil(lambda: "area_mm2" in layer.features)
    assert "area_px" not in layer.features


def test_a_large_record_has_those_in_view(
    viewer: Any, layer: Any, floor: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None while the view holds too many, and that is told once; then those in view, wherever one goes."""
    from napari_mosaic.widgets import _features

    told: list[str] = []
    monkeypatch.setattr(_features, "show_info", told.append)
    look = layer_features.read_features
    monkeypatch.setattr(layer_features, "read_features", lambda record, box: look(record, box, most=60))
    settle(layer, qtbot)
    camera_of(viewer).center, camera_of(viewer).zoom = (0, 280, 360), 0.8
    with open_record(floor, writable=True) as record:
        record.set_pixel_size(2.0)  # so that the whole is read anew
    layer.refresh()
    qtbot.waitUntil(lambda: len(layer.features) == 0)
    assert len(told) == 1
    seen = []
    for centre in ((0, 120, 120), (0, 420, 600)):
        camera_of(viewer).center, camera_of(viewer).zoom = centre, 6
        qtbot.waitUntil(lambda: 0 < len(layer.features) <= 60 and not _following[layer].busy)
        shown = set(np.unique(layer.data[0][view_box(viewer, layer).slices]).tolist()) - {0}
        qtbot.waitUntil(lambda shown=shown: shown <= set(layer.features["index"].tolist()))
        seen.append(set(layer.features["index"].tolist()))
    assert not seen[0] & seen[1]
    assert len(told) == 1


def test_colours_by_a_column_are_on_the_screen(viewer: Any, layer: Any, qtbot: Any) -> None:
    settle(layer, qtbot)
    before = viewer.screenshot(canvas_only=True, flash=False)
    colour_by_feature(layer, "area_px", "viridis")
    assert (viewer.screenshot(canvas_only=True, flash=False) != before).any()
    order = layer.features.sort_values("area_px")["index"].to_list()
    small, large = (layer.get_color(id_) for id_ in (order[0], order[-1]))
    np.testing.assert_allclose(small[:3], (0.267, 0.005, 0.329), atol=0.01)  # the ends of viridis
    np.testing.assert_allclose(large[:3], (0.993, 0.906, 0.144), atol=0.01)
    with pytest.raises(InputError, match=r"no column of numbers “mood”.*it has .*area_px"):
        colour_by_feature(layer, "mood")


def test_nothing_follows_a_layer_that_is_gone(viewer: Any, layer: Any, qtbot: Any) -> None:
    settle(layer, qtbot)
    follower = weakref.ref(_following[layer])
    viewer.layers.remove(layer)
    assert layer not in _following
    QApplication.processEvents()
    layer.refresh()  # a layer that a script keeps asks for nothing
    gc.collect()
    assert follower() is None or not follower().busy
