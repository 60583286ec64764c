"""Small drawn photographs, a method that needs no network, and where the real photographs are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from bright import bright_stones, make_brightness
from napari_mosaic.engine.segmenters import FunctionSegmenter

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"

# How long an example takes says something of the machine and what else it does, nothing of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run what takes minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; run it with --slow"))


@pytest.fixture
def photograph() -> Callable[..., NDArray[np.uint8]]:
    return bright_stones


@pytest.fixture
def brightness() -> FunctionSegmenter:
    return make_brightness()


@pytest.fixture
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the development photographs are not here")
    return SHARED
