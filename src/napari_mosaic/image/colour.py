"""From raw samples to 8-bit sRGB, with one range and one profile for the whole image.

One decision: what a sample means is settled once, when the image is opened; no window is ever stretched
by its own brightest pixel, so neighbouring windows cannot differ.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from threading import get_ident
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from napari_mosaic.errors import InputError

logger = logging.getLogger(__name__)

Model = Literal["grey", "rgb", "cmyk", "lab", "palette"]
BANDS: dict[str, int] = {"grey": 1, "rgb": 3, "cmyk": 4, "lab": 3, "palette": 1}
_MODES = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK", "lab": "LAB", "palette": "RGB"}
_BITS = (8, 10, 12, 14, 16)

UNDERSHOOT = 0.1
"""Of white, how far below black floats may go: a cubic resampling overshoots an edge by up to a tenth."""

DARKEST_BYTES = 16.0
"""Floats that end above 1 and below this are a picture of 0..1 with something brighter in it, and white is its
brightest: as values of 0..255 they would show nothing but black. *Not varied.*"""

SAME = 2
"""Levels of 255 by which a profile may move a colour and still be sRGB: littlecms rounds by as much. The profiles of
sRGB that cameras and scanners write move none by more."""


@dataclass(frozen=True, kw_only=True)
class Colour:
    """What the channels of the raw samples mean.

    `low` and `high` are the sample values of black and white; `alpha` is the channel that is outside where it is not
    above `threshold`, and has multiplied the colours where `premultiplied`; `nodata` is the value that marks what is
    outside where all colour bands hold it (NaN always does). A `palette` is `(n, 4)`, RGB and opacity.
    """

    model: Model = "rgb"
    low: float = 0.0
    high: float = 255.0
    alpha: int | None = None
    threshold: float = 0.0
    premultiplied: bool = False
    nodata: float | None = None
    has_nan: bool = False
    inverted: bool = False
    palette: NDArray[np.uint8] | None = None
    profile: bytes | None = None

    @property
    def has_mask(self) -> bool:
        """Whether any pixel can be outside by the file's word."""
        clear = self.palette is not None and not self.palette[:, 3].all()
        return self.alpha is not None or self.nodata is not None or self.has_nan or clear

    def to_rgb(self, raw: NDArray[Any]) -> NDArray[np.uint8]:
        """Raw samples `(h, w, channels)` as sRGB `(h, w, 3)`."""
        bands = raw[..., : BANDS[self.model]]
        if self.palette is not None:
            return _apply_profile(self._entries(bands)[..., :3], "RGB", self.profile)
        if self.premultiplied and self.alpha is not None:
            bands = _unmultiplied(bands, raw[..., self.alpha])
        data = self._to_bytes(bands)
        if self.inverted:
            data = 255 - data
        if self.model == "cmyk":
            return _cmyk_to_rgb(data, self.profile)
        if self.model != "grey":
            return _apply_profile(data, _MODES[self.model], self.profile)
        grey = _apply_profile(data[..., 0], "L", self.profile)
        return grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)

    def to_valid(self, raw: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Which pixels `(h, w)` are inside by the file's word; None where all are."""
        if not self.has_mask:
            return None
        valid = np.ones(raw.shape[:2], dtype=bool)
        bands = raw[..., : BANDS[self.model]]
        if self.alpha is not None:
            valid &= raw[..., self.alpha] > self.threshold
        if self.palette is not None:
            valid &= self._entries(bands)[..., 3] > 0
        if self.nodata is not None and not np.isnan(self.nodata):
            valid &= (bands != self.nodata).any(axis=-1)
        if raw.dtype.kind == "f":
            valid &= ~np.isnan(bands).any(axis=-1)
        return valid

    def _entries(self, bands: NDArray[Any]) -> NDArray[np.uint8]:
        assert self.palette is not None
        found: NDArray[np.uint8] = self.palette[np.minimum(bands[..., 0], len(self.palette) - 1)]
        return found

    def _to_bytes(self, bands: NDArray[Any]) -> NDArray[np.uint8]:
        if bands.dtype == np.uint8 and (self.low, self.high) == (0, 255):
            return np.ascontiguousarray(bands)
        if bands.dtype == np.uint16:
            levels: NDArray[np.uint8] = np.take(self._table, bands)
            return levels
        return _scale(bands, self.low, self.high)

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        return _scale(np.arange(65536), self.low, self.high)


def _unmultiplied(bands: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.float32]:
    """Colours as they were before they were multiplied by the alpha channel."""
    full = np.float32(np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1)
    share = np.maximum(alpha, 1 if alpha.dtype.kind in "ui" else 1e-6).astype(np.float32) / full
    undone: NDArray[np.float32] = bands / share[..., None]
    return undone


def _scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    scaled = np.subtract(values, low, dtype=np.float32)
    with np.errstate(over="ignore"):  # nodata may be the least of all floats
        scaled *= np.float32(255.0 / (high - low))
    np.nan_to_num(scaled, copy=False, nan=0.0)
    rounded: NDArray[np.uint8] = (np.clip(scaled, 0, 255) + np.float32(0.5)).astype(np.uint8)
    return rounded


def fix_range(
    dtype: np.dtype[Any], samples: Iterable[NDArray[Any]], bits: int | None = None, exact: bool = False
) -> dict[str, Any]:
    """Black, white and whether NaN occurs, from samples taken all over the image.

    Parameters
    ----------
    dtype
        Type of the raw samples; 8-bit images need no samples.
    samples
        Arrays of colour samples, no alpha; read only where the type leaves the range open.
    bits
        Significant bits, where the file states them.
    exact
        Whether the samples are the whole image; otherwise floats may hold NaN where nobody looked.

    Returns
    -------
    dict
        `low`, `high` and `has_nan`, as `Colour` takes them.

    Raises
    ------
    InputError
        Where the values are no picture: complex, negative, beyond 16 bits, or NaN throughout.

    Notes
    -----
    Integers beyond 8 bits keep their scale: white is the least of 8, 10, 12, 14 and 16 bits that holds the
    largest sample, because archives often store 12 bits in 16.
    """
    if dtype in (np.bool_, np.uint8):
        return {"low": 0.0, "high": 255.0 if dtype == np.uint8 else 1.0, "has_nan": False}
    if dtype.kind not in "uif":
        raise InputError(
            f"The image holds values of type {dtype}, which are no brightness; "
            "save it as 8- or 16-bit integers or as floats from 0 to 1."
        )
    if bits is not None and 8 < bits < 16 and dtype.kind == "u":
        return {"low": 0.0, "high": float(2**bits - 1), "has_nan": False}
    least, most, has_nan = _extremes(samples)
    high = _float_white(least, most) if dtype.kind == "f" else _integer_white(least, most)
    return {"low": 0.0, "high": high, "has_nan": has_nan or (dtype.kind == "f" and not exact)}


def _extremes(samples: Iterable[NDArray[Any]]) -> tuple[float, float, bool]:
    least, most, has_nan = np.inf, -np.inf, False
    for sample in samples:
        finite = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
        has_nan |= finite.size < sample.size
        if finite.size:
            least, most = min(least, float(finite.min())), max(most, float(finite.max()))
    if least > most:
        raise InputError(
            "The image holds no value that is inside, only NaN, nodata or what is masked, so there is nothing to see; "
            "check how it was written and save it again."
        )
    return least, most, has_nan


def _float_white(least: float, most: float) -> float:
    if least < -UNDERSHOOT * max(1.0, most) or most > 255.5:
        raise InputError(
            f"The image holds floats from {least:g} to {most:g}, so black and white cannot be told; "
            "rescale it to 0..1 or 0..255."
        )
    if most <= 1.0 + 1e-3:
        return 1.0
    return most if most <= DARKEST_BYTES else 255.0


def _integer_white(least: float, most: float) -> float:
    if least < 0 or most > 65535:
        raise InputError(
            f"The image holds integers from {least:g} to {most:g}, but a picture has values from 0 to 65535; "
            "convert it to 8 or 16 bits."
        )
    return next(float(2**bits - 1) for bits in _BITS if most < 2**bits)


def usable_profile(profile: bytes | None, model: Model) -> bytes | None:
    """The colour profile where it changes anything and fits the colour model, else None.

    What it does to colours tells whether it is sRGB, never its name. A damaged profile is left out with a warning: the
    picture is still worth having.
    """
    if model == "lab":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    if not profile:
        return None
    try:
        transform = _transform(profile, _MODES[model], get_ident())
    except (OSError, ImageCms.PyCMSError) as error:
        logger.warning("The colour profile cannot be used and is left out: %s", error)
        return None
    if _MODES[model] != "RGB":
        return profile
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 17, dtype=np.uint8)] * 3), axis=-1).reshape(64, 64, 3)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform))
    return profile if np.abs(moved.astype(np.int16) - colours).max() > SAME else None


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str, thread: int) -> ImageCms.ImageCmsTransform:
    """A transform of one thread: littlecms objects are not shared."""
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )


def _apply_profile(data: NDArray[np.uint8], mode: str, profile: bytes | None) -> NDArray[np.uint8]:
    if profile is None or data.size == 0:
        return data
    image = Image.fromarray(np.ascontiguousarray(data), mode)
    return np.asarray(ImageCms.applyTransform(image, _transform(profile, mode, get_ident())))


def _cmyk_to_rgb(data: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    """CMYK with 255 as full ink; without a profile, inks simply multiply."""
    if profile is not None:
        return _apply_profile(data, "CMYK", profile)
    light = 255 - data.astype(np.uint16)
    return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
