"""Whatever moment a replacement is cut off at, the next command finishes it or rolls it back, and no edit is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from bright import bright_stones
from edit_model import whole
from napari_mosaic import editing, segmentation
from napari_mosaic.errors import MosaicWarning, RecordError
from napari_mosaic.record import create, open_record, replacing
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment, segment_steps

PICTURE = bright_stones((200, 210))
PARAMS = SegmentParams(method="brightness", scale=1.0)


class CutOffError(BaseException):
    """The end of a process, as far as a test can play it."""


def edit(path: Path, corner: int) -> int:
    """Draw a stone by hand; its id."""
    with open_record(path, writable=True) as record:
        shape = [[corner, corner], [corner, corner + 30], [corner + 40, corner + 30]]
        drawn = editing.add_outline(record, shape, over=True)
    assert drawn is not None
    return int(drawn.made[0])


@pytest.fixture
def floor(tmp_path: Path) -> tuple[Path, int]:
    """A whole record with one edit, and the id of what was drawn."""
    path = tmp_path / "a.mosaic.zarr"
    segment(PICTURE, path, params=PARAMS).close()
    return path, edit(path, 20)


def stop_at(phase: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def run(path: Path, _: pytest.MonkeyPatch) -> None:
        for progress in segment_steps(PICTURE, path, params=PARAMS, overwrite=True):
            if progress.phase == phase:
                return

    return run


def cut_off(place: object, name: str, when: Callable[..., bool] = lambda *_: True, *, after: bool = False):  # type: ignore[no-untyped-def]
    """A run that ends where `place.name` is called; nothing is tidied up after it."""

    def run(path: Path, patch: pytest.MonkeyPatch) -> None:
        real = getattr(place, name)

        def call(*arguments: object, **options: object) -> object:
            ends = when(*arguments)
            if ends and not after:
                raise CutOffError
            result = real(*arguments, **options)
            if ends:
                raise CutOffError
            return result

        with patch.context() as context:
            context.setattr(shutil, "rmtree", lambda *_, **__: None)
            context.setattr(replacing, "_bring_back", lambda *_: None)
            context.setattr(place, name, call)
            with suppress(CutOffError):
                segment(PICTURE, path, params=PARAMS, overwrite=True)

    return run


def to_backup(_: object, target: object) -> bool:
    return ".previous" in Path(str(target)).name


def to_place(source: object, _: object) -> bool:
    return str(source).endswith(".new")


MOMENTS = {
    "the new one is being made": cut_off(create, "write_areas"),
    "the old one is about to be set aside": cut_off(os, "replace", to_backup),
    "the old one is set aside": cut_off(os, "replace", to_backup, after=True),
    "the new one is in its place": cut_off(os, "replace", to_place, after=True),
    "the run has joints": stop_at("joints"),
    "the run has tesserae": stop_at("tesserae"),
    "the run is whole": cut_off(segmentation, "finish_replacement"),
    "the old one has lost its name": cut_off(os, "replace", lambda _, target: str(target).endswith(".old"), after=True),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("then", ["overwrite", "resume", "plain"])
def test_after_a_crash_at_any_moment_every_command_goes_on(
    floor: tuple[Path, int], moment: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, drawn = floor
    MOMENTS[moment](path, monkeypatch)
    if then == "plain":
        with pytest.raises(RecordError, match="exists already"):
            segment(PICTURE, path, params=PARAMS)
        assert path.exists()
        then = "overwrite"
    with segment(PICTURE, path, params=PARAMS, **{then: True}) as record:
        assert record.complete
        assert drawn in whole(record)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert not (path / replacing.REPLACES).exists()


@pytest.mark.parametrize("moment", ["the old one is set aside", "the new one is in its place", "the run has joints"])
def test_after_several_crashes_the_first_edits_are_there(
    floor: tuple[Path, int], moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, drawn = floor
    for _ in range(3):
        MOMENTS[moment](path, monkeypatch)
    with segment(PICTURE, path, params=PARAMS, overwrite=True) as record:
        assert drawn in whole(record)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_record_whose_place_is_empty_is_opened_there(
    floor: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, drawn = floor
    MOMENTS["the old one is set aside"](path, monkeypatch)
    assert not path.exists()
    with open_record(path) as record:
        assert drawn in whole(record)
    assert not (path / replacing.ASIDE).exists()


def test_a_failure_brings_the_old_record_back_at_once(floor: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    path, drawn = floor
    real = os.replace

    def full(source: str | Path, target: str | Path) -> None:
        if str(source).endswith(".new"):
            raise OSError(28, "No space left on device")
        real(source, target)

    with monkeypatch.context() as context:
        context.setattr(os, "replace", full)
        with pytest.raises(OSError, match="is full"):
            segment(PICTURE, path, params=PARAMS, overwrite=True)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with open_record(path) as record:
        assert drawn in whole(record)


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A replacement that was stopped, and the place of the record that it replaces."""
    stop_at("tesserae")(path, pytest.MonkeyPatch())
    yield path.with_name("a.previous.mosaic.zarr")


