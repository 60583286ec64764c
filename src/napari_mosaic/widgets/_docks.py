"""How docks find each other: by what the manifest calls them.

One decision: a dock knows others by their manifest ids and verbs alone, never by importing them, so any of them may be
opened first, and a panel and the docks beside it make no circle of imports.
"""

from __future__ import annotations

from typing import Any

PLUGIN = "napari-mosaic"
PANEL = f"{PLUGIN}.panel"
CHECK = f"{PLUGIN}.check"
EDIT = f"{PLUGIN}.edit"
SAM2 = f"{PLUGIN}.sam2"
TRAIN = f"{PLUGIN}.train"
TUNE = f"{PLUGIN}.tune"

TITLES = {
    PANEL: "Mosaic",
    EDIT: "Edit tesserae",
    SAM2: "SAM 2",
    TRAIN: "Advanced: Train",
    TUNE: "Advanced: Tune",
    CHECK: "How good is it?",
}
"""Names that the menus show, by manifest id: napari opens a dock by its name alone."""


def find_dock(viewer: Any, manifest_id: str, *, make: bool = False) -> Any:
    """The dock of a viewer that has a manifest id, whoever opened it; None where there is none and `make` is not asked.

    A dock that was closed but is not deleted yet is none.
    """
    for widget in viewer.window.dock_widgets.values():
        if getattr(widget, "manifest_id", None) == manifest_id and not widget.closed:
            return widget
    return viewer.window.add_plugin_dock_widget(PLUGIN, TITLES[manifest_id])[1] if make else None
