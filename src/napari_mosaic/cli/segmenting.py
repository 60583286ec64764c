"""`segment`: photographs to records.

One decision: of several photographs each stands for itself; one that cannot be read is reported and
the rest go on.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json, choices_of, given_of, option_of, options_of, over_preset, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json, run, say
from napari_mosaic.cli.photographs import find_sources, preview_places
from napari_mosaic.data_sizes import data_size
from napari_mosaic.engine.cluster import connect
from napari_mosaic.errors import MosaicError
from napari_mosaic.logins import split_login
from napari_mosaic.measurement.table import typical_side
from napari_mosaic.objects import as_place
from napari_mosaic.output_files import make_folder
from napari_mosaic.picture_marks import PREVIEW, own_place
from napari_mosaic.record import Record
from napari_mosaic.record.label_layer import SAM2, TESSERAE
from napari_mosaic.record.sam2 import Sam2Files
from napari_mosaic.record_names import Wanted, record_places, unique_names
from napari_mosaic.request import RunOptions, SegmentParams
from napari_mosaic.sam.params import PRESETS as SAM_PRESETS
from napari_mosaic.sam.params import SamParams
from napari_mosaic.segmentation import segment_steps
from napari_mosaic.words import counted

if TYPE_CHECKING:
    from distributed import Client

    SegmentOptions = SegmentParams
    SamOptions = SamParams
    Into = Literal["auto", "sam2", "tesserae"]
else:
    SegmentOptions = options_of(SegmentParams)
    SamOptions = choices_of(SamParams, SAM_PRESETS, leave_out=("into",))
    Into = option_of(SamParams, "into")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one photograph."""

    source: str
    record: str | None = None
    tesserae: int | None = None
    tessera_px: float | None = None
    factor: float | None = None
    width: int | None = None
    height: int | None = None
    complete: bool | None = None
    preview: str | None = None
    seconds: float | None = None
    sam2: dict[str, Any] | None = None
    labels: str | None = None
    error: str | None = None

    @property
    def line(self) -> str:
        """The outcome in one line."""
        if self.error is not None:
            return f"{self.source}: {self.error}"
        if self.complete and not self.tesserae and self.labels == SAM2:
            return (
                f"{Path(self.source).name}: SAM 2 kept no mask; lower --sam2.pred-iou-thresh or "
                f"--sam2.stability-score-thresh, or take the joints' tesserae with --labels {TESSERAE}. "
                f"The record is {self.record}{cost_of(self.sam2)}"
            )
        if self.complete and not self.tesserae:
            return (
                f"{Path(self.source).name}: no tessera was found, because nothing looks like stones between joints; "
                "see whether the photograph is sharp and shows a mosaic, or give --scale, some 16 divided by "
                f"the pixels across a stone. The empty record is {self.record}{cost_of(self.sam2)}"
            )
        found = (
            f"{counted(self.tesserae or 0, 'tessera')}{'' if self.labels in (None, TESSERAE) else f' ({self.labels})'}"
        )
        size = "" if self.tessera_px is None else f", about {self.tessera_px:.1f} px each"
        part = "" if self.complete else ", not complete (go on with --resume)"
        return f"{Path(self.source).name}: {found}{size}{part}, in {self.record}{cost_of(self.sam2)}"


