"""A SAM 2 model ready to run: windows to embeddings, prompts to mask logits.

One decision: prompts go through the decoder in batches whose size the plan fixes; where memory fails the
batch is halved and tried again, and only where one prompt does not fit is it an error.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_mosaic.downloads import hash_file
from napari_mosaic.errors import InputError, ModelError
from napari_mosaic.grout import DTYPE_NAMES, DTYPES, choose_device, choose_dtype
from napari_mosaic.memory import free_memory, is_out_of_memory, peak_of_process
from napari_mosaic.sam.building import import_sam2
from napari_mosaic.sam.checkpoints import load_model
from napari_mosaic.sam.prompts import MASK_STRIDE, Answers, Prompts
from napari_mosaic.sam.registry import MEAN, STD, config_names, sam_registry
from napari_mosaic.weights import WeightsEntry, find_weights, is_safetensors, read_header

_PATCH = 16
"""Pixels a step of the features that prompts meet: the architecture's stride."""
_MOST = 64
"""Prompts decoded at once at most. Not varied."""


@dataclass(frozen=True)
class Embedding:
    """What the image encoder makes of one window, in the precision that the model runs in.

    `image` are the coarse features, `fine` the two finer ones.
    """

    image: Tensor
    fine: tuple[Tensor, ...]


class SamNetwork:
    """A loaded model. `image_size` is the side of its windows; `encoded` and `prompted` count its work.

    Parameters
    ----------
    model
        From `building.build_model` or `checkpoints.load_model`.
    device, dtype
        Where and in what precision it runs.
    name, sha256, config
        As the plan of a run names them.
    tessera_px
        Size of a tessera in its windows that it was trained for; 0 where nobody says.
    """

    def __init__(
        self, model: nn.Module, *, device: str = "cpu", precision: str = "fp32", name: str = "", sha256: str = "",
        config: str = "", tessera_px: float = 0.0,
    ) -> None:  # fmt: skip
        self.name, self.sha256, self.config, self.precision = name, sha256, config, precision
        self.tessera_px = tessera_px
        self.device = torch.device(device)
        self._dtype = DTYPES[precision]
        self._model: Any = model.to(self.device).eval()
        self.image_size = int(self._model.image_size)
        self._mean = torch.tensor(MEAN, device=self.device).reshape(1, 3, 1, 1) * 255
        self._std = torch.tensor(STD, device=self.device).reshape(1, 3, 1, 1) * 255
        self._most: int | None = None
        self._origin: tuple[str, str | None] | None = None
        self.encoded = 0
        self.prompted = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process by name: it loads the model itself, once, for its own device."""
        if self._origin is None:
            raise ModelError("A SAM 2 model can be sent to other computers only if it was loaded from a file; save it.")
        return _shared_sam, (*self._origin, self.precision)

    @property
    def model(self) -> nn.Module:
        """The torch module, for training."""
        return self._model  # type: ignore[no-any-return]

    def embed(self, window: NDArray[np.uint8]) -> Embedding:
        """Encode one window `(S, S, 3)` sRGB, S being `image_size`.

        Raises
        ------
        InputError
            If the window has another shape.
        ModelError
            If the window does not fit into the device's memory.
        """
        size = self.image_size
        if window.shape != (size, size, 3) or window.dtype != np.uint8:
            raise InputError(
                f"This SAM 2 model takes windows of {size} x {size} px in uint8, not {window.shape} {window.dtype}; "
                "resample them first."
            )
        try:
            with torch.inference_mode(), self._autocast():
                pixels = torch.from_numpy(np.array(window)).to(self.device).permute(2, 0, 1)[None].float()
                found = self._model.forward_image((pixels - self._mean) / self._std)
                levels = list(found["backbone_fpn"][-self._model.num_feature_levels :])
                if self._model.directly_add_no_mem_embed:
                    levels[-1] = levels[-1] + self._model.no_mem_embed.reshape(1, -1, 1, 1)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise ModelError(
                f"A window of {size} x {size} px does not fit into the memory of {self.device}; choose a smaller model "
                "or the CPU."
            ) from error
        self.encoded += 1
        image, *fine = (level.to(self._dtype) for level in (levels[-1], *levels[:-1]))
        return Embedding(image, tuple(fine))

    def predict(
        self, embedding: Embedding, prompts: Prompts, *, batch: int, multimask: bool = True
    ) -> Iterator[tuple[slice, Answers]]:
        """Masks for prompts on one window, some prompts at a time.

        Parameters
        ----------
        embedding
            From `embed`.
        prompts
            N prompts in pixels of the window.
        batch
            Prompts at a time; halved, and tried again, where memory fails.
        multimask
            Three masks a prompt, or one.

        Yields
        ------
        slice, Answers
            Which prompts, and their masks: logits `(n, M, S / 4, S / 4)` float32 and scores `(n, M)`.

        Raises
        ------
        ModelError
            If not even one prompt fits into the device's memory.
        """
        start = 0
        while start < len(prompts):
            count = min(self._most or batch, batch, len(prompts) - start)
            part = slice(start, start + count)
            try:
                answers = self._decode(embedding, prompts.part(part), multimask)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._lower(count, error)
                continue
            self.prompted += count
            start += count
            yield part, answers

    def _decode(self, embedding: Embedding, prompts: Prompts, multimask: bool) -> Answers:
        with torch.inference_mode(), self._autocast():
            encoder, points = self._model.sam_prompt_encoder, prompts.network_points()
            coordinates = torch.from_numpy(points[0]).to(self.device)
            kinds = torch.from_numpy(points[1]).to(self.device)
            masks = None if prompts.masks is None else torch.from_numpy(prompts.masks[:, None]).to(self.device)
            sparse, dense = encoder(points=(coordinates, kinds), boxes=None, masks=masks)
            logits, scores, _, _ = self._model.sam_mask_decoder(
                image_embeddings=embedding.image,
                image_pe=encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                repeat_image=True,
                high_res_features=list(embedding.fine),
            )
        return Answers(logits.to(self._dtype).cpu().float().numpy(), scores.float().cpu().numpy())

    def _lower(self, count: int, error: BaseException) -> None:
        if count <= 1:
            raise ModelError(
                f"Not even one prompt fits into the memory of {self.device}; choose a smaller model or the CPU."
            ) from error
        self._most = count // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return nullcontext()
        context: AbstractContextManager[Any] = torch.autocast(self.device.type, self._dtype)
        return context

    def fitting_batch(self) -> int:
        """How many prompts at a time the memory that is free now allows, from 1 to 64, a power of two."""
        side, width = self.image_size // _PATCH, int(self._model.hidden_dim)
        each = 4 * width * (24 * side**2 + (self.image_size // MASK_STRIDE) ** 2 // 2)
        cuda = self.device.type == "cuda"
        free = torch.cuda.mem_get_info(self.device)[0] if cuda else free_memory()
        count = max(1, min(_MOST, free // 2 // each))
        return int(2 ** (count.bit_length() - 1))

    def peak_memory(self) -> int | None:
        """Bytes of memory that were in use at most: of the device, or on a CPU of the process; None if unknown."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return peak_of_process() if self.device.type == "cpu" else None


