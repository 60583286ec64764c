"""Deep Zoom, IIIF, OME-Zarr and pictures over HTTP, and how servers misbehave."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

import napari_mosaic.http as http_module
from napari_mosaic.errors import MissingError, ReadError
from napari_mosaic.http import Patience
from napari_mosaic.image import open_image
from napari_mosaic.tiling import Box

Y, X = np.mgrid[:1300, :1700]
PICTURE = np.stack([X % 256, Y % 256, (X // 7 + Y // 5) % 256], -1).astype(np.uint8)
Answer = tuple[int, dict[str, str], bytes]


class Site:
    """A local server whose answers are a function of the path."""

    def __init__(self) -> None:
        self.answer: Callable[[str], Answer] = lambda path: (404, {}, b"")
        self.asked: list[str] = []
        self.login = ""
        self.sent = 0
        self.busiest = 0
        self._busy = 0
        self._lock = threading.Lock()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with site._lock:
                    site.asked.append(unquote(self.path))
                    site.login = self.headers.get("Authorization", "")
                    site._busy += 1
                    site.busiest = max(site.busiest, site._busy)
                status, headers, body = site.answer(unquote(self.path))
                if self.headers.get("If-None-Match", "") == headers.get("ETag", "-"):
                    status, body = 304, b""
                with site._lock:
                    site.sent += len(body)
                part = self.headers.get("Range")
                if part and status == 200:
                    headers = {**headers, "Content-Range": f"bytes 0-0/{len(body)}"}
                    status, body = 206, http_module._cut(body, part.removeprefix("bytes="))
                with site._lock:
                    site._busy -= 1
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.send_response(status)
                    for name, value in {**headers, "Content-Length": str(len(body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Site]:
        """One more of them."""
        opened = cls()
        yield opened
        opened.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    monkeypatch.setattr(http_module, "PATIENCE", Patience(timeout=30, attempts=2, longest_wait=0.02, total_wait=0.1))
    monkeypatch.setenv("NAPARI_MOSAIC_CACHE", str(tmp_path / "cache"))
    opened = Site()
    yield opened
    opened.close()


def png(data: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(data)).save(buffer, kind)
    return buffer.getvalue()


# ---------------------------------------------------------------- Deep Zoom


def deepzoom(data: np.ndarray, size: int = 254, overlap: int = 1) -> dict[str, bytes]:
    """Files of a Deep Zoom picture."""
    height, width = data.shape[:2]
    files = {
        "floor.dzi": (
            f'<?xml version="1.0"?><Image xmlns="http://schemas.microsoft.com/deepzoom/2008" '
            f'TileSize="{size}" Overlap="{overlap}" '
            f'Format="png"><Size Width="{width}" Height="{height}"/></Image>'
        ).encode()
    }
    top = (max(height, width) - 1).bit_length()
    for level in (top, top - 1):
        step = 1 << (top - level)
        part = data[::step, ::step]
        for row in range(-(-part.shape[0] // size)):
            for column in range(-(-part.shape[1] // size)):
                y0, x0 = max(0, row * size - overlap), max(0, column * size - overlap)
                tile = part[y0 : (row + 1) * size + overlap, x0 : (column + 1) * size + overlap]
                files[f"floor_files/{level}/{column}_{row}.png"] = png(tile)
    return files


FILES = deepzoom(PICTURE)


def serve(files: dict[str, bytes]) -> Callable[[str], Answer]:
    return lambda path: (200, {}, files[path[1:]]) if path[1:] in files else (404, {}, b"")


def test_deepzoom_over_http_is_read_by_tile_and_kept(site: Site) -> None:
    site.answer = serve(FILES)
    box = Box(200, 500, 300, 530)
    with open_image(f"{site.url}/floor.dzi") as image:
        assert (image.name, image.source.kind) == ("floor", "Deep Zoom")
        assert image.level_shapes == ((1300, 1700), (650, 850))
        assert site.asked == ["/floor.dzi", "/floor_files/10/1_1.png"]  # the tile says which picture it is
        np.testing.assert_array_equal(image.read(box), PICTURE[box.slices])
        np.testing.assert_array_equal(image.read(Box(0, 0, 650, 850), 1), PICTURE[::2, ::2])
    assert site.busiest <= http_module.PATIENCE.connections
    site.asked.clear()
    with open_image(f"{site.url}/floor.dzi") as image:
        np.testing.assert_array_equal(image.read(box), PICTURE[box.slices])
    assert site.asked == ["/floor.dzi", "/floor_files/10/1_1.png"]  # asked again: it may be another picture now


def test_what_was_seen_can_be_read_without_the_server(site: Site) -> None:
    site.answer = serve(FILES)
    with open_image(f"{site.url}/floor.dzi") as image:
        image.read(Box(0, 0, 100, 100))
    site.answer = lambda path: (500, {}, b"")
    with open_image(f"{site.url}/floor.dzi") as image:
        np.testing.assert_array_equal(image.read(Box(0, 0, 100, 100)), PICTURE[:100, :100])
        with pytest.raises(ReadError, match="500"):
            image.read(Box(1000, 1000, 1010, 1010))


def test_local_deepzoom(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with open_image(tmp_path / "floor.dzi") as image:
        np.testing.assert_array_equal(image.read(Box(0, 0, 1300, 1700)), PICTURE)
        (tmp_path / "floor_files/10/0_0.png").unlink()
        with pytest.raises(MissingError, match="hole"):
            image.read(Box(0, 0, 9, 9), 1)


def test_tile_of_a_wrong_size_is_never_stretched(site: Site) -> None:
    files = {**FILES, "floor_files/11/0_0.png": png(PICTURE[:100, :100])}
    site.answer = serve(files)
    with open_image(f"{site.url}/floor.dzi") as image, pytest.raises(ReadError, match="100 x 100 px"):
        image.read(Box(0, 0, 9, 9))


def test_garbage_tiles_are_an_error_and_are_not_kept(site: Site) -> None:
    site.answer = serve({**FILES, "floor_files/11/0_0.png": b"<html>busy</html>"})
    with open_image(f"{site.url}/floor.dzi") as image:
        with pytest.raises(ReadError, match="cannot be decoded"):
            image.read(Box(0, 0, 9, 9))
        site.answer = serve(FILES)
        np.testing.assert_array_equal(image.read(Box(0, 0, 9, 9)), PICTURE[:9, :9])


# ---------------------------------------------------------------- IIIF


def iiif(version: int = 2, level: int = 2, limit: int = 10_000, **more: Any) -> Callable[[str], Answer]:
    """An image server for PICTURE at /floor; tiles of more than `limit` px come back smaller."""
    profile: Any = f"http://iiif.io/api/image/2/level{level}.json" if version == 2 else f"level{level}"
    info = {
        "@context": f"http://iiif.io/api/image/{version}/context.json",
        "width": 1700,
        "height": 1300,
        "profile": [profile] if version == 2 else profile,
        **more,
    }

    def answer(path: str) -> Answer:
        if path == "/floor/info.json":
            return 200, {}, json.dumps(info).encode()
        if not path.startswith("/floor/"):
            return 404, {}, b""
        region, size, _, _ = path.removeprefix("/floor/").split("/")
        x, y, width, height = (0, 0, 1700, 1300) if region == "full" else map(int, region.split(","))
        if level == 0 and (region == "full" or x % 512 or y % 512):
            return 404, {}, b""
        if version == 2 and size in ("max",):
            return 400, {}, b""
        wide = width if size in ("full", "max") else int(size.split(",")[0])
        step = round(width / wide)
        tile = PICTURE[y : y + height : step, x : x + width : step][:limit, :limit]
        return 200, {}, png(tile)

    return answer


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_iiif_image_api(site: Site, version: int, level: int) -> None:
    site.answer = iiif(version, level, tiles=[{"width": 512, "scaleFactors": [1, 2, 4]}])
    with open_image(f"{site.url}/floor/info.json") as image:
        assert image.level_shapes == ((1300, 1700), (650, 850))
        box = Box(450, 900, 700, 1300)
        np.testing.assert_array_equal(image.read(box), PICTURE[box.slices])
        np.testing.assert_array_equal(image.read(Box(0, 0, 650, 850), 1), PICTURE[::2, ::2])


def test_iiif_server_that_sends_less_is_asked_for_smaller_pieces(site: Site) -> None:
    site.answer = iiif(limit=200)
    with open_image(f"{site.url}/floor/info.json") as image:
        np.testing.assert_array_equal(image.read(Box(100, 100, 500, 500)), PICTURE[100:500, 100:500])


def test_iiif_server_that_sends_far_too_little(site: Site) -> None:
    site.answer = iiif(limit=20)
    with open_image(f"{site.url}/floor/info.json") as image, pytest.raises(ReadError, match="were asked for"):
        image.read(Box(0, 0, 50, 50))


def test_iiif_limits_are_kept(site: Site) -> None:
    site.answer = iiif(3, 2, limit=300, maxWidth=300, tiles=[{"width": 1024, "scaleFactors": [1]}])
    with open_image(f"{site.url}/floor/info.json") as image:
        image.read(Box(0, 0, 100, 100))
    assert site.asked[1:] == ["/floor/0,0,300,300/300,300/0/default.jpg"]


def test_iiif_base_address(site: Site) -> None:
    site.answer = iiif()
    with open_image(f"{site.url}/floor") as image:
        assert image.shape == (1300, 1700)


def manifest(url: str, version: int) -> dict[str, Any]:
    if version == 2:
        resource = {"service": {"@id": f"{url}/floor"}}
        canvas = {"images": [{"resource": resource}]}
        return {
            "@type": "sc:Manifest",
            "label": "A floor",
            "license": "https://example.org/by",
            "attribution": "The Museum",
            "sequences": [{"canvases": [canvas]}],
        }
    body = {"type": "Image", "service": [{"id": f"{url}/floor", "type": "ImageService3"}]}
    return {
        "type": "Manifest",
        "label": {"en": ["A floor"]},
        "rights": "https://example.org/by",
        "requiredStatement": {"label": {"en": ["By"]}, "value": {"en": ["The Museum"]}},
        "items": [{"type": "Canvas", "items": [{"items": [{"body": body}]}]}],
    }


@pytest.mark.parametrize("version", [2, 3])
def test_iiif_manifests_and_rights(site: Site, version: int) -> None:
    images = iiif(version, rights="https://example.org/by")
    text = json.dumps(manifest(site.url, version)).encode()
    site.answer = lambda path: (200, {}, text) if path == "/manifest" else images(path)
    with open_image(f"{site.url}/manifest") as image:
        assert image.name == "A floor"
        assert image.source.rights == "https://example.org/by · The Museum"
        np.testing.assert_array_equal(image.read(Box(0, 0, 9, 9)), PICTURE[:9, :9])
    with pytest.raises(ValueError, match="no number 7"):
        open_image(f"{site.url}/manifest#canvas=7")


@pytest.mark.parametrize("text", [b"[1]", b"{", b"{}", b'{"type": "Manifest"}', b"\0\1garbage"])
def test_json_that_is_no_iiif(site: Site, text: bytes) -> None:
    site.answer = lambda path: (200, {}, text)
    with pytest.raises(ReadError, match="no IIIF description"):
        open_image(f"{site.url}/info.json")


def keeping_proportions(version: int) -> Callable[[str], Answer]:
    """A server that makes of "w," what keeps the region's proportions, as most do, for a picture of 2051 x 1801 px."""
    picture = np.tile(PICTURE, (2, 2, 1))[:1801, :2051]
    info: dict[str, Any] = {
        "@context": f"http://iiif.io/api/image/{version}/context.json",
        "width": 2051,
        "height": 1801,
        "profile": "http://iiif.io/api/image/2/level2.json",
        "tiles": [{"width": 512, "scaleFactors": [1, 2]}],
    }

    def answer(path: str) -> Answer:
        if path == "/floor/info.json":
            return 200, {}, json.dumps(info).encode()
        region, size, _, _ = path.removeprefix("/floor/").split("/")
        x, y, width, height = (0, 0, 2051, 1801) if region == "full" else map(int, region.split(","))
        wide, high = size.split(",")
        shape = int(wide), int(high or round(height * int(wide) / width))
        return 200, {}, png(np.asarray(Image.fromarray(picture[y : y + height, x : x + width]).resize(shape)))

    return answer