def segment(
    *sources: str,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    region: Path | None = None,
    exclude: Path | None = None,
    pixel_mm: float | None = None,
    preview: Path | None = None,
    joints: Path | None = None,
    overwrite: Flag = False,
    resume: Flag = False,
    discard_edits: Flag = False,
    blocks: Flag = False,
    tuned: Annotated[Path | None, Parameter(name="--params")] = None,
    calibration: Path | None = None,
    into: Into | None = None,
    preset: Annotated[Literal["ours", "mosaic-sam2"] | None, Parameter(name="--sam2-preset")] = None,
    scheduler: str | None = None,
    as_json: Json = False,
    params: Annotated[SegmentOptions, Parameter(name="*")] = SegmentOptions(),  # noqa: B008 - frozen
    sam: Annotated[SamOptions, Parameter(name="--sam2", group="SAM 2")] = SamOptions(),  # noqa: B008 - frozen
) -> int:
    """Find all joints and tesserae of photographs and keep them as mosaic records.

    Parameters
    ----------
    sources
        Photographs: files, folders of files, OME-Zarrs, addresses (https://, s3://), sample:NAME.
    output
        The record NAME.mosaic.zarr, or the folder for it; beside the photograph by default.
    region
        Work only here: GeoJSON, GeoPackage or mask image.
    exclude
        Leave this out: GeoJSON, GeoPackage or mask image.
    pixel_mm
        Edge of a pixel of the photograph on the floor, in mm; also with --resume. See pixel-size for records.
    preview
        Also draw the tesserae over the photograph: a PNG, or a folder for several.
    joints
        Also write the joints as pictures into this folder: mask, overlay and four panels; see the command joints.
    overwrite
        Replace a record that is there.
    resume
        Go on with a record that is there.
    discard_edits
        Let --overwrite lose what was edited by hand; it is kept otherwise.
    blocks
        Take each folder as one photograph in georeferenced blocks.
    tuned
        Take the settings from this best.json, which tune or sam2-tune wrote; what is given beside it counts more.
    calibration
        Adjust confidence by this file, which calibrate wrote for the model.
    preset
        Settings of SAM 2 to begin with: ours (the default), or those that Mosaic-SAM2 was published with.
    scheduler
        Compute on the workers of this dask scheduler: its address, such as tcp://host:8786, or its file.
    as_json
        Write the result as JSON.
    params
        How to segment.
    sam
        How SAM 2 is asked, with the methods grout+sam2 and sam2.

    """
    for name, area in (("region", region), ("exclude", exclude)):
        if area is not None and area.name.replace(".", "").isdecimal() and not area.exists():
            raise UsageError(
                f"--{name} takes a file that marks an area, and {area} is none; draw the area and give it as GeoJSON, "
                "GeoPackage or mask image."
            )
    found = find_sources(sources, blocks=blocks)
    output = None if output is None else as_place(output)
    if overwrite and resume:
        raise UsageError("--overwrite begins again and --resume goes on; give one of the two.")
    several = len(found) > 1
    if several and output is not None and output.name.endswith(".zarr"):
        raise UsageError(f"{output} can hold one record and there are {len(found)} sources; give a folder with -o.")
    settings, base = plain(params, SegmentParams), None if preset is None else SAM_PRESETS[preset]
    if tuned is not None:
        settings, base = with_tuned(settings, tuned, base, given_of(params))
    asked = RunOptions(
        region=region,
        exclude=exclude,
        pixel_mm=pixel_mm,
        overwrite=overwrite,
        resume=resume,
        discard_edits=discard_edits,
        **masks_asked(sam, base, into),
    )
    asked["given"] |= given_of(params)
    if calibration is not None:
        settings = with_calibration(settings, calibration)
    places = record_places([Wanted(source, output) for source in found])
    pictures, names = preview_places(preview, found), unique_names(found)
    work = attempt if several else perform
    if settings.device == "auto" and settings.runtime == "auto":
        _offer_gpu()
    if joints is not None:
        make_folder(joints)
    outcomes = []
    with nullcontext() if scheduler is None else connect(scheduler) as client:
        for source, place, picture in zip(found, places, pictures, strict=True):
            outcomes.append(work(source, place, settings, asked, picture, client))
            if joints is not None and outcomes[-1].record is not None:
                outcomes[-1] = _with_joints(outcomes[-1], joints, names[source], source, several=several)
            if not as_json and outcomes[-1].error is None:
                answer(outcomes[-1].line)
    return summarise(outcomes, as_json=as_json, several=several)


def _with_joints(outcome: Outcome, folder: Path, name: str, source: str, *, several: bool) -> Outcome:
    """Write the pictures of the joints of a record that was just made, in the place of older ones of ours.

    Where one of `several` photographs fails here, its outcome says so, beside the record that it has.
    """
    from napari_mosaic.cli.probability import write_joints
    from napari_mosaic.export.joint_pictures import JointParams
    from napari_mosaic.record import open_record

    try:
        with open_record(str(outcome.record)) as opened:
            write_joints(opened, folder, name, JointParams(), probability=True, overwrite=True, source=source)
    except MosaicError as error:
        if not several:
            raise
        say(f"{outcome.source}: {error}")
        return replace(outcome, error=str(error))
    return outcome


def _offer_gpu() -> None:
    """Tell in one line how a GPU could be used that is not; a run goes on without it."""
    from napari_mosaic.inference import unused_gpu

    offer = unused_gpu()
    if offer is not None:
        say(offer)


def masks_asked(choices: Any, base: SamParams | None, into: Into | None) -> RunOptions:
    """What is asked of SAM 2: nothing, single settings, or with a preset as `base` all of them."""
    chosen = given_of(choices) | ({"into"} if into is not None else frozenset())
    if base is None and not chosen:
        return RunOptions(sam=None, given=frozenset())
    asked = over_preset(choices, base or SAM_PRESETS["ours"])
    if into is not None:
        asked = replace(asked, into=into)
    return RunOptions(sam=asked, given=frozenset(f"sam.{name}" for name in chosen if base is None))


