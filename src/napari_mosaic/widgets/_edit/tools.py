"""The tools of the dock *Edit tesserae*: those of the core's table that a hand can use, and what it asks of them.

One decision: what a tool is stands in `editing.tools`; here is only what the viewer adds: choosing, settings, keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_mosaic.editing import EDIT_TOOLS
from napari_mosaic.editing.tools import DRAWS, EditTool

Place = tuple[float, float]


@dataclass(frozen=True)
class Drawn:
    """What was drawn with a tool: tesserae, and places `(y, x)` in pixels of the working grid."""

    ids: tuple[int, ...] = ()
    points: tuple[Place, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """What the tools are set to: px of the working grid, words for material and state ("" takes back what was said)."""

    px: int = 1
    gap: int = 0
    over: bool = False
    material: str | None = None
    state: str | None = None


CHOOSE = EditTool(
    name="choose",
    help="Choose tesserae; any tool of stones then works on all of them",
    title="Choose",
    key="S",
    gesture="choose",
    cursor="standard",
    how="Click a tessera; Shift-click adds more. Then press a tool. Drag moves the view.",
)
TOOLS: tuple[EditTool, ...] = (CHOOSE, *(tool for tool in EDIT_TOOLS if tool.gesture))
"""All tools of the bar, in its order."""

BY_NAME: dict[str, EditTool] = {tool.name: tool for tool in TOOLS}

KEYS: dict[str, tuple[str, ...]] = {
    "confirm": ("Enter",),
    "leave": ("Escape",),
    "delete": ("Delete", "Backspace"),
    "undo": ("Control-Z",),
    "redo": ("Control-Shift-Z",),
    "next": (".",),
    "previous": (",",),
    "fine": ("8",),
    "fixed": ("9",),
    "ignored": ("0",),
    "window": ("W",),
}
"""Keys that are no tools."""

SAME_MEANING = {"Enter", "Escape", "Control-Z", "Control-Shift-Z", "Space"}
"""Keys that napari's Labels know too, and that mean the same here."""


def request(tool: EditTool, drawn: Drawn, options: EditOptions) -> dict[str, Any]:
    """What the core is asked for, as `editing.apply_request` takes it."""
    points = [list(point) for point in drawn.points]
    given = {"ids": list(drawn.ids), "point": points[0] if points else None}
    takes = DRAWS[tool.gesture or "touch"]
    return {
        "tool": tool.name,
        takes: given.get(takes, points),
        **{name: getattr(options, name) for name in tool.options},
    }
