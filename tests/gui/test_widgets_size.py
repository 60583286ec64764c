"""The pixel size in the panel: it goes into the record at any time, and all that is seen moves with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hands import Hand
from PIL import Image

from napari_mosaic.image import PixelSize
from napari_mosaic.progress import Progress
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.widgets._east_north import describe_place
from napari_mosaic.widgets._napari import camera_of
from napari_mosaic.widgets._state import SIZE
from napari_mosaic.widgets._world import rescale_world

METHOD = SegmentParams(method="brightness", scale=1.0)
MM = pytest.approx(25.4 / 72)


@pytest.fixture
def scan(tmp_path: Path, photograph: Callable[..., Any]) -> Path:
    """A photograph of one shard with a tag of 72 dpi."""
    path = tmp_path / "scan.tif"
    Image.fromarray(np.ascontiguousarray(photograph((500, 800)))).save(path, dpi=(72, 72))
    return path


@pytest.fixture
def orthophoto(tmp_path: Path, photograph: Callable[..., Any]) -> Path:
    """A GeoTIFF of half a millimetre a pixel."""
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "ortho.tif"
    data = photograph((500, 800))
    profile = {"driver": "GTiff", "height": 500, "width": 800, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(
        path, "w", transform=rasterio.Affine(0.0005, 0, 5e5, 0, -0.0005, 5e6), photometric="RGB", **profile
    ) as dataset:
        dataset.write(np.moveaxis(data, -1, 0))
    return path


@pytest.fixture
def written(qtbot: Any, settled: Callable[[Any], None]) -> Callable[[Any], None]:
    """Waits until what was said of the size is in the record."""

    def wait(panel: Any) -> None:
        settled(panel)
        qtbot.waitUntil(lambda: not panel.sizes.busy and not panel._looker.busy, timeout=30_000)

    return wait


def stored(panel: Any) -> dict[str, Any]:
    return json.loads((panel.state.place / "mosaic.json").read_text())["pixel_size"]


def units(viewer: Any) -> set[str]:
    return {str(layer.units[-1]) for layer in viewer.layers}


def corners(viewer: Any, shape: tuple[int, int]) -> list[Any]:
    """Where the photograph's outer corners lie in the world by each layer of ours over it, of any grid."""
    found = []
    for layer in viewer.layers:
        data = layer.data[0] if layer.multiscale else layer.data
        factor = data.shape[0] / shape[0]
        ends = [np.array([y, x]) * factor - 0.5 for y, x in ((0, 0), shape)]
        found.append([layer.data_to_world(end) for end in ends])
    return found


# unconfirmed --------------------------------------------------------------------------------------


def test_dpi_scales_nothing_until_somebody_says_yes_and_stays_the_word_of_the_file(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], scan: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(scan)
    written(panel)
    panel.find_all()
    written(panel)
    assert len(viewer.layers) == 3
    assert units(viewer) == {"pixel"}
    assert "not confirmed" in panel.view.steps[SIZE].word.text()
    note = panel.view.floor_note.text()
    assert "0.3528 mm (from dpi, not confirmed)" in note
    assert "would be 0.282 x 0.176 m" in note
    assert stored(panel) == {"mm": MM, "confirmed": False, "origin": "dpi tag"}
    before, centre, zoom = corners(viewer, (500, 800)), camera_of(viewer).center, camera_of(viewer).zoom
    panel.view.size_form.confirm.click()
    written(panel)
    assert stored(panel) == {"mm": MM, "confirmed": True, "origin": "dpi tag"}
    assert units(viewer) == {"millimeter"}
    np.testing.assert_allclose(corners(viewer, (500, 800)), np.array(before) * 25.4 / 72, atol=1e-9)
    np.testing.assert_allclose(camera_of(viewer).center, np.array(centre) * 25.4 / 72)
    assert camera_of(viewer).zoom == pytest.approx(zoom * 72 / 25.4)
    assert "The photograph is 0.282 x 0.176 m" in panel.view.floor_note.text()


def test_the_word_of_the_file_is_not_that_of_a_person(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], orthophoto: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(orthophoto)
    written(panel)
    assert "EPSG:32633, WGS 84 / UTM zone 33N" in panel.view.floor_note.text()
    assert "0.5 mm (from GeoTIFF, confirmed)" in panel.view.floor_note.text()
    panel.view.size_form.changed.emit()  # what a form tells that nobody has changed
    panel.find_all()
    written(panel)
    assert stored(panel) == {"mm": pytest.approx(0.5), "confirmed": True, "origin": "GeoTIFF"}
    assert units(viewer) == {"millimeter"}


