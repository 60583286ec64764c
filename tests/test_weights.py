"""Weights: found by name or path, fetched once from a real server, checked, and never half kept."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from napari_mosaic import folders
from napari_mosaic.errors import MissingError, ModelError, ReadError
from napari_mosaic.folders import cache_folder
from napari_mosaic.weights import (
    WeightsEntry,
    find_weights,
    hash_of,
    is_safetensors,
    quantised_sibling,
    read_header,
    read_recipe,
    registry,
)

CONTENT = b"weights " * 100_000


class _Quiet(SimpleHTTPRequestHandler):
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        super().do_GET()

    def log_message(self, *args: object) -> None:  # type: ignore[override]
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(CONTENT)
    _Quiet.requests = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as http:
        thread = Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def _entry(url: str, content: bytes = CONTENT) -> dict[str, WeightsEntry]:
    entry = WeightsEntry(
        name="other", file_name="model.safetensors", licence="MIT", summary="", tessera_px=24.0,
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), sha256=hashlib.sha256(content).hexdigest(), url=url,
    )  # fmt: skip
    return {"other": entry}


def test_the_bundled_weights_are_whole_and_documented() -> None:
    entry = find_weights()
    assert entry.bundled
    assert entry.path is not None
    assert entry.path.is_file()
    recipe, header = read_recipe(), read_header(entry.path)
    assert recipe["sha256"] == entry.sha256 == hashlib.sha256(entry.path.read_bytes()).hexdigest()
    assert {"command", "params", "versions", "steps", "hours"} <= recipe.keys()
    assert header["name"] == entry.name
    assert float(header["tessera_px"]) == entry.tessera_px
    assert set(registry()) == {"grout-lite", "grout-lite-1"}


def test_weights_in_eight_bits_alone_are_known_by_what_they_were_made_from() -> None:
    entry = find_weights("grout-lite-1")
    assert entry.path is not None
    assert quantised_sibling(entry) == entry.path
    assert hash_of(entry) == read_recipe("grout-lite-1")["sha256"]


def test_weights_are_fetched_once_and_found_in_the_cache_afterwards(server: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    entries = _entry(f"{server}/model.safetensors")
    for _ in range(2):
        found = find_weights("other", entries=entries, cache=tmp_path / "cache", on_bytes=lambda *n: seen.append(n))
        assert found.path is not None
        assert found.path.read_bytes() == CONTENT
    assert _Quiet.requests == 1
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_damaged_cache_is_fetched_again(server: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "model.safetensors").write_bytes(CONTENT[:1000])
    found = find_weights("other", entries=_entry(f"{server}/model.safetensors"), cache=cache)
    assert found.path is not None
    assert found.path.read_bytes() == CONTENT


def test_a_wrong_hash_keeps_nothing(server: str, tmp_path: Path) -> None:
    entries = _entry(f"{server}/model.safetensors", content=b"something else")
    with pytest.raises(ModelError, match="SHA-256"):
        find_weights("other", entries=entries, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_address_that_holds_nothing_says_so(server: str, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="404"):
        find_weights("other", entries=_entry(f"{server}/gone"), cache=tmp_path / "cache")


def test_a_server_that_is_not_there_is_a_read_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="connection"):
        find_weights("other", entries=_entry("http://127.0.0.1:9/model"), cache=tmp_path / "cache")


def test_a_file_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"x")
    entry = find_weights(path)
    assert entry.name == "mine"
    assert entry.path == path
    assert entry.sha256 is None


def test_neither_name_nor_file_names_the_choices() -> None:
    with pytest.raises(MissingError, match="grout-lite"):
        find_weights("no-such-model")


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAPARI_MOSAIC_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_a_cache_of_before_goes_on_being_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str) -> None:
    monkeypatch.delenv("NAPARI_MOSAIC_CACHE", raising=False)
    monkeypatch.setattr(folders.sys, "platform", platform)
    monkeypatch.setattr(folders.Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "AppData" / "Local"))
    new = tmp_path / "new" / "napari-mosaic"
    monkeypatch.setattr(folders.platformdirs, "user_cache_path", lambda *_, **__: new)
    places = {"linux": ".cache", "darwin": "Library/Caches", "win32": "AppData/Local"}
    old = tmp_path / places[platform] / "napari-mosaic"
    assert cache_folder() == new
    old.mkdir(parents=True)
    assert cache_folder() == new, "an empty one is none"
    (old / "weights").write_text("gigabytes")
    assert cache_folder() == old
    new.mkdir(parents=True)
    (new / "weights").write_text("more")
    assert cache_folder() == new


@pytest.mark.skipif(sys.platform != "linux", reason="the place is the system's")
def test_nothing_moves_by_asking_platformdirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NAPARI_MOSAIC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "napari-mosaic"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "napari-mosaic"


def test_headers_are_read_without_the_weights(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"name": "n"}}).encode()
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(struct.pack("<Q", len(header)) + header)
    bad.write_bytes(struct.pack("<Q", 50) + b"{broken")
    assert is_safetensors(good)
    assert read_header(good) == {"name": "n"}
    assert not is_safetensors(__file__)
    with pytest.raises(ModelError, match="header"):
        read_header(bad)


def test_finding_weights_needs_no_torch() -> None:
    code = "import sys, napari_mosaic.weights as w; w.find_weights(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
