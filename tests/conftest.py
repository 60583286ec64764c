"""Small drawn photographs, a method that needs no network, and where the real photographs are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bright import bright_stones, make_brightness
from napari_mosaic.dependencies import has_package
from napari_mosaic.engine.segmenters import FunctionSegmenter

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"

NEEDS_TORCH = (
    "test_grout.py",
    "test_sam_models.py",
    "test_sam_small.py",
    "test_sam_training.py",
    "test_training.py",
    "test_training_commands.py",
)
"""Files whose tests all bear the mark `torch`: they import it, so without it they are not even read."""
WITH_TORCH = has_package("torch")
collect_ignore = [] if WITH_TORCH else list(NEEDS_TORCH)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run what takes minutes")


def pytest_report_header() -> str:
    if WITH_TORCH:
        return "torch: installed"
    return f"torch: not installed, {len(NEEDS_TORCH)} files left out ({', '.join(NEEDS_TORCH)}) and tests marked torch"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in NEEDS_TORCH:
            item.add_marker("torch")
        if item.get_closest_marker("torch") and not WITH_TORCH:
            item.add_marker(pytest.mark.skip(reason="needs the extra torch"))
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
