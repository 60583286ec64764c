"""`tune`: better thresholds from a few annotated windows.

One decision: nothing is changed unless `--apply` says so; the result is a file that `segment --params` takes.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json, options_of, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json, run
from napari_mosaic.record import open_record
from napari_mosaic.record_names import companion
from napari_mosaic.tuning import TuneParams, TuneResult, tune_steps
from napari_mosaic.tuning.handed import BEST

if TYPE_CHECKING:
    TuneOptions = TuneParams
else:
    TuneOptions = options_of(TuneParams)


def tune(
    record: Path,
    /,
    *truths: Path,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    augmented: Path | None = None,
    apply: Flag = False,
    as_json: Json = False,
    params: Annotated[TuneOptions, Parameter(name="*")] = TuneOptions(),  # noqa: B008 - frozen
) -> int:
    """Find better thresholds for a mosaic from a few windows that somebody drew; the network does not run.

    Give the same command again to go on after a stop, or with more --trials to search longer.

    Parameters
    ----------
    record
        The record.
    truths
        Annotated windows: NAME.json with the place of the labels NAME.png, or labels of the photograph; without any,
        the windows of the record that were corrected and marked as finished.
    output
        Folder for the search, its diagrams and best.json; NAME.tuned beside the record by default.
    augmented
        Folder that augment wrote: try its map as well.
    apply
        Cut the record's tesserae anew with what was found.
    as_json
        Write the result as JSON.
    params
        How to search.

    """
    if apply and augmented is not None:
        raise UsageError(
            "--apply cuts the record's own map, and --augmented may find rules for another one; give one of the two."
        )
    folder = output or companion(record, "tuned")
    with open_record(record) as opened:
        steps = tune_steps(opened, truths, folder, params=plain(params, TuneParams), augmented=augmented)
        found = run(steps, record.name)
        if apply:
            from napari_mosaic.segmentation import apply_steps

            run(apply_steps(opened, found.tesserae), record.name).close()
    if as_json:
        answer_json(asdict(found))
    else:
        _show(found, folder)
    return 0


def _show(found: TuneResult, folder: Path) -> None:
    answer(
        f"{found.goal} {found.before:.4f} before, {found.score:.4f} after {found.trials} trials on {found.windows} "
        f"windows, with the {found.map} map:"
    )
    for name, value in found.segment.items():
        answer(f"  {name:<15} {value:.3g}")
    answer(f"napari-mosaic segment PHOTOGRAPH --params {folder / BEST}{_what_else(found)}")


def _what_else(found: TuneResult) -> str:
    """What the command needs beside the file: a model that is not known by name, a map that no method makes."""
    from napari_mosaic.weights import registry

    words = ""
    if found.model and found.model not in registry():
        words += f" --model {found.model}.safetensors  (the file of the model that made the record)"
    if not found.method:
        words += "  (no method makes the augmented map of this record; search again without --augmented)"
    return words
