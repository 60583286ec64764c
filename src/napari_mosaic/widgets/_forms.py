"""Forms made from dataclasses, by magicgui.

One decision: names, kinds, bounds, choices and help come from the annotations of the dataclass, so a form can neither
offer what the core refuses nor keep a default of its own. magicgui makes every field. Three things it cannot do are
written here: a number that may be left open (a spin box whose lowest value reads as none), rows that fit into a narrow
dock with the rarer ones behind *More*, and a value that keeps the figures which nobody has touched as exactly as they
were given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from magicgui.widgets import FloatSpinBox, create_widget
from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mosaic.limits import Limits
from napari_mosaic.widgets._facts import SizeFacts, Tuning
from napari_mosaic.widgets._layers import LookValue
from napari_mosaic.widgets._view import button_row, form_layout, push_button, side_by_side
from napari_mosaic.widgets._worker import when_idle

LEAST_PX = 8
"""Smallest analysis size, in px per tessera: below it the size is measured; not varied."""

ANY = "–"
"""What a number shows that is not set."""

SETTLE_MS = 150
"""How long a slider rests before it is said to have changed; not varied."""

LEAST, MOST, LARGEST = 5, 95, 400
"""Bounds of the sliders: of the sensitivity in %, and the largest piece that is dropped, in px; not varied."""

SPIN_BUTTONS = 58
"""Pixels of a spin box that napari's two buttons take: a figure that is cut reads as another one; not varied."""

_HIGHEST = 1_000_000_000
"""Where there is no limit: what a spin box takes."""


class ValueForm(QWidget):
    """One frozen dataclass: the fields named in `first` at the top, the others behind *More*; all at the top for None.

    `changed` comes for what a person does. Values that do not go together are the dataclass's own business: `value()`
    raises what it raises. `fields` holds magicgui's widget of each parameter; `beside` are widgets at its right.
    """

    changed = Signal()

    def __init__(
        self,
        kind: type[Any],
        first: Sequence[str] | None = None,
        leave_out: Sequence[str] = (),
        beside: Mapping[str, QWidget] | None = None,
    ) -> None:
        super().__init__()
        self._kind = kind
        hints = get_type_hints(kind, include_extras=True)
        names = [field.name for field in fields(kind) if field.name not in leave_out]
        self.fields: dict[str, ValueWidget[Any]] = {name: make_field(name, hints[name]) for name in names}
        self._labels = {name: QLabel(field.label) for name, field in self.fields.items()}
        self._beside = beside or {}
        self._lay_out(names if first is None else first)
        ValueForm.set_value(self, kind())
        for field in self.fields.values():
            field.changed.connect(lambda *_: self.changed.emit())

    def value(self) -> Any:
        """What is set; raises `InputError` where it does not go together."""
        typed = {name: read_field(field) for name, field in self.fields.items()}
        moved = {name: value for name, value in typed.items() if value != self._shown[name]}
        return replace(self._start, **moved) if moved else self._start

    def set_value(self, value: Any) -> None:
        """Show a value without a signal; what has no field, and what no one touches, is kept."""
        self._start = value
        for name, field in self.fields.items():
            given = getattr(value, name)
            with field.changed.blocked():
                field.value = 0 if given is None and isinstance(field, _OpenNumber) else given
        self._shown = {name: read_field(field) for name, field in self.fields.items()}

    def show_field(self, name: str, shown: bool) -> None:
        """Hide a field that means nothing now."""
        for widget in (self._labels[name], self.fields[name].native):
            widget.setVisible(shown)

    def _lay_out(self, first: Sequence[str]) -> None:
        top, rest, more = QWidget(), QWidget(), QToolButton()
        rows = {True: form_layout(top), False: form_layout(rest)}
        for name in [*first, *(name for name in self.fields if name not in first)]:
            label, native = self._labels[name], self.fields[name].native
            label.setToolTip(self.fields[name].tooltip or "")
            field = side_by_side(native, self._beside[name], wide=0) if name in self._beside else native
            rows[name in first].addRow(label, field)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        if rows[True].rowCount():
            layout.addWidget(top)
        if rows[False].rowCount():
            more.setText("More …")
            more.setCheckable(True)
            more.toggled.connect(rest.setVisible)
            rest.setVisible(False)
            layout.addWidget(more)
            layout.addWidget(rest)


