"""The search for the scale: as the whole ladder says, with fewer windows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_mosaic.engine import scale

METHOD: Any = SimpleNamespace(tessera_px=16.0, streams=2)
IMAGE: Any = SimpleNamespace(shape=(20_000, 20_000))
EVERYWHERE: Any = SimpleNamespace(factor=1.0, mask=lambda _: None)


class Floor:
    """Trials on a floor whose tesserae are `pitch` px at each place; `sureness` is how sure the map is anywhere."""

    def __init__(self, pitch: Any, sureness: float = 0.9) -> None:
        self.pitch, self.sureness = pitch, sureness
        self.asked: list[tuple[tuple[float, float], float]] = []

    def read_trial(self, _: Any, __: Any, place: tuple[float, float], factor: float) -> tuple[float, float, float, int]:
        self.asked.append((place, factor))
        size = self.pitch(place) * factor
        return size, 1.0, self.sureness, 50 if 6 < size < 60 else 0


def estimate(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> scale.ScaleEstimate:
    monkeypatch.setattr(scale, "read_trial", floor.read_trial)
    return scale.estimate_scale(IMAGE, METHOD, EVERYWHERE)


def whole_ladder(floor: Floor, place: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> scale.Probe | None:
    monkeypatch.setattr(scale, "read_trial", floor.read_trial)
    return scale.probe_scale(IMAGE, METHOD, place)


@pytest.mark.parametrize("pitch", [7.0, 16.0, 33.0, 90.0])
def test_places_climb_from_the_middle_one_to_what_the_ladder_says(
    pitch: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = Floor(lambda place: pitch * (1 + place[0] / 40_000))
    found = estimate(floor, monkeypatch)
    ladder = [whole_ladder(floor, (probe.y, probe.x), monkeypatch) for probe in found.probes]
    assert list(found.probes) == ladder
    assert found.source_px == pytest.approx(pitch * 1.25, rel=0.01)


def test_sure_places_need_four_windows_each(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor(lambda _: 30.0)
    estimate(floor, monkeypatch)
    assert len(floor.asked) == len(scale.LADDER) + 1 + 8 * 4


def test_a_place_that_is_not_sure_looks_at_the_whole_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor(lambda _: 30.0, sureness=0.2)
    estimate(floor, monkeypatch)
    assert len(floor.asked) == 9 * (len(scale.LADDER) + 1)


def test_a_place_with_much_larger_stones_is_found_from_afar(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor(lambda place: 12.0 if place[1] < 10_000 else 48.0)
    found = estimate(floor, monkeypatch)
    sizes = {round(16 / probe.factor) for probe in found.probes}
    assert sizes == {12, 48}
    assert found.spread > 1.5


def test_no_stones_at_any_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    found = estimate(Floor(lambda _: np.inf), monkeypatch)
    assert found == scale.ScaleEstimate(1.0, None, ())
