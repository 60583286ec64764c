"""A viewer whose panel and jobs must be gone at the end of a test."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

PATIENCE_MS = 300_000
"""Only what hangs takes so long."""
MANIFEST = Path(__file__).parents[2] / "src" / "napari_mosaic" / "napari.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a display these tests are skipped, not failed."""
    display = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.gui)
            if not display:
                item.add_marker(pytest.mark.skip(reason="no display; run under xvfb-run"))


@pytest.fixture(scope="module", autouse=True)
def _what_stays_is_not_searched() -> None:
    """napari collects rubbish at each layer that goes and after each viewer, ever anew through all modules loaded.

    What stays once a file is reached is left out of that: half the cost of a test of a viewer, and it is no rubbish.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def qtbot(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Waits for what must come as long as a busy machine needs for it, whatever a test asks for."""
    for name in ("waitUntil", "waitSignal", "waitSignals"):
        monkeypatch.setattr(qtbot, name, _patient(getattr(qtbot, name)))
    return qtbot


def _patient(wait: Callable[..., Any]) -> Callable[..., Any]:
    def waiting(*given: Any, timeout: float = PATIENCE_MS, **named: Any) -> Any:
        return wait(*given, timeout=max(timeout, PATIENCE_MS), **named)

    return waiting


@cache
def manifest() -> Any:
    """The plugin's manifest, read once: it takes as long as making the window does."""
    from npe2 import PluginManifest

    return PluginManifest.from_file(MANIFEST)


@pytest.fixture
def viewer(make_napari_viewer: Any, npe2pm: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A viewer with the plugin; a thread of a job that stays behind fails the test."""
    from napari_mosaic.widgets import _runs, _worker

    monkeypatch.setattr(_runs, "warm_up", lambda _: None)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    npe2pm.register(manifest())
    viewer = make_napari_viewer()
    yield viewer
    for job in list(_worker._alive):
        job.abandon()
    jobs = [thread for thread in threading.enumerate() if thread.name == "napari-mosaic job"]
    for thread in jobs:
        thread.join(30)
    assert not any(thread.is_alive() for thread in jobs)


@pytest.fixture
def open_panel(viewer: Any, qtbot: Any) -> Iterator[Callable[..., Any]]:
    """Makes a panel of the viewer with a method that needs no network."""
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.widgets import MosaicPanel

    panels: list[Any] = []

    def make() -> Any:
        panel = MosaicPanel(viewer, SegmentParams(method="brightness", scale=1.0, tile_size=1024))
        qtbot.addWidget(panel)
        panels.append(panel)
        return panel

    yield make
    before = [emitter for panel in panels for emitter, _ in panel._link._pairs]
    for panel in panels:
        panel.close()
    for panel in panels:
        assert panel.closed
        assert not panel._link._pairs
    assert all("ViewerLink" not in str(call) for emitter in before for call in emitter.callbacks)


@pytest.fixture
def settled(qtbot: Any) -> Callable[[Any], None]:
    """Waits until a panel's job has ended and everything finished is shown."""

    def wait(panel: Any) -> None:
        qtbot.waitUntil(lambda: panel.job is None, timeout=120_000)
        qtbot.waitUntil(lambda: panel.shown is None or not panel.shown.busy, timeout=60_000)

    return wait


@pytest.fixture
def floor(tmp_path: Path, photograph: Callable[..., Any]) -> Path:
    """A photograph on disk, of more than one shard."""
    from PIL import Image

    path = tmp_path / "floor.png"
    Image.fromarray(np.ascontiguousarray(photograph((700, 1300)))).save(path)
    return path
