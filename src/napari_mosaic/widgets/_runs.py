"""What the panel's jobs do, as generators without widgets: survey, find, apply, preview, save.

One decision: a job opens its own photograph and its own view of the record, and hands over values, so
nothing that lives on the main thread is used by two threads.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_mosaic.engine.sam.methods import mask_mode
from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.export import export_record_steps
from napari_mosaic.export.delivery import deliver_steps
from napari_mosaic.image import MosaicImage, open_image, open_image_steps
from napari_mosaic.progress import Progress
from napari_mosaic.record import Record, open_record
from napari_mosaic.record.replacing import recover_replacement
from napari_mosaic.record_names import check_owner, entry_of, free_place, is_record_of
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.params import SamParams
from napari_mosaic.segmentation import apply_steps, load_method, segment_steps
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._facts import Tuning
from napari_mosaic.widgets._knowing import read_facts, record_facts
from napari_mosaic.widgets._layers import MASKS, Joined, Opened, make_layers, mask_layer
from napari_mosaic.widgets._sketch import Sketcher
from napari_mosaic.widgets._sources import (
    PLACE,
    LayerData,
    is_place_of,
    open_kept,
    open_layer,
    photograph_data,
)
from napari_mosaic.widgets._tuning import tessera_params

MASK_PHASES = ("sam2", "masks")
"""Phases of a run in which SAM 2 works: its windows, and the tiles that are made of them."""

SAVED_PX = 1_000_000_000
"""Most pixels of a layer without a file that are saved beside its record; not varied."""

WARM_PX = 256
"""Side of the window that the network is warmed with; not varied."""


@dataclass(frozen=True, kw_only=True)
class FindRequest:
    """One run: what to segment, where the record goes, and which part of it (source px)."""

    layer: Any
    place: Path
    params: SegmentParams = field(default_factory=SegmentParams)
    sam: SamParams | None = None
    region: Any = None
    exclude: Any = None
    pixel_mm: float | None = None
    pixel_origin: str = "user"
    only: Box | None = None
    focus: tuple[float, float] | None = None
    elsewhere: bool = False
    """Whether another place may be taken where `place` holds another photograph's record."""
    shown: bool = False
    """Whether the record at `place` is shown already: what it gets is seen without opening it once more."""
    sketcher: Sketcher | None = None
    """What shows windows as soon as they are computed."""


@dataclass(frozen=True)
class Elsewhere:
    """The record at a place is of another photograph than the layer shows: its own is, or goes, there."""

    taken: Path
    place: Path

    @property
    def message(self) -> str:
        """What happened, in a sentence."""
        return f"{self.taken.name} is the record of another photograph, so this one's is {self.place.name}."


@dataclass(frozen=True)
class Restored:
    """A record with the photograph that it was made from, or the sentence why that is not there."""

    photograph: LayerData | None
    record: Path | None
    message: str = ""


@dataclass(frozen=True)
class Saved:
    """A layer without a file was saved there."""

    path: Path


Steps = Generator[Any, None, Any]


def find_steps(request: FindRequest) -> Steps:
    """Segment; yields `Progress`, once `Saved` where the layer had no file, and `Opened`. Returns facts."""
    yield Progress(phase="Opening the photograph", done=0, total=0)
    place = request.place
    recover_replacement(place)
    with ExitStack() as stack:
        shown = stack.enter_context(open_layer(request.layer))
        if request.elsewhere and entry_of(place) is not None:
            place = _free_place(place, shown, request.layer)
            if place != request.place:
                yield Elsewhere(request.place, place)
        image = stack.enter_context((yield from _photograph(request.layer, place, shown)))
        steps = segment_steps(
            image,
            place,
            params=request.params,
            sam=request.sam,
            resume=place.exists(),
            region=request.region,
            exclude=request.exclude,
            pixel_mm=request.pixel_mm,
            pixel_origin=request.pixel_origin,
            only=request.only,
            focus=request.focus,
            seen=None if request.sketcher is None else request.sketcher.take,
        )
        if request.shown and place == request.place and not mask_mode(request.params.method):
            (yield from steps).close()
            return read_facts(place)
        return (yield from _shown(steps, place, request.layer))


def own_place(place: Path, layer: Any) -> Path:
    """A place, or one beside it where another photograph than the layer's has its record there.

    A record that cannot be read stays the place: whoever opens it says what is wrong with it.
    """
    if entry_of(place) is None:
        return place
    with open_layer(layer) as image:
        return _free_place(place, image, layer)


def _free_place(place: Path, image: MosaicImage, layer: Any) -> Path:
    return free_place(place, image, lambda other: is_place_of(other, image, layer))


def apply_tuning_steps(path: Path, tuning: Tuning) -> Steps:
    """Redo the tesserae of a record with other sliders; yields `Progress`, returns facts."""
    with open_record(path) as record:
        rules = tessera_params(tuning, record.plan.tesserae)
    return (yield from apply_rules_steps(path, rules))


def apply_rules_steps(path: Path, rules: TesseraParams) -> Steps:
    """Redo the tesserae of a record by other rules; yields `Progress`, returns facts."""
    with open_record(path) as record:
        steps = apply_steps(record, rules)
    try:
        finished = yield from steps
    finally:
        steps.close()
    finished.close()
    return read_facts(path)


