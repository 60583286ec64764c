"""Where a run's pictures come from: drawings, a folder of pictures and masks, or a corrected record.

One decision: pictures and truth are brought once into plain arrays in the run's own folder, so that a run
goes on with what it began with, whatever becomes of the files, and pictures of any size are mapped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.resample import read_resampled
from napari_mosaic.engine.segmenters import load_segmenter
from napari_mosaic.errors import InputError, MissingError, RecordError
from napari_mosaic.image import MosaicImage, open_image
from napari_mosaic.progress import Progress, Steps
from napari_mosaic.record import Plan, Record, open_record
from napari_mosaic.record.finished import require_finished
from napari_mosaic.tiling import Box
from napari_mosaic.training.agreement import agreed_pictures, photographs_in, plan_views
from napari_mosaic.training.data import Crop, Mixture, Picture
from napari_mosaic.training.params import RunParams, TrainParams
from napari_mosaic.training.pool import (
    FIRST_TRAINING_SEED,
    Endless,
    Pool,
    draw_pool,
    open_pool,
)
from napari_mosaic.training.run_files import check_room, read_note, write_json, writing
from napari_mosaic.training.truth import Kind, find_pairs, number, read_known, read_truth, usual_factor
from napari_mosaic.training.validation import draw_validation, middle_crops

Masks = Literal["auto", "labels", "tesserae", "grout"]
INDEX = "pictures.json"
_CONTEXT = 96
"""What is read around a finished window, in pixels of the working grid: seen, but not learned from. *Not varied.*"""


@dataclass(frozen=True)
class Material:
    """What a run learns from, validates on and is tested on at its end."""

    mixture: Mixture
    validation: list[Crop]
    test: list[Crop]


@dataclass(frozen=True)
class Stored:
    """Pictures kept as arrays in a folder, mapped when asked for."""

    folder: Path
    names: tuple[str, ...]
    factors: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int, /) -> Picture:
        start = self.folder / self.names[index]
        image, labels = (np.load(f"{start}.{part}.npy", mmap_mode="r") for part in ("image", "labels"))
        known = Path(f"{start}.known.npy")
        mask = np.load(known, mmap_mode="r") if known.exists() else None
        return Picture(image, labels, mask, self.factors[index])

    def take(self, indices: list[int]) -> Stored:
        """Some of the pictures."""
        return Stored(self.folder, tuple(self.names[i] for i in indices), tuple(self.factors[i] for i in indices))


def draw_material(out: Path, params: TrainParams) -> Steps[Material]:
    """Drawn mosaics: a pool in `out`/pool, or drawn anew for every crop."""
    source = yield from rehearsal(out, params)
    validation = draw_validation(params.validation, params.drawing_size, params.geometry)
    return Material(Mixture((source,)), validation, [])


def rehearsal(out: Path, params: RunParams) -> Steps[Pool | Endless]:
    """The drawn mosaics that `params` ask for."""
    if params.drawings == 0:
        return Endless(params.drawing_size, params.geometry)
    pool_at = draw_pool(
        out / "pool", params.drawings, size=params.drawing_size, seed=FIRST_TRAINING_SEED,
        processes=params.processes, geometry=params.geometry,
    )  # fmt: skip
    for drawn in pool_at:
        yield Progress(phase="draw", done=drawn, total=params.drawings, unit="drawings")
    return open_pool(out / "pool")


def folder_material(data: Path, out: Path, params: TrainParams, masks: Masks) -> Steps[Material]:
    """The pictures of a folder, split by the seed."""
    stored = yield from store_folder(data, out / "data", masks=masks)
    train, validation, test = split(len(stored), params.seed, params.validation_part, params.test_part)
    parts = {
        name: [stored.names[i] for i in some]
        for name, some in (("train", train), ("validation", validation), ("test", test))
    }
    write_json(out / "split.json", parts)
    return Material(
        Mixture((stored.take(train),)), middle_crops(stored.take(validation)), middle_crops(stored.take(test))
    )


def split(count: int, seed: int, validation_part: float, test_part: float) -> tuple[list[int], list[int], list[int]]:
    """Numbers of the pictures to train on, to validate on and to test on; at least one to train on."""
    order = [int(i) for i in np.random.default_rng(seed).permutation(count)]
    n_validation = min(round(count * validation_part), count - 1)
    n_test = min(round(count * test_part), count - 1 - n_validation)
    rest = count - n_validation - n_test
    return order[:rest], order[rest : rest + n_validation], order[rest + n_validation :]


def store_folder(data: Path, out: Path, *, masks: Masks, tessera_px: float | None = None) -> Steps[Stored]:
    """Bring pictures and truth of `data` into arrays in `out`, checking each.

    `tessera_px` is the size that stones should be brought to; None leaves pictures as they are. Where a folder
    `known` holds a mask of a picture, nothing is learned but where that is white, and it may show no stone at all.
    """
    images, truths, kind = _find_folders(data, masks)
    pairs = find_pairs(images, truths)
    limits = {path.stem: path for path in (data / "known").iterdir()} if (data / "known").is_dir() else {}
    files = (*itertools.chain(*pairs), *limits.values())
    ask = {
        "kind": kind,
        "tessera_px": tessera_px,
        "files": [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files],
    }

    def read() -> Iterator[tuple[str, Picture]]:
        for path, truth in pairs:
            with open_image(path) as image:
                check_room(out, image.shape[0] * image.shape[1] * 7)
                labels = read_truth(truth, kind, image.shape, bare=path.stem in limits)
                known = read_known(limits[path.stem], image.shape) if path.stem in limits else None
                factor = 1.0 if tessera_px is None else usual_factor(labels, tessera_px)
                yield path.stem, Picture(image.read(Box(0, 0, *image.shape)), labels, known, factor)

    kept = open_stored(out, ask)
    return (yield from store_pictures(out, ask, read(), len(pairs))) if kept is None else kept


def store_record(path: Path, out: Path) -> Steps[Stored]:
    """Bring the finished windows of a record into arrays in `out`, with some surroundings that are not learned.

    Raises
    ------
    InputError
        If no window of it is marked as finished, or none holds a stone.
    """
    with open_record(path) as record, record.open_source() as image:
        boxes = require_finished(record)

        def read() -> Iterator[tuple[str, Picture]]:
            tesserae = 0
            for index, box in enumerate(boxes):
                pixels, labels, known = read_finished(record, image, box)
                tesserae += len(np.unique(labels[known & (labels > 0)]))
                yield f"window{index}", Picture(pixels, labels, known)
            if tesserae == 0:
                raise InputError(
                    f"The finished windows of {path} hold no stone; mark windows that show corrected stones."
                )

        ask = {"record": str(path), "boxes": [list(box) for box in boxes]}
        return (yield from store_pictures(out, ask, read(), len(boxes), "windows"))


def store_agreed(folder: Path, out: Path, model: str) -> Steps[Stored]:
    """Bring what a model sees alike in several views of the photographs of `folder` into arrays in `out`.

    Raises
    ------
    InputError
        If nowhere enough of it is sure.
    """
    segmenter = load_segmenter("grout", model)
    plans: dict[Path, Plan] = {}
    for path in photographs_in(folder):
        yield Progress(phase="scale", done=len(plans), total=len(plans) + 1, unit="pictures", message=path.name)
        with open_image(path) as image:
            plans[path] = plan_views(image, segmenter)

    def read() -> Iterator[tuple[str, Picture]]:
        for path, plan in plans.items():
            with open_image(path) as image:
                yield from agreed_pictures(image, path.stem, plan, segmenter)

    ask = {"agreed_by": segmenter.sha256, "files": [path.name for path in plans]}
    stored = yield from store_pictures(out, ask, read(), sum(len(plan.lattice) for plan in plans.values()), "windows")
    if len(stored) == 0:
        raise InputError(
            f"Nothing in the photographs of {folder} is sure: the model sees no stones alike in several sizes and "
            "turns; give other photographs or another model."
        )
    return stored


def store_pictures(
    out: Path, ask: dict[str, Any], pictures: Iterable[tuple[str, Picture]], total: int, unit: str = "pictures"
) -> Steps[Stored]:
    """Keep pictures by name as arrays in `out`; only when all are there they count as what `ask` says.

    Raises
    ------
    WriteError
        If they cannot be written.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / INDEX).unlink(missing_ok=True)
        for left in out.glob("*.known.npy"):
            left.unlink()
    kept = Stored(out, (), ())
    for done, (name, picture) in enumerate(pictures):
        yield Progress(phase="read", done=done, total=total, unit=unit, message=name)
        small = np.uint16 if int(picture.labels.max(initial=0)) < 2**16 else picture.labels.dtype
        with writing(out):
            np.save(out / f"{name}.image.npy", picture.image)
            np.save(out / f"{name}.labels.npy", picture.labels.astype(small))
            if picture.known is not None:
                np.save(out / f"{name}.known.npy", picture.known)
        kept = Stored(out, (*kept.names, name), (*kept.factors, picture.factor))
    write_json(out / INDEX, {"ask": ask, "names": kept.names, "factors": kept.factors})
    return kept


