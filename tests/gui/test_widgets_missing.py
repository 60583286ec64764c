"""Docks without the packages of their extra: they say what installs it, instead of failing."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from qtpy.QtWidgets import QApplication

from napari_mosaic.dependencies import install_command
from napari_mosaic.widgets import SamDock, TrainDock, TuneDock
from napari_mosaic.widgets._view import MissingNote


@pytest.mark.parametrize(
    ("dock", "package", "extra"),
    [(TrainDock, "torch", "torch"), (SamDock, "sam2", "sam2"), (SamDock, "torch", "torch")],
)
def test_a_dock_without_its_extra_shows_the_command(
    viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, dock: Any, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    made = dock(viewer)
    qtbot.addWidget(made)
    note = made.findChild(MissingNote)
    assert note.command == install_command(extra)
    assert package in note.words.text()
    assert note.command in note.words.text()
    assert not made.view.isEnabled()
    note.copy.click()
    assert QApplication.clipboard().text() == note.command
    made.close()


def test_tune_without_optuna_still_measures_confidence(
    viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    made = TuneDock(viewer)
    qtbot.addWidget(made)
    assert made.findChild(MissingNote).command == install_command("train")
    made.tell(record="some.mosaic.zarr", finished=1)
    assert not made.view.start.isEnabled()
    assert "optuna" in made.view.start.toolTip()
    assert made.view.measure.isEnabled()
    made.close()


def test_docks_with_all_they_need_show_no_note(viewer: Any, qtbot: Any) -> None:
    made = TrainDock(viewer)
    qtbot.addWidget(made)
    assert made.findChild(MissingNote) is None
    assert made.view.isEnabled()
    made.close()
