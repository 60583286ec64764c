"""Networks that come as ONNX: of this package's export, of GROUT's, or any that gives joints alone.

One decision: such a network is a graph that OpenVINO reads and runs on a CPU as it is; no torch is needed, and what it
says is not translated. Taken in, graph and constants go into one safetensors file with a header like all others.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from napari_mosaic.dependencies import needed_for
from napari_mosaic.downloads import hash_file
from napari_mosaic.errors import InputError, ModelError, WriteError
from napari_mosaic.files import whole_file
from napari_mosaic.weights import (
    BUNDLED,
    ModelCard,
    WeightsEntry,
    find_weights,
    is_safetensors,
    path_for_import,
    read_header,
)

GRAPH = "openvino-graph"
"""Architecture of an imported graph, as its header names it."""
ENDING = ".onnx"
_IMAGENET = {
    "channels": '["grout"]',
    "mean": "[0.485, 0.456, 0.406]",
    "std": "[0.229, 0.224, 0.225]",
}
"""What a file that says nothing of itself is taken for: one of GROUT's."""
_OURS = ("name", "channels", "tessera_px", "mean", "std", "stride", "halo", "licence", "temperature")
"""What this package's export writes into its files of the card."""
_TRIED = (320, 640)
"""Height and width by which it is found out whether a graph takes windows of any size: two of `framing.SIDES`."""


def is_onnx(path: str | Path) -> bool:
    """Whether a file is ONNX, by its name: the format has no mark of its own."""
    return Path(path).suffix.lower() == ENDING


def is_graph(entry: WeightsEntry) -> bool:
    """Whether weights are a graph for OpenVINO: ONNX, or one that was imported."""
    path = Path(str(entry.path))
    if is_onnx(path):
        return True
    return is_safetensors(path) and read_header(path).get("architecture") == GRAPH


def read_onnx(path: str | Path) -> Any:
    """The graph of an ONNX file as an OpenVINO model; `ModelError` where it is none.

    Asked of the reader of ONNX by name: left to itself, OpenVINO tries all formats, and that of TensorFlow writes lines
    of its own to a person's screen.
    """
    from openvino import frontend

    failures = tuple(value for name, value in vars(frontend).items() if name.endswith("Failure"))
    reader: Any = frontend.FrontEndManager().load_by_framework("onnx")
    try:
        return reader.convert(reader.load(str(path)))
    except (RuntimeError, *failures) as error:
        raise _unreadable(path) from error


def _unreadable(path: str | Path) -> ModelError:
    return ModelError(f"{path} cannot be read as a network; it is damaged or something else.")


def read_graph(entry: WeightsEntry) -> tuple[Any, ModelCard]:
    """The network from pixels `(N, H, W, 3)` to maps `(N, C, H, W)`, uint8, as an OpenVINO model, and its card.

    Raises
    ------
    ModelError
        It cannot be read, is no network from pictures to joints, gives maps of several classes, takes windows of one
        size only, or holds numbers that are none.
    """
    path = Path(str(entry.path))
    with needed_for("A model as ONNX"):
        import openvino
    try:
        if is_onnx(path):
            whole, header = _with_pixels(read_onnx(path), path)
        else:
            content, header = load_file(path), read_header(path)
            weights = openvino.Tensor(content["constants"])
            whole = openvino.Core().read_model(model=content["graph"].tobytes(), weights=weights)
    except (RuntimeError, SafetensorError, KeyError, OSError) as error:
        raise _unreadable(path) from error
    return whole, ModelCard.from_header(header | {"architecture": GRAPH}, entry, hash_file(path))


def import_onnx(
    source: str | Path,
    *,
    name: str | None = None,
    tessera_px: float | None = None,
    licence: str | None = None,
    overwrite: bool = False,
    folder: str | Path,
) -> Path:
    """Take an ONNX file in, so that it can be given by name; arguments and errors as for `training.import_model`."""
    source, name = Path(source), name or Path(source).stem
    path = path_for_import(name, Path(folder), reserved=BUNDLED, overwrite=overwrite)
    if tessera_px is not None and not 4 <= tessera_px <= 400:
        raise InputError(f"Tesserae of {tessera_px} px are no size to be trained for; give 4 to 400.")
    whole, card = read_graph(find_weights(source, entries={}))
    said: dict[str, Any] = {
        "name": name, "architecture": GRAPH, "channels": list(card.channels), "mean": list(card.mean),
        "std": list(card.std), "tessera_px": tessera_px or card.tessera_px, "stride": card.stride, "halo": card.halo,
        "licence": licence or card.licence or "as its owner says", "summary": f"Imported from {source.name}.",
        "source_sha256": card.sha256, "temperature": card.temperature,
    }  # fmt: skip
    header = {key: value if isinstance(value, str) else json.dumps(value) for key, value in said.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, sync=True) as part:
            save_file(_stored(whole), part, metadata=header)
    except OSError as error:
        raise WriteError(f"{path} cannot be written ({error.strerror}); free some space or give another.") from error
    return path