class SizeForm(ValueForm):
    """Pixel size in mm, confirmed by a person, and analysis size in px per tessera (none: it is measured)."""

    def __init__(self) -> None:
        self.confirm = push_button(
            "Confirm", "Say that this size is right; files often carry figures that mean nothing."
        )
        super().__init__(SizeFacts, leave_out=("confirmed", "origin"), beside={"pixel_mm": self.confirm})
        pixel = self.fields["pixel_mm"].native
        pixel.setMinimumWidth(pixel.fontMetrics().horizontalAdvance("0.0000") + SPIN_BUTTONS)
        self.confirm.clicked.connect(lambda _=False: self._confirm())

    def value(self) -> SizeFacts:
        """What is set; a size that a person types is that person's word."""
        size: SizeFacts = super().value()
        if size.analysis_px is not None and size.analysis_px < LEAST_PX:
            size = replace(size, analysis_px=None)
        if size.pixel_mm == self._start.pixel_mm:
            return size
        typed = size.pixel_mm is not None
        return replace(size, confirmed=typed, origin="user" if typed else "")

    def _confirm(self) -> None:
        if self._start.pixel_mm is not None:
            self.set_value(replace(self._start, confirmed=True))
            self.changed.emit()


@dataclass(frozen=True)
class AreaValue:
    """Names of the layers to stay within and to leave out; empty for none."""

    include: Annotated[str, {"label": "Within", "choices": [("all of it", "")]}] = ""
    exclude: Annotated[str, {"label": "Leave out", "choices": [("nothing", "")]}] = ""


class AreaForm(ValueForm):
    """Which part of the photograph is worked on."""

    def __init__(self) -> None:
        self.draw = push_button("Draw …", "Add a layer to draw an area in.")
        self.file = push_button("From a file …", "Take an area from a GeoJSON, a GeoPackage or a mask, white inside.")
        super().__init__(AreaValue)
        column = self.layout()
        assert isinstance(column, QVBoxLayout)
        column.addLayout(button_row(self.draw, self.file))

    def set_choices(self, names: Sequence[str]) -> None:
        """Offer these layers, keeping what is chosen where it is still there."""
        value = self.value()
        for name, none in (("include", "all of it"), ("exclude", "nothing")):
            offered = [(none, ""), *((layer, layer) for layer in names)]
            with self.fields[name].changed.blocked():
                self.fields[name].choices = lambda _, offered=offered: offered  # a function, or magicgui resets them
        self.set_value(AreaValue(*(name if name in names else "" for name in (value.include, value.exclude))))


@dataclass(frozen=True)
class Sliders:
    """Sensitivity to joints, and the area of the smallest tessera."""

    sensitivity: Annotated[
        int,
        {
            "label": "Sensitivity (%)", "widget_type": "Slider", "min": LEAST, "max": MOST,
            "tooltip": "More finds fainter joints; less leaves only the clear ones.",
        },
    ] = 50  # fmt: skip
    smallest: Annotated[
        int,
        {
            "label": "Smallest (px)", "widget_type": "Slider", "min": 0, "max": LARGEST,
            "tooltip": "Pieces of a smaller area are not taken for tesserae; in pixels of the analysis.",
        },
    ] = 0  # fmt: skip


