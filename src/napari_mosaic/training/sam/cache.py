"""What a frozen encoder makes of each crop, kept on disk.

One decision: a file is written once for a crop in one position, in half precision, under a folder that
knows which model and which crops it belongs to; the first time through makes them, later ones read them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_mosaic.files import whole_file
from napari_mosaic.record import write_error
from napari_mosaic.training.pool import check_room, write_json
from napari_mosaic.training.sam.network import Levels

NOTE = "embeddings.json"


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
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not note.exists() or json.loads(note.read_text(encoding="utf-8")).get("mark") != mark:
                for old in folder.glob("*.safetensors"):
                    old.unlink()
        except (OSError, ValueError) as error:
            raise write_error(folder, error if isinstance(error, OSError) else OSError(str(error))) from error
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
        try:
            with whole_file(path, sync=False) as beside:
                save_file(parts, beside)
        except (OSError, SafetensorError) as error:
            raise write_error(path, error if isinstance(error, OSError) else OSError(str(error))) from error