def _stored(whole: Any) -> dict[str, NDArray[np.uint8]]:
    """Graph and constants as they go into a file."""
    import openvino

    with tempfile.TemporaryDirectory(prefix="napari-mosaic-") as folder:
        graph = Path(folder) / "graph.xml"
        openvino.save_model(whole, graph, compress_to_fp16=False)
        return {
            "graph": np.frombuffer(graph.read_bytes(), np.uint8),
            "constants": np.fromfile(graph.with_suffix(".bin"), np.uint8),
        }


def _with_pixels(model: Any, path: Path) -> tuple[Any, dict[str, str]]:
    """A graph of ONNX with what stands before and after it, and what is known of it."""
    said = _metadata(model)
    header = said if "channels" in said else dict(_IMAGENET)
    _check_numbers(model, path)
    _check_shapes(model, path, len(json.loads(header["channels"])))
    from openvino import Model, opset13

    pixels = opset13.parameter([-1, -1, -1, 3], np.uint8, name="pixels")
    image = opset13.convert(opset13.transpose(pixels, np.array([0, 3, 1, 2])), "f32")
    if not said:  # this package's own export normalises inside
        mean, std = (255 * np.array(json.loads(header[k]), np.float32).reshape(1, 3, 1, 1) for k in ("mean", "std"))
        image = opset13.divide(opset13.subtract(image, mean), std)
    for target in model.inputs[0].get_target_inputs():
        target.replace_source_output(image.output(0))
    last = model.outputs[0].get_node().input_value(0)
    if last.get_node().get_type_name() != "Sigmoid":
        last = opset13.sigmoid(last).output(0)
    scaled = opset13.add(opset13.multiply(last, np.float32(255)), np.float32(0.5))
    return Model([opset13.convert(scaled, "u8")], [pixels]), header


def _metadata(model: Any) -> dict[str, str]:
    """What a file of this package's export says of itself; empty for others."""
    if not model.has_rt_info(["framework", "channels"]):
        return {}
    return {
        name: str(model.get_rt_info(["framework", name]).value)
        for name in _OURS
        if model.has_rt_info(["framework", name])
    }


def _check_numbers(model: Any, path: Path) -> None:
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            values = node.data
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ModelError(
                    f"Some weights in {path} are no numbers (NaN or infinite), so the network knows nothing; its "
                    "training went wrong: export a checkpoint of before."
                )


def _check_shapes(model: Any, path: Path, channels: int) -> None:
    """Refuse what does not go from pictures of any size to so many maps of their size."""
    sides = [part.partial_shape for part in (model.inputs[0], model.outputs[0])]
    if len(model.inputs) != 1 or any(len(side) != 4 for side in sides) or str(sides[0][1]) not in ("3", "?"):
        raise ModelError(
            f"{path} is no network from pictures (N, 3, H, W) to maps (N, C, H, W); export one like GROUT's."
        )
    try:
        model.reshape([1, 3, *_TRIED])
        found = list(model.outputs[0].shape)
        model.reshape([-1, 3, -1, -1])
    except RuntimeError as error:
        raise ModelError(
            f"The network in {path} takes windows of one size only ({sides[0]}); export it with free height and width "
            "(GROUT: export_model.py without --no-dynamic)."
        ) from error
    if found[1] != channels or found[2:] != list(_TRIED):
        raise ModelError(
            f"The network in {path} gives {found[1]} maps of {found[3]} x {found[2]} px for a picture of {_TRIED[1]} x "
            f"{_TRIED[0]} px, not {channels} of its size, so nobody knows what they show; one of a single class, the "
            "joints, can be taken."
        )
