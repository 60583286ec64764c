"""What Windows, macOS and unusual names ask for, as far as it shows on any system."""

from __future__ import annotations

import ast
import csv
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

import napari_mosaic
from napari_mosaic import files, segment
from napari_mosaic.cli import main
from napari_mosaic.errors import WriteError
from napari_mosaic.export import FORMATS, export_record
from napari_mosaic.folders import local_path
from napari_mosaic.image import open_image
from napari_mosaic.record import open_record
from napari_mosaic.record.opened import HOLDER
from napari_mosaic.request import SegmentParams

SOURCES = Path(napari_mosaic.__file__).parent
METHOD = SegmentParams(method="brightness", scale=1.0, tile_size=128)
FORBIDDEN = set('<>:"\\|?*')


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call in the sources: the place, the last name of what is called, the call."""
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                yield f"{path.relative_to(SOURCES)}:{node.lineno}", name, node


def constants(node: ast.Call) -> list[Any]:
    return [argument.value for argument in node.args if isinstance(argument, ast.Constant)]


def test_text_is_read_and_written_alike_on_every_system() -> None:
    """Without an encoding it is the system's, which has no Greek; without a newline Windows writes two characters."""
    found = []
    for place, name, node in calls():
        given = {keyword.arg for keyword in node.keywords}
        modes = [value for value in constants(node) if isinstance(value, str) and set(value) <= set("rwax+bt")]
        writes = name == "write_text" or (name in ("open", "fdopen") and any(set(m) & set("wax") for m in modes))
        text = name in ("read_text", "write_text") or (name in ("open", "fdopen") and modes and "b" not in modes[0])
        if name == "open" and isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in LIBRARIES:
            continue
        if text and ("encoding" not in given or (writes and "newline" not in given)):
            found.append(place)
    assert not found, found


LIBRARIES = ("rasterio", "Image", "zarr", "os")


def test_processes_are_spawned_and_pictures_are_read_under_any_name() -> None:
    found = []
    for place, name, node in calls():
        given = {keyword.arg for keyword in node.keywords}
        forks = name in ("fork", "forkpty") or (name == "ProcessPoolExecutor" and "mp_context" not in given)
        forks |= name in ("get_context", "set_start_method") and constants(node) != ["spawn"]
        if forks or (name in ("imread", "imwrite") and getattr(getattr(node.func, "value", None), "id", "") == "cv2"):
            found.append(place)
    assert not found, found


@pytest.fixture
def floor(tmp_path: Path, photograph: Callable[..., Any]) -> Path:
    """A photograph with a name of Greek letters, spaces and brackets, deep in folders of such names."""
    folder = tmp_path / "Ψηφιδωτά της Δήλου (1)" / "αίθουσα [β], τοίχος 2 & 3"
    folder.mkdir(parents=True)
    path = folder / "δάπεδο #1 50% à droite.png"
    Image.fromarray(photograph((150, 210), seed=3)).save(path)
    return path


def test_names_of_any_letters_go_all_the_way(floor: Path) -> None:
    with segment(floor, params=METHOD) as record:
        place = record.path
    assert place.parent == floor.parent
    with open_record(place) as record:
        assert record.open_source().shape == (150, 210)
        for name, format_ in FORMATS.items():
            target = floor.with_name(f"εξαγωγή {name} [1]{format_.suffixes[0]}")
            assert export_record(record, name, target) == target
            assert target.exists()
    made = [path.relative_to(floor.parent) for path in floor.parent.rglob("*")]
    assert not [path for path in made if set(path.as_posix()) & FORBIDDEN]
    assert not [path for path in made if any(part != part.rstrip(". ") for part in path.parts)]
    assert not [path for path in made if path.suffix == ".tmp"]


@pytest.mark.parametrize("coded", [True, False])
def test_an_address_of_a_file_names_it_coded_or_plain(floor: Path, coded: bool) -> None:
    with open_image("file://" + (quote(str(floor)) if coded else str(floor))) as image:
        assert image.shape == (150, 210)
    assert local_path("file://localhost" + quote(str(floor))) == floor


def test_a_table_of_photographs_with_such_names(floor: Path) -> None:
    table = floor.with_name("πίνακας.csv")
    table.write_text(f'source\n"{floor.name}"\n', encoding="utf-8", newline="\r\n")
    assert main(["batch", str(table), "--method", "brightness", "--scale", "1"]) == 0
    with floor.with_name("πίνακας.summary.csv").open(encoding="utf-8", newline="") as file:
        assert [Path(row["source"]).name for row in csv.DictReader(file)] == [floor.name]


def test_a_pipe_that_has_no_greek_is_no_reason_to_fail(floor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with segment(floor, params=METHOD) as record:
        place = record.path
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding="cp1252"))
    assert main(["info", str(place)]) == 0
    sys.stdout.flush()
    assert b"\\u03b4\\u03ac" in pipe.getvalue()


def test_what_a_crash_left_in_a_record_goes_when_it_is_next_written(floor: Path) -> None:
    with segment(floor, params=METHOD) as record:
        place = record.path
    (place / HOLDER).write_text("{}")  # who is killed leaves it, too
    left = [place / ".0123456789ab.tmp", place / "ledger" / ".0123456789ab.tmp", place / "mosaic.json.tmp"]
    for path in left:
        path.write_text("half")
    open_record(place).close()
    assert all(path.exists() for path in left), "who only reads leaves everything"
    open_record(place, writable=True).close()
    assert not any(path.exists() for path in left)


def test_a_record_that_windows_could_not_hold_is_refused_before_it_is_begun(
    floor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_WINDOWS", True)
    monkeypatch.setattr(files, "_long_paths", lambda: False)
    deep = floor.parent / ("a" * 100) / ("b" * 60)
    deep.mkdir(parents=True)
    with pytest.raises(WriteError, match="shorter name"):
        segment(floor, deep / "c.mosaic.zarr", params=METHOD)
    assert list(deep.iterdir()) == []


def test_no_path_in_a_record_is_longer_than_what_is_reckoned_with(floor: Path) -> None:
    from napari_mosaic.record import create

    with segment(floor, params=METHOD) as record:
        place = record.path
    longest = max(len(str(path.relative_to(place))) for path in place.rglob("*"))
    partial = len(".") + 32 + len(".partial")  # of zarr's, while it writes
    assert longest + len("/") + 2 * len("1234") + partial <= create._DEEPEST


def test_a_map_in_a_file_is_closed_before_it_gets_its_name(floor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows renames no file that is open or mapped."""
    from napari_mosaic.probability import export_probabilities

    opened: list[str] = []
    really = files.replace

    def look(temporary: Path, path: Path) -> None:
        handles = Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").exists() else []
        maps = Path("/proc/self/maps")
        opened.extend(str(h.readlink()) for h in handles if h.is_symlink() and str(h.readlink()) == str(temporary))
        opened.extend(str(temporary) for _ in [0] if maps.exists() and str(temporary) in maps.read_text())
        really(temporary, path)

    with segment(floor, params=METHOD) as record:
        monkeypatch.setattr(files, "replace", look)
        values = export_probabilities(record, floor.with_name("χάρτης.npy"))
    assert opened == []
    assert np.load(values).dtype == np.float32
