"""Parts of a whole as bars, largest first.

One decision: drawn by Qt itself, like the curves; a bar has its name before it and its part behind it.
"""

from __future__ import annotations

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_mosaic.widgets._plot import COLOURS

ROW, TOP, NAME, FIGURE = 18, 20, 116, 42
"""Heights of a row and of the title, widths of a name and of a figure, in pixels."""

Bars = tuple[tuple[str, float], ...]


class BarPlot(QWidget):
    """Named parts, 0 to 1, below a title."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self._bars: Bars = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Room for all rows."""
        return QSize(300, TOP + ROW * max(1, len(self._bars)))

    def value(self) -> Bars:
        """The bars."""
        return self._bars

    def set_value(self, bars: Bars) -> None:
        """Show other bars."""
        if bars != self._bars:
            self._bars = bars
            self.updateGeometry()
            self.update()

    def paintEvent(self, _: QPaintEvent) -> None:
        """Draw title, names, bars and figures."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        painter.setPen(text)
        painter.drawText(QRectF(0, 0, self.width(), TOP), _LEFT, self._title)
        room = self.width() - NAME - FIGURE
        for row, (name, part) in enumerate(self._bars):
            top = TOP + row * ROW
            painter.setPen(text)
            painter.drawText(QRectF(0, top, NAME - 6, ROW), _LEFT, name)
            painter.drawText(QRectF(self.width() - FIGURE, top, FIGURE, ROW), _RIGHT, f"{100 * part:.0f} %")
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(COLOURS[0]))
            painter.drawRoundedRect(QRectF(NAME, top + 4, max(1.0, room * min(1.0, part)), ROW - 8), 2, 2)
        if not self._bars:
            painter.drawText(QRectF(0, TOP, self.width(), ROW), _LEFT, "nothing yet")
        painter.end()


_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