# before, during and after -------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "during", "after", "another day"])
def test_typed_at_any_time_it_is_in_the_record_and_on_the_screen(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], scan: Path, when: str
) -> None:
    def type_it() -> None:
        panel.view.size_form.fields["pixel_mm"].value = 0.5

    if when == "another day":
        segment(scan, params=METHOD).close()
    panel = open_panel()
    panel.open_photograph(scan)
    written(panel)
    if when == "before":
        type_it()
    if when != "another day":
        panel.find_all()
    if when == "during":
        seen: list[Any] = []

        def listen(event: Any) -> None:
            if isinstance(event, Progress) and not seen:
                seen.append(event)
                type_it()

        panel.job.stepped.connect(listen)
    written(panel)
    if when in ("after", "another day"):
        type_it()
        written(panel)
    assert panel.state.message == ""
    assert stored(panel) == {"mm": 0.5, "confirmed": True, "origin": "user"}
    assert panel.state.size.pixel_mm == 0.5
    with open_record(panel.state.place) as record:
        tesserae = record.layers()[1][1]
    assert len(viewer.layers) == 3
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.scale, tesserae["scale"])
        np.testing.assert_allclose(layer.translate, tesserae["translate"], atol=1e-9)
    assert units(viewer) == {"millimeter"}


def test_a_size_that_was_set_elsewhere_is_shown_when_the_photograph_is_opened(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], orthophoto: Path
) -> None:
    segment(orthophoto, params=METHOD, pixel_mm=0.7).close()
    panel = open_panel()
    panel.open_photograph(orthophoto)
    written(panel)
    assert (panel.state.size.pixel_mm, panel.state.size.origin) == (0.7, "user")
    np.testing.assert_allclose(viewer.layers[0].scale, (0.7, 0.7))
    np.testing.assert_allclose(viewer.layers[2].scale, (0.7, 0.7))


def test_none_brings_back_pixels(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], orthophoto: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(orthophoto)
    written(panel)
    panel.find_all()
    written(panel)
    panel.view.size_form.fields["pixel_mm"].native.setValue(0.0)
    written(panel)
    assert stored(panel) is None
    assert panel.state.size.pixel_mm is None
    assert units(viewer) == {"pixel"}
    np.testing.assert_allclose([layer.scale for layer in viewer.layers], 1.0)


