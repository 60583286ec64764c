"""The widgets of the dock *Train* in their places, and how a view is applied to them; see `_view`."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_mosaic.training import FinetuneParams, TrainParams
from napari_mosaic.training.sam.params import SamTrainParams, SamTuneParams
from napari_mosaic.widgets._forms import ValueForm
from napari_mosaic.widgets._models import ModelChoice
from napari_mosaic.widgets._plot import CurvePlot
from napari_mosaic.widgets._train.request import Task
from napari_mosaic.widgets._train.state import DATA, RECIPES, TRAIN_STEPS, TrainViewModel
from napari_mosaic.widgets._view import (
    PathLabel,
    StepsView,
    apply_button,
    button_row,
    dots,
    narrow_combo,
    note,
    show_progress,
)

_TRAIN_FIRST = ("minutes", "steps", "encoder", "batch", "rate")
_FINETUNE_FIRST = ("model", "masks", "stage", "steps", "rehearsal")
_SAM_FIRST = ("learn", "steps", "epochs", "rate", "weight_decay", "accumulate")
_SAM_TUNE_FIRST = ("trials", "goal", "crops")


class TrainView(StepsView):
    """Everything that is seen of the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(TRAIN_STEPS, parent)
        for build in (self._learn_from, self._recipe, self._run, self._curves, self._use):
            build()

    def _show(self, model: TrainViewModel, old: TrainViewModel | None) -> None:
        for button, shown in (
            (self.start, model.start),
            (self.resume, model.resume),
            (self.stop, model.stop),
            (self.use, model.use),
            (self.mark, model.mark),
            (self.learn, model.learn),
        ):
            apply_button(button, shown)
        self.source_row.setVisible(model.source_shown)
        for button in (self.mark, self.learn):
            button.setVisible(model.mark_shown)
        self.sam_model.setVisible(model.model_shown)
        self.sample.setVisible(model.sample_shown)
        for widget in (self.data, self.recipe, self.forms, self.sam_model, self.choose_source, self.choose_out):
            widget.setEnabled(model.editable)
        if old is None or old.recipes != model.recipes:
            self._offer(model.recipes)
        show_progress(self.bar, self.bar_text, model.progress)
        self.loss.set_value(model.loss)
        self.figures.set_value(model.figures)

    def form(self, task: Task) -> ValueForm:
        """The form of a task's parameters."""
        return self._forms_of[task]

    def show_task(self, task: Task, *, masks: bool) -> None:
        """Show the form of a task; `masks` where its pictures have some."""
        for form in self._forms_of.values():
            form.setVisible(form is self._forms_of[task])
        self.finetune_form.show_field("masks", masks)
        for name in ("rate", "weight_decay", "accumulate"):  # the grid varies these
            self.sam_form.show_field(name, task != "sam2-grid")

    def choose(self, box: Any, value: str) -> None:
        """Choose without a signal."""
        with QSignalBlocker(box):
            box.setCurrentIndex(max(0, box.findData(value)))

    def _learn_from(self) -> None:
        self.data = narrow_combo()
        for name, title in DATA.items():
            self.data.addItem(title, name)
        self.source = PathLabel()
        self.choose_source = dots("Choose the folder or the record.")
        self.source_row = QWidget()
        row = QHBoxLayout(self.source_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.source, 1)
        row.addWidget(self.choose_source)
        self.mark, self.learn = QPushButton(), QPushButton()
        self.mark.setToolTip(
            "The tesserae in view are right: they may be learned from. Mark several parts, then start."
        )
        self.learn.setToolTip("The tesserae in view are right: learn from them, and from all finished windows, now.")
        self.learn.setObjectName("primary")
        for widget in (self.data, self.source_row, self.mark, self.learn):
            self.steps[0].rows.addWidget(widget)

    def _recipe(self) -> None:
        self.recipe = narrow_combo()
        self.train_form = ValueForm(TrainParams, _TRAIN_FIRST, leave_out=("freeze",))
        self.finetune_form = ValueForm(FinetuneParams, _FINETUNE_FIRST)
        self.sam_form = ValueForm(SamTrainParams, _SAM_FIRST, leave_out=("model", "config"))
        self.tune_form = ValueForm(SamTuneParams, _SAM_TUNE_FIRST)
        self._forms_of: dict[Task, ValueForm] = {
            "train": self.train_form,
            "finetune": self.finetune_form,
            "sam2": self.sam_form,
            "sam2-grid": self.sam_form,
            "sam2-tune": self.tune_form,
        }
        self.forms, self.sam_model = QWidget(), ModelChoice("sam2")
        forms = QVBoxLayout(self.forms)
        forms.setContentsMargins(0, 0, 0, 0)
        for form in (self.train_form, self.finetune_form, self.sam_form, self.tune_form):
            forms.addWidget(form)
        self.steps[1].rows.addWidget(self.recipe)
        self.steps[1].rows.addWidget(self.sam_model)
        self.steps[1].rows.addWidget(self.forms)

    def _run(self) -> None:
        self.out = PathLabel()
        self.choose_out = dots("Keep the run and its model in another folder.")
        self.start, self.resume, self.stop = QPushButton("Start"), QPushButton("Go on"), QPushButton("Stop")
        self.start.setObjectName("primary")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar_text = note()
        place = QHBoxLayout()
        place.setSpacing(6)
        place.addWidget(QLabel("Folder"))
        place.addWidget(self.out, 1)
        place.addWidget(self.choose_out)
        rows = self.steps[2].rows
        rows.addLayout(place)
        rows.addLayout(button_row(self.start, self.resume, self.stop))
        rows.addWidget(self.bar)
        rows.addWidget(self.bar_text)

    def _curves(self) -> None:
        self.loss, self.figures = CurvePlot("Loss"), CurvePlot("Unseen")
        self.figures.setToolTip("Figures on pictures that the model does not learn from, 0 to 1.")
        self.sample = QCheckBox("Show what it makes of a picture")
        self.sample.setToolTip("Adds two layers: a picture, and the joints that the model finds in it now.")
        self.sample.setChecked(True)
        for widget in (self.loss, self.figures, self.sample):
            self.steps[3].rows.addWidget(widget)

    def _use(self) -> None:
        self.use = QPushButton()
        self.use.setObjectName("primary")
        self.steps[4].rows.addWidget(self.use)

    def _offer(self, recipes: tuple[str, ...]) -> None:
        chosen = self.recipe.currentData()
        with QSignalBlocker(self.recipe):
            self.recipe.clear()
            for name in recipes:
                self.recipe.addItem(RECIPES[name], name)
        self.choose(self.recipe, chosen)