class TuningForm(ValueForm):
    """The two sliders; `settled` comes once they rest."""

    settled = Signal()

    def __init__(self) -> None:
        super().__init__(Sliders)
        self._rest = when_idle(self, SETTLE_MS, self.settled.emit)
        self.changed.connect(self._rest.start)
        self.set_value(Tuning())

    def value(self) -> Tuning:
        """What the sliders say; finer figures that were set are kept until their slider moves."""
        said, tuning = super().value(), self._tuning
        if said.smallest != self._start.smallest:
            tuning = replace(tuning, min_area=said.smallest)
        if said.sensitivity != self._start.sensitivity:
            tuning = Tuning(threshold=round(1 - said.sensitivity / 100, 2), min_area=tuning.min_area)
        return tuning

    def set_value(self, value: Tuning) -> None:
        """Move the sliders without a signal, as far as they go."""
        self._tuning = value
        sensitivity = min(max(round(100 * (1 - value.threshold)), LEAST), MOST)
        super().set_value(Sliders(sensitivity, min(value.min_area, LARGEST)))


class LookForm(ValueForm):
    """Ways to look at a result, side by side."""

    def __init__(self) -> None:
        super().__init__(LookValue)

    def _lay_out(self, first: Sequence[str]) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        for column, name in enumerate(("joints", "tesserae", "outlines")):
            grid.addWidget(self.fields[name].native, 0, column)
        grid.addWidget(self.fields["masks"].native, 1, 0)
        grid.setColumnStretch(3, 1)
        self.show_masks(shown=False)

    def show_masks(self, *, shown: bool) -> None:
        """Offer the masks of SAM 2 beside the tesserae, where there are some."""
        self.fields["masks"].native.setVisible(shown)


class _OpenNumber(FloatSpinBox):
    """A number that may be left open: its lowest value, 0, reads as none."""

    def __init__(self, base: type, *, none: str = ANY, suffix: str = "", **settings: Any) -> None:
        super().__init__(min=0, **settings)
        self.base = base
        self.native.setSpecialValueText(none)
        self.native.setSuffix(suffix)


def read_field(field: ValueWidget[Any]) -> Any:
    """What a field says; None where a number is left open."""
    return (field.base(field.value) or None) if isinstance(field, _OpenNumber) else field.value


def make_field(name: str, hint: Any) -> ValueWidget[Any]:
    """The widget of one parameter, from its annotation: kind, bounds, choices, help, and options of magicgui."""
    kind, extras = _split(hint)
    limits = next((extra for extra in extras if isinstance(extra, Limits)), None)
    told = limits.help if limits else next((extra for extra in extras if isinstance(extra, str)), "")
    options: dict[str, Any] = {"tooltip": told}
    for extra in extras:
        options |= extra if isinstance(extra, dict) else {}
    shared = {"name": name, "label": options.pop("label", name.replace("_", " ").capitalize())}
    low, high = (limits.low, min(limits.high, _HIGHEST)) if limits else (0, _HIGHEST)
    base = next((part for part in get_args(kind) if part is not NoneType), kind) if _is_optional(kind) else kind
    decimals = options.pop("decimals", 0 if base is int else 2)
    if _is_optional(kind) and base in (int, float):
        field: Any = _OpenNumber(base, **({"max": high} | options), **shared)
        field.native.setDecimals(decimals)
    elif base in (int, float):
        field = create_widget(annotation=base, options={"min": base(low), "max": base(high)} | options, **shared)
    else:
        field = create_widget(annotation=base, options=options, **shared)
    _fit(field.native, fine=0 < low < 1e-3 or high <= 1.0)
    return field  # type: ignore[no-any-return]


def _fit(native: Any, *, fine: bool) -> None:
    """What magicgui leaves to the toolkit: decimals, and boxes no wider than they must be."""
    if isinstance(native, QDoubleSpinBox) and native.decimals() and fine:
        native.setDecimals(7)
    if isinstance(native, QComboBox):
        native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        native.setMinimumContentsLength(8)
    for spin in native.findChildren(QAbstractSpinBox):  # the figure beside a slider
        spin.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        spin.setObjectName("slid")
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
