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

from napari_mosaic.cli.options import Flag, Json, choices_of, option_of, options_of, over_preset, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json, run, say
from napari_mosaic.data_sizes import data_size
from napari_mosaic.engine.cluster import connect
from napari_mosaic.errors import InputError, MissingError, MosaicError, WriteError
from napari_mosaic.file_types import SOURCES
from napari_mosaic.logins import split_login
from napari_mosaic.measurement.table import typical_side
from napari_mosaic.picture_marks import PREVIEW, check_place, is_ours, own_place
from napari_mosaic.record import Record
from napari_mosaic.record.label_layer import SAM2, TESSERAE
from napari_mosaic.record.sam2 import Sam2Files
from napari_mosaic.record_names import Wanted, record_places, source_parts, unique_names
from napari_mosaic.request import RunOptions, SegmentParams
from napari_mosaic.sam.params import PRESETS as SAM_PRESETS
from napari_mosaic.sam.params import SamParams
from napari_mosaic.segmentation import segment_steps

if TYPE_CHECKING:
    from distributed import Client

    SegmentOptions = SegmentParams
    SamOptions = SamParams
    Into = Literal["auto", "sam2", "tesserae"]
else:
    SegmentOptions = options_of(SegmentParams)
    SamOptions = choices_of(SamParams, SAM_PRESETS, leave_out=("into",))
    Into = option_of(SamParams, "into")

