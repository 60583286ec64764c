"""Files appear whole or not at all, and wait for those who read the old one."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

import napari_mosaic
from napari_mosaic import files
from napari_mosaic.errors import WriteError

SOURCES = Path(napari_mosaic.__file__).parent


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "ψηφιδωτό 1.json"
    files.write_whole(path, "one", sync=sync)
    files.write_whole(path, b"two", sync=sync)
    assert path.read_text() == "two"
    assert os.listdir(tmp_path) == [path.name]


def test_what_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write_half() -> None:
        with files.whole_file(path, sync=True) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("sync", [True, False])
def test_only_what_cannot_be_made_again_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: bool) -> None:
    calls: list[str] = []
    for name in ("sync_file", "sync_folder"):
        monkeypatch.setattr(files, name, lambda _path, name=name: calls.append(name))
    monkeypatch.setattr(files, "replace", lambda *_: calls.append("replace"))
    files.write_whole(tmp_path / "a", "content", sync=sync)
    assert calls == (["sync_file", "replace", "sync_folder"] if sync else ["replace"])


@pytest.mark.parametrize(("refusals", "windows", "written"), [(3, True, True), (99, True, False), (1, False, False)])
def test_windows_lets_a_reader_finish_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, windows: bool, written: bool
) -> None:
    path, left, really = tmp_path / "a", [refusals], os.replace
    path.write_text("old")

    def refuse(source: Path, target: Path) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        really(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(files, "_WINDOWS", windows)
    monkeypatch.setattr(files.time, "sleep", lambda _seconds: None)
    if written:
        files.write_whole(path, "new", sync=False)
    else:
        with pytest.raises(PermissionError):
            files.write_whole(path, "new", sync=False)
    assert path.read_text() == ("new" if written else "old")
    assert os.listdir(tmp_path) == ["a"]


def test_what_is_written_under_its_own_name_takes_its_place_with_nothing_left(tmp_path: Path) -> None:
    place = tmp_path / "floor [1].tif"  # brackets mean something to a glob
    place.write_text("old")
    with files.whole_named(place) as temporary:
        assert temporary.name == place.name
        assert place.read_text() == "old"
        temporary.write_text("new")
        temporary.with_name("floor [1].tif.aux.xml").write_text("beside")
    assert place.read_text() == "new"
    assert os.listdir(tmp_path) == [place.name]


@pytest.mark.parametrize("fails", [False, True])
def test_a_folder_takes_the_place_of_a_folder_or_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    place, really = tmp_path / "old", os.replace
    place.mkdir()
    (place / "a").write_text("old")

    def refuse(source: Path, target: Path) -> None:
        if fails and target == place and source.name == place.name:
            raise OSError(28, "No space left on device")
        really(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="space") if fails else nullcontext(), files.whole_named(place) as temporary:
        temporary.mkdir()
        (temporary / "b").write_text("new")
    assert os.listdir(place) == ["a" if fails else "b"]
    assert os.listdir(tmp_path) == ["old"]


def test_what_a_killed_process_left_beside_a_place_goes_and_nothing_of_a_living_one(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from napari_mosaic import files\n"
        "with files.whole_named(Path(sys.argv[1])) as place:\n"
        "    place.mkdir(); (place / 'half').touch(); print('there', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "hand")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"there\n"
        (mine,) = os.listdir(tmp_path)
        with files.whole_named(tmp_path / "other") as place:
            place.touch()
            with files.whole_named(tmp_path / "third") as third:
                third.touch()
        assert (tmp_path / mine / "hand" / "half").exists()
        writer.kill()
    (tmp_path / ".0123456789ab.tmp").mkdir()  # of nobody knows whom
    with files.whole_named(tmp_path / "hand") as place:
        place.mkdir()
    assert sorted(os.listdir(tmp_path)) == [".0123456789ab.tmp", "hand", "other", "third"]


def test_a_process_killed_between_the_old_folder_and_the_new_one_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hand").mkdir()
    (tmp_path / "hand" / "old").touch()
    left = tmp_path / ".0123456789ab.tmp"
    with files.whole_named(tmp_path / "hand") as place:
        place.mkdir()
        (place / "new").touch()
        shutil.copytree(place.parent, left)
    os.rename(tmp_path / "hand", left / ".ba9876543210.tmp")
    with files.whole_named(tmp_path / "other") as place:
        place.touch()
    assert sorted(os.listdir(tmp_path)) == ["hand", "other"]
    assert os.listdir(tmp_path / "hand") == ["new"]


def test_a_name_as_long_as_the_file_system_allows_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("ψ" * 125 + ".json")  # 255 bytes
    files.write_json(path, {"a": 1}, sync=False)
    with files.whole_named(path) as temporary:
        temporary.write_text("2")
    assert path.read_text() == "2"


@pytest.mark.parametrize("end", [None, 4])
def test_what_is_appended_is_synced_and_follows_the_last_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: int | None
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    path = tmp_path / "log"
    files.append_synced(path, b"one\n")
    with path.open("ab") as file:
        file.write(b"tw")
    files.append_synced(path, b"two\n", end=end)
    assert path.read_bytes() == (b"one\ntwtwo\n" if end is None else b"one\ntwo\n")
    assert len(synced) == (3 if os.name == "posix" else 2), "the folder once, for the new name"


@pytest.mark.parametrize(
    ("windows", "allowed", "refused"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_path_that_is_too_long_for_windows_is_said_before_anything_is_begun(
    monkeypatch: pytest.MonkeyPatch, windows: bool, allowed: bool, refused: bool
) -> None:
    monkeypatch.setattr(files, "_WINDOWS", windows)
    monkeypatch.setattr(files, "_long_paths", lambda: allowed)
    place = Path("/") / ("a" * 200)
    files.check_length(place, inside=58)
    with pytest.raises(WriteError, match="260 characters") if refused else nullcontext():
        files.check_length(place, inside=59)


def test_nothing_else_renames_or_syncs() -> None:
    """Whoever renames by hand has a policy of its own, and a fault of its own on Windows."""
    banned = {("os", name) for name in ("replace", "rename", "renames", "fsync", "fdatasync", "link", "symlink")}
    banned |= {("shutil", "move"), ("tempfile", "mkstemp"), ("tempfile", "NamedTemporaryFile")}
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        if path == Path(files.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = (node.value.id, node.attr) in banned
            elif isinstance(node, ast.ImportFrom):
                used = any((node.module, name.name) in banned for name in node.names)
            else:  # Path.rename(target), Path.replace(target): that of a text takes two, of a date names
                used = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                used = used and node.func.attr in ("rename", "replace", "symlink_to", "hardlink_to")
                used = used and len(node.args) == 1 and not isinstance(node.args[0], ast.Starred) and not node.keywords
            if used:
                found.append(f"{path.relative_to(SOURCES)}:{node.lineno}")
    assert found == []
