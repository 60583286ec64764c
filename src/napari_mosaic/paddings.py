"""Paddings of a network of OpenVINO as constants, where they are computed from the size of the picture.

One decision: a network sees sides that are multiples of its stride and no others, for which "same" padding is always
the same number of pixels. As a constant it becomes a part of the convolution behind it; computed each time, it copies
the layer in single precision, and what follows is computed in single precision as well, quantised or not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_MULTIPLES = ((3, 5), (8, 2))
"""Heights and widths, in strides, by which is told whether a padding depends on the size. *Not varied.*"""


def settle_paddings(model: Any, stride: int) -> None:
    """Make constants, in place, of the paddings of an OpenVINO model that are the same for all multiples of `stride`.

    Parameters
    ----------
    model
        From `(N, H, W, 3)`, of any height and width.
    stride
        Of the network, pixels.
    """
    from openvino import opset13

    first, second = [_paddings(model, height * stride, width * stride) for height, width in _MULTIPLES]
    for node in model.get_ops():
        widths = first.get(node.get_friendly_name())
        if widths is None or widths != second.get(node.get_friendly_name()):
            continue
        for place, values in enumerate(widths, start=1):
            node.input(place).replace_source_output(opset13.constant(np.array(values, np.int64)).output(0))
    model.validate_nodes_and_infer_types()


def _paddings(model: Any, height: int, width: int) -> dict[str, tuple[tuple[int, ...], ...]]:
    """What each padding of a model adds before and after every axis, for pictures of a size."""
    from openvino.passes import ConstantFolding, Manager

    sized = model.clone()
    sized.reshape([1, height, width, 3])
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(sized)
    found = {}
    for node in sized.get_ops():
        if node.get_type_name() == "Pad":
            widths = [node.input_value(place).get_node() for place in (1, 2)]
            if all(constant.get_type_name() == "Constant" for constant in widths):
                found[node.get_friendly_name()] = tuple(tuple(map(int, constant.get_data())) for constant in widths)
    return found
