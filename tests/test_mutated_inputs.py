"""Broken files of every kind end in a result or in one sentence; see `mutations` for how they are broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutations import KINDS, attempt, make_base

TRIES = 20
"""Of each kind, two hundred in all; what more of them found is among the seeds below."""

FOUND = {
    "TIFF tags": (9, 29, 52, 61, 2026, 4002),
    "PNG chunks": (18, 81),
    "GeoJSON": (1, 11, 55, 83, 121, 142, 191),
    "mosaic.json": (0, 1, 31, 4043),
    "OME-Zarr": (4, 17, 23, 34, 52),
    "Zarr array": (21, 22, 37, 165),
    "Zarr of a record": (1, 21, 41),
    "journal": (0, 1, 11),
}
"""Seeds whose files once ended in a traceback."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    make_base(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_ends_in_a_result_or_in_one_sentence(kind: str, base: Path, tmp_path: Path) -> None:
    for seed in sorted({*range(TRIES), *FOUND.get(kind, ())}):
        wrong = attempt(kind, seed, base, tmp_path / "try")
        assert not wrong, f"{kind} {seed}: {wrong}"
