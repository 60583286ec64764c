"""Estimates count the blocks that a run will compute: by counting, never by the clock."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage
from shapely.geometry import box, mapping

from bright import bright_stones, brightness_map
from napari_mosaic import estimate_run
from napari_mosaic.areas import AreaSet
from napari_mosaic.cli import main
from napari_mosaic.engine.costs import USUAL, Amount, Costs, Rates, Site, count_blocks, disk_bytes, pick_trials
from napari_mosaic.engine.sam.costs import count_masks
from napari_mosaic.engine.sam.methods import MaskRequest
from napari_mosaic.engine.sam.plan import GUIDED
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.errors import WriteError
from napari_mosaic.estimating import with_masks, without_masks
from napari_mosaic.image import open_image
from napari_mosaic.progress import drain
from napari_mosaic.record import open_record
from napari_mosaic.record.file_mask import FileMask
from napari_mosaic.record_setup import initial_areas, plan_segmentation
from napari_mosaic.request import SegmentParams
from napari_mosaic.sam.params import SamParams
from napari_mosaic.sam.prompts import Prompts
from napari_mosaic.segmentation import segment_steps
from napari_mosaic.tiling import Box

PARAMS = SegmentParams(method="brightness", scale=1.0, tile_size=1024)


class Counting(FunctionSegmenter):
    """Counts the windows that it is given."""

    def __init__(self) -> None:
        super().__init__(brightness_map, name="brightness", channels=2, halo=8, tessera_px=24.0)
        self.windows = 0

    def predict(self, windows: Any) -> NDArray[np.uint8]:
        self.windows += len(windows)
        return super().predict(windows)


def on_a_sheet(shape: tuple[int, int] = (3100, 3100)) -> NDArray[np.uint8]:
    """A floor of 900 x 900 px in the first corner of a white sheet."""
    picture = np.full((*shape, 3), 255, np.uint8)
    picture[60:960, 60:960] = bright_stones((900, 900))
    return picture


def site_of(picture: Any, areas: AreaSet | None = None, **more: Any) -> Site:
    with open_image(picture) as image:
        areas = initial_areas(image) if areas is None else areas
        plan = plan_segmentation(image, Counting(), PARAMS, areas)
        return Site(plan, areas, FileMask(np.ones((1, 1), bool), image.shape), PARAMS.tile_size, **more)


def run(source: Any, output: Path, **job: Any) -> tuple[int, int]:
    """Windows that a run computed, and bytes of its record."""
    method = Counting()
    drain(segment_steps(source, output, params=PARAMS, segmenter=method, **job)).close()
    return method.windows, sum(path.stat().st_size for path in output.rglob("*") if path.is_file())


def network_windows(amount: Amount, site: Site) -> float:
    side = site.plan.window + 2 * site.plan.halo
    return amount.network * 1e6 / side**2


@pytest.mark.parametrize("job", [{}, {"only": Box(0, 0, 500, 500)}, {"exclude": box(0, 0, 2000, 500)}], ids=str)
def test_the_windows_that_are_counted_are_those_that_are_computed(tmp_path: Path, job: dict[str, Any]) -> None:
    picture = bright_stones((2048, 3072))
    left_out = AreaSet().add("exclude", job["exclude"]) if "exclude" in job else AreaSet()
    site = site_of(picture, left_out)
    amount = count_blocks(site, job.get("only"))
    computed, _ = run(picture, tmp_path / "a.mosaic.zarr", **job)
    assert network_windows(amount, site) == pytest.approx(computed)


def test_what_is_outside_costs_no_window_and_next_to_no_bytes(tmp_path: Path) -> None:
    picture = on_a_sheet()
    site = site_of(picture)
    amount = count_blocks(site)
    computed, size = run(picture, tmp_path / "a.mosaic.zarr")
    assert amount.windows == 16
    assert network_windows(amount, site) == pytest.approx(computed) == 1
    promised = estimate_run(picture, replace(PARAMS)).bytes_on_disk
    assert promised == pytest.approx(size, rel=0.3)
    assert promised < 0.2 * disk_bytes(site_of(picture, AreaSet()), count_blocks(site_of(picture, AreaSet())), USUAL)


def test_a_run_that_goes_on_is_promised_what_is_left(tmp_path: Path) -> None:
    picture = tmp_path / "floor.png"
    from PIL import Image

    Image.fromarray(bright_stones((1024, 3072))).save(picture)
    place = tmp_path / "a.mosaic.zarr"
    run(str(picture), place, only=Box(0, 0, 1000, 1000))
    whole = estimate_run(picture, PARAMS, output=place)
    left = estimate_run(picture, PARAMS, output=place, resume=True)
    assert left.megapixels == pytest.approx(2 / 3 * whole.megapixels)
    assert left.bytes_on_disk < 0.8 * whole.bytes_on_disk
    with open_record(place) as record:
        done = frozenset(record.ledger.done("tesserae"))
    before = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    assert len(done) == 1
    _, after = run(str(picture), place, resume=True)
    assert left.bytes_on_disk == pytest.approx(after - before, rel=0.3)
    assert estimate_run(picture, PARAMS, output=place, resume=True).megapixels == 0


def test_a_part_costs_what_it_holds() -> None:
    site = site_of(bright_stones((2048, 4096)))
    rates = Rates(network=1.0, tesserae=0.5, map_bytes=1.5, tessera_bytes=0.5, stones=0.002)
    costs = Costs(site, rates, start=1.0, workers=1)
    seconds, size = costs.of()
    part, part_size = costs.of(Box(0, 0, 900, 900))
    assert part < seconds
    assert part_size < 0.5 * size, "one of eight blocks is cut, four of eight windows are needed for it"
    assert size == pytest.approx(2048 * 4096 * (2.0 + 0.002 * 24), rel=0.02)


def test_trials_are_taken_where_there_is_mosaic() -> None:
    site = site_of(on_a_sheet())
    assert pick_trials(site) == [(0, 0)]
    assert len(pick_trials(site_of(bright_stones((3000, 3000))))) == 4


def test_what_the_file_masks_is_not_counted() -> None:
    picture = bright_stones((2048, 2048))
    inside = np.ones((64, 64), bool)
    inside[:, 32:] = False
    site = replace(site_of(picture), mask=FileMask(inside, (2048, 2048)))
    amount = count_blocks(site)
    assert amount.inside == pytest.approx(2.097, rel=0.01)
    assert network_windows(amount, site) == pytest.approx(2)


def test_a_disk_is_asked_for_what_will_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 4_000_000))
    run(on_a_sheet(), tmp_path / "sheet.mosaic.zarr")
    with pytest.raises(WriteError, match="needs about"):
        run(bright_stones((3100, 3100)), tmp_path / "full.mosaic.zarr")


def test_the_command_tells_what_a_run_would_take_and_writes_nothing(tmp_path: Path, capsys: Any) -> None:
    photograph = tmp_path / "floor.png"
    PILImage.fromarray(bright_stones((1024, 3072))).save(photograph)
    region = tmp_path / "region.geojson"
    region.write_text(json.dumps(mapping(box(0, 0, 1024, 1024))))
    words = ["estimate", str(photograph), "--method", "brightness", "--scale", "1", "--price-per-hour", "3600"]
    told = []
    for more in ([], ["--region", str(region)]):
        assert main([*words, *more, "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out)["qualities"]["quick"])
    assert told[0]["price"] == pytest.approx(told[0]["seconds"], abs=0.06)
    assert told[0]["megapixels"] == pytest.approx(3.146, rel=0.01)
    assert told[1]["megapixels"] == pytest.approx(1.049, rel=0.01)
    assert told[1]["disk_bytes"] < told[0]["disk_bytes"]
    assert told[0]["memory_bytes"] is None or told[0]["memory_bytes"] > 50e6
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["time", "core", "time", "memory", "disk", "price"]
    assert lines[2].startswith("quick ")
    assert {path.name for path in tmp_path.iterdir()} == {"floor.png", "region.geojson"}
    assert main([*words, "--price-per-hour", "-1"]) == 2


class Asked:
    """A network for masks that counts what it is asked."""

    name, sha256, config, precision, image_size, tessera_px = "none", "", "", "fp32", 256, 24.0

    def __init__(self) -> None:
        self.encoded = self.prompted = 0

    def embed(self, window: NDArray[np.uint8]) -> None:
        assert window.shape == (256, 256, 3)
        self.encoded += 1

    def predict(self, embedding: None, prompts: Prompts, *, batch: int, multimask: bool = True) -> Any:
        self.prompted += len(prompts)
        return iter(())

    def fitting_batch(self) -> int:
        return 16

    def peak_memory(self) -> int:
        return 10**12


def test_masks_are_priced_by_a_window_and_some_prompts() -> None:
    network, picture = Asked(), bright_stones((1024, 1024))
    found = estimate_run(picture, PARAMS)
    with open_image(picture) as image:
        masks = MaskRequest(mode=GUIDED, network=network, params=SamParams())
        priced = with_masks(found, image, masks)
    amount = count_masks(found.costs.site, GUIDED, SamParams())  # of the model that is usual: larger windows
    assert (network.encoded, network.prompted) == (2, 64)
    assert priced.prompts == amount.prompts > 100
    assert priced.seconds >= found.seconds
    assert priced.memory == 10**12
    assert "SAM 2 would be asked" in without_masks(found, GUIDED, SamParams()).untimed
