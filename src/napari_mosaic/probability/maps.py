"""Maps of probabilities in records and files, and several of them made one.

One decision: a pixel is joint where its probability is *above* the threshold, in the record, in a file
and in a mask alike, so thresholding an exported map gives the exported mask, pixel for pixel; and, at the
analysis size, the very pixels that tesserae are cut from. Of several maps on one grid each weighs the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.confidence import temperature_scale
from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.evaluation.files import bands
from napari_mosaic.mask_files import UNREADABLE, read_pixels
from napari_mosaic.measurement.source_grid import places_under
from napari_mosaic.objects import as_place, is_remote
from napari_mosaic.output_files import replacing
from napari_mosaic.png_rows import PngRows
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.record import Record, open_record
from napari_mosaic.tiling import Box

Floats = NDArray[np.float32]
GridName = Literal["photograph", "analysis"]
ChannelName = Literal["joints", "insides"]
CHANNELS = ("joints", "insides")
BAND_PIXELS = 2**22
"""Pixels that are in memory at once. *Not varied.*"""


@dataclass(frozen=True)
class ProbabilityGrid:
    """Probabilities 0..1, float32, read by box in pixels of their own grid; and the model that gave them."""

    shape: tuple[int, int]
    read: Callable[[Box], Floats]
    model_sha256: str = ""
    model: str = ""

    def changed(self, change: Callable[[Floats], Floats]) -> ProbabilityGrid:
        """The same with a function of every value."""
        read = self.read
        return replace(self, read=lambda box: change(read(box)))

    def bands(self) -> Iterator[tuple[Box, Floats]]:
        """All of it in bands of some megapixels, from the top."""
        return ((box, self.read(box)) for box in bands(self.shape, BAND_PIXELS))


def open_map(
    source: str | Path | Record,
    stack: ExitStack | None = None,
    *,
    channel: ChannelName = "joints",
    grid: GridName = "photograph",
    adjusted: bool = True,
) -> ProbabilityGrid:
    """Open a record's map, or a map in a file, for reading by box.

    Parameters
    ----------
    source
        A record (or its folder), an `.npy` of numbers 0..1 or of bytes, or an 8- or 16-bit PNG or TIFF.
    stack
        Closes what is opened.
    channel
        Of a record: the joints, or the insides of tesserae.
    grid
        Of a record: a pixel of the photograph has the value under its centre; "analysis" is the map as it
        is stored.
    adjusted
        Of a record: joints as its temperature tells them; False for the model's own numbers.

    Raises
    ------
    MissingError, ReadError, InputError
        Nothing there; not readable; no probabilities.

    """
    if isinstance(source, Record):
        return _record_map(source, channel, grid, adjusted)
    path = as_place(source)
    if is_remote(path) or path.is_dir():
        record = open_record(path)
        if stack is not None:
            stack.callback(record.close)
        return _record_map(record, channel, grid, adjusted)
    return _file_map(path)


def _record_map(record: Record, channel: ChannelName, grid: GridName, adjusted: bool) -> ProbabilityGrid:
    plan = record.plan
    temperature = plan.tesserae.temperature if adjusted and channel == "joints" else 1.0
    if channel not in CHANNELS or grid not in {"photograph", "analysis"}:
        raise InputError(
            f"There is no map {channel!r} on a grid {grid!r}; choose joints or insides, photograph or analysis."
        )
    k = CHANNELS.index(channel)
    if k >= plan.channels:
        raise InputError(f"The model {plan.model} gives no map of the insides of tesserae; export the joints instead.")

    def read(box: Box) -> Floats:
        if grid == "analysis":
            stored = record.read_map(box)[k]
        else:
            rows = places_under(box.y0, box.y1, plan.factor, plan.shape[0])
            columns = places_under(box.x0, box.x1, plan.factor, plan.shape[1])
            work = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
            stored = record.read_map(work)[k][(rows - work.y0)[:, None], columns - work.x0]
        return temperature_scale(np.asarray(stored, np.float32) / np.float32(255), temperature)

    shape = plan.shape if grid == "analysis" else plan.source_shape
    return ProbabilityGrid(shape, read, plan.model_sha256, plan.model)


def _file_map(path: Path) -> ProbabilityGrid:
    if not path.exists():
        raise MissingError(f"There is no map {path}; check the path.")
    try:
        values = (
            np.load(path, mmap_mode="r", allow_pickle=False) if path.suffix.lower() == ".npy" else read_pixels(path)
        )
    except UNREADABLE as error:
        raise ReadError(f"{path} cannot be read as a map ({error}); give .npy, or PNG of 8 or 16 bits.") from error
    if values.ndim == 3 and path.suffix.lower() != ".npy" and (values[..., :1] == values[..., :3]).all():
        values = values[..., 0]
    top = {"f": 1.0, "b": 1.0, "u": float(np.iinfo(values.dtype).max) if values.dtype.kind == "u" else 0.0}
    if values.ndim != 2 or values.dtype.kind not in top or values.size == 0:
        raise InputError(
            f"{path} holds {values.dtype} numbers of the shape {values.shape}, which are no probabilities; give one "
            "number a pixel, 0 to 1, or bytes."
        )
    scale = np.float32(top[values.dtype.kind])

    def read(box: Box) -> Floats:
        part = np.asarray(values[box.slices], np.float32)
        if values.dtype.kind == "f" and not (np.isfinite(part).all() and part.min() >= 0 and part.max() <= 1):
            raise InputError(
                f"{path} holds numbers outside of 0 to 1, which are no probabilities; give those, not logits."
            )
        return part / scale

    return ProbabilityGrid((values.shape[0], values.shape[1]), read)


def export_probabilities(
    record: Record,
    path: str | Path,
    *,
    channel: ChannelName = "joints",
    grid: GridName = "photograph",
    mask: str | Path | None = None,
    threshold: float = 0.5,
) -> Path:
    """Write a record's map as `.npy` (float32) or `.png` (8 bits), and its mask; see `write_map_steps`."""
    opened = open_map(record, channel=channel, grid=grid)
    return drain(write_map_steps(opened, path, mask=mask, threshold=threshold))


