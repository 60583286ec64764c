"""`python -m napari_mosaic.training OUT`: train the bundled network, then write its weights into OUT.

The same as `napari-mosaic train --synthetic -o OUT`, for machines without the command line's packages.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from napari_mosaic.errors import MosaicError
from napari_mosaic.training.export import export_weights
from napari_mosaic.training.params import TrainParams
from napari_mosaic.training.run import train_steps

_KINDS = {"steps": int, "minutes": float, "epochs": int}


def main(arguments: list[str] | None = None) -> int:
    """Train, export, and say how far it is on standard error; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m napari_mosaic.training", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for drawings, checkpoints, history and weights")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUT")
    for field in fields(TrainParams):
        kind = _KINDS.get(field.name) or type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    given = vars(parser.parse_args(arguments))
    out, resume = given.pop("out"), given.pop("resume")
    try:
        checkpoint = _train(out, TrainParams(**given), resume)
        words = sys.argv[1:] if arguments is None else arguments
        command = " ".join(["python -m napari_mosaic.training OUT", *words[1:]])
        export_weights(checkpoint, out / "grout-lite.safetensors", command=command)
    except MosaicError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _train(out: Path, params: TrainParams, resume: bool) -> Path:
    steps = train_steps(out, params, resume=resume)
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            return Path(stop.value)
        sys.stderr.write(f"\r{progress.phase} {progress.done:.0f} of {progress.total:g} {progress.unit} ")


if __name__ == "__main__":
    sys.exit(main())
