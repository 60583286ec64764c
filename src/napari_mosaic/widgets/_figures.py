"""Names and figures in two columns."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_mosaic.widgets._forms import note

Rows = tuple[tuple[str, str], ...]


class FigureGrid(QWidget):
    """Rows of a name and a figure; `empty` stands there while there are none."""

    def __init__(self, empty: str = "") -> None:
        super().__init__()
        self._empty = empty
        self._rows: Rows | None = None
        self._cells: list[QWidget] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)
        self._grid.setVerticalSpacing(3)
        self.set_value(())

    def value(self) -> Rows:
        """The rows."""
        return self._rows or ()

    def set_value(self, rows: Rows) -> None:
        """Show other rows."""
        if rows == self._rows:
            return
        self._rows = rows
        for cell in self._cells:
            self._grid.removeWidget(cell)
            cell.hide()  # it is deleted later, and would be seen below the new ones until then
            cell.deleteLater()
        self._cells = []
        for row, (name, figure) in enumerate(rows or (((self._empty, ""),) if self._empty else ())):
            left, right = note(name), QLabel(figure)
            right.setObjectName("figure")
            self._grid.addWidget(left, row, 0)
            self._grid.addWidget(right, row, 1, Qt.AlignmentFlag.AlignRight)
            self._cells += [left, right]
