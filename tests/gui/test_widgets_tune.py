"""The docks *Tune* and *How good is it?* on a small record: searched, used, adjusted; squares counted."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_mosaic.record import open_record
from napari_mosaic.record.finished import mark_finished
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box
from napari_mosaic.tuning import TuneParams
from napari_mosaic.widgets._check.dock import CheckDock
from napari_mosaic.widgets._check.layers import MISSED, WRONG
from napari_mosaic.widgets._docks import CHECK, find_dock
from napari_mosaic.widgets._panel.costs import asked_params
from napari_mosaic.widgets._tune import runs
from napari_mosaic.widgets._tune.bars import BarPlot
from napari_mosaic.widgets._tune.dock import TuneDock

FAKE = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from napari_mosaic.tuning import TuneResult
from napari_mosaic.tuning.handed import KIND, write_best
from napari_mosaic.tesserae import TesseraParams
request = json.loads(sys.stdin.readline())
scores, folder = (0.5, 0.4, 0.7), Path(request["folder"])
folder.mkdir(exist_ok=True)
for number, score in enumerate(scores, 1):
    values = dict(phase="trying", done=number, total=3, unit="trials", figures={"score": score})
    print(json.dumps({"kind": "progress"} | values), flush=True)
rules = dict(threshold=0.3, core_threshold=0.6, min_area=20, max_hole=10, min_seed=3, reach=30)
best = TuneResult(segment=rules, tesserae=TesseraParams(**rules), map="stored", goal="pq", before=0.5, score=0.7,
                  trials=3, windows=1, history=scores, importance={"threshold": 0.9, "reach": 0.1})
values = asdict(best)
values.pop("files")
path = write_best(folder / "best.json", KIND, values)
print(json.dumps({"kind": "done", "path": str(path)}), flush=True)
"""


@pytest.fixture
def small(tmp_path: Path, photograph: Callable[..., Any]) -> Path:
    """A photograph with its record."""
    path = tmp_path / "floor.png"
    Image.fromarray(np.ascontiguousarray(photograph((260, 320)))).save(path)
    segment(path, params=SegmentParams(method="brightness", scale=1.0), pixel_mm=1.0).close()
    return path


