"""Sizes of data are told in the unit that fits, everywhere by one function."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import napari_mosaic
from napari_mosaic.data_sizes import data_size


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "nothing"), (12, "1 kB"), (45_300, "45 kB"), (999_400, "999 kB"), (999_900, "1.0 MB"), (8.4e6, "8.4 MB"),
        (48e6, "48 MB"), (606e6, "606 MB"), (999.9e6, "1.0 GB"), (2.35e9, "2.4 GB"), (9.97e9, "10 GB"), (64e9, "64 GB"),
    ],
)  # fmt: skip
def test_a_size_is_told_in_the_unit_that_fits(count: float, words: str) -> None:
    assert data_size(count) == words


def test_no_other_place_writes_sizes_of_its_own() -> None:
    """A number that is put into a text before GB or MB is computed by `data_size`; sizes of Meta's files are known."""
    own = re.compile(r"\} ?(GB|MB|kB|GiB|MiB)\b")
    root = Path(napari_mosaic.__file__).parent
    places = {
        path.relative_to(root).as_posix() for path in root.rglob("*.py") if own.search(path.read_text(encoding="utf-8"))
    }
    assert places <= {"sam/registry.py", "data_sizes.py"}
