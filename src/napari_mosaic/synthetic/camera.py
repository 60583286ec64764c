"""How a photograph sees a mosaic: uneven light, casts, blur, enlargement, sharpening, noise and JPEG.

One decision: effects come in the order in which a camera and an archive add them, and each is drawn
independently, so that soft, noisy and crushed photographs are all met.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.synthetic.noise import Field, chance, smooth_noise


def photograph(rng: np.random.Generator, picture: Field, tessera: float) -> NDArray[np.uint8]:
    """Take a photograph (Y, X, 3) uint8 of a picture in 0..255; it keeps at least six pixels of a `tessera`."""
    picture = light_unevenly(rng, picture)
    picture = develop(rng, picture)
    return _archive(rng, picture, most=max(1.0, tessera / 6))


def light_unevenly(rng: np.random.Generator, picture: Field) -> Field:
    shape = picture.shape[:2]
    light = np.ones(shape, np.float32)
    if chance(rng, 0.6):
        light += smooth_noise(rng, shape, max(shape) * rng.uniform(0.4, 1.0)) * rng.uniform(0.02, 0.18)
    if chance(rng, 0.15):
        edge = smooth_noise(rng, shape, max(shape) * rng.uniform(0.2, 0.6))
        light *= 1 - rng.uniform(0.2, 0.5) * (1 / (1 + np.exp(np.clip(-edge * rng.uniform(4, 30), -60, 60))))
    return np.asarray(picture * np.clip(light, 0.25, 1.8)[..., None], np.float32)


def develop(rng: np.random.Generator, picture: Field) -> Field:
    """Exposure, cast, contrast, saturation."""
    if chance(rng, 0.5):
        picture = picture * np.exp(rng.normal(0, 0.06, 3)).astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + (picture - grey) * np.float32(rng.choice([rng.uniform(0.4, 1.35), 0.0], p=[0.95, 0.05]))
    if chance(rng, 0.85):
        bright = max(20.0, float(np.quantile(grey, 0.95)))
        picture = picture * np.float32(rng.uniform(120, 255) / bright)
    middle = np.float32(picture.mean())
    picture = middle + (picture - middle) * np.float32(rng.uniform(0.65, 1.3))
    gamma = np.float32(np.exp(rng.normal(0, 0.15)))
    return np.asarray(255.0 * (np.clip(picture, 0, 255) / 255.0) ** gamma, np.float32)


def _archive(rng: np.random.Generator, picture: Field, most: float) -> NDArray[np.uint8]:
    """Blur, reduction, noise, JPEG, and enlargement back to the size asked for, `most` times at most."""
    height, width = picture.shape[:2]
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.1)), np.float32)
    factor = min(most, rng.uniform(1.2, 3.4) if chance(rng, 0.6) else 1.0)
    if factor > 1:
        size = (max(16, round(width / factor)), max(16, round(height / factor)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    if chance(rng, 0.4):
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.9)), np.float32)
    if chance(rng, 0.4):
        soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.6))
        picture = picture + (picture - soft) * np.float32(rng.uniform(0.3, 1.5))
    sigma = rng.uniform(0.3, 7) if chance(rng, 0.5) else 0.3
    picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(sigma)
    image = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    if chance(rng, 0.6):
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 96))])
        image = cv2.imdecode(code, cv2.IMREAD_COLOR)
    if factor > 1:
        way = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LANCZOS4)[int(rng.integers(3))]
        image = cv2.resize(image, (width, height), interpolation=way)
    return np.asarray(image, np.uint8)


def photograph_closely(rng: np.random.Generator, picture: Field, tessera: float) -> NDArray[np.uint8]:
    """Take a photograph as archives publish them: sharp to the pixel, a stone of 8 to 24 px, enlarged to `tessera`.

    A seventh are soft all the same, and stones that are smaller than the photograph's keep their own pixels.
    """
    picture = develop(rng, light_unevenly(rng, picture)) if chance(rng, 0.75) else light_unevenly(rng, picture)
    height, width = picture.shape[:2]
    factor = max(1.0, tessera / float(np.clip(rng.lognormal(np.log(13), 0.26), 8, 24)))
    if factor > 1:
        size = (max(16, round(width / factor)), max(16, round(height / factor)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    soft = chance(rng, 0.15)
    if soft or chance(rng, 0.5):
        picture = np.asarray(
            cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.1) if soft else rng.uniform(0.25, 0.5))
        )
    if chance(rng, 0.6):
        blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.4))
        picture = picture + (picture - blurred) * np.float32(rng.uniform(0.2, 1.3))
    sigma = rng.uniform(0.3, 4.5) if chance(rng, 0.5) else 0.5
    picture = picture + rng.standard_normal(picture.shape[:2], dtype=np.float32)[..., None] * np.float32(sigma)
    picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(0.5 * sigma)
    image = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    if chance(rng, 0.7):
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 97))])
        image = cv2.imdecode(code, cv2.IMREAD_COLOR)
    if factor > 1:
        way = (cv2.INTER_CUBIC, cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LANCZOS4)[int(rng.integers(4))]
        image = cv2.resize(image, (width, height), interpolation=way)
    return np.asarray(image, np.uint8)
