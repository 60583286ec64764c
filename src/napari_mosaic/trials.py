"""Whether a network can be computed on this processor: tried once, in a process of its own, and remembered.

One decision: a kernel that dies takes its process along, so all shapes that will ever be computed are tried in a child
before the first one is computed here. What dies there, or moves the joints of the trial window, is not used.

`NAPARI_MOSAIC_TRIAL=skip` uses every network untried, `NAPARI_MOSAIC_TRIAL=again` forgets what is remembered.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from napari_mosaic.errors import ModelError
from napari_mosaic.files import write_json
from napari_mosaic.folders import cache_folder
from napari_mosaic.framing import SHAPES, SIDES
from napari_mosaic.runtimes import OpenVinoRun, load_openvino, processor, usable_cores
from napari_mosaic.weights import DATA, DEFAULT, INT8

WINDOW, JOINTS = "trial_window", "trial_joints"
"""Names in a quantised file of the window that it is tried with, and of its joints in single precision, as bits."""
TRIAL_WINDOW: dict[str, Any] = {"size": 160, "seed": 11, "geometry": "rows", "tessera_px": 24.0, "damaged": False}
"""How the trial window was drawn (`draw_mosaic`): a clear one, of which the bundled network moves 0.5 % in eight bits.
It lies in the bundled file, because drawings may change from version to version and answers may not."""
MOST_MOVED = 0.015
"""Part of the joint pixels that may change sides against single precision. Rounding to eight bits moves 0.5 %."""
_BORDER = 64
"""Pixels at a cut that see other surroundings than in the whole window, and are not compared."""
_SECONDS = 180
"""A trial takes 2 s on two idle cores; this is for a machine that has very much else to do."""
_VARIABLE = "NAPARI_MOSAIC_TRIAL"
_PASSING = ("timeout", "killed")
"""Ends that may be the machine's fault of the moment: they count only when they come twice."""
_DEATHS = {name: getattr(signal, name) for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, as it would be run: the model's hash, precision, limit of instructions, threads of the CPU."""

    model: str
    precision: str
    limit: str | None = None
    threads: int | None = None

    def key(self) -> dict[str, Any]:
        """All that the outcome depends on."""
        name, instructions = processor()
        try:
            version = importlib.metadata.version("openvino")
        except importlib.metadata.PackageNotFoundError:
            version = ""
        return {
            "processor": name,
            "instructions": " ".join(instructions),
            "cores": self.threads or len(usable_cores()),
            "openvino": version,
            "model": self.model,
            "precision": self.precision,
            "limit": self.limit or os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
            "shapes": [list(shape) for shape in SHAPES],
        }


@dataclass(frozen=True)
class Verdict:
    """Whether a network is used, and if not, why; `times` that it ended so."""

    fit: bool
    reason: str = ""
    kind: str = ""
    times: int = 1

    @property
    def stands(self) -> bool:
        """Whether it need not be tried again."""
        return self.kind not in _PASSING or self.times > 1


_KNOWN: dict[str, Verdict] = {}
"""The verdicts of this process, for where the cache folder cannot be written."""


def judge(case: Case, provide: Callable[[Path], Path]) -> Verdict:
    """Whether a network may be run on this processor; tried where it is not known.

    Parameters
    ----------
    case
        What would be run.
    provide
        Given an empty folder, the file to try it by: graph, constants, trial window, its joints in single precision.
        Only called where the outcome is not known.
    """
    wish = os.environ.get(_VARIABLE, "")
    if wish == "skip":
        return Verdict(fit=True)
    key = case.key()
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    path = cache_folder() / "trials" / f"{name}.json"
    known = _KNOWN.get(name)
    if known is None or not known.stands:
        with _one_at_a_time(path):
            known = None if wish == "again" else _remembered(path, key)
            if known is None or not known.stands:
                verdict = _tried(case, provide)
                known = Verdict(verdict.fit, verdict.reason, verdict.kind, 1 if known is None else known.times + 1)
                _remember(path, key, known)
        _KNOWN[name] = known
    return known


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Let the others of this machine wait for the outcome instead of trying the same."""
    lock = FileLock(str(path.with_suffix(".lock")))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_SECONDS)
    except (OSError, Timeout):
        pass  # each tries for itself
    try:
        yield
    finally:
        lock.release()


def _remembered(path: Path, key: dict[str, Any]) -> Verdict | None:
    """What is in the cache folder; None where there is nothing or it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Verdict(**content["verdict"]) if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(path: Path, key: dict[str, Any], verdict: Verdict) -> None:
    with suppress(OSError):
        write_json(path, {"key": key, "verdict": asdict(verdict)}, sync=False)


def _tried(case: Case, provide: Callable[[Path], Path]) -> Verdict:
    """Try it in a child, and read what it says and how it ends."""
    with tempfile.TemporaryDirectory(prefix="napari-mosaic-") as folder:
        content, report = provide(Path(folder)), Path(folder) / "report"
        if not has_answers(content):
            return Verdict(False, "it was made without what it is tried by; make it again with export-model", "answers")
        command = [sys.executable, "-m", __name__, str(content), str(report), json.dumps(asdict(case))]
        try:
            ended = subprocess.run(
                command, cwd=folder, env=_environment(), timeout=_SECONDS, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Verdict(False, f"it was not computed within {_SECONDS} s", "timeout")
        except OSError as error:
            return Verdict(False, f"no process could be started to try it in ({error})", "killed")
        return _verdict(ended.returncode, _read_report(report))


def _environment() -> dict[str, str]:
    """The child runs this same code, wherever it was imported from."""
    places = [os.path.abspath(place) for place in sys.path]
    return os.environ | {"PYTHONPATH": os.pathsep.join(places)}


def _read_report(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []


def _verdict(status: int, lines: list[dict[str, Any]]) -> Verdict:
    finished = {tuple(line["shape"]): float(line["moved"]) for line in lines if "moved" in line}
    begun = [tuple(line["begun"]) for line in lines if "begun" in line]
    open_ = " or ".join(f"{height} x {width}" for height, width in begun if (height, width) not in finished)
    where = f" in windows of {open_} px" if open_ else ""
    if status < 0 or status > 1:
        kind = "killed" if -status in _DEATHS.values() else "died"
        return Verdict(False, f"its process died{where} ({_name_of(status)})", kind)
    if status != 0 or len(finished) < len(SHAPES):
        return Verdict(False, f"it could not be computed{where}", "failed")
    shape, moved = max(finished.items(), key=lambda item: item[1])
    if not moved <= MOST_MOVED:
        return Verdict(
            False, f"it moves {100 * moved:.1f} % of the joints{f' in windows of {shape[0]} x {shape[1]} px'}", "moved"
        )
    return Verdict(fit=True)


def _name_of(status: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"exit status {status}"


def has_answers(path: Path) -> bool:
    """Whether a file holds what its network is tried by."""
    try:
        with safe_open(path, "numpy") as file:
            return {"graph", "constants", WINDOW, JOINTS} <= set(file.keys())
    except (SafetensorError, OSError):
        return False


def bundled_window() -> NDArray[np.uint8]:
    """The trial window, `(160, 160, 3)` uint8."""
    path = DATA / f"{DEFAULT}.{INT8}.safetensors"
    try:
        with safe_open(path, "numpy") as file:
            return np.asarray(file.get_tensor(WINDOW))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} has no trial window; reinstall the package.") from error


def spread(window: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The trial window mirrored on and on, to the largest shape of the table."""
    below, right = (SIDES[-1] - side for side in window.shape[:2])
    return np.pad(window, ((0, below), (0, right), (0, 0)), mode="symmetric")


def pack_joints(map_: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where the map of the spread window, `(C, H, W)`, has joints, as bits."""
    return np.packbits(map_[0] > 127, axis=1)


def moved_joints(map_: NDArray[np.uint8], joints: NDArray[np.bool_]) -> float:
    """Part of the joint pixels of a map, `(C, H, W)`, that lie on another side than in single precision."""
    height, width = (side if side == SIDES[-1] else side - _BORDER for side in map_.shape[1:])
    expected = joints[:height, :width]
    changed = (map_[0, :height, :width] > 127) != expected
    return float(changed.sum() / max(expected.sum(), 0.01 * expected.size))


def run_trial(content: Path, report: Path, case: Case) -> None:
    """Compute every shape of the table, and note each as it begins and as it ends."""
    tensors = load_file(content)
    picture, joints = spread(tensors[WINDOW]), np.unpackbits(tensors[JOINTS], axis=1) > 0
    run = load_openvino(
        tensors["graph"].tobytes(),
        tensors["constants"],
        precision=case.precision,
        threads=case.threads,
        limit=case.limit,
    )
    streams = run.streams if isinstance(run, OpenVinoRun) else 1
    with report.open("a", encoding="utf-8", newline="\n", buffering=1) as lines, ThreadPoolExecutor(streams) as pool:

        def look(shape: tuple[int, int]) -> None:
            lines.write(json.dumps({"begun": shape}) + "\n")
            window = np.ascontiguousarray(picture[None, : shape[0], : shape[1]])
            moved = moved_joints(run(window)[0], joints)
            lines.write(json.dumps({"shape": shape, "moved": moved}) + "\n")

        list(pool.map(look, sorted(SHAPES, key=lambda shape: -shape[0] * shape[1])))


def _be_quiet() -> None:
    """Die without a core file or a dialogue."""
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetErrorMode(0x8007)
    else:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _be_quiet()
    run_trial(Path(sys.argv[1]), Path(sys.argv[2]), Case(**json.loads(sys.argv[3])))
