"""Make the pictures of the docks that learn, tune and check; `make_screenshots.py` calls it.

xvfb-run -a -s "-screen 0 1600x1240x24" python docs/make_learning_screenshots.py [train] [tune] [check]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import napari
import numpy as np
from make_screenshots import breathe, settle, shoot, wait
from PIL import Image

from napari_mosaic import SegmentParams
from napari_mosaic.evaluation.floor import SquareParams
from napari_mosaic.segmentation import segment
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.training import PRESETS
from napari_mosaic.tuning import TuneParams
from napari_mosaic.widgets import CheckDock, MosaicPanel, TrainDock, TuneDock

SIZE = (1360, 1180)
SHORT = replace(
    PRESETS["mosaic"], steps=240, batch=4, side=96, drawings=40, drawing_size=160, validation=4, round_steps=20,
    workers=0, processes=2,
)  # fmt: skip
DRAWN = {"size": (900, 1200), "seed": 11, "tessera_px": 26.0}


@contextmanager
def window(height: int = SIZE[1]) -> Iterator[Any]:
    """A viewer of the size of the pictures."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(SIZE[0], height)
    breathe()  # a software OpenGL can crash that draws for the first time after a network was run
    yield viewer
    viewer.close()


def draw_floor(folder: Path) -> tuple[Path, Path]:
    """A drawn mosaic and its truth as files."""
    drawing = draw_mosaic(DRAWN["size"], DRAWN["seed"], "figure", tessera_px=DRAWN["tessera_px"])
    picture, truth = folder / "floor.png", folder / "floor-truth.png"
    Image.fromarray(drawing.image).save(picture)
    Image.fromarray(drawing.labels.astype(np.uint16)).save(truth)
    return picture, truth


def show_record(viewer: Any, picture: Path) -> MosaicPanel:
    """A panel that shows the record of a photograph, behind the dock that is to be seen."""
    segment(picture, params=SegmentParams(), pixel_mm=0.5).close()
    panel = MosaicPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Mosaic", area="right")
    panel.open_photograph(picture)
    wait(lambda: panel.job is None and panel.state.record is not None)
    settle(panel)
    return panel


def show_training() -> None:
    """A short run on drawn mosaics that has just ended."""
    with window() as viewer, tempfile.TemporaryDirectory() as folder:
        dock = TrainDock(viewer)
        viewer.window.add_dock_widget(dock, name="Advanced: Train", area="right")
        dock.set_out(Path(folder) / "models" / "model 1")
        wait(lambda: not dock._looker.busy)
        dock.view.train_form.set_value(SHORT)
        dock._note_length()
        dock.start()
        wait(lambda: dock.job is None and not dock._looker.busy and bool(dock.state.rows), 3600)
        viewer.reset_view()
        shoot(viewer, "train")
        dock.shutdown()


def show_tuning() -> None:
    """A search on a drawn mosaic whose truth is known, and its confidence."""
    with window() as viewer, tempfile.TemporaryDirectory() as folder:
        picture, truth = draw_floor(Path(folder))
        panel = show_record(viewer, picture)
        dock = TuneDock(viewer, panel)
        viewer.window.add_dock_widget(dock, name="Advanced: Tune", area="right", tabify=True)
        dock.compare_with("files", (str(truth),))
        wait(lambda: dock.state.finished is not None)
        dock.view.form.set_value(TuneParams(trials=60))
        dock.start()
        wait(lambda: dock.job is None and not dock._looker.busy, 3600)
        dock.measure()
        wait(lambda: not dock.state.measuring)
        viewer.reset_view()
        shoot(viewer, "tune")
        dock.shutdown()
        panel.shutdown()


def show_check() -> None:
    """Squares of a drawn mosaic, half of them counted, and the sentence when all are."""
    with window(840) as viewer, tempfile.TemporaryDirectory() as folder:
        picture, _ = draw_floor(Path(folder))
        panel = show_record(viewer, picture)
        dock = CheckDock(viewer, panel)
        viewer.window.add_dock_widget(dock, name="How good is it?", area="right", tabify=True)
        wait(lambda: not dock.state.busy)
        dock.view.form.set_value(SquareParams(squares=4))
        dock.propose()
        wait(lambda: len(dock.state.squares) == 4)
        for missed in (1, 0, 2, 0):
            box, layers = dock.state.square.box, dock.layers
            places = [(box.y0 + 20 + 31 * k, box.x0 + 25 + 40 * k) for k in range(missed)]
            if places:
                layers.marks["missed"].add(places)
            at = dock.state.at
            dock.done()
            wait(lambda: not dock.state.busy)
        dock.turn_to(at - 1)
        shoot(viewer, "how-good")
        dock.shutdown()
        panel.shutdown()


PICTURES: dict[str, Callable[[], None]] = {"train": show_training, "tune": show_tuning, "check": show_check}


def main(*names: str) -> None:
    """The pictures of these names; all of them without any, each in a process of its own.

    A second window of one process can crash a software OpenGL.
    """
    for name in names:
        PICTURES[name]()
    for name in () if names else PICTURES:
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
