"""Reading what people drew: masks and labels as ids, with a look whether they can be what they are said to be.

One decision: a mask is never guessed at in silence; what it shows is said by an option, and one that
cannot be that ends in a sentence that says what it looks like instead.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.engine.scale import keep_resolution
from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.file_types import PICTURES

Kind = Literal["labels", "tesserae", "grout"]
LEAST_AREA = 12
"""Stones of fewer pixels in a mask are specks. *Not varied.*"""
TRUTHS = (".png", ".tif", ".tiff", ".npy", ".bmp", ".jpg", ".jpeg")
_UNREADABLE = (OSError, ValueError, RuntimeError, SyntaxError, struct.error, zlib.error, EOFError)
_SOME = 5
"""So many pieces are stones and no accident. *Not varied.*"""
_BARE = "take it out, draw its stones, or say by a white mask of its name in known/ that there is none"
_JOINT = 2.5
"""What a joint adds to a stone's side, px; as in the search for the scale."""


def find_pairs(images: Path, truths: Path) -> list[tuple[Path, Path]]:
    """Pictures with their masks of the same name, in order.

    Raises
    ------
    MissingError
        If there is no such folder, no picture in it, or a picture without a mask.
    """
    for folder in (images, truths):
        if not folder.is_dir():
            raise MissingError(
                f"There is no folder {folder}; training needs {images.name} and {truths.name} side by side."
            )
    pictures = sorted(path for path in images.iterdir() if path.suffix.lower() in PICTURES)
    if not pictures:
        raise MissingError(f"There is no picture in {images}; put PNG, JPEG or TIFF files there.")
    known = {path.stem: path for path in sorted(truths.iterdir()) if path.suffix.lower() in TRUTHS}
    for picture in pictures:
        if picture.stem not in known:
            raise MissingError(
                f"The picture {picture.name} has no mask of the same name in {truths}; add it, or take the picture out."
            )
    return [(picture, known[picture.stem]) for picture in pictures]


def read_truth(path: Path, kind: Kind, shape: tuple[int, int], *, bare: bool = False) -> NDArray[np.uint32]:
    """The stones of a mask or label image as ids 1..N, (Y, X), 0 = none.

    `bare` says that there may be no stone in it, because somebody said what is known of the picture.

    Raises
    ------
    ReadError
        If the file cannot be read.
    InputError
        If it is not as large as the picture, is empty, or cannot be of that kind.
    """
    values = _read_values(path)
    if values.shape != shape:
        raise InputError(
            f"The mask {path.name} is {values.shape[1]} x {values.shape[0]} px and its picture "
            f"{shape[1]} x {shape[0]}; a mask must be as large as its picture."
        )
    if bare and not _shows_tesserae(values, kind):
        return np.zeros(shape, np.uint32)
    return _from_labels(values, path) if kind == "labels" else _from_mask(values, kind, path)


def _shows_tesserae(values: NDArray[Any], kind: Kind) -> bool:
    return bool(values.min() < values.max() or (values.max() > 0) != (kind == "grout"))


