"""Promised against taken: seconds and bytes of runs over pictures of many kinds.

    python benchmarks/estimates.py [PICTURE ...]

One line a picture; without any, drawn ones and the bundled sample. The run begins in the same program as the estimate,
as in the panel. `cores` are the core-seconds that the run took, which hardly depend on what else the machine does: on a
quiet machine with N cores a run takes between cores / N and cores seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
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


def main() -> None:
    """Measure what is named, or what is drawn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*")
    named = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as folder:
        work: list[tuple[str, dict[str, object]]] = [(name, {}) for name in named]
        for source, job in work or [*drawn(Path(folder)), ("sample:brick", {})]:
            print(measure(source, job, Path(folder)))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
