"""The table of edit tools: what each does, what it is called, how a hand uses it, what its edits count as.

One decision: a tool is one row. Lists of edits, the journal, the report, the viewer's tool bar, keys and mouse all read
it, so a tool that is added here is complete but for its picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from napari_mosaic.editing import area_edits, from_mask, outlines, painting, whole_tesserae
from napari_mosaic.editing.entries import Edit

Gesture = Literal["choose", "touch", "gather", "stroke", "points", "outline", "place"]
"""What the mouse does: choose tesserae; touch those that are changed; gather those that go together; draw a line;
set points in a tessera; draw an outline; click a place."""

DRAWS: dict[Gesture, str] = {
    "choose": "ids",
    "touch": "ids",
    "gather": "ids",
    "stroke": "line",
    "points": "points",
    "outline": "outline",
    "place": "point",
}
"""The parameter that a gesture gives."""

Group = Literal["merged", "split", "deleted", "drawn", "reshaped", "painted", "assigned", "areas"]
"""What an edit counts as; a tessera that it leaves is drawn where it is new, reshaped where it was there, but for the
first two."""

Function = Callable[..., Edit | None]


@dataclass(frozen=True, kw_only=True)
class EditTool:
    """One tool.

    Attributes
    ----------
    name
        That of its function, of its entries in the journal and of its picture.
    help
        What it does, in a few words for the interface.
    group
        What its edits count as; None for what edits nothing.
    function
        What it does; None for what only chooses.
    title, key, gesture, how, cursor
        Its button, and how it is used in the viewer; a tool without a gesture has no button.
    least
        How many tesserae or points it needs before Enter ends it.
    options
        The parameters that the dock's settings of the same name give.
    """

    name: str
    help: str
    group: Group | None = None
    function: Function | None = None
    title: str = ""
    key: str = ""
    gesture: Gesture | None = None
    how: str = ""
    cursor: str = "pointing"
    least: int = 1
    options: tuple[str, ...] = ()


_TOUCH = "Click a tessera, or drag across several."
_CORNERS = "or click corner by corner and press Enter."

EDIT_TOOLS: tuple[EditTool, ...] = (
    EditTool(name="merge", function=whole_tesserae.merge, group="merged", help="Make one tessera of several",
             title="Merge", key="J", gesture="gather", least=2,
             how="Drag across the pieces of one stone, or click them and press Enter."),
    EditTool(name="split_line", function=whole_tesserae.split_line, group="split", help="Part tesserae along a line",
             title="Cut", key="C", gesture="stroke", cursor="cross", least=2, options=("gap",),
             how=f"Draw a line from side to side of the tessera, {_CORNERS}"),
    EditTool(name="split_seeds", function=whole_tesserae.split_seeds, group="split",
             help="Part a tessera at the joints between points",
             title="Split", key="I", gesture="points", cursor="cross", least=2,
             how="Click once into each stone that it holds, then press Enter."),
    EditTool(name="split_auto", function=whole_tesserae.split_auto, group="split",
             help="Part a tessera where the joints are seen", title="Auto-split", key="T", gesture="touch", how=_TOUCH),
    EditTool(name="delete", function=whole_tesserae.delete, group="deleted", help="Take tesserae away",
             title="Delete", key="D", gesture="touch", how=_TOUCH),
    EditTool(name="add_outline", function=outlines.add_outline, group="drawn", help="Add a tessera by its outline",
             title="Draw", key="O", gesture="outline", cursor="cross", least=3, options=("over",),
             how=f"Draw around the stone, {_CORNERS}"),
    EditTool(name="add_click", function=outlines.add_click, group="drawn",
             help="Add a tessera that was missed; it grows to the joints",
             title="Add", key="A", gesture="place", cursor="cross",
             how="Click into the middle of a stone that has no colour."),
    EditTool(name="grow", function=outlines.grow, group="reshaped", help="Move the outline outwards",
             title="Grow", key="G", gesture="touch", options=("px",), how=_TOUCH),
    EditTool(name="shrink", function=outlines.shrink, group="reshaped", help="Move the outline inwards",
             title="Shrink", key="K", gesture="touch", options=("px",), how=_TOUCH),
    EditTool(name="snap", function=outlines.snap, group="reshaped", help="Move the outline to the nearest joint",
             title="Snap", key="N", gesture="touch", how=_TOUCH),
    EditTool(name="fill_holes", function=outlines.fill_holes, group="reshaped", help="Fill holes inside of a tessera",
             title="Fill holes", key="H", gesture="touch", how=_TOUCH),
    EditTool(name="convex", function=outlines.convex, group="reshaped",
             help="Mend a broken outline: the tessera becomes convex",
             title="Mend", key="R", gesture="touch", how=_TOUCH),
    EditTool(name="assign", function=whole_tesserae.assign, group="assigned",
             help="Say what tesserae are made of and how they are",
             title="Assign", key="Y", gesture="touch", options=("material", "state"),
             how="Choose material and state below, then click tesserae, or drag across several."),
    EditTool(name="add_mask", function=from_mask.add_mask, group="drawn",
             help="Make a tessera of a mask, such as SAM 2's"),
    EditTool(name="replace_window", function=painting.replace_window, group="painted",
             help="Write what was painted in a window"),
    EditTool(name="add_area", function=area_edits.add_area, group="areas", help="Add an area of the floor"),
    EditTool(name="change_area", function=area_edits.change_area, group="areas",
             help="Give an area another class, outline or name"),
    EditTool(name="remove_area", function=area_edits.remove_area, group="areas", help="Remove an area"),
)  # fmt: skip
"""All tools that edit, in the order of the tool bar."""

TOOLS: dict[str, Function] = {tool.name: tool.function for tool in EDIT_TOOLS if tool.function is not None}
"""The functions by name; each takes a record and the parameters of a request."""

_GROUPS = {tool.name: tool.group for tool in EDIT_TOOLS}


def group_of(edit: Edit) -> Group | None:
    """What an edit counts as; None where a version made it whose tool this one does not know."""
    return _GROUPS.get(edit.tool)
