"""Make the pictures of the user guide by driving the panel on a photograph that ships with a dependency.

xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_mosaic.training import PRESETS
from napari_mosaic.widgets import MosaicPanel, TrainDock
from napari_mosaic.widgets._forms import LookValue
from napari_mosaic.widgets._state import Tuning
from napari_mosaic.widgets._train_runs import Sample
from napari_mosaic.widgets._train_sample import show_sample

IMAGES = Path(__file__).parent / "images"
SIZE = (1360, 840)
SHORT = replace(
    PRESETS["mosaic"], steps=160, batch=4, side=96, drawings=24, drawing_size=160, validation=3, round_steps=16,
    workers=0, processes=1,
)  # fmt: skip
ROUNDS = 6


def wait(condition: Callable[[], bool], seconds: float = 600.0) -> None:
    """Keep the viewer alive until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        QApplication.processEvents()
        time.sleep(0.01)
        if time.monotonic() > end:
            raise TimeoutError("the picture's moment did not come")


def breathe(seconds: float = 0.8) -> None:
    """Let napari draw."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


def shoot(viewer: napari.Viewer, name: str) -> None:
    """Keep the window as a picture of few colours: small enough for a repository."""
    breathe()
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    picture = Image.fromarray(pixels[..., :3]).quantize(160, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    picture.save(IMAGES / f"{name}.png", optimize=True)


def settle(panel: Any) -> None:
    """Wait until the panel rests."""
    wait(lambda: panel.job is None)
    wait(lambda: panel.shown is None or not panel.shown.busy)


def show_panel(source: str) -> None:
    """Open, find, look, tune: in napari's dark theme, the result in its light one too."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(*SIZE)
    panel = MosaicPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Mosaic", area="right")
    with tempfile.TemporaryDirectory() as folder:
        panel.open_photograph(source)
        settle(panel)
        wait(lambda: panel.state.estimate is not None or bool(panel.state.message))
        panel.set_place(Path(folder) / "photographs" / f"{source.removeprefix('sample:')}.mosaic.zarr")
        viewer.reset_view()
        shoot(viewer, "open")
        panel.find_all()
        settle(panel)
        shoot(viewer, "found")
        viewer.theme = "light"
        shoot(viewer, "found-light")
        viewer.theme = "dark"
        panel.look(LookValue(outlines=True))
        viewer.camera.zoom *= 3
        breathe()
        panel.tune(Tuning(threshold=0.35, min_area=150))
        wait(lambda: any("preview" in layer.name for layer in viewer.layers))
        shoot(viewer, "check")
        panel.shutdown()
        viewer.close()


def show_training(begun: str = "") -> None:
    """A short run while it learns; or one that was `begun` in a folder before, as it stands there."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(SIZE[0], SIZE[1] + 60)
    dock = TrainDock(viewer)
    viewer.window.add_dock_widget(dock, name="Advanced: Train", area="right")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "models" / (Path(begun).name or "model 1")
        if begun:
            shutil.copytree(begun, out)
        dock.set_out(out)
        wait(lambda: not dock._looker.busy)
        if not begun:
            dock.face.train_form.set_value(SHORT)
        if begun:
            with np.load(out / "sample.npz") as arrays:
                show_sample(viewer, Sample(arrays["image"], arrays["joints"]))
        else:
            dock.start()
            wait(lambda: len(dock.state.rows) >= ROUNDS, 3600)
        wait(lambda: len(viewer.layers) == 2)
        viewer.reset_view()
        shoot(viewer, "train")
        dock.shutdown()
        viewer.close()


def main(source: str = "sample:gravel", begun: str = "") -> None:
    """All pictures; with the argument `train`, only those of training."""
    IMAGES.mkdir(exist_ok=True)
    if source != "train":
        show_panel(source)
    show_training(begun)


if __name__ == "__main__":
    main(*sys.argv[1:])
