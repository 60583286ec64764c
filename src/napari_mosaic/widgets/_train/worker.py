"""The process in which a model learns: `python -m napari_mosaic.widgets._train.worker`.

One decision: training has a process of its own, without Qt, at a lower priority. The viewer stays usable,
its memory is given back at the end, and what the network's library starts beside itself never meets OpenGL.

Its events are `progress`, `curves`, `sample`, then `done` or `failed` (see `_process`); who stops it listens no
more.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.dependencies import needed_for
from napari_mosaic.errors import MosaicError
from napari_mosaic.files import write_arrays
from napari_mosaic.progress import Progress
from napari_mosaic.training import FinetuneParams, TrainParams
from napari_mosaic.training.sam.params import SamTrainParams, SamTuneParams
from napari_mosaic.tuning.handed import BEST
from napari_mosaic.widgets._process import Stopped, Tell, serve, tell_progress
from napari_mosaic.widgets._train.request import SAMPLE, TrainRequest, history_files, read_rows

COMMAND = "napari: Train"
"""What a model that is made here says it was made by."""
_SIDE = 512
"""Largest side of the picture that is looked at while a model learns, px. *Not varied.*"""


def run(request: TrainRequest, tell: Tell, stopped: Stopped) -> None:
    """Train as asked, telling each event, until the end or until `stopped()`."""
    watch = _Watch(request, tell)
    steps = _steps(request)
    try:
        watch.look()
        while not stopped():
            try:
                progress = next(steps)
            except StopIteration as stop:
                watch.look()
                tell("done", path=str(stop.value))
                return
            tell_progress(progress, tell)
            watch.look()
        steps.close()
        watch.look(sample=False)
        export(request)
    except MosaicError as error:
        tell("failed", message=str(error))
    finally:
        steps.close()


def _steps(request: TrainRequest) -> Generator[Progress, None, Path]:
    if request.task.startswith("sam2"):
        return (yield from _sam_steps(request))
    with needed_for("Training"):
        from napari_mosaic.training import finetune_steps, train_steps

    out, params = Path(request.out), request.parameters()
    if isinstance(params, FinetuneParams):
        return (yield from finetune_steps(request.source, out, params, resume=request.resume))
    assert isinstance(params, TrainParams)
    yield from train_steps(out, params, data=request.source or None, masks=request.masks, resume=request.resume)
    path = export(request)
    if path is None:
        raise MosaicError(f"The run in {out} ended before its first checkpoint; let it learn for longer.")
    return path


def _sam_steps(request: TrainRequest) -> Generator[Progress, None, Path]:
    """SAM 2 learns, once or in the runs of the grid, or its thresholds are searched for."""
    with needed_for("Training SAM 2", extra="sam2"):
        from napari_mosaic.training.sam.finetuning import finetune_sam_steps, grid_steps
        from napari_mosaic.training.sam.tuning import tune_sam_steps

    out, params, data = Path(request.out), request.parameters(), request.sources()
    if isinstance(params, SamTuneParams):
        yield from tune_sam_steps(data, out, request.settings(), params, masks=request.masks)
        return out / BEST
    assert isinstance(params, SamTrainParams)
    if request.task == "sam2-grid":
        return (yield from grid_steps(data, out, params, masks=request.masks, command=COMMAND))
    given: Any = {"masks": request.masks, "resume": request.resume, "command": COMMAND}
    return (yield from finetune_sam_steps(data, out, params, **given))


def export(request: TrainRequest) -> Path | None:
    """Write what the last checkpoint knows as a model; None where there is no checkpoint yet, or several runs."""
    if request.task in ("sam2-grid", "sam2-tune"):
        return None
    checkpoint = newest_checkpoint(request)
    if checkpoint is None:
        return None
    out, params = Path(request.out), request.parameters()
    path = out / f"{out.resolve().name}.safetensors"
    if isinstance(params, SamTrainParams):
        with needed_for("Training SAM 2", extra="sam2"):
            from napari_mosaic.training.sam.finetuning import export_sam

        best = checkpoint.with_name("best.pt")
        return export_sam(best if best.exists() else checkpoint, path, params, command=COMMAND)
    with needed_for("Training"):
        from napari_mosaic.training import export_weights
        from napari_mosaic.training.run import chosen_checkpoint

    if isinstance(params, TrainParams):
        checkpoint = chosen_checkpoint(out, params)
    return export_weights(checkpoint, path, name=path.stem, command=COMMAND, **_about(request))


def _about(request: TrainRequest) -> dict[str, Any]:
    """What the file says of itself; a model that was taught keeps what it had."""
    on = f"pictures of {Path(request.source).name}" if request.source else "drawn mosaics alone"
    params = request.parameters()
    if not isinstance(params, FinetuneParams):
        return {"licence": "as its owner says", "summary": f"Trained here on {on}."}
    from napari_mosaic.weights import find_weights

    with needed_for("Training"):
        from napari_mosaic.grout import read_model

    _, card = read_model(find_weights(params.model))
    return {"licence": card.licence, "summary": f"{card.name}, fine-tuned on {on}.", "halo": card.halo}


def newest_checkpoint(request: TrainRequest) -> Path | None:
    """The last checkpoint of the run, of the later stage where there are two."""
    found = [path.with_name("checkpoint.pt") for path in history_files(request)]
    return next((path for path in reversed(found) if path.exists()), None)


class _Watch:
    """Tells curves, and a sample prediction, whenever a round has ended."""

    def __init__(self, request: TrainRequest, tell: Tell) -> None:
        self._request, self._tell = request, tell
        self._seen: list[tuple[str, int]] = []
        self._picture: NDArray[np.uint8] | None = None

    def look(self, *, sample: bool = True) -> None:
        """Compare what is on disk with what was told."""
        files = history_files(self._request)
        now = [(str(path), path.stat().st_mtime_ns) for path in files if path.exists()]
        if not now or now == self._seen:
            return
        self._seen = now
        self._tell("curves", rows=read_rows(self._request))
        if sample and self._request.sample and not self._request.task.startswith("sam2"):
            self._predict()

    def _predict(self) -> None:
        from napari_mosaic.request import SegmentParams
        from napari_mosaic.segmentation import load_method

        checkpoint = newest_checkpoint(self._request)
        if checkpoint is None:
            return
        if self._picture is None:
            self._picture = sample_picture(self._request)
        method = load_method(SegmentParams(model=str(checkpoint), device="cpu", runtime="torch", precision="fp32"))
        maps = method.predict(self._picture[None])[0]
        path = Path(self._request.out) / SAMPLE
        write_arrays(path, {"image": self._picture, "joints": maps[0]}, sync=False)
        self._tell("sample", path=str(path))


def sample_picture(request: TrainRequest) -> NDArray[np.uint8]:
    """A picture to look at while the model learns: of one's own data, or a drawing that it never learns from."""
    from napari_mosaic.training.pool import draw_one

    with needed_for("Training"):
        from napari_mosaic.training.sources import open_stored
        from napari_mosaic.training.validation import FIRST_VALIDATION_SEED, middle_crops

    stored = open_stored(Path(request.out) / "data")
    if stored is not None and len(stored):
        return np.ascontiguousarray(middle_crops(stored, 1)[0].image)
    params = request.parameters()
    side = min(_SIDE, getattr(params, "drawing_size", 320)) // 32 * 32
    drawing = draw_one(side, FIRST_VALIDATION_SEED, getattr(params, "geometry", "mix"))
    return np.ascontiguousarray(drawing.image)


def main() -> int:
    """Serve one request from standard input; returns the exit status."""
    return serve(lambda line, tell, stopped: run(TrainRequest.from_json(line), tell, stopped))


if __name__ == "__main__":
    sys.exit(main())
