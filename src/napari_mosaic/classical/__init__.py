"""Ways to find tesserae without a network, as the literature before networks did.

One decision: arrays in, arrays out, and every figure that a pixel depends on is taken from its
neighbourhood, never from the whole window, so that windows of one lattice agree where they meet.
"""

from napari_mosaic.classical.gradient import find_regions, gradient_map, joint_criterion
from napari_mosaic.classical.guidelines import estimate_guidelines, group_colours
from napari_mosaic.classical.quadrangles import fill_quadrangles, fit_quadrangles, quadrangle_map

__all__ = [
    "estimate_guidelines",
    "fill_quadrangles",
    "find_regions",
    "fit_quadrangles",
    "gradient_map",
    "group_colours",
    "joint_criterion",
    "quadrangle_map",
]
