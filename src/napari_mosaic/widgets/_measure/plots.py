"""The plots of the dock *Measure*: histogram, scatter and rose, in which stones are chosen with the mouse.

One decision: a plot says which stones were chosen, `(n,)`, and shows which are; it keeps no selection of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.backend_bases import MouseButton
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.patches import Patch
from matplotlib.path import Path as Outline
from matplotlib.widgets import LassoSelector, RectangleSelector, SpanSelector
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Signal
from qtpy.QtWidgets import QWidget

from napari_mosaic.plots import new_figure
from napari_mosaic.widgets._measure.colouring import CHOSEN, Scale, title_of

Floats = NDArray[np.float64]
Chosen = NDArray[np.bool_]

MOST_POINTS = 20_000
"""Most points of a scatter, evenly through the table: more hide each other. Not varied."""
BARS = 40
"""Bars of a histogram; not varied."""
SECTOR = 10.0
"""Degrees of a sector of a rose; not varied."""
_ENDS = (0.5, 99.5)
"""Percentiles at which the axes of plots end; what lies beyond is counted in the last bar. Not varied."""
_BAR = "#7f9fc4"
_LONG = 11
"""Letters of a class that has no room beside another one in a legend; not varied."""
_BAND = {"alpha": 0.3, "facecolor": CHOSEN}


class FloorPlot(FigureCanvasQTAgg):
    """One plot; `chose(object)` brings `(n,)` stones that were chosen in it."""

    chose = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(new_figure(3.4, 2.6))  # type: ignore[no-untyped-call]
        self.setParent(parent)
        self._ink, self._ground = "#dddddd", "#262930"
        self._selectors: list[Any] = []
        self._marks: list[Any] = []
        self._mark: Callable[[Chosen], None] = lambda _: None
        self._chosen = np.zeros(0, bool)
        self._press: float | None = None
        self._polar: Any = None
        self._sweep: Callable[[float, float], None] = lambda *_: None
        self.mpl_connect("button_press_event", self._pressed)
        self.mpl_connect("button_release_event", self._released)

    def sizeHint(self) -> QSize:
        """Room for one plot in a dock."""
        return QSize(330, 250)

    def minimumSizeHint(self) -> QSize:
        """As high as it is meant: in what scrolls nothing else keeps it."""
        return QSize(200, 250)

    def paint(self, ink: str, ground: str) -> None:
        """Take the colours of a theme, for what is shown next."""
        self._ink, self._ground = ink, ground

    def clear(self, words: str = "") -> None:
        """Show nothing but a sentence."""
        self._begin()
        self.figure.text(0.5, 0.5, words, ha="center", va="center", color=self._ink, wrap=True, fontsize=9)
        self.draw_idle()  # type: ignore[no-untyped-call]

    def choose(self, chosen: Chosen) -> None:
        """Mark `(n,)` stones."""
        self._chosen = chosen
        for mark in self._marks:
            mark.remove()
        self._marks = []
        self._mark(chosen)
        self.draw_idle()  # type: ignore[no-untyped-call]

    def histogram(self, name: str, values: Floats) -> None:
        """How often each value is; a span that is dragged chooses the stones in it."""
        axes = self._axes(title_of(name), "stones")
        told = np.isfinite(values)
        low, high = limits_of(values)
        edges = np.linspace(low, high, BARS + 1)
        inside = values.clip(low, high)
        width = edges[1] - edges[0]
        axes.bar(edges[:-1], np.histogram(inside[told], edges)[0], width, align="edge", color=_BAR)
        axes.set_xlim(low, high)

        def mark(chosen: Chosen) -> None:
            if chosen.any():
                counts = np.histogram(inside[told & chosen], edges)[0]
                self._marks.append(axes.bar(edges[:-1], counts, width, align="edge", color=CHOSEN))

        def taken(start: float, stop: float) -> None:
            if stop > start:  # a click chooses nothing
                first = -np.inf if start <= low else start
                self.chose.emit(told & (values >= first) & (values <= (np.inf if stop >= high else stop)))

        self._mark = mark
        self._selectors = [SpanSelector(axes, taken, "horizontal", useblit=True, props={"alpha": 0.3, "color": CHOSEN})]
        self.draw_idle()  # type: ignore[no-untyped-call]

    def scatter(self, names: tuple[str, str], x: Floats, y: Floats, scale: Scale | None) -> None:
        """Two values of each; a rectangle, or with the right button a free line, chooses the stones in it."""
        axes = self._axes(title_of(names[0]), title_of(names[1]))
        told = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        some = told[:: max(1, -(-len(told) // MOST_POINTS))]
        colours: Any = _BAR if scale is None else scale.colours[scale.codes[some]]
        axes.scatter(x[some], y[some], s=6, c=colours, linewidths=0)
        if len(told):
            axes.set_xlim(limits_of(x))
            axes.set_ylim(limits_of(y))

        def mark(chosen: Chosen) -> None:
            rows = np.flatnonzero(chosen)[:MOST_POINTS]
            if len(rows):
                self._marks.append(axes.scatter(x[rows], y[rows], s=10, c=CHOSEN, linewidths=0))

        def boxed(press: Any, release: Any) -> None:
            (x0, x1), (y0, y1) = sorted((press.xdata, release.xdata)), sorted((press.ydata, release.ydata))
            self.chose.emit((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))

        def drawn(corners: list[tuple[float, float]]) -> None:
            chosen = np.zeros(len(x), bool)
            if len(corners) > 2:
                chosen[told] = Outline(corners).contains_points(np.column_stack([x[told], y[told]]))
            self.chose.emit(chosen)

        self._mark = mark
        self._selectors = [
            RectangleSelector(
                axes, boxed, useblit=True, button=[MouseButton.LEFT], props={"alpha": 0.3, "facecolor": CHOSEN}
            ),
            LassoSelector(axes, drawn, useblit=True, button=MouseButton.RIGHT, props={"color": CHOSEN}),
        ]
        self.draw_idle()  # type: ignore[no-untyped-call]

    def rose(self, name: str, degrees: Floats, turn: int) -> None:
        """How often each direction is, modulo `turn` degrees; a sector that is dragged chooses its stones."""
        self._begin()
        axes: Any = self.figure.add_subplot(projection="polar", facecolor=self._ground)
        told, angle = np.isfinite(degrees), np.nan_to_num(degrees) % turn
        edges = np.arange(0, turn + SECTOR / 2, SECTOR)
        copies = np.arange(0, 360, turn)
        middles = np.radians((edges[:-1] + SECTOR / 2)[None] + copies[:, None]).ravel()
        width = np.radians(SECTOR)

        def bars(which: Chosen, colour: str) -> Any:
            counts = np.histogram(angle[which], edges)[0]
            return axes.bar(middles, np.tile(counts, len(copies)), width, color=colour, edgecolor=self._ground)

        bars(told, _BAR)
        axes.set_title(f"{title_of(name)}, modulo {turn}°", color=self._ink, fontsize=9)
        axes.set_yticklabels([])
        axes.tick_params(colors=self._ink, labelsize=7)
        axes.grid(color=self._ink, alpha=0.2)

        def mark(chosen: Chosen) -> None:
            if (told & chosen).any():
                self._marks.append(bars(told & chosen, CHOSEN))

        def swept(start: float, stop: float) -> None:
            self.chose.emit(told & in_sector(angle, start, stop, turn))

        self._mark, self._sweep = mark, swept
        self._polar = axes
        self.draw_idle()  # type: ignore[no-untyped-call]

    def _begin(self) -> None:
        for selector in self._selectors:
            selector.disconnect_events()
        self._selectors, self._marks, self._polar = [], [], None
        self._mark = lambda _: None
        self.figure.clear()
        self.figure.set_facecolor(self._ground)

    def _axes(self, x: str, y: str) -> Any:
        self._begin()
        axes = self.figure.add_subplot(facecolor=self._ground)
        axes.set_xlabel(x, color=self._ink, fontsize=8)
        axes.set_ylabel(y, color=self._ink, fontsize=8)
        axes.tick_params(colors=self._ink, labelsize=7)
        for spine in axes.spines.values():
            spine.set_color(self._ink)
            spine.set_alpha(0.4)
        return axes

    def _pressed(self, event: Any) -> None:
        self._press = None if self._polar is None or event.inaxes is not self._polar else float(event.xdata)

    def _released(self, event: Any) -> None:
        start, self._press = self._press, None
        if start is not None and event.xdata is not None and event.inaxes is self._polar:
            self._sweep(float(np.degrees(start)), float(np.degrees(event.xdata)))


class Legend(FigureCanvasQTAgg):
    """What the colours of the stones mean: a bar with its ends, or the classes with how many stones have each."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(new_figure(3.4, 0.6))  # type: ignore[no-untyped-call]
        self.setParent(parent)
        self._ink, self._ground = "#dddddd", "#262930"
        self._height = 56
        self.hide()

    def sizeHint(self) -> QSize:
        """Room for what it shows."""
        return QSize(330, self._height)

    def minimumSizeHint(self) -> QSize:
        """As high as it is meant."""
        return QSize(200, self._height)

    def paint(self, ink: str, ground: str) -> None:
        """Take the colours of a theme, for what is shown next."""
        self._ink, self._ground = ink, ground

    def show_scale(self, scale: Scale | None) -> None:
        """Show what colours mean; nothing for None."""
        self.setVisible(scale is not None)
        if scale is None:
            return
        self.figure.clear()
        self.figure.set_facecolor(self._ground)
        beside = 1 if any(len(name) > _LONG for name in scale.names) else 2
        self._height = 56 if scale.limits is not None else 12 + 17 * -(-max(len(scale.names), 1) // beside)
        self.setFixedHeight(self._height)
        axes = self.figure.add_subplot()
        axes.set_facecolor(self._ground)
        axes.set_yticks([])
        axes.tick_params(colors=self._ink, labelsize=7)
        if scale.limits is not None:
            low, high = scale.limits
            axes.imshow(scale.colours[None, :-1], aspect="auto", extent=(low, max(high, low + 1e-9), 0, 1))
            axes.set_title(scale.title, color=self._ink, fontsize=8)
        else:
            axes.axis("off")
            patches = [
                Patch(facecolor=colour, edgecolor=self._ink, linewidth=0.4, label=f"{name}: {count:,}")
                for colour, name, count in zip(scale.colours, scale.names, scale.counts, strict=False)
            ]
            axes.legend(
                handles=patches,
                loc="center",
                ncols=beside,
                frameon=False,
                fontsize=8,
                labelcolor=self._ink,
                mode="expand",
            )
        self.updateGeometry()
        self.draw_idle()  # type: ignore[no-untyped-call]


def limits_of(values: Floats) -> tuple[float, float]:
    """The ends of an axis: without the few values that lie far from all others, with some room for one value."""
    told = values[np.isfinite(values)]
    if len(told) == 0:
        return 0.0, 1.0
    low, high = (float(end) for end in np.percentile(told, _ENDS))
    room = (high - low) * 0.02 or max(abs(low) * 0.05, 0.5)
    return low - room, high + room


def in_sector(angle: Floats, start: float, stop: float, turn: int) -> Chosen:
    """Which directions lie in the sector from `start` to `stop` degrees, the shorter way round, modulo `turn`."""
    sweep = (stop - start + 180) % 360 - 180
    first = start if sweep >= 0 else stop
    return np.asarray(abs(sweep) >= turn) | ((angle - first) % turn <= abs(sweep))
