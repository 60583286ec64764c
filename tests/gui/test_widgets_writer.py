"""*Save Selected Layers* and the export command write what the command line writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_mosaic.errors import InputError, WriteError
from napari_mosaic.export import export_record
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.widgets import _dialogs, _worker, _writer


@pytest.fixture
def record(floor: Path) -> Path:
    with segment(floor, params=SegmentParams(method="brightness", scale=1.0)) as record:
        return record.path


def tesserae(viewer: Any, record: Path) -> Any:
    viewer.open(record, plugin="napari-mosaic")
    return viewer.layers[f"{record.name.removesuffix('.mosaic.zarr')} tesserae"]


def save(viewer: Any, layer: Any, target: Path) -> list[str]:
    """What *Save Selected Layers* does once a person has chosen one of our kinds of file."""
    from npe2 import PluginManager

    writers = PluginManager.instance().iter_compatible_writers(["labels"])
    writer = next(
        w for w in writers
        if w.command.startswith("napari-mosaic.write_") and str(target).endswith(tuple(w.filename_extensions))
    )  # fmt: skip
    viewer.layers.selection = {layer}
    return list(viewer.layers.save(str(target), selected=True, _writer=writer))


@pytest.mark.parametrize("suffix", [".tif", ".csv", ".gpkg"])
def test_a_layer_is_saved_as_the_command_line_exports_it(
    viewer: Any, record: Path, tmp_path: Path, suffix: str
) -> None:
    target, expected = tmp_path / f"saved{suffix}", tmp_path / f"expected{suffix}"
    assert save(viewer, tesserae(viewer, record), target) == [str(target)]
    with open_record(record) as opened:
        export_record(opened, None, expected)
    if suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(target), tifffile.imread(expected))
    elif suffix == ".csv":
        assert target.read_bytes() == expected.read_bytes()
    else:
        assert target.stat().st_size == expected.stat().st_size


def test_a_record_is_copied_whole_and_never_replaced(viewer: Any, record: Path, tmp_path: Path) -> None:
    layer, target = tesserae(viewer, record), tmp_path / "copy.mosaic.zarr"
    assert save(viewer, layer, target) == [str(target)]
    with open_record(record) as opened, open_record(target) as copy:
        assert copy.table().equals(opened.table())
        assert copy.complete
    with pytest.raises(WriteError, match="is there already"):
        save(viewer, layer, target)


def test_labels_of_no_record_are_saved_as_they_are(viewer: Any, tmp_path: Path) -> None:
    labels = np.arange(64 * 64).reshape(64, 64)
    layer = viewer.add_labels([labels, labels[::2, ::2]], multiscale=True)
    save(viewer, layer, tmp_path / "plain.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "plain.tif"), labels)
    with pytest.raises(InputError, match="shows no mosaic record"):
        save(viewer, layer, tmp_path / "plain.gpkg")
    assert not (tmp_path / "plain.gpkg").exists()


def test_the_export_command_writes_in_the_background(
    viewer: Any, record: Path, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, target = tesserae(viewer, record), tmp_path / "floor.csv"
    monkeypatch.setattr(_dialogs, "ask_any_export", lambda *_: str(target))
    viewer.layers.selection = {layer}
    _writer.export_selected_layer(viewer)
    qtbot.waitUntil(lambda: target.exists() and not _worker._alive, timeout=60_000)
    assert target.read_text().count("\n") > 20
