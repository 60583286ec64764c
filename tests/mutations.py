"""Broken copies of files that the program reads, and what is done with each: it must end in a result or one sentence.

`python tests/mutations.py 2000` tries as many, spread over all kinds, and prints those that end otherwise.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
import signal
import struct
import sys
import tempfile
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_mosaic import editing
from napari_mosaic.area_files import Grid, read_area_file, read_geometry
from napari_mosaic.errors import MosaicError
from napari_mosaic.image import open_image
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box

sys.path.insert(0, str(Path(__file__).parent))
from bright import bright_stones

LONGEST_S = 20
"""Of one try: what hangs is a fault, too."""
PARAMS = SegmentParams(method="brightness", scale=1.0)
_VALUES: tuple[Any, ...] = (
    None, "", "x", -1, 0, 1, 2.5, 1e308, 10**20, True, [], {}, [[]], [None], {"x": 1}, "٣", float("nan"), "../../x",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What is broken: the file within the folder that `base` makes, how it is broken, and what is done with it."""

    victim: str
    mutate: Callable[[bytes, random.Random], bytes]
    use: Callable[[Path], Any]


# breaking -------------------------------------------------------------------------------------------


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Other bytes, missing ones, some too many, or a piece twice."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(max(1, len(data)))
        how = rng.randrange(5)
        if how == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif how == 1:
            del data[at:]
        elif how == 2:
            del data[at : at + rng.randrange(1, 32)]
        elif how == 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 16))
        else:
            data[at:at] = data[at // 2 : at // 2 + 64]
    return bytes(data)


def mutate_json(content: bytes, rng: random.Random) -> bytes:
    """Another value somewhere, a key that is missing, or other bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(content, rng)
    value = json.loads(content)
    for _ in range(rng.choice((1, 1, 1, 3))):
        places = list(_places(value))
        if not places:
            break
        parent, key = rng.choice(places)
        if isinstance(parent, dict) and rng.random() < 0.25:
            del parent[key]
        else:
            parent[key] = copy.deepcopy(rng.choice(_VALUES))
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def mutate_tiff(content: bytes, rng: random.Random) -> bytes:
    """Another tag, type, count or value in the first directory, or other bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(content, rng)
    data = bytearray(content)
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    for _ in range(rng.choice((1, 1, 2))):
        at = start + 2 + 12 * rng.randrange(count)
        offset, form = rng.choice(((0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<H")))
        most = 2 ** (16 if form == "<H" else 32) - 1
        struct.pack_into(form, data, at + offset, rng.choice((0, 1, 2, 3, 5, 7, 8, 16, 255, 4096, 65535, most)))
    return bytes(data)


def mutate_png(content: bytes, rng: random.Random) -> bytes:
    """A chunk that is changed, missing, twice or elsewhere, with its sum mended or not, or other bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(content, rng)
    chunks, at = [], 8
    while at < len(content):
        length = struct.unpack_from(">I", content, at)[0]
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    place, how = rng.randrange(len(chunks)), rng.randrange(5)
    name, body = chunks[place]
    if how == 0:
        del chunks[place]
    elif how == 1:
        chunks.insert(rng.randrange(len(chunks)), chunks[place])
    elif how == 2:
        chunks.insert(1, (rng.choice((b"iCCP", b"gAMA", b"tRNS", b"eXIf", b"pHYs", b"PLTE")), rng.randbytes(9)))
    elif how == 3 and body:
        spot = rng.randrange(len(body))
        chunks[place] = name, body[:spot] + rng.randbytes(1) + body[spot + 1 :]
    else:
        chunks[place] = name, body[: len(body) // 2]
    packed = content[:8]
    for name, body in chunks:
        total = zlib.crc32(name + body) if rng.random() < 0.9 else 0
        packed += struct.pack(">I", len(body)) + name + body + struct.pack(">I", total)
    return packed


# using ----------------------------------------------------------------------------------------------


def use_picture(path: Path) -> None:
    with open_image(path) as image:
        for level, shape in enumerate(image.level_shapes):
            box = Box(0, 0, *shape).clip((600, 600))
            image.read(box, level)
            image.read_valid(box, level)


def use_areas(path: Path) -> None:
    grid = Grid(shape=(120, 160), crs="EPSG:32633", affine=(0.01, 0, 500000, 0, -0.01, 4649776))
    for read in (read_geometry, read_area_file):
        try:
            read(path, grid)
        except MosaicError:
            if read is read_area_file:
                raise


def use_record(path: Path) -> None:
    """Look at a record, export it, take back an edit and make it again, go on with it."""
    folder = next(parent for parent in path.parents if parent.name.endswith(".mosaic.zarr"))
    with open_record(folder) as record:
        record.read_labels(Box(0, 0, *record.shape))
        record.figures()
        record.layers()
        record.table()
        editing.list_edits(record)
    with open_record(folder, writable=True) as record:
        editing.undo(record)
        editing.redo(record)
    segment(folder.with_name("floor.png"), folder, params=PARAMS, resume=True).close()


KINDS = {
    "TIFF tags": Kind("floor.tif", mutate_tiff, use_picture),
    "PNG chunks": Kind("floor.png", mutate_png, use_picture),
    "GeoJSON": Kind("area.geojson", mutate_json, use_areas),
    "mosaic.json": Kind("floor.mosaic.zarr/mosaic.json", mutate_json, use_record),
    "Zarr of a record": Kind("floor.mosaic.zarr/labels/tesserae/0/zarr.json", mutate_json, use_record),
    "OME-Zarr": Kind("floor.ome.zarr/zarr.json", mutate_json, lambda path: use_picture(path.parent)),
    "Zarr array": Kind("floor.ome.zarr/0/zarr.json", mutate_json, lambda path: use_picture(path.parent.parent)),
    "ledger": Kind("floor.mosaic.zarr/ledger/*", mutate_bytes, use_record),
    "journal": Kind("floor.mosaic.zarr/journal/edits.log", mutate_bytes, use_record),
    "areas of a record": Kind("floor.mosaic.zarr/areas.geojson", mutate_json, use_record),
}


def make_base(folder: Path) -> None:
    """One good file of each kind."""
    import rasterio
    import zarr
    from PIL import Image
    from shapely.geometry import box

    picture = bright_stones((120, 160))
    Image.fromarray(picture).save(folder / "floor.png")
    place = rasterio.Affine(0.01, 0, 500000, 0, -0.01, 4649776)
    profile = {"driver": "GTiff", "height": 120, "width": 160, "count": 3, "dtype": "uint8", "tiled": True}
    profile |= {"blockxsize": 64, "blockysize": 64, "compress": "deflate", "crs": "EPSG:32633", "transform": place}
    with rasterio.open(folder / "floor.tif", "w", **profile) as target:
        target.write(picture.transpose(2, 0, 1))
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    ring = [[500000.2, 4649775.8], [500001.2, 4649775.8], [500001.2, 4649775.0], [500000.2, 4649775.8]]
    shapes = [{"type": "Polygon", "coordinates": [ring]}, {"type": "MultiPolygon", "coordinates": [[ring]]}]
    features = [{"type": "Feature", "properties": {"class": "lacuna", "name": "a"}, "geometry": one} for one in shapes]
    text = json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    (folder / "area.geojson").write_text(text)
    group = zarr.create_group(folder / "floor.ome.zarr", zarr_format=3)
    axes = [{"name": name, "type": kind} for name, kind in (("c", "channel"), ("y", "space"), ("x", "space"))]
    levels = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": [1, 2**k, 2**k]}]} for k in (0, 1)
    ]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels, "name": "floor"}]}
    for k in (0, 1):
        group.create_array(str(k), data=picture[:: 2**k, :: 2**k].transpose(2, 0, 1).copy(), chunks=(3, 64, 64))
    with segment(folder / "floor.png", params=PARAMS, exclude=box(0, 0, 30, 30)) as record:
        ids = np.unique(record.read_labels(Box(40, 40, 120, 160)))[1:4].tolist()
    with open_record(folder / "floor.mosaic.zarr", writable=True) as record:
        for id_ in ids:
            editing.delete(record, [id_])


def attempt(kind: str, seed: int, base: Path, folder: Path) -> str:
    """Break a copy and use it: what is wrong with how that ended, nothing where it was right."""
    chosen, rng = KINDS[kind], random.Random(f"{kind} {seed}")
    shutil.copytree(base, folder)
    victim = rng.choice(sorted(path for path in folder.glob(chosen.victim) if path.is_file()))
    victim.write_bytes(chosen.mutate(victim.read_bytes(), rng))
    try:
        with warnings.catch_warnings(), _no_longer_than(LONGEST_S):
            warnings.simplefilter("ignore")
            chosen.use(victim)
    except MosaicError as error:
        text = str(error)
        return "" if text and "\n" not in text and len(text) < 700 else f"no sentence: {text!r}"
    except BaseException:  # noqa: BLE001 - whatever it is, it is the fault that is looked for
        return traceback.format_exc()
    finally:
        shutil.rmtree(folder)
    return ""


@contextmanager
def _no_longer_than(seconds: int) -> Iterator[None]:
    """Stop what hangs, where the system has alarms."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not over after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main(count: int, first: int = 0, only: str = "") -> None:
    """Try `count` broken files and print what went wrong."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / "base"
        base.mkdir()
        make_base(base)
        kinds = [kind for kind in KINDS if only in kind]
        for number in range(count):
            kind, seed = kinds[number % len(kinds)], first + number // len(kinds)
            wrong = attempt(kind, seed, base, Path(name) / "try")
            if wrong:
                sys.stdout.write(f"=== {kind} {seed}\n{wrong}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), *(int(one) for one in sys.argv[2:3]), *sys.argv[3:4])
