"""Where SAM 2's pictures come from: drawings, folders as Mosaic-SAM2 has them, Label Studio, COCO, records.

One decision: pictures are parted by mosaic, not by crop, else a model is judged on stones that it has learned; which
mosaic a picture shows is read off its name by a rule that can be given, and written into `split.json`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch.utils.data import ConcatDataset

from napari_mosaic.errors import InputError, MissingError
from napari_mosaic.progress import Steps
from napari_mosaic.training.annotations import store_annotations
from napari_mosaic.training.data import Picture, Pictures
from napari_mosaic.training.sam.params import SamTrainParams
from napari_mosaic.training.sources import Masks, Stored, rehearsal, split, store_folder, store_record
from napari_mosaic.training.validation import draw_validation


@dataclass(frozen=True)
class SamMaterial:
    """What a run learns from: pictures, and the numbers of those for each purpose.

    `split` names the mosaics of each part; `mark` tells this material from others.
    """

    pictures: Pictures
    train: list[int]
    validation: list[int]
    test: list[int] = field(default_factory=list)
    split: dict[str, list[str]] = field(default_factory=dict)
    mark: str = ""


def sam_material(data: Sequence[Path], out: Path, params: SamTrainParams, masks: Masks) -> Steps[SamMaterial]:
    """Bring what a run learns from into its folder; without `data` mosaics are drawn.

    Parameters
    ----------
    data
        Folders with `images` and `masks` or `labels`, JSON files of Label Studio or COCO, records.
    out
        Folder of the run.
    params
        For the split, or the drawings.
    masks
        What masks in folders show; auto takes `labels`, else white stones, as Mosaic-SAM2 has them.

    Raises
    ------
    MosaicError
        One of its kinds, with one sentence.
    """
    if not data:
        return (yield from _draw(out, params))
    return _part((yield from read_sources(data, out / "data", params.group, masks)), params)


Sources = list[tuple[Stored, list[str]]]
"""Pictures of some sources, each with the mosaics that they show."""


def read_sources(data: Sequence[Path], out: Path, group: str, masks: Masks) -> Steps[Sources]:
    """Bring all that `data` names into arrays in folders of `out`; arguments as for `sam_material`."""
    stored: Sources = []
    for number, path in enumerate(data):
        stored.append((yield from _store(path, out / str(number), group, masks)))
    return stored


def join_pictures(stored: Sources) -> Pictures:
    """All pictures of some sources as one set."""
    joined: Pictures = ConcatDataset([pictures for pictures, _ in stored])
    return joined


def _draw(out: Path, params: SamTrainParams) -> Steps[SamMaterial]:
    pool = yield from rehearsal(out, params)
    unseen = [Picture(*crop) for crop in draw_validation(params.validation, params.drawing_size, params.geometry)]
    pictures = ConcatDataset([pool, unseen]) if unseen else pool
    numbers = list(range(len(pictures)))
    mark = f"{params.drawings} {params.drawing_size} {params.geometry}"
    return SamMaterial(pictures, numbers[: len(pool)], numbers[len(pool) :], mark=mark)


def _store(path: Path, out: Path, group: str, masks: Masks) -> Steps[tuple[Stored, list[str]]]:
    """Bring one source into arrays; with the mosaic that each picture shows."""
    if (path / "mosaic.json").exists():
        stored = yield from store_record(path, out)
        return stored, [path.name] * len(stored)
    if path.is_file() or path.suffix.lower() == ".json":
        stored = yield from store_annotations(path, out)
    elif not path.exists():
        raise MissingError(f"There is no {path} to learn from; check the path.")
    else:
        shown: Masks = masks if masks != "auto" or (path / "labels").is_dir() else "tesserae"
        stored = yield from store_folder(path, out, masks=shown)
    return stored, [mosaic_of(name, group) for name in stored.names]


def mosaic_of(name: str, group: str) -> str:
    """The mosaic that a picture of some name shows: the first group of an expression, or all of the name."""
    try:
        found = re.fullmatch(group, name) or re.match(group, name)
        return str(found.group(1)) if found and found.group(1) else name
    except (re.error, IndexError) as error:
        raise InputError(
            f"{group!r} is no regular expression with a group that names the mosaic ({error}); write one like "
            "'(.+)_crop[0-9]+'."
        ) from error


def _part(stored: Sources, params: SamTrainParams) -> SamMaterial:
    """Part the pictures by mosaic; a single mosaic is parted by picture, and said so in the split.

    Of two or more, one at least is kept back to validate on where a part is asked for.
    """
    groups = [group for _, names in stored for group in names]
    if len(set(groups)) == 1:
        groups = [f"{group} {k}" for k, group in enumerate(groups)]
    names = sorted(set(groups))
    validation_part = params.validation_part and max(params.validation_part, 1 / len(names))
    parts = split(len(names), params.seed, validation_part, params.test_part)
    named = {key: [names[k] for k in part] for key, part in zip(("train", "validation", "test"), parts, strict=True)}
    numbers = {key: [k for k, group in enumerate(groups) if group in set(part)] for key, part in named.items()}
    return SamMaterial(
        join_pictures(stored), numbers["train"], numbers["validation"], numbers["test"], named, mark_of(stored)
    )


def mark_of(stored: Sources) -> str:
    """What tells some sources from others."""
    what = [
        [list(one.names), [int(np.asarray(one[k].labels).sum(dtype=np.int64)) for k in range(len(one))]]
        for one, _ in stored
    ]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
