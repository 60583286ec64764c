"""Measuring in napari: the panel's step, and the dock's colours, plots, selection, parts, layers and columns."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hands import Hand
from napari.utils.colormaps import ensure_colormap
from napari.utils.colormaps.standardize_color import transform_color
from PIL import Image

from bright import bright_stones
from napari_mosaic.measuring import measure
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import MeasureDock, _measured
from napari_mosaic.widgets._docks import MEASURE, find_dock
from napari_mosaic.widgets._edited import tessera_layers
from napari_mosaic.widgets._features import _following
from napari_mosaic.widgets._measure import drawn, plots
from napari_mosaic.widgets._measure.colouring import CHOSEN, scale_of
from napari_mosaic.widgets._measure.view import BareValue, LinesValue, PlotValue, SaidValue
from napari_mosaic.widgets._measured import columns_for
from napari_mosaic.widgets._napari import IdColormap, camera_of
from napari_mosaic.widgets._session import borrow_session, give_back

pytest.importorskip("matplotlib")
SHAPE = (300, 420)
MAGENTA = transform_color(CHOSEN)[0]


def make_record(folder: Path, image: Any, **given: Any) -> Path:
    """A record of a picture; the picture lies beside it."""
    Image.fromarray(image).save(folder / "floor.png")
    segment(folder / "floor.png", params=SegmentParams(method="brightness", scale=1.0), **given).close()
    return folder / "floor.mosaic.zarr"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    image = bright_stones(SHAPE, seed=5, pitch=30)
    image[:, : SHAPE[1] // 2, 2] //= 2  # two colours of stones
    with open_record(make_record(folder, image), writable=True) as record:
        measure(record)
    return folder


@pytest.fixture
def floor(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "mosaic")
    return tmp_path / "mosaic" / "floor.mosaic.zarr"


@pytest.fixture
def docks(viewer: Any, qtbot: Any) -> Iterator[Any]:
    """Opens a record and the dock for it."""
    made: list[Any] = []

    def make(record: Path) -> Any:
        viewer.window.resize(1100, 800)
        viewer.show()
        viewer.open(str(record), plugin="napari-mosaic")
        dock = MeasureDock(viewer)
        viewer.window.add_dock_widget(dock, name="Measure", area="right")
        made.append(dock)
        qtbot.waitUntil(lambda: dock.state.ready or bool(dock.state.message))
        return dock

    yield make
    for dock in made:
        dock.shutdown()


@pytest.fixture
def dock(docks: Any, floor: Path) -> Any:
    return docks(floor)


def drag(canvas: Any, start: Any, stop: Any, button: int = 1, between: Any = ()) -> None:
    """A drag over the axes of a plot, in their coordinates, with real events of matplotlib."""
    from matplotlib.backend_bases import MouseEvent

    canvas.draw()
    to_screen = canvas.figure.axes[0].transData.transform
    ways = [("button_press_event", start), *(("motion_notify_event", place) for place in (*between, stop))]
    for name, place in (*ways, ("button_release_event", stop)):
        x, y = to_screen(place)
        canvas.callbacks.process(name, MouseEvent(name, canvas, x, y, button))


def colour_of(dock: Any, at: int) -> Any:
    return dock.layer.get_color(int(dock.floor.ids[at]))


# the panel ----------------------------------------------------------------------------------------


def test_the_step_measures_shows_the_figures_and_opens_the_dock(
    viewer: Any, floor: Path, open_panel: Any, settled: Any, qtbot: Any
) -> None:
    """Then an edit makes them stale, which is said; measuring again makes them fresh."""
    for name in ("parquet", "json"):
        (floor / "tables" / f"tesserae.measured.{name}").unlink()
    viewer.show()
    panel = open_panel()
    panel.open_record(floor)
    settled(panel)
    assert panel.view_model.measure.enabled
    assert not panel.view_model.plots.enabled
    panel.view.measure.click()
    settled(panel)
    shown = panel.view.whole.text()
    for word in ("90 % interval", "by the method's confidences alone", "quartiles", "Share of what is preserved"):
        assert word in shown
    assert "Opus, a suggestion" in shown
    assert shown.count("background-color:#") == len(panel.state.whole["palette"])
    dock = find_dock(viewer, MEASURE)
    qtbot.waitUntil(lambda: dock.state.measured > 0)
    panel.view.measures.value()
    session = borrow_session(viewer, floor)
    session.edited.connect(lambda outcome: panel.recount(floor))
    session.edit({"tool": "delete", "ids": [int(dock.floor.ids[0])]})
    qtbot.waitUntil(lambda: panel.state.whole_changed == "before 1 edit")
    qtbot.waitUntil(lambda: dock.state.changed == "before 1 edit")
    assert "Measured before 1 edit." in panel.view.whole.text()
    assert panel.view.measure.text() == dock.view.measure.text() == "Measure again"
    qtbot.waitUntil(lambda: not session.busy)
    give_back(session, viewer)
    dock.measure()
    qtbot.waitUntil(lambda: dock.job is None and not dock._loader.busy)
    assert dock.state.changed == ""
    dock.shutdown()


def test_measuring_can_be_stopped(dock: Any, qtbot: Any) -> None:
    before = (dock.floor.file).stat().st_mtime_ns
    dock.measure()
    assert dock.view_model.stop.enabled
    dock.stop()
    qtbot.waitUntil(lambda: dock.job is None)
    assert dock.state.message == MeasureDock.stopped_words
    assert dock.floor.file.stat().st_mtime_ns == before


# colours ------------------------------------------------------------------------------------------


def test_colours_by_class_and_by_figure_and_back(viewer: Any, dock: Any) -> None:
    """Palette colours are themselves; a scale has robust limits and a bar; the layer gets its own colours back."""
    floor, before = dock.floor, dock.layer.colormap
    assert isinstance(before, IdColormap)  # the palette is shown at first
    palette = floor.whole["palette"]
    assert len(palette) == 2
    places = floor.words_of("palette_class")[1]
    for at in (0, len(places) - 1):
        np.testing.assert_allclose(colour_of(dock, at), transform_color(palette[places[at]]["srgb"])[0], atol=1e-6)
    assert [text.get_text() for text in dock.view.legend.figure.axes[0].get_legend().texts] == [
        f"{k} {colour['srgb']}: {(places == k - 1).sum()}" for k, colour in enumerate(palette, 1)
    ]
    dock.colour_by("area_px")
    area = floor.column("area_px")
    low, high = np.percentile(area, (2, 98))
    assert dock.view.legend.figure.axes[0].get_xlim() == pytest.approx((low, high))
    smallest, largest = int(area.argmin()), int(area.argmax())
    ends = ensure_colormap("viridis").map(np.array([0.0, 1.0]))
    np.testing.assert_allclose([colour_of(dock, smallest), colour_of(dock, largest)], ends, atol=1e-3)
    painted = viewer.screenshot(canvas_only=True, flash=False)
    dock.view.plain.click()
    assert not isinstance(dock.layer.colormap, IdColormap)
    assert (viewer.screenshot(canvas_only=True, flash=False) != painted).any()
    assert not dock.view.legend.isVisible()


def test_a_stone_without_a_value_is_grey(floor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = _measured.open_measured(floor)
    values = measured.column("joint_width_px")
    values[3] = np.nan
    monkeypatch.setattr(type(measured), "column", lambda self, name: values)
    scale = scale_of(measured, "joint_width_px")
    assert scale.codes[3] == len(scale.colours) - 1
    assert (scale.codes != scale.codes[3]).sum() == len(values) - 1


# plot and viewer ----------------------------------------------------------------------------------


def test_what_is_chosen_in_a_plot_stands_out_in_the_viewer(dock: Any) -> None:
    """A span of the histogram; a rectangle and a free line in the scatter; a sector of the rose."""
    area, angle = dock.floor.column("area_px"), dock.floor.column("rectangle_angle_deg")
    dock.plot(PlotValue("histogram", "area_px"))
    middle, end = np.median(area), plots.limits_of(area)[1]
    drag(dock.view.plot, (middle, 1), (end, 1), between=[((middle + end) / 2, 1)])
    np.testing.assert_array_equal(dock.chosen, area >= middle)
    assert 0 < dock.state.chosen < len(area)
    for at in (int(area.argmax()), int(area.argmin())):
        assert np.allclose(colour_of(dock, at), MAGENTA) == dock.chosen[at]
    assert sum(bar.get_height() for bar in dock.view.plot._marks[0]) == dock.state.chosen
    x, y = dock.floor.centres.T
    wanted = (x > 100.2) & (x < 250.2) & (y > 60.2) & (y < 200.2)
    corners = [(100.2, 60.2), (250.2, 60.2), (250.2, 200.2), (100.2, 200.2)]
    for button, (start, *between, stop) in ((1, corners[:3]), (3, corners)):
        dock.choose_none()
        dock.plot(PlotValue("scatter", "centre_x_px", "centre_y_px"))
        drag(dock.view.plot, start, stop, button, between)
        assert wanted.any()
        np.testing.assert_array_equal(dock.chosen, wanted)
    dock.plot(PlotValue("rose", "rectangle_angle_deg"))
    drag(dock.view.plot, (np.radians(170), 1), (np.radians(200), 1))
    np.testing.assert_array_equal(dock.chosen, (angle >= 170) | (angle <= 20))


def test_sectors_go_the_shorter_way_round() -> None:
    angle = np.array([5.0, 50, 85, 130, 175])
    assert plots.in_sector(angle, 350, 10, 180).tolist() == [True, False, False, False, True]
    assert plots.in_sector(angle % 90, 80, 100, 90).tolist() == [True, False, True, False, True]


def test_a_click_in_the_viewer_is_marked_in_the_plot(viewer: Any, dock: Any, qtbot: Any) -> None:
    """Shift adds another one; a click beside all stones chooses none; a drag moves the view."""
    from qtpy.QtCore import Qt

    viewer.layers.selection.active = dock.layer
    viewer.reset_view()
    hand = Hand(viewer, dock.layer, qtbot)
    rows = dock.floor.centres[:, ::-1]
    hand.click(rows[4])
    assert np.flatnonzero(dock.chosen).tolist() == [4]
    assert len(dock.view.plot._marks) == 1
    hand.click(rows[9], Qt.KeyboardModifier.ShiftModifier)
    assert np.flatnonzero(dock.chosen).tolist() == [4, 9]
    hand.drag(rows[4], rows[9])
    assert np.flatnonzero(dock.chosen).tolist() == [4, 9]
    hand.click((1.0, 1.0))
    assert dock.state.chosen == 0
    assert dock.view.plot._marks == []


# a part -------------------------------------------------------------------------------------------


def test_a_part_gives_its_figures_and_follows(dock: Any, qtbot: Any) -> None:
    """Stones by their centres, density over what is preserved, joints as labels count them; then it is moved."""
    dock.draw("rectangle")
    box = np.array([(59.5, 89.5), (59.5, 239.5), (199.5, 239.5), (199.5, 89.5)])
    dock.part.shapes.add_rectangles(box)
    qtbot.waitUntil(lambda: dock.state.chosen > 0)
    x, y = dock.floor.centres.T
    wanted = (x > 90) & (x < 240) & (y > 60) & (y < 200)
    np.testing.assert_array_equal(dock.chosen, wanted)
    with open_record(dock.floor.record) as record:
        share = float((record.read_labels(Box(60, 90, 200, 240)) == 0).mean())
    local, _ = dock._local.of(dock.part.region)
    assert local.count == wanted.sum()
    assert local.area == pytest.approx(140 * 150)
    assert local.joint_share == pytest.approx(share, abs=0.02)
    assert sum(part for _, part in local.palette) == pytest.approx(1, abs=0.02)
    assert f"<b>{local.count} stones</b> on 0.021 MP" in dock.state.part
    told = dock.state.part
    dock.part.shapes.data = [box + np.array([0, 100])]
    qtbot.waitUntil(lambda: dock.state.part != told)
    qtbot.waitUntil(lambda: dock.chosen[(x > 250) & (x < 330) & (y > 70) & (y < 190)].all())
    dock.part.shapes.data = [box + 5000]
    qtbot.waitUntil(lambda: "Nothing of what is preserved" in dock.state.part)


# what becomes of the chosen -----------------------------------------------------------------------


def test_chosen_stones_are_saved_and_said_of(dock: Any, tmp_path: Path, qtbot: Any) -> None:
    import pyogrio

    assert not dock.view_model.save.enabled
    dock.choose(np.arange(len(dock.floor.ids)) % 5 == 0)
    ids = set(dock.floor.ids[dock.chosen].tolist())
    dock.save(tmp_path / "chosen.csv")
    qtbot.waitUntil(lambda: dock.state.message == "Saved chosen.csv.")
    with (tmp_path / "chosen.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {int(row["id"]) for row in rows} == ids
    assert float(rows[0]["area_px"]) == dock.floor.column("area_px")[0]
    dock.save(tmp_path / "chosen.gpkg")
    qtbot.waitUntil(lambda: dock.state.message == "Saved chosen.gpkg.")
    names = ["id", "palette_class", "row", "row_place", "local_density_per_mpx", "lightness"]
    meta, _, geometry, fields = pyogrio.raw.read(tmp_path / "chosen.gpkg", layer="tesserae", columns=names)
    told = dict(zip(meta["fields"], fields, strict=True))
    assert set(told["id"].tolist()) == ids
    assert len(geometry) == len(ids)
    for name in names[1:]:  # as the record keeps them
        kept = dict(zip(dock.floor.ids.tolist(), dock.floor.column(name), strict=True))
        np.testing.assert_array_equal(told[name], [kept[id_] for id_ in told["id"].tolist()])
    dock.save(tmp_path / "chosen.doc")
    qtbot.waitUntil(lambda: "another ending than .csv or .gpkg" in dock.state.message)
    dock.assign()
    assert dock.state.message == "Choose a material or a state first."
    dock.view.said_form.set_value(SaidValue(material="glass"))
    dock.assign()
    qtbot.waitUntil(lambda: dock.state.last == f"Assigned to {len(ids)} tesserae.")
    qtbot.waitUntil(lambda: dock.state.changed == "before 1 edit")
    qtbot.waitUntil(lambda: not dock.session.busy)


# layers and columns -------------------------------------------------------------------------------


def test_lines_are_those_in_view_and_bounded(
    viewer: Any, dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(viewer.layers)
    dock.show_lines(LinesValue(directions=True, rows=True, joints=True))
    lines = dock.drawn["directions"]
    viewer.reset_view()
    qtbot.waitUntil(lambda: len(lines.data) == len(dock.floor))
    camera_of(viewer).zoom *= 4
    qtbot.waitUntil(lambda: 0 < len(lines.data) < len(dock.floor))
    rows = dock.drawn["rows"]
    assert 0 < len(rows.data) < len(dock.floor)
    widths = dock.drawn["joints"].data
    assert np.isfinite(widths).any()
    monkeypatch.setattr(drawn, "MOST", 5)
    viewer.reset_view()
    qtbot.waitUntil(lambda: len(lines.data) <= 5)
    dock.show_lines(LinesValue(lost=True))
    assert "No lacuna is drawn" in dock.state.message
    assert list(viewer.layers) == before


def test_lost_stones_are_told_in_their_lacunae(docks: Any, floor: Path, viewer: Any) -> None:
    import shapely

    with open_record(floor, writable=True) as record:
        record.areas = record.areas.add("lacuna", shapely.box(30, 30, 150, 150))
        whole = measure(record).whole
    dock = docks(floor)
    dock.show_lines(LinesValue(lost=True))
    assert dock.drawn["lost"].features["words"].tolist() == [f"about {whole.lost.tesserae:,} lost"]


def test_bare_ground_is_marked_by_a_button_and_undone(docks: Any, tmp_path: Path, qtbot: Any) -> None:
    image = np.random.default_rng(0).integers(20, 70, (200, 300, 3)).astype(np.uint8)
    image[:, :150] = bright_stones((200, 150), pitch=12)
    path = make_record(tmp_path, image)
    with open_record(path, writable=True) as record:
        measure(record)
    dock = docks(path)
    assert "of what counts as preserved" in dock.view.whole.text()
    assert dock.view.bare.isEnabled()
    dock.view.bare_form.set_value(BareValue("lacuna"))
    dock.view.bare.click()
    qtbot.waitUntil(lambda: dock.state.changed == "before 1 edit")
    with open_record(path) as record:
        assert [(area.kind, area.name) for area in record.areas] == [("lacuna", "bare ground")]
    dock.session.undo()
    qtbot.waitUntil(lambda: not dock.session.busy)
    with open_record(path) as record:
        assert len(record.areas) == 0


def test_no_bare_ground_is_marked_where_there_is_none(dock: Any) -> None:
    assert not dock.view.bare.isEnabled()
    assert dock.view_model.bare.reason == "No ground without a stone counts as preserved."


def test_chosen_columns_are_features_of_the_layer(dock: Any, qtbot: Any) -> None:
    dock.view.table_form.fields["columns"].value = ["elongation", "palette_class"]
    qtbot.waitUntil(lambda: "elongation" in dock.layer.features)
    features = dock.layer.features.set_index("index")
    told = dict(zip(dock.floor.ids.tolist(), dock.floor.column("elongation"), strict=True))
    assert all(features.loc[id_, "elongation"] == pytest.approx(value) for id_, value in told.items())
    assert not _following[dock.layer].busy


def test_columns_read_only_the_groups_of_rows_that_hold_them(floor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a table of a million costs what the view holds."""
    import pyarrow.parquet as pq

    with open_record(floor) as record:
        file = _measured.measured_table(record)
        table = pq.read_table(file)
        pq.write_table(table, file, row_group_size=10)
        ids = table["id"].to_numpy()
        read: list[list[int]] = []
        groups = pq.ParquetFile.read_row_groups
        monkeypatch.setattr(
            pq.ParquetFile, "read_row_groups", lambda self, some, **how: read.append(some) or groups(self, some, **how)
        )
        found = columns_for(record, ids[3:6][::-1], ("area_px",))
        assert read == [[0]]
        np.testing.assert_array_equal(found["area_px"], table["area_px"].to_numpy()[3:6][::-1])
        assert np.isnan(columns_for(record, ids[:1] + 1, ("area_px",))["area_px"]).all()


# bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stones", [0, 1])
def test_a_record_of_no_or_one_tessera(docks: Any, tmp_path: Path, qtbot: Any, stones: int) -> None:
    image = np.full((200, 200, 3), 20, np.uint8)
    if stones:
        image[80:110, 90:120] = 220
    dock = docks(make_record(tmp_path, image))
    assert dock.state.measured == 0
    assert dock.view.measure.text() == "Measure"
    dock.measure()
    qtbot.waitUntil(lambda: dock.job is None and not dock._loader.busy and bool(dock.state.whole))
    assert dock.state.measured == stones
    assert dock.view.colour_form.isEnabled() == bool(stones)
    for kind in ("histogram", "scatter", "rose"):
        dock.plot(PlotValue(kind, "area_px", "elongation"))
        dock.view.plot.draw()
    if not stones:
        dock.draw("rectangle")
        assert dock.part is None


def test_without_the_photograph_there_are_no_colours(docks: Any, tmp_path: Path, qtbot: Any) -> None:
    floor = make_record(tmp_path, bright_stones((120, 150), seed=5, pitch=30))
    (tmp_path / "floor.png").unlink()
    dock = docks(floor)
    dock.measure()
    qtbot.waitUntil(lambda: dock.job is None and not dock._loader.busy)
    assert dock.floor.classes == ("opus",)
    assert "Colours and the palette are left out" in dock.view.whole.text()
    assert not isinstance(dock.layer.colormap, IdColormap)


