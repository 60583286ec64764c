"""Counts in words."""

from __future__ import annotations

import pytest

from napari_mosaic.words import counted


@pytest.mark.parametrize(
    ("count", "one", "words"),
    [
        (0, "tessera", "0 tesserae"),
        (1, "tessera", "1 tessera"),
        (1204, "tessera", "1,204 tesserae"),
        (1, "window", "1 window"),
        (2, "window", "2 windows"),
    ],
)
def test_one_is_one_and_all_else_are_many(count: int, one: str, words: str) -> None:
    assert counted(count, one) == words
