"""The fields of a method: which one, its models, and how SAM 2 is asked.

One decision: the form shows what belongs to the method that is chosen and nothing else; the figures of SAM 2 come from
its dataclass and stay behind *More* until somebody wants them.
"""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_mosaic.engine.sam.plan import AUTOMATIC, GUIDED
from napari_mosaic.engine.segmenters import method_names
from napari_mosaic.sam.params import PRESETS, SamParams
from napari_mosaic.widgets._forms import ValueForm
from napari_mosaic.widgets._models import ModelChoice
from napari_mosaic.widgets._view import GAP, form_layout, narrow_combo

MODES = {"grout+sam2": GUIDED, "sam2": AUTOMATIC}
"""How the methods with masks ask SAM 2."""

TITLES = {
    "grout": "Joints",
    "grout+sam2": "Joints + SAM 2",
    "sam2": "SAM 2, automatic",
    "grout-augmented": "Other: joints, seen eight times",
    "unet-watershed": "Other: joints, watershed",
    "gradient-watershed": "Other: colour gradient",
    "quadrangles": "Other: quadrangles",
}
TIPS = {
    "grout": "The network finds the joints; the tesserae lie between them.",
    "grout+sam2": "The joints say which tesserae there are, SAM 2 where each of them ends.",
    "sam2": "SAM 2 is asked at a grid of points; the joints are found, too.",
    "grout-augmented": "The network sees each part turned and mirrored, and the mean counts: eight times as slow.",
    "unet-watershed": "As the literature did it before: a watershed of the joints alone.",
    "gradient-watershed": "A watershed of the colour gradient, without a network.",
    "quadrangles": "The same, each tessera as the quadrangle that fits it best.",
}
QUALITIES = {"quick": "Quick", "best": "Best"}
QUALITY_TIP = (
    "Quick: each place is looked at once. Best: in three sizes, turned and mirrored, and all answers count together; "
    "it is for worn floors, and where small and large stones are together."
)
OWN = ""
"""What stands for a function of a person's own, whose name is asked for."""

INTO = {"auto": "{usual} (usual)", "sam2": "beside the tesserae", "tesserae": "as the tesserae"}
"""Where the masks of SAM 2 go; the usual place is that of the method."""
HAS_QUALITY = ("grout", "grout+sam2", "sam2", "unet-watershed")
NEEDS_MODEL = ("grout", "grout+sam2", "sam2", "grout-augmented", "unet-watershed")
_ONLY_GUIDED = ("box_prompt", "mask_prompt")


class SamForm(QWidget):
    """How SAM 2 is asked: where its masks go, the preset, and its figures behind *More*; not the model."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.into, self.preset = narrow_combo(), narrow_combo()
        for name, title in INTO.items():
            self.into.addItem(title, name)
        self.into.setToolTip("A layer of their own, to compare, or the tesserae of the record, to edit and deliver.")
        for name in PRESETS:
            self.preset.addItem(name, name)
        self.preset.setToolTip("Ours, or the settings that Mosaic-SAM2 was published with.")
        self.preset.setPlaceholderText("of your own")
        self.figures = ValueForm(SamParams, (), leave_out=("model", "config", "into"))
        rows = QWidget()
        form = form_layout(rows)
        form.addRow(_name("Masks"), self.into)
        form.addRow(_name("Preset"), self.preset)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(rows)
        column.addWidget(self.figures)
        self.into.activated.connect(lambda _: self.changed.emit())
        self.preset.activated.connect(lambda _: self._take_preset())
        self.figures.changed.connect(self.changed.emit)
        self.set_value(SamParams())

    def value(self) -> SamParams:
        """What is set; raises `InputError` where it does not go together."""
        settings: SamParams = self.figures.value()
        return replace(settings, into=self.into.currentData())

    def set_value(self, value: SamParams) -> None:
        """Show settings without a signal."""
        self.figures.set_value(value)
        with QSignalBlocker(self.into), QSignalBlocker(self.preset):
            self.into.setCurrentIndex(self.into.findData(value.into))
            self.preset.setCurrentIndex(self.preset.findData(preset_of(value)))

    def show_mode(self, mode: str) -> None:
        """Show the figures that a way of asking has: `guided` or `automatic`."""
        usual = INTO["tesserae" if mode == GUIDED else "sam2"]
        self.into.setItemText(0, INTO["auto"].format(usual=usual))
        other = "automatic:" if mode == GUIDED else "guided:"
        for name, field in self.figures.fields.items():
            alien = str(field.tooltip).startswith(other) or (mode == AUTOMATIC and name in _ONLY_GUIDED)
            self.figures.show_field(name, not alien)

    def _take_preset(self) -> None:
        self.set_value(with_preset(self.value(), self.preset.currentData()))
        self.changed.emit()


def with_preset(settings: SamParams, preset: str) -> SamParams:
    """A preset with the model, its configuration and the place of the masks of other settings."""
    kept = {name: getattr(settings, name) for name in ("model", "config", "into", "device", "precision")}
    return replace(PRESETS[preset], **kept)


def preset_of(settings: SamParams) -> str:
    """The name of the preset that settings are, whatever the model; empty for none."""
    return next((name for name in PRESETS if with_preset(settings, name) == settings), "")


class MethodForm(QWidget):
    """Method, model of the joints, model of SAM 2 and how that is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.method, self.model, self.sam_model, self.sam = (
            narrow_combo(),
            ModelChoice("joints"),
            ModelChoice("sam2"),
            SamForm(),
        )
        rows = QWidget()
        form = form_layout(rows)
        self.quality = narrow_combo()
        for name, title in QUALITIES.items():
            self.quality.addItem(title, name)
        self.quality.setToolTip(QUALITY_TIP)
        self._labels = _name("Model"), _name("SAM 2"), _name("Quality")
        form.addRow(_name("Method"), self.method)
        form.addRow(self._labels[0], self.model)
        form.addRow(self._labels[1], self.sam_model)
        form.addRow(self._labels[2], self.quality)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(rows)
        column.addWidget(self.sam)

    def show_method(self, method: str) -> None:
        """Choose a method without a signal, and show what belongs to it."""
        with QSignalBlocker(self.method):
            _fill(self.method, method)
        needs, mode = method in NEEDS_MODEL, MODES.get(method)
        for widget in (self._labels[2], self.quality):
            widget.setVisible(method in HAS_QUALITY)
        for widget in (self._labels[0], self.model):
            widget.setVisible(needs)
        for widget in (self._labels[1], self.sam_model, self.sam):
            widget.setVisible(mode is not None)
        if mode is not None:
            self.sam.show_mode(mode)


def _name(words: str) -> QLabel:
    """The name of a row, as wide as the widest, so that the fields of all forms stand below each other."""
    label = QLabel(words)
    label.setMinimumWidth(label.fontMetrics().horizontalAdvance("Method") + GAP)
    return label


def title_of(method: str) -> str:
    """What a method is called here."""
    return TITLES.get(method, f"Other: {method}")


def _fill(box: QComboBox, chosen: str) -> None:
    """Offer all methods, those of users and the chosen one among them."""
    names = [*TITLES, *sorted(set(method_names()) - set(TITLES))]
    names += [] if chosen in names else [chosen]
    box.clear()
    for name in names:
        box.addItem(title_of(name), name)
        box.setItemData(box.count() - 1, TIPS.get(name, name), 3)
    box.addItem("Other: a function of yours …", OWN)
    box.setCurrentIndex(box.findData(chosen))
