"""Means of several models as bars: a group a figure, a colour a model; drawn by Qt itself, like the curves."""

from __future__ import annotations

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_mosaic.widgets._evaluate.state import ModelBarsValue
from napari_mosaic.widgets._plot import COLOURS

LINE, BAR, GAP, NAME, FIGURE = 16, 11, 8, 84, 40
"""Heights of a line of the legend, of a bar and of what parts two groups, widths of a name and of a figure, in px."""
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class ModelBars(QWidget):
    """Figures from 0 to 1 of each model, below the models' names."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: ModelBarsValue = ((), ())
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setVisible(False)

    def sizeHint(self) -> QSize:
        """Room for the legend and all bars."""
        models, figures = self._shown
        return QSize(300, LINE * len(models) + len(figures) * (GAP + BAR * len(models)) + GAP)

    def value(self) -> ModelBarsValue:
        """The models and their figures."""
        return self._shown

    def set_value(self, bars: ModelBarsValue) -> None:
        """Show other bars; nothing is seen where there are none."""
        self._shown = bars
        self.setVisible(bool(bars[0]))
        self.updateGeometry()
        self.update()

    def paintEvent(self, _: QPaintEvent) -> None:
        """Draw the legend, and for each figure its name, bars and values."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        models, figures = self._shown
        for number, model in enumerate(models):
            painter.setPen(_colour(number))
            painter.drawText(QRectF(0, number * LINE, self.width(), LINE), _LEFT, f"■ {model}")
        small = painter.font()
        small.setPointSizeF(max(6.5, small.pointSizeF() * 0.85))
        painter.setFont(small)
        top, room = LINE * len(models) + GAP, self.width() - NAME - FIGURE
        for name, values in figures:
            painter.setPen(text)
            painter.drawText(QRectF(0, top, NAME - 6, BAR * len(models)), _LEFT, name)
            for number, value in enumerate(values):
                painter.setPen(text)
                painter.drawText(QRectF(self.width() - FIGURE, top, FIGURE, BAR), _RIGHT, f"{value:.3f}")
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(_colour(number))
                painter.drawRect(QRectF(NAME, top + 1, max(1.0, room * min(1.0, value)), BAR - 2))
                top += BAR
            top += GAP
        painter.end()


def _colour(number: int) -> QColor:
    return QColor(COLOURS[number % len(COLOURS)])
