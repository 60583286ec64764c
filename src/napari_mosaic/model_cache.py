"""Networks that OpenVINO has compiled, kept for the next start: compiling takes half a second, reading a fifth of it.

One decision: a compiled network is used only if it is, byte for byte, what was kept for exactly this network, these
options, this OpenVINO and this processor. The cache may fail in any way, at the price of compiling once more.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from napari_mosaic.files import write_whole
from napari_mosaic.folders import cache_folder

FOLDER, ENDING = "compiled", ".blob"
MOST = 12
"""Networks that are kept, the ones used last: 5 MB each for the bundled network, and a machine needs two or three."""
_DIGEST = hashlib.sha256().digest_size


def compile_cached(model: Any, options: Mapping[str, Any], content: str | None, limit: str | None = None) -> Any:
    """A network compiled for the CPU, taken from the cache where it is there.

    Parameters
    ----------
    model
        An OpenVINO model.
    options
        What it is compiled with.
    content
        A hash of the graph and its constants; None for a network that is not to be kept.
    limit
        The newest instructions of the processor that OpenVINO was settled to use; see `runtimes.settle_instructions`.
    """
    core, version = load_core()
    if content is None:
        return core.compile_model(model, "CPU", dict(options))
    path = cache_folder() / FOLDER / f"{_key(core, version, model, options, content, limit)}{ENDING}"
    kept = _read(path)
    if kept is not None:
        with suppress(RuntimeError):  # what this OpenVINO does not read after all is compiled again, and replaced
            return core.import_model(BytesIO(kept), "CPU", dict(options))
    compiled = core.compile_model(model, "CPU", dict(options))
    with suppress(RuntimeError, OSError):  # a network that cannot be exported, a folder that cannot be written
        stream = BytesIO()
        compiled.export_model(stream)
        _write(path, stream.getvalue())
    return compiled


def load_core() -> tuple[Any, str]:
    """OpenVINO's core and its version."""
    import openvino

    return openvino.Core(), str(openvino.__version__)


def hash_content(*parts: Any) -> str:
    """A hash of a graph and its constants."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _key(core: Any, version: str, model: Any, options: Mapping[str, Any], content: str, limit: str | None) -> str:
    """Everything that decides what the compiled network is."""
    able = sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    shapes = [str(port.partial_shape) for port in model.inputs]
    isa = limit or os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    name = core.get_property("CPU", "FULL_DEVICE_NAME")
    values = (content, version, name, able, isa, shapes, sorted(options.items()))
    return hashlib.sha256(repr(values).encode()).hexdigest()[:32]


def _read(path: Path) -> bytes | None:
    """What was kept; None where nothing was, or where it is not what was written."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        os.utime(path)
    except OSError:
        return None
    return content[_DIGEST:]


def _write(path: Path, blob: bytes) -> None:
    """Keep a compiled network, whole or not at all, and drop those that were not used for longest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, hashlib.sha256(blob).digest() + blob, sync=False)
    kept = sorted(path.parent.glob(f"*{ENDING}"), key=lambda other: other.stat().st_mtime, reverse=True)
    for old in kept[MOST:]:
        with suppress(OSError):
            old.unlink()
