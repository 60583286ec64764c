"""A form made from a dataclass of parameters, by magicgui.

One decision: names, kinds, bounds, choices and help come from the dataclass alone, so a form can neither offer what the
core refuses nor keep a default of its own. magicgui makes the widgets from the annotations; what it does not know, a
number that may be left open, is a spin box whose lowest value reads as none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from magicgui.widgets import FloatSpinBox, create_widget
from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QToolButton, QVBoxLayout, QWidget

from napari_mosaic.limits import Limits
from napari_mosaic.widgets._forms import form_layout

ANY = "–"
"""What a number shows that is not set."""

_HIGHEST = 1_000_000_000


class ParamsForm(QWidget):
    """One frozen dataclass: the fields named in `first` at the top, the others behind *More*.

    `changed` comes for what a person does. Values that do not go together are the dataclass's own business:
    `value()` raises what it raises. `fields` holds magicgui's widget of each parameter.
    """

    changed = Signal()

    def __init__(self, kind: type[Any], first: Sequence[str], leave_out: Sequence[str] = ()) -> None:
        super().__init__()
        self._kind = kind
        self._start: Any = kind()
        hints = get_type_hints(kind, include_extras=True)
        names = [field.name for field in fields(kind) if field.name not in leave_out]
        self.fields: dict[str, ValueWidget[Any]] = {name: make_field(name, hints[name]) for name in names}
        self._more = QToolButton()
        self._more.setText("More …")
        self._more.setCheckable(True)
        self._labels = {name: QLabel(field.label) for name, field in self.fields.items()}
        top, rest = QWidget(), QWidget()
        rows = {True: form_layout(top), False: form_layout(rest)}
        for name in [*first, *(name for name in names if name not in first)]:
            self._labels[name].setToolTip(self.fields[name].tooltip or "")
            rows[name in first].addRow(self._labels[name], self.fields[name].native)
        rest.setVisible(False)
        self._more.toggled.connect(rest.setVisible)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for widget in (top, self._more, rest):
            layout.addWidget(widget)
        self.set_value(self._start)
        for field in self.fields.values():
            field.changed.connect(lambda *_: self.changed.emit())

    def value(self) -> Any:
        """What is set; raises `InputError` where it does not go together."""
        hidden = {field.name: getattr(self._start, field.name) for field in fields(self._kind)}
        return self._kind(**hidden | {name: read_field(field) for name, field in self.fields.items()})

    def set_value(self, value: Any) -> None:
        """Show a value without a signal; what has no field is kept."""
        self._start = value
        for name, field in self.fields.items():
            given = getattr(value, name)
            with field.changed.blocked():
                field.value = 0 if given is None and isinstance(field, _OpenNumber) else given

    def show_field(self, name: str, shown: bool) -> None:
        """Hide a field that means nothing now."""
        for widget in (self._labels[name], self.fields[name].native):
            widget.setVisible(shown)


class _OpenNumber(FloatSpinBox):
    """A number that may be left open: its lowest value, 0, reads as none."""

    def __init__(self, base: type, **settings: Any) -> None:
        super().__init__(min=0, **settings)
        self.base = base
        self.native.setDecimals(0 if base is int else 2)
        self.native.setSpecialValueText(ANY)


def read_field(field: ValueWidget[Any]) -> Any:
    """What a field says; None where a number is left open."""
    return (field.base(field.value) or None) if isinstance(field, _OpenNumber) else field.value


def make_field(name: str, hint: Any) -> ValueWidget[Any]:
    """The widget of one parameter, from its annotation: kind, bounds, choices and help."""
    kind, extras = _split(hint)
    limits = next((extra for extra in extras if isinstance(extra, Limits)), None)
    told = limits.help if limits else next((extra for extra in extras if isinstance(extra, str)), "")
    shared = {"name": name, "label": name.replace("_", " ").capitalize()}
    low, high = (limits.low, min(limits.high, _HIGHEST)) if limits else (0, _HIGHEST)
    base = next((part for part in get_args(kind) if part is not NoneType), kind) if _is_optional(kind) else kind
    if _is_optional(kind) and base in (int, float):
        field: Any = _OpenNumber(base, max=high, tooltip=told, **shared)
    elif base in (int, float):
        field = create_widget(annotation=base, options={"min": base(low), "max": base(high), "tooltip": told}, **shared)
    else:
        field = create_widget(annotation=base, options={"tooltip": told}, **shared)
    _fit(field.native, fine=0 < low < 1e-3 or high <= 1.0)
    return field  # type: ignore[no-any-return]


def _fit(native: Any, *, fine: bool) -> None:
    """What magicgui leaves to the toolkit: decimals, steps, and boxes no wider than they must be."""
    if isinstance(native, QDoubleSpinBox):
        native.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        if native.decimals() and fine:
            native.setDecimals(7)
    if isinstance(native, QComboBox):
        native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        native.setMinimumContentsLength(8)
    if hasattr(native, "setKeyboardTracking"):
        native.setKeyboardTracking(False)


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind)


def _split(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A kind and what is noted beside it."""
    if get_origin(hint) is Annotated:
        kind, *extras = get_args(hint)
        return kind, tuple(extras)
    return hint, ()
