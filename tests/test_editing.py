"""Edits against a plain numpy model, undo to the first bytes, crashes, replay, and the command line."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import box as rectangle

from bright import bright_stones
from edit_model import (
    RULES,
    SHAPE,
    TOOLS,
    Model,
    check_whole,
    draw_request,
    first_bytes,
    largest,
    make_floor,
    neighbours,
    rows_of,
    run_all,
    whole,
)
from napari_mosaic import editing
from napari_mosaic.cli import main
from napari_mosaic.editing.names import cell_count, new_name
from napari_mosaic.errors import InputError, MosaicError, RecordError
from napari_mosaic.ids import id_at
from napari_mosaic.progress import drain
from napari_mosaic.record import Record, open_record
from napari_mosaic.record.tables import read_attributes
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import apply_steps, segment
from napari_mosaic.tesserae import Flag, TesseraParams
from napari_mosaic.tiling import Box


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished record with shards of 64 px, so that a small picture has nine."""
    return make_floor(tmp_path_factory.mktemp("template") / "floor.mosaic.zarr")


@pytest.fixture
def floor(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "floor.mosaic.zarr"))


@pytest.fixture
def record(floor: Path) -> Iterator[Record]:
    with open_record(floor, writable=True) as opened:
        yield opened


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=st.lists(st.tuples(st.sampled_from(TOOLS), st.integers(0, 2**32 - 1)), min_size=4, max_size=10))
def test_random_edits_equal_a_plain_model(
    template: Path, tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[str, int]]
) -> None:
    path = Path(shutil.copytree(template, tmp_path_factory.mktemp("edits") / "floor.mosaic.zarr"))
    with open_record(path, writable=True) as record:
        start = first_bytes(record)
        model = Model(whole(record), record.read_map(Box(0, 0, *record.shape)))
        done, states = 0, [whole(record)]
        for tool, seed in plan:
            request = draw_request(tool, np.random.default_rng(seed), model)
            try:
                made = editing.apply_request(record, request)
            except InputError:
                np.testing.assert_array_equal(whole(record), model.labels, err_msg=f"refused {tool}")
                continue
            used = set(record.journal.used)
            params = {name: value for name, value in request.items() if name != "tool"}
            getattr(model, tool)(**params)
            np.testing.assert_array_equal(whole(record), model.labels, err_msg=tool)
            assert used == model.used
            if made is not None:
                done += 1
                states.append(whole(record))
        editing.settle(record)
        check_whole(record, connected=not any(tool in ("merge", "replace_window") for tool, _ in plan))
        end = first_bytes(record)
        for state in states[-2::-1]:
            assert editing.undo(record) is not None
            np.testing.assert_array_equal(whole(record), state)
        assert editing.undo(record) is None
        assert first_bytes(record) == start
    with open_record(path, writable=True) as record:
        for _ in range(done):
            assert editing.redo(record) is not None
        assert editing.redo(record) is None
        assert first_bytes(record) == end
    with open_record(path) as record:
        check_whole(record, connected=False)
    shutil.rmtree(path)


def test_the_model_would_notice_a_lost_pixel(record: Record) -> None:
    labels = whole(record)
    labels[80, 80] += 1
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(whole(record), labels)


def test_a_split_and_a_merge_keep_the_number_of_the_stone(record: Record) -> None:
    (id_,) = largest(record)
    y0, x0, y1, x1 = rows_of(record)[id_][2:6]
    middle = (y0 + y1) / 2 + 0.2
    cut = editing.split_line(record, [[middle, x0 - 2], [middle, x1 + 2]])
    assert cut is not None
    assert (cut.kept, cut.gone, len(cut.made)) == ((id_,), (), 1)
    new = cut.made[0]
    assert editing.is_made(new, record.shape)
    y, x = editing.place_of_id(new, record.shape)
    assert id_at(y, x, record.shape[1]) == (new - 1) % cell_count(record.shape) + 1
    joined = editing.merge(record, [new, id_])
    assert joined is not None
    assert (joined.kept, joined.gone) == ((id_,), (new,))
    again = editing.split_line(record, [[middle, x0 - 2], [middle, x1 + 2]])
    assert again is not None
    assert again.made != cut.made
    assert rows_of(record)[id_][-1] & int(Flag.EDITED)


