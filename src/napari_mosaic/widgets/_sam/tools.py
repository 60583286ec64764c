"""How a person shows SAM 2 a stone: the tools, their keys, and what is done with a mask.

One decision: a tool is one row of this table; mouse, keys, buttons and tests all read it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from napari_mosaic.sam.clicks import Clicks, Point, Suggestion

Gesture = Literal["points", "box", "outline"]


@dataclass(frozen=True, kw_only=True)
class SamTool:
    """One way to show a stone."""

    name: Gesture
    title: str
    key: str
    how: str


TOOLS: tuple[SamTool, ...] = (
    SamTool(name="points", title="Points", key="P",
            how="Click on a stone. Shift-click, or click with the right button, on what does not belong to it."),
    SamTool(name="box", title="Box", key="B", how="Drag a box around a stone."),
    SamTool(name="outline", title="Lasso", key="L", how="Draw around a stone; the mask stays within."),
)  # fmt: skip
BY_NAME = {tool.name: tool for tool in TOOLS}

KEYS: dict[str, tuple[str, ...]] = {
    "accept": ("Enter",),
    "leave": ("Escape",),
    "undo": ("Control-Z",),
    "redo": ("Control-Shift-Z",),
    "smaller": ("[",),
    "larger": ("]",),
}
"""Keys that are no tools."""

HOWS: dict[str, str] = {
    "add": "Add a new tessera",
    "replace": "Replace what is there",
    "split": "Split what is there",
}
"""What becomes of a mask, as the core names it."""


@dataclass(frozen=True)
class Step:
    """What was shown up to one click, and what SAM 2 made of it, None until it has."""

    clicks: Clicks
    suggestion: Suggestion | None = None
    answered: bool = False


def with_point(clicks: Clicks, place: Point, *, inside: bool) -> Clicks:
    """One more point."""
    if inside:
        return replace(clicks, inside=(*clicks.inside, place))
    return replace(clicks, outside=(*clicks.outside, place))


def drawn_around(gesture: Gesture, track: tuple[Point, ...]) -> Clicks:
    """A stone that was drawn around: a box by two corners, or an outline."""
    if gesture == "outline":
        return Clicks(outline=track)
    (y0, x0), (y1, x1) = track[0], track[-1]
    return Clicks(box=(min(y0, y1), min(x0, x1), max(y0, y1), max(x0, x1)))