HOLD = """
import sys
from napari_mosaic.record import open_record
with open_record(sys.argv[1], writable=True):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_while_another_program_writes_it_says_so_and_shows_what_is_true(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], scan: Path
) -> None:
    with segment(scan, params=METHOD) as record:
        place = record.path
    panel = open_panel()
    panel.open_photograph(scan)
    written(panel)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        panel.view.size_form.fields["pixel_mm"].value = 0.5
        written(panel)
        holder.communicate()
    assert "is being written by another process" in panel.state.message
    assert panel.state.size.origin == "dpi tag"
    assert units(viewer) == {"pixel"}
    panel.view.size_form.fields["pixel_mm"].value = 0.5
    written(panel)
    assert stored(panel)["mm"] == 0.5


# the line -----------------------------------------------------------------------------------------


def test_a_line_is_drawn_with_the_mouse_and_given_its_length(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], qtbot: Any, scan: Path
) -> None:
    segment(scan, params=METHOD).close()
    panel = open_panel()
    panel.open_photograph(scan)
    written(panel)
    form = panel.view.line_form
    assert not form.use.isEnabled()
    viewer.window._qt_window.resize(1300, 900)
    viewer.reset_view()
    form.draw.click()
    hand = Hand(viewer, viewer.layers[0], qtbot)
    hand.drag((50, 50), (80, 90))
    hand.drag((100, 200), (400, 600))  # the line drawn last counts, and is alone
    line = panel.known._line.layer
    qtbot.waitUntil(lambda: line.nshapes == 1 and (panel.state.line_px or 0) > 100, timeout=5000)
    assert panel.state.line_px == pytest.approx(500, abs=3)
    assert form.use.isEnabled()
    form.length.setValue(250.0)
    form.use.click()
    written(panel)
    assert stored(panel) == {"mm": pytest.approx(0.5, abs=0.003), "confirmed": True, "origin": "drawn line"}
    assert line not in viewer.layers
    assert panel.state.line_px is None
    assert units(viewer) == {"millimeter"}
    form.draw.click()  # again, in a world that is in mm now
    panel.known._line.layer.add([[0, 0], [0, 100]], shape_type="line")
    qtbot.waitUntil(lambda: bool(panel.state.line_px))
    assert panel.state.line_px == pytest.approx(100)
    panel.known.use_line(100.0)
    written(panel)
    assert stored(panel)["mm"] == pytest.approx(1.0)


def test_a_line_that_measures_nothing_is_told_and_a_removed_one_forgotten(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], qtbot: Any, scan: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(scan)
    written(panel)
    panel.known.use_line(10.0)
    assert "Draw a line" in panel.state.message
    panel.known.draw_line()
    layer = panel.known._line.layer
    layer.add([[5, 5], [5, 5.1]], shape_type="line")
    qtbot.waitUntil(lambda: panel.state.line_px is not None)
    panel.known.use_line(10.0)
    assert "shorter than a pixel" in panel.state.message
    layer.data = [np.array([[5, 5], [5, 105]])]
    panel.known.use_line(0.0)
    assert "no length" in panel.state.message
    assert not panel.state.size.confirmed
    viewer.layers.remove(layer)
    assert panel.state.line_px is None
    assert not panel.view.line_form.use.isEnabled()
    panel.known.draw_line()
    assert panel.known._line.present


def test_a_line_on_a_layer_that_was_turned_and_moved_measures_its_own_pixels(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], photograph: Any, tmp_path: Path
) -> None:
    panel = open_panel()
    layer = viewer.add_image(photograph((200, 300)), scale=(2, 2), translate=(30, 40), rotate=30)
    written(panel)
    panel.known.draw_line()
    line = panel.known._line
    line.layer.add([line.layer.world_to_data(layer.data_to_world(end)) for end in ((10, 10), (70, 90))],
                   shape_type="line")  # fmt: skip
    panel.known.use_line(50.0)
    assert panel.state.size.pixel_mm == pytest.approx(0.5)
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    np.testing.assert_allclose(layer.translate, (7.5, 10))


# other layers -------------------------------------------------------------------------------------


def test_what_lies_on_the_photograph_moves_with_it_and_nothing_else_is_said_of_others(viewer: Any) -> None:
    photograph = viewer.add_image(np.zeros((50, 60)), name="photograph")
    points = viewer.add_points([[10, 20]], name="points", translate=(3, 4))
    infrared = viewer.add_image(
        np.zeros((25, 30)), name="infrared", scale=(2, 2), affine=[[1, 0, 5], [0, 1, 6], [0, 0, 1]]
    )
    other = viewer.add_image(np.zeros((50, 60)), name="other floor", scale=(0.3, 0.3), units=("mm", "mm"))
    viewer.add_labels(np.zeros((50, 60), int), name="mask")
    lies = {layer.name: layer.data_to_world((7, 9)) for layer in viewer.layers}
    assert rescale_world(viewer, photograph, 0.5) == 0.5
    assert rescale_world(viewer, photograph, 0.5) == 1.0
    for layer in viewer.layers:
        ratio = 1.0 if layer is other else 0.5
        np.testing.assert_allclose(layer.data_to_world((7, 9)), np.array(lies[layer.name]) * ratio, err_msg=layer.name)
    assert [str(layer.units[-1]) for layer in (photograph, points, infrared, other)] == [
        "millimeter", "millimeter", "pixel", "millimeter",
    ]  # fmt: skip
    theirs = viewer.add_points([[1, 1]], scale=other.scale, units=other.units)  # drawn on the other floor
    rescale_world(viewer, photograph, 1.0)
    np.testing.assert_allclose(points.scale, (1, 1))
    np.testing.assert_allclose(theirs.scale, (0.3, 0.3))
    np.testing.assert_allclose(other.scale, (0.3, 0.3))
    rescale_world(viewer, photograph, None)
    np.testing.assert_allclose(photograph.scale, (1, 1))
    np.testing.assert_allclose(points.data_to_world((7, 9)), lies["points"])


def test_a_unit_of_length_that_somebody_chose_is_kept(viewer: Any) -> None:
    layer = viewer.add_image(np.zeros((50, 60)), scale=(400, 400), units=("um", "um"))
    rescale_world(viewer, layer, 0.5)
    np.testing.assert_allclose(layer.scale, (500, 500))
    assert str(layer.units[-1]) == "micrometer"


def test_a_record_whose_size_was_taken_away_opens_in_pixels_whatever_its_file_says(
    viewer: Any, orthophoto: Path
) -> None:
    with segment(orthophoto, params=METHOD) as found, open_record(found.path, writable=True) as record:
        record.set_pixel_size(None)
        viewer.open(str(record.path), plugin="napari-mosaic")
    assert units(viewer) == {"pixel"}
    assert len(viewer.layers) == 3


def test_a_viewer_that_is_emptied_takes_the_line_along(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], scan: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(scan)
    written(panel)
    panel.known.draw_line()
    viewer.layers.clear()
    assert not viewer.layers
    assert panel.state.source is None
    panel.open_photograph(scan)
    written(panel)
    panel.known.draw_line()
    viewer.layers.remove(panel.photograph)
    assert panel.state.line_px is None
    assert not any(layer.name == "known length" for layer in viewer.layers)


# the status bar -----------------------------------------------------------------------------------


def test_the_status_bar_tells_east_and_north(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], qtbot: Any, orthophoto: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(orthophoto)
    written(panel)
    viewer.window._qt_window.resize(1300, 900)
    viewer.window._qt_window.show()
    viewer.reset_view()
    viewer.mouse_over_canvas = True
    hand = Hand(viewer, viewer.layers[0], qtbot)

    def move(place: tuple[float, float]) -> None:
        hand.move(place)
        viewer.window._qt_window.status_thread.calculate_status()  # napari's own thread does, but not in its tests

    def shown() -> str:
        bar = viewer.window._qt_window.statusBar()
        return f"{bar._status.text()} {bar._coordinates.text()}"

    def told() -> tuple[float, float]:
        words = shown()
        return tuple(float(words.split(f" {name} ")[1].split()[0]) if f" {name} " in words else 0.0 for name in "EN")  # type: ignore[return-value]

    def place(y: float, x: float) -> Any:
        return pytest.approx((5e5 + x * 0.0005, 5e6 - y * 0.0005), rel=0, abs=0.0015)  # three pixels: one of the screen

    move((100, 200))
    qtbot.waitUntil(lambda: told() == place(100, 200), timeout=5000)
    panel.view.size_form.fields["pixel_mm"].value = 2.0  # a person's word about the size moves no place on the map
    written(panel)
    move((300, 400))
    qtbot.waitUntil(lambda: told() == place(300, 400), timeout=5000)
    panel.close()
    viewer.status = "plain"
    assert viewer.window._qt_window.statusBar()._status.text() == "plain"


def test_places_are_told_as_finely_as_pixels() -> None:
    assert describe_place((0.0005, 0, 5e5, 0, -0.0005, 5e6), 100, 200) == "E 500000.1000  N 4999999.9500"
    assert describe_place((1e-8, 0, 12, 0, -1e-8, 42), 0, 0, degrees=True) == "lon 12.00000000  lat 42.00000000"
    assert PixelSize(mm=1, confirmed=True, origin="user").mm == 1


def test_an_area_is_drawn_in_the_pixels_of_a_photograph_that_was_turned_and_moved(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], photograph: Any
) -> None:
    panel = open_panel()
    layer = viewer.add_image(photograph((200, 300)), scale=(2, 2), translate=(30, 40), rotate=30,
                             affine=[[1, 0, 5], [0, 1, 6], [0, 0, 1]])  # fmt: skip
    written(panel)
    panel.limits.draw()
    area = viewer.layers["area"]
    np.testing.assert_allclose(area.data_to_world((7, 9)), layer.data_to_world((7, 9)))
    panel.view.size_form.fields["pixel_mm"].value = 0.5
    written(panel)
    np.testing.assert_allclose(area.data_to_world((7, 9)), layer.data_to_world((7, 9)))


# a photograph taken at a slant --------------------------------------------------------------------


def line_between(panel: Any, *ends: tuple[float, float]) -> None:
    panel.known.draw_line()
    panel.known._line.layer.add([list(ends)], shape_type="line")


def test_a_second_line_crosswise_confirms_or_blocks(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], scan: Path
) -> None:
    segment(scan, params=METHOD).close()
    panel = open_panel()
    panel.open_photograph(scan)
    written(panel)
    line_between(panel, (10, 10), (10, 410))
    panel.known.use_line(200.0)
    written(panel)
    assert "draw a second one crosswise" in panel.state.message
    assert panel.state.size.confirmed
    line_between(panel, (10, 10), (310, 10))
    panel.known.use_line(151.0)
    written(panel)
    assert panel.state.message == ""
    assert stored(panel) == {"mm": pytest.approx(0.5, rel=0.01), "confirmed": True, "origin": "drawn lines"}
    line_between(panel, (10, 10), (10, 410))
    panel.known.use_line(190.0)
    written(panel)
    assert "rectify it" in panel.state.message
    assert not stored(panel)["confirmed"]
    assert units(viewer) == {"pixel"}
    assert not panel.view.confirm.isEnabled()
    assert "rectify it" in panel.view.confirm.toolTip()
    assert "which differ by 6.0 %, not confirmed" in panel.view.floor_note.text()
    panel.view.size_form.fields["pixel_mm"].value = 0.4  # a person's own word still counts
    written(panel)
    assert stored(panel) == {"mm": 0.4, "confirmed": True, "origin": "user"}


def test_clicks_on_a_scale_bar_become_a_line_between_its_ends(
    open_panel: Callable[..., Any], viewer: Any, written: Callable[[Any], None], qtbot: Any, tmp_path: Path
) -> None:
    picture = np.full((500, 800, 3), 210, np.uint8)
    picture[240:252, 200:600] = 30
    Image.fromarray(picture).save(tmp_path / "bar.png")
    panel = open_panel()
    panel.open_photograph(tmp_path / "bar.png")
    written(panel)
    viewer.window._qt_window.resize(1300, 900)
    viewer.reset_view()
    panel.view.line_form.bar.click()
    hand = Hand(viewer, viewer.layers[0], qtbot)
    hand.click((246, 203))
    hand.click((246, 596))
    qtbot.waitUntil(lambda: not panel.known.busy and bool(panel.state.line_px), timeout=10_000)
    assert panel.state.line_px == pytest.approx(400, abs=0.1)
    assert "Both ends were moved" in panel.state.message
    assert [layer.name for layer in viewer.layers] == ["bar", "known length"]
    panel.view.line_form.length.setValue(100.0)
    panel.view.line_form.use.click()
    written(panel)
    assert panel.state.size.pixel_mm == pytest.approx(0.25, rel=1e-3)


def test_a_rectangle_is_marked_confirmed_or_rectified_and_opened(
    open_panel: Callable[..., Any],
    viewer: Any,
    written: Callable[[Any], None],
    qtbot: Any,
    scan: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from napari_mosaic.widgets import _dialogs

    panel = open_panel()
    panel.open_photograph(scan)
    written(panel)
    form = panel.view.rectangle_form
    assert not form.use.isEnabled()
    assert not form.rectify.isEnabled()
    viewer.window._qt_window.resize(1300, 900)
    viewer.reset_view()
    form.mark.click()
    hand = Hand(viewer, viewer.layers[0], qtbot)
    for place in ((50, 100), (50, 700), (450, 700), (450, 100)):
        hand.click(place)
    qtbot.waitUntil(lambda: panel.state.corners == 4, timeout=10_000)
    np.testing.assert_allclose(panel.known.corners(), [(50, 100), (50, 700), (450, 700), (450, 100)], atol=2.5)
    form.use.click()
    assert "no two sides" in panel.state.message
    form.fields["first_mm"].value, form.fields["next_mm"].value = 300.0, 200.0
    form.use.click()
    written(panel)
    assert (panel.state.size.confirmed, panel.state.size.origin) == (True, "drawn rectangle")
    assert panel.state.size.pixel_mm == pytest.approx(0.5, rel=0.01)
    form.mark.click()
    marks = panel.known._corners.layer
    marks.add(np.array([(50, 150), (50, 650), (450, 700), (450, 100)]))
    qtbot.waitUntil(lambda: panel.state.corners == 4, timeout=10_000)
    form.use.click()
    written(panel)
    assert "rectify it" in panel.state.message
    assert not panel.state.size.confirmed
    assert marks in viewer.layers
    target = tmp_path / "flat.tif"
    monkeypatch.setattr(_dialogs, "ask_rectified", lambda *_: str(target))
    form.rectify.click()
    written(panel)
    assert panel.photograph.name == "flat"
    assert [layer.visible for layer in viewer.layers] == [False, True]
    assert marks not in viewer.layers
    assert (panel.state.size.confirmed, panel.state.size.origin) == (True, "rectified")
    assert "from rectifying" in panel.view.floor_note.text()
    panel.find_all()
    written(panel)
    with open_record(panel.state.place) as record:
        assert record.rectification.name == "scan"
        np.testing.assert_allclose(
            record.to_photograph(record.rectification.from_photograph([(50, 150)])), [(50, 150)], atol=0.05
        )
