"""Make the picture of a photograph taken at a slant in the step *Size*; `make_screenshots.py` calls it.

xvfb-run -a -s "-screen 0 1600x1240x24" python docs/make_size_screenshot.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import napari
import numpy as np
from make_screenshots import breathe, settle, shoot, wait
from PIL import Image
from skimage.transform import ProjectiveTransform, estimate_transform, warp

from napari_mosaic.synthetic import draw_mosaic
from napari_mosaic.widgets import MosaicPanel
from napari_mosaic.widgets._panel.rectangle import Sides

FLOOR = (600, 900)
CORNERS = np.array([(120, 70), (880, 80), (950, 590), (50, 600)], float)
"""Where the corners of the drawn floor lie in its photograph, x and y."""


def photograph(folder: Path) -> Path:
    """A drawn floor with a white frame, photographed at a slant."""
    flat = np.array(draw_mosaic(FLOOR, 800_021, "figure", tessera_px=22.0).image)
    rim = np.ones(FLOOR, bool)
    rim[8:-8, 8:-8] = False
    flat[rim] = 235
    height, width = FLOOR
    straight = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    back = estimate_transform("projective", CORNERS, straight)
    seen = warp(flat, ProjectiveTransform(back.params), output_shape=(660, 1000), cval=0.35, order=1)
    Image.fromarray(np.uint8(seen * 255)).save(folder / "slant.png")
    return folder / "slant.png"


def main() -> None:
    """The step *Size* with a rectangle that shows a slant, and the picture that it was rectified to."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    panel = MosaicPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Mosaic", area="right")
    with tempfile.TemporaryDirectory() as name:
        panel.open_photograph(photograph(Path(name)))
        settle(panel)
        wait(lambda: panel.state.estimate is not None or bool(panel.state.message))
        viewer.reset_view()
        panel.known.mark_rectangle()
        marks = panel.known._corners
        assert marks is not None
        marks.layer.add(CORNERS[:, ::-1] - 0.5)
        panel.view.rectangle_form.set_value(Sides(1800.0, 1200.0))
        wait(lambda: panel.state.corners == 4)
        panel.view.rectangle_form.use.click()
        breathe()
        shoot(viewer, "size-slant")
        panel.known.rectify(Path(name) / "floor-rectified.tif")
        settle(panel)
        viewer.reset_view()
        shoot(viewer, "size-rectified")
        panel.shutdown()
        viewer.close()


if __name__ == "__main__":
    main()