def load_sam(
    name_or_path: str | Path, *, config: str | Path | None = None, device: str = "auto", precision: str = "auto"
) -> SamNetwork:
    """Load a published model by name, downloading it once, or a checkpoint file.

    Parameters
    ----------
    name_or_path
        A name of `registry.sam_registry()`, or a file.
    config
        Configuration of a file; recognised by its tensors where it is left out.
    device, precision
        `auto`, `cpu`, `cuda`, `mps`; `auto`, `fp32`, `bf16`, `fp16`.

    Raises
    ------
    MosaicError
        One of its kinds, with one sentence: missing, damaged, of another size, sam2 not installed.
    """
    import_sam2()  # before a download that would be in vain
    entry = find_weights(name_or_path, entries=sam_registry())
    known = entry.name if entry.url is not None and entry.name in config_names() else None
    model, chosen = load_model(Path(str(entry.path)), config or known)
    where = choose_device(device)
    network = SamNetwork(
        model,
        device=str(where),
        precision=DTYPE_NAMES[_choose_dtype(precision, where)],
        name=entry.name,
        sha256=entry.sha256 or hash_file(Path(str(entry.path))),
        config=chosen,
        tessera_px=_trained_size(entry),
    )
    network._origin = (str(name_or_path), None if config is None else str(config))
    return network


def _trained_size(entry: WeightsEntry) -> float:
    """Size of tessera that a model was trained for, as its file says; 0 where it does not."""
    path = Path(str(entry.path))
    header = read_header(path) if is_safetensors(path) else {}
    return float(header.get("tessera_px", 0.0))


@functools.lru_cache(maxsize=1)
def _shared_sam(name: str, config: str | None, precision: str) -> SamNetwork:
    """The last model that came from another process is kept: loading it takes seconds."""
    return load_sam(name, config=config, precision=precision)


def _choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """As for the grout network, but bfloat16 where a GPU has it: attention overflows half precision."""
    if precision == "auto" and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return choose_dtype(precision, device)