@pytest.mark.parametrize("version", [2, 3])
def test_iiif_strips_at_the_border_come_in_the_height_that_was_asked_for(site: Site, version: int) -> None:
    site.answer = keeping_proportions(version)
    with open_image(f"{site.url}/floor/info.json") as image:
        assert image.read(Box(0, 1000, 901, 1026), 1).shape == (901, 26, 3)


@pytest.mark.parametrize("named", [{"formats": ["png"]}, {"preferredFormats": ["png"]}])
@pytest.mark.parametrize("status", [404, 400, 415])
def test_iiif_formats_that_the_server_names(site: Site, named: dict[str, Any], status: int) -> None:
    served = iiif(2, 2, tiles=[{"width": 512, "scaleFactors": [1]}], **named)
    site.answer = lambda path: served(path) if path.endswith((".png", ".json")) else (status, {}, b"")
    with open_image(f"{site.url}/floor/info.json") as image:
        np.testing.assert_array_equal(image.read(Box(0, 0, 600, 600)), PICTURE[:600, :600])
    refused = [path for path in site.asked if path.endswith(".jpg")]
    assert len(refused) <= 2 * http_module.PATIENCE.connections  # what worked once is asked for first


def test_iiif_service_that_has_moved(site: Site) -> None:
    text = json.dumps({**json.loads(iiif()("/floor/info.json")[2]), "@id": f"{site.url}/floor"}).encode()
    served = iiif()
    site.answer = lambda path: (200, {}, text) if path == "/old/info.json" else served(path)
    with open_image(f"{site.url}/old/info.json") as image:
        np.testing.assert_array_equal(image.read(Box(0, 0, 90, 90)), PICTURE[:90, :90])


