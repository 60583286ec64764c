"""Comparing files: a record, labels or a mask against the truth in whatever form it was drawn.

One decision: both sides become labels on the grid of the truth and are compared there; a figure that
is printed never depends on which side was enlarged or which of the two colours a mask means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.area_files import Grid, read_geometry
from napari_mosaic.areas import rasterise, read_json
from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.grout_metrics import GroutMetrics, evaluate_grout
from napari_mosaic.mask_files import UNREADABLE, read_pixels
from napari_mosaic.measurement.source_grid import read_source_labels
from napari_mosaic.metrics import SLIVER, Metrics, Overlaps, add_overlaps, count_overlaps, summarise
from napari_mosaic.objects import as_place, is_remote
from napari_mosaic.record import Record, open_record
from napari_mosaic.record.label_layer import TESSERAE
from napari_mosaic.tiling import Box

Meaning = Literal["auto", "labels", "tesserae", "grout"]

_BAND_PIXELS = 2**23
"""Pixels that are compared at once. *Not varied.*"""
_INVERTED = 0.25
"""Share of the true tesserae, and of the true joints, below which a mask that finds them is taken for an inverted one:
by chance each would be a half. Both must be low: a mask that is nearly black finds no tessera, but all joints."""
_GROUT_LIMIT = 2**26
"""Grout lines are compared up to this many pixels; beyond, centre lines take too long to be worth it."""


@dataclass(frozen=True, kw_only=True)
class EvaluationParams:
    """How files are read for a comparison."""

    prediction_is: Annotated[Meaning, "what the prediction's pixels mean: labels, or white tesserae or grout"] = "auto"
    truth_is: Annotated[Meaning, "what the truth's pixels mean: labels, or white tesserae or grout"] = "auto"
    min_area: Annotated[int, "regions of masks under this many pixels are specks and dropped"] = 0
    tolerance: Annotated[float, "pixels within which two edges of grout agree"] = 2.0
    labels: Annotated[str | None, "which labels of predicted records, by default what their method found"] = None
    slivers: Annotated[
        Literal["leave-out", "count"],
        f"regions under {SLIVER:.0%} of the median true tessera, cut off by an edge: leave-out, or count them as the "
        "field's plain definition does",
    ] = "leave-out"

    @property
    def sliver(self) -> float:
        """Part of the median true tessera below which a region is not counted."""
        return SLIVER if self.slivers == "leave-out" else 0.0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The figures of one comparison; `grout` is None where the image is too large for them.

    `metrics` are those that were asked for: `without_slivers`, or `plain`, in which every region counts.
    """

    prediction: str
    truth: str
    metrics: Metrics
    grout: GroutMetrics | None
    without_slivers: Metrics
    plain: Metrics

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        return asdict(self)

    @property
    def sliver_rule(self) -> str:
        """The rule by which `metrics` count, in a sentence, and what it leaves out here."""
        without, plain = self.without_slivers, self.plain
        true, found = plain.truth - without.truth, plain.predicted - without.predicted
        which = f"{true:,} true and {found:,} predicted regions under {SLIVER:.0%} of the median true tessera"
        if self.metrics is without:
            return (
                f"Slivers are left out: {which} (true ones anywhere, predicted ones at the edge); "
                "--slivers count takes all regions."
            )
        return f"Every region counts, {which} among them; --slivers leave-out takes them for slivers."


@dataclass(frozen=True)
class LabelGrid:
    """Labels, or any values, that are read by box, `(y, x)` on their own grid."""

    shape: tuple[int, int]
    read: Callable[[Box], NDArray[Any]]
    guessed: bool = False
    """Whether it was a mask of which nobody said what is white."""


@dataclass(frozen=True)
class TruthPlace:
    """A truth drawn over an enlarged crop of a photograph: where it is and by how much."""

    box: Box
    zoom: int
    ignore: tuple[Box, ...]
    photograph: str = ""


