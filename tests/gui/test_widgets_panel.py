"""The panel is driven on a sample: found, cancelled, tuned, reopened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from PIL import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_mosaic.progress import Progress
from napari_mosaic.record import open_record
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _dialogs, _guard, _knowing, _runs
from napari_mosaic.widgets._facts import SizeFacts, SourceFacts, Tuning
from napari_mosaic.widgets._layers import LookValue
from napari_mosaic.widgets._napari import camera_of, canvas_size
from napari_mosaic.widgets._sources import middle, view_box
from napari_mosaic.widgets._state import AREA, FIND, resolve
from napari_mosaic.widgets._view import WIDTH, FigureGrid, ShortLabel


def test_find_tune_apply_and_save(
    open_panel: Callable[..., Any], viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    qtbot.waitUntil(lambda: panel.state.estimate is not None, timeout=60_000)
    assert panel.state.place == floor.with_name("floor.mosaic.zarr")
    assert panel.view.find_view.isEnabled()

    panel.view.find_all.click()
    settled(panel)
    assert panel.state.message == ""
    assert panel.state.record.complete
    assert panel.state.tuning.min_area == panel.state.applied.min_area
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Image", "Labels"]
    stored = open_record(panel.state.place).tessera_levels[0][:]
    labels = viewer.layers[2]
    np.testing.assert_array_equal(np.asarray(labels.data[0]), stored)
    assert labels.multiscale
    assert stored.any()

    panel.tune(Tuning(threshold=0.5, min_area=200))
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=30_000)
    preview = viewer.layers[3].data[0]
    assert panel.view.apply_all.isEnabled()
    panel.view.apply_all.click()
    settled(panel)
    assert len(viewer.layers) == 3
    applied = open_record(panel.state.place).tessera_levels[0][:]
    assert len(np.unique(applied)) < len(np.unique(stored))
    if preview.shape == applied.shape:
        np.testing.assert_array_equal(preview, applied)
    assert panel.state.applied == Tuning(threshold=0.5, min_area=200)

    target = floor.with_name("floor.csv")
    panel.save_as(target, "csv")
    settled(panel)
    assert target.exists()


def test_a_folder_to_hand_in_is_written_once_the_pixel_size_is_confirmed(
    open_panel: Callable[..., Any],
    qtbot: Any,
    settled: Callable[[Any], None],
    floor: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ezdxf")
    pytest.importorskip("matplotlib")
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    panel.find_all()
    settled(panel)
    button, place = panel.view.hand_in, floor.with_name("floor-delivery")
    assert not button.isEnabled()
    assert "confirm it first" in button.toolTip()
    panel.hand_in(place)
    settled(panel)
    assert panel.state.message.startswith("Nobody vouches for the pixel size of floor.mosaic.zarr")
    assert not place.exists()

    panel.set_size(SizeFacts(pixel_mm=0.5, confirmed=True, origin="user"))
    qtbot.waitUntil(lambda: not panel.sizes.busy)
    assert button.isEnabled()
    assert "GeoPackage" in button.toolTip()
    said = {"author": "A. Museum", "crs": None, "sheet": "A4"}
    monkeypatch.setattr(_dialogs, "ask_delivery_words", lambda _: said)
    monkeypatch.setattr(_dialogs, "ask_delivery", lambda _, record: str(_dialogs.default_delivery(record)))
    for name in ("floor-delivery", "floor-delivery 2"):
        button.click()
        settled(panel)
        assert panel.state.message == f"Saved {name}."
        assert (floor.with_name(name) / "README.txt").exists()
        assert b"A. Museum" in (floor.with_name(name) / "drawing.pdf").read_bytes()


def test_what_a_folder_to_hand_in_says_is_asked_for_before_it_is_written(open_panel: Callable[..., Any]) -> None:
    def answer(accepted: bool) -> None:
        dialog = QApplication.activeModalWidget()
        assert dialog is not None
        author = next(field for field in dialog.findChildren(QLineEdit) if field.isVisible())
        author.setText("A. Museum")
        dialog.accept() if accepted else dialog.reject()

    panel = open_panel()
    QTimer.singleShot(200, lambda: answer(True))
    assert _dialogs.ask_delivery_words(panel.view) == {"author": "A. Museum", "crs": None, "sheet": "A3"}
    QTimer.singleShot(200, lambda: answer(False))
    assert _dialogs.ask_delivery_words(panel.view) is None


def test_cancel_keeps_what_is_done_and_the_next_run_goes_on(
    open_panel: Callable[..., Any], viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    panel.find_all()
    panel.job.stepped.connect(
        lambda event: panel.cancel() if isinstance(event, Progress) and event.phase == "tesserae" else None
    )
    settled(panel)
    qtbot.waitUntil(lambda: not panel._reader.busy, timeout=30_000)
    state = open_record(panel.state.place).state()
    assert state["tesserae"][0] >= 1
    if "Cancelled" in panel.state.message:
        assert panel.view.find_all.text() in ("Go on with the whole", "Whole mosaic")
    panel.find_all()
    settled(panel)
    assert panel.state.record.complete


def test_a_slider_that_was_moved_is_not_left_aside_when_a_run_goes_on(
    open_panel: Callable[..., Any], settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    panel.find_in_view()
    settled(panel)
    before = panel.state.applied
    panel.tune(Tuning(threshold=0.3, min_area=before.min_area))
    panel.find_all()
    settled(panel)
    assert "was begun with threshold 0.5, not 0.3; give the same to go on" in panel.state.message
    panel.tune(before)
    panel.find_all()
    settled(panel)
    assert panel.state.message == ""
    assert panel.state.record.complete


def test_the_seven_steps_with_nothing_but_the_panel(
    open_panel: Callable[..., Any], viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    view = panel.view
    assert [step.body.isEnabled() for step in view.steps] == [True] + 6 * [False]
    panel.open_photograph(floor)  # 1 Open
    settled(panel)
    view.size_form.fields["pixel_mm"].value = 0.5  # 2 Size
    assert panel.state.size.confirmed
    view.area_form.draw.click()  # 3 Area
    viewer.layers["area"].add_rectangles([[0, 0], [700, 1290]])
    assert panel.state.include == "area"
    qtbot.waitUntil(lambda: view.find_view.isEnabled(), timeout=60_000)  # 4 Find
    view.find_view.click()
    settled(panel)
    assert panel.state.record.count > 0
    view.find_all.click()
    qtbot.waitUntil(lambda: view.cancel.isEnabled())
    view.cancel.click()
    settled(panel)
    view.find_all.click()
    settled(panel)
    assert panel.state.record.complete
    view.look_form.fields["outlines"].native.click()  # 5 Check
    assert panel.shown.tesserae.contour == 2
    view.tuning_form.fields["smallest"].value = 200
    qtbot.waitUntil(lambda: len(viewer.layers) == 5, timeout=30_000)
    view.reset.click()
    assert len(viewer.layers) == 4
    assert "mm" in dict(resolve(panel.state).measures)["Tessera, median"]  # 6 Measure
    assert view.save.isEnabled()  # 7 Deliver
    panel.save_as(floor.with_name("floor.gpkg"), "geopackage")
    settled(panel)
    assert floor.with_name("floor.gpkg").exists()
    viewer.layers.clear()
    assert panel.state.record is None
    panel.open_record(floor.with_name("floor.mosaic.zarr"))
    settled(panel)
    assert panel.state.record.complete
    assert panel.state.size.pixel_mm == 0.5


def test_the_viewer_draws_between_two_layers_and_between_two_refreshes(
    open_panel: Callable[..., Any], viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    turns, added, refreshed = [0], [], []
    heart = QTimer()
    heart.timeout.connect(lambda: turns.__setitem__(0, turns[0] + 1))
    viewer.layers.events.inserted.connect(lambda event: _note(event.value))

    def _note(layer: Any) -> None:
        added.append(turns[0])
        layer.events.set_data.connect(lambda _: refreshed.append((layer.name, turns[0])))

    heart.start(5)
    panel.look(LookValue(joints=True))
    panel.find_all()
    settled(panel)
    heart.stop()
    assert len(added) == 2
    assert added[1] > added[0]
    last = dict(refreshed)
    assert len(last) == 2
    assert len(set(last.values())) == 2


def test_what_napari_does_once_leaves_no_trace(viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "_warm", False)
    image = viewer.add_image(np.zeros((50, 60)), scale=(0.5, 0.5))
    extent, centre = viewer.layers.extent.world.copy(), camera_of(viewer).center
    calls: list[int] = []
    for _ in range(2):
        layer = Labels(np.ones((2, 2), np.uint32))
        _guard.warm_canvas(viewer, layer, lambda: calls.append(len(viewer.layers)))
        qtbot.waitUntil(lambda: bool(calls))
    assert calls == [1, 1]
    assert viewer.layers.selection.active is image
    np.testing.assert_array_equal(viewer.layers.extent.world, extent)
    assert camera_of(viewer).center == centre


def test_find_in_view_computes_no_more_than_is_seen(
    open_panel: Callable[..., Any],
    viewer: Any,
    qtbot: Any,
    settled: Callable[[Any], None],
    tmp_path: Path,
    photograph: Any,
) -> None:
    panel = open_panel()
    viewer.add_image(photograph((600, 3300)), name="long", scale=(2, 2), translate=(5, 7))
    panel.set_place(tmp_path / "long.mosaic.zarr")
    camera_of(viewer).center, camera_of(viewer).zoom = (0, 605, 407), 1
    panel.find_in_view()
    settled(panel)
    assert panel.state.record is not None, panel.state.message
    done, total = open_record(panel.state.place).state()["tesserae"]
    assert done < total
    assert not panel.state.record.complete
    labels = viewer.layers[-1]
    np.testing.assert_allclose(labels.scale, (2, 2))
    np.testing.assert_allclose(labels.translate, (5, 7))
    assert (tmp_path / "long.tif").exists()


def test_finding_in_another_view_opens_neither_photograph_nor_record_once_more(
    open_panel: Callable[..., Any],
    viewer: Any,
    settled: Callable[[Any], None],
    tmp_path: Path,
    photograph: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Image.fromarray(photograph((600, 3300))).save(tmp_path / "long.png")
    panel = open_panel()
    panel.open_photograph(tmp_path / "long.png")
    settled(panel)
    panel.set_place(tmp_path / "long.mosaic.zarr")
    camera_of(viewer).center, camera_of(viewer).zoom = (0, 300, 300), 2
    panel.find_in_view()
    settled(panel)
    shown, before = panel.shown, open_record(panel.state.place).state()["tesserae"][0]
    assert shown is not None, panel.state.message
    opened: list[Any] = []
    opening = _runs.open_layer
    monkeypatch.setattr(_runs, "open_layer", lambda layer: opened.append(layer) or opening(layer))
    monkeypatch.setattr(_runs, "_open", None)
    camera_of(viewer).center = (0, 300, 3000)
    panel.find_in_view()
    settled(panel)
    assert panel.shown is shown
    assert len(opened) == 1
    assert open_record(panel.state.place).state()["tesserae"][0] > before
    assert np.asarray(shown.tesserae.data[0][280:320, 2980:3020]).any()
    assert panel.state.record.count == open_record(panel.state.place).count


def test_the_view_is_what_the_canvas_shows_however_near_one_goes(viewer: Any) -> None:
    """napari keeps of a pyramid what it has read, and calls that its corners: near by, it is far more than is seen."""
    labels = np.zeros((560, 720), np.uint8)
    layer = viewer.add_labels([labels, labels[::2, ::2].copy()], multiscale=True, scale=(2, 2), translate=(10, 20))
    camera_of(viewer).center, camera_of(viewer).zoom = (0, 10 + 2 * 100, 20 + 2 * 200), 10
    height, width = canvas_size(viewer)
    box = view_box(viewer, layer)
    np.testing.assert_allclose(box.shape, (height / 20, width / 20), atol=2)
    np.testing.assert_allclose(middle(box), (100.5, 200.5), atol=1)
    camera_of(viewer).center = (0, -9000, -9000)
    assert view_box(viewer, layer) == Box(0, 0, 560, 720)


def test_a_record_comes_back_with_its_photograph(
    open_panel: Callable[..., Any], viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.segmentation import segment

    place = floor.with_name("floor.mosaic.zarr")
    segment(floor, params=SegmentParams(method="brightness", scale=1.0)).close()
    viewer.open(str(place), plugin="napari-mosaic")
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Image", "Labels"]
    panel = open_panel()
    settled(panel)
    assert len(viewer.layers) == 3
    assert panel.state.record.path == place
    assert panel.view.steps[FIND].word.text().startswith(f"{panel.state.record.count:,} tesserae")


def test_a_record_without_its_photograph_says_so(
    open_panel: Callable[..., Any], viewer: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.segmentation import segment

    segment(floor, params=SegmentParams(method="brightness", scale=1.0)).close()
    shutil.move(floor, floor.with_name("elsewhere.bin"))
    panel = open_panel()
    panel.open_record(floor.with_name("floor.mosaic.zarr"))
    settled(panel)
    assert len(viewer.layers) == 2
    assert panel.state.record.count > 0


def test_an_unreadable_file_is_one_sentence_in_the_panel(
    open_panel: Callable[..., Any], settled: Callable[[Any], None], tmp_path: Path
) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG broken")
    panel = open_panel()
    panel.open_photograph(path)
    settled(panel)
    assert "broken" in panel.state.message
    assert panel.view.message.isVisibleTo(panel)


def test_an_area_drawn_by_hand_limits_the_run(
    open_panel: Callable[..., Any], viewer: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    panel.limits.draw()
    viewer.layers["area"].add_rectangles([[0, 0], [700, 400]])
    panel.find_all()
    settled(panel)
    labels = open_record(panel.state.place).tessera_levels[0][:]
    assert labels[:, :380].any()
    assert not labels[:, 420:].any()


def test_removing_the_photograph_empties_the_panel(
    open_panel: Callable[..., Any], viewer: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    viewer.layers.clear()
    assert panel.state.source is None
    assert not panel.view.find_view.isEnabled()


def test_a_panel_that_closes_during_a_run_ends_it(
    open_panel: Callable[..., Any], qtbot: Any, floor: Path, settled: Any
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    panel.find_all()
    panel.close()
    assert panel.job is None


def test_a_viewer_that_closes_during_a_run_ends_it(
    viewer: Any, qtbot: Any, floor: Path, settled: Callable[[Any], None]
) -> None:
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.widgets import MosaicPanel

    panel = MosaicPanel(viewer, SegmentParams(method="brightness", scale=1.0, tile_size=1024))
    viewer.window.add_dock_widget(panel)
    panel.open_photograph(floor)
    settled(panel)
    panel.find_all()
    assert panel.job is not None
    viewer.close()
    qtbot.wait(50)  # what the job still had to tell would come now, to widgets that are gone
    assert panel.closed
    assert panel.job is None


def test_estimates_and_facts_are_values(floor: Path) -> None:
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.segmentation import segment

    with segment(floor, params=SegmentParams(method="brightness", scale=1.0)) as record:
        facts = _knowing.record_facts(record)
    assert facts.complete
    assert facts.covered_px == 700 * 1300


def test_the_areas_of_a_record_come_back_with_their_holes(
    open_panel: Callable[..., Any], viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    from napari.layers import Shapes
    from shapely.geometry import box

    from napari_mosaic.request import SegmentParams
    from napari_mosaic.segmentation import segment
    from napari_mosaic.widgets._edit.areas import AreaLayer

    with segment(floor, params=SegmentParams(method="brightness", scale=1.0)) as record:
        place = record.path
        record.areas = record.areas.add("lacuna", box(100, 100, 400, 300).difference(box(200, 150, 300, 250)))
        wanted = record.figures()
    panel = open_panel()
    panel.open_record(place)
    settled(panel)
    shapes = [layer for layer in viewer.layers if isinstance(layer, Shapes)]
    assert [len(layer.data) for layer in shapes] == [1]
    assert len(shapes[0].data[0]) == 4 + 4 + 2
    assert not shapes[0].editable
    assert panel._link.drawings() == []
    measures = dict(resolve(panel.state).measures)
    assert measures["Tesserae"] == f"{wanted.count:,}"
    assert measures["Lacuna"] == "0.05 MP"
    assert viewer.layers.selection.active is panel.shown.tesserae
    lent = AreaLayer(viewer, panel.shown.tesserae, 1.0)
    assert lent.layer is shapes[0]
    assert lent.layer.editable
    lent.close()
    assert not shapes[0].editable
    assert shapes[0] in viewer.layers
    panel.choose(None)
    assert not any(isinstance(layer, Shapes) for layer in viewer.layers)


# what a person does at an awkward moment ----------------------------------------------------------


def during_the_run(panel: Any, qtbot: Any, action: Callable[[], Any]) -> None:
    """Find everywhere, and do something at the first sign of it that is shown, while the run goes on."""
    done: list[Any] = []

    def listen(event: Any) -> None:
        if isinstance(event, Progress) and panel.shown is not None and not done:
            assert panel.job is not None
            done.append(event)
            action()

    panel.find_all()
    panel.job.stepped.connect(listen)
    qtbot.waitUntil(lambda: bool(done))


def test_what_cannot_be_done_during_a_run_is_told_and_changes_nothing(
    open_panel: Callable[..., Any], viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    place = panel.state.place
    said: list[str] = []

    def ask_for_all_of_it() -> None:
        for ask in (
            lambda: panel.set_place(floor.with_name("elsewhere")),
            lambda: panel.open_photograph(floor),
            lambda: panel.open_record(place),
            lambda: panel.choose(None),
            panel.apply_to_all,
            lambda: panel.save_as(floor.with_name("floor.csv"), "csv"),
        ):
            panel.tell(message="")
            ask()
            said.append(panel.state.message)

    during_the_run(panel, qtbot, ask_for_all_of_it)
    settled(panel)
    assert len(said) == 6
    assert all("“Finding everywhere” is still going on" in message for message in said), said
    assert panel.state.place == panel.state.record.path == place
    assert panel.state.record.complete
    assert [layer.name for layer in viewer.layers] == ["floor", "floor joints", "floor tesserae"]


def test_a_photograph_that_takes_the_place_of_one_that_is_segmented_is_worked_on_next(
    open_panel: Callable[..., Any], viewer: Any, qtbot: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)

    def exchange() -> None:
        viewer.layers.remove(panel.photograph)
        viewer.add_image(np.zeros((40, 50, 3), np.uint8), name="other")

    during_the_run(panel, qtbot, exchange)
    settled(panel)
    assert [layer.name for layer in viewer.layers] == ["other"]
    assert panel.photograph is viewer.layers["other"]
    qtbot.waitUntil(lambda: panel.state.source is not None and panel.state.source.shape == (40, 50))
    assert panel.state.record is None


def test_what_a_run_still_tells_of_a_photograph_that_is_gone_is_not_shown(
    open_panel: Callable[..., Any], viewer: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    panel.find_all()
    settled(panel)
    opened = next(_runs.open_steps(panel.state.place))
    facts = panel.state.record
    panel._start(lambda: (step for step in ()), "Finding everywhere", writes=True)
    viewer.layers.remove(panel.photograph)
    panel._step(opened)  # both were under way when the photograph went
    panel._returned(facts)
    settled(panel)
    assert not viewer.layers
    assert panel.shown is None
    assert panel.state.record is None


def test_an_area_keeps_its_layer_under_a_new_name_and_ends_with_it(
    open_panel: Callable[..., Any], viewer: Any, settled: Callable[[Any], None], floor: Path
) -> None:
    panel = open_panel()
    panel.open_photograph(floor)
    settled(panel)
    panel.limits.draw()
    layer = viewer.layers["area"]
    layer.add([[10, 10], [10, 60], [60, 60], [60, 10]], shape_type="polygon")
    layer.name = "nave"
    assert panel.state.include == panel.view.area_form.value().include == "nave"
    assert panel.limits.asked()["region"].area == pytest.approx(2500)
    viewer.layers.remove(layer)
    assert panel.state.include == panel.view.area_form.value().include == ""
    assert resolve(panel.state).steps[AREA].summary == "whole photograph"


# what is seen -------------------------------------------------------------------------------------


def test_figures_that_are_replaced_are_not_seen_below_the_new_ones(qtbot: Any) -> None:
    grid = FigureGrid()
    qtbot.addWidget(grid)
    grid.show()
    grid.set_value((("Density", "2,072 per megapixel"),))
    old = list(grid._cells)
    qtbot.waitUntil(lambda: all(cell.isVisible() for cell in old))
    grid.set_value((("Density", "82.86 per dm²"),))
    assert not any(cell.isVisible() for cell in old)  # Qt deletes them when it has time
    qtbot.waitUntil(lambda: all(cell.isVisible() for cell in grid._cells))


@pytest.mark.parametrize("confirmed", [True, False])
def test_the_pixel_size_is_seen_whole_in_the_narrowest_panel(
    open_panel: Callable[..., Any], qtbot: Any, confirmed: bool
) -> None:
    panel = open_panel()
    panel.setFixedSize(WIDTH, 300)  # so low that a scroll bar takes some of the width
    panel.show()
    panel.tell(
        source=SourceFacts(name="floor", shape=(500, 800)),
        size=SizeFacts(pixel_mm=0.3528, confirmed=confirmed, origin="user"),
    )
    form = panel.view.size_form
    qtbot.waitUntil(lambda: form.isVisible() and form.confirm.isVisible() is not confirmed)
    qtbot.wait(50)
    line = form.fields["pixel_mm"].native.lineEdit()
    assert line.text() == "0.3528"
    assert line.width() - 2 >= line.fontMetrics().horizontalAdvance("0.3528")
    assert form.width() <= form.parentWidget().width()


def test_a_summary_without_room_says_that_it_goes_on(qtbot: Any) -> None:
    label = ShortLabel()
    qtbot.addWidget(label)
    label.setText("the first trial is what is used now")
    label.resize(100, 20)
    assert label.shown_text().startswith("the first")
    assert label.shown_text().endswith("…")
    label.resize(1000, 20)
    assert label.shown_text() == label.text()
