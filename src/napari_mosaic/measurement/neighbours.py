"""The graph of neighbours: which tesserae face each other across a joint, all over a floor.

One decision: an edge is what both sides say together. Each tessera tells whom it faces from its own border alone, so
the graph is the same whatever the tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Neighbours:
    """The `m` edges between `count` tesserae.

    Attributes
    ----------
    count
        How many tesserae there are.
    pairs
        `(m, 2)` rows of the table, the lower one first, in order.
    facing
        `(m,)` px of the working grid along which the two face each other: the mean of what both say.
    width
        `(m,)` width of the joint between them, px of the working grid.
    """

    count: int
    pairs: NDArray[np.int64]
    facing: NDArray[np.float64]
    width: NDArray[np.float64]

    def matrix(self, values: Array) -> sp.csr_array:
        """A value an edge as a symmetric sparse matrix `(count, count)`."""
        i, j = self.pairs.T
        both = (np.concatenate([i, j]), np.concatenate([j, i]))
        return sp.csr_array((np.concatenate([values, values]), both), shape=(self.count, self.count))

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """`(count,)`: neighbours of each."""
        return np.bincount(self.pairs.ravel(), minlength=self.count)

    def components(self, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
        """A number a tessera, the same for all that the edges `kept` (a bool an edge) hold together."""
        links = self.matrix(kept.astype(np.int8))
        links.eliminate_zeros()
        return np.asarray(sp.csgraph.connected_components(links, directed=False)[1], np.int64)


def join_borders(count: int, parts: Sequence[tuple[Array, Array, Array, Array]]) -> Neighbours:
    """The graph from what tesserae say of their borders.

    Parameters
    ----------
    count
        How many tesserae there are.
    parts
        Of each window: row of a tessera, row of the one that it faces, px that face it, mean width of the joint.
    """
    i, j, facing, width = (
        np.concatenate([np.zeros(0), *(np.asarray(part[k], float) for part in parts)]) for k in range(4)
    )
    low, high = np.minimum(i, j).astype(np.int64), np.maximum(i, j).astype(np.int64)
    key, place = np.unique(low * max(count, 1) + high, return_inverse=True)
    said = np.bincount(place, minlength=len(key))
    pairs = np.column_stack([key // max(count, 1), key % max(count, 1)]).astype(np.int64)
    means = [np.bincount(place, values, minlength=len(key)) / np.maximum(said, 1) for values in (facing, width)]
    return Neighbours(count, pairs, means[0], means[1])


__all__ = ["Neighbours", "join_borders"]