@dataclass(frozen=True)
class Truth:
    """The labels of a truth on their own grid and, where that is an enlarged crop, its place."""

    labels: LabelGrid
    crop: TruthPlace | None

    def cut(self, labels: LabelGrid, name: str) -> LabelGrid:
        """What lies on the photograph brought to the grid of the truth."""
        return labels if self.crop is None else _cropped(labels, self.crop, self.labels.shape, name)

    def align(
        self, labels: LabelGrid, names: tuple[str, str], ignore: str | Path | None
    ) -> tuple[LabelGrid, NDArray[np.bool_] | None]:
        """Labels of the photograph and what is left out, on the truth's grid; `InputError` where they do not fit."""
        left_out, cut = self.ignored(ignore, labels.shape), self.cut(labels, names[0])
        require_same(cut.shape, self.labels.shape, *names)
        return cut, left_out

    def ignored(self, path: str | Path | None, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
        """What the truth itself and a file on the photograph's grid (`shape`) leave out, on the truth's grid."""
        left_out = None if path is None else _read_ignored(path, shape)
        return left_out if self.crop is None else _crop_ignored(self.crop, left_out, self.labels.shape)


def evaluate_files(
    prediction: str | Path,
    truth: str | Path,
    *,
    params: EvaluationParams | None = None,
    ignore: str | Path | None = None,
) -> Evaluation:
    """Compare a prediction with the truth.

    Parameters
    ----------
    prediction
        A record (of its labels, those that `params` names), `RECORD/labels/NAME`, or an image or `.npy` of labels or of
        a mask, as large as the photograph.
    truth
        The same, of a record its tesserae, or a `NAME.json` that tells the place of the labels `NAME.png`: the crop
        `y`, `x`, `size` of the photograph, its `zoom`, and boxes `ignore` `[x0, y0, x1, y1]` in enlarged pixels.
    params
        What the pixels of masks mean.
    ignore
        What to leave out: a mask image, a vector file, or JSON with `ignore` boxes, on the photograph.

    Raises
    ------
    MosaicError
        One of its kinds: a file is missing or unreadable, or the two do not fit each other.

    """
    params = params or EvaluationParams()
    with ExitStack() as stack:
        true = open_truth(truth, params, stack)
        predicted = open_prediction(prediction, params, stack)
        return compare_labels(predicted, true, params, (str(prediction), str(truth)), ignore)


def compare_labels(
    predicted: LabelGrid,
    true: Truth,
    params: EvaluationParams,
    names: tuple[str, str],
    ignore: str | Path | None = None,
) -> Evaluation:
    """Compare open labels with an open truth; `names` are those of prediction and truth in messages."""
    predicted, left_out = true.align(predicted, names, ignore)
    overlaps = add_overlaps(list(_count_bands(predicted, true.labels, left_out)))
    without, plain = (summarise(overlaps, sliver=sliver) for sliver in (SLIVER, 0.0))
    if (predicted.guessed or true.labels.guessed) and _is_inverted(overlaps):
        raise InputError(
            f"{names[0]} is white nearly everywhere that {names[1]} is black, so one of them is inverted; say which "
            "with --prediction-is grout or --truth-is grout."
        )
    return Evaluation(
        prediction=names[0],
        truth=names[1],
        metrics=without if params.sliver else plain,
        without_slivers=without,
        plain=plain,
        grout=_grout(predicted, true.labels, left_out, params.tolerance),
    )


def _is_inverted(overlaps: Overlaps) -> bool:
    """Whether tesserae are where joints should be, and joints where tesserae should be."""
    counted = overlaps.area - overlaps.ignored
    true, found = overlaps.truth > 0, overlaps.predicted > 0
    sides = [(int(counted[side & (found == true)].sum()), int(counted[side].sum())) for side in (true, ~true)]
    return all(whole > 0 and right < _INVERTED * whole for right, whole in sides)


def _count_bands(predicted: LabelGrid, true: LabelGrid, ignore: NDArray[np.bool_] | None) -> Iterator[Overlaps]:
    for band in bands(true.shape, _BAND_PIXELS):
        edges = (band.y0 == 0, band.y1 == true.shape[0], True, True)
        left_out = None if ignore is None else ignore[band.slices]
        yield count_overlaps(predicted.read(band), true.read(band), ignore=left_out, edges=edges)


def bands(shape: tuple[int, int], pixels: int) -> Iterator[Box]:
    """A grid in bands of about so many pixels, from the top."""
    height, width = shape
    rows = max(1, pixels // width)
    for y in range(0, height, rows):
        yield Box(y, 0, min(y + rows, height), width)


def _grout(
    predicted: LabelGrid, true: LabelGrid, ignore: NDArray[np.bool_] | None, tolerance: float
) -> GroutMetrics | None:
    whole = Box(0, 0, *true.shape)
    if whole.area > _GROUT_LIMIT:
        return None
    return evaluate_grout(predicted.read(whole) == 0, true.read(whole) == 0, tolerance=tolerance, ignore=ignore)


def open_truth(path: str | Path, params: EvaluationParams, stack: ExitStack) -> Truth:
    """Open a truth of any form that `evaluate_files` takes; what it opens is closed by `stack`."""
    crop, labels = read_crop(path)
    return Truth(open_labels(labels, params.truth_is, params.min_area, stack), crop)


def open_prediction(path: str | Path, params: EvaluationParams, stack: ExitStack) -> LabelGrid:
    """Open a prediction: of a record the labels that the parameters name."""
    return open_labels(path, params.prediction_is, params.min_area, stack, of_record=params.labels)


def open_labels(
    path: str | Path, meaning: Meaning, min_area: int, stack: ExitStack, of_record: str | None = TESSERAE
) -> LabelGrid:
    """Open a record, `RECORD/labels/NAME`, a label image or a mask as labels; None takes what a record's method found.

    `MissingError` where a record has no labels of that name.
    """
    path = as_place(path)
    if is_label_layer(path):
        return _record_labels(stack.enter_context(open_record(path.parents[1])).with_labels(path.name))
    if is_remote(path) or path.is_dir():
        return _record_labels(stack.enter_context(open_record(path)).with_labels(of_record))
    values = read_label_image(path)
    guessed = meaning == "auto" and _looks_like_mask(values)
    if meaning == "auto":
        meaning = "tesserae" if guessed else "labels"
    if meaning != "labels":
        bright = values > values.max() / 2
        values = label_mask(bright if meaning == "tesserae" else ~bright, min_area)
    return replace(labels_of_array(values), guessed=guessed)


def is_label_layer(path: Path) -> bool:
    """Whether a path names labels in a record."""
    return path.parent.name == "labels" and (path.parents[1] / "mosaic.json").exists()


def _record_labels(record: Record) -> LabelGrid:
    """The labels that a record shows on the grid of its photograph."""
    return LabelGrid(record.plan.source_shape, lambda box: read_source_labels(record, box))


def labels_of_array(values: NDArray[Any]) -> LabelGrid:
    """Values in memory as a grid that is read by box."""
    return LabelGrid((values.shape[0], values.shape[1]), lambda box: values[box.slices])


def read_label_image(path: str | Path) -> NDArray[Any]:
    """Whole numbers `(Y, X)` of a label image or mask: `.npy`, TIFF, PNG and what Pillow reads."""
    path = Path(path)
    if not path.exists():
        raise MissingError(f"There is no file {path} to compare; check the path.")
    try:
        values = read_pixels(path)
    except UNREADABLE as error:
        raise ReadError(f"{path} cannot be read as labels ({error}); save it as TIFF, PNG or NPY.") from error
    values = np.squeeze(values)
    if values.ndim == 3 and values.shape[-1] <= 4:
        colours = values[..., :3] if values.shape[-1] > 2 else values[..., :1]
        values = colours[..., 0] if (colours == colours[..., :1]).all() else values
    if values.ndim != 2 or values.dtype.kind not in "uib":
        raise InputError(
            f"{path} holds {values.dtype} values of the shape {values.shape}, which are no labels; "
            "give one whole number a pixel, 0 = no tessera, or a black and white mask."
        )
    return values


def _looks_like_mask(values: NDArray[Any]) -> bool:
    """Whether nearly all pixels are black or white, which no label image is."""
    top = int(values.max())
    if values.dtype.kind == "b" or top == 255:
        return float(((values == 0) | (values == top)).mean()) > 0.95
    return len(np.unique(values)) <= 2


def label_mask(mask: NDArray[np.bool_], min_area: int = 0) -> NDArray[np.int32]:
    """Number the 4-connected pieces of a mask, True on *tesserae*, of at least `min_area` pixels."""
    labels, count = ndimage.label(mask)
    small = np.bincount(labels.ravel(), minlength=count + 1) < min_area
    small[0] = False
    result: NDArray[np.int32] = np.where(small[labels], 0, labels).astype(np.int32)
    return result


def read_crop(truth: str | Path) -> tuple[TruthPlace | None, Path]:
    """The place of a truth that is a JSON file, and the file or record that holds its labels."""
    path = Path(truth)
    if path.suffix.lower() != ".json":
        return None, path
    values = read_json(path)
    try:
        size, zoom = int(values["size"]), int(values["zoom"])
        y, x = int(values["y"]), int(values["x"])
        ignore = tuple(Box(y0, x0, y1, x1) for x0, y0, x1, y1 in values.get("ignore", []))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} does not tell the place of a truth ({error}); it needs the numbers y, x, size and zoom."
        ) from error
    place = TruthPlace(Box(y, x, y + size, x + size), zoom, ignore, str(values.get("file", "")))
    return place, path.with_suffix(".png")


