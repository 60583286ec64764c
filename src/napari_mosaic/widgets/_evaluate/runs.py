"""What the dock *Evaluate* asks for: results against a truth, as rows, curves and a picture.

One decision: a result is a file, whatever it came from, a label layer of a record among them; so the figures are those
that `evaluate` prints for the same files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.evaluation import Evaluation, EvaluationParams, compare_predictions, draw_tesserae, evaluate_files
from napari_mosaic.evaluation.files import TruthPlace, read_crop
from napari_mosaic.evaluation.folders import FolderEvaluation, pair_files, table_of, write_report
from napari_mosaic.evaluation.models import ModelComparison, compare_models_steps, name_models, write_comparison
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record.label_layer import SAM2, layer_names
from napari_mosaic.training.curves import Histories, plot_runs, read_runs
from napari_mosaic.widgets._plot import Curve

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class CompareRequest:
    """One comparison: `results` by name, each with `truth`; or a `folder` of results with a folder of truths.

    Or `models`, each a folder of results for the same folder of truths.
    """

    truth: str
    results: tuple[tuple[str, str], ...] = ()
    folder: str = ""
    models: tuple[str, ...] = ()
    params: EvaluationParams = field(default_factory=EvaluationParams)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What came out: the table, and the part found (F1) of each result, or of the mean, over the overlap asked for."""

    request: CompareRequest
    table: FolderEvaluation
    curves: tuple[Curve, ...]
    models: ModelComparison | None = None


@dataclass(frozen=True)
class TrainingRuns:
    """Folders of training runs, and the rows of their histories by name."""

    folders: tuple[str, ...] = ()
    histories: Histories = field(default_factory=dict)


@dataclass(frozen=True)
class Painted:
    """A picture `(Y, X, 3)` uint8 of what is right, where on the photograph it lies, and what its colours mean."""

    picture: NDArray[np.uint8]
    place: TruthPlace | None
    words: str


def results_of(record: Path) -> tuple[tuple[str, str], ...]:
    """The label layers of a record that can be compared, by name, as paths that `evaluate` takes."""
    return tuple(("SAM 2" if name == SAM2 else name, str(record / "labels" / name)) for name in layer_names(record))


def comparing_steps(request: CompareRequest) -> Steps[Compared]:
    """Compare; yields `Progress`, one step a pair of files."""
    if request.models:
        compared = yield from compare_models_steps(name_models(request.models), request.truth, params=request.params)
        return Compared(request=request, table=compared.table(), curves=(), models=compared)
    if request.folder:
        pairs = pair_files(request.folder, request.truth)
    else:
        pairs = {name: (Path(path), Path(request.truth)) for name, path in request.results}
    found: dict[str, Evaluation] = {}
    for name, (result, truth) in pairs.items():
        yield Progress(phase="comparing", done=len(found), total=len(pairs), unit="images")
        found[name] = evaluate_files(result, truth, params=request.params)
    return Compared(request=request, table=table_of(found), curves=_curves(found, mean=bool(request.folder)))


def paint(request: CompareRequest) -> Painted:
    """Two results in five colours, a single one by tesserae."""
    place, _ = read_crop(request.truth)
    (name, path), *others = request.results
    if others:
        other, second = others[0]
        picture = compare_predictions(path, second, request.truth, params=request.params).picture
        words = f"White: both found it; green: only {name}; red: only {other}; blue: neither; black: no tessera."
    else:
        picture = draw_tesserae(path, request.truth, params=request.params)
        words = "White: found; blue: missed; orange: what is no tessera; grey: left out."
    return Painted(picture, place, words)


def read_training(folders: tuple[str, ...]) -> TrainingRuns:
    """The histories of runs, each once."""
    once = tuple(dict.fromkeys(folders))
    return TrainingRuns(once, read_runs(once))


def save_comparison(compared: Compared, runs: tuple[str, ...], folder: str) -> Path:
    """Write what `compare-models` writes: tables, bars, and the curves of the runs; the folder is made."""
    assert compared.models is not None
    write_comparison(compared.models, Path(folder), joints=compared.request.params.truth_is == "grout")
    if runs:
        plot_runs(runs, Path(folder) / "curves.png")
    return Path(folder)


def save_table(compared: Compared, path: str) -> Path:
    """Write the table as CSV or JSON, by its ending; whoever asked for the name has asked about replacing."""
    table, joints = compared.table, compared.request.params.truth_is == "grout"
    return write_report(Path(path), table.to_dict(), table.to_csv(joints=joints), overwrite=True)


def _curves(found: dict[str, Evaluation], *, mean: bool) -> tuple[Curve, ...]:
    lines: dict[str, Points] = {
        name: tuple((100 * step.threshold, step.f1) for step in one.metrics.matching) for name, one in found.items()
    }
    if mean and lines:
        values: Any = np.mean([[f1 for _, f1 in line] for line in lines.values()], axis=0)
        shares = [share for share, _ in next(iter(lines.values()))]
        lines = {"mean": tuple(zip(shares, map(float, values), strict=True))}
    return tuple(Curve(name, line) for name, line in lines.items())