_ZARR = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


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
        found = f"{self.tesserae:,} tesserae{'' if self.labels in (None, TESSERAE) else f' ({self.labels})'}"
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
    into: Into = "auto",
    preset: Annotated[Literal["ours", "mosaic-sam2"], Parameter(name="--sam2-preset")] = "ours",
    scheduler: str | None = None,
    as_json: Json = False,
    params: Annotated[SegmentOptions, Parameter(name="*")] = SegmentOptions(),  # noqa: B008 - frozen
    sam: Annotated[SamOptions, Parameter(name="--sam2", group="SAM 2")] = SamOptions(),  # noqa: B008 - frozen
) -> int:
    """Find all joints and tesserae of photographs and keep them as mosaic records.

    Parameters
    ----------
    sources
        Photographs: files, folders of files, OME-Zarrs, web addresses, sample:NAME.
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
        Settings of SAM 2 to begin with: ours, or those that Mosaic-SAM2 was published with.
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
    if overwrite and resume:
        raise UsageError("--overwrite begins again and --resume goes on; give one of the two.")
    several = len(found) > 1
    if several and output is not None and output.name.endswith(".zarr"):
        raise UsageError(f"{output} can hold one record and there are {len(found)} sources; give a folder with -o.")
    settings, base = plain(params, SegmentParams), SAM_PRESETS[preset]
    if tuned is not None:
        settings, base = with_tuned(settings, tuned, base)
    asked = RunOptions(
        region=region,
        exclude=exclude,
        pixel_mm=pixel_mm,
        overwrite=overwrite,
        resume=resume,
        sam=replace(over_preset(sam, base), into=into),
        discard_edits=discard_edits,
    )
    if calibration is not None:
        settings = with_calibration(settings, calibration)
    places = record_places([Wanted(source, output) for source in found])
    pictures, names = preview_places(preview, found), unique_names(found)
    work = attempt if several else perform
    if settings.device == "auto" and settings.runtime == "auto":
        _offer_gpu()
    outcomes = []
    with nullcontext() if scheduler is None else connect(scheduler) as client:
        for source, place, picture in zip(found, places, pictures, strict=True):
            outcomes.append(work(source, place, settings, asked, picture, client))
            if joints is not None and outcomes[-1].record is not None:
                _draw_joints(outcomes[-1].record, source, joints, names[source])
            if not as_json and outcomes[-1].error is None:
                answer(outcomes[-1].line)
    return summarise(outcomes, as_json=as_json, several=several)


def _draw_joints(record: str, source: str, folder: Path, name: str) -> None:
    """Write the pictures of the joints of a record that was just made, in the place of older ones of ours."""
    from napari_mosaic.cli.probability import write_joints
    from napari_mosaic.export.joint_pictures import JointParams
    from napari_mosaic.output_files import make_folder
    from napari_mosaic.record import open_record

    make_folder(folder)
    with open_record(record) as opened:
        write_joints(opened, folder, name, JointParams(), probability=True, overwrite=True, source=source)


def _offer_gpu() -> None:
    """Tell in one line how a GPU could be used that is not; a run goes on without it."""
    from napari_mosaic.inference import unused_gpu

    offer = unused_gpu()
    if offer is not None:
        say(offer)


def with_tuned(params: SegmentParams, path: Path, sam: SamParams) -> tuple[SegmentParams, SamParams]:
    """The parameters with those of a file that `tune` or `sam2-tune` wrote, wherever they are not set otherwise."""
    from napari_mosaic.tuning import read_handed
    from napari_mosaic.weights import find_weights, hash_of, registry

    usual, handed = SegmentParams(), read_handed(path)
    values = {k: v for k, v in handed.segment.items() if getattr(params, k) == getattr(usual, k)}
    if handed.model_sha256 and "model" in values:
        model = values["model"]
        if model not in registry() or hash_of(find_weights(model)) != handed.model_sha256:
            raise UsageError(
                f"{path} was tuned on the map of the model {model}, which is not known here; give its file by --model."
            )
    if handed.sam is not None and sam != SAM_PRESETS["ours"]:
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


def find_sources(sources: tuple[str, ...], *, blocks: bool) -> list[str]:
    """All photographs that words on the command line name, folders opened, in order."""
    if not sources:
        raise UsageError("There is no photograph to segment; name at least one, or a folder of them.")
    options = [source for source in sources if source.startswith("-") and not Path(source).exists()]
    if options:
        raise UsageError(f"{options[0]} stands behind --, where every word is a photograph; put options before the --.")
    found: list[str] = []
    for source in sources:
        path = Path(source)
        is_one = not path.is_dir() or any((path / name).exists() for name in _ZARR)
        if is_one or blocks:
            found.append(source)
            continue
        found.extend(str(child) for child in find_pictures(path))
    return without_own(found)


def find_pictures(folder: Path) -> list[Path]:
    """The photographs of a folder, in order: not what is hidden (`._*` of a Mac among it), nor what we drew."""
    pictures = [child for child in sorted(folder.iterdir()) if child.suffix.lower() in SOURCES and child.is_file()]
    inside = [child for child in pictures if not child.name.startswith(".")]
    found = [child for child in inside if not child.name.endswith(PREVIEW) and not is_ours(child)]
    if len(found) < len(inside):
        say(f"{len(inside) - len(found)} pictures in {folder} were drawn by napari-mosaic and are left out.")
    if not found:
        raise MissingError(f"There is no photograph in the folder {folder}; give one with PNG, JPEG or TIFF files.")
    return found


def without_own(sources: list[str]) -> list[str]:
    """The sources, each once, without records, previews and exports: a shell's `*` names those too."""
    found: dict[str, str] = {}
    own: list[str] = []
    for source in sources:
        path = Path(source)
        result = (path / "mosaic.json").is_file() or (path.is_file() and is_ours(path))
        if result or (len(sources) > 1 and source.endswith(PREVIEW)):
            own.append(source)
        else:
            found.setdefault(source_parts(source).location, source)
    if not found:
        raise InputError(
            f"{own[0]} is no photograph: napari-mosaic made it; give the photograph that it was made from."
        )
    if own:
        say(f"Left out, because napari-mosaic made them: {', '.join(Path(name).name for name in own)}.")
    return list(found.values())


def preview_places(preview: Path | None, sources: list[str]) -> list[Path | None]:
    """Where the previews of sources go, no two to one place; their folder is made before the work begins."""
    if preview is None:
        return [None] * len(sources)
    inside = len(sources) > 1 or preview.is_dir()
    folder = preview if inside else preview.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"The folder {folder} for previews cannot be made ({error.strerror}); give another --preview."
        ) from error
    if not inside:
        check_place(preview)
        return [preview]
    names = unique_names(sources)
    return [folder / f"{names[source]}{PREVIEW}" for source in sources]


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
    return f" (SAM 2: {work['prompts']:,} prompts in {work['windows']:,} windows{peak})"


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