def test_ids_never_clash(record: Record) -> None:
    pixels = np.array([[4, 4], [4, 5], [5, 4]])
    taken: set[int] = set()
    names = []
    for _ in range(5):
        id_, place = new_name(pixels, record.shape, taken.__contains__)
        taken.add(id_)
        names.append(id_)
        assert place in {(4, 4)}
    assert len(set(names)) == 5
    assert min(names) > cell_count(record.shape)
    huge = (190_000, 190_000)
    assert new_name(pixels, huge, set().__contains__)[0] <= cell_count(huge)
    with pytest.raises(InputError, match="no number left"):
        new_name(pixels, huge, lambda _: True)


def test_a_stone_that_wandered_to_another_shard_is_found(record: Record) -> None:
    box = Box(0, 0, 170, 150)
    labels = whole(record)
    id_ = int(labels[10:40, 10:40].max())
    labels[labels == id_] = 0
    labels[140:150, 130:140] = id_
    assert editing.replace_window(record, box, labels) is not None
    assert rows_of(record)[id_][:2] == (140, 130)
    assert record.journal.strayed == {id_}
    editing.delete(record, [id_])
    check = rows_of(record)
    assert id_ not in check
    editing.undo(record)
    editing.undo(record)
    assert id_ in rows_of(record)


def test_material_and_state_are_rows_beside_the_table(record: Record) -> None:
    before = first_bytes(record)
    some = largest(record, 3)
    editing.assign(record, some, material="glass")
    editing.assign(record, some[:1], state="fractured")
    said = {row["id"]: (row["material"], row["state"]) for row in read_attributes(record.tables).to_pylist()}
    assert said == {some[0]: ("glass", "fractured"), **dict.fromkeys(some[1:], ("glass", ""))}
    assert editing.assign(record, some, material="glass") is None
    y0, x0, y1, x1 = rows_of(record)[some[0]][2:6]
    cut = editing.split_line(record, [[y0 - 1, (x0 + x1) / 2], [y1 + 1, (x0 + x1) / 2]])
    assert cut is not None
    said = {row["id"]: row["state"] for row in read_attributes(record.tables).to_pylist()}
    assert said[cut.made[0]] == "fractured"
    assert editing.report(record).assigned == 3
    while editing.undo(record):
        pass
    assert first_bytes(record) == before
    with pytest.raises(InputError, match="choose one of stone, glass"):
        editing.assign(record, some, material="gold")


def test_areas_are_edited_as_areas(record: Record) -> None:
    before = record.areas.to_geojson()
    editing.add_area(record, "lacuna", rectangle(3, 4, 30, 40), name="north")
    number = len(record.areas) - 1
    editing.change_area(record, number, kind="repair")
    assert [area.kind for area in record.areas][-1] == "repair"
    editing.undo(record)
    assert [area.kind for area in record.areas][-1] == "lacuna"
    record.areas = record.areas.add("exclude", rectangle(60, 60, 70, 70))
    editing.undo(record)
    assert [area.kind for area in record.areas][-1] == "exclude"
    record.areas = record.areas.without("exclude")
    assert json.dumps(record.areas.to_geojson()) == json.dumps(before)
    with pytest.raises(InputError, match="no area 99"):
        editing.remove_area(record, 99)
    with pytest.raises(InputError, match="covers nothing"):
        editing.add_area(record, "lacuna", {"type": "Point", "coordinates": [1, 2]})


