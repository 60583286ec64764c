"""The dock *Train*: its form, its curves, a run that is stopped and gone on with, and the model in the panel."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.progress import Progress
from napari_mosaic.training import PRESETS, FinetuneParams, TrainParams
from napari_mosaic.widgets import _knowing
from napari_mosaic.widgets._facts import EstimateFacts, RunFacts
from napari_mosaic.widgets._forms import ValueForm
from napari_mosaic.widgets._plot import Curve, CurvePlot, limits_of, smooth, thin
from napari_mosaic.widgets._train import runs
from napari_mosaic.widgets._train.dock import TrainDock
from napari_mosaic.widgets._train.request import TrainRequest, keep_request, kept_request, read_rows
from napari_mosaic.widgets._train.state import HeldFacts, TrainState, length_of, resolve_training
from napari_mosaic.widgets._view import WIDTH

TINY = TrainParams(
    steps=3, batch=1, side=64, drawings=2, drawing_size=64, validation=1, round_steps=2, start="chance",
    workers=0, processes=1,
)  # fmt: skip

FAKE = """
import json, sys, time
from pathlib import Path
import numpy as np
request = json.loads(sys.stdin.readline())
out = Path(request["out"])
def tell(kind, **event):
    print(json.dumps({"kind": kind} | event), flush=True)
if request["source"] == "bad":
    tell("failed", message="Nothing to learn from.")
    sys.exit(0)
if request["source"] == "dies":
    sys.stderr.write("Killed by nobody\\n")
    sys.exit(3)
first = 3 if request["resume"] else 1
for step in range(first, 5):
    tell("progress", phase="train", done=step, total=4, unit="steps", figures={"loss": 1 / step})
    if step == 2:
        np.savez(out / "sample.npz", image=np.full((64, 64, 3), 90, np.uint8), joints=np.eye(64, dtype=np.uint8) * 255)
        tell("curves", rows=[{"step": 2.0, "loss": 0.75, "found": 0.5}])
        tell("sample", path=str(out / "sample.npz"))
        if not request["resume"]:
            (out / "history.csv").write_text("step,loss,found\\n2,0.75,0.5\\n")
            (out / "model.safetensors").write_bytes(b"model")
            sys.stdin.readline()
            time.sleep(0.5)
            sys.exit(0)
