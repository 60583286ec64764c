"""`models` and `export-model`: what can be given as --model, and models for other programs.

One decision: what is shown is the registry's own entry, field by field, and what the file says of
itself, so nothing is told twice. Showing never downloads, and importing never runs what a file carries.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json
from napari_mosaic.cli.output import UsageError, answer, answer_json, answer_table, run
from napari_mosaic.data_sizes import data_size
from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import MissingError, WriteError
from napari_mosaic.onnx_models import import_onnx, is_onnx
from napari_mosaic.sam.registry import sam_registry
from napari_mosaic.weights import (
    WeightsEntry,
    download_entry,
    download_steps,
    find_weights,
    hash_of,
    is_safetensors,
    models_folder,
    read_header,
    registry,
)

ENDINGS = {".onnx": "onnx", ".safetensors": "bundle"}


def list_models(*, as_json: Json = False) -> int:
    """List the models that can be used by name.

    Parameters
    ----------
    as_json
        Write the result as JSON.

    """
    entries = (registry() | sam_registry()).values()
    if as_json:
        answer_json([asdict(entry) for entry in entries])
    else:
        answer_table([(entry.name, _summary(entry)) for entry in entries])
    return 0


def show_model(model: str, /, *, as_json: Json = False) -> int:
    """Say what a model is: its file, licence and trained size.

    Parameters
    ----------
    model
        Name of a model, or its file.
    as_json
        Write the result as JSON.

    """
    entry = (registry() | sam_registry()).get(model) or find_weights(model)
    values = {**asdict(entry), **_header(entry.path)}
    if as_json:
        answer_json(values)
    else:
        answer_table([(name.replace("_", " "), _plain(value)) for name, value in values.items()])
    return 0


def download_model(
    model: str, /, *, sha256: str | None = None, name: str | None = None, overwrite: Flag = False, as_json: Json = False
) -> int:
    """Fetch a model once and keep it; what a broken connection left is gone on with.

    Parameters
    ----------
    model
        Name of a model, or the web address of a model file, which is imported then.
    sha256
        The checksum that the file at an address must have.
    name
        Name for a model from an address; that of its file by default.
    overwrite
        Replace an imported model of that name.
    as_json
        Write the result as JSON.

    """
    if "://" not in model:
        known = registry() | sam_registry()
        if model not in known:
            names = ", ".join(sorted(known))
            raise MissingError(f"There is no model {model!r} to fetch; choose one of {names}, or give a web address.")
        entry = run(download_steps(known[model]), model)
        return _tell_model(Path(str(entry.path)), entry.name, as_json=as_json)
    if sha256 is None:
        raise UsageError(
            "A file from an address must be known by its checksum; give --sha256 as the page of the model states it."
        )
    entry = run(download_steps(download_entry(model, sha256)), Path(model).name)
    return import_file(Path(str(entry.path)), name=name, overwrite=overwrite, as_json=as_json)


def import_file(
    path: Path,
    /,
    *,
    name: str | None = None,
    tessera_px: float | None = None,
    licence: str | None = None,
    config: str | None = None,
    overwrite: Flag = False,
    as_json: Json = False,
) -> int:
    """Take in a model file, such as a checkpoint of GROUT or of SAM 2, or ONNX, so that it can be given by name.

    Only weights are read; a file that carries code is refused and nothing of it is run.

    Parameters
    ----------
    path
        Safetensors, a checkpoint of this program, of GROUT or of SAM 2, or ONNX.
    name
        Name to call it by; that of the file by default.
    tessera_px
        Size of tessera that it was trained for, in pixels; 24 where neither you nor the file say.
    licence
        What may be done with it.
    config
        Configuration of a SAM 2 checkpoint; recognised by default.
    overwrite
        Replace an imported model of that name.
    as_json
        Write the result as JSON.

    """
    if is_onnx(path):
        made = import_onnx(
            path, name=name, tessera_px=tessera_px, licence=licence, overwrite=overwrite, folder=models_folder()
        )
        return _tell_model(made, made.stem, as_json=as_json)
    with needed_for("Taking in a model"):
        from napari_mosaic.sam.importing import import_sam_model, is_sam
        from napari_mosaic.training.export import import_model

    if is_sam(path):
        made = import_sam_model(path, name=name, config=config, licence=licence, overwrite=overwrite)
        return _tell_model(made, made.stem, as_json=as_json)

    made = import_model(path, name=name, tessera_px=tessera_px, licence=licence, overwrite=overwrite)
    return _tell_model(made, made.stem, as_json=as_json)


def export_model(
    model: str,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    format_: Annotated[Literal["onnx", "bundle", "int8"] | None, Parameter(name="--format")] = None,
    windows: str = "sample:drawn",
    calibration: Path | None = None,
    overwrite: Flag = False,
    as_json: Json = False,
) -> int:
    """Write a model for other programs: ONNX, or one safetensors file with all that must be known of it.

    ONNX takes pixels (N, 3, H, W) from 0 to 255 and gives probabilities; any batch, sides multiples of 32. It is
    compared with the original on windows of a photograph, and not kept if it differs by more than 0.0001.

    Parameters
    ----------
    model
        Name of a model, or its file: also a checkpoint of a training run.
    output
        The file: NAME.onnx or NAME.safetensors.
    format_
        onnx, bundle (safetensors) or int8 (for fast work on CPUs); by the ending of the file by default.
    windows
        Photograph to compare on.
    calibration
        Write the temperature that calibrate found into the bundle, which is then told by it wherever it is used.
    overwrite
        Replace a file that is there.
    as_json
        Write the result as JSON.

    """
    kind = format_ or ENDINGS.get(output.suffix.lower())
    if kind is None:
        raise UsageError(f"{output.name} does not say what to write; end it in .onnx or .safetensors, or add --format.")
    if output.exists() and not overwrite:
        raise WriteError(f"{output} exists already; add --overwrite to replace it, or give another name.")
    if calibration is not None and kind != "bundle":
        raise UsageError("Only a bundle can carry a temperature; end the name in .safetensors, or leave it out.")
    difference = None
    if kind == "onnx":
        with needed_for("Writing ONNX"):
            from napari_mosaic.training.onnx_export import export_onnx_steps

        steps = export_onnx_steps(model, output, windows=windows, overwrite=overwrite)
        difference = run(steps, output.name)
    elif kind == "bundle":
        with needed_for("Writing a bundle"):
            from napari_mosaic.training.export import import_model

        entry = find_weights(model)
        calibrated = None if calibration is None else _temperature(calibration, entry)
        import_model(
            str(entry.path), name=output.stem, folder=output.parent, temperature=calibrated, overwrite=overwrite
        )
    else:
        _quantise(model, output)
    size = output.stat().st_size
    if as_json:
        answer_json({"file": str(output), "bytes": size, "largest difference": difference})
    else:
        same = "" if difference is None else f", within {difference:.1e} of the original"
        answer(f"{output} ({data_size(size)}{same}).")
    return 0


def _temperature(calibration: Path, entry: WeightsEntry) -> float:
    """The temperature of a file that `calibrate` wrote for a model."""
    from napari_mosaic.probability import read_calibration

    found = read_calibration(calibration)
    found.check_model(hash_of(entry), entry.name)
    return found.temperature


def _quantise(model: str, output: Path) -> None:
    import numpy as np

    from napari_mosaic.synthetic import draw_mosaic

    with needed_for("Quantising"):
        from napari_mosaic.training.quantise import quantise_weights

    images = np.stack([draw_mosaic(320, seed).image for seed in range(300)])
    quantise_weights(model, images, path=output)


def _tell_model(path: Path, name: str, *, as_json: bool) -> int:
    if as_json:
        answer_json({"name": name, "file": str(path)})
    else:
        option = "--sam2.model" if name in sam_registry() else "--model"
        answer(f"{name} is ready; give it with {option} {name}.")
    return 0


def _summary(entry: WeightsEntry) -> str:
    return f"{entry.summary} Tesserae of {entry.tessera_px:g} px; {entry.licence}."


def _header(path: Path | None) -> dict[str, str]:
    """What a file says of itself, where it is of a kind that does."""
    if path is None or not path.is_file() or not is_safetensors(path):
        return {}
    return {f"file says {name}": value for name, value in read_header(path).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or None
    return None if value in ("", None) else value
