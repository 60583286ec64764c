"""The figures of a floor as rich text, from what a record keeps of its measurement.

One decision: words come from the measurement itself; here they only get headings, swatches and what has changed since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from html import escape as escaped
from typing import Any

from napari_mosaic.words import counted

Figures = Mapping[str, Any]
escape = partial(escaped, quote=False)


def whole_words(whole: Figures, changed: str = "") -> str:
    """The figures of a floor as rich text; "" where nobody has measured it.

    Parameters
    ----------
    whole
        As `measuring.read_measured` gives them.
    changed
        What has changed since, in a few words: "before 2 edits".
    """
    return "<br>".join(_lines(whole, changed)) if whole else ""


def _lines(whole: Figures, changed: str) -> Iterator[str]:
    if changed:
        yield f"<b>Measured {escape(changed)}.</b>"
    group = ""
    for about, name, figure in whole.get("entries", ()):
        if about == "Areas" and not name.startswith("Lost"):
            continue  # the panel tells areas all the time
        if about != group:
            yield f"<b>{escape(about)}</b>"
            if about == "Palette" and whole["palette"]:
                yield from (swatch_line(colour, whole["unit"]) for colour in whole["palette"])
        if about != "Palette" or not whole["palette"]:
            yield f"{escape(name)}: {escape(figure)}"
        group = about
    if whole.get("without"):
        yield escape(whole["without"])


def swatch_line(colour: Figures, unit: str) -> str:
    """One colour of a palette as rich text: a swatch, its part of the area of all tesserae, and how many have it."""
    area = "" if unit == "px" else f", {colour['area'] / 1e4:.3g} dm²"
    stones = counted(colour["tesserae"], "stone")
    return f"{swatch(colour['srgb'])} {colour['number']}: {colour['share']:.0%}, {stones}{area}"


def swatch(colour: str) -> str:
    """A patch of a colour in rich text."""
    return f'<span style="background-color:{colour}">&nbsp;&nbsp;&nbsp;&nbsp;</span>'


__all__ = ["swatch", "swatch_line", "whole_words"]
