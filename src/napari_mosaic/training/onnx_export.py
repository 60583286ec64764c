"""A network as ONNX, for programs that know neither this package nor torch.

One decision: the file takes pixels and gives probabilities, normalisation inside, any batch and any size
that fits; and it is not kept unless it says the same as torch on real windows of several sizes.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import ModelError, WriteError
from napari_mosaic.files import whole_file
from napari_mosaic.grout import read_model
from napari_mosaic.image import open_image
from napari_mosaic.progress import Progress, Steps, drain
from napari_mosaic.tiling import Box
from napari_mosaic.training.run_files import writing
from napari_mosaic.weights import ModelCard, find_weights

TOLERANCE = 1e-4
"""Largest difference of a probability from torch's."""
OPSET = 18
"""Version of ONNX's operators. *Not varied.*"""
_TRIALS = ((1, 64, 64), (2, 96, 160), (1, 256, 192))
"""Batch, height and width of the windows that are compared; all different, so that none can be fixed."""


class PixelsToProbability(nn.Module):
    """Pixels (N, 3, H, W), 0..255, to probabilities (N, C, H, W), 0..1."""

    def __init__(self, network: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(card.mean).reshape(1, 3, 1, 1))
        self.register_buffer("scale", 1 / (255 * torch.tensor(card.std).reshape(1, 3, 1, 1)))

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.sigmoid(self.network((pixels - self.mean) * self.scale))


def export_onnx(
    model: str | Path,
    path: str | Path,
    *,
    windows: Any = "sample:drawn",
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> float:
    """Write a model as ONNX and return its largest difference from torch; see `export_onnx_steps`."""
    return drain(export_onnx_steps(model, path, windows=windows, overwrite=overwrite), on_progress)


def export_onnx_steps(
    model: str | Path, path: str | Path, *, windows: Any = "sample:drawn", overwrite: bool = False
) -> Steps[float]:
    """Write a model as ONNX: `pixels` (N, 3, H, W) float32 0..255 in, `probability` (N, C, H, W) out.

    Parameters
    ----------
    model
        A name or a file.
    path
        The `.onnx` file.
    windows
        A photograph to compare on, as `open_image` takes it.
    overwrite
        Replace a file that is there.

    Returns
    -------
    float
        The largest difference of a probability from torch's, at most 1e-4.

    Raises
    ------
    DependencyError
        If onnx or onnxruntime is not installed.
    ModelError
        If the file says something else than torch; nothing is kept then.
    WriteError
        If the file is there already, or cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise WriteError(f"{path} exists already; add --overwrite to replace it, or give another name.")
    _check_packages()
    network, card = read_model(find_weights(model))
    whole = PixelsToProbability(network.eval(), card).eval()
    yield Progress(phase="export", done=0, total=2, unit="", message="writing")
    with writing(path), whole_file(path, sync=False) as part:
        _write(whole, card, part)
        yield Progress(phase="export", done=1, total=2, unit="", message="comparing")
        worst = compare_onnx(part, whole, list(_cut_windows(windows)))
        if not worst <= TOLERANCE:
            raise ModelError(
                f"As ONNX the model differs by {worst:.1e} from what it says in torch, more than {TOLERANCE:.0e}; "
                "nothing was kept. Report it with the versions of torch and onnx."
            )
    return worst


def compare_onnx(path: Path, whole: nn.Module, windows: list[NDArray[np.float32]]) -> float:
    """Largest difference of a probability between an ONNX file and torch, over batches (N, 3, H, W)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in windows:
        with torch.inference_mode():
            expected = whole(torch.from_numpy(batch)).numpy()
        found = session.run(None, {"pixels": batch})[0]
        worst = max(worst, float(np.abs(found - expected).max()))
    return worst


def _cut_windows(source: Any) -> Iterator[NDArray[np.float32]]:
    """Batches of windows of a photograph, spread over it."""
    with open_image(source) as image:
        rng = np.random.default_rng(0)
        height, width = image.shape
        for n, tall, wide in _TRIALS:
            batch = []
            for _ in range(n):
                y, x = (int(rng.integers(0, max(1, s - t + 1))) for s, t in ((height, tall), (width, wide)))
                pixels = image.read(Box(y, x, y + tall, x + wide))
                pad = [(0, tall - pixels.shape[0]), (0, wide - pixels.shape[1]), (0, 0)]
                batch.append(np.pad(pixels, pad, mode="edge").transpose(2, 0, 1))
            yield np.stack(batch).astype(np.float32)


def _write(whole: nn.Module, card: ModelCard, path: Path) -> None:
    import onnx

    size = {0: "batch", 2: "height", 3: "width"}
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            whole, (torch.zeros(1, 3, 64, 96),), str(path), dynamo=False, opset_version=OPSET,
            input_names=["pixels"], output_names=["probability"],
            dynamic_axes={"pixels": size, "probability": size},
        )  # fmt: skip
    graph = onnx.load(str(path))
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in asdict(card).items()}
    onnx.helper.set_model_props(graph, values)
    onnx.save(graph, str(path))


def _check_packages() -> None:
    with needed_for("Writing ONNX"):
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks, which are about torch's own matters."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
