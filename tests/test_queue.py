"""The queue of suspicious tesserae: what is found, in what order, what a person said of it, and crashes."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import box as rectangle

from bright import make_brightness
from napari_mosaic import editing
from napari_mosaic.areas import AreaSet
from napari_mosaic.cli import main
from napari_mosaic.editing.outliers import REASONS, severity
from napari_mosaic.editing.queue import Suspect
from napari_mosaic.editing.wrongness import FEATURES, wrongness
from napari_mosaic.engine.cluster import run_on
from napari_mosaic.engine.domain import Domain
from napari_mosaic.engine.mapping import plan_work
from napari_mosaic.engine.planning import Choices, make_plan
from napari_mosaic.engine.windows import MapContext
from napari_mosaic.errors import InputError, RecordError
from napari_mosaic.image import open_image
from napari_mosaic.measurement.columns.colours import colour_contrasts
from napari_mosaic.measurement.columns.shapes import elongations, solidities
from napari_mosaic.measurement.moments import moments
from napari_mosaic.record import Record, create_record, open_record
from napari_mosaic.record.decisions import LOG, read_decisions
from napari_mosaic.tesserae import TesseraParams
from napari_mosaic.tiling import Box

PITCH = 20
SHAPE = (200, 260)
RULES = TesseraParams(reach=10, blob_limit=60, blob_cell=16, max_hole=8, min_area=10)


def even_floor() -> np.ndarray:
    """Bright squares of 16 px, 20 apart; a double one, a sliver, a bent one, one of two colours, one missing."""
    picture = np.full((*SHAPE, 3), 30, np.uint8)
    for y in range(2, SHAPE[0] - 16, PITCH):
        for x in range(2, SHAPE[1] - 16, PITCH):
            picture[y : y + 16, x : x + 16] = (225, 215, 200)
    picture[62:78, 62:98] = (225, 215, 200)
    picture[62:98, 62:98] = (225, 215, 200)
    picture[102:118, 142:158] = 30
    picture[107:113, 142:158] = (225, 215, 200)
    picture[149:158, 189:198] = 30
    picture[22:38, 210:218] = (250, 190, 160)
    return picture


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished record of the even floor with shards of 64 px, its photograph beside it."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("queue")
    Image.fromarray(even_floor()).save(folder / "floor.png")
    path = folder / "floor.mosaic.zarr"
    image, segmenter = open_image(folder / "floor.png"), make_brightness()
    plan = make_plan(
        image, segmenter, Domain(image, AreaSet(), 1.0),
        Choices(method="brightness", scale=1.0, tesserae=RULES, shard=64),
    )  # fmt: skip
    with create_record(path, image, plan, areas=AreaSet()) as record:
        context = MapContext(image, plan, segmenter, Domain(image, AreaSet(), 1.0))
        for _ in run_on(None, plan_work(record, 64, context=context), 1):
            pass
        record.set_phase(map="done", tesserae="done")
    return path


@pytest.fixture
def record(template: Path, tmp_path: Path) -> Iterator[Record]:
    shutil.copy(template.parent / "floor.png", tmp_path)
    with open_record(shutil.copytree(template, tmp_path / "floor.mosaic.zarr"), writable=True) as opened:
        yield opened


def at(found: list[Suspect], y: int, x: int) -> Suspect:
    """The suspect whose box holds a place."""
    (one,) = [s for s in found if s.box.y0 <= y < s.box.y1 and s.box.x0 <= x < s.box.x1]
    return one


def test_what_stands_out_is_found_and_nothing_else(record: Record) -> None:
    record.areas = record.areas.add("lacuna", rectangle(20, 180, 60, 200))
    found = editing.suspects(record)
    assert at(found, 80, 80).reason == "large for its neighbours"
    assert at(found, 110, 150).reasons[0] in ("small for its neighbours", "long for its neighbours")
    assert at(found, 30, 205 + 8).reason == "two colours"
    assert at(found, 189, 30).reason == "where no tessera should be"
    assert at(found, 150, 184).reasons == ("odd shape",)
    assert len(found) == 6
    assert [s.severity for s in found] == sorted((s.severity for s in found), reverse=True)
    assert all(0 < s.severity <= 1 for s in found)
    assert at(found, 189, 30).severity >= 0.9  # somebody said that none should be there
    assert found == editing.suspects(record) == editing.read_suspects(record)
    assert editing.suspects(record, editing.QueueParams(most=2)) == found[:2]


def test_without_the_photograph_colours_are_not_asked_about(record: Record) -> None:
    (record.path.parent / "floor.png").unlink()
    record.update(source=replace(record.source, location=""))
    assert not any("two colours" in s.reasons for s in editing.suspects(record))


def test_decisions_take_suspects_out_of_the_queue(record: Record) -> None:
    found = editing.suspects(record)
    assert editing.progress_of_queue(record) == (0, len(found))
    first, second, third = found[:3]
    editing.decide(record, first.id, "fine")
    editing.decide(record, second.id, "ignored")
    editing.decide(record, second.id, None)
    edit = editing.delete(record, [third.id])
    assert edit is not None
    assert editing.progress_of_queue(record) == (2, len(found))
    assert editing.read_suspects(record) == [s for s in found if s not in (first, third)]
    editing.undo(record)
    assert editing.progress_of_queue(record) == (1, len(found))
    editing.redo(record)
    assert editing.suspects(record) == [s for s in found if s not in (first, third)]
    assert editing.progress_of_queue(record) == (1, len(found) - 1)
    with open_record(record.path) as reader:
        assert editing.read_suspects(reader) == editing.read_suspects(record)
        with pytest.raises(RecordError, match="reading only"):
            editing.decide(reader, second.id, "fine")
    with pytest.raises(InputError, match="say one of fine"):
        editing.decide(record, second.id, "pretty")


def test_a_stone_that_changed_is_asked_about_again_if_wanted(record: Record) -> None:
    first = next(s for s in editing.suspects(record) if s.reason == "large for its neighbours")
    editing.decide(record, first.id, "fine")
    editing.grow(record, [first.id], px=1)
    assert first.id not in [s.id for s in editing.suspects(record)]
    again = editing.suspects(record, editing.QueueParams(edited=True))
    assert first.id in [s.id for s in again]
    checked, total = editing.progress_of_queue(record)
    assert total - checked == len(again)


def test_a_decision_that_a_crash_cut_off_counts_as_not_made(record: Record) -> None:
    first, second = editing.suspects(record)[:2]
    editing.decide(record, first.id, "fine")
    path = record.path / "queue" / LOG
    whole = path.read_bytes()
    editing.decide(record, second.id, "fine")
    path.write_bytes(path.read_bytes()[:-3])
    assert editing.progress_of_queue(record)[0] == 1
    editing.decide(record, second.id, "ignored")
    assert path.read_bytes().startswith(whole)
    assert {id_: decision.word for id_, decision in read_decisions(record)[0].items()} == {
        first.id: "fine",
        second.id: "ignored",
    }


def test_figures_of_shapes_and_colours() -> None:
    labels = np.zeros((60, 120), np.uint32)
    labels[5:25, 5:25] = 7
    labels[5:25, 40:90] = 8
    labels[35:55, 5:25] = 9
    labels[35:47, 13:25] = 0
    y, x = np.mgrid[:60, :120]
    labels[(np.abs(y - 43) + np.abs(x - 60)) < 12] = 11
    boxes = np.array([[5, 5, 25, 25], [5, 40, 25, 90], [35, 5, 55, 25], [31, 48, 56, 73], [0, 0, 9, 9]])
    ids = np.array([7, 8, 9, 11, 12], np.uint32)
    sums = moments(labels, ids, boxes)
    found = np.column_stack([solidities(labels, ids, boxes, sums[:, 0]), elongations(sums)])
    np.testing.assert_allclose(found[[0, 1, 3]], [[1, 1], [1, 2.5], [1, 1]], atol=0.02)
    assert 0.75 < found[2, 0] < 0.85
    assert np.isnan(found[4]).all()
    pixels = np.full((60, 120, 3), 120, np.uint8)
    pixels[:15, :30] = 180
    rng = np.random.default_rng(0)
    pixels[5:25, 40:90] = rng.integers(0, 2, (20, 50, 1)) * 120 + 60
    contrast = colour_contrasts(labels, np.array([7, 8, 9], np.uint32), boxes[:3], pixels)
    assert contrast[0] > 15
    assert contrast[1] < 3
    assert contrast[2] < 1e-6


def test_suspects_on_the_command_line(record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    found = editing.suspects(record)
    record.close()
    assert main(["edits", "suspects", str(record.path)]) == 0
    said = capsys.readouterr().out
    assert str(found[0].id) in said
    assert f"{len(found)} tesserae to look at" in said
    path = record.path.parent / "suspects.csv"
    assert main(["edits", "suspects", str(record.path), "-o", str(path), "--size", "19", "--without-colours"]) == 0
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert 0 < len(rows) < len(found)
    assert main(["edits", "suspects", str(record.path), "-o", str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["edits", "suspects", str(record.path), "--score", "3"]) == 2


def test_the_queue_of_nothing_is_empty(record: Record) -> None:
    editing.replace_window(record, Box(0, 0, *SHAPE), np.zeros(SHAPE, np.uint32))
    assert editing.suspects(record) == []
    assert editing.progress_of_queue(record) == (0, 0)


def test_how_likely_a_stone_is_wrong_follows_its_doubts() -> None:
    none = np.zeros((1, len(FEATURES)))
    none[0, 0] = -np.log(9)  # a score of 0.9
    less, larger = none.copy(), none.copy()
    less[0, 0], larger[0, FEATURES.index("large")] = 0, 1.0
    sure, torn, odd = (float(wrongness(one)[0]) for one in (none, less, larger))
    assert sure < 0.05
    assert torn > 0.5
    assert odd > sure


def test_several_small_doubts_are_a_reason_and_what_a_person_said_is_stronger() -> None:
    found = np.zeros((3, len(REASONS)))
    found[1, 6] = 5.0  # where no tessera should be
    weight = severity(found, np.array([0.3, 0.01, 0.01]), editing.QueueParams())
    assert weight.tolist() == [0.3, 0.9, 0.0]
    assert found[0].nonzero()[0].tolist() == [REASONS.index("several small doubts")]
