"""Prompts and answers of SAM 2, as arrays, without torch.

One decision: whoever asks for masks sees only these values and the two calls of `MaskNetwork`, so the rules
for masks are tested with a network that is ten lines of numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MASK_STRIDE = 4
"""Pixels of the window to one of the mask logits."""
USUAL_PX = 48.0
"""Size of a tessera, in pixels of the window, where a model does not say at which it was trained."""
_LIMIT = 32.0
"""SAM 2 itself clips the logits of a mask that it is prompted with to this."""


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """N prompts on one window of side S.

    Parameters
    ----------
    points
        `(N, 2)`, or `(N, P, 2)` with several a prompt, float, `(y, x)` in pixels of the window; the middle of its
        first pixel is (0.5, 0.5).
    boxes
        `(N, 4)` float, `(y0, x0, y1, x1)`, or None.
    masks
        `(N, S / 4, S / 4)` float32 logits, or None.
    inside
        `(N, P)`, False for points that the object does not hold; None where it holds all.
    """

    points: NDArray[np.float64]
    boxes: NDArray[np.float64] | None = None
    masks: NDArray[np.float32] | None = None
    inside: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.points)

    def part(self, which: slice) -> Prompts:
        """Some of the prompts."""
        boxes, masks, inside = self.boxes, self.masks, self.inside
        return Prompts(
            points=self.points[which],
            boxes=None if boxes is None else boxes[which],
            masks=None if masks is None else masks[which],
            inside=None if inside is None else inside[which],
        )

    def network_points(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Points `(N, P, 2)` in the order `(x, y)` and their kinds `(N, P)`: 1 inside, 0 not, 2, 3 corners of a box.

        SAM 2 adds half a pixel to what it is given.
        """
        given = self.points.reshape(len(self), -1, 2)
        inside = np.ones(given.shape[:2], bool) if self.inside is None else self.inside
        points, kinds = [given[:, :, ::-1]], [inside.astype(np.int32)]
        if self.boxes is not None:
            points.insert(0, self.boxes.reshape(-1, 2, 2)[:, :, ::-1])
            kinds.insert(0, np.tile(np.array([[2, 3]], np.int32), (len(self), 1)))
        return (np.concatenate(points, 1) - 0.5).astype(np.float32), np.concatenate(kinds, 1)


@dataclass(frozen=True)
class Answers:
    """Masks for n prompts: `logits` `(n, M, s, s)` float32 and `scores` `(n, M)`, the overlap SAM 2 expects."""

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]

    def as_prompts(self, which: int) -> NDArray[np.float32]:
        """The masks number `which` of all prompts, as mask prompts `(n, s, s)`."""
        return np.clip(self.logits[:, which], -_LIMIT, _LIMIT)


class MaskNetwork(Protocol):
    """What the rules for masks need of a network; `network.SamNetwork` is one."""

    name: str
    sha256: str
    config: str
    precision: str
    image_size: int
    encoded: int
    prompted: int

    def embed(self, window: NDArray[np.uint8]) -> Any:
        """Encode one window `(S, S, 3)`."""

    def predict(
        self, embedding: Any, prompts: Prompts, *, batch: int, multimask: bool = True
    ) -> Iterator[tuple[slice, Answers]]:
        """Masks for prompts on an encoded window, some prompts at a time."""

    def fitting_batch(self) -> int:
        """How many prompts at a time memory allows."""

    def peak_memory(self) -> int | None:
        """Bytes of memory in use at most; None where nobody knows."""


def tessera_size(network: MaskNetwork, wanted: float) -> float:
    """The size at which a network is to see tesserae, px of its windows: as wanted, or, for 0, as it was trained."""
    return wanted or float(getattr(network, "tessera_px", 0.0)) or USUAL_PX
