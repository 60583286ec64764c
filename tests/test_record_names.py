"""Twins: photographs that share a name never share a record, whoever asks and however often."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_mosaic.cli import main
from napari_mosaic.errors import RecordError
from napari_mosaic.fingerprints import fingerprint_file
from napari_mosaic.image import open_image
from napari_mosaic.picture_marks import is_ours
from napari_mosaic.record import open_record
from napari_mosaic.record.metadata import describe_source, is_source
from napari_mosaic.record_names import Wanted, clean_name, free_place, record_place, record_places, unique_names
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment
from test_image_web import Answer, Site, png, site

__all__ = ["site"]

METHOD = ["--method", "brightness", "--scale", "1", "--tile-size", "128"]
PARAMS = SegmentParams(method="brightness", scale=1.0, tile_size=128)
Draw = Callable[..., Any]


def save(path: Path, pixels: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def days(tmp_path: Path, photograph: Draw) -> list[Path]:
    """Two photographs of one name in two folders."""
    return [
        save(tmp_path / day / "DSC_0001.jpg", photograph((140, 180), seed=seed, pitch=pitch))
        for seed, (day, pitch) in enumerate((("dayA", 14), ("dayB", 30)))
    ]


@pytest.fixture
def kinds(tmp_path: Path, photograph: Draw) -> list[Path]:
    """Two photographs in one folder whose names differ in the ending alone."""
    return [
        save(tmp_path / "kinds" / name, photograph((140, 180), seed=seed, pitch=pitch))
        for seed, (name, pitch) in enumerate((("floor.jpg", 14), ("floor.png", 30)))
    ]


def results(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = json.loads(capsys.readouterr().out)
    return list(found.get("results", [found]))


def check_own(found: list[dict[str, Any]]) -> list[int]:
    """Every result is a record of its own photograph; the numbers of tesserae."""
    assert len({result["record"] for result in found}) == len(found)
    for result in found:
        with open_record(result["record"]) as record, open_image(result["source"]) as image:
            assert record.source.fingerprint == image.source.fingerprint
            assert record.figures().count == result["tesserae"]
            assert record.complete
    return [result["tesserae"] for result in found]


def test_names_tell_twins_apart_and_leave_others_alone() -> None:
    assert unique_names(["dayA/DSC_0001.jpg", "dayB/DSC_0001.jpg", "x/wall.tif"]) == {
        "dayA/DSC_0001.jpg": "dayA-DSC_0001", "dayB/DSC_0001.jpg": "dayB-DSC_0001", "x/wall.tif": "wall",
    }  # fmt: skip
    assert set(unique_names(["floor.jpg", "floor.png"]).values()) == {"floor-jpg", "floor-png"}
    assert set(unique_names(["a/floor.jpg", "a/floor.png", "b/floor.png"]).values()) == {
        "a-floor-jpg", "a-floor-png", "b-floor-png",
    }  # fmt: skip
    assert unique_names(["floor.tif", "./floor.tif"]) == {"floor.tif": "floor", "./floor.tif": "floor"}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://x.org/iiif/floor-12/info.json", "floor-12"),
        ("https://x.org/iiif/museum%2Ffloor.jp2/info.json", "floor"),
        ("https://x.org/iiif/3/floor/full/max/0/default.jpg", "floor"),
        ("https://x.org/iiif/12/info.json", "iiif-12"),
        ("https://x.org/iipsrv.fcgi?IIIF=/rooms/floor.tif/info.json", "floor"),
        ("https://x.org/object/manifest.json#canvas=2", "object-canvas2"),
        ("https://x.org/tiles/floor.dzi", "floor"),
        ("https://x.org/floor.ome.zarr/", "floor"),
        ("https://x.org/info.json", "x.org"),
        ("sample:brick", "brick"),
    ],
)
def test_an_address_is_named_by_its_last_telling_part(address: str, name: str) -> None:
    assert unique_names([address]) == {address: name}


def test_names_are_taken_by_every_system() -> None:
    assert clean_name('floor: "a/b"?. ') == "floor_ _a_b__"
    assert clean_name("NUL") == "NUL_"
    assert clean_name("...") == "mosaic"
    long = {clean_name("ä" * 300 + end) for end in "ab"}
    assert len(long) == 2
    assert max(len(name.encode()) for name in long) < 200


_PART = st.sampled_from(["a", "A", "floor", "floor-png", "a-floor", "dayA"])
_SOURCE = st.builds(
    lambda folders, stem, ending: "/".join([*folders, f"{stem}.{ending}"]),
    st.lists(_PART, max_size=3), _PART, st.sampled_from(["png", "jpg", "ome.tif"]),
)  # fmt: skip


@given(st.lists(_SOURCE, min_size=1, max_size=8, unique=True), st.randoms(use_true_random=False))
def test_no_two_sources_share_a_name_in_any_order(sources: list[str], random: Any) -> None:
    names = unique_names(sources)
    assert len({name.casefold() for name in names.values()}) == len(sources)
    random.shuffle(sources)
    assert unique_names(sources) == names


def test_segment_gives_twins_records_of_their_own_and_finds_them_again(
    days: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["segment", *map(str, days), *METHOD, "-o", str(out), "--preview", str(tmp_path / "seen"), "--json"]
    assert main(words) == 0
    first = results(capsys)
    counts = check_own(first)
    assert counts[0] != counts[1]
    assert [Path(result["record"]).name for result in first] == [
        "dayA-DSC_0001.mosaic.zarr", "dayB-DSC_0001.mosaic.zarr",
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == [
        "dayA-DSC_0001.preview.png", "dayB-DSC_0001.preview.png",
    ]  # fmt: skip
    assert main(["segment", *map(str, reversed(days)), *METHOD, "-o", str(out), "--resume", "--json"]) == 0
    again = results(capsys)
    assert [result["record"] for result in reversed(again)] == [result["record"] for result in first]
    assert main(["segment", str(days[0]), *METHOD, "-o", str(out), "--resume", "--json"]) == 0
    assert results(capsys)[0]["record"] == first[0]["record"]


def test_a_folder_with_twins_of_two_kinds(kinds: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = kinds[0].parent
    assert main(["segment", str(kinds[0]), *METHOD, "--json"]) == 0  # the first one has its plain name already
    capsys.readouterr()
    words = ["segment", str(folder), *METHOD, "--resume", "--preview", str(folder), "--json"]
    assert main(words) == 0
    first = results(capsys)
    counts = check_own(first)
    assert counts[0] != counts[1]
    assert [Path(result["record"]).name for result in first] == ["floor.mosaic.zarr", "floor-png.mosaic.zarr"]
    assert main(words) == 0
    again = results(capsys)
    assert [result["source"] for result in again] == [str(path) for path in kinds]
    assert [result["record"] for result in again] == [result["record"] for result in first]


@pytest.mark.parametrize("way", [["--resume"], ["--overwrite"], ["--overwrite", "--discard-edits"], []])
def test_a_name_that_another_photograph_has_is_refused(
    kinds: list[Path], way: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(kinds[0]), *METHOD]) == 0
    place = kinds[0].with_name("floor.mosaic.zarr")
    before = (place / "mosaic.json").read_bytes()
    capsys.readouterr()
    assert main(["segment", str(kinds[1]), *METHOD, *way]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "another photograph" in said
    assert "floor.jpg" in said
    assert "floor-png.mosaic.zarr" in said
    assert (place / "mosaic.json").read_bytes() == before
    assert main(["segment", str(kinds[1]), *METHOD, "-o", str(place.with_name("floor-png.mosaic.zarr"))]) == 0


def test_a_folder_whose_records_are_those_of_another_day_tells_each(
    days: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["segment", str(days[0].parent), *METHOD, "-o", out, "--json"]) == 0
    capsys.readouterr()
    assert main(["segment", str(days[1].parent), *METHOD, "-o", out, "--resume"]) == 1
    assert "another photograph" in " ".join(capsys.readouterr().err.split())


def read_summary(table: Path) -> list[dict[str, str]]:
    with table.with_name(f"{table.stem}.summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("output", ["", "out"])
def test_batch_gives_twins_records_of_their_own(
    days: list[Path], kinds: list[Path], tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "jobs.csv"
    lines = [f"{path.relative_to(tmp_path)},{output}" for path in (*days, *kinds)]
    table.write_text("\n".join(["source,output", *lines]))
    assert main(["batch", str(table), *METHOD, "--json"]) == 0
    first = results(capsys)
    counts = check_own(first)
    assert counts[0] != counts[1]
    assert counts[2] != counts[3]
    assert [row["tesserae"] for row in read_summary(table)] == [str(count) for count in counts]
    table.write_text("\n".join(["source,output", *reversed(lines)]))
    assert main(["batch", str(table), *METHOD]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("(was done)") == 4
    assert [row["tesserae"] for row in read_summary(table)] == [str(count) for count in reversed(counts)]


def test_batch_never_takes_another_photographs_record_for_done(
    kinds: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(kinds[0]), *METHOD]) == 0
    capsys.readouterr()
    table = kinds[0].with_name("jobs.csv")
    table.write_text("source\nfloor.png\n")
    for way in ([], ["--overwrite"]):
        assert main(["batch", str(table), *METHOD, *way]) == 1
        captured = capsys.readouterr()
        assert "was done" not in captured.out
        assert "another photograph" in " ".join(captured.err.split())
        (row,) = read_summary(table)
        assert "another photograph" in row["error"]
        assert row["tesserae"] == ""


def test_a_file_that_was_changed_since_was_not_done(
    kinds: list[Path], photograph: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    source = kinds[1]
    table = source.with_name("jobs.csv")
    table.write_text("source\nfloor.png\n")
    assert main(["batch", str(table), *METHOD]) == 0
    save(source, photograph((140, 180), seed=9, pitch=22))
    capsys.readouterr()
    assert main(["batch", str(table), *METHOD]) == 1
    captured = capsys.readouterr()
    assert "was done" not in captured.out
    assert "was changed since" in " ".join(captured.err.split())
    assert main(["batch", str(table), *METHOD, "--overwrite", "--json"]) == 0
    check_own(results(capsys))


def test_edits_of_old_pixels_are_not_laid_over_new_ones(kinds: list[Path], photograph: Draw) -> None:
    from napari_mosaic.editing import delete

    source = kinds[1]
    with segment(source, params=PARAMS) as record:
        path, first = record.path, int(record.table(["id"]).column("id").to_numpy()[0])
    with open_record(path, writable=True) as record:
        delete(record, [first])
    save(source, photograph((140, 180), seed=9, pitch=22))
    with pytest.raises(RecordError, match="--discard-edits"):
        segment(source, params=PARAMS, overwrite=True)
    with segment(source, params=PARAMS, overwrite=True, discard_edits=True) as record, open_image(source) as image:
        assert record.source.fingerprint == image.source.fingerprint


def test_a_table_that_wants_two_things_in_one_record_is_told(
    days: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "jobs.csv"
    for lines in (
        [f"{path.relative_to(tmp_path)},one.mosaic.zarr," for path in days],
        ["dayA/DSC_0001.jpg,,a.geojson", "dayA/DSC_0001.jpg,,b.geojson"],
    ):
        table.write_text("\n".join(["source,output,region", *lines]))
        assert main(["batch", str(table), *METHOD]) == 1
        assert "Lines 2 and 3" in " ".join(capsys.readouterr().err.split())


def iiif_of(pictures: dict[str, Any], *, ids: bool) -> Callable[[str], Answer]:
    """A server of level 0 with one tile a picture; where not `ids` the descriptions do not say whose they are."""

    def answer(path: str) -> Answer:
        name, _, rest = path.removeprefix("/iiif/").partition("/")
        if name not in pictures:
            return 404, {}, b""
        height, width = pictures[name].shape[:2]
        if rest == "info.json":
            info = {"width": width, "height": height, "profile": "level0", "tiles": [{"width": 256}]}
            return 200, {}, json.dumps(info | ({"id": f"http://somewhere/{name}"} if ids else {})).encode()
        return 200, {}, png(pictures[name])

    return answer


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("verb", ["segment", "batch"])
def test_two_addresses_are_two_photographs(
    site: Site, tmp_path: Path, photograph: Draw, verb: str, ids: bool, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pictures = {f"floor-{pitch}": photograph((140, 180), seed=pitch, pitch=pitch) for pitch in (14, 30)}
    site.answer = iiif_of(pictures, ids=ids)
    addresses = [f"{site.url}/iiif/{name}/info.json" for name in pictures]
    monkeypatch.chdir(tmp_path)
    if verb == "segment":
        words = ["segment", *addresses, *METHOD, "-o", str(tmp_path), "--preview", str(tmp_path), "--json"]
        again = [*words, "--resume"]
    else:
        (tmp_path / "jobs.csv").write_text("\n".join(["source", *addresses]))
        words = again = ["batch", str(tmp_path / "jobs.csv"), *METHOD, "--json"]
    assert main(words) == 0
    first = results(capsys)
    counts = check_own(first)
    assert counts[0] != counts[1]
    assert {path.name for path in tmp_path.glob("*.zarr")} == {f"{name}.mosaic.zarr" for name in pictures}
    assert main(again) == 0
    assert [result["record"] for result in results(capsys)] == [result["record"] for result in first]


def test_two_deep_zooms_of_one_size_are_two_photographs(tmp_path: Path, photograph: Draw) -> None:
    text = (
        '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" TileSize="256" Overlap="0" Format="png">'
        '<Size Width="180" Height="140"/></Image>'
    )
    marks = []
    for pitch in (14, 30):
        folder = tmp_path / str(pitch)
        save(folder / "floor_files" / "8" / "0_0.png", photograph((140, 180), seed=pitch, pitch=pitch))
        (folder / "floor.dzi").write_text(text)
        with open_image(folder / "floor.dzi") as image:
            marks.append(image.source.fingerprint)
    assert marks[0] != marks[1]


def test_two_tiffs_of_one_head_are_two_photographs_at_an_address(site: Site, tmp_path: Path, photograph: Draw) -> None:
    marks = []
    for pitch in (14, 30):
        pixels = photograph((140, 180), seed=pitch, pitch=pitch)
        pixels[:40] = 0
        tifffile.imwrite(tmp_path / f"{pitch}.tif", pixels, photometric="rgb", metadata=None)
        content = (tmp_path / f"{pitch}.tif").read_bytes()
        site.answer = lambda path, content=content: (200, {}, content)
        with open_image(f"{site.url}/{pitch}.tif") as image:
            marks.append(image.source.fingerprint)
    assert marks[0] != marks[1]


def test_every_pixel_of_an_array_counts(photograph: Draw) -> None:
    pixels = photograph((400, 500))
    with open_image(pixels) as image:
        before = image.source
    pixels[131, 77] ^= 1
    with open_image(pixels) as image:
        assert image.source.fingerprint != before.fingerprint
        assert image.source.earlier == before.earlier


def test_a_record_of_an_earlier_fingerprint_keeps_its_photograph_where_that_was(
    tmp_path: Path, photograph: Draw
) -> None:
    with open_image(photograph((120, 130))) as image:
        entry = replace(describe_source(image, tmp_path), fingerprint=image.source.earlier)
        assert is_source(image, entry)
        assert not is_source(image, replace(entry, location="elsewhere"))
        assert not is_source(image, replace(entry, fingerprint=""))


def painted_over(path: Path) -> None:
    """A retouch that leaves size, head, middle and tail of an uncompressed TIFF as they were, and its time too."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 4 + 300] = bytes(300)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_retouch_anywhere_in_a_file_makes_it_another_photograph(
    tmp_path: Path, photograph: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    path, table = tmp_path / "a.tif", tmp_path / "jobs.csv"
    tifffile.imwrite(path, photograph((700, 800)), photometric="rgb")
    table.write_text("source\na.tif\n")
    words = ["batch", str(table), *METHOD]
    assert main(words) == 0
    before = fingerprint_file(path)
    painted_over(path)
    after = fingerprint_file(path)
    assert before.earlier == after.earlier
    assert before.fingerprint != after.fingerprint
    capsys.readouterr()
    assert main(words) == 1
    found = capsys.readouterr()
    assert "was done" not in found.out
    assert "was changed since" in found.err


