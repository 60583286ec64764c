"""`measure`: the table and the figures of the whole, kept in the record, of any of its label layers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow.parquet as pq
import pytest
import shapely
from PIL import Image

from bright import bright_stones
from napari_mosaic import editing, measure, open_record
from napari_mosaic.cli import main
from napari_mosaic.errors import MissingError
from napari_mosaic.evaluation.floor import Square
from napari_mosaic.evaluation.floor_files import check_folder, write_counts
from napari_mosaic.export import export_record
from napari_mosaic.export.region import RegionRecord
from napari_mosaic.measurement.bare import bare_ground
from napari_mosaic.measurement.counting import count_by_confidence
from napari_mosaic.measurement.palette import find_palette, hex_of
from napari_mosaic.measurement.whole import size_class
from napari_mosaic.measuring import measured_files, read_measured
from napari_mosaic.record import Record
from napari_mosaic.record.finished import mark_finished
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from napari_mosaic.tiling import Box

SHAPE = (230, 310)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measuring")
    Image.fromarray(bright_stones(SHAPE)).save(folder / "a.png")
    params = SegmentParams(method="brightness", scale=1.0, tile_size=64)
    segment(folder / "a.png", folder / "a.mosaic.zarr", params=params).close()
    return folder


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "a")
    return tmp_path / "a" / "a.mosaic.zarr"


def test_the_table_and_the_figures_are_kept_in_the_record(path: Path) -> None:
    with open_record(path, writable=True) as record:
        found = measure(record)
        table, figures = measured_files(record)
        kept = pq.read_table(table)
        assert kept.num_rows == record.count == found.whole.count.found
        values = found.table()
        assert kept.column_names == [*values, "opus"]
        np.testing.assert_array_equal(kept["row"].to_numpy(), values["row"])
        assert read_measured(record) == json.loads(figures.read_text())
        assert read_measured(record)["unit"] == "px"
        assert {"row", "palette_class", "local_density_per_mpx", "fourier_4"} <= set(values)
        assert "area_mm2" not in values


def test_lengths_are_in_millimetres_all_or_none(path: Path) -> None:
    with open_record(path, writable=True) as record:
        plain = measure(record).whole
        record.set_pixel_size(0.5)
        whole = measure(record).whole
    assert {spread.unit for spread in whole.sides.values()} == {"mm"} == {whole.unit}
    for name, spread in whole.sides.items():
        assert spread.median == pytest.approx(plain.sides[name].median / 2)
    assert whole.size_class is not None
    assert plain.size_class is None
    assert whole.joint_share == pytest.approx(plain.joint_share)
    assert whole.joint_width is not None
    assert whole.joint_width.median == pytest.approx(1, abs=0.2)  # joints of 2 px


def test_what_is_lost_is_beside_what_is_preserved_and_estimated(path: Path) -> None:
    with open_record(path, writable=True) as record:
        before = measure(record).whole
        record.areas = record.areas.add("lacuna", shapely.box(0, 0, 100, SHAPE[0]))
        whole = measure(record).whole
    assert whole.figures.px["lacuna"] == 100 * SHAPE[0]
    assert whole.lost is not None
    assert whole.lost.low <= whole.lost.tesserae <= whole.lost.high
    assert whole.lost.tesserae == pytest.approx(before.count.found * 100 / SHAPE[1], rel=0.25)
    assert whole.count.found < before.count.found
    assert any("an estimate" in name for _, name, _ in whole.entries())


def test_another_label_layer_is_measured_by_its_name(path: Path) -> None:
    with open_record(path, writable=True) as record:
        layer = record.add_label_layer("half")
        for index in record.tesserae.done:
            box = record.plan.shards.tile(index).core
            rows = record.tesserae.read_rows(index)
            left = rows["x1"] < SHAPE[1] // 2
            labels = record.read_labels(box)
            said = ("material", "state")
            kept = {name: values[left] for name, values in rows.items() if name not in said}
            layer.write_shard(index, np.where(np.isin(labels, kept["id"]), labels, 0), kept)
            record.ledger.add(layer.name, [index])
        found = measure(record, ["area", "row"], labels="half")
        assert 0 < found.whole.count.found < record.count
        assert measured_files(record, "half")[0].exists()
        assert not measured_files(record)[0].exists()
        with pytest.raises(MissingError, match="no labels 'other'"):
            measure(record, labels="other")


def test_without_the_photograph_colours_are_left_out_and_said_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise MissingError("It is gone.")

    monkeypatch.setattr(Record, "open_source", gone)
    with open_record(path) as record:
        found = measure(record)
        assert "left out" in found.without
        assert found.whole.palette is None
        assert "lightness" not in found.table()
        assert not measured_files(record)[0].exists()  # open for reading


def test_the_count_says_what_it_rests_on(path: Path) -> None:
    with open_record(path, writable=True) as record:
        assert measure(record).whole.count.basis == "confidences"
        for box in (Box(0, 0, 115, 310), Box(115, 0, 230, 310)):
            mark_finished(record, box)
        ids = record.table(["id"])["id"].to_numpy()[:3].tolist()
        editing.delete(record, ids)
        count = measure(record).whole.count
        assert count.basis == "finished windows"
        assert count.low <= record.count <= count.high
        boxes = [Box(20, 20, 110, 110), Box(120, 20, 220, 110), Box(20, 150, 110, 300)]
        write_counts([Square(name=str(k), box=box, counted=20) for k, box in enumerate(boxes)], check_folder(path))
        assert measure(record).whole.count.basis == "counted squares"


def test_more_doubt_makes_a_wider_interval() -> None:
    counts = [count_by_confidence(np.full(1000, score)) for score in (0.95, 0.89, 0.8)]
    widths = [count.high - count.low for count in counts]
    assert widths == sorted(widths)
    assert all(count.low <= count.middle <= count.high for count in counts)
    assert count_by_confidence(np.zeros(0)).high == 0


def test_a_palette_has_as_many_colours_as_there_are() -> None:
    rng = np.random.default_rng(3)
    true = np.array([[30.0, 2, 5], [55, 10, 25], [80, 0, 8]])
    colours = true[rng.integers(0, 3, 900)] + rng.normal(0, 2, (900, 3))
    palette = find_palette(np.vstack([colours, np.full((1, 3), np.nan)]))
    assert len(palette.colours) == 3
    np.testing.assert_allclose(palette.colours, true, atol=0.5)
    classes = palette.classes_of(np.array([[31.0, 2, 5], [np.nan] * 3, [79, 0, 8]]))
    assert classes.tolist() == [1, 0, 3]
    again = find_palette(colours)
    np.testing.assert_array_equal(again.colours, palette.colours)
    one = find_palette(rng.normal((60, 0, 0), 2, (500, 3)))
    assert len(one.colours) == 1
    assert len(find_palette(np.zeros((0, 3))).colours) == 0
    assert hex_of((100, 0, 0)) == "#ffffff"


def test_size_classes_have_their_bounds() -> None:
    assert [size_class(side) for side in (3, 8, 15, 30)] == [
        "very fine (up to 4 mm)",
        "fine (4 to 10 mm)",
        "middling (10 to 20 mm)",
        "coarse (over 20 mm)",
    ]


def test_a_part_has_the_rows_and_the_palette_of_the_whole_floor(path: Path) -> None:
    with open_record(path, writable=True) as record:
        whole = measure(record)
        kept = [file.read_bytes() for file in measured_files(record)]
        part = measure(RegionRecord(record, shapely.box(0, 0, 155, 230)))
        assert [file.read_bytes() for file in measured_files(record)] == kept
        place = whole.floor.tesserae.rows_of(part.floor.tesserae.columns["id"])
        tables = part.table(), whole.table()
    assert 0 < len(place) < len(whole.floor.tesserae)
    for name in set(tables[0]) - {"number"}:
        np.testing.assert_array_equal(tables[0][name], tables[1][name][place], err_msg=name)
    assert part.opus.tolist() == whole.opus[place].tolist()
    assert [each.lab for each in part.whole.palette] == [each.lab for each in whole.whole.palette]
    assert part.whole.andamento.longest <= whole.whole.andamento.longest


def test_an_empty_record_is_told_in_a_sentence_and_not_handed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((90, 90, 3), 20, np.uint8)).save(tmp_path / "a.png")
    path = tmp_path / "a.mosaic.zarr"
    segment(tmp_path / "a.png", path, params=SegmentParams(method="brightness", scale=1.0)).close()
    assert main(["measure", str(path)]) == 0
    said = capsys.readouterr()
    assert "a.mosaic.zarr holds no tessera, so there is nothing to measure but its areas" in said.err
    assert "Andamento" not in said.out
    assert "interval" not in said.out
    assert main(["deliver", str(path), "-o", str(tmp_path / "hand"), "--in-pixels"]) == 1
    assert "holds no tessera, so there is nothing to hand in" in capsys.readouterr().err
    assert not (tmp_path / "hand").exists()
    assert main(["bare-ground", str(path), "--as", "outside"]) == 0
    assert "no bare ground to speak of" in capsys.readouterr().out


def test_bare_ground_is_told_and_marked_by_whoever_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = np.random.default_rng(0).integers(20, 70, (300, 400, 3)).astype(np.uint8)  # plaster is not flat
    picture[:, :200] = bright_stones((300, 200))
    picture[100:112, 300:312] = 220  # a crumb
    Image.fromarray(picture).save(tmp_path / "a.png")
    path = tmp_path / "a.mosaic.zarr"
    segment(tmp_path / "a.png", path, params=SegmentParams(method="brightness", scale=1.0)).close()
    with open_record(path, writable=True) as record:
        before = measure(record).whole
        found = bare_ground(record)
        assert found.geometry.within(shapely.box(200, 0, 400, 300))
        assert found.geometry.area > 0.85 * 200 * 300
        assert found.tesserae == 1
        assert before.bare.share == pytest.approx(found.geometry.area / (300 * 400))
    assert main(["measure", str(path), "--read-only"]) == 0
    said = capsys.readouterr()
    assert f"{before.bare.share:.0%} of what counts as preserved" in said.out
    assert f"napari-mosaic bare-ground {path} --as" in said.err  # to be copied from any folder
    assert main(["bare-ground", str(path)]) == 0
    assert "Alone on it: 1 tessera\n" in capsys.readouterr().out
    assert main(["bare-ground", str(path), "--as", "preserved"]) == 2
    assert "choose one of lacuna, repair, not legible, outside" in capsys.readouterr().err
    assert main(["bare-ground", str(path), "--as", "lacuna"]) == 0
    assert "Marked as lacuna" in capsys.readouterr().out
    with open_record(path, writable=True) as record:
        after = measure(record).whole
        assert after.bare.words == ""
        assert after.joint_share < before.joint_share - 0.2
        editing.undo(record)
        assert measure(record).whole.joint_share == before.joint_share


def test_bare_ground_is_none_in_joints_and_lost_stones(path: Path) -> None:
    with open_record(path, writable=True) as record:
        ids = record.table(["id"])["id"].to_numpy()
        editing.delete(record, ids[::9].tolist())
        assert bare_ground(record).geometry.is_empty
        record.areas = record.areas.add("region", shapely.box(0, 0, 200, 200))
        assert measure(record).whole.bare.words == ""


def test_the_command_writes_table_and_figures(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", str(path), "-o", str(tmp_path / "a.xlsx")]) == 0
    told = capsys.readouterr()
    assert "Opus, a suggestion" in told.out or "Andamento" in told.out
    book = openpyxl.load_workbook(tmp_path / "a.xlsx", read_only=True)
    assert book.sheetnames == ["whole", "joint map", "tesserae", "columns", "about"]
    assert main(["measure", str(path), "-o", str(tmp_path / "a.csv"), "--columns", "row", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == "tesserae"
    assert (tmp_path / "a.csv").read_text().startswith("number,id,row\n1,")
    assert main(["measure", str(path), "-o", str(tmp_path / "a.doc")]) == 2
    assert main(["measure", str(path), "--columns", "area_mm2"]) == 1


def test_the_proof_lies_near_the_photograph(path: Path, tmp_path: Path) -> None:
    with open_record(path) as record:
        folder = export_record(record, None, tmp_path / "a.proof")
        export_record(record, "proof", folder, overwrite=True)
    told = json.loads((folder / "proof.json").read_text())
    assert told["delta_e_2000"]["tesserae"]["median"] < 1  # stones of one colour each
    with Image.open(folder / "proof.png") as picture:
        assert picture.size == (2 * SHAPE[1], SHAPE[0])
    with Image.open(folder / "difference.png") as difference:
        assert difference.size == SHAPE[::-1]
    svg = (folder / "proof.svg").read_text()
    assert svg.count("<path") == record.count


@pytest.mark.parametrize("cores", [1, 4])
def test_figures_are_the_same_on_any_number_of_cores(path: Path, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_mosaic.measurement.windows.TILE", 64)
    with open_record(path) as record:
        expected = measure(record)
        monkeypatch.setattr("napari_mosaic.measurement.tiles.usable_cores", lambda: set(range(cores)))
        found = measure(record)
    assert found.whole == expected.whole
    for name, values in expected.table().items():
        np.testing.assert_array_equal(found.table()[name], values)


def test_figures_of_a_cluster_are_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    monkeypatch.setattr("napari_mosaic.measurement.windows.TILE", 64)
    with open_record(path) as record:
        expected = measure(record)
        with (
            distributed.LocalCluster(n_workers=2, processes=False, dashboard_address=None) as local,
            distributed.Client(local, set_as_default=False) as client,
        ):
            found = measure(record, client=client)
    assert found.whole == expected.whole
    for name, values in expected.table().items():
        np.testing.assert_array_equal(found.table()[name], values)
