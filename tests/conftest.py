"""Small drawn photographs, a method that needs no network, and where the real photographs are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from bright import bright_stones, make_brightness
from environments import CORE, NEEDS_TORCH
from napari_mosaic.dependencies import has_package
from napari_mosaic.engine.segmenters import FunctionSegmenter
from napari_mosaic.record import layout

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"

# How long an example takes says something of the machine and what else it does, nothing of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
WITH_TORCH = has_package("torch")
collect_ignore = [] if WITH_TORCH else list(NEEDS_TORCH)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run what takes minutes")
    parser.addoption("--core", action="store_true", help="run the core tests alone, as the light environment does")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    core = {f"test_{name}.py" for name in CORE}
    outside = collection_path.name == "gui" or (collection_path.suffix == ".py" and collection_path.name not in core)
    return True if config.getoption("--core") and outside else None


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


@pytest.fixture(autouse=True, scope="session")
def _disk_is_not_waited_for() -> Iterator[None]:
    """What a power cut leaves no test here can see: files are written in their order, and the disk has its time.

    A process that is killed leaves the same with or without the wait. Tests that ask when it is waited for, or what
    becomes of a disk that is full then, put their own in its place.
    """
    real = os.fsync

    def look(handle: int) -> None:
        os.fstat(handle)  # it fails where waiting would: the file is closed

    os.fsync = look
    yield
    os.fsync = real


@pytest.fixture(autouse=True, scope="session")
def _small_shards_have_four_chunks() -> Iterator[None]:
    """Four chunks in a shard that is small for a test's sake, where others have sixteen.

    A window of it reads hundreds of chunks of 16 px otherwise, which is most of what such a test takes. How a shard is
    parted is kept in its array, and nothing but the reading depends on it.
    """
    real = layout._create

    def create(group: Any, name: str, shape: tuple[int, ...], dtype: Any, shard: int) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(layout, "_CHUNKS", 2 if shard <= 64 else layout._CHUNKS)
            real(group, name, shape, dtype, shard)

    layout._create = create
    yield
    layout._create = real


@pytest.fixture(autouse=True)
def _threads_of_torch() -> Iterator[None]:
    """A test that sets torch's threads sets them for itself: figures of the next one would depend on the order."""
    if "torch" not in sys.modules:
        yield
        return
    torch = sys.modules["torch"]
    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)
