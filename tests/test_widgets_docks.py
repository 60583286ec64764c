"""What the docks *Tune* and *How good is it?* show follows from what they know; no window is needed."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("napari")

from npe2 import PluginManifest

from napari_mosaic.errors import LockedError
from napari_mosaic.evaluation import Square
from napari_mosaic.probability import Calibration
from napari_mosaic.probability.calibration import Bin
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box
from napari_mosaic.tuning import TuneResult
from napari_mosaic.widgets._check.state import CheckState, next_open, resolve_check, with_count, with_marks
from napari_mosaic.widgets._docks import TITLES
from napari_mosaic.widgets._facts import RunFacts, Tuning
from napari_mosaic.widgets._train import runs as train_runs
from napari_mosaic.widgets._train.request import TrainRequest, keep_request, kept_request
from napari_mosaic.widgets._tune.runs import fresh_folder, last_folder
from napari_mosaic.widgets._tune.state import TuneState, resolve_tuning
from napari_mosaic.widgets._tuning import thresholds, tuning_like

FOUND = TuneResult(
    segment={"threshold": 0.4}, tesserae=TesseraParams(threshold=0.4, reach=30), map="stored", goal="pq", before=0.7,
    score=0.8, trials=3, windows=2, history=(0.7, 0.6, 0.8), importance={"reach": 0.2, "threshold": 0.8},
)  # fmt: skip
WIDGETS = Path(__file__).parents[1] / "src" / "napari_mosaic" / "widgets"
READY = TuneState(record="/floor.mosaic.zarr", finished=2)


def test_every_dock_is_found_by_what_the_manifest_calls_it() -> None:
    """The ids, the names in the menus and the classes agree; a dock without a manifest id could not be found."""
    contributions = PluginManifest.from_file(WIDGETS.parent / "napari.yaml").contributions
    widgets = contributions.widgets or []
    assert {widget.command: widget.display_name for widget in widgets} == TITLES
    functions = {command.id: str(command.python_name) for command in contributions.commands or []}
    for manifest_id in TITLES:
        module, name = functions[manifest_id].split(":")
        assert getattr(importlib.import_module(module), name).manifest_id == manifest_id


def test_no_dock_imports_another() -> None:
    """The panel knows the docks beside it by their ids, and they it."""
    for path in WIDGETS.glob("_*/dock.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = [node.module for node in _imports_at_run_time(tree) if str(node.module).endswith(".dock")]
        assert found == [], path


def _imports_at_run_time(node: ast.AST) -> Iterator[ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom):
            yield child
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _imports_at_run_time(child)


def test_a_search_begins_when_there_is_something_to_compare_with() -> None:
    assert "Open a record" in resolve_tuning(TuneState()).start.reason
    assert "finished" in resolve_tuning(replace(READY, finished=0)).start.reason
    assert resolve_tuning(READY).start.enabled
    assert not resolve_tuning(replace(READY, truth="files")).start.enabled
    assert resolve_tuning(replace(READY, truth="files", files=("a.json",))).start.enabled
    running = resolve_tuning(replace(READY, run=RunFacts(title="searching", done=12, total=60), scores=(0.5,)))
    assert (running.start.enabled, running.stop.enabled, running.editable) == (False, True, False)
    assert running.progress == (200, "12 of 60 trials")


def test_what_a_search_found_is_told_and_offered() -> None:
    view = resolve_tuning(replace(READY, best=FOUND, scores=FOUND.history))
    assert [curve.points[-1][1] for curve in view.history] == [0.8, 0.8]
    assert view.importance == (("Joint from", 0.8), ("Growth", 0.2))
    assert dict(view.rules)["Joint from"] == "0.5 → 0.4"
    assert dict(view.rules)["Smallest tessera"] == str(TesseraParams().min_area)
    assert view.use.enabled
    assert view.steps[2].summary == "pq 0.700 → 0.800"
    used = resolve_tuning(replace(READY, best=FOUND, scores=FOUND.history, rules=FOUND.tesserae))
    assert "already" in used.use.reason
    assert not used.use.enabled


def test_a_run_that_is_refused_leaves_the_request_of_the_one_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = TrainRequest(task="train", out=str(tmp_path), params={"steps": 5})
    keep_request(first)

    def refused(*_: object) -> Iterator[dict[str, object] | None]:
        yield None
        yield {"kind": "curves", "rows": []}
        raise LockedError("Another run works there.")

    monkeypatch.setattr(train_runs, "process_events", refused)
    steps = train_runs.training_steps(replace(first, params={"steps": 9}))
    with pytest.raises(LockedError):
        list(steps)
    assert kept_request(tmp_path) == first


def test_confidence_is_measured_and_adjusted() -> None:
    bins = (Bin(said=0.2, true=0.1, pixels=9), Bin(said=0.9, true=0.8, pixels=9))
    found = Calibration(
        temperature=1.5, ece_before=0.1, ece_after=0.02, nll_before=1, nll_after=0.9, pixels=18, before=bins, after=bins
    )
    view = resolve_tuning(replace(READY, calibration=found))
    assert "too sure" in view.confidence
    assert view.adjust.enabled
    assert view.reliability[0].points[-1] == (90.0, 80.0)
    told = resolve_tuning(replace(READY, calibration=found, rules=TesseraParams(temperature=1.5)))
    assert not told.adjust.enabled
    assert told.steps[4].summary == "temperature 1.50"


def test_searches_lie_beside_the_record(tmp_path: Path) -> None:
    record = tmp_path / "floor.mosaic.zarr"
    assert fresh_folder(record) == last_folder(record) == tmp_path / "floor.tuned"
    (tmp_path / "floor.tuned").mkdir()
    assert last_folder(record) == tmp_path / "floor.tuned"
    assert fresh_folder(record) == tmp_path / "floor.tuned 2"


def test_sliders_keep_the_finer_figures_of_a_search() -> None:
    rules = TesseraParams(threshold=0.4321, core_threshold=0.3, min_area=70)
    assert tuning_like(rules) == Tuning(threshold=0.4321, min_area=70, core_threshold=0.3)
    assert thresholds(tuning_like(rules)) == {"threshold": 0.4321, "core_threshold": 0.3, "min_area": 70}
    assert tuning_like(TesseraParams()) == Tuning()
    assert thresholds(Tuning(threshold=0.35))["core_threshold"] == 0.65


def test_squares_are_counted_by_marks_or_by_number() -> None:
    squares = tuple(Square(name=name, box=Box(0, 0, 9, 9), found=20) for name in "ABC")
    state = CheckState(
        record="/floor.mosaic.zarr", squares=squares, size="10 x 10 px", missed=(2, 0, 0), wrong=(1, 0, 0)
    )
    view = resolve_check(state)
    assert "centre" in view.rule
    assert view.place == "Square A, 1 of 3"
    assert "2 missed and 1 wrong: 21" in view.tally
    assert view.done.text == "Done, next square"
    marked = with_marks(squares[0], 2, 1)
    assert (marked.counted, marked.missed, marked.wrong) == (21, 2, 1)
    typed = with_count(marked, 25)
    assert (typed.counted, typed.missed) == (25, None)
    assert resolve_check(replace(state, squares=(typed, *squares[1:]))).typed == 25
    assert next_open((marked, *squares[1:]), 0) == 1
    assert next_open((squares[0], marked, marked), 2) == 0
    assert next_open((marked, marked), 1) == 1
    last = resolve_check(replace(state, squares=(marked, marked, squares[2]), at=2))
    assert last.done.text == "Done: tell the error"
    assert not resolve_check(CheckState()).propose.enabled
