"""The published SAM 2 models: configuration, address, size, checksum, licence.

One decision: a model's name says its version and size (`sam2.1-hiera-tiny`), and one table gives its
configuration and its file; nothing here needs torch or sam2.
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_mosaic.folders import cache_folder
from napari_mosaic.weights import WeightsEntry, imported_entries, is_safetensors, models_folder, read_header

CONFIGS = Path(__file__).parent / "configs"
SMALLEST = "sam2.1-hiera-mosaic"
"""Our own configuration, small enough to be trained from scratch."""
DEFAULT = "sam2.1-hiera-tiny"
_SIDE = 1024
"""Side of the windows of all published models."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_ADDRESS = "https://dl.fbaipublicfiles.com/segment_anything_2"
_FOLDERS = {"sam2": "072824", "sam2.1": "092824"}
_SIZES = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}
_MEGABYTES = {"tiny": 156, "small": 184, "base-plus": 324, "large": 898}
_SHA256 = {
    "sam2-hiera-tiny": "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
    "sam2-hiera-small": "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
    "sam2-hiera-base-plus": "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
    "sam2-hiera-large": "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
    "sam2.1-hiera-tiny": "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    "sam2.1-hiera-small": "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
    "sam2.1-hiera-base-plus": "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    "sam2.1-hiera-large": "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
}


def _published(version: str, size: str) -> WeightsEntry:
    name = f"{version}-hiera-{size}"
    file_name = f"{version}_hiera_{size.replace('-', '_')}.pt"
    return WeightsEntry(
        name=name,
        file_name=file_name,
        licence="Apache-2.0",
        summary=f"SAM {version.removeprefix('sam')}, {size}, as published by Meta ({_MEGABYTES[size]} MB).",
        tessera_px=48.0,
        mean=MEAN,
        std=STD,
        sha256=_SHA256[name],
        url=f"{_ADDRESS}/{_FOLDERS[version]}/{file_name}",
    )


MOSAIC = WeightsEntry(
    name="mosaic-sam2",
    file_name="mosaic-sam2.pt",
    licence="Apache-2.0 as its code; see its page",
    summary="SAM 2, large, fine-tuned on mosaics by Kapelonis et al. (arXiv 2512.18406); fetched by hand.",
    tessera_px=100.0,
    mean=MEAN,
    std=STD,
    url="https://huggingface.co/ckapelonis02/SAM2-mosaic",
)
"""Its address is a page without a checksum, so it is not fetched but taken in with `models import`."""
_MOSAIC_CONFIGS = ("sam2-hiera-large", "sam2.1-hiera-large")
"""What that file may be; one of another size that is called so is told as what it is."""


def sam_folder() -> Path:
    """Where imported SAM 2 models are kept."""
    return models_folder() / "sam2"


def sam_registry() -> dict[str, WeightsEntry]:
    """The eight published checkpoints, the mosaic fine-tune, and what was imported, by name.

    None is bundled; `find_weights` fetches a published one when asked to.
    """
    return _known() | imported_entries(sam_folder())


def published_entry(name: str, config: str) -> WeightsEntry | None:
    """What is known of a published model of that name and configuration, whether it is here or not."""
    expected = _MOSAIC_CONFIGS if name == MOSAIC.name else (name,)
    return _known().get(name) if config in expected else None


def _known() -> dict[str, WeightsEntry]:
    entries = [_published(version, size) for version in _FOLDERS for size in _SIZES]
    return {entry.name: entry for entry in (*entries, MOSAIC)}


def present_models() -> dict[str, Path]:
    """The models that can be used at once, by name, and their files; their checksums are looked at when they load."""
    found = {}
    for name, entry in sam_registry().items():
        path = entry.path or cache_folder() / entry.file_name
        if path.is_file():
            found[name] = path
    return found


def look_of(model: str, config: str | None = None) -> tuple[int, float]:
    """Side of a model's windows, and the size of tessera that it knows (0: nobody says), without loading it.

    Of a file that says nothing, 1024 and 0, as of all published models.
    """
    entry = sam_registry().get(model)
    path = entry.path if entry is not None else Path(model)
    header = read_header(path) if path is not None and path.is_file() and is_safetensors(path) else {}
    name = config or header.get("config", model)
    described = Path(config_names().get(name, name))
    text = described.read_text(encoding="utf-8") if described.suffix == ".yaml" and described.is_file() else ""
    found = re.search(r"^ *image_size: *(\d+)", text, re.MULTILINE)
    return (int(found[1]) if found else _SIDE), float(header.get("tessera_px", 0.0))


def config_names() -> dict[str, str]:
    """File of each known configuration by name: those of sam2 relative to that package, ours absolute."""
    known = {
        f"{version}-hiera-{size}": f"configs/{version}/{version}_hiera_{letter}.yaml"
        for version in _FOLDERS
        for size, letter in _SIZES.items()
    }
    return known | {SMALLEST: str(CONFIGS / "sam2.1_hiera_mosaic.yaml")}
