"""IIIF: Image API (info.json, levels 0 to 2, versions 1 to 3) and Presentation manifests (versions 2 and 3).

One decision: tiles are asked for on the grid that the server announces, so a static server of level 0 and a
caching one of level 2 are served alike; a server that sends less than asked is asked for smaller pieces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urldefrag

import numpy as np
from numpy.typing import NDArray

from napari_mosaic.errors import InputError, MissingError, ReadError
from napari_mosaic.fingerprints import fingerprint_bytes
from napari_mosaic.http import DeclinedError, Fetcher, is_url
from napari_mosaic.image.colour import Colour
from napari_mosaic.image.pyramid import COARSEST
from napari_mosaic.image.raster import BlockCache, Context, Level, Raster, SourceInfo
from napari_mosaic.image.tiles import fetch_tile, fit_tile, tiled_level, wrong_size
from napari_mosaic.progress import Steps
from napari_mosaic.tiling import Box

_DECODED = ("jpg", "png", "webp", "tif", "gif", "jp2")

SMALLEST = 64
"""Side in pixels below which a server that sends too little is not asked for still smaller pieces."""


@dataclass(frozen=True, kw_only=True)
class ImageService:
    """What an info.json says."""

    base: str
    version: int
    height: int
    width: int
    tile: tuple[int, int]
    factors: tuple[int, ...]
    regions: bool
    ways: list[tuple[str, str]]
    """Bases and formats that tiles may be had by, what has worked first."""
    largest: str = ""


def open_iiif(source: str | Path, context: Context) -> Steps[Raster]:
    """Open an info.json or a manifest, local or at an address; `#canvas=2` picks the second canvas."""
    yield from ()
    location, fragment = urldefrag(str(source))
    fetcher = context.fetcher
    document = fetch_json(fetcher, location)
    name, manifest = "", {}
    if is_manifest(document):
        canvas = int(parse_qs(fragment).get("canvas", ["1"])[0])
        name, manifest = _text(document.get("label")), document
        address, is_service = canvas_picture(document, canvas, location)
        if not is_service:
            raster = yield from context.open_source(address, context)
            known = replace(raster.source, location=str(source), rights=rights_statement(manifest))
            return replace(raster, name=name or raster.name, source=known)
        location = f"{address}/info.json"
        document = fetch_json(fetcher, location)
    service = parse_service(document, location)
    text = json.dumps(document, sort_keys=True)
    named = "id" in document or "@id" in document
    tag = fingerprint_bytes(text) if named else fingerprint_bytes(text, service.base)
    return Raster(
        name=name or service.base.rstrip("/").rsplit("/", 1)[-1],
        levels=_levels(service, tag, fetcher),
        colour=Colour(),
        source=SourceInfo(
            kind="IIIF",
            location=str(source),
            size_bytes=0,
            fingerprint=tag,
            earlier="" if named else fingerprint_bytes(text),
            rights=rights_statement(manifest, document),
        ),
    )


def fetch_json(fetcher: Fetcher, location: str) -> dict[str, Any]:
    """A JSON object from an address or a file."""

    def parse(data: bytes) -> dict[str, Any]:
        try:
            document = json.loads(data)
        except ValueError as error:
            raise _no_iiif(location, "it is not JSON") from error
        if not isinstance(document, dict):
            raise _no_iiif(location, "it is no JSON object")
        return document

    return parse(fetcher.get(location, fresh=True, check=parse))


def _no_iiif(location: str, why: str) -> ReadError:
    return ReadError(
        f"{location} is no IIIF description ({why}), so there is no picture to find; "
        "give the address of an info.json or of a manifest."
    )


def is_manifest(document: dict[str, Any]) -> bool:
    """Whether a document is a Presentation manifest rather than an image description."""
    kind = str(document.get("type", document.get("@type", "")))
    return kind.endswith("Manifest") or "sequences" in document or ("items" in document and "width" not in document)


def canvas_picture(document: dict[str, Any], number: int, location: str) -> tuple[str, bool]:
    """What a canvas shows, counted from 1, in a manifest of version 2 or 3.

    An address, and whether it is that of an image service or, where there is none, of the picture itself.
    """
    found = list(_pictures(document))
    if not found:
        raise _no_iiif(location, "the manifest names no image service and no picture")
    if not 1 <= number <= len(found):
        raise InputError(
            f"{location} has {len(found)} pictures, so there is no number {number}; "
            f"choose one by ending the address in #canvas=1 to #canvas={len(found)}."
        )
    return found[number - 1]


def _pictures(document: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    for canvas in _items(document.get("sequences"), 0).get("canvases") or document.get("items") or []:
        body = _items(canvas.get("images"), 0).get("resource")
        if body is None:
            body = _items(_items(canvas.get("items"), 0).get("items"), 0).get("body")
        body = _items(body, 0)
        if "items" in body:  # a choice between pictures: the first is the default
            body = _items(body["items"], 0)
        services = body.get("service") or []
        kept = [one for one in (services if isinstance(services, list) else [services]) if _shows(one)]
        address = _address(kept[0] if kept else body)
        if address:
            yield address.rstrip("/"), bool(kept)


def _shows(service: Any) -> bool:
    """Whether a service of a picture gives its pixels: beside it there may be those to log in or to search."""
    words = " ".join(str(service.get(key, "")) for key in ("type", "@type", "profile", "@context")).lower()
    return bool(_address(service)) and ("image" in words or not re.search("search|auth|probe|text|content", words))


def _address(document: dict[str, Any]) -> str:
    return str(document.get("id") or document.get("@id") or "")


def _items(value: Any, index: int) -> dict[str, Any]:
    """An object, or an element of a list of objects; empty where there is none."""
    if isinstance(value, list):
        value = value[index] if len(value) > index else None
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Plain text of a IIIF string, list or language map."""
    if isinstance(value, dict):
        value = value.get("en") or value.get("none") or value.get("@value") or next(iter(value.values()), "")
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    return str(value) if value else ""


