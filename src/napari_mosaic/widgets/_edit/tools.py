"""The tools of the dock *Edit tesserae*: what each is called, its key, what the mouse does, what the core is asked.

One decision: a tool is one row of this table; mouse, keys, buttons, tooltips and tests all read it, so a tool that
is added here is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Gesture = Literal["choose", "touch", "gather", "stroke", "points", "outline", "place"]
"""What the mouse does: choose tesserae; touch those that are changed; gather those that go together; draw a line;
set points in a tessera; draw an outline; click a place."""

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


Ask = Callable[[Drawn, EditOptions], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool; `least` is how many tesserae or points it needs before Enter ends it."""

    name: str
    title: str
    key: str
    gesture: Gesture
    tip: str
    how: str
    ask: Ask
    least: int = 1
    cursor: str = "cross"


def _ids(drawn: Drawn, _: EditOptions) -> Mapping[str, Any]:
    return {"ids": list(drawn.ids)}


def _by_px(drawn: Drawn, options: EditOptions) -> Mapping[str, Any]:
    return {"ids": list(drawn.ids), "px": options.px}


def _line(drawn: Drawn, options: EditOptions) -> Mapping[str, Any]:
    return {"line": [list(point) for point in drawn.points], "gap": options.gap}


def _points(drawn: Drawn, _: EditOptions) -> Mapping[str, Any]:
    return {"points": [list(point) for point in drawn.points]}


def _outline(drawn: Drawn, options: EditOptions) -> Mapping[str, Any]:
    return {"outline": [list(point) for point in drawn.points], "over": options.over}


def _place(drawn: Drawn, _: EditOptions) -> Mapping[str, Any]:
    return {"point": list(drawn.points[0])}


def _assigned(drawn: Drawn, options: EditOptions) -> Mapping[str, Any]:
    return {"ids": list(drawn.ids), "material": options.material, "state": options.state}


_TOUCH = "Click a tessera, or drag across several."
_CORNERS = "or click corner by corner and press Enter."

TOOLS: tuple[Tool, ...] = (
    Tool(name="choose", title="Choose", key="S", gesture="choose", cursor="standard", ask=_ids,
         tip="Choose tesserae; any tool of stones then works on all of them",
         how="Click a tessera; Shift-click adds more. Then press a tool. Drag moves the view."),
    Tool(name="merge", title="Merge", key="J", gesture="gather", cursor="pointing", least=2, ask=_ids,
         tip="Make one tessera of several",
         how="Drag across the pieces of one stone, or click them and press Enter."),
    Tool(name="split_line", title="Cut", key="C", gesture="stroke", least=2, ask=_line,
         tip="Part tesserae along a line",
         how=f"Draw a line from side to side of the tessera, {_CORNERS}"),
    Tool(name="split_seeds", title="Split", key="I", gesture="points", least=2, ask=_points,
         tip="Part a tessera at the joints between points",
         how="Click once into each stone that it holds, then press Enter."),
    Tool(name="split_auto", title="Auto-split", key="T", gesture="touch", cursor="pointing", ask=_ids,
         tip="Part a tessera where the joints are seen", how=_TOUCH),
    Tool(name="delete", title="Delete", key="D", gesture="touch", cursor="pointing", ask=_ids,
         tip="Take tesserae away", how=_TOUCH),
    Tool(name="add_outline", title="Draw", key="O", gesture="outline", least=3, ask=_outline,
         tip="Add a tessera by its outline",
         how=f"Draw around the stone, {_CORNERS}"),
    Tool(name="add_click", title="Add", key="A", gesture="place", ask=_place,
         tip="Add a tessera that was missed; it grows to the joints",
         how="Click into the middle of a stone that has no colour."),
    Tool(name="grow", title="Grow", key="G", gesture="touch", cursor="pointing", ask=_by_px,
         tip="Move the outline outwards", how=_TOUCH),
    Tool(name="shrink", title="Shrink", key="K", gesture="touch", cursor="pointing", ask=_by_px,
         tip="Move the outline inwards", how=_TOUCH),
    Tool(name="snap", title="Snap", key="N", gesture="touch", cursor="pointing", ask=_ids,
         tip="Move the outline to the nearest joint", how=_TOUCH),
    Tool(name="fill_holes", title="Fill holes", key="H", gesture="touch", cursor="pointing", ask=_ids,
         tip="Fill holes inside of a tessera", how=_TOUCH),
    Tool(name="convex", title="Mend", key="R", gesture="touch", cursor="pointing", ask=_ids,
         tip="Mend a broken outline: the tessera becomes convex", how=_TOUCH),
    Tool(name="assign", title="Assign", key="Y", gesture="touch", cursor="pointing", ask=_assigned,
         tip="Say what tesserae are made of and how they are",
         how="Choose material and state below, then click tesserae, or drag across several."),
)  # fmt: skip
"""All tools, in the order of the tool bar; the core's tool of the same name is what each asks for."""

BY_NAME: dict[str, Tool] = {tool.name: tool for tool in TOOLS}
CHOOSE = BY_NAME["choose"]

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


def request(tool: Tool, drawn: Drawn, options: EditOptions) -> dict[str, Any]:
    """What the core is asked for, as `editing.apply_request` takes it."""
    return {"tool": tool.name, **tool.ask(drawn, options)}
