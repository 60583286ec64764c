"""What a network said, kept on disk so that it need not be asked again: embeddings of crops, masks of prompts.

One decision: what is kept is bound to what it is true of. An embedding is written once for a crop in one position, in
half precision, in a folder that knows its model and its crops. Of a mask the part whose logits can matter is kept, with
the cells that border on it: asked through the same two calls as a network, it gives the same masks for any threshold
above the floor.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_mosaic.files import whole_file, write_arrays
from napari_mosaic.sam.prompts import Answers, MaskNetwork, Prompts
from napari_mosaic.training.run_files import check_room, read_note, write_json, writing
from napari_mosaic.training.sam.network import Levels

NOTE = "embeddings.json"
_NOTHING = -100.0
"""The logit of what was left out: no mask there at any threshold."""
_FIELDS = ("side", "floor", "scores", "boxes", "starts", "logits")


class EmbeddingCache:
    """Embeddings in a folder by number; `hits` and `misses` count how often the encoder was spared, or not.

    Parameters
    ----------
    folder
        Where they lie; made anew where it belongs to another model or other crops.
    belongs_to
        What must be the same for an embedding to be true.
    """

    def __init__(self, folder: Path, belongs_to: Any) -> None:
        self.folder = folder
        self.hits = self.misses = 0
        mark = hashlib.sha256(json.dumps(belongs_to, sort_keys=True).encode()).hexdigest()
        note = folder / NOTE
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if read_note(note).get("mark") != mark:
                for old in folder.glob("*.safetensors"):
                    old.unlink()
        write_json(note, {"mark": mark})

    def take(self, number: int, make: Callable[[], Levels], device: torch.device) -> Levels:
        """The embedding of a crop, made and kept where it is not there yet or damaged."""
        path = self.folder / f"{number:06d}.safetensors"
        try:
            kept = load_file(path)
            self.hits += 1
        except (OSError, SafetensorError):
            self.misses += 1
            kept = {name: part.detach().half().cpu().contiguous() for name, part in make()._asdict().items()}
            self._keep(path, kept)
        return Levels(*(kept[name].float().to(device) for name in Levels._fields))

    def _keep(self, path: Path, parts: dict[str, torch.Tensor]) -> None:
        check_room(self.folder, sum(part.nbytes for part in parts.values()))
        with writing(path), whole_file(path, sync=False) as beside:
            save_file(parts, beside)


class CachedPredictions:
    """Answers to N prompts of one crop, M masks each: a `MaskNetwork` for these prompts alone.

    Parameters
    ----------
    arrays
        `side` of the logits and the `floor` below which they were left out; `scores` (N, M), `boxes` (N, M, 4)
        `(y0, x0, y1, x1)` of what is kept of each mask, `starts` (N, M) where its `logits` begin.
    image_size
        Side of the crop.
    """

    name = sha256 = config = ""
    precision = "fp32"
    encoded = prompted = 0

    def __init__(self, arrays: dict[str, NDArray[Any]], image_size: int) -> None:
        self.arrays, self.image_size = arrays, image_size

    def embed(self, window: NDArray[np.uint8]) -> None:
        """Nothing: the answers are there."""

    def predict(
        self, embedding: Any, prompts: Prompts, *, batch: int, multimask: bool = True
    ) -> Iterator[tuple[slice, Answers]]:
        """The answers that were kept, in the order in which they were asked for."""
        for start in range(0, len(prompts), batch):
            part = slice(start, min(start + batch, len(prompts)))
            yield part, Answers(self._logits(part), self.arrays["scores"][part])

    def _logits(self, part: slice) -> NDArray[np.float32]:
        boxes, starts, side = self.arrays["boxes"][part], self.arrays["starts"][part], int(self.arrays["side"])
        out = np.full((*boxes.shape[:2], side, side), _NOTHING, np.float32)
        for place in np.ndindex(boxes.shape[:2]):
            y0, x0, y1, x1 = (int(edge) for edge in boxes[place])
            count, start = (y1 - y0) * (x1 - x0), int(starts[place])
            out[place][y0:y1, x0:x1] = self.arrays["logits"][start : start + count].reshape(y1 - y0, x1 - x0)
        return out

    def fitting_batch(self) -> int:
        """Any."""
        return 64

    def peak_memory(self) -> int | None:
        """Nobody knows."""
        return None


def cache_predictions(
    network: MaskNetwork,
    image: NDArray[np.uint8],
    prompts: Prompts,
    *,
    floor: float,
    batch: int,
    multimask: bool = True,
) -> CachedPredictions:
    """Ask a network once, and keep of each mask what lies above `floor`."""
    scores, boxes, logits = [], [], [np.zeros(0, np.float32)]
    starts: list[list[int]] = []
    length, side = 0, 1
    for _, answers in network.predict(network.embed(image), prompts, batch=batch, multimask=multimask):
        scores.append(answers.scores)
        side = answers.logits.shape[-1]
        for masks in answers.logits:
            row = [_box_above(mask, floor) for mask in masks]
            boxes.append(row)
            starts.append([])
            for mask, (y0, x0, y1, x1) in zip(masks, row, strict=True):
                starts[-1].append(length)
                logits.append(mask[y0:y1, x0:x1].astype(np.float32).ravel())
                length += logits[-1].size
    arrays = {
        "side": np.int64(side), "floor": np.float64(floor), "scores": np.concatenate(scores),
        "boxes": np.array(boxes, np.int32), "starts": np.array(starts, np.int64), "logits": np.concatenate(logits),
    }  # fmt: skip
    return CachedPredictions({name: np.asarray(value) for name, value in arrays.items()}, image.shape[0])


def _box_above(mask: NDArray[np.float32], floor: float) -> tuple[int, int, int, int]:
    """The box of the cells above `floor`, and of those that border on it."""
    above = mask > floor
    rows, columns = np.flatnonzero(above.any(1)), np.flatnonzero(above.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    height, width = mask.shape
    return (
        max(0, int(rows[0]) - 1), max(0, int(columns[0]) - 1),
        min(height, int(rows[-1]) + 2), min(width, int(columns[-1]) + 2),
    )  # fmt: skip


def read_predictions(path: Path, image_size: int, floor: float) -> CachedPredictions | None:
    """Answers from a file; None where there is none, or a damaged one, or one that does not reach down to `floor`."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _FIELDS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return CachedPredictions(arrays, image_size) if float(arrays["floor"]) <= floor else None


def write_predictions(path: Path, answers: CachedPredictions) -> None:
    """Write answers whole or not at all."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, answers.arrays, sync=False)
