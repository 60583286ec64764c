"""Eight-bit weights for CPUs, from trained ones: half the time, a seventh of a per cent of joints changed.

One decision: after training, not during it. Ranges are taken from drawn mosaics; the first convolution, which
sees the pixels themselves, stays in single precision, for quantising both its input and the folded pixels of
the last stage ruins the map.
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from napari_mosaic.dependencies import needed_for
from napari_mosaic.files import whole_file
from napari_mosaic.framing import frame
from napari_mosaic.grout import read_model, to_openvino, trial_answers
from napari_mosaic.trials import bundled_window
from napari_mosaic.weights import INT8, find_weights, read_header


def quantise_weights(weights: str | Path, images: NDArray[np.uint8], *, path: str | Path | None = None) -> Path:
    """Write the eight-bit file of a network, `NAME.int8.safetensors`.

    Parameters
    ----------
    weights
        The trained weights, a safetensors file or a name of the registry.
    images
        `(N, H, W, 3)` uint8: some hundred mosaics to take the ranges of values from; sides are multiples
        of the network's stride.
    path
        Where to write; beside the weights by default, where `load_network` finds it.

    Returns
    -------
    Path
        The file: the graph and its constants, and in its header the card and the hash of the weights that it
        was made from. It is used only together with exactly those.

    Raises
    ------
    DependencyError
        If NNCF or OpenVINO is not installed.
    """
    with needed_for("Quantising"):
        import nncf
        import openvino
    nncf.set_log_level(logging.ERROR)
    entry = find_weights(weights)
    model, card = read_model(entry)
    source = Path(str(entry.path))
    path = Path(path) if path else source.with_name(f"{source.stem}.{INT8}.safetensors")
    whole = to_openvino(model, card)
    first = next(node for node in whole.get_ordered_ops() if node.get_type_name() == "Convolution")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = nncf.quantize(
            whole,
            nncf.Dataset([np.ascontiguousarray(frame(image[None])) for image in images]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=[first.get_friendly_name()]),
        )
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.xml"
        openvino.save_model(quantised, graph, compress_to_fp16=True)
        content = {
            "graph": np.frombuffer(graph.read_bytes(), np.uint8),
            "constants": np.fromfile(graph.with_suffix(".bin"), np.uint8),
        } | trial_answers(entry, bundled_window())
    header = {key: value if isinstance(value, str) else json.dumps(value) for key, value in asdict(card).items()}
    header |= read_header(source) if source.suffix == ".safetensors" else {}
    header |= {"precision": INT8, "parent_sha256": card.sha256}
    with whole_file(path, sync=True) as part:
        save_file(content, part, metadata=header)
        part.chmod(0o644)
    return path
