"""The dock Evaluate with several models on the same pictures, and the curves of training runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_mosaic.cli import main
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.widgets import EvaluateDock
from napari_mosaic.widgets._evaluate.state import run_curves

MODELS = {"joints": 0, "shifted": 3, "far": 6}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two truths, three models that are off by some pixels, and two runs."""
    for k, name in enumerate(("east", "west")):
        labels = draw_mosaic(96, 3 + k, "grid", tessera_px=16, damaged=False).labels.astype(np.uint16)
        for place, shift in {"truths": 0, **MODELS}.items():
            (tmp_path / place).mkdir(exist_ok=True)
            Image.fromarray(np.roll(labels, shift, 0)).save(tmp_path / place / f"{name}.png")
    for run, score in (("run1", 0.5), ("run7", 0.75)):
        (tmp_path / run).mkdir()
        (tmp_path / run / "history.csv").write_text(f"step,loss,score\n1,1,0.25\n2,0.5,{score}\n")
    return tmp_path


def test_models_are_compared_on_the_same_pictures(
    folder: Path, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows, bars and files are those of `compare-models`; curves of the runs beside them."""
    dock = EvaluateDock(viewer)
    qtbot.addWidget(dock)
    dock.show()
    view = dock.view
    view.of.activated.emit(view.of.findData("models"))
    asked = iter([*(str(folder / name) for name in MODELS), str(folder / "far")])
    monkeypatch.setattr("napari_mosaic.widgets._dialogs.ask_results", lambda _: next(asked))
    view.choose_folder.click()
    assert not view.start.isEnabled()
    view.choose_folder.click()
    view.choose_folder.click()
    view.choose_folder.click()
    assert "give each model once" in dock.state.message
    dock.compare_with(folder / "truths")
    view.start.click()
    qtbot.waitUntil(lambda: dock.job is None and dock.state.compared is not None)
    words = ["compare-models", str(folder / "truths"), *(str(folder / name) for name in MODELS)]
    words += ["-o", str(folder / "told"), "--runs", str(folder / "run1"), str(folder / "run7"), "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)["models"]
    rows = view.table.value()
    assert [row[0] for row in rows] == ["", *MODELS]
    for row, name in zip(rows[1:], MODELS, strict=True):
        assert row[3:6] == tuple(f"{told[name]['mean'][key]:.3f}" for key in ("f1_50", "fm", "dice"))
    names, bars = view.bars.value()
    assert names == tuple(MODELS)
    assert dict(bars)["IoU"] == tuple(told[name]["mean"]["pixel_iou"] for name in MODELS)
    assert view.bars.isVisible()
    assert not view.curves.isVisible()
    assert not view.show.isEnabled()
    for run in ("run1", "run7"):
        dock.add_run(folder / run)
        qtbot.waitUntil(lambda run=run: run in dock.state.training.histories)
    view.figure.textActivated.emit("score")
    assert [(curve.name, curve.points[-1]) for curve in view.run_curves.value()] == [
        ("run1", (2.0, 0.5)),
        ("run7", (2.0, 0.75)),
    ]
    dock.add_run(folder / "truths")
    qtbot.waitUntil(lambda: "no history.csv" in dock.state.message)
    assert len(dock.state.training.folders) == 2
    dock.save_table(folder / "saved")
    qtbot.waitUntil(lambda: "Saved" in dock.state.message)
    for name in ("models.csv", "models.json", "bars.png", "curves.png"):
        assert (folder / "saved" / name).read_bytes() == (folder / "told" / name).read_bytes()
    view.start_over.click()
    assert view.bars.value() == ((), ())
    dock.close()


def test_of_many_runs_the_best_has_a_name() -> None:
    histories = {f"run{k}": [{"step": 1.0, "loss": float(9 - k), "score": float(k)}] for k in range(6)}
    for figure, best in (("loss", "run5"), ("score", "run5")):
        curves = run_curves(histories, figure)
        assert [curve.name for curve in curves if not curve.faint] == [best]
        assert len(curves) == 6
    assert len(run_curves(dict(list(histories.items())[:4]), "loss")) == 4
