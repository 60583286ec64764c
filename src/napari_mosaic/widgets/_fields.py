"""A form made from a dataclass of parameters.

One decision: names, kinds, bounds, choices and help come from the dataclass alone, so a form can neither
offer what the core refuses nor keep a default of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mosaic.tesserae import Limits
from napari_mosaic.widgets._forms import form_layout, narrow_combo

ANY = "–"
"""What a number shows that is not set."""

_HIGHEST = 1_000_000_000


class ParamsForm(QWidget):
    """One frozen dataclass: the fields named in `first` at the top, the others behind *More*.

    `changed` comes for what a person does. Values that do not go together are the dataclass's own business:
    `value()` raises what it raises.
    """

    changed = Signal()

    def __init__(self, kind: type[Any], first: Sequence[str], leave_out: Sequence[str] = ()) -> None:
        super().__init__()
        self._kind = kind
        self._labels: dict[str, QLabel] = {}
        hints = get_type_hints(kind, include_extras=True)
        names = [field.name for field in fields(kind) if field.name not in leave_out]
        self._fields = {name: _Field(hints[name]) for name in names}
        self._start: Any = kind()
        self._more = QToolButton()
        self._more.setText("More …")
        self._more.setCheckable(True)
        self._rest = QWidget()
        self._rest.setVisible(False)
        self._more.toggled.connect(self._rest.setVisible)
        top, bottom = QWidget(), form_layout(self._rest)
        rows = form_layout(top)
        for name in [*first, *(name for name in names if name not in first)]:
            self._add(name, rows if name in first else bottom)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(top)
        layout.addWidget(self._more)
        layout.addWidget(self._rest)
        self.set_value(self._start)

    def value(self) -> Any:
        """What is set; raises `InputError` where it does not go together."""
        hidden = {field.name: getattr(self._start, field.name) for field in fields(self._kind)}
        return self._kind(**hidden | {name: field.value() for name, field in self._fields.items()})

    def set_value(self, value: Any) -> None:
        """Show a value without a signal; what has no field is kept."""
        self._start = value
        for name, field in self._fields.items():
            field.set_value(getattr(value, name))

    def show_field(self, name: str, shown: bool) -> None:
        """Hide a field that means nothing now."""
        for widget in (self._labels[name], self._fields[name].widget):
            widget.setVisible(shown)

    def _add(self, name: str, rows: Any) -> None:
        field, label = self._fields[name], QLabel(name.replace("_", " ").capitalize())
        for widget in (label, field.widget):
            widget.setToolTip(field.help)
        self._labels[name] = label
        rows.addRow(label, field.widget)
        field.signal.connect(lambda *_: self.changed.emit())


class _Field:
    """One parameter: its widget, and how it is read and set."""

    def __init__(self, hint: Any) -> None:
        kind, extras = _split(hint)
        limits = next((extra for extra in extras if isinstance(extra, Limits)), None)
        self.help: str = limits.help if limits else next((extra for extra in extras if isinstance(extra, str)), "")
        self.widget, self.signal, self.value, self._set = _make(kind, limits)

    def set_value(self, value: Any) -> None:
        """Show a value without a signal."""
        with QSignalBlocker(self.widget):
            self._set(value)


Parts = tuple[QWidget, Any, Callable[[], Any], Callable[[Any], None]]


def _make(kind: Any, limits: Limits | None) -> Parts:
    """A widget for a kind of value, its signal, and how it is read and set."""
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        return _choice(choices)
    optional = get_origin(kind) in (Union, UnionType)
    base = next(part for part in get_args(kind) if part is not NoneType) if optional else kind
    if base is bool:
        box = QCheckBox()
        return box, box.toggled, box.isChecked, box.setChecked
    if base in (int, float):
        return _number(base, limits, optional)
    line = QLineEdit()
    return line, line.editingFinished, line.text, line.setText


def _choice(choices: tuple[Any, ...]) -> Parts:
    box: QComboBox = narrow_combo()
    for choice in choices:
        box.addItem(str(choice), choice)
    return box, box.activated, box.currentData, lambda value: box.setCurrentIndex(max(0, box.findData(value)))


def _number(base: type, limits: Limits | None, optional: bool) -> Parts:
    low, high = (limits.low, limits.high) if limits else (0, _HIGHEST)
    spin: Any = QSpinBox() if base is int else QDoubleSpinBox()
    if base is float:
        spin.setDecimals(7 if (low and low < 1e-3) or high <= 1.0 else 2)
        spin.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    else:
        spin.setStepType(QSpinBox.StepType.AdaptiveDecimalStepType)
    spin.setRange(base(low), base(min(high, _HIGHEST)))
    spin.setKeyboardTracking(False)
    spin.setGroupSeparatorShown(base is int)
    if optional:
        spin.setSpecialValueText(ANY)
        return spin, spin.valueChanged, lambda: spin.value() or None, lambda value: spin.setValue(value or 0)
    return spin, spin.valueChanged, spin.value, spin.setValue


def _split(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A kind and what is noted beside it."""
    if get_origin(hint) is Annotated:
        kind, *extras = get_args(hint)
        return kind, tuple(extras)
    return hint, ()
