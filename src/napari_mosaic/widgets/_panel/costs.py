"""What a run would cost, told before it begins: of all that is left, and of the view alone.

One decision: only the last answer counts, so whatever changes what a run would do asks anew and need not wait.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari_mosaic.request import SegmentParams
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.widgets import _knowing, _sources
from napari_mosaic.widgets._facts import EstimateFacts
from napari_mosaic.widgets._state import PanelState
from napari_mosaic.widgets._tuning import thresholds
from napari_mosaic.widgets._worker import Requests

if TYPE_CHECKING:
    from napari_mosaic.widgets._panel.dock import MosaicPanel


class PanelCosts:
    """Asks for the costs of a `MosaicPanel`."""

    def __init__(self, panel: MosaicPanel) -> None:
        self._panel = panel
        self._whole, self._view = Requests(panel), Requests(panel)
        self._whole.answered.connect(self._estimated)
        self._view.answered.connect(lambda cost: panel.tell(view_cost=cost))
        for worker in (self._whole, self._view):
            worker.failed.connect(panel.complain)

    def ask(self) -> None:
        """Measure what a run over all that is left would cost."""
        panel, state = self._panel, self._panel.state
        ready = panel.job is None and not state.busy
        if ready and panel.layer is not None and state.place is not None:
            job = (panel.layer, asked_params(panel.params, state), state.place, panel.methods.asked)
            self._whole.ask(partial(_knowing.estimate, *job, **panel.limits.drawn()))

    def forget(self) -> None:
        """What is asked does not count any more."""
        self._whole.forget()

    def moved(self) -> None:
        """The canvas shows another part of the photograph."""
        layer = self._panel.photograph
        if layer is not None:
            height, width = _sources.plane_shape(layer)
            self._panel.tell(view_share=max(_sources.view_box(self._panel.viewer, layer).area / (height * width), 1e-6))
            self._price()

    def close(self) -> None:
        """Ask no more."""
        self._whole.close()
        self._view.close()

    def _estimated(self, facts: EstimateFacts) -> None:
        self._panel.tell(estimate=facts, view_cost=None)
        self._price()

    def _price(self) -> None:
        layer, facts = self._panel.photograph, self._panel.state.estimate
        if layer is not None and facts is not None and facts.costs is not None:
            self._view.ask(_knowing.cost_of, facts, _sources.view_box(self._panel.viewer, layer))


def asked_params(params: SegmentParams, state: PanelState) -> SegmentParams:
    """The parameters of a run: a panel's own, with the scale and the thresholds that a person set.

    A run that goes on keeps its record's rules; a slider that was moved since asks for others, and is told.
    """
    size, estimate, rules = state.size, state.estimate, thresholds(state.tuning)
    if state.record is None:
        scale = params.scale
        if size.analysis_px and estimate is not None and estimate.tessera_px:
            scale = size.analysis_px / estimate.tessera_px
        return replace(params, scale=scale, **rules)
    applied = thresholds(state.applied)
    moved = {name: value for name, value in rules.items() if value != applied[name]}
    return replace(params, tesserae=TesseraParams(), temperature="auto", **moved)