def test_edits_of_an_unfinished_record_and_of_the_one_it_replaces_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.mosaic.zarr"
    segment(PICTURE, path, params=PARAMS).close()
    with unfinished(path) as old:
        mine, theirs = edit(path, 20), edit(old, 100)
    with (
        pytest.warns(MosaicWarning, match=r"a\.previous\.mosaic\.zarr was edited after it was replaced.*kept"),
        segment(PICTURE, path, params=PARAMS, overwrite=True) as record,
    ):
        assert mine in whole(record)
    with open_record(old) as record:
        assert theirs in whole(record)
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, old.name]
    with segment(PICTURE, path, params=PARAMS, overwrite=True) as record:
        assert mine in whole(record)
    with open_record(old) as record:
        assert theirs in whole(record)


def test_edits_of_an_unfinished_record_count_when_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.mosaic.zarr"
    segment(PICTURE, path, params=PARAMS).close()
    with unfinished(path):
        mine = edit(path, 20)
    with segment(PICTURE, path, params=PARAMS, overwrite=True) as record:
        assert mine in whole(record)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_edits_of_the_replaced_record_made_meanwhile_come_into_the_next_try(floor: tuple[Path, int]) -> None:
    path, drawn = floor
    with unfinished(path) as old:
        later = edit(old, 100)
    with segment(PICTURE, path, params=PARAMS, overwrite=True) as record:
        assert {drawn, later} <= set(np.unique(whole(record)).tolist())
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_persons_own_record_and_folders_of_such_names_stay(floor: tuple[Path, int]) -> None:
    path, _ = floor
    mine = path.with_name("a.previous.mosaic.zarr")
    shutil.copytree(path, mine)
    path.with_name(".a-notes.old").mkdir()
    path.with_name(".b.mosaic.zarr.12345678.old").mkdir()
    names = {entry.name for entry in path.parent.iterdir()}
    segment(PICTURE, path, params=PARAMS, overwrite=True).close()
    assert {entry.name for entry in path.parent.iterdir()} == names
    shutil.rmtree(path)
    segment(PICTURE, path, params=PARAMS).close()
    assert {entry.name for entry in path.parent.iterdir()} == names


def test_a_record_that_another_process_is_making_stays(floor: tuple[Path, int]) -> None:
    from filelock import FileLock

    path, _ = floor
    making_now = path.with_name(f".{path.name}.12345678.new")
    making_now.mkdir()
    with FileLock(str(making_now / "lock"), is_singleton=False):
        replacing.recover_replacement(path)
        assert making_now.exists()
    replacing.recover_replacement(path)
    assert not making_now.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_replacement_is_rolled_back(floor: tuple[Path, int]) -> None:
    path, drawn = floor
    code = f"""
import os, signal
from bright import bright_stones
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
real = os.replace
def replace(source, target):
    real(source, target)
    if ".previous" in str(target):
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
params = SegmentParams(method="brightness", scale=1.0)
segment(bright_stones((200, 210)), {str(path)!r}, params=params, overwrite=True)
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == -9
    assert not path.exists()
    with segment(PICTURE, path, params=PARAMS, overwrite=True) as record:
        assert drawn in whole(record)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
