"""A small plot of curves over the steps of a run.

One decision: a few lines on a widget, drawn by Qt itself; napari depends on no plotting library, and a run
of hours has no more than a few hundred points that matter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

COLOURS = ("#4da3ff", "#ff9f45", "#5bc98c", "#e26fa8", "#b59bff")
MOST = 600
"""Most points of a curve that are drawn."""


@dataclass(frozen=True)
class Curve:
    """One line: `points` are `(step, figure)`; a faint one lies behind the others and has no name."""

    name: str
    points: tuple[tuple[float, float], ...]
    faint: bool = False


class CurvePlot(QWidget):
    """Curves with a frame, three figures on each axis and their names with their last figures.

    `bounds`, of x and y, stay as they are given, and the last figures are not told: of curves that are not a history.
    """

    def __init__(self, title: str, parent: QWidget | None = None, *, bounds: QRectF | None = None) -> None:
        super().__init__(parent)
        self._title, self._bounds = title, bounds
        self._curves: tuple[Curve, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Room for a small plot."""
        return QSize(300, 132)

    def value(self) -> tuple[Curve, ...]:
        """The curves."""
        return self._curves

    def set_value(self, curves: Sequence[Curve]) -> None:
        """Show other curves."""
        shown = tuple(Curve(c.name, thin(c.points), c.faint) for c in curves if c.points)
        if shown != self._curves:
            self._curves = shown
            self.update()

    def paintEvent(self, _: QPaintEvent) -> None:
        """Draw frame, names and lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        room = QRectF(44, 22, self.width() - 52, self.height() - 42)
        self._name(painter, text)
        bounds = self._bounds or limits_of(self._curves)
        if bounds is None or not self._curves:
            painter.setPen(_faint(text, 150))
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, "nothing yet")
        else:
            self._frame(painter, room, bounds, text)
            for number, curve in enumerate(self._curves):
                self._line(painter, room, bounds, curve, QColor(self._colour(number)))
        painter.end()

    def _colour(self, number: int) -> str:
        """A faint curve has the colour of the named one after it."""
        place = sum(not curve.faint for curve in self._curves[:number])
        return COLOURS[place % len(COLOURS)]

    def _name(self, painter: QPainter, text: QColor) -> None:
        painter.setPen(text)
        painter.drawText(QPointF(0, 13), self._title)
        right = float(self.width() - 8)
        for number, curve in reversed(list(enumerate(self._curves))):
            if not curve.faint:
                words = curve.name if self._bounds else f"{curve.name} {curve.points[-1][1]:.2f}"
                right -= painter.fontMetrics().horizontalAdvance(words)
                painter.setPen(QColor(self._colour(number)))
                painter.drawText(QPointF(right, 13), words)
                right -= 12

    def _frame(self, painter: QPainter, room: QRectF, bounds: QRectF, text: QColor) -> None:
        small = painter.font()
        small.setPointSizeF(max(6.5, small.pointSizeF() * 0.85))
        painter.setFont(small)
        for part in (0.0, 0.5, 1.0):
            y, x = room.bottom() - part * room.height(), room.left() + part * room.width()
            painter.setPen(QPen(_faint(text, 45), 1))
            painter.drawLine(QPointF(room.left(), y), QPointF(room.right(), y))
            painter.setPen(_faint(text, 170))
            value = figure(bounds.top() + part * bounds.height())
            painter.drawText(QRectF(0, y - 8, 38, 16), _RIGHT, value)
            step = f"{bounds.left() + part * bounds.width():,.0f}"
            side = (_LEFT, Qt.AlignmentFlag.AlignHCenter, _RIGHT)[round(2 * part)]
            painter.drawText(QRectF(x - 40 * (2 * part), room.bottom() + 3, 80, 16), side, step)

    def _line(self, painter: QPainter, room: QRectF, bounds: QRectF, curve: Curve, colour: QColor) -> None:
        points = [
            QPointF(
                room.left() + (x - bounds.left()) / bounds.width() * room.width(),
                room.bottom() - (y - bounds.top()) / bounds.height() * room.height(),
            )
            for x, y in curve.points
        ]
        painter.setPen(QPen(_faint(colour, 90) if curve.faint else colour, 1 if curve.faint else 2))
        painter.drawPolyline(QPolygonF(points))
        if not curve.faint:
            painter.setBrush(colour)
            painter.drawEllipse(points[-1], 2.5, 2.5)
            painter.setBrush(Qt.BrushStyle.NoBrush)


_LEFT, _RIGHT = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def thin(points: Sequence[tuple[float, float]], most: int = MOST) -> tuple[tuple[float, float], ...]:
    """At most `most` of the points that are numbers, the last one among them."""
    good = [point for point in points if math.isfinite(point[1])]
    step = -(-len(good) // most) if good else 1
    return tuple(good[::-1][::step][::-1])


def smooth(
    points: Sequence[tuple[float, float]], memory: float = 0.9, start: float | None = None
) -> tuple[tuple[float, float], ...]:
    """A running mean that knows at its start that it is young, or goes on from `start`."""
    mean, weight, smoothed = (0.0, 0.0, []) if start is None else (start, 1.0, [])
    for x, y in points:
        mean, weight = memory * mean + (1 - memory) * y, memory * weight + (1 - memory)
        smoothed.append((x, mean / weight))
    return tuple(smoothed)


def best_so_far(scores: Sequence[float]) -> tuple[Curve, ...]:
    """The score of each trial of a search, faint, and the best until then."""
    if not scores:
        return ()
    best = tuple(itertools.accumulate(scores, max))
    trials, top = (tuple((float(x), y) for x, y in enumerate(values, start=1)) for values in (scores, best))
    return (Curve("", trials, faint=True), Curve("best", top))


def limits_of(curves: Sequence[Curve]) -> QRectF | None:
    """Least and greatest of all curves, with some room; None without a point."""
    points = [point for curve in curves for point in curve.points]
    if not points:
        return None
    (x0, x1), (y0, y1) = ((min(side), max(side)) for side in zip(*points, strict=True))
    pad = 0.05 * (y1 - y0) or max(0.05 * abs(y1), 0.01)
    low = max(0.0, y0 - pad) if y0 >= 0 else y0 - pad
    return QRectF(x0, low, max(x1 - x0, 1.0), y1 + pad - low)


def figure(value: float) -> str:
    """A figure short enough for an axis."""
    return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.3g}"


def _faint(colour: QColor, alpha: int) -> QColor:
    faint = QColor(colour)
    faint.setAlpha(alpha)
    return faint
