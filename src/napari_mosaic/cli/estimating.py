"""`estimate`: what a run would take, before it begins.

One decision: the options are those of `segment`, so a command line is asked what it would cost by another word.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from napari_mosaic.cli.options import Flag, Json, choices_of, given_of, options_of, over_preset, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json
from napari_mosaic.cli.photographs import find_sources
from napari_mosaic.data_sizes import data_size
from napari_mosaic.estimating import estimate_runs
from napari_mosaic.logins import split_login
from napari_mosaic.progress import duration
from napari_mosaic.request import RunEstimate, RunOptions, SegmentParams
from napari_mosaic.sam.params import PRESETS, SamParams

if TYPE_CHECKING:
    SegmentOptions = SegmentParams
    SamOptions = SamParams
else:
    SegmentOptions = options_of(SegmentParams)
    SamOptions = choices_of(SamParams, PRESETS, leave_out=("into",))

_FIRST_CALLS = 1.5
"""Core-seconds that `segment` takes beyond what an estimate has imported and loaded by then, for a record's first files
and its figures: `python benchmarks/estimates.py --commands`, 1.3 to 1.7 on four pictures."""
_HEAD = ("", "time", "core time", "memory", "disk", "price")


def estimate(
    source: str,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    region: Path | None = None,
    exclude: Path | None = None,
    resume: Flag = False,
    price_per_hour: float | None = None,
    as_json: Json = False,
    params: Annotated[SegmentOptions, Parameter(name="*")] = SegmentOptions(),  # noqa: B008 - frozen
    sam: Annotated[SamOptions, Parameter(name="--sam2", group="SAM 2")] = SamOptions(),  # noqa: B008 - frozen
) -> int:
    """Say what a run would take: time, memory, disk and price of each quality.

    A few windows of the photograph are computed for it, and nothing is written. The time is that of a command begun
    now on this machine with nothing else to do.

    Parameters
    ----------
    source
        The photograph: file, OME-Zarr, web address, sample:NAME.
    output
        The record that would be made or gone on with; beside the photograph by default.
    region
        Only here: GeoJSON, GeoPackage or mask image.
    exclude
        Without this: GeoJSON, GeoPackage or mask image.
    resume
        Tell what is left of a record that is there.
    price_per_hour
        What an hour of this machine costs, in whatever money.
    as_json
        Write the result as JSON.
    params
        How to segment.
    sam
        How SAM 2 is asked.

    """
    started = time.process_time() + _FIRST_CALLS  # what was imported by now, a run imports, too
    if price_per_hour is not None and price_per_hour < 0:
        raise UsageError(f"--price-per-hour {price_per_hour:g} is no price; give 0 or more.")
    found = find_sources((source,), blocks=False)
    if len(found) != 1:
        raise UsageError(f"{source} holds {len(found)} photographs, and one at a time is estimated; name one.")
    asked = RunOptions(region=region, exclude=exclude, resume=resume)
    if given_of(sam):
        asked["sam"] = over_preset(sam, PRESETS["ours"])
    runs = estimate_runs(found[0], plain(params, SegmentParams), output=output, **asked)
    rows = {name: _figures(run, started, price_per_hour) for name, run in runs.items()}
    if as_json:
        answer_json({"source": split_login(found[0])[0], "qualities": rows})
        return 0
    first = next(iter(runs.values()))
    size = "" if first.tessera_px is None else f", tesserae of about {first.tessera_px / first.factor:.0f} px"
    answer(f"{split_login(found[0])[0]}: {first.megapixels:,.1f} MP to compute at scale {first.factor:.3g}{size}")
    lines = [_HEAD, *((name, *_words(row)) for name, row in rows.items())]
    widths = [max(len(line[k]) for line in lines) for k in range(len(_HEAD))]
    for line in lines:
        answer("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
    for run in runs.values():
        if run.untimed:
            answer(run.untimed)
    return 0


def _figures(run: RunEstimate, started: float, price_per_hour: float | None) -> dict[str, Any]:
    """What is told of a quality; the time and the price are None where SAM 2's part is not known."""
    seconds = None if run.untimed else started + run.seconds + run.preparing
    price = None if seconds is None or price_per_hour is None else round(seconds / 3600 * price_per_hour, 4)
    return {
        "seconds": None if seconds is None else round(seconds, 1),
        "core_seconds": None if run.untimed else round(started + run.core_seconds, 1),
        "memory_bytes": run.memory,
        "disk_bytes": run.bytes_on_disk,
        "price": price,
        "megapixels": round(run.megapixels, 3),
        "scale": run.factor,
        "prompts": run.prompts,
        "note": run.untimed,
    }


def _words(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        "unknown" if row["seconds"] is None else duration(row["seconds"]),
        "" if row["core_seconds"] is None else duration(row["core_seconds"]),
        "" if row["memory_bytes"] is None else data_size(row["memory_bytes"]),
        data_size(row["disk_bytes"]),
        "" if row["price"] is None else f"{row['price']:.4g}",
    )


__all__ = ["estimate"]
