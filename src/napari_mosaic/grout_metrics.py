"""How well grout lines agree with the truth: along their edges and along their centre lines.

One decision: a line is judged as a line. A joint that is found one pixel aside is found, and a joint
that is broken is not, however few pixels the gap has; pixel metrics say neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mosaic.metrics import PixelMetrics, evaluate_masks, masks_to_compare, ratio

_Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class GroutMetrics:
    """Agreement of grout lines: pixel by pixel, along their edges and along their centre lines."""

    boundary_f: float
    boundary_precision: float
    boundary_recall: float
    centreline_dice: float
    tolerance: float
    pixels: PixelMetrics


def evaluate_grout(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    *,
    tolerance: float = 2.0,
    ignore: NDArray[Any] | None = None,
) -> GroutMetrics:
    """Compare grout lines.

    A mask that is black everywhere, or white everywhere, shows no line. Where only one of the two masks shows lines,
    all figures of lines are 0; where neither does, they are 1 if the masks are the same and 0 if not. The figures of
    `pixels` are those of `evaluate_masks`.

    Parameters
    ----------
    prediction, truth
        Masks `(Y, X)`, True on *grout*.
    tolerance
        Distance in px within which two edges agree.
    ignore
        Mask of what is left out.

    Raises
    ------
    InputError
        The masks do not fit each other, or every pixel is left out.

    References
    ----------
    Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013 (boundary F).
    Shit et al., clDice: a novel topology-preserving loss, CVPR 2021 (centre lines).

    """
    predicted, true, counted = masks_to_compare(prediction, truth, ignore)
    same = bool((predicted == true)[counted].all())
    seen_p, seen_t = (_without_flat(mask, counted) for mask in (predicted, true))
    edge_p, edge_t = _edge(seen_p), _edge(seen_t)
    precision, recall = _agreement(
        (edge_p & counted, _near(edge_t, tolerance)), (edge_t & counted, _near(edge_p, tolerance)), same=same
    )
    on_truth, on_prediction = _agreement((thin(seen_p) & counted, true), (thin(seen_t) & counted, predicted), same=same)
    return GroutMetrics(
        boundary_f=ratio(2 * precision * recall, precision + recall),
        boundary_precision=precision,
        boundary_recall=recall,
        centreline_dice=ratio(2 * on_truth * on_prediction, on_truth + on_prediction),
        tolerance=tolerance,
        pixels=evaluate_masks(predicted, true, ignore=ignore),
    )


def _without_flat(mask: _Bools, counted: _Bools) -> _Bools:
    """The mask; a black one where all that counts has one colour: white shows no line, but thinning would leave one."""
    seen = mask[counted]
    return mask if seen.any() and not seen.all() else np.zeros_like(mask)


def _agreement(first: tuple[_Bools, _Bools], second: tuple[_Bools, _Bools], *, same: bool) -> tuple[float, float]:
    """The share of each line's pixels that lies inside of what the other allows; `same` where there is no line."""
    (line_p, allowed_t), (line_t, allowed_p) = first, second
    if not line_p.any() and not line_t.any():
        return float(same), float(same)
    return _share(allowed_t, line_p), _share(allowed_p, line_t)


def thin(mask: NDArray[Any]) -> _Bools:
    """Centre lines of a mask, one pixel wide, connected as the mask is.

    The passes begin at the south-east: it is turned by half a turn, so that figures of versions before stay the same.

    References
    ----------
    Guo and Hall, Parallel thinning with two-subiteration algorithms, CACM 32 (1989).

    """
    from skimage import morphology  # late: half a second of a start, and few compare masks

    return np.asarray(morphology.thin(np.asarray(mask, bool)[::-1, ::-1])[::-1, ::-1])


def _share(inside: _Bools, of: _Bools) -> float:
    """Share of the pixels `of` that lie `inside`; 0 where there are none."""
    return ratio(int((inside & of).sum()), int(of.sum()))


def _edge(mask: _Bools) -> _Bools:
    """Outermost pixels of a mask; the edge of the image is no edge of the mask."""
    inner: _Bools = ndimage.binary_erosion(mask, border_value=1)
    return mask & ~inner


def _near(mask: _Bools, distance: float) -> _Bools:
    if not mask.any():
        return np.zeros(mask.shape, bool)
    near: _Bools = ndimage.distance_transform_edt(~mask) <= distance
    return near