def write_map_steps(
    map_: ProbabilityGrid,
    path: str | Path,
    *,
    mask: str | Path | None = None,
    threshold: float = 0.5,
    overwrite: bool = True,
) -> Steps[Path]:
    """Write a map band by band, whole or not at all.

    Parameters
    ----------
    map_
        The probabilities.
    path
        `.npy` for float32 numbers 0..1, `.png` for 8 bits.
    mask
        A PNG for the mask as well: 255 where the *written* probability is above `threshold`.
    threshold
        0 to 1.
    overwrite
        Whether to replace what is there.

    """
    path, mask = Path(path), None if mask is None else Path(mask)
    _check_names(path, mask, threshold)
    with ExitStack() as stack:
        temporary = stack.enter_context(replacing(path, overwrite=overwrite))
        write = _rows_writer(temporary, map_.shape, stack)
        write_mask = None
        if mask is not None:
            write_mask = _rows_writer(stack.enter_context(replacing(mask, overwrite=overwrite)), map_.shape, stack)
        for box, values in map_.bands():
            written = write(box, values)
            if write_mask is not None:
                write_mask(box, (written > np.float32(threshold)).astype(np.float32))
            yield Progress(phase="writing", done=box.y1 * box.x1 / 1e6, total=map_.shape[0] * map_.shape[1] / 1e6)
    return path


def _check_names(path: Path, mask: Path | None, threshold: float) -> None:
    if path.suffix.lower() not in {".npy", ".png"}:
        raise InputError(f"The name {path.name} does not tell the format of the map; let it end in .npy or .png.")
    if mask is not None and mask.suffix.lower() != ".png":
        raise InputError(f"The name {mask.name} does not tell the format of the mask; let it end in .png.")
    if not 0 < threshold < 1:
        raise InputError(f"A threshold of {threshold:g} is no probability; give one between 0 and 1.")


def _rows_writer(path: Path, shape: tuple[int, int], stack: ExitStack) -> Callable[[Box, Floats], Floats]:
    """Writes bands in order and gives back what a reader of the file will see."""
    if path.suffix.lower() == ".npy":
        file = stack.enter_context(path.open("wb"))  # no mapped file: Windows renames none that is open
        header = np.lib.format.header_data_from_array_1_0(np.empty((0, 0), np.float32)) | {"shape": shape}
        np.lib.format.write_array_header_1_0(file, header)

        def write_numbers(box: Box, values: Floats) -> Floats:
            del box
            file.write(np.ascontiguousarray(values, np.float32).data)
            return values

        return write_numbers
    rows = stack.enter_context(PngRows(path, shape, depth=8))

    def write_bytes(box: Box, values: Floats) -> Floats:
        del box
        stored = np.round(values * np.float32(255)).astype(np.uint8)
        rows.write(stored)
        return stored.astype(np.float32) / np.float32(255)

    return write_bytes


_CERTAIN = np.float32(0.5 / 255)
"""Half a byte: log odds of 0 and 1 have no end."""


def _logit_mean(maps: Floats) -> Floats:
    """The mean of the log odds, as a probability; certain values are kept half a byte away from 0 and 1."""
    values = np.clip(maps, _CERTAIN, 1 - _CERTAIN)
    odds = np.log(values / (1 - values)).mean(0)
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


WAYS: dict[str, Callable[[Floats], Floats]] = {
    "mean": lambda maps: np.asarray(maps.mean(0), np.float32),
    "max": lambda maps: np.asarray(maps.max(0), np.float32),
    "logit-mean": _logit_mean,
}
"""From maps `(n, h, w)` to one `(h, w)`."""


def fuse_maps(
    maps: Sequence[str | Path],
    output: str | Path,
    *,
    how: str = "mean",
    mask: str | Path | None = None,
    threshold: float = 0.5,
) -> Path:
    """Join several maps into one file; see `fuse_maps_steps`."""
    return drain(fuse_maps_steps(maps, output, how=how, mask=mask, threshold=threshold))


def fuse_maps_steps(
    maps: Sequence[str | Path],
    output: str | Path,
    *,
    how: str = "mean",
    mask: str | Path | None = None,
    threshold: float = 0.5,
) -> Steps[Path]:
    """Join several maps into one, band by band.

    Parameters
    ----------
    maps
        Records or maps in files, at least two, of one size.
    output, mask, threshold
        As for `write_map_steps`.
    how
        A name of `WAYS`: the mean, the largest, or the mean of the log odds.

    """
    if how not in WAYS:
        raise InputError(f"Maps cannot be fused by {how!r}; choose one of {', '.join(WAYS)}.")
    if len(maps) < 2:
        raise InputError("One map alone cannot be fused; give at least two of the same photograph.")
    with ExitStack() as stack:
        grids = [open_map(path, stack) for path in maps]
        for path, grid in zip(maps, grids, strict=True):
            if grid.shape != grids[0].shape:
                raise InputError(
                    f"{path} measures {grid.shape[1]} x {grid.shape[0]} px and {maps[0]} {grids[0].shape[1]} x "
                    f"{grids[0].shape[0]} px, so their pixels do not correspond; give maps of one photograph."
                )

        def read(box: Box) -> Floats:
            return WAYS[how](np.stack([grid.read(box) for grid in grids]))

        fused = ProbabilityGrid(grids[0].shape, read)
        return (yield from write_map_steps(fused, output, mask=mask, threshold=threshold))
