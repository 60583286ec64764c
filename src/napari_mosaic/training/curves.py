"""The curves of many training runs in one picture: a panel a figure, a line a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_mosaic.errors import MissingError
from napari_mosaic.plots import new_figure, save_figure
from napari_mosaic.training.history import TABLE, read_history

_ACROSS = 3
"""Panels beside each other. *Not varied.*"""


Histories = dict[str, list[dict[str, float]]]


def read_runs(runs: Sequence[str | Path]) -> Histories:
    """The histories of runs by the names of their folders; of two alike, with the folder around them.

    Raises
    ------
    MissingError
        A folder holds no history.
    """
    paths = [Path(run).resolve() for run in runs]
    alike = [path.name for path in paths]
    found = {}
    for path in paths:
        name = path.name if alike.count(path.name) == 1 else f"{path.parent.name}/{path.name}"
        found[name] = read_history(path)
        if not found[name]:
            raise MissingError(f"The run {name} holds no {TABLE} with a row; give folders of training runs.")
    return found


def figure_names(histories: Histories) -> list[str]:
    """What histories tell of each step, in the order in which it is met."""
    return list(dict.fromkeys(name for rows in histories.values() for row in rows for name in row if name != "step"))


def plot_runs(runs: Sequence[str | Path], path: str | Path) -> Path:
    """Draw the histories of runs, of either network, over their steps as PNG.

    Raises
    ------
    MissingError
        A folder holds no history.
    """
    histories = read_runs(runs)
    names = figure_names(histories)
    down = -(-len(names) // _ACROSS)
    figure = new_figure(4.0 * min(_ACROSS, len(names)), 3.0 * down)
    panels = figure.subplots(down, min(_ACROSS, len(names)), squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        for run, rows in histories.items():
            points = [(row["step"], row[name]) for row in rows if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=run)
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.set_xlabel("step")
    for axes in panels[len(names) :]:
        axes.axis("off")
    panels[0].legend(fontsize=7)
    return save_figure(figure, Path(path))
