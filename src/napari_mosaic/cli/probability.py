"""`probabilities`, `joints`, `calibrate`, `fuse`, `augment`: what the model believes, as files.

One decision: confidence is changed only where a file that says how is given by name.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json, options_of, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json, run, say
from napari_mosaic.cli.records import warn_incomplete
from napari_mosaic.errors import MosaicError
from napari_mosaic.evaluation.files import EvaluationParams, Meaning
from napari_mosaic.evaluation.folders import pair_files
from napari_mosaic.export.joint_pictures import JointParams, JointPictures, write_joint_pictures_steps
from napari_mosaic.objects import as_place
from napari_mosaic.output_files import make_folder
from napari_mosaic.probability import (
    AugmentParams,
    Calibration,
    augment_record_steps,
    calibrate_finished_steps,
    calibrate_steps,
    fuse_maps_steps,
    open_map,
    read_calibration,
    temperature_scale,
    write_calibration,
    write_map_steps,
)
from napari_mosaic.probability.maps import ChannelName, GridName
from napari_mosaic.record import Record, open_record
from napari_mosaic.record_names import companion, unique_names

if TYPE_CHECKING:
    AugmentOptions = AugmentParams
    JointOptions = JointParams
else:
    AugmentOptions = options_of(AugmentParams)
    JointOptions = options_of(JointParams)

Output = Annotated[Path, Parameter(name=("--output", "-o"))]
Way = Literal["mean", "max", "logit-mean"]


def probabilities(
    record: Path,
    /,
    *,
    output: Output,
    mask: Path | None = None,
    threshold: float = 0.5,
    channel: ChannelName = "joints",
    grid: GridName = "photograph",
    calibration: Path | None = None,
    overwrite: Flag = False,
) -> int:
    """Write a record's map of joints as numbers (.npy, 0 to 1) or as a picture (.png, 0 to 255).

    Parameters
    ----------
    record
        The record; or a map in a file, to change it.
    output
        The .npy or .png to write.
    mask
        Also write this PNG: white where the written probability is above the threshold, and only there.
    threshold
        Of the mask.
    channel
        The joints, or the insides of tesserae.
    grid
        As large as the photograph, or at the analysis size, as the record holds it.
    calibration
        Adjust the confidence by this file that calibrate wrote, instead of as the record does.
    overwrite
        Replace files that are there.

    """
    with ExitStack() as stack:
        map_ = open_map(record, stack, channel=channel, grid=grid, adjusted=calibration is None)
        if calibration is not None:
            found = read_calibration(calibration)
            found.check_model(map_.model_sha256, map_.model)
            map_ = map_.changed(lambda values: temperature_scale(values, found.temperature))
        steps = write_map_steps(map_, output, mask=mask, threshold=threshold, overwrite=overwrite)
        run(steps, output.name)
    answer("\n".join(str(path) for path in (output, mask) if path is not None))
    return 0


def joints(
    *records: Path,
    output: Output,
    probability: Flag = False,
    overwrite: Flag = False,
    params: Annotated[JointOptions, Parameter(name="*")] = JointOptions(),  # noqa: B008 - frozen
) -> int:
    """Write the joints of records as pictures: NAME_mask.png, NAME_overlay.png and NAME_visualization.png.

    What lies above the threshold in the probability is closed over small gaps, and small pieces are removed. For the
    mask without that, see probabilities --mask.

    Parameters
    ----------
    records
        Records, or folders of them.
    output
        Folder for the pictures; it is made.
    probability
        Also write NAME_prob.npy (0 to 1) and NAME_prob8.png (0 to 255).
    overwrite
        Replace pictures that are there.
    params
        How the mask is made; the defaults are GROUT's.

    """
    found = [path for given in records for path in _records_in(given)]
    names = unique_names([str(path) for path in found])
    make_folder(output)
    failed = 0
    for path in found:
        name = names[str(path)].removesuffix(".mosaic")
        try:
            with open_record(path) as record:
                warn_incomplete(record)
                made = write_joints(
                    record, output, name, plain(params, JointParams), probability=probability, overwrite=overwrite
                )
        except MosaicError as error:
            if len(found) == 1:
                raise
            say(f"{path}: {error}")
            failed += 1
            continue
        answer("\n".join(map(str, made.paths)))
    if failed:
        say(f"{len(found) - failed} of {len(found)} done, {failed} failed.")
    return 1 if failed else 0


def _records_in(path: Path) -> list[Path]:
    path = as_place(path)
    if (path / "mosaic.json").exists():
        return [path]
    found = sorted(place.parent for place in path.glob("*/mosaic.json")) if path.is_dir() else []
    if not found:
        raise UsageError(f"{path} is no mosaic record and holds none; segment a photograph first.")
    return found


def write_joints(
    record: Record,
    folder: Path,
    name: str,
    params: JointParams,
    *,
    probability: bool,
    overwrite: bool,
    source: str | None = None,
) -> JointPictures:
    """Write the pictures of the joints of an open record under a bar."""
    with record.open_source(source) as image:
        steps = write_joint_pictures_steps(
            record, image, folder, name, params=params, probability=probability, overwrite=overwrite
        )
        return run(steps, name)


def calibrate(
    maps: Path,
    truth: Path | None = None,
    /,
    *,
    output: Output = Path("calibration.json"),
    truth_is: Meaning = "auto",
    ignore: Path | None = None,
    diagram: bool = True,
    apply: Flag = False,
    as_json: Json = False,
) -> int:
    """Adjust confidence: find the temperature that makes the model's probabilities honest.

    Parameters
    ----------
    maps
        Record, or map of joints (.npy, .png); or a folder of them.
    truth
        Labels or mask of the same photograph, or NAME.json of a crop; or a folder with the same names. Without it, the
        windows of the record that were corrected and marked as finished.
    output
        Where the temperature is kept; segment --calibration and probabilities --calibration take it.
    truth_is
        What the truth's pixels mean: labels, or white tesserae or grout.
    ignore
        Leave this out: mask image, GeoJSON, or JSON with a list of boxes.
    diagram
        Draw the reliability diagram beside it as PNG.
    apply
        Tell the confidences of the record by it from now on; no tessera changes.
    as_json
        Write the result as JSON.

    """
    if truth is None:
        with open_record(maps) as record:
            found = run(calibrate_finished_steps(record), maps.name)
    else:
        pairs = [(maps, truth)]
        if maps.is_dir() and not (maps / "mosaic.json").exists():
            pairs = list(pair_files(maps, truth).values())
        sides = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        params = EvaluationParams(truth_is=truth_is)
        found = run(calibrate_steps(*sides, params=params, ignore=ignore), maps.name)
    written = write_calibration(found, output, diagram=diagram)
    if apply:
        _adjust(maps, found)
    if as_json:
        answer_json(asdict(found))
    else:
        answer(_sentence(found))
        answer("\n".join(map(str, written)))
    return 0


def _adjust(path: Path, found: Calibration) -> None:
    """Tell the confidences of a record anew."""
    from napari_mosaic.segmentation import apply_steps

    path = as_place(path)
    if not (path / "mosaic.json").exists():
        raise UsageError(f"{path} is no record, so nothing in it can be adjusted; leave out --apply.")
    with open_record(path) as record:
        rules = replace(record.plan.tesserae, temperature=found.temperature)
        run(apply_steps(record, rules), path.name).close()


def _sentence(found: Calibration) -> str:
    how = "too sure" if found.temperature > 1 else "not sure enough" if found.temperature < 1 else "right"
    return (
        f"Temperature {found.temperature:.3f}: the model was {how}; its probabilities were wrong by "
        f"{100 * found.ece_before:.2f} % on average and are by {100 * found.ece_after:.2f} % when adjusted "
        f"({found.pixels:,} pixels)."
    )


def fuse(
    *maps: Path,
    output: Output,
    how: Way = "mean",
    mask: Path | None = None,
    threshold: float = 0.5,
) -> int:
    """Join several maps of joints of one photograph into one.

    Parameters
    ----------
    maps
        Records or maps (.npy, .png), at least two, of one size.
    output
        The .npy or .png to write.
    how
        The mean, the largest, or the mean of the log odds.
    mask
        Also write this PNG: white where the written probability is above the threshold.
    threshold
        Of the mask.

    """
    if len(maps) < 2:
        raise UsageError("Fusing needs at least two maps; name two records or maps of the same photograph.")
    run(fuse_maps_steps(maps, output, how=how, mask=mask, threshold=threshold), output.name)
    answer("\n".join(str(path) for path in (output, mask) if path is not None))
    return 0


def augment(
    record: Path,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    params: Annotated[AugmentOptions, Parameter(name="*")] = AugmentOptions(),  # noqa: B008 - frozen
) -> int:
    """Ask the model again about turned and mirrored copies, and map where it is unsure.

    Writes the mean map, the variance map and the confidence of every tessera; changes nothing in the record. Give the
    same command again to go on after a stop. To segment with the mean of all copies, use: segment --method
    grout-augmented.

    Parameters
    ----------
    record
        The record.
    output
        Folder to write to; NAME.augmented beside the record by default.
    params
        How to ask again.

    """
    folder = output or companion(record, "augmented")
    with open_record(record) as opened:
        warn_incomplete(opened)
        run(augment_record_steps(opened, folder, params=plain(params, AugmentParams)), record.name)
    answer(f"variance.png, variance.npy, joints.png, maps.npy and tesserae.csv in {folder}")
    return 0
