"""Sets of drawn mosaics as files: pictures, joints, numbered stones, and their inner parts.

One decision: each picture follows from the seed and its number alone, and its files appear whole, the
picture last; so any number of processes draw the same set, and a set that was begun is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError
from napari_mosaic.files import write_whole
from napari_mosaic.folder_lock import LOCK, working_in
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.training.data import core_target, grout_target
from napari_mosaic.training.params import SynthesisParams
from napari_mosaic.training.pool import draw_one, in_parallel
from napari_mosaic.training.run_files import check_room, read_note, write_json, writing

NOTE, SHEET = "set.json", "contact-sheet.png"
FOLDERS = ("images", "masks", "labels", "cores", "known")
_BYTES = 3.6
"""Of a drawing's files, a pixel. *Not varied.*"""
_CHUNK = 4
"""Drawings that are made at once. *Not varied.*"""
_CELL, _COLUMNS, _ROWS = 192, 6, 4
"""Side of a picture on the contact sheet, px, and how many stand beside and below each other."""
_MIX = 1_000_003
"""More than the drawings of the largest set, so two sets of different seeds share none."""


def synthesize(
    out: str | Path, params: SynthesisParams | None = None, *, on_progress: Callable[[Progress], None] | None = None
) -> Path:
    """Draw a set of mosaics with their truth and return its folder; see `synthesize_steps`."""
    return drain(synthesize_steps(out, params), on_progress)


def synthesize_steps(out: str | Path, params: SynthesisParams | None = None) -> Steps[Path]:
    """Draw mosaics into `out`: what is there already is kept, so the same call goes on with a set.

    Parameters
    ----------
    out
        Gets `images/` (sRGB), `masks/` (joints white), `labels/` (16 bit, a number for each stone, 0 joint),
        `cores/` (inner parts white), `known/` (black where the picture does not show the stones that are there),
        `set.json` and `contact-sheet.png`.
    params
        How many, how large, which layouts.

    Returns
    -------
    Path
        The folder, ready for `train`.

    Raises
    ------
    InputError
        If `out` holds another set, or something else.
    WriteError
        If it cannot be written.
    """
    params, out = params or SynthesisParams(), Path(out)
    _check_folder(out)
    _check_same(out, params)
    check_room(out, len(_missing(out, params)) * params.size * params.size * _BYTES)
    with working_in(out, "drawing a set"), writing(out):
        yield from _draw_set(out, params)
    return out


def _draw_set(out: Path, params: SynthesisParams) -> Steps[None]:
    _begin(out, params)
    missing = _missing(out, params)
    done = params.count - len(missing)
    yield Progress(phase="draw", done=done, total=params.count, unit="drawings")
    jobs = [(str(out), missing[i : i + _CHUNK], params) for i in range(0, len(missing), _CHUNK)]
    for drawn in in_parallel(_draw_some, jobs, params.processes):
        done += drawn
        yield Progress(phase="draw", done=done, total=params.count, unit="drawings")
    _write_png(out / SHEET, contact_sheet(out, params.count))


def contact_sheet(out: Path, count: int) -> NDArray[np.uint8]:
    """The first pictures of a set beside their joints, as one RGB picture."""
    sheet = np.full((_CELL * _ROWS, _CELL * _COLUMNS, 3), 255, np.uint8)
    for index in range(min(count, _ROWS * _COLUMNS // 2)):
        y, x = index // (_COLUMNS // 2) * _CELL, index % (_COLUMNS // 2) * 2 * _CELL
        for shift, folder in ((0, "images"), (_CELL, "masks")):
            path = out / folder / _name(index)
            if not path.exists():
                continue
            picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)  # imread takes no Greek on Windows
            if picture is None:
                continue
            small = cv2.resize(picture, (_CELL - 4, _CELL - 4), interpolation=cv2.INTER_AREA)
            sheet[y + 2 : y + _CELL - 2, x + shift + 2 : x + shift + _CELL - 2] = small[..., ::-1]
    return sheet


def _check_folder(out: Path) -> None:
    """Raise `InputError` where `out` holds what is no set, before anything is written there."""
    if (out / NOTE).exists() or not out.is_dir():
        return
    if any(not path.name.startswith(LOCK) for path in out.iterdir()):
        raise InputError(f"{out} is a folder with other things in it; give the name of a new one.")


def _missing(out: Path, params: SynthesisParams) -> list[int]:
    """Numbers of the drawings that are not there yet."""
    return [n for n in range(params.count) if not (out / "images" / _name(n)).exists()]


def _asked(params: SynthesisParams) -> dict[str, Any]:
    return {key: value for key, value in asdict(params).items() if key not in ("count", "processes")}


def _check_same(out: Path, params: SynthesisParams) -> None:
    """Refuse to mix two sets."""
    ask, note = _asked(params), out / NOTE
    if note.exists():
        before = read_note(note)
        for name, value in ask.items():
            if before.get(name) != value:
                raise InputError(
                    f"{out} holds a set that was drawn with {name} {before.get(name)}, not {value}; give the same "
                    "options to go on with it, or another folder."
                )


def _begin(out: Path, params: SynthesisParams) -> None:
    """Make the folders, and note what the set is."""
    _check_same(out, params)
    for folder in FOLDERS:
        (out / folder).mkdir(parents=True, exist_ok=True)
    write_json(out / NOTE, _asked(params) | {"count": params.count})


def _draw_some(job: tuple[str, list[int], SynthesisParams]) -> int:
    folder, numbers, params = job
    for number in numbers:
        drawing = draw_one(params.size, drawing_seed(params.seed, number), params.geometry)
        truth = {
            "cores": core_target(drawing.labels) * np.uint8(255),
            "labels": drawing.labels.astype(np.uint16),
            "masks": grout_target(drawing.labels) * np.uint8(255),
            "known": drawing.valid * np.uint8(255),
            "images": drawing.image,
        }
        for name, picture in truth.items():
            _write_png(Path(folder) / name / _name(number), picture)
    return len(numbers)


def drawing_seed(seed: int, number: int) -> int:
    """Seed of a drawing of a set; apart from those of training pools and validation."""
    return 2**40 + seed * _MIX + number


def _name(number: int) -> str:
    return f"{number:05d}.png"


def _write_png(path: Path, picture: NDArray[Any]) -> None:
    turned = picture[..., ::-1] if picture.ndim == 3 else picture
    _, code = cv2.imencode(".png", np.ascontiguousarray(turned))
    write_whole(path, code.tobytes(), sync=False)
