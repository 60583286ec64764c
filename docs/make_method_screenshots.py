"""Make the pictures of SAM 2 in the panel and in the docks *Train* and *Evaluate*; `make_screenshots.py` calls it.

xvfb-run -a -s "-screen 0 1600x1240x24" python docs/make_method_screenshots.py [find] [train] [evaluate]

They run on the small model of the tests; windows are as small as a laptop's, 1280 x 800.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import napari
import numpy as np
from make_screenshots import breathe, settle, shoot, wait
from PIL import Image
from qtpy.QtWidgets import QScrollArea

from napari_mosaic import SegmentParams
from napari_mosaic.sam.params import SamParams
from napari_mosaic.segmentation import segment
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.training.sam.params import PRESETS
from napari_mosaic.widgets import EvaluateDock, MosaicPanel, TrainDock

SMALL = Path(__file__).parents[1] / "tests" / "data" / "sam2-mosaic-small.safetensors"
SIZE = (1280, 800)
SAM = SamParams(model=str(SMALL), device="cpu")


def draw_floor(folder: Path, size: tuple[int, int] = (240, 320)) -> Path:
    """A folder for training: a drawn floor and its labels."""
    drawing = draw_mosaic(size, 800_021, "figure", tessera_px=26.0)
    for name, picture in (("images", drawing.image), ("labels", drawing.labels.astype(np.uint16))):
        (folder / name).mkdir(parents=True)
        Image.fromarray(picture).save(folder / name / "floor.png")
    return folder


def find_masks(picture: Path) -> None:
    """Make the record of a floor with masks of SAM 2."""
    segment(picture, params=SegmentParams(method="sam2"), sam=SAM, pixel_mm=0.5).close()


def begin(folder: Path, *, found: bool) -> tuple[Any, MosaicPanel]:
    """A window with a panel that shows the floor, with masks of SAM 2 where they are `found`."""
    picture = draw_floor(folder / "data") / "images" / "floor.png"
    if found:  # elsewhere: a software OpenGL can crash that draws after a network was run
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(find_masks, picture).result()
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(*SIZE)
    breathe()  # a software OpenGL can crash that draws for the first time after a network was run
    panel = MosaicPanel(viewer)
    panel.sam = SAM
    panel.methods.show()
    viewer.window.add_dock_widget(panel, name="Mosaic", area="right")
    panel.open_photograph(picture)
    settle(panel)
    wait(lambda: panel.state.estimate is not None or panel.state.record is not None or bool(panel.state.message))
    viewer.reset_view()
    return viewer, panel


def scroll_to(dock: Any, widget: Any) -> None:
    """Bring a widget of a dock into sight."""
    breathe(0.3)
    dock.view.findChild(QScrollArea).ensureWidgetVisible(widget, 0, 400)


def show_find(folder: Path) -> None:
    """The step Find with SAM 2, before and after."""
    viewer, panel = begin(folder, found=False)
    panel.use_method("sam2")
    scroll_to(panel, panel.view.find_all)
    shoot(viewer, "find-sam2")
    panel.find_all()
    settle(panel)
    scroll_to(panel, panel.view.find_all)
    shoot(viewer, "found-sam2")
    panel.shutdown()


def show_train(folder: Path) -> None:
    """SAM 2 taught a few steps."""
    viewer, panel = begin(folder, found=False)
    dock = TrainDock(viewer, panel)
    viewer.window.add_dock_widget(dock, name="Advanced: Train", area="right", tabify=True)
    dock.learn_from("folder", folder / "data")
    dock.set_recipe("sam2")
    dock.set_out(folder / "models" / "floor 1")
    wait(lambda: not dock._looker.busy)
    few: dict[str, Any] = {"steps": 24, "epochs": None, "device": "cpu", "judge": "prompts", "round_steps": 4}
    few |= {"most_judged": 2, "stones": 16, "most_prompts": 8, "accumulate": 1, "processes": 1, "rate": 1e-4}
    dock.view.sam_form.set_value(replace(PRESETS["mosaic-sam2"], **few))
    dock._note_length()
    dock.start()
    wait(lambda: dock.job is None and not dock._looker.busy, 3600)
    scroll_to(dock, dock.view.use)
    shoot(viewer, "train-sam2")
    dock.shutdown()
    panel.shutdown()


def show_evaluate(folder: Path) -> None:
    """The tesserae of the joints and those of SAM 2 against the truth."""
    viewer, panel = begin(folder, found=True)
    dock = EvaluateDock(viewer, panel)
    viewer.window.add_dock_widget(dock, name="Advanced: Evaluate", area="right", tabify=True)
    dock.look()
    dock.compare_with(folder / "data" / "labels" / "floor.png")
    dock.start()
    wait(lambda: dock.job is None)
    dock.show_picture()
    wait(lambda: bool(dock.state.words))
    scroll_to(dock, dock.view.words)
    shoot(viewer, "evaluate")
    dock.shutdown()
    panel.shutdown()


PICTURES: dict[str, Callable[[Path], None]] = {"find": show_find, "train": show_train, "evaluate": show_evaluate}


def main(*names: str) -> None:
    """The pictures of these names; all of them without any, each in a process of its own."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            PICTURES[name](Path(folder))
    for name in () if names else PICTURES:
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
