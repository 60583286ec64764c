"""Make the pictures of measuring in napari, on a drawn mosaic; `make_screenshots.py` calls it.

xvfb-run -a -s "-screen 0 1600x1240x24" python docs/make_measure_screenshots.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from make_learning_screenshots import draw_floor, show_record, window
from make_screenshots import breathe, shoot, wait

from napari_mosaic.widgets._docks import MEASURE, PANEL, bring_to_front, find_dock
from napari_mosaic.widgets._measure.view import LinesValue, PlotValue
from napari_mosaic.widgets._napari import camera_of

HEIGHT = 1000


def rest(dock: Any) -> None:
    """Wait until the dock rests."""
    wait(lambda: dock.job is None and not dock._loader.busy)
    breathe()


def show_measuring() -> None:
    """The step of the panel; then the dock with a rose, a scatter and a part."""
    with window(HEIGHT) as viewer, tempfile.TemporaryDirectory() as folder:
        picture, _ = draw_floor(Path(folder))
        panel = show_record(viewer, picture)
        viewer.reset_view()
        panel.measure()
        wait(lambda: panel.job is None)
        dock = find_dock(viewer, MEASURE)
        rest(dock)
        bring_to_front(panel)
        panel.view.whole.parent().update()
        _scroll_to(panel.view, panel.view.whole)
        shoot(viewer, "measure-step")
        bring_to_front(dock)
        dock.colour_by("row_direction_deg")
        dock.plot(PlotValue("rose", "row_direction_deg"))
        dock.choose(dock.floor.column("row_direction_deg") < 20)
        shoot(viewer, "measure-rose")
        dock.colour_by("palette_class")
        dock.show_lines(LinesValue(rows=True))
        dock.plot(PlotValue("scatter", "rectangle_length_mm", "joint_width_mm"))
        dock.draw("rectangle")
        dock.part.shapes.add_rectangles(np.array([(300, 350), (300, 650), (560, 650), (560, 350)]))
        wait(lambda: dock.state.chosen > 0)
        dock.part.shapes.mode = "pan_zoom"
        camera_of(viewer).zoom *= 1.6
        shoot(viewer, "measure-part")
        dock.shutdown()
        find_dock(viewer, PANEL).shutdown()


def _scroll_to(view: Any, widget: Any) -> None:
    from qtpy.QtWidgets import QScrollArea

    breathe()
    view.findChild(QScrollArea).ensureWidgetVisible(widget, 0, 2000)


if __name__ == "__main__":
    show_measuring()