def test_units_are_those_of_the_record(docks: Any, floor: Path, qtbot: Any) -> None:
    with open_record(floor, writable=True) as record:
        record.set_pixel_size(0.5)
    dock = docks(floor)
    assert dock.state.changed == "before the pixel size was changed"
    assert not any("_mm" in name for name in dock.floor.numbers)
    dock.measure()
    qtbot.waitUntil(lambda: dock.job is None and not dock._loader.busy and not dock.state.changed)
    lengths = [name for name in dock.floor.numbers if name.endswith(("_px", "_mpx"))]
    assert lengths == ["centre_y_px", "centre_x_px"]
    assert {"area_mm2", "joint_width_mm", "local_density_per_dm2"} <= set(dock.floor.numbers)
    dock.draw("rectangle")
    dock.part.shapes.add_rectangles(np.array([(59.5, 89.5), (59.5, 239.5), (199.5, 239.5), (199.5, 89.5)]))
    qtbot.waitUntil(lambda: "on 0.525 dm²" in dock.state.part)
    assert "per dm²" in dock.state.part


def test_without_a_record_it_says_what_is_missing(viewer: Any) -> None:
    dock = MeasureDock(viewer)
    assert not dock.view_model.measure.enabled
    assert "Show a record first" in dock.view.measure.toolTip()
    dock.shutdown()


def test_a_record_that_goes_takes_everything_with_it(viewer: Any, dock: Any) -> None:
    layer = dock.layer
    dock.show_lines(LinesValue(rows=True))
    dock.draw("polygon")
    viewer.layers.remove(tessera_layers(viewer)[0])
    assert dock.state.layer == ""
    assert not isinstance(layer.colormap, IdColormap)
    assert not any("rows" in other.name or "part" in other.name for other in viewer.layers)
    assert dock._click not in layer.mouse_drag_callbacks