def test_iiif_manifest_whose_first_service_is_none_of_pictures(site: Site) -> None:
    document = manifest(site.url, 3)
    body = document["items"][0]["items"][0]["items"][0]["body"]
    search = {"@id": f"{site.url}/search", "profile": "http://iiif.io/api/search/1/search"}
    body["service"] = [search, *body["service"]]
    images = iiif(3)
    site.answer = lambda path: (200, {}, json.dumps(document).encode()) if path == "/manifest" else images(path)
    with open_image(f"{site.url}/manifest") as image:
        np.testing.assert_array_equal(image.read(Box(0, 0, 9, 9)), PICTURE[:9, :9])


def test_iiif_manifest_of_a_plain_picture(site: Site) -> None:
    document = manifest(site.url, 3)
    document["items"][0]["items"][0]["items"][0]["body"] = {"id": f"{site.url}/a.png", "type": "Image"}
    site.answer = serve({"manifest": json.dumps(document).encode(), "a.png": png(PICTURE)})
    with open_image(f"{site.url}/manifest") as image:
        assert (image.name, image.source.location) == ("A floor", f"{site.url}/manifest")
        assert image.source.rights.endswith("The Museum")
        np.testing.assert_array_equal(image.read(Box(0, 0, 9, 9)), PICTURE[:9, :9])


