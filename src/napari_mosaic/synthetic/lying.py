"""Things that lie in a photograph of a mosaic and are none of it: rulers, colour charts, labels, hands, frames.

One decision: each is drawn flat over the finished floor and takes its labels away; charts and rulers are
made of even squares in rows on purpose, since they are what looks most like stones.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.synthetic.materials import mortar
from napari_mosaic.synthetic.noise import Field, chance, fractal_noise

Thing = tuple[Field, NDArray[np.bool_]]
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)


def lying_thing(rng: np.random.Generator, shape: tuple[int, int], tessera: float) -> Thing:
    """A picture (Y, X, 3), 0..255, of one thing, and where it lies (Y, X); `tessera` is a stone's side in pixels."""
    makers: tuple[Callable[..., Thing], ...] = (_ruler, _chart, _label, _hand, _frame)
    return makers[int(rng.integers(len(makers)))](rng, shape, tessera)


def _place(rng: np.random.Generator, shape: tuple[int, int], card: Field) -> Thing:
    """A flat card laid anywhere, turned by any angle, most often nearly straight."""
    angle = rng.normal(0, 6) + 90 * int(rng.integers(4)) if chance(rng, 0.7) else rng.uniform(0, 360)
    height, width = card.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    turn[:, 2] += rng.uniform(0.05, 0.95, 2) * shape[::-1] - (width / 2, height / 2)
    size = shape[::-1]
    picture = cv2.warpAffine(card, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    where = cv2.warpAffine(np.ones((height, width), np.uint8), turn, size, flags=cv2.INTER_NEAREST)
    return np.asarray(picture, np.float32), np.asarray(where > 0)


def _card(rng: np.random.Generator, sides: tuple[float, float], level: float) -> Field:
    tint = np.exp(rng.normal(0, 0.04, 3)) if chance(rng, 0.5) else np.ones(3)
    height, width = (max(8, round(side)) for side in sides)
    return mortar(rng, (height, width), np.asarray(level * tint, np.float32), grain=0.01)


def _ruler(rng: np.random.Generator, shape: tuple[int, int], tessera: float) -> Thing:
    """A scale bar of black and white fields, or a rule with strokes and numbers."""
    unit = tessera * rng.uniform(0.7, 4.0)
    wide, long = tessera * rng.uniform(0.8, 3.5), rng.uniform(0.4, 1.3) * max(shape)
    card = _card(rng, (wide, long), rng.uniform(190, 250))
    dark = rng.uniform(5, 60, 3).astype(np.float32)
    if chance(rng, 0.5):
        rows = int(rng.integers(1, 3))
        for row in range(rows):
            top, bottom = round(row * card.shape[0] / rows), round((row + 1) * card.shape[0] / rows)
            for start in np.arange(row % 2 * unit, long, 2 * unit):
                card[top:bottom, round(start) : round(start + unit)] = dark
        return _place(rng, shape, card)
    for number, start in enumerate(np.arange(0, long, max(2.0, unit / 5))):
        reach = 0.45 if number % 5 == 0 else 0.25
        card[: max(1, round(reach * wide)), round(start) : round(start) + 1 + (number % 5 == 0)] = dark
        if number % 5 == 0:
            _write(rng, card, str(number // 5), (round(start), round(0.9 * wide)), wide / 60, dark)
    return _place(rng, shape, card)


def _chart(rng: np.random.Generator, shape: tuple[int, int], tessera: float) -> Thing:
    """A colour chart: equal patches in one or two rows on a card that frames them, grey steps in order among them."""
    patch = tessera * rng.uniform(0.9, 3.0)
    rows, columns = int(rng.integers(1, 3)), int(rng.integers(4, 10))
    gap = patch * rng.choice([0.0, rng.uniform(0.05, 0.2)])
    frame = patch * rng.uniform(0.3, 0.8)
    sides = (rows * patch + gap + 2 * frame, columns * patch + gap + 2 * frame)
    card = _card(rng, sides, float(rng.choice([15, 90, 235])))
    for row in range(rows):
        for column in range(columns):
            grey = np.full(3, 250.0 * (column + 1) / columns)
            colour = grey if row == rows - 1 and chance(rng, 0.7) else rng.uniform(10, 250, 3)
            y, x = frame + row * patch + gap, frame + column * patch + gap
            card[round(y) : round(y + patch - gap), round(x) : round(x + patch - gap)] = colour
    return _place(rng, shape, card)


def _label(rng: np.random.Generator, shape: tuple[int, int], tessera: float) -> Thing:
    """A slip of paper or a plate with writing."""
    height, width = tessera * rng.uniform(2, 6), tessera * rng.uniform(3, 12)
    pale = chance(rng, 0.75)
    card = _card(rng, (height, width), rng.uniform(180, 252) if pale else rng.uniform(5, 60))
    ink = np.full(3, 20.0 if pale else 235.0, np.float32) + rng.uniform(-15, 15, 3).astype(np.float32)
    lines = int(rng.integers(1, 4))
    for line in range(lines):
        word = "".join(chr(int(code)) for code in rng.integers(48, 91, int(rng.integers(3, 11))))
        where = (round(0.06 * width), round((line + 0.75) * height / lines))
        _write(rng, card, word, where, height / lines / 40, ink)
    return _place(rng, shape, card)


def _write(
    rng: np.random.Generator, card: Field, word: str, where: tuple[int, int], size: float, ink: NDArray[np.floating]
) -> None:
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    written = np.zeros(card.shape[:2], np.uint8)
    cv2.putText(written, word, where, font, max(0.2, size), (255,), max(1, round(size * 2)), cv2.LINE_AA)
    card += (ink - card) * (written[..., None] / np.float32(255))


def _hand(rng: np.random.Generator, shape: tuple[int, int], tessera: float) -> Thing:
    """Fingers, a shoe's tip or a cable: round bars that reach in from the border, shaded across."""
    where = np.zeros(shape, np.uint8)
    side = int(rng.integers(4))
    wide = tessera * rng.uniform(0.8, 3.0)
    start = rng.uniform(0.1, 0.9)
    bars = int(rng.integers(1, 5))
    for bar in range(bars):
        begin = np.array([-5.0, start * shape[1] + bar * wide * 1.1])
        end = begin + np.array([rng.uniform(0.15, 0.7) * shape[0], rng.normal(0, 0.15) * shape[1]])
        points = [tuple(int(v) for v in point[::-1]) for point in (begin, end)]
        cv2.line(where, points[0], points[1], 1, max(2, round(wide)))
    where = np.ascontiguousarray(np.rot90(where, side)) if shape[0] == shape[1] else where
    depth = cv2.distanceTransform(where, cv2.DIST_L2, 5)
    skin = np.array([205, 155, 125]) if chance(rng, 0.6) else np.full(3, 90.0)
    colour = skin * rng.uniform(0.35, 1.15) * np.exp(rng.normal(0, 0.05, 3))
    shade = 0.6 + 0.4 * np.clip(depth / (0.5 * wide), 0, 1) + fractal_noise(rng, shape, 12, 3) * 0.03
    return np.asarray(colour * shade[..., None], np.float32), np.asarray(where > 0)


def _frame(rng: np.random.Generator, shape: tuple[int, int], tessera: float) -> Thing:
    """A frame, a metal edge or a step along one side: bands of even colour."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = int(rng.integers(4)) * np.pi / 2 + rng.normal(0, 0.02)
    along = np.cos(angle) * (y - shape[0] / 2) + np.sin(angle) * (x - shape[1] / 2)
    edge = rng.uniform(0.15, 0.45) * max(shape)
    base = rng.uniform(20, 230) * np.array([1.05, 1.0, 0.9]) * np.exp(rng.normal(0, 0.08, 3))
    picture = mortar(rng, shape, np.asarray(base, np.float32), grain=0.02)
    for _ in range(int(rng.integers(1, 5))):
        place, wide = edge + rng.uniform(0, 3) * tessera, tessera * rng.uniform(0.05, 1.0)
        band = (along > place) & (along < place + wide)
        picture[band] *= rng.uniform(0.3, 1.5)
    return np.asarray(np.clip(picture, 0, 255), np.float32), np.asarray(along > edge)
