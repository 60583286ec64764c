"""Make the pictures of the dock *SAM 2*, with real events of mouse and keys on a drawn mosaic.

xvfb-run -a -s "-screen 0 1600x1240x24" python docs/make_sam_screenshots.py [MODEL]

MODEL is a name or a file; by default the small one of the tests.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
from make_screenshots import breathe, shoot, wait
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "gui"))
from hands import Hand
from qtpy.QtCore import Qt

from napari_mosaic import SegmentParams, editing
from napari_mosaic.record import open_record
from napari_mosaic.segmentation import segment
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import SamDock
from napari_mosaic.widgets._edited import tessera_layers
from napari_mosaic.widgets._napari import camera_of

SMALL = Path(__file__).parents[1] / "tests" / "data" / "sam2-mosaic-small.safetensors"
SIZE = (1440, 900)
DRAWN: dict[str, Any] = {"size": (600, 800), "seed": 2, "tessera_px": 40.0, "damaged": False}
ZOOM = 3.0


class Scene:
    """A viewer that shows a record in which a stone is missing, the dock with a model, and a hand."""

    def __init__(self, folder: Path, model: str) -> None:
        drawing = draw_mosaic(geometry="bond", **DRAWN)
        Image.fromarray(drawing.image).save(folder / "floor.png")
        path = folder / "floor.mosaic.zarr"
        segment(folder / "floor.png", params=SegmentParams(), pixel_mm=0.5).close()
        with open_record(path, writable=True) as record:
            self.stone, self.place = near_middle(record.read_labels(Box(0, 0, *record.shape)))
            editing.delete(record, [self.stone])
        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(*SIZE)
        self.viewer.open(str(path), plugin="napari-mosaic")
        self.dock = SamDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="SAM 2", area="right")
        self.layer = tessera_layers(self.viewer)[0]
        self.layer.contour, self.layer.opacity = 1, 0.9
        self.hand = Hand(self.viewer, self.layer, SimpleNamespace(wait=lambda ms: breathe(ms / 1000)))
        self.dock.use_model(model)
        wait(lambda: self.dock.clicks is not None or bool(self.dock.state.message))
        world = self.layer.data_to_world(tuple(place - 0.5 for place in self.place))
        camera_of(self.viewer).center = (0, *world[-2:])
        camera_of(self.viewer).zoom *= ZOOM
        breathe()

    def rest(self) -> None:
        """Wait until nothing is looked at or written."""
        dock = self.dock
        wait(lambda: not (dock._asker.busy or dock._warmer.busy or dock.session.editing))
        breathe()


def near_middle(labels: Any) -> tuple[int, tuple[float, float]]:
    """The largest tessera near the middle, and the place deepest inside of it."""
    y, x = (side // 2 for side in labels.shape)
    part = labels[y - 60 : y + 60, x - 80 : x + 80]
    ids, counts = np.unique(part[part > 0], return_counts=True)
    id_ = int(ids[int(np.argmax(counts))])
    depth = ndimage.distance_transform_edt(labels == id_)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return id_, (float(y) + 0.5, float(x) + 0.5)


def main(model: str = str(SMALL)) -> None:
    """A click and its mask, in both themes; a second click; what was accepted."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder), model)
        dock, (y, x) = scene.dock, scene.place
        dock.view.tools["points"].click()
        scene.rest()
        scene.hand.click((y, x))
        scene.rest()
        scene.hand.click((y + 17, x + 36), Qt.KeyboardModifier.ShiftModifier)
        scene.rest()
        shoot(scene.viewer, "sam2-click")
        scene.viewer.theme = "light"
        shoot(scene.viewer, "sam2-light")
        scene.viewer.theme = "dark"
        dock.accept()
        scene.rest()
        shoot(scene.viewer, "sam2-accepted")
        dock.shutdown()
        scene.viewer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