def read_known(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the truth of a picture is known: the white of a mask `(Y, X)` as large as it."""
    values = _read_values(path)
    if values.shape != shape:
        raise InputError(
            f"The mask of what is known {path} is {values.shape[1]} x {values.shape[0]} px and its picture "
            f"{shape[1]} x {shape[0]}; it must be as large as its picture."
        )
    known = np.asarray(values > 0)
    if not known.any():
        raise InputError(f"{path} is black, so nothing is known of that picture; take the picture out.")
    return known


def usual_pitch(labels: NDArray[Any]) -> float | None:
    """The distance of two stones in a picture, px; None where it shows no stone."""
    area = np.bincount(np.asarray(labels).ravel())[1:]
    area = area[area > 0]
    return float(np.sqrt(np.median(area))) + _JOINT if len(area) else None


def usual_factor(labels: NDArray[Any], tessera_px: float) -> float:
    """How much to enlarge a picture so that its stones have the size that a program run would give them."""
    pitch = usual_pitch(labels)
    return 1.0 if pitch is None else keep_resolution(tessera_px / pitch)


def number(labels: NDArray[Any]) -> NDArray[np.uint32]:
    """Ids as 1..N in the order of their size, 0 kept."""
    ids, inverse = np.unique(labels, return_inverse=True)
    numbers = np.arange(len(ids)) + (0 if len(ids) and ids[0] == 0 else 1)
    return numbers[inverse].reshape(labels.shape).astype(np.uint32)


def _from_labels(values: NDArray[Any], path: Path) -> NDArray[np.uint32]:
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        raise InputError(f"{path.name} holds fractions, which are no numbers of stones; save labels as integers.")
    if (values < 0).any():
        raise InputError(f"{path.name} holds negative numbers, which name no stones; 0 is joint, 1, 2, 3 … stones.")
    labels = number(values)
    found = int(labels.max(initial=0))
    if found == 0:
        raise InputError(f"{path.name} is empty: it shows no stone; {_BARE}.")
    pieces, gaps = _pieces(labels > 0)[1], _pieces(labels == 0)[1]
    if found == 1 and (pieces > 1 or gaps >= _SOME):
        raise InputError(
            f"{path.name} has one value for {max(pieces, gaps)} stones, so it is a mask and no labels; say what it "
            "shows with --masks tesserae or --masks grout."
        )
    return labels


def _from_mask(values: NDArray[Any], kind: Kind, path: Path) -> NDArray[np.uint32]:
    low, high = float(values.min()), float(values.max())
    if low == high:
        what = "joint" if (high > 0) == (kind == "grout") else "stone"
        raise InputError(f"{path.name} is empty: all of it is {what}; {_BARE}.")
    part = (values.astype(np.float32) - low) / (high - low)
    if float(((part > 0.15) & (part < 0.85)).mean()) > 0.25:
        raise InputError(
            f"{path.name} has many grey values and is no black and white mask; if it holds a number for each "
            "stone, say --masks labels."
        )
    white = part > 0.5
    tesserae = ~white if kind == "grout" else white
    labels, n = _pieces(tesserae)
    _, other = _pieces(~tesserae)
    if other >= _SOME and (n * 2 < other or (n < other and _web(tesserae) > 2 * _web(~tesserae))):
        word = {"grout": "joints", "tesserae": "stones"}[kind]
        turn = "tesserae" if kind == "grout" else "grout"
        raise InputError(
            f"{path.name} looks inverted: read with white {word} it shows {n} stones, the other way round {other}; "
            f"say --masks {turn}, or invert it."
        )
    if n == 0:
        raise InputError(f"{path.name} shows no stone of {LEAST_AREA} px or more; take it out, or draw its stones.")
    return labels


def _pieces(tesserae: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], int]:
    """Connected stones as 1..N without specks, and N."""
    _n, pieces, figures, _ = cv2.connectedComponentsWithStats(tesserae.astype(np.uint8), connectivity=4)
    keep = figures[:, cv2.CC_STAT_AREA] >= LEAST_AREA
    keep[0] = False
    numbers = np.where(keep, np.cumsum(keep), 0)
    return numbers[pieces].astype(np.uint32), int(keep.sum())


def _web(mask: NDArray[np.bool_]) -> float:
    """Part of a mask that its largest connected piece holds: much of joints, little of stones."""
    figures = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)[2]
    return float(figures[1:, cv2.CC_STAT_AREA].max(initial=0) / max(int(mask.sum()), 1))


def _read_values(path: Path) -> NDArray[Any]:
    try:
        values = _read_array(path)
    except _UNREADABLE as error:
        raise ReadError(f"The mask {path} cannot be read ({error}); save it as PNG, TIFF or .npy.") from error
    if values.ndim == 3 and values.shape[2] in (3, 4):
        if not (values[..., 0] == values[..., 1]).all() or not (values[..., 0] == values[..., 2]).all():
            raise InputError(f"{path.name} is a picture in colours and no mask; save one value a pixel.")
        values = values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in "buif":
        raise InputError(f"{path.name} has the shape {values.shape} and is no mask; save one value a pixel.")
    return values.astype(np.uint8) if values.dtype.kind == "b" else values


def _read_array(path: Path) -> NDArray[Any]:
    if path.suffix.lower() == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if path.suffix.lower() in (".tif", ".tiff"):
        import tifffile

        return np.asarray(tifffile.imread(path))
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB") if picture.mode in ("P", "RGBA", "LA", "CMYK") else picture)