@pytest.fixture
def make(viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes docks that are gone at the end."""
    monkeypatch.setattr("napari_mosaic.widgets._companion.ProcessDock.close_s", 30.0)
    docks: list[Any] = []

    def make(kind: Any, panel: Any) -> Any:
        dock = kind(viewer, panel)
        qtbot.addWidget(dock)
        docks.append(dock)
        return dock

    yield make
    for dock in docks:
        dock.close()
        assert dock.closed


@pytest.fixture
def shown(open_panel: Callable[..., Any], settled: Callable[[Any], None], qtbot: Any, small: Path) -> Any:
    """A panel that shows the record."""
    panel = open_panel()
    panel.open_photograph(small)
    qtbot.waitUntil(lambda: panel.job is None and panel.state.record is not None, timeout=60_000)
    settled(panel)
    return panel


def test_settings_are_searched_shown_and_used(
    make: Callable[..., Any], shown: Any, settled: Callable[[Any], None], qtbot: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    monkeypatch.setattr(runs, "COMMAND", (sys.executable, str(script)))
    dock = make(TuneDock, shown)
    qtbot.waitUntil(lambda: dock.state.finished == 0, timeout=30_000)
    assert not dock.view.start.isEnabled()
    dock.view.mark.click()
    qtbot.waitUntil(lambda: dock.state.finished == 1, timeout=30_000)
    dock.view.start.click()
    qtbot.waitUntil(lambda: dock.job is None and dock.state.best is not None, timeout=120_000)
    assert dock.state.scores == (0.5, 0.4, 0.7)
    assert dock.view.history.value()[-1].points[-1] == (3.0, 0.7)
    assert dock.view.importance.value()[0] == ("Joint from", 0.9)
    qtbot.waitUntil(lambda: not dock._looker.busy, timeout=30_000)
    dock.view.use.click()
    settled(shown)
    with open_record(shown.state.record.path) as record:
        assert record.plan.tesserae == dock.state.best.tesserae
    assert shown.state.applied.core_threshold == 0.6
    assert asked_params(shown.params, shown.state).tesserae == TesseraParams()  # the record keeps its own
    assert shown.params.reach == 30
    qtbot.waitUntil(lambda: not dock.view.use.isEnabled(), timeout=30_000)


def test_confidence_is_measured_and_the_record_told_by_it(
    make: Callable[..., Any], shown: Any, settled: Callable[[Any], None], qtbot: Any
) -> None:
    path = shown.state.record.path
    with open_record(path, writable=True) as record:
        mark_finished(record, Box(0, 0, 200, 200))
        before = record.read_labels(Box(0, 0, 260, 320))
    dock = make(TuneDock, shown)
    qtbot.waitUntil(lambda: dock.state.finished == 1, timeout=30_000)
    dock.view.measure.click()
    qtbot.waitUntil(lambda: dock.state.calibration is not None, timeout=30_000)
    assert dock.view.reliability.isVisibleTo(dock)
    assert (path.parent / "floor.calibration.json").exists()
    dock.view.adjust.click()
    settled(shown)
    with open_record(path) as record:
        assert record.plan.tesserae.temperature == dock.state.calibration.temperature != 1
        assert np.array_equal(record.read_labels(Box(0, 0, 260, 320)), before)


def test_a_real_search_runs_in_a_process_of_its_own_and_stops(small: Path) -> None:
    pytest.importorskip("optuna")
    path = small.with_name("floor.mosaic.zarr")
    with open_record(path, writable=True) as record:
        mark_finished(record, Box(0, 0, 120, 120))
    params = {"trials": 3, "goal": "pq", "seed": 0}
    request = runs.TuneRequest(record=str(path), folder=str(path.with_name("floor.tuned")), params=params)
    assert request.parameters() == TuneParams(trials=3)
    steps, tried = runs.searching_steps(request), []
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            best = stop.value
            break
        tried += [] if event is None else [event.figures["score"]]
    assert len(tried) == len(best.history) == 3
    assert tried[0] == pytest.approx(1.0)
    look = runs.look_at_record(path)
    assert (look.finished, look.best) == (1, best)


def test_squares_are_proposed_marked_and_told_in_one_sentence(
    make: Callable[..., Any], shown: Any, qtbot: Any, viewer: Any
) -> None:
    dock = make(CheckDock, shown)
    qtbot.waitUntil(lambda: not dock.state.busy, timeout=30_000)
    dock.view.form.fields["size_mm"].value = 60
    dock.view.form.fields["squares"].value = 3
    dock.view.propose.click()
    qtbot.waitUntil(lambda: len(dock.state.squares) == 3, timeout=60_000)
    assert {"squares", "missed", "wrong"} <= {layer.name for layer in viewer.layers}
    first = dock.state.squares[0]
    corners = np.asarray(dock.layers.squares.data[0])
    assert corners.min(0).tolist() == [first.box.y0 - 0.5, first.box.x0 - 0.5]
    dock.view.missed.click()
    middle = ((first.box.y0 + first.box.y1) / 2, (first.box.x0 + first.box.x1) / 2)
    dock.layers.marks[MISSED].add([middle, (first.box.y0 - 30.0, -50.0)])
    dock.layers.marks[WRONG].add([middle])
    dock.layers.marks[WRONG].add([middle])
    assert (dock.state.missed[0], dock.state.wrong[0]) == (1, 2)
    dock.view.done.click()
    assert dock.state.squares[0].counted == first.found - 1
    qtbot.waitUntil(lambda: not dock.state.busy, timeout=30_000)
    assert dock.state.at == 1
    dock.view.typed.setValue(dock.state.squares[1].found + 3)
    dock.view.done.click()
    qtbot.waitUntil(lambda: not dock.state.busy, timeout=30_000)
    dock.view.done.click()
    qtbot.waitUntil(lambda: bool(dock.state.sentence), timeout=30_000)
    assert "95 % interval" in dock.view.sentence.text()
    assert "centre" in dock.state.sentence
    with (Path(dock.state.saved) / "squares.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["counted"] for row in rows] == [str(square.counted) for square in dock.state.squares]
    again = make(CheckDock, shown)
    qtbot.waitUntil(lambda: bool(again.state.sentence), timeout=30_000)
    assert again.state.sentence == dock.state.sentence
    assert dock.state.sentence.startswith("In 3 random squares of 60 x 60 mm")


def test_the_panel_opens_the_check(shown: Any, viewer: Any) -> None:
    shown.view.how_good.click()
    dock = find_dock(viewer, CHECK)
    assert isinstance(dock, CheckDock)
    shown.view.how_good.click()
    assert find_dock(viewer, CHECK) is dock
    dock.close()


def test_bars_are_drawn(qtbot: Any) -> None:
    plot = BarPlot("What mattered")
    qtbot.addWidget(plot)
    plot.resize(300, 80)
    empty = plot.grab().toImage()
    plot.set_value((("Joint from", 0.9), ("Growth", 0.1)))
    assert plot.grab().toImage() != empty
    assert plot.sizeHint().height() > 50