def test_painting_over_what_was_edited_meanwhile_keeps_it(record: Record) -> None:
    box = Box(20, 20, 120, 120)
    start = record.read_labels(box)
    painted = start.copy()
    ids = np.unique(start)
    painted[50:60, 50:60] = 7
    elsewhere = next(int(id_) for id_ in ids[1:] if not (start[45:65, 45:65] == id_).any())
    editing.delete(record, [elsewhere])
    made = editing.replace_window(record, box, painted, before=start)
    assert made is not None
    assert elsewhere not in whole(record)
    assert (whole(record)[70:80, 70:80] == made.made[0]).all()
    assert 7 not in made.made


def test_what_cannot_be_done_is_said_and_changes_nothing(record: Record, floor: Path) -> None:
    before = first_bytes(record)
    first, second = largest(record, 2)
    refused: list[tuple[str, Callable[[], Any]]] = [
        ("Only 1 tessera", lambda: editing.merge(record, [first])),
        ("-3 is no id", lambda: editing.delete(record, [-3])),
        ("no list of points", lambda: editing.split_line(record, [])),
        ("no list of points", lambda: editing.split_line(record, [[0, 0], [1e12, 3]])),
        ("no tessera 4294967295", lambda: editing.merge(record, [first, 2**32 - 1])),
        ("there already", lambda: editing.add_click(record, rows_of(record)[first][:2])),
        ("outside of the working grid", lambda: editing.add_click(record, [1e6, 2])),
        ("outside of the working grid", lambda: editing.add_outline(record, [[900, 900], [900, 950], [950, 950]])),
        ("points", lambda: editing.split_line(record, [[3, 4]])),
        ("no list of points", lambda: editing.split_line(record, [[3, float("nan")], [3, 4]])),
        ("would vanish", lambda: editing.shrink(record, [second], px=60)),
        ("px is 0", lambda: editing.grow(record, [first], px=0)),
        ("No tessera was given", lambda: editing.delete(record, [])),
        ("one number a pixel", lambda: editing.replace_window(record, Box(0, 0, 9, 9), np.zeros((3, 3), int))),
        ("not lie inside", lambda: editing.replace_window(record, Box(0, 0, 999, 9), np.zeros((999, 9), int))),
    ]
    for words, attempt in refused:
        with pytest.raises(MosaicError, match=words) as error:
            attempt()
        assert "\n" not in str(error.value)
    assert first_bytes(record) == before
    assert len(record.journal) == 0
    with open_record(floor) as reader, pytest.raises(RecordError, match="reading only"):
        editing.delete(reader, [first])
    record.ledger.forget("tesserae", [(y // 64, x // 64) for y, x in [rows_of(record)[first][:2]]])
    with pytest.raises(RecordError, match="not segmented yet"):
        editing.delete(record, [first])


def test_an_edit_touches_only_the_shards_under_it(record: Record) -> None:
    def stamps() -> dict[str, int]:
        files = [path for path in record.path.rglob("*") if path.is_file() and "journal" not in path.parts]
        return {str(path.relative_to(record.path)): path.stat().st_ino for path in files}

    id_ = next(i for i, row in rows_of(record).items() if row[2] > 66 and row[4] < 126 and row[3] > 66 and row[5] < 126)
    before = stamps()
    editing.delete(record, [id_])
    changed = {name for name, inode in stamps().items() if before.get(name) != inode}
    assert changed == {"labels/tesserae/0/c/1/1", "tables/tesserae/000001_000001.parquet"}
    before = stamps()
    editing.settle(record)
    changed = {name for name, inode in stamps().items() if before.get(name) != inode}
    assert changed == {"labels/tesserae/1/c/0/0"}


def test_a_shard_that_is_made_again_keeps_its_edits(record: Record) -> None:
    for tool, seed in (("merge", 1), ("split_line", 5), ("replace_window", 2), ("add_outline", 3), ("delete", 4)):
        model = Model(whole(record), record.read_map(Box(0, 0, *record.shape)))
        with contextlib.suppress(InputError):
            editing.apply_request(record, draw_request(tool, np.random.default_rng(seed), model))
    editing.assign(record, largest(record), material="glass")
    editing.undo(record)
    editing.redo(record)
    wanted = first_bytes(record)
    for i in range(3):
        (record.path / "labels/tesserae/0/c" / str(i) / "1").unlink()
    run_all(record)
    assert first_bytes(record) == wanted


def test_a_fresh_segmentation_keeps_what_was_edited(floor: Path) -> None:
    with open_record(floor, writable=True) as record:
        some = largest(record, 6)
        editing.merge(record, [some[0], neighbours(whole(record), some[0])[0]])
        editing.shrink(record, some[1:2], px=2)
        editing.delete(record, some[2:3])
        editing.assign(record, some[3:4], material="glass")
        drawn = editing.add_outline(record, [[3, 3], [3, 60], [24, 60], [24, 3]], over=True)
        assert drawn is not None
        editing.delete(record, some[5:])
        editing.undo(record)
        edited, used = whole(record), set(record.journal.used)
    touched = [drawn.made[0], some[1], some[0], some[3]]
    with open_record(floor) as record:
        drain(apply_steps(record, TesseraParams(reach=8, blob_limit=60, blob_cell=16, min_area=30, max_hole=0))).close()
    with open_record(floor, writable=True) as record:
        check_whole(record, connected=False)
        fresh = whole(record)
        for id_ in touched:
            np.testing.assert_array_equal(fresh == id_, edited == id_)
        assert not (fresh[edited == 0][(edited == 0)[edited == 0]] == some[2]).any()
        assert read_attributes(record.tables).to_pylist() == [{"id": some[3], "material": "glass", "state": ""}]
        assert len(record.journal.done) == 5
        assert record.journal.used >= used
        while editing.undo(record):
            pass
        assert drawn.made[0] not in whole(record)
        while editing.redo(record):
            pass
        np.testing.assert_array_equal(whole(record), fresh)
        assert first_bytes(record)[0] == fresh.tobytes()
    with open_record(floor) as record:
        drain(apply_steps(record, RULES, discard_edits=True)).close()
    with open_record(floor, writable=True) as record:
        assert not record.journal.done
        assert record.journal.used >= used
        assert not read_attributes(record.tables).num_rows


def test_overwrite_keeps_edits_or_refuses(tmp_path: Path) -> None:
    picture, path = bright_stones((200, 210)), tmp_path / "a.mosaic.zarr"
    params = SegmentParams(method="brightness", scale=1.0)
    segment(picture, path, params=params).close()
    with open_record(path, writable=True) as record:
        drawn = editing.add_outline(record, [[20, 20], [20, 50], [60, 50]], over=True)
        assert drawn is not None
        edited = whole(record) == drawn.made[0]
    with segment(picture, path, params=params, overwrite=True) as record:
        np.testing.assert_array_equal(whole(record) == drawn.made[0], edited)
        check_whole(record)
    with pytest.raises(RecordError, match="--discard-edits"):
        segment(picture, path, params=SegmentParams(method="brightness", scale=0.7), overwrite=True)
    with segment(picture, path, params=params, overwrite=True, discard_edits=True) as record:
        assert drawn.made[0] not in whole(record)


def test_conflicts_are_listed(floor: Path) -> None:
    with open_record(floor, writable=True) as record:
        (id_,) = largest(record)
        mask = whole(record) == id_
        editing.shrink(record, [id_], px=1)
        copy = floor.with_name("copy.mosaic.zarr")
    shutil.copytree(floor, copy)
    with open_record(floor) as record:
        assert editing.export_edits(record, floor.with_name("edits")) == 1
    with open_record(copy, writable=True) as record:
        editing.undo(record)
        y = np.argwhere(mask)[:, 0].mean()
        editing.merge(record, [id_, *neighbours(whole(record), id_)])
        found = drain(editing.import_edits_steps(record, floor.with_name("edits")))
        assert found.applied == 1
        assert found.conflicts[0].tool == "shrink"
        assert found.conflicts[0].reason
        assert found.conflicts[0].box.y0 <= y < found.conflicts[0].box.y1
        assert editing.read_conflicts(record) == found.conflicts
        editing.settle(record)
        check_whole(record, connected=False)


def test_two_people_edit_copies(floor: Path, template: Path) -> None:
    copy = Path(shutil.copytree(template, floor.with_name("copy.mosaic.zarr")))
    with open_record(floor, writable=True) as mine, open_record(copy, writable=True) as theirs:
        top = [i for i, row in rows_of(mine).items() if row[4] < 70]
        low = [i for i, row in rows_of(mine).items() if row[2] > 90]
        editing.delete(mine, top[:2])
        editing.add_outline(theirs, [[100, 10], [100, 50], [140, 50]], over=True)
        editing.delete(theirs, low[-1:])
        editing.export_edits(theirs, floor.with_name("edits"))
        expected = np.where(np.arange(SHAPE[0])[:, None] < 85, whole(mine), whole(theirs))
        found = drain(editing.import_edits_steps(mine, floor.with_name("edits")))
        assert found.conflicts == ()
        np.testing.assert_array_equal(whole(mine), expected)
        twice = drain(editing.import_edits_steps(mine, floor.with_name("edits")))
        assert (found.applied, found.already) == (2, 0)
        assert (twice.applied, twice.already) == (0, 2)
        assert len(list(editing.list_edits(mine))) == 3
        editing.settle(mine)
        check_whole(mine)


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import numpy as np
from napari_mosaic import editing
from napari_mosaic.errors import InputError
from napari_mosaic.record import open_record
from napari_mosaic.tiling import Box
from edit_model import Model, draw_request, whole
rng = np.random.default_rng({seed})
left = {after}

def deadly(call):
    # The call, but die at one of these moments, when something is written and not yet kept.
    def called(*given):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given)
    return called

with open_record({path!r}, writable=True) as record:
    map_ = record.read_map(Box(0, 0, *record.shape))
    os.replace, os.fsync = deadly(os.replace), deadly(os.fsync)
    for step in range(1000):
        tool = rng.choice(["merge", "delete", "split_auto", "add_outline", "replace_window", "undo", "redo", "settle"])
        try:
            if tool in ("undo", "redo", "settle"):
                getattr(editing, tool)(record)
            else:
                editing.apply_request(record, draw_request(tool, rng, Model(whole(record), map_)))
        except InputError:
            pass
        print(len(record.journal), flush=True)
"""


@pytest.mark.parametrize(("seed", "after"), [(0, 9), (0, 30), (1, 16), (1, 47)])
def test_killed_at_any_moment_at_most_the_edit_in_flight_is_lost(floor: Path, seed: int, after: int) -> None:
    with open_record(floor) as record:
        start = first_bytes(record)
    script = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent), path=str(floor), seed=seed, after=after)
    killed = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    confirmed = max((int(line) for line in killed.stdout.splitlines()), default=0)
    with open_record(floor, writable=True) as record:
        assert len(record.journal) >= confirmed
        editing.settle(record)
        check_whole(record, connected=False)
    with open_record(floor, writable=True) as record:
        end = first_bytes(record)
        undone = 0
        while editing.undo(record):
            undone += 1
        assert first_bytes(record) == start
        for _ in range(undone):
            editing.redo(record)
        assert first_bytes(record) == end


@pytest.mark.parametrize("cut", [1, 19, 40, "journal only"])
def test_a_torn_end_of_the_journal_and_an_edit_that_never_reached_the_shards(floor: Path, cut: Any) -> None:
    with open_record(floor, writable=True) as record:
        some = largest(record, 2)
        editing.delete(record, some[:1])
        one = first_bytes(record)
        record.close()
    backup = Path(shutil.copytree(floor, floor.with_name("one")))
    with open_record(floor, writable=True) as record:
        editing.delete(record, some[1:])
        two = first_bytes(record)
    log, settled = floor / "journal" / "edits.log", floor / "journal" / "settled"
    longer = log.read_bytes()
    shutil.rmtree(floor)
    shutil.copytree(backup, floor)
    log.write_bytes(longer if cut == "journal only" else longer[:-cut])
    assert settled.read_text() == "1"
    with open_record(floor, writable=True) as record:
        assert first_bytes(record) == (two if cut == "journal only" else one)
        editing.merge(record, [*largest(record, 1), *neighbours(whole(record), *largest(record, 1))])
        editing.settle(record)
        check_whole(record, connected=False)
    with open_record(floor) as record:
        assert len(record.journal.done) == (3 if cut == "journal only" else 2)


def test_a_foreign_journal_is_refused(floor: Path) -> None:
    (floor / "journal").mkdir()
    (floor / "journal" / "edits.log").write_bytes(b"not a journal of edits at all")
    with pytest.raises(RecordError, match="no journal"):
        open_record(floor, writable=True)


def test_the_command_line(floor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_record(floor) as record:
        some, before = largest(record, 3), whole(record)
    edits = floor.with_name("edits.json")
    edits.write_text(json.dumps([{"tool": "delete", "ids": some[:1]}, {"tool": "grow", "ids": some[1:2], "px": 2}]))
    assert main(["edit", str(floor), str(edits), "--dry-run"]) == 0
    assert main(["edit", str(floor), str(edits)]) == 0
    assert "2 edits done, 0 tesserae new, 1 gone" in capsys.readouterr().out
    with open_record(floor) as record:
        after = whole(record)
    assert main(["edits", "export", str(floor), "-o", str(floor.with_name("a.edits"))]) == 0
    assert main(["edits", "undo", str(floor), "-n", "5"]) == 0
    with open_record(floor) as record:
        np.testing.assert_array_equal(whole(record), before)
    assert main(["edits", "redo", str(floor)]) == 0
    with open_record(floor, writable=True) as record:
        editing.add_area(record, "lacuna", rectangle(3, 4, 30, 40))
    capsys.readouterr()
    assert main(["edits", "undo", str(floor)]) == 0
    assert capsys.readouterr().out == "add_area undone\n"
    assert main(["edits", "apply", str(floor), str(floor.with_name("a.edits"))]) == 0
    with open_record(floor) as record:
        np.testing.assert_array_equal(whole(record), after)
    capsys.readouterr()
    assert main(["edits", "report", str(floor), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["deleted"], found["reshaped"]) == (1, 1)


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"tool": "merge"}, "holds no list"),
        ([{"tool": "explode"}], "Edit 1 of 1 is wrong.*choose one of merge"),
        ([{"tool": "merge"}], "merge needs ids"),
        ([{"tool": "merge", "ids": [1, "a"]}], "give a list of ids"),
        ([{"tool": "grow", "ids": [1], "px": 1.5}], "give a whole number"),
        ([{"tool": "delete", "id": [1]}], "no parameter 'id'"),
        ([{"tool": "delete", "ids": [0]}], "give a list of ids"),
        ([{"tool": "grow", "ids": [None]}], "give a list of ids"),
        ([{"tool": "add_outline", "outline": [[3, 3], [3, 20], [20, 20]], "over": True},
          {"tool": "merge", "ids": [1, 2]}], "Edit 2 of 2 .merge. failed, nothing was changed: There is no tessera"),
    ],
)  # fmt: skip
def test_wrong_lists_are_refused_whole(floor: Path, capsys: pytest.CaptureFixture[str], edits: Any, words: str) -> None:
    import re

    with open_record(floor) as record:
        before = first_bytes(record)
    path = floor.with_name("edits.json")
    path.write_text(json.dumps(edits))
    assert main(["edit", str(floor), str(path)]) == 1
    said = capsys.readouterr().err
    assert re.search(words, said), said
    assert said.count("\n") == 1
    with open_record(floor) as record:
        assert first_bytes(record) == before


def test_a_report_of_nothing_says_so() -> None:
    nothing = editing.Report(
        tesserae=0, machine=0, merged=0, split=0, drawn=0, reshaped=0, deleted=0, assigned=0, edits=0, undone=0
    )
    assert editing.describe_report(nothing) == "There are no tesserae, and none was edited by hand."
