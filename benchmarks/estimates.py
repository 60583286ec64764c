"""Promised against taken: seconds and bytes of runs over pictures of many kinds.

    python benchmarks/estimates.py [--commands] [PICTURE ...]

One line a picture; without any, drawn ones and the bundled sample. The run begins in the same program as the estimate,
as in the panel; with `--commands` both are commands of their own, in each quality, and what `estimate --json` says is
compared with what `segment` takes. `cores` are the core-seconds that the run took, which hardly depend on what else the
machine does: on a quiet machine with N cores a run takes between cores / N and cores seconds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import shapely
from PIL import Image

from napari_mosaic import SegmentParams, draw_mosaic, estimate_run, open_image, segment


def drawn(folder: Path) -> list[tuple[str, dict[str, object]]]:
    """A floor that fills its picture, one small on a large white sheet, and a part of the first."""
    floor = np.asarray(draw_mosaic((2600, 3400), seed=3).image)
    Image.fromarray(floor).save(folder / "full.png")
    sheet = np.full((7000, 9000, 3), 255, np.uint8)
    sheet[2000:3800, 3000:5400] = floor[:1800, :2400]
    Image.fromarray(sheet).save(folder / "sheet.png")
    region = shapely.box(1700, 900, 3100, 2300)
    return [
        (str(folder / "full.png"), {}),
        (str(folder / "sheet.png"), {}),
        (str(folder / "full.png"), {"region": region}),
    ]


def size_of(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(source: str, job: dict[str, object], folder: Path) -> str:
    """One line about one run."""
    params = SegmentParams()
    place = folder / f"{len(list(folder.iterdir()))}.mosaic.zarr"
    promised = estimate_run(source, params, output=place, **job)
    told = promised.costs.cores_of()
    clock, cores = time.perf_counter(), time.process_time()
    with segment(source, place, params=params, **job) as record:
        clock, cores = time.perf_counter() - clock, time.process_time() - cores
        count = record.count
    taken = size_of(place)
    with open_image(source) as image:
        size = image.shape[0] * image.shape[1] / 1e6
    name = f"{Path(source).name}{' part' if job else ''}"
    return (
        f"{name:32} {size:6.1f} MP, {promised.megapixels:6.1f} computed, {count:7,} stones | "
        f"promised {promised.seconds:6.2f} s, taken {clock:6.2f} s; "
        f"of cores promised {told:6.2f} s, taken {cores:6.2f} s ({told / cores - 1:+.0%}) | "
        f"promised {promised.bytes_on_disk / 1e6:7.2f} MB, taken {taken / 1e6:7.2f} MB "
        f"({promised.bytes_on_disk / taken - 1:+.0%})"
    )


def command(*words: str) -> tuple[str, float, float, int]:
    """What a command answers, and its seconds, core-seconds and bytes of memory at most."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "napari_mosaic", *words], stdout=subprocess.PIPE, text=True)
    answer = process.stdout.read() if process.stdout else ""
    _, _, used = os.wait4(process.pid, 0)
    return answer, time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def measure_commands(source: str, folder: Path) -> Iterator[str]:
    """One line about each quality."""
    promised = json.loads(command("estimate", source, "--json")[0])["qualities"]
    for quality in ("quick", "best"):
        place, told = folder / f"{len(list(folder.iterdir()))}.mosaic.zarr", promised[quality]
        _, clock, cores, memory = command("segment", source, "--output", str(place), "--quality", quality)
        taken = {"core_seconds": cores, "memory_bytes": memory, "disk_bytes": size_of(place)}
        pairs = (
            f"{name} promised {told[name]:,.0f}, taken {found:,.0f} ({told[name] / found - 1:+.0%})"
            for name, found in taken.items()
        )
        clocks = f"promised {told['seconds']:.1f} s, taken {clock:.1f} s"
        yield f"{Path(source).name:32} {quality:5} {told['megapixels']:6.1f} MP | {clocks} | {'; '.join(pairs)}"


def main() -> None:
    """Measure what is named, or what is drawn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*")
    parser.add_argument("--commands", action="store_true")
    asked = parser.parse_args()
    named = asked.pictures
    with tempfile.TemporaryDirectory() as folder:
        if asked.commands:
            # drawn by another process: the memory of a child is told as no less than this one's when it began it
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                pictures = named or [name for name, job in pool.apply(drawn, (Path(folder),)) if not job]
            for line in (line for name in pictures for line in measure_commands(name, Path(folder))):
                print(line)
                sys.stdout.flush()
            return
        work: list[tuple[str, dict[str, object]]] = [(name, {}) for name in named]
        for source, job in work or [*drawn(Path(folder)), ("sample:brick", {})]:
            print(measure(source, job, Path(folder)))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
