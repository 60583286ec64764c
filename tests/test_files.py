"""Files appear whole or not at all, and wait for those who read the old one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_mosaic import files


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
