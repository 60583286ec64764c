"""The choice of a model: what is here, how what is not here is had, and files of a person's own.

One decision: whichever dock needs a model has this same choice, which fetches by itself; a dock hears of a model once
it is chosen, and whether it can be used at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_mosaic.data_sizes import data_size
from napari_mosaic.progress import Progress
from napari_mosaic.sam.registry import present_models, sam_registry
from napari_mosaic.weights import WeightsEntry, download_steps, registry
from napari_mosaic.widgets import _dialogs
from napari_mosaic.widgets._view import add_rows, narrow_combo, note, progress_bar, push_button, side_by_side
from napari_mosaic.widgets._worker import Worker

Kind = Literal["joints", "sam2"]
FILE = "A file …"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """One model that can be named: whether it is here, can be fetched, and what is said of it."""

    name: str
    here: bool
    fetched: bool = False
    about: str = ""
    url: str = ""


def known_models(kind: Kind) -> tuple[ModelFacts, ...]:
    """The models of a kind, those that are here first."""
    entries = sam_registry() if kind == "sam2" else registry()
    here = present_models() if kind == "sam2" else entries
    found = [_facts(entry, entry.name in here) for entry in entries.values()]
    return tuple(sorted(found, key=lambda facts: (not facts.here, facts.name)))


def is_here(kind: Kind, model: str) -> bool:
    """Whether a model, by name or file, can be used at once."""
    return any(facts.here for facts in known_models(kind) if facts.name == model) or Path(model).is_file()


def _facts(entry: WeightsEntry, here: bool) -> ModelFacts:
    known = entry.url is not None and entry.sha256 is not None
    return ModelFacts(name=entry.name, here=here, fetched=known, about=entry.summary, url=entry.url or "")


class ModelChoice(QWidget):
    """A box of models, and below it what stands against one that is not here, with a button that fetches it.

    `chosen(str)` is a name or a file, again once it was fetched; `failed(object)` why it was not.
    """

    chosen = Signal(str)
    failed = Signal(object)

    def __init__(self, kind: Kind, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kind = kind
        self._models: dict[str, ModelFacts] = {}
        self._value = ""
        self._job: Worker | None = None
        self.box, self.words, self.bar = narrow_combo(), note(), progress_bar()
        self.box.setPlaceholderText("none chosen yet")
        self.fetch = push_button("Download", "Fetch it once; it is kept on this computer.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        add_rows(column, self.box, side_by_side(self.words, self.fetch, wide=0), self.bar)
        self.box.activated.connect(self._activated)
        self.fetch.clicked.connect(lambda _=False: self._press())
        self.set_value("")

    @property
    def here(self) -> bool:
        """Whether what is chosen can be used at once."""
        facts = self._models.get(self._value)
        return facts.here if facts is not None else bool(self._value)

    @property
    def fetching(self) -> bool:
        """Whether a model is being fetched."""
        return self._job is not None

    def value(self) -> str:
        """The name or the file that is chosen; empty for none."""
        return self._value

    def set_value(self, model: str) -> None:
        """Choose a model, by name or file, without a signal; what is here is looked up anew."""
        self._value = model
        self._models = {facts.name: facts for facts in known_models(self._kind)}
        own = [] if not model or model in self._models else [model]
        with QSignalBlocker(self.box):
            self.box.clear()
            for name in (*own, *self._models):
                facts = self._models.get(name)
                here = facts is None or facts.here
                self.box.addItem(f"{Path(name).name}{'' if here else ' (not here)'}", name)
                about = name if facts is None else facts.about
                self.box.setItemData(self.box.count() - 1, about, Qt.ItemDataRole.ToolTipRole)
            self.box.addItem(FILE, "")
            self.box.setCurrentIndex(self.box.findData(model) if model else -1)
        self._show()

    def shut(self) -> None:
        """Fetch no more; what came is kept and gone on with."""
        if self._job is not None:
            self._job.abandon()
            self._job = None

    def _activated(self, index: int) -> None:
        name = str(self.box.itemData(index)) or _dialogs.ask_model(self, self._kind)
        changed = name and name != self._value
        self.set_value(name or self._value)
        if changed:
            self.chosen.emit(name)

    def _press(self) -> None:
        if self._job is not None:
            self._job.cancel()
            return
        entry = sam_registry()[self._value] if self._kind == "sam2" else registry()[self._value]
        job = Worker(lambda: download_steps(entry))
        job.stepped.connect(self._stepped)
        job.failed.connect(self.failed.emit)
        job.ended.connect(self._ended)
        self._job = job.start()
        self._stepped(Progress(phase="download", done=0, total=0))
        self._show()

    def _stepped(self, progress: Progress) -> None:
        self.bar.setRange(0, 1000 if progress.total else 0)
        self.bar.setValue(round(1000 * progress.done / progress.total) if progress.total else 0)
        if progress.total:
            self.words.setText(f"{data_size(progress.done * 1e6)} of {data_size(progress.total * 1e6)}")

    def _ended(self) -> None:
        self._job = None
        self.set_value(self._value)
        if self.here:
            self.chosen.emit(self._value)

    def _show(self) -> None:
        facts, busy = self._models.get(self._value), self._job is not None
        absent = facts is not None and not facts.here
        self.box.setEnabled(not busy)
        self.fetch.setText("Cancel" if busy else "Download")
        self.fetch.setVisible(absent and facts is not None and facts.fetched)
        self.words.setVisible(absent)
        self.bar.setVisible(busy)
        if absent and facts is not None and not busy:
            self.words.setText(_how_to_get(facts))


def _how_to_get(facts: ModelFacts) -> str:
    """How a model that is not here is had."""
    if facts.fetched:
        size = facts.about.rpartition("(")[2].partition(")")[0]
        return f"Not on this computer: download it ({size}), or choose “{FILE}”."
    return f"Not on this computer. Fetch it by hand from {facts.url}, then choose “{FILE}”."