def test_a_page_to_log_in_is_no_damage(site: Site) -> None:
    info = iiif()("/floor/info.json")
    site.answer = lambda path: info if path.endswith(".json") else (200, {}, b"<!DOCTYPE html><html>Log in</html>")
    with open_image(f"{site.url}/floor/info.json") as image, pytest.raises(ReadError, match="perhaps to log in"):
        image.read(Box(0, 0, 9, 9))


# ---------------------------------------------------------------- passwords, places and masks


def test_a_password_is_used_and_never_kept(site: Site, tmp_path: Path) -> None:
    served = serve({"a.png": png(PICTURE), "b.png": png(PICTURE)})
    login = "Basic " + base64.b64encode(b"curator:s3 cret").decode()
    site.answer = lambda path: served(path) if site.login == login else (401, {}, b"")
    address = f"{site.url}/a.png".replace("//", "//curator:s3%20cret@")
    with open_image(address) as image:
        np.testing.assert_array_equal(image.read(Box(0, 0, 9, 9)), PICTURE[:9, :9])
        assert image.source.location == f"{site.url}/a.png"
        assert "s3" not in repr(image) + repr(image.source)
        with pickle.loads(pickle.dumps(image)) as copy:
            assert copy.shape == image.shape
    kept = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert kept
    assert not any(b"s3 cret" in file.read_bytes() or b"s3%20" in file.read_bytes() for file in kept)
    with pytest.raises(ReadError, match=r"NAME:PASSWORD") as refused:
        open_image(address.replace("s3%20cret", "other").replace("a.png", "b.png"))
    assert "other" not in str(refused.value)


