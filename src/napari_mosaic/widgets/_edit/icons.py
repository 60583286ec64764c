"""The pictures on the tool bar of the dock *Edit tesserae*.

One decision: each is a few strokes in one colour, that of the theme's text, on a grid of 24; stones are squares with
soft corners, what a tool adds is drawn and what it takes away is dashed.
"""

from __future__ import annotations

from qtpy.QtCore import QByteArray, Qt
from qtpy.QtGui import QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer

_SIDE = 48
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="{colour}" stroke-width="1.8" '
    'stroke-linecap="round" stroke-linejoin="round">{strokes}</svg>'
)
_DASHED = 'stroke-dasharray="2.2 2.6"'
_STONE = '<rect x="4" y="4" width="16" height="16" rx="3"/>'
_GHOST = f'<rect x="4" y="4" width="16" height="16" rx="3" {_DASHED}/>'
_SMALL = '<rect x="8" y="8" width="8" height="8" rx="1.5"{extra}/>'

STROKES: dict[str, str] = {
    "choose": '<path d="M5 3l14 7-6 2-2.5 6z"/>',
    "merge": '<path d="M10 5H5a2 2 0 0 0-2 2v10a2 2 0 0 0 2 2h5M14 5h5a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2h-5"/>'
    '<path d="M7 12h10M9.5 9.5L7 12l2.5 2.5M14.5 9.5L17 12l-2.5 2.5"/>',
    "split_line": f'{_STONE}<path d="M15 1.5L9 22.5" {_DASHED}/>',
    "split_seeds": f'{_STONE}<path d="M12 4v16" {_DASHED}/>'
    '<circle cx="8" cy="12" r="1"/><circle cx="16" cy="12" r="1"/>',
    "split_auto": f'{_STONE}<path d="M12 4v16M4 12h16" {_DASHED}/>',
    "delete": f'{_GHOST}<path d="M9 9l6 6M15 9l-6 6"/>',
    "add_outline": '<path d="M5 8l6-4 8 3 1 9-7 4-8-4z"/>'
    '<circle cx="5" cy="8" r="1.3"/><circle cx="20" cy="16" r="1.3"/>',
    "add_click": f'{_GHOST}<path d="M12 8.5v7M8.5 12h7"/>',
    "grow": f"{_SMALL.format(extra='')}"
    '<path d="M12 5V2M12 22v-3M5 12H2M22 12h-3M10.5 3L12 1.5 13.5 3M10.5 21l1.5 1.5 1.5-1.5"/>',
    "shrink": f"{_GHOST}{_SMALL.format(extra='')}",
    "snap": '<path d="M9 5H6a2 2 0 0 0-2 2v10a2 2 0 0 0 2 2h3"/>'
    '<path d="M19 3v18"/><path d="M9 12h6M12.5 9.5L15 12l-2.5 2.5"/>',
    "fill_holes": f'{_STONE}<circle cx="12" cy="12" r="3" fill="{{colour}}"/>',
    "convex": f'<path d="M5 5h14v14H5z" {_DASHED}/><path d="M5 5h14l-6 7 6 7H5z"/>',
    "assign": '<path d="M4 12V5a1 1 0 0 1 1-1h7l8 8-8 8z"/><circle cx="8.5" cy="8.5" r="1.2"/>',
    "undo": '<path d="M8 5L4 9l4 4"/><path d="M4 9h10a5.5 5.5 0 0 1 0 11h-3"/>',
    "redo": '<path d="M16 5l4 4-4 4"/><path d="M20 9H10a5.5 5.5 0 0 0 0 11h3"/>',
    "previous": '<path d="M15 5l-7 7 7 7"/>',
    "next": '<path d="M9 5l7 7-7 7"/>',
}
"""Strokes by tool or verb."""


def icon(name: str, colour: str, faint: str) -> QIcon:
    """An icon in a colour, and in a faint one where its button cannot be pressed."""
    found = QIcon()
    for mode, ink in ((QIcon.Mode.Normal, colour), (QIcon.Mode.Disabled, faint)):
        found.addPixmap(_pixmap(name, ink), mode)
    return found


def _pixmap(name: str, colour: str) -> QPixmap:
    text = _SVG.format(colour=colour, strokes=STROKES[name].replace("{colour}", colour))
    picture = QPixmap(_SIDE, _SIDE)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    QSvgRenderer(QByteArray(text.encode())).render(painter)
    painter.end()
    return picture