def _cropped(labels: LabelGrid, crop: TruthPlace, shape: tuple[int, int], name: str) -> LabelGrid:
    """Labels of the photograph cut out and enlarged like the truth."""
    if labels.shape == shape:
        return labels
    if crop.box.y1 > labels.shape[0] or crop.box.x1 > labels.shape[1]:
        raise InputError(
            f"{name} measures {labels.shape[1]} x {labels.shape[0]} px and the truth lies at "
            f"{tuple(crop.box)}, outside of it; give labels of the whole photograph."
        )
    return replace(labels_of_array(enlarge(labels.read(crop.box), crop.zoom)), guessed=labels.guessed)


def enlarge(values: NDArray[Any], zoom: int) -> NDArray[Any]:
    """Every pixel as a square of `zoom` pixels."""
    return np.repeat(np.repeat(values, zoom, axis=0), zoom, axis=1)


def _crop_ignored(crop: TruthPlace, ignore: NDArray[np.bool_] | None, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """What the truth itself and the user leave out, on the truth's grid."""
    mask = np.zeros(shape, bool)
    for box in crop.ignore:
        mask[box.slices] = True
    if ignore is not None:
        mask |= ignore if ignore.shape == shape else enlarge(ignore[crop.box.slices], crop.zoom)
    return mask


def _read_ignored(path: str | Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    path = Path(path)
    if path.suffix.lower() == ".json":
        values = read_json(path)
        if isinstance(values, dict) and "ignore" in values and "type" not in values:
            mask = np.zeros(shape, bool)
            for x0, y0, x1, y1 in values["ignore"]:
                mask[int(y0) : int(y1), int(x0) : int(x1)] = True
            return mask
    geometry = read_geometry(path, Grid(shape=shape), what="ignored area")
    return rasterise(geometry, Box(0, 0, *shape), 1.0)


def require_same(predicted: tuple[int, int], true: tuple[int, int], prediction_name: str, truth_name: str) -> None:
    """Raise `InputError` where two grids differ."""
    if predicted != true:
        raise InputError(
            f"{prediction_name} measures {predicted[1]} x {predicted[0]} px and {truth_name} "
            f"{true[1]} x {true[0]} px, so their pixels do not correspond; "
            "give both on the photograph's grid."
        )