def open_steps(path: Path, photograph: Any = None) -> Steps:
    """Open a record to look at; yields `Opened`, returns facts, or `Elsewhere` where it is not the photograph's."""
    if photograph is not None:
        place = own_place(path, photograph)
        if place != path:
            return Elsewhere(path, place)
    opened = _open(path, photograph)
    yield opened
    return opened.facts


def photograph_steps(source: str) -> Steps:
    """Open a photograph; yields `Progress` and `Restored` without a record."""
    image = yield from open_image_steps(source)
    yield Restored(photograph_data(image), None)


def restore_steps(path: Path) -> Steps:
    """Open a record and its photograph; yields `Restored`, then `Opened`; returns facts."""
    yield Progress(phase="Opening the photograph", done=0, total=0)
    yield restore(path)
    return (yield from open_steps(path))


def export_steps(path: Path, name: str | None, target: Path, labels: str | None = None) -> Steps:
    """Export a record, or its `labels`; yields `Progress`, returns the file. The dialog has asked about replacing."""
    with open_record(path) as record:
        return (yield from export_record_steps(record, name, target, labels=labels, overwrite=True))


def hand_in_steps(path: Path, folder: Path, **said: Any) -> Steps:
    """Write the folder to hand in of a record; yields `Progress`, returns the folder. `said` is as for `deliver`."""
    with open_record(path) as record:
        return (yield from deliver_steps(record, folder, overwrite=True, **said))


def restore(path: Path) -> Restored:
    """The photograph of a record, ready to be added, for a viewer that does not show it yet."""
    with open_record(path) as record:
        try:
            data, meta, kind = photograph_data(record.open_source(), record)
        except MosaicError as error:
            return Restored(None, path, str(error))
    meta["metadata"][PLACE] = str(path)
    return Restored((data, meta, kind), path)


def warm_up(params: SegmentParams) -> Labels:
    """Import and compile what the first run needs; returns a tiny layer to warm the canvas with.

    Compiling the network holds Python's lock for seconds, and with it the viewer, on whatever thread: it
    belongs to the one wait at the start, not to the first estimate.
    """
    layer = Labels(np.ones((2, 2), np.uint32), name="…", opacity=0.01)
    try:
        importlib.import_module("napari_mosaic._flood")
        method = load_method(params)
        method.predict(np.zeros((1, WARM_PX, WARM_PX, 3), np.uint8))
    except (ImportError, MosaicError):  # the run itself will say what is missing
        return layer
    return layer


def _photograph(layer: Any, place: Path, image: MosaicImage) -> Generator[Any, None, MosaicImage]:
    """The photograph to segment, saved beside the record first where it is in memory only."""
    if image.source.location or is_record_of(place, image):
        return image
    kept = open_kept(place, image, layer)
    if kept is None:
        check_owner(place, image, overwrite=False, discard_edits=False)
    if kept is None and image.shape[0] * image.shape[1] > SAVED_PX:
        image.close()
        raise InputError(
            f"The layer “{layer.name}” has no file and is too large to save beside the record; "
            "save it as a TIFF and open that."
        )
    with image:
        yield Progress(phase="Saving the photograph", done=0, total=0)
        path = Path(kept.source.location) if kept is not None else _save(image, place)
        size = image.pixel_size
    yield Saved(path)
    saved = kept or open_image(path)
    saved.pixel_size = size or saved.pixel_size  # a file in TIFF could carry it as dpi only, which is nobody's word
    return saved


def _save(image: MosaicImage, place: Path) -> Path:
    import tifffile

    from napari_mosaic.output_files import replacing

    place.parent.mkdir(parents=True, exist_ok=True)
    stem = place.name.removesuffix(".mosaic.zarr")
    path, number = place.with_name(f"{stem}.tif"), 1
    while path.exists():
        number += 1
        path = place.with_name(f"{stem} {number}.tif")
    pixels = image.read(Box(0, 0, *image.shape))
    with replacing(path, overwrite=False) as temporary:
        tifffile.imwrite(temporary, pixels, photometric="rgb", tile=(512, 512), compression="zlib", metadata=None)
    return path


def _shown(steps: Generator[Progress, None, Record], path: Path, layer: Any) -> Steps:
    """Pass steps on, and open the record for looking as soon as there is something in it, and what it gets later."""
    opened: Opened | None = None
    joined = False
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                stop.value.close()
                break
            if opened is None and (progress.region is not None or progress.phase == "joints"):
                opened = _open(path, layer)
                yield opened
            if opened is not None and not joined and progress.phase in MASK_PHASES:
                joined = True
                masks = mask_layer(opened.record, opened.like)
                if masks is not None and MASKS not in opened.layers:
                    yield masks
            yield progress
    finally:
        steps.close()
    if opened is None:
        yield _open(path, layer)
    return read_facts(path)


def _open(path: Path, layer: Any) -> Opened:
    record = open_record(path)
    return make_layers(record, record_facts(record), layer)


def ask(function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """A call to make later, for `Requests.ask`."""
    return lambda: function(*args)


__all__ = ["FindRequest", "Joined", "Opened", "Restored", "Saved", "find_steps"]
