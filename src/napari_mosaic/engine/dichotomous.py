"""Dichotomous image segmentation (DIS) as a method to compare with: the tesserae as what such a network calls object.

One decision: the network is the user's own file. IS-Net's weights belong to others and are not shipped; whatever ONNX
goes from a picture to one map of objects is run as its authors run IS-Net: each window brought to the network's own
size, values from -0.5 to 0.5, its first output stretched from its least to its greatest value and brought back. It sees
its window as a whole, so windows may differ where they meet.

References
----------
Qin, Dai, Hu, Fan, Shao and Van Gool, Highly accurate dichotomous image segmentation, ECCV 2022 (IS-Net).

"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_mosaic.dependencies import needed_for
from napari_mosaic.downloads import hash_file
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.errors import InputError, MissingError, ModelError
from napari_mosaic.onnx_models import is_onnx, read_onnx

_SIDE = 1024
"""Side, px, that IS-Net was trained for; taken where a file takes any."""
_HALO = 64
"""Pixels of a window's border that are not kept. *Not varied.*"""


def make_dichotomous(model: str, *_: Any) -> FunctionSegmenter:
    """The method `dis` on the ONNX file `model`.

    Raises
    ------
    InputError, MissingError, ModelError
        No such file is given, it is not there, or it is no network from a picture to a map.
    """
    path = Path(model)
    if not is_onnx(path):
        raise InputError(
            "The method dis needs a network that is not shipped: give IS-Net's ONNX file (isnet-general-use.onnx of "
            "the project rembg, say) by --model FILE.onnx, or a function of your own by --method MODULE:FUNCTION."
        )
    if not path.is_file():
        raise MissingError(f"There is no model {path}; check the path.")
    run = _Network(path)

    def joints(window: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The map `(1, H, W)` of a window: what is no object is a joint."""
        small = cv2.resize(window, (run.width, run.height), interpolation=cv2.INTER_AREA)
        found = run(small.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255) - np.float32(0.5))
        large = cv2.resize(_stretch(found), window.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.round(255 * (1 - np.clip(large, 0, 1)))[None], np.uint8)

    made = FunctionSegmenter(joints, name=f"dis ({path.stem})", tessera_px=24.0, channels=1, halo=_HALO, stride=8)
    made.sha256 = hash_file(path)
    return made


def _stretch(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map from 0 to 1; a constant one stays as it is."""
    least, most = found.min(), found.max()
    return found if most == least else np.asarray((found - least) / (most - least), np.float32)


class _Network:
    """The network of a file on the CPU, and the size that it takes."""

    def __init__(self, path: Path) -> None:
        with needed_for("The method dis"):
            import openvino
        core = openvino.Core()
        try:
            model = read_onnx(path)
            shape = model.inputs[0].partial_shape
            sides = [side.get_length() if side.is_static else _SIDE for side in shape][2:]
            model.reshape({model.inputs[0]: [1, 3, *sides]})
            self._run = core.compile_model(model, "CPU")
        except (RuntimeError, IndexError, ValueError) as error:
            raise ModelError(f"{path} is no network from a picture (1, 3, H, W) to a map of objects.") from error
        self.height, self.width = (int(side) for side in sides)

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.squeeze(np.asarray(self._run(image)[0], np.float32))
        if found.ndim != 2:
            raise ModelError(f"The network for dis gives an array of shape {found.shape}, and one map is wanted.")
        return found if found.min() >= 0 and found.max() <= 1 else np.asarray(1 / (1 + np.exp(-found)), np.float32)
