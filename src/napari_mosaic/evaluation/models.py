"""Many models on the same pictures: a table, a line a model, and bars.

One decision: a model is what it found, a folder with a prediction for each truth; so models, methods and people are
compared alike, each figure is the one that `evaluate` tells of the same files, and a truth without a prediction is an
error of that model, not a picture less in its mean.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_mosaic.errors import InputError
from napari_mosaic.evaluation.files import EvaluationParams
from napari_mosaic.evaluation.folders import FolderEvaluation, ImageRow, evaluate_folders_steps, mean_row, write_report
from napari_mosaic.output_files import make_folder
from napari_mosaic.plots import new_figure, save_figure
from napari_mosaic.progress import Progress, Steps, drain

TESSERAE_BARS = ("pixel_iou", "accuracy", "dice", "recall", "precision", "fm", "f1_50")
JOINT_BARS = ("joint_iou", "joint_dice", "joint_precision", "joint_recall", "joint_f", "joint_cldice")
"""Figures of the bars: those of the tables of Mosaic-SAM2 and GROUT, with the one-to-one matching beside them."""


@dataclass(frozen=True, kw_only=True)
class ModelComparison:
    """What each model has on each picture, by name of the model in the order in which they were given."""

    models: dict[str, FolderEvaluation]

    def table(self) -> FolderEvaluation:
        """The means as a table: a row a model, the last one the means of all of these."""
        rows = [{**table.mean, "image": name} for name, table in self.models.items()]
        return FolderEvaluation(rows=tuple(rows), mean=mean_row(rows))

    def means(self) -> list[ImageRow]:
        """One row a model: its name, and the means of its figures over the pictures."""
        return [{"model": name, **_figures_of(table.mean)} for name, table in self.models.items()]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        return {"models": {name: table.to_dict() for name, table in self.models.items()}}

    def to_csv(self, *, joints: bool = False) -> str:
        """Every model on every picture, and its mean; with `joints` their columns first."""
        file = io.StringIO()
        first = next(iter(self.models.values()))
        writer = csv.DictWriter(file, ["model", *first.columns(joints=joints)], lineterminator="\n")
        writer.writeheader()
        for name, table in self.models.items():
            writer.writerows({"model": name, **row} for row in (*table.rows, table.mean))
        return file.getvalue()

    def to_text(self, *, joints: bool = False) -> str:
        """The means to be read, a line a model."""
        text = self.table().to_text(mean=False, joints=joints)
        return text.replace("image", "model", 1)


def compare_models(
    models: Mapping[str, str | Path], truths: str | Path, *, params: EvaluationParams | None = None
) -> ModelComparison:
    """Compare many models on the same pictures; see `compare_models_steps`."""
    return drain(compare_models_steps(models, truths, params=params))


def compare_models_steps(
    models: Mapping[str, str | Path], truths: str | Path, *, params: EvaluationParams | None = None
) -> Steps[ModelComparison]:
    """Compare many models on the same pictures, one step a picture and model.

    Parameters
    ----------
    models
        By name of the model the folder of its predictions: records, labels or masks with the names of the truths.
    truths
        Folder of the truths, as `evaluate_folders` takes it.
    params
        What the pixels of masks mean.

    Raises
    ------
    MosaicError
        One of its kinds: no model, a truth for which a model has no prediction, files that do not fit.
    """
    if not models:
        raise InputError("There is no model to compare; give the folder of the predictions of at least one.")
    found: dict[str, FolderEvaluation] = {}
    for done, (name, folder) in enumerate(models.items()):
        steps = evaluate_folders_steps(folder, truths, params=params)
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                found[name] = stop.value
                break
            part = progress.done / max(progress.total, 1)
            yield Progress(phase="comparing", done=done + part, total=len(models), unit="models")
    return ModelComparison(models=found)


def name_models(folders: Sequence[str | Path]) -> dict[str, Path]:
    """Folders of predictions by their names; of two alike, with the folder around them."""
    paths = [Path(folder) for folder in folders]
    names = [path.resolve().name for path in paths]
    wide = [path.resolve().parent.name + "/" + name for path, name in zip(paths, names, strict=True)]
    found = {
        (long if names.count(name) > 1 else name): path for path, name, long in zip(paths, names, wide, strict=True)
    }
    if len(found) < len(paths):
        raise InputError("Two of the folders are the same or have the same names; give each model once.")
    return found


def bar_names(*, joints: bool = False) -> tuple[str, ...]:
    """The figures that are drawn as bars: of the tesserae, or of the joints."""
    return JOINT_BARS if joints else TESSERAE_BARS


def write_comparison(comparison: ModelComparison, folder: Path, *, joints: bool = False) -> list[Path]:
    """Write `models.csv`, `models.json` and `bars.png` into a folder, which is made; what is there is replaced."""
    make_folder(folder)
    written = [
        write_report(folder / name, comparison.to_dict(), comparison.to_csv(joints=joints), overwrite=True)
        for name in ("models.csv", "models.json")
    ]
    return [*written, plot_models(comparison, folder / "bars.png", joints=joints)]


def plot_models(comparison: ModelComparison, path: str | Path, *, joints: bool = False) -> Path:
    """Draw the means as bars, one group a figure and one colour a model, as PNG."""
    names = bar_names(joints=joints)
    rows = comparison.means()
    figure = new_figure(max(7.0, 1.2 * len(names) + 0.3 * len(names) * len(rows)), 4.5)
    axes = figure.subplots()
    wide = 0.8 / len(rows)
    for k, row in enumerate(rows):
        values = [float(row[name] or 0.0) for name in names]
        places = [x + (k - (len(rows) - 1) / 2) * wide for x in range(len(names))]
        bars = axes.bar(places, values, wide, label=str(row["model"]))
        axes.bar_label(bars, fmt="%.3f", fontsize=7, rotation=90, padding=2)
    axes.set_xticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylim(0, 1.15)
    axes.set_ylabel("mean over the pictures")
    figure.legend(loc="outside upper center", ncols=min(len(rows), 4), fontsize=8)
    return save_figure(figure, Path(path))


def _figures_of(row: ImageRow) -> ImageRow:
    return {name: value for name, value in row.items() if name != "image"}