def with_tuned(
    params: SegmentParams, path: Path, sam: SamParams | None = None, given: frozenset[str] = frozenset()
) -> tuple[SegmentParams, SamParams | None]:
    """The parameters with those of a file that `tune` or `sam2-tune` wrote, wherever they are not `given`."""
    from napari_mosaic.tuning import read_handed
    from napari_mosaic.weights import find_weights, hash_of, registry

    handed = read_handed(path)
    values = {name: value for name, value in handed.segment.items() if name not in given}
    if handed.model_sha256 and "model" in values:
        model = values["model"]
        if model not in registry() or hash_of(find_weights(model)) != handed.model_sha256:
            raise UsageError(
                f"{path} was tuned on the map of the model {model}, which is not known here; give its file by --model."
            )
    if handed.sam is not None and sam is not None:
        raise UsageError(f"{path} holds the preset that was tuned, so --sam2-preset cannot be another; leave it out.")
    return replace(params, **values), handed.sam or sam


def with_calibration(params: SegmentParams, path: Path) -> SegmentParams:
    """The parameters with the temperature that `calibrate` found for their model."""
    from napari_mosaic.probability import read_calibration
    from napari_mosaic.weights import find_weights, hash_of

    if params.temperature != "auto":
        raise UsageError("--temperature and --calibration both say how confidence is told; give one of the two.")
    found = read_calibration(path)
    found.check_model(hash_of(find_weights(params.model)), params.model)
    return replace(params, temperature=found.temperature)


def attempt(
    source: str,
    output: Path,
    params: SegmentParams,
    asked: RunOptions,
    preview: Path | None = None,
    client: Client | None = None,
) -> Outcome:
    """`perform`, with a failure of this photograph as an outcome."""
    shown = split_login(source)[0]
    try:
        return perform(source, output, params, asked, preview, client)
    except MosaicError as error:
        say(f"{shown}: {error}")
        return Outcome(source=shown, error=str(error))


def perform(
    source: str,
    output: Path,
    params: SegmentParams,
    asked: RunOptions,
    preview: Path | None = None,
    client: Client | None = None,
) -> Outcome:
    """Segment one photograph under a bar, on a cluster where there is a client of one."""
    start = time.monotonic()
    name = Path(split_login(source)[0]).name
    with run(segment_steps(source, output, params=params, client=client, **asked), name) as record:
        if preview is not None:
            preview = own_place(preview, record.source.fingerprint) if preview.name.endswith(PREVIEW) else preview
            draw(record, preview, source)
        return describe(record, source, preview, time.monotonic() - start)


def draw(record: Record, path: Path, source: str | None = None, *, max_px: int = 3000) -> None:
    """Draw the preview of a record."""
    from napari_mosaic.export.preview import draw_preview

    with record.open_source(source) as image:
        draw_preview(record, image, path, max_px=max_px)


def describe(record: Record, source: str, preview: Path | None = None, seconds: float | None = None) -> Outcome:
    """The outcome of a finished record, of what its method found; an address is told without its password."""
    record = record.with_labels()
    height, width = record.plan.source_shape
    return Outcome(
        source=split_login(source)[0],
        record=str(record.path),
        tesserae=record.figures().count,
        labels=record.tesserae.name,
        tessera_px=typical_size(record),
        factor=round(record.plan.factor, 4),
        width=width,
        height=height,
        complete=record.complete,
        preview=None if preview is None else str(preview),
        seconds=None if seconds is None else round(seconds, 1),
        sam2=Sam2Files(record).read_work(),
    )


def cost_of(work: dict[str, Any] | None) -> str:
    """What SAM 2 cost, in a few words; nothing where it was not asked."""
    if work is None:
        return ""
    peak = "" if work["peak_bytes"] is None else f", {data_size(work['peak_bytes'])} of memory at most"
    return f" (SAM 2: {counted(work['prompts'], 'prompt')} in {counted(work['windows'], 'window')}{peak})"


def typical_size(record: Record) -> float | None:
    """Edge of a square of the median tessera's area, in pixels of the photograph."""
    side = typical_side(record)
    return None if side is None else round(side, 1)


def summarise(outcomes: list[Outcome], *, as_json: bool, several: bool) -> int:
    """Write what became of all photographs; the exit code."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if as_json:
        values = [{k: v for k, v in asdict(outcome).items() if v is not None} for outcome in outcomes]
        answer_json({"results": values, "failed": len(failed)} if several else values[0])
    elif several:
        say(f"{len(outcomes) - len(failed)} of {len(outcomes)} photographs done, {len(failed)} failed.")
    return 1 if failed else 0