def read_finished(
    record: Record, image: MosaicImage, box: Box
) -> tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[np.bool_]]:
    """Photograph, ids 1..N and what is known around a finished box, on the working grid."""
    factor = record.plan.factor
    core = Box(*(round(edge * factor) for edge in box)).clip(record.shape)
    if core.area == 0:
        raise RecordError(f"A finished window of {record.path} lies outside of its photograph; unmark it.")
    window = core.grow(_CONTEXT).clip(record.shape)
    pixels = read_resampled(image, (window.y0 / factor, window.x0 / factor), factor, window.shape)
    known = np.zeros(window.shape, bool)
    known[core.within(window)] = True
    return pixels, number(record.read_labels(window)), known


def _find_folders(data: Path, masks: Masks) -> tuple[Path, Path, Kind]:
    if not data.is_dir():
        raise MissingError(f"There is no folder {data}; give one that holds images and masks.")
    if masks == "auto":
        has_labels = (data / "labels").is_dir()
        return data / "images", data / ("labels" if has_labels else "masks"), "labels" if has_labels else "grout"
    if masks == "labels" and not (data / "masks").is_dir():
        return data / "images", data / "labels", masks
    return data / "images", data / "masks", masks


def open_stored(out: Path, ask: dict[str, Any] | None = None) -> Stored | None:
    """The pictures that were brought to `out`; None where there are none, or other ones than `ask` says."""
    note = read_note(out / INDEX)
    if not note or (ask is not None and note["ask"] != ask):
        return None
    return Stored(out, tuple(note["names"]), tuple(note["factors"]))
