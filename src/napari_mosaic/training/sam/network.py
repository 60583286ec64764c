"""The model that is trained: its first weights, what of it learns, and its two calls with gradients.

One decision: weights that stay as they are are not the run's business. What learns is told by parameters
that ask for a gradient, and checkpoints hold those alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from napari_mosaic.downloads import hash_file
from napari_mosaic.sam.building import build_model, import_sam2
from napari_mosaic.sam.checkpoints import load_model
from napari_mosaic.sam.registry import MEAN, STD, config_names, sam_registry
from napari_mosaic.training.sam.crops import Asked
from napari_mosaic.training.sam.params import CHANCE, SamTrainParams
from napari_mosaic.weights import find_weights, is_safetensors, read_header

_FINER = ("sam_mask_decoder.conv_s0.", "sam_mask_decoder.conv_s1.")
"""Weights of the decoder that run with the encoder: as published they get no gradient beside a frozen one."""
_SHARP = 3.0
"""How sharply a network that starts from chance tells places apart. *Not varied.*"""


class Levels(NamedTuple):
    """What the image encoder makes of B crops: `image` (B, C, s/4, s/4), and two finer levels."""

    image: Tensor
    middle: Tensor
    fine: Tensor


class Start(NamedTuple):
    """A model before its first step, its configuration, and the name and hash of the weights it began with.

    `header` is what their file says of itself.
    """

    model: nn.Module
    config: str
    name: str
    sha256: str
    header: dict[str, str]

    @property
    def licence(self) -> str:
        """What a model made of this one is under: ours from chance, else as the first one."""
        return "BSD-3-Clause" if self.name == CHANCE else self.header.get("licence", "Apache-2.0")


def start_model(params: SamTrainParams) -> Start:
    """The model that `params` begin with, what learns marked.

    Raises
    ------
    MosaicError
        One of its kinds: no such model, a damaged file, one of another size, sam2 not installed.
    """
    import_sam2()
    torch.manual_seed(params.seed)
    if params.model == CHANCE:
        config = str(params.config)
        model = build_model(config)
        _see_places(model)
        start = Start(model, config, CHANCE, "", {})
    else:
        entry = find_weights(params.model, entries=sam_registry())
        known = entry.name if entry.url is not None and entry.name in config_names() else None
        path = Path(str(entry.path))
        model, config = load_model(path, params.config or known)
        header = read_header(path) if is_safetensors(path) else {}
        start = Start(model, config, entry.name, entry.sha256 or hash_file(path), header)
    mark_learning(start.model, params)
    return start


def _see_places(model: Any) -> None:
    """Let image and prompts compare places from the beginning: queries and keys of one place look alike.

    Else a network from chance learns for hours which place a prompt means before it learns anything of masks.
    """
    transformer = model.sam_mask_decoder.transformer
    crossing = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        crossing += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    with torch.no_grad():
        for attention in crossing:
            attention.q_proj.weight.mul_(_SHARP)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.q_proj.bias.zero_()
            attention.k_proj.bias.zero_()


class LowRank(nn.Module):
    """A weight (m, n) with a learned product of (m, r) and (r, n) added (Hu et al., LoRA, ICLR 2022)."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / weight.shape[1] ** 0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def mark_learning(model: nn.Module, params: SamTrainParams) -> None:
    """Let what learns ask for gradients, and nothing else; add low-rank parts where they are asked for."""
    single = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "no_mem_embed")
    wanted = single if params.learn == "all" else ("sam_prompt_encoder.", "sam_mask_decoder.")
    for name, parameter in model.named_parameters():
        stays = params.learn == "decoder" and name.startswith(_FINER)
        parameter.requires_grad_(name.startswith(wanted) and not stays)
    if params.learn == "lora":
        for block in model.image_encoder.trunk.blocks:  # type: ignore[union-attr]
            for linear in (block.attn.qkv, block.attn.proj):  # type: ignore[union-attr]
                parametrize.register_parametrization(linear, "weight", LowRank(linear.weight, params.rank))


def merge_low_rank(model: nn.Module) -> None:
    """Add low-rank parts to the weights for good: the model is of its published shape again."""
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def learning(model: nn.Module) -> dict[str, nn.Parameter]:
    """What learns, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def encode(model: Any, images: Sequence[NDArray[np.uint8]]) -> Levels:
    """Encode crops (S, S, 3) sRGB of the model's size."""
    device = next(model.parameters()).device
    mean, std = (torch.tensor(values, device=device).reshape(1, 3, 1, 1) * 255 for values in (MEAN, STD))
    pixels = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float()
    fine, middle, image = model.forward_image((pixels - mean) / std)["backbone_fpn"][-model.num_feature_levels :]
    if model.directly_add_no_mem_embed:
        image = image + model.no_mem_embed.reshape(1, -1, 1, 1)
    return Levels(image, middle, fine)


def decode(model: Any, levels: Levels, which: int, asked: Asked) -> tuple[Tensor, Tensor]:
    """All four answers to the prompts on one crop: logits (N, 4, s, s), the single one first, and scores (N, 4)."""
    device = levels.image.device
    encoder = model.sam_prompt_encoder
    points, kinds = (torch.from_numpy(part).to(device) for part in (asked.points, asked.kinds))
    sparse, dense = encoder(points=(points, kinds), boxes=None, masks=None)
    one = slice(which, which + 1)
    logits, scores, _, _ = model.sam_mask_decoder.predict_masks(
        image_embeddings=levels.image[one],
        image_pe=encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=True,
        high_res_features=[levels.fine[one], levels.middle[one]],
    )
    return logits, scores