def rights_statement(*documents: dict[str, Any]) -> str:
    """Licence, attribution and required statement of all documents in one line, each once."""
    parts: list[Any] = []
    for document in documents:
        parts += [document.get(key) for key in ("rights", "license", "attribution")]
        parts.append(_items(document.get("requiredStatement"), 0).get("value"))
    return " · ".join(dict.fromkeys(text for text in map(_text, parts) if text))


def parse_service(document: dict[str, Any], location: str) -> ImageService:
    """Read an info.json of version 1, 2 or 3."""
    try:
        height, width = int(document["height"]), int(document["width"])
    except (KeyError, TypeError, ValueError) as error:
        raise _no_iiif(location, "it states no width and height") from error
    context = json.dumps(document.get("@context", ""))
    version = 3 if "/3/" in context else 1 if "/1/" in context or "library.stanford" in context else 2
    regions = "level0" not in json.dumps(document.get("profile", ""))
    tiles = _items(document.get("tiles"), 0)
    side = int(tiles.get("width", document.get("tile_width", 512)))
    tile = int(tiles.get("height", document.get("tile_height", side))), side
    factors = tiles.get("scaleFactors") or document.get("scale_factors") or []
    if not factors or regions:
        factors = [1 << k for k in range(16) if k == 0 or max(height, width) >> (k - 1) > COARSEST]
    if not tiles and "tile_width" not in document and not regions:
        tile, factors = (height, width), [1]
    base = location.rsplit("/info.json", 1)[0]
    named = _address(document).rstrip("/")
    bases = [base, named] if is_url(named) and named != base else [base]
    return ImageService(
        base=base,
        version=version,
        height=height,
        width=width,
        tile=_within_limits(tile, document),
        factors=tuple(sorted({int(factor) for factor in factors} | {1})),
        regions=regions,
        largest="" if regions or tiles else _largest(document),
        ways=[(one, kind) for one in bases for kind in _formats(document)],
    )


def _largest(document: dict[str, Any]) -> str:
    sizes = [one for one in document.get("sizes") or [] if isinstance(one, dict)]
    found = max(sizes, key=lambda one: int(one.get("width", 0)), default={})
    return f"{found.get('width')} x {found.get('height')}" if found else ""


def _formats(document: dict[str, Any]) -> list[str]:
    """What tiles may be asked for as: JPEG, which nearly all servers have, then what this one names."""
    limits = {**_items(document.get("profile"), 1), **document}
    named = [one for key in ("preferredFormats", "formats", "extraFormats") for one in limits.get(key) or []]
    return list(dict.fromkeys(["jpg", *(one for one in named if one in _DECODED)]))


