"""Make the pictures of the dock *Edit tesserae* and a short film, with real events of mouse and keys on a drawn mosaic.

xvfb-run -a -s "-screen 0 1600x1240x24" python docs/make_edit_screenshots.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
from make_screenshots import IMAGES, breathe, shoot, wait
from PIL import Image
from qtpy.QtCore import Qt
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "gui"))
from hands import Hand

from napari_mosaic import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import EditDock
from napari_mosaic.widgets._edited import tessera_layers
from napari_mosaic.widgets._napari import camera_of

SIZE = (1440, 900)
DRAWN = {"size": (900, 1200), "seed": 11, "tessera_px": 26.0}
ZOOM = 6.0
FILM = (420, 560)
MOVE_MS, LOOK_MS = 160, 1000


class Scene:
    """A viewer of the size of the pictures that shows a record, the dock and a hand."""

    def __init__(self, folder: Path) -> None:
        drawing = draw_mosaic(DRAWN["size"], DRAWN["seed"], "figure", tessera_px=DRAWN["tessera_px"])
        Image.fromarray(drawing.image).save(folder / "floor.png")
        segment(folder / "floor.png", params=SegmentParams(), pixel_mm=0.5).close()
        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(*SIZE)
        self.viewer.open(str(folder / "floor.mosaic.zarr"), plugin="napari-mosaic")
        self.dock = EditDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Edit tesserae", area="right")
        self.layer = tessera_layers(self.viewer)[0]
        self.layer.opacity = 0.45
        self.viewer.layers.selection.active = self.layer
        self.film: list[Image.Image] | None = None
        self.hand = Hand(self.viewer, self.layer, SimpleNamespace(wait=self.pause))
        wait(lambda: self.dock.state.ready)
        self.rest()

    @property
    def labels(self) -> Any:
        """All of level 0."""
        record = self.dock.session.record
        return record.read_labels(Box(0, 0, *record.shape))

    def pause(self, duration_ms: float) -> None:
        """Let napari draw between two movements of the hand; while filming, take what it has drawn."""
        breathe(duration_ms / 1000)
        self.take(MOVE_MS)

    def take(self, duration_ms: int) -> None:
        """Take the middle of the canvas into the film, to be seen so long."""
        if self.film is not None:
            pixels = self.viewer.screenshot(canvas_only=True, flash=False)[..., :3]
            y, x = ((side - part) // 2 for side, part in zip(pixels.shape, FILM, strict=False))
            frame = Image.fromarray(np.ascontiguousarray(pixels[y : y + FILM[0], x : x + FILM[1]]))
            frame.info["duration"] = duration_ms
            self.film.append(frame)

    def rest(self) -> None:
        """Wait until what was asked for is shown."""
        wait(lambda: self.dock.session is None or not self.dock.session.editing)
        breathe(0.3)

    def look_at(self, place: Any, zoom: float = ZOOM) -> None:
        """Bring a place of the working grid into the middle."""
        camera_of(self.viewer).center = tuple(self.layer.data_to_world(place))
        step = float(np.linalg.norm(np.subtract(self.layer.data_to_world((1, 0)), self.layer.data_to_world((0, 0)))))
        camera_of(self.viewer).zoom = zoom / step
        breathe(0.5)

    def stones_near(self, place: Any, count: int) -> list[tuple[float, float]]:
        """Places well inside of the stones that lie nearest to a place."""
        y, x = (int(v) for v in place)
        part = (slice(max(0, y - 90), y + 90), slice(max(0, x - 90), x + 90))
        labels = self.labels[part]
        found = []
        for id_ in np.unique(labels[labels > 0]):
            depth = ndimage.distance_transform_edt(np.pad(labels == id_, 1))[1:-1, 1:-1]
            row, column = np.unravel_index(int(depth.argmax()), depth.shape)
            found.append((float(row + part[0].start) + 0.5, float(column + part[1].start) + 0.5))
        found.sort(key=lambda at: float(np.hypot(at[0] - y, at[1] - x)))
        return found[:count]


def show_tools(scene: Scene, middle: Any) -> None:
    """Choose, merge, cut."""
    first, second, third, other = scene.stones_near(middle, 4)
    scene.hand.click(first)
    scene.hand.click(second, Qt.KeyboardModifier.ShiftModifier)
    scene.hand.move(third)
    shoot(scene.viewer, "edit-choose")
    scene.viewer.theme = "light"
    shoot(scene.viewer, "edit-light")
    scene.viewer.theme = "dark"
    scene.hand.key("Escape")
    scene.hand.key("J")
    for place in (first, second):
        scene.hand.click(place)
    scene.hand.move(second)
    shoot(scene.viewer, "edit-merge")
    scene.hand.key("Enter")
    scene.rest()
    scene.hand.key("I")
    for place in (first, second):
        scene.hand.click(place)
    shoot(scene.viewer, "edit-split")
    scene.hand.key("Enter")
    scene.rest()
    scene.hand.key("C")
    scene.hand.click((other[0] - 16, other[1] - 6))
    scene.hand.move((other[0] + 16, other[1] + 8))
    shoot(scene.viewer, "edit-cut")
    scene.hand.key("Escape")
    scene.hand.key("Escape")


def make_film(scene: Scene, middle: Any) -> None:
    """A stone is cut, its pieces are merged, another is deleted and added by a click."""
    scene.look_at(middle)
    (y, x), other = scene.stones_near(middle, 2)
    scene.film = []
    scene.take(LOOK_MS)
    for key, stroke in (("C", ((y - 17, x), (y + 17, x + 2))), ("J", ((y, x - 8), (y, x + 8)))):
        scene.hand.key(key)
        scene.hand.drag(*stroke)
        scene.rest()
        scene.take(LOOK_MS)
    for key in ("D", "A"):
        scene.hand.key(key)
        scene.hand.click(other)
        scene.rest()
        scene.take(LOOK_MS)
    scene.hand.key("Escape")
    frames = [frame.quantize(160, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for frame in scene.film]
    durations = [frame.info["duration"] for frame in scene.film]
    place = IMAGES / "edit-film.gif"
    frames[0].save(place, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)
    scene.film = None


def show_areas(scene: Scene, middle: Any) -> None:
    """Two areas of the floor."""
    y, x = middle
    scene.look_at(middle, ZOOM / 2.4)
    for kind, corners in (
        ("lacuna", ((-90, -120), (-100, -20), (-30, 0), (20, -60), (-10, -140))),
        ("repair", ((40, 30), (30, 120), (110, 140), (130, 40))),
    ):
        box = scene.dock.view.area_class
        box.setCurrentIndex(box.findData(kind))
        scene.dock.draw_areas(kind)
        for dy, dx in corners:
            scene.hand.click((y + dy, x + dx))
        scene.hand.key("Enter")
        wait(lambda: not scene.dock.areas._rest.isActive())
        scene.rest()
    shoot(scene.viewer, "edit-areas")
    scene.viewer.layers.selection.active = scene.layer


def show_painting(scene: Scene, middle: Any) -> None:
    """A window with brushes."""
    scene.look_at(middle)
    scene.hand.key("W")
    wait(lambda: scene.dock.state.painting)
    breathe(0.5)
    first, second = scene.stones_near(middle, 2)
    scene.dock.painting.window.layer.brush_size = 7
    scene.hand.drag(first, second)
    shoot(scene.viewer, "edit-paint")
    scene.dock.view.apply_painting.click()
    scene.rest()
    scene.dock.painting.leave()


def show_check(scene: Scene) -> None:
    """The walk through what needs a look."""
    scene.dock.view.look.click()
    wait(lambda: scene.dock.state.walk is not None and scene.dock.job is None)
    for key in (".", "8", "0"):
        scene.hand.key(key)
        scene.rest()
    shoot(scene.viewer, "edit-check")


def main() -> None:
    """All pictures."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        height, width = scene.dock.session.record.shape
        middle = (height * 0.45, width * 0.5)
        scene.look_at(middle)
        show_tools(scene, middle)
        make_film(scene, middle)
        show_areas(scene, middle)
        show_painting(scene, middle)
        show_check(scene)
        scene.dock.close()
        scene.viewer.close()


if __name__ == "__main__":
    main()
