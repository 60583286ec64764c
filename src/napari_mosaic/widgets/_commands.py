"""Segmenting without the panel: one call for scripts, one command for menus.

One decision: both start the same job as the panel and return at once; a script that wants the layers
waits for the job, which keeps the viewer alive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Layer
from napari.utils.notifications import show_error, show_info, show_warning
from napari.viewer import Viewer
from qtpy.QtCore import QObject

from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.image.layers import layer_size
from napari_mosaic.progress import Progress
from napari_mosaic.record.label_layer import SAM2
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.registry import present_models
from napari_mosaic.tiling import Box
from napari_mosaic.widgets import _knowing, _runs, _sources
from napari_mosaic.widgets._dialogs import is_record
from napari_mosaic.widgets._facts import RecordFacts
from napari_mosaic.widgets._guard import keep_out_triton
from napari_mosaic.widgets._layers import RecordLayers
from napari_mosaic.widgets._napari import real
from napari_mosaic.widgets._places import place_beside
from napari_mosaic.widgets._sketch import Sketcher
from napari_mosaic.widgets._worker import Worker, WorkFailure
from napari_mosaic.words import counted


def segment_layer(
    viewer: Viewer,
    layer: Layer | str,
    output: str | Path | None = None,
    *,
    params: SegmentParams | None = None,
    sam: SamParams | None = None,
    region: Any = None,
    only: Box | None = None,
) -> Worker:
    """Segment a layer of an open viewer in the background and add joints and tesserae as they come.

    Masks that SAM 2 keeps beside the tesserae (method `sam2`) are a Labels layer of their own.

    Parameters
    ----------
    viewer
        The viewer that the layer is in.
    layer
        An Image layer or its name.
    output
        The record, `NAME.mosaic.zarr`; beside the layer's file by default. One that is there is gone on with where it
        is of what the layer shows; by default another name is taken where it is not.
    params
        Method, model, scale, thresholds.
    sam
        How SAM 2 is asked, by the methods `grout+sam2` and `sam2`.
    region
        A shapely polygon in source pixels `(x, y)`, a mask or a file; the whole layer by default.
    only
        Compute only what meets this box of source pixels now.

    Returns
    -------
    Worker
        `job.wait()` keeps the viewer alive until it ends and returns the `RecordFacts`; `job.cancel()`
        stops it and keeps what is finished.

    Raises
    ------
    InputError
        If the layer is no photograph.

    Examples
    --------
    >>> job = segment_layer(viewer, "floor", "floor.mosaic.zarr")  # doctest: +SKIP
    >>> job.wait().count  # doctest: +SKIP
    """
    viewer = real(viewer)
    chosen = viewer.layers[layer] if isinstance(layer, str) else real(layer)
    if not _sources.is_photograph(chosen):
        raise InputError(f"The layer “{chosen.name}” is no flat image, so it shows no mosaic; choose an Image layer.")
    request = _runs.FindRequest(
        layer=chosen,
        place=Path(output) if output is not None else _sources.default_place(chosen),
        params=params or SegmentParams(),
        sam=sam,
        region=region,
        only=only,
        focus=_sources.middle(_sources.view_box(viewer, chosen)),
        elsewhere=output is None,
        sketcher=Sketcher(_sources.view_box(viewer, chosen)),
    )
    word = layer_size(chosen)[1]
    if word:
        show_warning(word)
    keep_out_triton()
    job = Worker(lambda: _runs.find_steps(request))
    show = _Show(viewer, request, job)
    job.stepped.connect(show.step)
    job.ended.connect(show.end)
    return job.start()


def segment_selected_layer(viewer: Viewer) -> None:
    """The command *Find tesserae in the selected layer*: needs no panel."""
    _segment_selected(real(viewer), SegmentParams())


def segment_selected_guided(viewer: Viewer) -> None:
    """The command *Find tesserae with joints and SAM 2 in the selected layer*."""
    _segment_with_sam(real(viewer), "grout+sam2")


def segment_selected_sam2(viewer: Viewer) -> None:
    """The command *Find tesserae with SAM 2 in the selected layer*: its automatic masks."""
    _segment_with_sam(real(viewer), "sam2")


def _segment_with_sam(viewer: Viewer, method: str) -> None:
    here = present_models()
    if not here:
        show_error("No model of SAM 2 is here yet: choose or download one in the panel “Mosaic”, at the step Find.")
        return
    usual = SamParams()
    sam = usual if usual.model in here else replace(usual, model=min(here))
    _segment_selected(viewer, SegmentParams(method=method), sam)


def _segment_selected(viewer: Viewer, params: SegmentParams, sam: SamParams | None = None) -> None:
    layers = [layer for layer in viewer.layers.selection if _sources.is_photograph(layer)]
    if not layers:
        show_error("Select an image layer first: the photograph of a mosaic.")
        return
    try:
        output = _other_place(layers[0], params.method)
    except MosaicError as error:
        show_error(str(error))
        return
    job = segment_layer(viewer, layers[0], output, params=params, sam=sam)
    bar = _Bar(job)
    job.stepped.connect(bar.step)
    job.ended.connect(bar.end)
    announce(job, found_words)


def _other_place(layer: Layer, method: str) -> Path | None:
    """Where the record goes, where the one at the usual place was made by another method; None for the usual place."""
    place = _sources.default_place(layer)
    if not is_record(place):
        return None
    facts = _knowing.read_facts(place)
    return None if facts.method == method else place_beside(facts, method, method)


def announce(job: Worker, words: Callable[[Any], str]) -> None:
    """Say in the viewer how a job ended."""
    job.returned.connect(lambda value: show_info(words(value)))
    job.failed.connect(lambda failure: show_error(str(failure)))


def found_words(facts: RecordFacts) -> str:
    """What a run has found, in a sentence."""
    by = " by SAM 2" if facts.labels == SAM2 else ""
    return f"{counted(facts.count, 'tessera')}{by}, kept in {facts.path}."


class _Show(QObject):
    """Shows what a job has finished; lives as long as the job."""

    def __init__(self, viewer: Viewer, request: _runs.FindRequest, job: Worker) -> None:
        super().__init__(job)
        self._viewer, self._request, self._job = viewer, request, job
        self._shown: RecordLayers | None = None
        job.lingers = lambda: self._shown is not None and self._shown.busy

    def step(self, event: Any) -> None:
        """Add layers when the record opens, refresh them as it grows."""
        if isinstance(event, _runs.Opened):
            self._shown = RecordLayers(self._viewer, event, self._job)
            if self._request.sketcher is not None:
                self._shown.follow(self._request.sketcher)
        elif isinstance(event, _runs.Joined) and self._shown is not None:
            self._shown.join(event)
        elif isinstance(event, _runs.Saved):
            self._request.layer.metadata[_sources.SOURCE] = str(event.path)
        elif isinstance(event, Progress) and self._shown is not None:
            self._shown.note(event.phase, event.region)

    def end(self) -> None:
        """Read once more what is shown, then let go."""
        if self._shown is not None:
            self._shown.shown.connect(self._release)
            self._shown.settle()

    def _release(self) -> None:
        if self._shown is not None and not self._shown.busy:
            self._shown.close()
            self._job.let_go()


class _Bar(QObject):
    """A job in napari's activity dock."""

    def __init__(self, job: Worker) -> None:
        super().__init__(job)
        from napari.utils import progress

        self._bar = progress(total=1000, desc="Finding tesserae")

    def step(self, event: Any) -> None:
        """Move the bar."""
        if isinstance(event, Progress) and event.unit and event.total > 0 and event.phase in ("tesserae", "masks"):
            self._bar.n = round(1000 * min(1.0, event.done / event.total))
            self._bar.refresh()

    def end(self) -> None:
        """Take the bar away."""
        self._bar.close()


__all__ = ["WorkFailure", "Worker", "segment_layer", "segment_selected_layer"]
