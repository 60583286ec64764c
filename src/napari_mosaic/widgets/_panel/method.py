"""How tesserae are found: the method, its models, how SAM 2 is asked; and what follows for the record.

One decision: a record keeps what it was made with, so whoever asks for something else gets a record beside it, which
is said; a record that is opened brings its own method into the form.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosaic.engine.planning import Quality
from napari_mosaic.errors import MosaicError
from napari_mosaic.sam.params import SamParams
from napari_mosaic.weights import registry
from napari_mosaic.widgets import _dialogs
from napari_mosaic.widgets._facts import RecordFacts
from napari_mosaic.widgets._models import is_here
from napari_mosaic.widgets._panel.method_form import HAS_QUALITY, MODES, NEEDS_MODEL, OWN
from napari_mosaic.widgets._places import place_beside

if TYPE_CHECKING:
    from napari_mosaic.request import SegmentParams
    from napari_mosaic.widgets._panel.dock import MosaicPanel


class PanelMethod:
    """The verbs of the method, for a `MosaicPanel`; its form follows `panel.params` and `panel.sam`."""

    def __init__(self, panel: MosaicPanel) -> None:
        self._panel = panel
        form = panel.view.method_form
        form.method.activated.connect(lambda index: self._chosen(form.method.itemData(index)))
        form.model.chosen.connect(self.use_model)
        form.sam_model.chosen.connect(self._use_sam_model)
        form.quality.activated.connect(lambda index: self.use_quality(form.quality.itemData(index)))
        form.sam.changed.connect(self._settled)
        for choice in (form.model, form.sam_model):
            choice.failed.connect(panel.complain)
        self.show()

    @property
    def asked(self) -> SamParams | None:
        """How SAM 2 is to be asked; None for methods that do not ask it."""
        return self._panel.sam if self._panel.params.method in MODES else None

    def use(self, method: str) -> None:
        """Find tesserae by another method from now on."""
        if method != self._panel.params.method:
            self._take(replace(self._panel.params, method=method, temperature="auto"), self._panel.sam, word=method)
        else:
            self.show()

    def use_model(self, model: str | Path) -> None:
        """Find joints with another model from now on, and tesserae by a method that has one."""
        params = self._panel.params
        method = params.method if params.method in NEEDS_MODEL else "grout"
        asked = replace(params, method=method, model=str(model), temperature="auto")
        self._take(asked, self._panel.sam, word=Path(model).stem)

    def use_quality(self, quality: Quality) -> None:
        """Look at each place once, or as well as can be, from now on."""
        params = self._panel.params
        if quality != params.quality:
            usual = params.method == type(params).method
            word = params.method if quality == "quick" else "best" if usual else f"{params.method} best"
            self._take(replace(params, quality=quality), self._panel.sam, word=word)

    def use_sam(self, settings: SamParams) -> None:
        """Ask SAM 2 like this from now on; by itself where the method does not ask it."""
        params = self._panel.params
        if params.method not in MODES:
            params = replace(params, method="sam2", temperature="auto")
        self._take(params, settings, word=Path(settings.model).stem)

    def adopt(self, facts: RecordFacts) -> None:
        """A record is shown: what it was made with counts now."""
        panel = self._panel
        changes: dict[str, Any] = {"method": facts.method, "quality": facts.quality}
        if facts.model in registry() and Path(panel.params.model).stem != facts.model:
            changes["model"] = facts.model
        panel.params = replace(panel.params, **changes)
        if facts.sam is not None:
            panel.sam = facts.sam
        self.show()

    def show(self) -> None:
        """Bring the form to what counts, and say what is not here."""
        panel, form = self._panel, self._panel.view.method_form
        form.show_method(panel.params.method)
        for choice, model in ((form.model, panel.params.model), (form.sam_model, panel.sam.model)):
            if choice.value() != model:
                choice.set_value(model)
        form.quality.setCurrentIndex(form.quality.findData(panel.params.quality))
        form.sam.set_value(panel.sam)
        panel.tell(method=panel.params.method, lacks=self._lacking())

    def close(self) -> None:
        """Fetch nothing more."""
        self._panel.view.method_form.model.shut()
        self._panel.view.method_form.sam_model.shut()

    def _take(self, params: SegmentParams, sam: SamParams, *, word: str) -> None:
        panel, record = self._panel, self._panel.state.record
        if panel.job is not None:
            panel.tell(message="Wait for the run to end, or cancel it, then choose another method.")
            self.show()
            return
        panel.params, panel.sam = params, sam
        panel.tell(model=Path(params.model).stem if params.model != type(params).model else "", estimate=None)
        self.show()
        if record is not None and not _is_made_so(record, params, sam):
            same = record.sam is not None and record.method == params.method and record.sam.model == sam.model
            panel.set_place(place_beside(record, params.method, params.method if same else word))
        panel.costs.forget()
        panel.costs.ask()

    def _lacking(self) -> str:
        """The model that is not here; empty where all are that the method needs."""
        method = self._panel.params.method
        if method in NEEDS_MODEL and not is_here("joints", self._panel.params.model):
            return self._panel.params.model
        if method in MODES and not is_here("sam2", self._panel.sam.model):
            return self._panel.sam.model
        return ""

    def _chosen(self, method: str) -> None:
        self.use((_dialogs.ask_function(self._panel) if method == OWN else method) or self._panel.params.method)

    def _use_sam_model(self, model: str) -> None:
        self.use_sam(replace(self._panel.sam, model=model, config=None))

    def _settled(self) -> None:
        """A field of SAM 2 was changed."""
        try:
            settings = self._panel.view.method_form.sam.value()
        except MosaicError as error:
            self._panel.tell(message=str(error))
            return
        self.use_sam(settings)


def _is_made_so(record: RecordFacts, params: SegmentParams, sam: SamParams) -> bool:
    """Whether a record was made like this, as far as it says."""
    if record.method != params.method or (params.method in HAS_QUALITY and record.quality != params.quality):
        return False
    if params.method in NEEDS_MODEL and Path(params.model).stem != Path(record.model).stem:
        return False
    return params.method not in MODES or record.sam is None or _plain(record.sam) == _plain(sam)


def _plain(sam: SamParams) -> SamParams:
    """Settings without where and how exactly SAM 2 runs."""
    return replace(sam, device="auto", precision="auto", points_per_batch=0)
