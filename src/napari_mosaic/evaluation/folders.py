"""Comparing a folder of predictions with a folder of truths: a table, a line an image, and the mean.

One decision: the truths decide what is compared. A truth without a prediction is an error, because a
mean over the images that happened to come out flatters.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_mosaic.errors import InputError, MissingError
from napari_mosaic.evaluation.files import Evaluation, EvaluationParams, evaluate_files, read_crop
from napari_mosaic.metrics import ratio
from napari_mosaic.output_files import replacing
from napari_mosaic.progress import Progress, Steps, drain

PICTURES = {".png", ".tif", ".tiff", ".npy", ".jpg", ".jpeg", ".bmp"}
_ENDINGS = ("_mask", "_labels", "_label", "_truth", "_gt", "_prediction", "_pred", ".mosaic")

_PIXELS = ("pixel_iou", "dice", "accuracy", "precision", "recall")
"""Columns of the pixels of tesserae."""

ImageRow = dict[str, float | int | str | None]


@dataclass(frozen=True, kw_only=True)
class FolderEvaluation:
    """One row an image, by name of its truth, and their mean; every figure as `evaluate_files` gives it."""

    rows: tuple[ImageRow, ...]
    mean: ImageRow

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        return {"images": list(self.rows), "mean": self.mean}

    def columns(self, *, joints: bool = False) -> list[str]:
        """The columns in order; with `joints` those of the joints first."""
        return sorted(self.mean, key=lambda name: joints and name != "image" and not name.startswith("joint_"))

    def to_csv(self, *, joints: bool = False) -> str:
        """The table as CSV, the mean in the last line; with `joints` their columns first."""
        file = io.StringIO()
        writer = csv.DictWriter(file, self.columns(joints=joints), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*self.rows, self.mean])
        return file.getvalue()

    def to_text(self, *, mean: bool = True, joints: bool = False) -> str:
        """The table to be read: aligned columns, three digits; with `joints` their pixels, not those of tesserae."""
        names = [name for name in self.columns(joints=joints) if not (joints and name in _PIXELS)]
        rows = (*self.rows, self.mean) if mean else self.rows
        lines = [names, *([_shown(row[name]) for name in names] for row in rows)]
        widths = [max(len(line[k]) for line in lines) for k in range(len(names))]
        widths[0] = -widths[0]
        return "\n".join("  ".join(map(_padded, line, widths)).rstrip() for line in lines)


def evaluate_folders(
    predictions: str | Path, truths: str | Path, *, params: EvaluationParams | None = None
) -> FolderEvaluation:
    """Compare every truth of a folder with the prediction of the same name; see `pair_files`.

    Raises
    ------
    MosaicError
        One of its kinds: no truth there, a truth without a prediction, or two files that do not fit.

    """
    return drain(evaluate_folders_steps(predictions, truths, params=params))


def evaluate_folders_steps(
    predictions: str | Path, truths: str | Path, *, params: EvaluationParams | None = None
) -> Steps[FolderEvaluation]:
    """`evaluate_folders` as a generator, one step an image."""
    pairs = pair_files(predictions, truths)
    found: dict[str, Evaluation] = {}
    for name, (prediction, truth) in pairs.items():
        found[name] = evaluate_files(prediction, truth, params=params)
        yield Progress(phase="comparing", done=len(found), total=len(pairs), unit="images")
    return table_of(found)


def table_of(found: Mapping[str, Evaluation]) -> FolderEvaluation:
    """Comparisons as a table, by name."""
    rows = [figures(name, evaluation) for name, evaluation in found.items()]
    return FolderEvaluation(rows=tuple(rows), mean=mean_row(rows))


def figures(name: str, found: Evaluation) -> ImageRow:
    """One line of the table."""
    metrics, pixels, joints, grout = found.metrics, found.metrics.pixels, found.metrics.joint_pixels, found.grout
    half = metrics.at(0.5)
    return {
        "image": name,
        "true": metrics.truth,
        "found": metrics.predicted,
        "cnt": metrics.cnt,
        "prec": metrics.prec,
        "rec": metrics.rec,
        "fm": metrics.fm,
        "f1_50": half.f1,
        "f1_75": metrics.at(0.75).f1,
        "pq_50": half.panoptic_quality,
        "best_iou": metrics.mean_best_iou,
        "pixel_iou": pixels.iou,
        "dice": pixels.dice,
        "accuracy": pixels.accuracy,
        "precision": pixels.precision,
        "recall": pixels.recall,
        "joint_dice": joints.dice,
        "joint_iou": joints.iou,
        "joint_precision": joints.precision,
        "joint_recall": joints.recall,
        "joint_f": None if grout is None else grout.boundary_f,
        "joint_cldice": None if grout is None else grout.centreline_dice,
    }


def mean_row(rows: list[ImageRow]) -> ImageRow:
    """The plain mean of every column, each image weighing the same; counts are summed."""
    mean: ImageRow = {"image": "mean", **{name: sum(int(row[name] or 0) for row in rows) for name in ("true", "found")}}
    for name in rows[0]:
        values = [float(row[name] or 0.0) for row in rows if row[name] is not None] if name not in mean else []
        if name not in mean:
            mean[name] = ratio(sum(values), len(values)) if values else None
    return mean


def pair_files(predictions: str | Path, truths: str | Path) -> dict[str, tuple[Path, Path]]:
    """Predictions and truths of the same name, by name.

    A name is a file's without its ending, without `_mask`, `_labels`, `_truth` and the like; that of a
    truth that is a crop (`NAME.json`) is also the name of the photograph that it was cut from. Records
    (`NAME.mosaic.zarr`) are predictions, or truths, like any file.
    """
    predicted = {plain_name(path): path for path in _inside(predictions)}
    pairs, missing = {}, []
    for path in _truths(truths):
        names = [plain_name(path), *_photographs(path)]
        match = next((predicted[name] for name in names if name in predicted), None)
        if match is None:
            missing.append(path.name)
        else:
            pairs[plain_name(path)] = (match, path)
    if missing:
        raise MissingError(
            f"{len(missing)} of {len(pairs) + len(missing)} truths in {truths} have no prediction of the same name in "
            f"{predictions} ({', '.join(missing[:4])}{' …' if len(missing) > 4 else ''}), so their mean would flatter; "
            "add the predictions or take the truths out."
        )
    return pairs


def plain_name(path: Path) -> str:
    """The name that a prediction and its truth share, in small letters."""
    name = path.name.lower().removesuffix(path.suffix.lower())
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name


def _inside(folder: str | Path) -> Iterator[Path]:
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingError(f"There is no folder {folder} of predictions or truths; check the path.")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURES or (path / "mosaic.json").exists():
            yield path


def _truths(folder: str | Path) -> list[Path]:
    """Crops where there are any `NAME.json` with labels beside them, else every picture and record."""
    found = list(_inside(folder))
    crops = sorted(path for path in Path(folder).glob("*.json") if path.with_suffix(".png").exists())
    if crops:
        return crops
    if not found:
        raise InputError(
            f"The folder {folder} holds no truth; give one with label images, masks, records or crops (NAME.json with "
            "NAME.png)."
        )
    return found


def _photographs(truth: Path) -> list[str]:
    crop, _ = read_crop(truth)
    return [] if crop is None or not crop.photograph else [plain_name(Path(crop.photograph))]


def _padded(word: str, width: int) -> str:
    """A word to the right of its column, or to the left where the width is negative."""
    return word.ljust(-width) if width < 0 else word.rjust(width)


def _shown(value: float | int | str | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def write_report(path: Path, values: Mapping[str, Any], text_csv: str, *, overwrite: bool = True) -> Path:
    """Write a result as CSV or JSON, by the suffix of `path`."""
    suffix = path.suffix.lower()
    if suffix not in {".csv", ".json"}:
        raise InputError(f"The name {path.name} does not tell how to write the table; let it end in .csv or .json.")
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(
            text_csv if suffix == ".csv" else json.dumps(values, indent=2), encoding="utf-8", newline="\n"
        )
    return path