def test_a_password_goes_to_its_own_server_alone(site: Site) -> None:
    with Site.running() as other:
        document = manifest(other.url, 2)
        images = iiif()
        other.answer = images
        site.answer = lambda path: (200, {}, json.dumps(document).encode())
        with open_image(f"{site.url}/manifest".replace("//", "//curator:s3cret@")) as image:
            image.read(Box(0, 0, 9, 9))
        assert site.login
        assert not other.login


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("named_by", [".prj", ".aux.xml"])
def test_places_beside_a_picture_at_an_address(site: Site, tmp_path: Path, name: str, named_by: str) -> None:
    import pyproj

    Image.fromarray(PICTURE).save(tmp_path / name)
    known = pyproj.CRS.from_epsg(32633)
    escaped = known.to_wkt("WKT1_GDAL").replace('"', "&quot;")
    world = "0.002 0 0 -0.002 500000.001 4999999.999"
    files = {name: (tmp_path / name).read_bytes(), f"a.{'pgw' if name == 'a.png' else 'tfw'}": world.encode()}
    if named_by == ".prj":
        files["a.prj"] = known.to_wkt("WKT1_ESRI").encode()
    else:
        files[f"{name}.aux.xml"] = f"<PAMDataset><SRS>{escaped}</SRS></PAMDataset>".encode()
    site.answer = serve(files)
    with open_image(f"{site.url}/{name}") as image:
        assert image.crs == "EPSG:32633"
        assert image.affine == pytest.approx((0.002, 0, 500000, 0, -0.002, 5000000))
        np.testing.assert_array_equal(image.read(Box(0, 0, 90, 90)), PICTURE[:90, :90])


def test_a_geotiff_at_an_address_has_any_system_and_its_mask(site: Site, tmp_path: Path) -> None:
    import rasterio

    crs = "+proj=tmerc +lat_0=40 +lon_0=14.9 +k=1 +x_0=500000 +y_0=0 +ellps=GRS80 +units=m"
    place = rasterio.Affine(0.0017, 0.001, 500000, 0.001, -0.0017, 4649776)
    profile = {"driver": "GTiff", "height": 200, "width": 300, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    hole = np.zeros((200, 300), np.uint8)
    hole[50:] = 255
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(tmp_path / "a.tif", "w", crs=crs, transform=place, **profile) as dataset,
    ):
        dataset.write(PICTURE[:200, :300].transpose(2, 0, 1))
        dataset.write_mask(hole)
    site.answer = serve({"a.tif": (tmp_path / "a.tif").read_bytes()})
    with open_image(f"{site.url}/a.tif") as image, open_image(tmp_path / "a.tif") as local:
        assert image.crs == local.crs is not None
        assert image.affine == local.affine == pytest.approx(tuple(place)[:6])
        assert image.pixel_size == local.pixel_size
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 200, 300)), hole > 0)
        np.testing.assert_array_equal(image.read(Box(0, 0, 200, 300)), PICTURE[:200, :300])


