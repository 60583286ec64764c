"""Finding, previewing and exporting as simple functions, each of which is also a form of magicgui.

One decision: they are functions with annotations and nothing else, so a script calls them, `magicgui` makes a form of
them, and `viewer.window.add_function_widget(function)` puts that into a viewer. Defaults, bounds and choices come from
the parameter dataclasses; what takes long is a job and returns at once. The annotations are objects and no text,
because magicgui looks for a return value's kind in no module.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

from napari import current_viewer
from napari.layers import Image, Labels
from napari.types import LayerDataTuple
from napari.viewer import Viewer

from napari_mosaic.engine.segmenters import method_names
from napari_mosaic.errors import InputError
from napari_mosaic.export import FORMATS
from napari_mosaic.limits import Limits
from napari_mosaic.record import open_record
from napari_mosaic.record.label_layer import TESSERAE
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.params import SamParams
from napari_mosaic.segmentation import preview_tesserae as cut_again
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.widgets import _runs
from napari_mosaic.widgets._commands import announce, found_words, segment_layer
from napari_mosaic.widgets._edited import is_tesserae, record_of
from napari_mosaic.widgets._facts import Tuning
from napari_mosaic.widgets._napari import real
from napari_mosaic.widgets._sources import lying_like, view_box
from napari_mosaic.widgets._tuning import PREVIEW_PX, central, tessera_params
from napari_mosaic.widgets._worker import Worker

_USUAL = SegmentParams()
_HINTS = get_type_hints(TesseraParams, include_extras=True)


def _bounded(name: str, label: str, kind: type, told: str = "") -> Any:
    """A field of `TesseraParams` as magicgui takes it: its kind, bounds and help, or other words for that."""
    limits = next(extra for extra in get_args(_HINTS[name])[1:] if isinstance(extra, Limits))
    options = {"min": kind(limits.low), "max": kind(limits.high), "label": label, "tooltip": told or limits.help}
    return Annotated[kind, options | ({"step": 0.05} if kind is float else {})]


if TYPE_CHECKING:
    Threshold = float
    Smallest = int
    SmallestThere = int
    Formats = str
    Methods = str
else:
    Threshold = _bounded("threshold", "Joint from", float)
    Smallest = _bounded("min_area", "Smallest tessera", int)
    SmallestThere = _bounded("min_area", "Smallest tessera", int, "smallest tessera kept, in pixels of the analysis")
    Methods = Annotated[str, {"choices": lambda *_: method_names(), "tooltip": "how; see the panel's step Find"}]
    Formats = Literal[tuple(FORMATS)]


def segment_this_layer(
    viewer: Viewer,
    photograph: Image,
    threshold: Threshold = _USUAL.threshold,
    smallest: Smallest = _USUAL.min_area,
    view_only: bool = False,
    method: Methods = _USUAL.method,
    sam2_model: str = SamParams.model,
) -> Worker:
    """Find the tesserae of a photograph; joints and tesserae appear as they come.

    Parameters
    ----------
    viewer
        The viewer that the photograph is in.
    photograph
        An Image layer. The record goes beside its file, and one that is there is gone on with.
    threshold, smallest
        As `SegmentParams.threshold` and `min_area`.
    view_only
        Whether to compute only what the canvas shows.
    method
        As `SegmentParams.method`.
    sam2_model
        Name or file of the model that the methods with SAM 2 ask.

    Returns
    -------
    Worker
        As `segment_layer` returns it; the form has no use for it.

    Raises
    ------
    InputError
        The layer is no photograph.

    Examples
    --------
    >>> viewer.window.add_function_widget(segment_this_layer)  # doctest: +SKIP
    """
    core = round(1 - threshold, 4)
    params = SegmentParams(method=method, threshold=threshold, core_threshold=core, min_area=smallest)
    layer, sam = real(photograph), SamParams(model=sam2_model)
    only = view_box(real(viewer), layer) if view_only else None
    job = segment_layer(real(viewer), layer, params=params, sam=sam, only=only)
    _tell(job, found_words)
    return job


def export_tesserae(tesserae: Labels, file: Path, format: Formats = "csv") -> Worker:  # noqa: A002 - the form's word
    """Write the tesserae of a record for other programs, in the background.

    Parameters
    ----------
    tesserae
        The Labels layer of a record.
    file
        Where to; replaced where it is there.
    format
        One of `napari_mosaic.export.FORMATS`.

    Returns
    -------
    Worker
        `job.wait()` returns the file.

    Raises
    ------
    InputError
        The layer shows no record, or no file is given.
    """
    record = _record(tesserae)
    if not file.name:
        raise InputError("No file is given, so there is nowhere to write to; choose one.")
    job = Worker(lambda: _runs.export_steps(record, format, file, TESSERAE))
    _tell(job, lambda written: f"Saved as {written}.")
    return job.start()


def preview_tesserae(
    tesserae: Labels, threshold: Threshold = _USUAL.threshold, smallest: SmallestThere = _USUAL.min_area
) -> LayerDataTuple:
    """The tesserae in view as they would be with other rules, as a layer of its own; the record stays as it is.

    Parameters
    ----------
    tesserae
        The Labels layer of a record.
    threshold, smallest
        As `TesseraParams.threshold` and `min_area` of the record's plan: areas in pixels of the working grid.

    Returns
    -------
    LayerDataTuple
        At most 3 megapixels of the working grid around the middle of the view; napari adds it, and replaces the last.

    Raises
    ------
    InputError
        The layer shows no record.
    """
    layer = real(tesserae)
    with open_record(_record(layer)) as record:
        box = central(view_box(current_viewer(), layer).clip(record.shape), PREVIEW_PX)
        rules = tessera_params(Tuning(threshold=threshold, min_area=smallest), record.plan.tesserae)
        labels = cut_again(record, box, rules)
    meta = {"name": f"{layer.name} (rules)", "colormap": layer.colormap, **lying_like(layer, box)}
    return LayerDataTuple((labels, meta, "labels"))


def _record(tesserae: Labels) -> Path:
    layer = real(tesserae)
    if not is_tesserae(layer):
        raise InputError(
            f"The layer “{layer.name}” shows no tesserae of a record, so there is nothing to read from; "
            "choose the tesserae layer of a record."
        )
    return record_of(layer)


def _tell(job: Worker, words: Any) -> None:
    """Say in the viewer, where there is one, how a job ended; a script has the job's own result."""
    if current_viewer() is not None:
        announce(job, words)
