"""From raw samples to 8-bit sRGB, with one range and one profile for the whole image.

One decision: what a sample means is settled once, when the image is opened; no window is ever stretched
by its own brightest pixel, so neighbouring windows cannot differ.
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from napari_mosaic.errors import InputError

logger = logging.getLogger(__name__)

Model = Literal["grey", "rgb", "cmyk", "palette"]
BANDS: dict[str, int] = {"grey": 1, "rgb": 3, "cmyk": 4, "palette": 1}
_MODES = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK", "palette": "RGB"}
_BITS = (8, 10, 12, 14, 16)


class _Transforms(threading.local):
    """Transforms of one thread: littlecms objects are not shared."""

    def __init__(self) -> None:
        self.known: dict[tuple[bytes, str], ImageCms.ImageCmsTransform] = {}


_transforms = _Transforms()


@dataclass(frozen=True, kw_only=True)
class Colour:
    """What the channels of the raw samples mean.

    `low` and `high` are the sample values of black and white; `alpha` is the channel whose zeros are
    outside, `nodata` the value that marks them where all colour bands hold it (NaN always does).
    """

    model: Model = "rgb"
    low: float = 0.0
    high: float = 255.0
    alpha: int | None = None
    nodata: float | None = None
    has_nan: bool = False
    inverted: bool = False
    palette: NDArray[np.uint8] | None = None
    profile: bytes | None = None

    @property
    def has_mask(self) -> bool:
        """Whether any pixel can be outside by the file's word."""
        return self.alpha is not None or self.nodata is not None or self.has_nan

    def to_rgb(self, raw: NDArray[Any]) -> NDArray[np.uint8]:
        """Raw samples `(h, w, channels)` as sRGB `(h, w, 3)`."""
        bands = raw[..., : BANDS[self.model]]
        if self.palette is not None:
            rgb: NDArray[np.uint8] = self.palette[np.minimum(bands[..., 0], len(self.palette) - 1)]
            return _apply_profile(rgb, "RGB", self.profile)
        data = self._to_bytes(bands)
        if self.inverted:
            data = 255 - data
        if self.model == "cmyk":
            return _cmyk_to_rgb(data, self.profile)
        if self.model == "rgb":
            return _apply_profile(data, "RGB", self.profile)
        grey = _apply_profile(data[..., 0], "L", self.profile)
        return grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)

    def to_valid(self, raw: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Which pixels `(h, w)` are inside by the file's word; None where all are."""
        if not self.has_mask:
            return None
        valid = np.ones(raw.shape[:2], dtype=bool)
        bands = raw[..., : BANDS[self.model]]
        if self.alpha is not None:
            valid &= raw[..., self.alpha] > 0
        if self.nodata is not None and not np.isnan(self.nodata):
            valid &= (bands != self.nodata).any(axis=-1)
        if raw.dtype.kind == "f":
            valid &= ~np.isnan(bands).any(axis=-1)
        return valid

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


def _scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    scaled = np.subtract(values, low, dtype=np.float32)
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
    if dtype == np.bool_:
        return {"low": 0.0, "high": 1.0, "has_nan": False}
    if dtype == np.uint8:
        return {"low": 0.0, "high": 255.0, "has_nan": False}
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
            "The image holds no numbers, only NaN, so there is nothing to see; "
            "check how it was written and save it again."
        )
    return least, most, has_nan


def _float_white(least: float, most: float) -> float:
    if least < -0.01 * max(1.0, most) or most > 255.5:
        raise InputError(
            f"The image holds floats from {least:g} to {most:g}, so black and white cannot be told; "
            "rescale it to 0..1 or 0..255."
        )
    return 1.0 if most <= 1.0 + 1e-3 else 255.0


def _integer_white(least: float, most: float) -> float:
    if least < 0 or most > 65535:
        raise InputError(
            f"The image holds integers from {least:g} to {most:g}, but a picture has values from 0 to 65535; "
            "convert it to 8 or 16 bits."
        )
    return next(float(2**bits - 1) for bits in _BITS if most < 2**bits)


def usable_profile(profile: bytes | None, model: Model) -> bytes | None:
    """The colour profile where it changes anything and fits the colour model, else None.

    A damaged profile is left out with a warning: the picture is still worth having.
    """
    if not profile:
        return None
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        description = (ImageCms.getProfileDescription(opened) or "").lower()
        if model == "rgb" and "srgb" in description:
            return None
        _build_transform(profile, _MODES[model])
    except (OSError, ImageCms.PyCMSError) as error:
        logger.warning("The colour profile cannot be used and is left out: %s", error)
        return None
    return profile


def _build_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    key = profile, mode
    if key not in _transforms.known:
        _transforms.known[key] = _build_transform(profile, mode)
    return _transforms.known[key]


def _apply_profile(data: NDArray[np.uint8], mode: str, profile: bytes | None) -> NDArray[np.uint8]:
    if profile is None or data.size == 0:
        return data
    image = ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(data), mode), _transform(profile, mode))
    return np.asarray(image)


def _cmyk_to_rgb(data: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    """CMYK with 255 as full ink; without a profile, inks simply multiply."""
    if profile is not None:
        return _apply_profile(data, "CMYK", profile)
    light = 255 - data.astype(np.uint16)
    return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