def test_clear_parts_of_deepzoom_tiles_are_outside(site: Site) -> None:
    clear = np.concatenate([PICTURE, np.full((1300, 1700, 1), 255, np.uint8)], -1)
    clear[300:700, 200:900, 3] = 0
    site.answer = serve(deepzoom(clear))
    with open_image(f"{site.url}/floor.dzi") as image:
        np.testing.assert_array_equal(image.read_valid(Box(0, 0, 1300, 1700)), clear[..., 3] > 0)
        np.testing.assert_array_equal(image.read(Box(0, 0, 1300, 1700)), PICTURE)


# ---------------------------------------------------------------- others


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_ome_zarr_over_http(site: Site, tmp_path: Path, zarr_format: Any) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=zarr_format)
    shards = {"shards": (3, 400, 400)} if zarr_format == 3 else {}
    array = group.create_array("0", shape=(3, 1300, 1700), dtype=np.uint8, chunks=(3, 100, 100), **shards)
    array[...] = PICTURE.transpose(2, 0, 1)
    multiscale = {
        "axes": [{"name": name} for name in "cyx"],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}],
    }
    group.attrs["multiscales" if zarr_format == 2 else "ome"] = (
        [multiscale] if zarr_format == 2 else {"version": "0.5", "multiscales": [multiscale]}
    )

    def answer(path: str) -> Answer:
        file = tmp_path / path[1:]
        return (200, {}, file.read_bytes()) if file.is_file() else (404, {}, b"")

    site.answer = answer
    with open_image(f"{site.url}/a.zarr") as image:
        site.asked.clear()
        box = Box(450, 900, 500, 1000)
        np.testing.assert_array_equal(image.read(box), PICTURE[box.slices])
        assert len(site.asked) <= 4


@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_picture_over_http(site: Site, name: str) -> None:
    site.answer = serve({name: png(PICTURE[:100, :200], name[2:].upper())})
    with open_image(f"{site.url}/{name}") as image:
        assert image.source.location == f"{site.url}/{name}"
        np.testing.assert_array_equal(image.read(Box(0, 0, 100, 200)), PICTURE[:100, :200])


def with_version(data: bytes) -> Callable[[str], Answer]:
    return lambda _: (200, {"ETag": f'"{hash(data)}"'}, data)


@pytest.mark.parametrize("versions", [True, False])
def test_a_picture_that_was_exchanged_at_its_address_is_fetched_anew(site: Site, versions: bool) -> None:
    marks = []
    for picture in (PICTURE, PICTURE[::-1]):
        content = png(picture)
        site.answer = with_version(content) if versions else lambda _, content=content: (200, {}, content)
        with open_image(f"{site.url}/a.png") as image:
            np.testing.assert_array_equal(image.read(Box(0, 0, 90, 90)), picture[:90, :90])
            marks.append(image.source.fingerprint)
    assert marks[0] != marks[1]
    site.answer = lambda _: (503, {}, b"")
    with open_image(f"{site.url}/a.png") as image:
        assert image.source.fingerprint == marks[1]


def test_a_picture_that_is_still_the_same_is_not_sent_again(site: Site) -> None:
    site.answer = with_version(png(PICTURE))
    for _ in range(2):
        site.sent = 0
        with open_image(f"{site.url}/a.png") as image:
            np.testing.assert_array_equal(image.read(Box(0, 0, 90, 90)), PICTURE[:90, :90])
    assert site.sent == 0


def test_a_kept_version_counts_for_the_content_that_it_came_with_only(site: Site, tmp_path: Path) -> None:
    site.answer = with_version(png(PICTURE))
    open_image(f"{site.url}/a.png").close()
    other = png(PICTURE[::-1])
    for kept in (tmp_path / "cache" / "http").glob("*/*"):
        if not kept.suffix and kept.stat().st_size > 2000:
            kept.write_bytes(other)
    with open_image(f"{site.url}/a.png") as image:
        np.testing.assert_array_equal(image.read(Box(0, 0, 90, 90)), PICTURE[:90, :90])