def _within_limits(tile: tuple[int, int], document: dict[str, Any]) -> tuple[int, int]:
    """A tile that the server's announced limits allow."""
    limits = {**_items(document.get("profile"), 1), **document}
    widest = int(limits.get("maxWidth") or tile[1])
    highest = int(limits.get("maxHeight") or limits.get("maxWidth") or tile[0])
    height, width = min(tile[0], highest), min(tile[1], widest)
    area = int(limits.get("maxArea") or height * width)
    while height * width > area and min(height, width) > SMALLEST:
        height, width = height // 2, width // 2
    return height, width


def _levels(service: ImageService, tag: str, fetcher: Fetcher) -> tuple[Level, ...]:
    cache = BlockCache()
    levels: list[Level] = []
    for factor in service.factors:
        shape = -(-service.height // factor), -(-service.width // factor)
        load = _Loader(service, factor, shape, tag, fetcher)
        levels.append(tiled_level(shape, service.tile, load, fetcher, cache))
        if max(shape) <= COARSEST:
            break
    return tuple(levels)


@dataclass(frozen=True)
class _Loader:
    """Loads the tile at (row, column) of one level."""

    service: ImageService
    factor: int
    shape: tuple[int, int]
    tag: str
    fetcher: Fetcher

    def __call__(self, row: int, column: int) -> NDArray[Any]:
        height, width = self.service.tile
        place = Box(row * height, column * width, (row + 1) * height, (column + 1) * width)
        return self._load(place.clip(self.shape))

    def _load(self, place: Box) -> NDArray[Any]:
        """A box of the level; in quarters where the server sends less than asked."""
        location, raw = self._fetch(place)
        tile = fit_tile(raw, place.shape)
        if tile is not None:
            return tile
        smaller = raw.shape[0] <= place.shape[0] and raw.shape[1] <= place.shape[1]
        if not smaller or not self.service.regions or min(place.shape) < 2 * SMALLEST:
            raise wrong_size(location, raw.shape, place.shape)
        middle = (place.y0 + place.y1) // 2, (place.x0 + place.x1) // 2
        rows = [
            [self._load(Box(y0, x0, y1, x1)) for x0, x1 in ((place.x0, middle[1]), (middle[1], place.x1))]
            for y0, y1 in ((place.y0, middle[0]), (middle[0], place.y1))
        ]
        return np.vstack([np.hstack(row) for row in rows])

    def _fetch(self, place: Box) -> tuple[str, NDArray[Any]]:
        """Ask in one form and way after the other until one has the tile in its size: static servers know only one."""
        ways, best, failed = self.service.ways, None, None
        for way, form in product(list(ways), self.forms(place)):
            location = f"{way[0]}/{form}.{way[1]}"
            try:
                raw = fetch_tile(self.fetcher, location, self.tag)[..., :3]
            except (MissingError, DeclinedError) as error:
                failed = failed or error
                continue
            best = best or (location, raw)
            if fit_tile(raw, place.shape) is not None:
                if way != ways[0]:
                    ways[:] = [way, *(one for one in ways if one != way)]  # in one step: others read it meanwhile
                return location, raw
        if best is None:
            assert failed is not None
            if not self.service.largest:
                raise failed
            raise MissingError(
                f"{self.service.base} gives no tiles, and names {self.service.largest} px as its largest size; "
                f"open {self.service.base}/full/{self.service.largest.split()[0]},/0/default.jpg, or ask its owner."
            ) from failed
        return best

    def forms(self, place: Box) -> list[str]:
        """What a server may call a box of the level, without its base and format."""
        service, step = self.service, self.factor
        region = Box(place.y0 * step, place.x0 * step, place.y1 * step, place.x1 * step).clip(
            (service.height, service.width)
        )
        part = f"{region.x0},{region.y0},{region.shape[1]},{region.shape[0]}"
        height, width = place.shape
        sizes = [f"{width},", f"{width},{height}"]
        even = region.shape == (height * step, width * step)  # else a width alone may come with another height
        if service.version == 3 or (service.regions and not even):
            sizes.reverse()
        forms = [(part, size) for size in sizes]
        if region.shape == (service.height, service.width):
            whole = ["max", "full"] if service.version == 3 else ["full", "max"]
            sizes = whole + sizes if step == 1 else sizes
            forms = [("full", size) for size in sizes] + forms
        quality = "native" if service.version == 1 else "default"
        return [f"{area}/{size}/0/{quality}" for area, size in forms]
