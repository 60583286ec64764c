"""Manifest, readers, samples, the command and the one call for scripts."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_mosaic.request import SegmentParams
from napari_mosaic.widgets import get_image_reader, get_record_reader, segment_layer
from napari_mosaic.widgets._dialogs import claim_records

PARAMS = SegmentParams(method="brightness", scale=1.0)
EXAMPLES = Path(__file__).parents[2] / "examples"


def test_every_command_of_the_manifest_exists(viewer: Any) -> None:
    from npe2 import PluginManager

    manifest = PluginManager.instance().get_manifest("napari-mosaic")
    for command in manifest.contributions.commands:
        assert callable(command.python_name and PluginManager.instance().commands.get(command.id))
    menus = {name: {item.command for item in items} for name, items in manifest.contributions.menus.items()}
    assert menus == {
        "napari/layers/segment": {
            f"napari-mosaic.{name}" for name in ("panel", "sam2", "segment_layer", "segment_guided", "segment_sam2")
        },
        "napari/layers/annotate": {"napari-mosaic.edit"},
        "napari/layers/measure": {"napari-mosaic.check", "napari-mosaic.evaluate", "napari-mosaic.measure"},
        "napari/file/io_utilities": {"napari-mosaic.export_layer"},
    }


@pytest.mark.parametrize("name", ["drawn", "brick"])
def test_samples_open(viewer: Any, name: str) -> None:
    (layer,) = viewer.open_sample("napari-mosaic", name)
    assert layer.rgb


def test_a_folder_that_is_no_record_is_left_to_others(tmp_path: Path) -> None:
    assert get_record_reader(str(tmp_path)) is None


def test_a_deep_zoom_pyramid_is_offered_a_reader() -> None:
    assert get_image_reader("floor.dzi") is not None
    assert get_image_reader(["a.dzi", "b.dzi"]) is None


def test_a_preference_that_a_person_chose_stays(viewer: Any) -> None:
    from napari.settings import get_settings

    plugins = get_settings().plugins
    plugins.extension2reader = {"*.mosaic.zarr/": "other"}
    claim_records()
    assert plugins.extension2reader == {"*.mosaic.zarr/": "other"}


def test_dropping_a_record_restores_photograph_and_layers(viewer: Any, floor: Path) -> None:
    from napari_mosaic.segmentation import segment

    segment(floor, params=PARAMS).close()
    claim_records()
    viewer.window._qt_viewer._qt_open([str(floor.with_name("floor.mosaic.zarr"))], stack=False)
    assert [layer.name for layer in viewer.layers] == ["floor", "floor joints", "floor tesserae"]


def test_one_call_segments_a_layer(viewer: Any, tmp_path: Path, photograph: Any, qtbot: Any) -> None:
    viewer.add_image(photograph((300, 300)), name="array")
    job = segment_layer(viewer, "array", tmp_path / "array.mosaic.zarr", params=PARAMS)
    facts = job.wait(120)
    assert facts.count > 50
    assert len(viewer.layers) == 3
    assert np.asarray(viewer.layers[2].data[0]).any()


def test_what_is_no_photograph_is_refused(viewer: Any) -> None:
    layer = viewer.add_labels(np.zeros((64, 64), np.uint8))
    with pytest.raises(ValueError, match="no flat image"):
        segment_layer(viewer, layer)


def test_the_examples_run(
    viewer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    floor: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("headless_batch", "lazy_corner"):
        module = runpy.run_path(str(EXAMPLES / f"{name}.py"))
        module["main"](floor.parent if name == "headless_batch" else floor, params=PARAMS)
    assert "tesserae" in capsys.readouterr().out
    module = runpy.run_path(str(EXAMPLES / "scripted_viewer.py"))
    assert module["segment_in_viewer"](viewer, floor, params=PARAMS).count > 50