def test_a_tiff_that_was_painted_over_at_its_address_is_read_anew(site: Site, tmp_path: Path) -> None:
    for value in (40, 200):
        pixels = PICTURE[:600, :700].copy()
        pixels[100:140, 100:140] = value
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
        site.answer = with_version((tmp_path / "a.tif").read_bytes())
        with open_image(f"{site.url}/a.tif") as image:
            assert (image.read(Box(100, 100, 140, 140)) == value).all()


def test_deepzoom_tiles_that_were_exchanged_are_fetched_anew(site: Site) -> None:
    box = Box(200, 500, 300, 530)
    for picture in (PICTURE, np.ascontiguousarray(PICTURE[:, :, ::-1])):
        site.answer = serve(deepzoom(picture))
        with open_image(f"{site.url}/floor.dzi") as image:
            np.testing.assert_array_equal(image.read(box), picture[box.slices])


def test_tiff_over_http_is_read_by_range(site: Site, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2048, 2304, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", noise, photometric="rgb", tile=(256, 256), compression="zstd")
    content = (tmp_path / "a.tif").read_bytes()
    sent = []

    def answer(path: str) -> Answer:
        return (200, {}, content) if path == "/a.tif" else (404, {}, b"")

    site.answer = answer
    cut = http_module._cut
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_module, "_cut", lambda data, part: sent.append(len(cut(data, part))) or cut(data, part))
        with open_image(f"{site.url}/a.tif") as image:
            np.testing.assert_array_equal(image.read(Box(1000, 1000, 1100, 1100)), noise[1000:1100, 1000:1100])
            assert image.source.location == f"{site.url}/a.tif"
    assert sum(sent) < len(content) / 2


# ---------------------------------------------------------------- misbehaviour

ADDRESSES = ["floor.dzi", "info.json", "a.zarr", "floor.png", "floor"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_404(site: Site, address: str) -> None:
    with pytest.raises(MissingError, match="check the address"):
        open_image(f"{site.url}/{address}")


@pytest.mark.parametrize("address", ADDRESSES)
def test_429_for_ever(site: Site, address: str) -> None:
    site.answer = lambda path: (429, {"Retry-After": "30"}, b"")
    with pytest.raises(ReadError, match="asks to wait again and again"):
        open_image(f"{site.url}/{address}")
    assert len(site.asked) > 2


def test_429_for_a_while(site: Site) -> None:
    served = serve(FILES)
    site.answer = lambda path: served(path) if len(site.asked) % 3 == 0 else (429, {"Retry-After": "0"}, b"")
    with open_image(f"{site.url}/floor.dzi") as image:
        np.testing.assert_array_equal(image.read(Box(0, 0, 300, 300)), PICTURE[:300, :300])


@pytest.mark.filterwarnings("ignore:Both zarr.json")  # so the garbage has it
@pytest.mark.parametrize("address", ADDRESSES)
def test_garbage(site: Site, address: str) -> None:
    site.answer = lambda path: (200, {}, b"<html>Welcome</html>")
    with pytest.raises(ReadError, match=r"give the|is no zarr"):
        open_image(f"{site.url}/{address}")


@pytest.mark.parametrize("address", ["floor.dzi", "a.zarr", "floor.png"])
def test_nothing(site: Site, address: str) -> None:
    over = threading.Event()

    def silence(path: str) -> Answer:
        over.wait()
        return 200, {}, b""

    site.answer = silence
    site_patience = Patience(timeout=0.05, attempts=2, longest_wait=0.02, total_wait=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_module, "PATIENCE", site_patience)
        with pytest.raises(ReadError, match="does not answer"):
            open_image(f"{site.url}/{address}")
    over.set()


def test_no_server_and_no_address(site: Site) -> None:
    with pytest.raises(ReadError, match="cannot be reached"):
        open_image("http://127.0.0.1:9/floor.dzi")
    with pytest.raises(ReadError):
        open_image("http://[/floor.dzi")