def test_of_a_large_file_parts_all_over_it_count(tmp_path: Path) -> None:
    path = tmp_path / "large"
    content = bytearray(np.random.default_rng(1).bytes(1 << 20))
    path.write_bytes(content)
    before = fingerprint_file(path, whole=1 << 19)
    content[1 << 18] ^= 1
    path.write_bytes(content)
    assert fingerprint_file(path, whole=1 << 19).fingerprint != before.fingerprint
    assert fingerprint_file(path).fingerprint != before.fingerprint


def test_a_record_of_before_files_were_hashed_whole_keeps_its_photograph_anywhere(
    tmp_path: Path, photograph: Draw
) -> None:
    for name in ("a.tif", "a.png"):
        save(tmp_path / name, photograph((120, 130)))
        with open_image(tmp_path / name) as image:
            entry = replace(describe_source(image, tmp_path), fingerprint=image.source.earlier, location="elsewhere")
            assert is_source(image, entry)
            assert not is_source(image, replace(entry, fingerprint="0"))


def test_a_vrt_is_known_by_the_files_that_it_names(tmp_path: Path, photograph: Draw) -> None:
    text = (
        '<VRTDataset rasterXSize="180" rasterYSize="140"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">part.tif</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    marks = []
    for pitch in (14, 30):
        folder = tmp_path / str(pitch)
        folder.mkdir()
        tifffile.imwrite(folder / "part.tif", photograph((140, 180), seed=pitch, pitch=pitch)[..., 0])
        (folder / "floor.vrt").write_text(text)
        with open_image(folder / "floor.vrt") as image:
            marks.append(image.source.fingerprint)
    assert marks[0] != marks[1]


def test_previews_exports_and_hidden_files_are_no_photographs(
    kinds: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, source = kinds[0].parent, kinds[1]
    kinds[0].unlink()
    (folder / "._floor.png").write_bytes(b"\0\5\26\7 Mac OS X")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    words = ["segment", str(folder), *METHOD, "--preview", str(folder), "--resume", "--json"]
    assert main(words) == 0
    (one,) = results(capsys)
    assert (folder / "floor.preview.png").exists()
    (folder / "floor.preview.png").rename(folder / "seen.png")
    record = folder / "floor.mosaic.zarr"
    for name in ("labels.png", "labels.tif"):
        assert main(["export", str(record), "-o", str(folder / name)]) == 0
    capsys.readouterr()
    assert all(is_ours(folder / name) for name in ("seen.png", "labels.png", "labels.tif"))
    assert not is_ours(source)
    assert main(words) == 0
    captured = capsys.readouterr()
    assert [result["source"] for result in json.loads(captured.out).get("results", [json.loads(captured.out)])] == [
        one["source"]
    ]
    assert "3 pictures" in captured.err
    everything = sorted(str(path) for path in folder.iterdir() if path.name[0] != "." and path.suffix != ".db")
    assert main(["segment", *everything, *METHOD, "--resume", "--json"]) == 0
    assert [result["record"] for result in results(capsys)] == [one["record"]]
    assert main(["segment", str(folder / "seen.png"), *METHOD]) == 1
    assert "no photograph" in capsys.readouterr().err


def test_a_preview_never_replaces_a_picture_that_is_none(
    days: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, before = tmp_path / "seen", days[1].read_bytes()
    seen.mkdir()
    assert main(["segment", str(days[0]), *METHOD, "--preview", str(days[1])]) == 1
    assert "perhaps a photograph" in " ".join(capsys.readouterr().err.split())
    assert days[1].read_bytes() == before
    assert not days[0].with_name("DSC_0001.mosaic.zarr").exists()
    for day in days:
        for _ in range(2):
            assert main(["segment", str(day), *METHOD, "--preview", str(seen), "--resume"]) == 0
    assert sorted(path.name for path in seen.iterdir()) == ["DSC_0001 2.preview.png", "DSC_0001.preview.png"]


def test_places_without_a_command_follow_the_same_rule(
    kinds: list[Path], tmp_path: Path, photograph: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with segment(kinds[0], params=PARAMS) as record:
        assert record.path == kinds[0].with_name("floor.mosaic.zarr")
    with pytest.raises(RecordError, match="another photograph"):
        segment(kinds[1], params=PARAMS, resume=True)
    pixels = photograph((120, 130))
    with segment(pixels, tmp_path / "array.mosaic.zarr", params=PARAMS) as record:
        path = record.path
    with open_image(pixels) as image:
        assert free_place(path, image) == path
    pixels[60, 60] ^= 255
    with open_image(pixels) as image:
        assert free_place(path, image) == tmp_path / "array 2.mosaic.zarr"
    with pytest.raises(RecordError, match="another photograph"):
        segment(pixels, path, params=PARAMS, resume=True)
    segment(pixels, path, params=PARAMS, overwrite=True).close()  # an array has no place: this may be the same one
    with pytest.raises(RecordError, match="another photograph"):
        segment(kinds[0], path, params=PARAMS, overwrite=True)


def test_a_folder_that_moved_as_a_whole_finds_its_records(kinds: list[Path], tmp_path: Path) -> None:
    with segment(kinds[0], kinds[0].with_name("floor-jpg.mosaic.zarr"), params=PARAMS):
        pass
    moved = tmp_path / "moved"
    shutil.move(kinds[0].parent, moved)
    (place,) = record_places([Wanted(str(moved / "floor.jpg"), moved)])
    assert place == moved / "floor-jpg.mosaic.zarr"


def test_a_record_of_another_name_is_itself_no_folder_for_records(tmp_path: Path) -> None:
    record = tmp_path / "renamed"
    record.mkdir()
    assert record_places([Wanted("floor.jpg", record)]) == [record / "floor.mosaic.zarr"]
    (record / "mosaic.json").touch()
    assert record_places([Wanted("floor.jpg", record)]) == [record]
    assert record_place("", "drawn", record) == record
