"""Make the pictures of the user guide by driving the panel on a photograph that ships with a dependency.

xvfb-run -a -s "-screen 0 1600x1240x24" python docs/make_screenshots.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_mosaic.widgets import MosaicPanel
from napari_mosaic.widgets._facts import Tuning
from napari_mosaic.widgets._layers import LookValue
from napari_mosaic.widgets._napari import camera_of

IMAGES = Path(__file__).parent / "images"
SIZE = (1360, 880)


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
        camera_of(viewer).zoom *= 3
        breathe()
        panel.tune(Tuning(threshold=0.35, min_area=100))
        wait(lambda: any("preview" in layer.name for layer in viewer.layers))
        shoot(viewer, "check")
        panel.shutdown()
        viewer.close()


def main(source: str = "sample:brick") -> None:
    """All pictures; those of the docks that learn, and of SAM 2, by scripts of their own."""
    from make_learning_screenshots import main as learning
    from make_measure_screenshots import show_measuring
    from make_method_screenshots import main as method
    from make_size_screenshot import main as size

    IMAGES.mkdir(exist_ok=True)
    show_panel(source)
    learning()
    method()
    size()
    show_measuring()


if __name__ == "__main__":
    main(*sys.argv[1:])