tell("done", path=str(out / "model.safetensors"))
"""


@pytest.fixture
def make_dock(viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes a dock whose runs are played by a script without torch."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    monkeypatch.setattr("napari_mosaic.widgets._companion.ProcessDock.close_s", 30.0)
    monkeypatch.setattr(runs, "COMMAND", (sys.executable, str(script)))
    docks: list[TrainDock] = []

    def make(panel: Any = None) -> TrainDock:
        dock = TrainDock(viewer, panel)
        qtbot.addWidget(dock)
        docks.append(dock)
        return dock

    yield make
    for dock in docks:
        dock.close()
        assert dock.closed


def test_the_words_of_every_button_fit_in_the_narrowest_dock(make_dock: Callable[..., Any], qtbot: Any) -> None:
    dock = make_dock()
    dock.learn_from("record")
    dock.setFixedSize(WIDTH, 300)  # so low that a scroll bar takes some of the width
    dock.show()
    for button in (dock.view.mark, dock.view.learn):
        qtbot.waitUntil(button.isVisible)
        qtbot.wait(50)
        assert button.width() >= button.sizeHint().width()


@pytest.mark.parametrize("params", [*PRESETS.values(), FinetuneParams(), TINY])
def test_a_form_gives_back_what_it_was_given(qtbot: Any, params: Any) -> None:
    form = ValueForm(type(params), ("steps",), leave_out=("freeze",) if isinstance(params, TrainParams) else ())
    qtbot.addWidget(form)
    form.set_value(params)
    assert form.value() == params
    assert all(field.tooltip for field in form.fields.values())


def test_a_form_keeps_to_the_bounds_of_the_core_and_says_what_does_not_go_together(qtbot: Any) -> None:
    form = ValueForm(TrainParams, ("side",))
    qtbot.addWidget(form)
    form.fields["side"].native.setValue(5000)
    assert form.fields["side"].value == 2048
    form.fields["side"].value = 100
    with pytest.raises(InputError, match="multiple of 32"):
        form.value()
    with qtbot.waitSignal(form.changed):
        form.fields["side"].value = 96
    form.fields["minutes"].value = 0
    assert form.value().minutes is None


def test_curves_are_thinned_smoothed_and_drawn(qtbot: Any) -> None:
    points = [(float(i), 1 / (i + 1)) for i in range(5000)] + [(5000.0, math.nan)]
    few = thin(points)
    assert len(few) <= 600
    assert few[-1] == (4999.0, 1 / 5000)
    assert smooth(((0, 1.0), (1, 1.0))) == ((0, 1.0), (1, 1.0))
    assert smooth(((0, 1.0),), start=1.0) == ((0, 1.0),)
    assert limits_of(()) is None
    bounds = limits_of([Curve("a", ((1, 2.0),))])
    assert bounds is not None
    assert bounds.height() > 0
    plot = CurvePlot("Loss")
    qtbot.addWidget(plot)
    plot.resize(300, 130)
    empty = plot.grab().toImage()
    plot.set_value([Curve("", tuple(points), faint=True), Curve("loss", smooth(points[:-1]))])
    assert plot.grab().toImage() != empty


def test_what_the_buttons_say_follows_from_what_is_known() -> None:
    state = TrainState(out="/runs/model 1")
    assert resolve_training(state).start.enabled
    assert not resolve_training(replace(state, data="folder")).start.enabled
    corrected = replace(state, data="record", source="/floor.mosaic.zarr", recipe="finetune", finished=0)
    assert "finished" in resolve_training(corrected).start.reason
    assert resolve_training(replace(corrected, finished=2)).start.enabled
    assert length_of(TrainParams(minutes=30)) == "about 30 min"
    assert length_of(FinetuneParams()).endswith("a stage")
    assert length_of(FinetuneParams(epochs=20)) == "20 + 10 times through the data"
    assert length_of(FinetuneParams(epochs=1, stage="2")) == "1 times through the data"
    held = resolve_training(replace(state, held=HeldFacts(250)))
    assert held.resume.enabled
    assert not held.start.enabled
    running = resolve_training(replace(state, run=RunFacts(title="learning"), model="/runs/m.safetensors"))
    assert (running.start.enabled, running.stop.enabled, running.editable) == (False, True, False)
    assert running.use.enabled


def test_a_request_lies_in_its_folder(tmp_path: Path) -> None:
    request = TrainRequest(task="train", out=str(tmp_path / "run"), params=asdict(TINY))
    keep_request(request)
    assert kept_request(request.out) == request
    assert request.parameters() == TINY
    assert kept_request(tmp_path) is None
    both = TrainRequest(task="finetune", out=str(tmp_path), params=asdict(FinetuneParams()))
    for stage, step in (("stage1", 20), ("stage2", 10)):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "history.csv").write_text(f"step,loss\n{step},nan\n")
    assert read_rows(both) == [{"step": 20.0}, {"step": 30.0}]


def test_a_run_is_stopped_gone_on_with_and_its_model_used(
    make_dock: Callable[..., Any],
    open_panel: Callable[..., Any],
    viewer: Any,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    estimate = EstimateFacts(seconds=1.0, disk=1, tessera_px=None, factor=1.0)
    monkeypatch.setattr(_knowing, "estimate", lambda *_: estimate)
    viewer.add_image(np.zeros((40, 50, 3), np.uint8), name="floor", scale=(0.5, 0.5))
    panel = open_panel()
    dock = make_dock(panel)
    dock.set_out(tmp_path / "model")
    qtbot.waitUntil(lambda: not dock._looker.busy)
    dock.view.start.click()
    qtbot.waitUntil(lambda: bool(dock.state.rows), timeout=30_000)
    assert [point[1] for point in dock.state.losses] == [1.0, 0.5]
    assert dock.view.figures.value()[0].name == "found"
    qtbot.waitUntil(lambda: "training sample joints" in viewer.layers, timeout=10_000)
    assert panel.layer is viewer.layers["floor"]
    assert viewer.layers["training sample"].extent.world[1][-1] < 0
    dock.view.stop.click()
    qtbot.waitUntil(lambda: dock.job is None and dock.state.held is not None, timeout=30_000)
    assert "kept" in dock.state.message
    assert dock.state.held.steps == 2
    assert not dock.view.start.isEnabled()
    dock.view.resume.click()
    qtbot.waitUntil(lambda: dock.job is None and bool(dock.state.model), timeout=30_000)
    dock.view.use.click()
    assert panel.params.model == dock.state.model == str(tmp_path / "model" / "model.safetensors")
    assert "in use" in dock.view.steps[4].word.text()
    assert panel.state.model == "model"


@pytest.mark.parametrize(("source", "words"), [("bad", "Nothing to learn from"), ("dies", "Killed by nobody")])
def test_what_a_run_fails_with_is_one_sentence(
    make_dock: Callable[..., Any], qtbot: Any, tmp_path: Path, source: str, words: str
) -> None:
    dock = make_dock()
    dock.learn_from("folder", source)
    dock.set_out(tmp_path / "model")
    qtbot.waitUntil(lambda: not dock._looker.busy)
    dock.start()
    qtbot.waitUntil(lambda: dock.job is None, timeout=30_000)
    assert words in dock.state.message
    assert dock.view.message.isVisibleTo(dock)


def test_a_corrected_window_is_marked_and_learned_from(
    make_dock: Callable[..., Any], open_panel: Callable[..., Any], settled: Any, qtbot: Any, floor: Path
) -> None:
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.segmentation import segment

    segment(floor, params=SegmentParams(method="brightness", scale=1.0)).close()
    panel = open_panel()
    dock = make_dock(panel)
    panel.open_photograph(floor)
    qtbot.waitUntil(lambda: panel.job is None and panel.state.record is not None, timeout=60_000)
    dock.learn_from("record")
    assert dock.state.source == str(floor.with_name("floor.mosaic.zarr"))
    qtbot.waitUntil(lambda: dock.state.finished == 0, timeout=10_000)
    assert not dock.view.start.isEnabled()
    dock.view.mark.click()
    qtbot.waitUntil(lambda: dock.state.finished == 1, timeout=10_000)
    assert dock.view.start.isEnabled()
    assert dock.state.task == "finetune"


def test_one_button_learns_from_what_is_seen(
    make_dock: Callable[..., Any], open_panel: Callable[..., Any], qtbot: Any, floor: Path, tmp_path: Path
) -> None:
    from napari_mosaic.record import open_record
    from napari_mosaic.record.finished import finished_boxes
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.segmentation import segment

    segment(floor, params=SegmentParams(method="brightness", scale=1.0)).close()
    panel = open_panel()
    dock = make_dock(panel)
    dock.learn_from("record")
    assert not dock.view.learn.isEnabled()
    panel.open_photograph(floor)
    qtbot.waitUntil(lambda: panel.job is None and panel.state.record is not None, timeout=60_000)
    dock.learn_from("record")
    qtbot.waitUntil(lambda: dock.state.finished == 0 and not dock._looker.busy, timeout=10_000)
    dock.view.learn.click()
    qtbot.waitUntil(lambda: bool(dock.state.rows), timeout=30_000)
    with open_record(panel.state.record.path) as record:
        assert len(finished_boxes(record)) == 1
    first = dock.state.out
    dock.view.stop.click()
    qtbot.waitUntil(lambda: dock.job is None and dock.state.held is not None, timeout=30_000)
    dock.view.learn.click()
    qtbot.waitUntil(lambda: dock.job is not None, timeout=10_000)
    assert dock.state.out != first


def test_a_dock_that_closes_during_a_run_ends_it(make_dock: Callable[..., Any], qtbot: Any, tmp_path: Path) -> None:
    dock = make_dock()
    dock.set_out(tmp_path / "model")
    dock.start()
    qtbot.waitUntil(lambda: bool(dock.state.rows), timeout=30_000)
    dock.close()
    assert dock.job is None


def test_a_process_of_its_own_trains_a_few_steps_and_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    request = TrainRequest(task="train", out=str(out), params=asdict(TINY))
    steps = runs.training_steps(request)
    for event in steps:
        if isinstance(event, Progress) and "loss" in event.figures:
            break
    steps.close()
    assert (out / "checkpoint.pt").exists()
    seen: list[Any] = []
    steps = runs.training_steps(replace(request, resume=True))
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            model = Path(stop.value)
            break
    assert model.exists()
    assert any(isinstance(event, runs.SamplePrediction) and event.joints.shape == (64, 64) for event in seen)
    held = runs.held_run(str(out))
    assert held is not None
    assert held.rows[-1]["step"] == 3
    with pytest.raises(MosaicError, match="holds a training run"):
        list(runs.training_steps(request))


def test_what_was_corrected_teaches_a_model_that_finds_the_next_tesserae(
    viewer: Any, open_panel: Callable[..., Any], settled: Any, qtbot: Any, tmp_path: Path, photograph: Any
) -> None:
    from PIL import Image

    from napari_mosaic.record import open_record
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.segmentation import segment

    path = tmp_path / "floor.png"
    Image.fromarray(photograph((200, 240))).save(path)
    segment(path, params=SegmentParams(method="brightness", scale=1.0)).close()
    panel = open_panel()
    dock = TrainDock(viewer, panel)
    qtbot.addWidget(dock)
    panel.open_photograph(path)
    qtbot.waitUntil(lambda: panel.job is None and panel.state.record is not None, timeout=60_000)
    dock.learn_from("record")
    dock.set_out(tmp_path / "mine")
    few = {"steps": 2, "batch": 2, "side": 64, "drawings": 1, "processes": 1, "workers": 0, "device": "cpu"}
    dock.view.finetune_form.set_value(FinetuneParams(**few))
    qtbot.waitUntil(lambda: dock.state.finished == 0 and not dock._looker.busy, timeout=30_000)
    dock.view.learn.click()
    qtbot.waitUntil(lambda: dock.job is None and bool(dock.state.model), timeout=300_000)
    assert dock.state.rows[-1]["step"] == 4
    assert "training sample joints" in viewer.layers
    dock.view.use.click()
    panel.params = replace(panel.params, device="cpu", runtime="torch", precision="fp32")
    panel.find_all()
    settled(panel)
    with open_record(tmp_path / "floor mine.mosaic.zarr") as record:
        assert (record.plan.method, record.plan.model) == ("grout", "mine")
        assert record.complete
    dock.close()
