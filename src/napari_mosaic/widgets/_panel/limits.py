"""What a run is kept to, or out of: layers that a person draws in, followed while they are drawn in and renamed.

One decision: a choice is a layer, not a name, so it keeps its layer under a new name, and ends with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from napari_mosaic.errors import MosaicError
from napari_mosaic.widgets import _sources
from napari_mosaic.widgets._forms import AreaValue
from napari_mosaic.widgets._sources import AREA, LayerData
from napari_mosaic.widgets._worker import when_idle

if TYPE_CHECKING:
    from napari_mosaic.widgets._panel.dock import MosaicPanel

REST_MS = 800
"""How long a drawing rests before a run within it is measured anew; not varied."""


class PanelLimits:
    """The verbs of the areas to work in, for a `MosaicPanel`; the first layer is stayed within, the other left out."""

    def __init__(self, panel: MosaicPanel) -> None:
        self._panel = panel
        self._layers: tuple[Layer | None, Layer | None] = (None, None)
        self._rest = when_idle(panel, REST_MS, lambda: panel.costs.ask())

    def choose(self, areas: AreaValue) -> None:
        """Work within one drawn layer and leave out another."""
        panel = self._panel
        panel.view.area_form.set_value(areas)
        panel.tell(include=areas.include, exclude=areas.exclude)
        self.close()
        self._layers = self._named(areas.include), self._named(areas.exclude)
        for layer in self._followed():
            layer.events.data.connect(self._touched)
        panel.costs.ask()

    def draw(self) -> None:
        """Add a layer to draw an area in, and stay within it."""
        panel = self._panel
        place = {} if panel.photograph is None else _sources.lying_like(panel.photograph)
        look = {"face_color": "transparent", "edge_color": _sources.DRAWN_COLOUR}
        layer = panel.viewer.add_shapes(name="area", ndim=2, **look, **place)
        layer.mode = "add_polygon"
        self.choose(replace(panel.view.area_form.value(), include=layer.name))

    def opened(self, areas: LayerData) -> None:
        """Areas were read from a file: show them."""
        rings, meta, _ = areas
        self._panel.viewer.add_shapes(rings, **meta)

    def take(self, layer: Layer) -> None:
        """A layer was added: one whose areas come from a file is stayed within."""
        if AREA in layer.metadata:
            self.choose(replace(self._panel.view.area_form.value(), include=layer.name))

    def offer(self, names: Sequence[str]) -> None:
        """Offer what can be worked in now."""
        panel = self._panel
        panel.view.area_form.set_choices(names)
        known = (layer.name if layer is not None and layer.name in names else "" for layer in self._layers)
        chosen = AreaValue(*known)
        if chosen != AreaValue(panel.state.include, panel.state.exclude):
            self.choose(chosen)
        elif chosen != panel.view.area_form.value():
            panel.view.area_form.set_value(chosen)

    def asked(self) -> dict[str, Any]:
        """What a run is asked for: polygons in pixels of the photograph, None for no limit.

        Raises
        ------
        InputError
            Nothing is drawn in a layer that is chosen.
        """
        return {"region": self._polygons(0), "exclude": self._polygons(1)}

    def drawn(self) -> dict[str, Any]:
        """As `asked`, None for a layer in which nothing is drawn yet."""
        found = {}
        for place, name in enumerate(("region", "exclude")):
            try:
                found[name] = self._polygons(place)
            except MosaicError:
                found[name] = None
        return found

    def close(self) -> None:
        """Follow no layer."""
        self._rest.stop()
        for layer in self._followed():
            layer.events.data.disconnect(self._touched)
        self._layers = (None, None)

    def _polygons(self, place: int) -> Any:
        layer, photograph = self._layers[place], self._panel.photograph
        if layer is None or photograph is None or layer not in self._panel.viewer.layers:
            return None
        return _sources.polygons(layer, photograph)

    def _named(self, name: str) -> Layer | None:
        layers = self._panel.viewer.layers
        return layers[name] if name and name in layers else None

    def _followed(self) -> list[Layer]:
        return list({id(layer): layer for layer in self._layers if layer is not None}.values())

    def _touched(self, _: Any = None) -> None:
        self._rest.start()
