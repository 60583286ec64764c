"""What a search hands to `segment`: the file `best.json`, written and read here whatever was searched.

One decision: the file holds everything that decides what was tuned, the preset, the model and the method among them,
so `segment --params` makes what the search has measured, and a command need not repeat it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_mosaic.areas import read_json
from napari_mosaic.errors import InputError
from napari_mosaic.output_files import replacing
from napari_mosaic.request import RULES
from napari_mosaic.sam.params import SamParams

KIND = "napari-mosaic parameters"
SAM_KIND = "napari-mosaic SAM 2 thresholds"
BEST = "best.json"
TUNED = RULES
"""The rules that `tune` searches, in the units of `segment`."""
_OF_THE_MACHINE = ("device", "into")
"""Parameters of SAM 2 that are not the search's business: where it runs, and where its masks go."""


@dataclass(frozen=True, kw_only=True)
class Handed:
    """What a `best.json` asks of `segment`.

    `segment` are fields of `SegmentParams` by name, `sam` the settings of SAM 2 where these were tuned;
    `model_sha256` is that of the grout model on whose map the rules were found, empty where it does not matter.
    """

    segment: dict[str, Any]
    sam: SamParams | None = None
    model_sha256: str = ""


def write_best(path: Path, kind: str, values: Mapping[str, Any]) -> Path:
    """Write a result, whole or not at all."""
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps({"kind": kind, **values}, indent=1), encoding="utf-8", newline="\n")
    return path


def sam_values(sam: SamParams) -> dict[str, Any]:
    """All settings of SAM 2 that a result is of; a model that is a file by its full path."""
    values = {name: value for name, value in asdict(sam).items() if name not in _OF_THE_MACHINE}
    for name in ("model", "config"):
        if values[name] is not None and Path(values[name]).is_file():
            values[name] = str(Path(values[name]).resolve())
    return values


def read_handed(path: str | Path) -> Handed:
    """What a `best.json` of `tune` or `sam2-tune` asks of `segment`.

    Raises
    ------
    InputError
        If the file is none of them.
    """
    values = read_json(path)
    try:
        if values["kind"] == SAM_KIND:
            if "sam" not in values:
                raise InputError(
                    f"{path} was written by an older version and does not say which preset was tuned, nor can that "
                    f"search be gone on with; give sam2-tune again with a new folder (-o) and take the {BEST} in it."
                )
            return Handed(segment={"method": "sam2"}, sam=SamParams(**values["sam"]))
        if values["kind"] != KIND:
            raise KeyError("kind")
        segment = {name: values["segment"][name] for name in TUNED}
        more = {name: values[name] for name in ("method", "model", "scale") if values.get(name)}
        return Handed(segment=segment | more, model_sha256=str(values.get("model_sha256", "")))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no parameters; give the {BEST} that tune or sam2-tune wrote.") from error
