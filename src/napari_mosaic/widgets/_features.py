"""The features of the tesserae in their layer, so that napari's status bar, its table and colours by value work.

One decision: a layer's features follow what the layer shows, a moment after it changed, and are read on a thread; of a
large record they are those of the view, so they never grow with the record. Measured columns that a person chose stand
beside them, read of the same tesserae.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject

from napari_mosaic.errors import InputError
from napari_mosaic.record import layer_features, open_record
from napari_mosaic.record.arrays import stamp_of
from napari_mosaic.record.layer_features import Features
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._edited import is_tesserae, record_of, tessera_layers
from napari_mosaic.widgets._measured import COLUMNS, columns_for, measured_table
from napari_mosaic.widgets._napari import camera_of, canvas_widget
from napari_mosaic.widgets._sources import view_box
from napari_mosaic.widgets._worker import Requests, when_idle

if TYPE_CHECKING:
    from napari import Viewer

REST_MS = 500
"""Least time between two looks at the record: a stroke of edits or a flight of the camera is one change; not varied."""

SHADES = 64
"""Colours of a scale. napari draws at most as many colours of single labels as fit into a texture of the canvas; more
shades than these nobody tells apart."""


@dataclass(frozen=True)
class _Shown:
    """The features of a layer: those of the record, and measured columns of the same tesserae.

    `asked` are names of columns; `stamp` tells one measurement from another.
    """

    features: Features = field(default_factory=Features)
    measured: dict[str, Any] = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    stamp: Any = None


_following: WeakKeyDictionary[Labels, LayerFeatures] = WeakKeyDictionary()


class LayerFeatures(QObject):
    """Keeps the features of one tesserae layer up to date until the layer or the viewer goes."""

    def __init__(self, viewer: Viewer, layer: Labels) -> None:
        super().__init__(canvas_widget(viewer))
        self._layer, self._viewer = ref(layer), ref(viewer)
        self._known = _Shown()
        self._told = False
        self._worker = Requests(self)
        self._worker.answered.connect(self._take)
        self._timer = when_idle(self, REST_MS, self._ask)
        events, camera = layer.events, camera_of(viewer).events
        self._heard: tuple[tuple[Any, Callable[..., None]], ...] = (
            *((emitter, self.renew) for emitter in (events.set_data, events.labels_update, events.visible)),
            *((emitter, self._moved) for emitter in (camera.center, camera.zoom)),
            (viewer.layers.events.removed, self._gone),
        )
        for emitter, slot in self._heard:
            emitter.connect(slot)
        canvas_widget(viewer).destroyed.connect(partial(_forget, self._layer))
        self.renew()

    @property
    def busy(self) -> bool:
        """Whether the features may be others in a moment."""
        return self._timer.isActive() or self._worker.busy

    def renew(self, _: Any = None) -> None:
        """Look at the record again in a moment."""
        if not self._timer.isActive():
            self._timer.start()

    def close(self) -> None:
        """Follow no longer; the features stay."""
        self.let_go()
        self._timer.stop()
        self._worker.close()
        self.deleteLater()

    def let_go(self) -> None:
        """Undo all connections."""
        for emitter, slot in self._heard:
            emitter.disconnect(slot)
        self._heard = ()

    def _moved(self, _: Any = None) -> None:
        """The canvas shows something else: that matters where the features are those in view."""
        if self._known.features.of != "all":
            self.renew()

    def _ask(self) -> None:
        layer = self._layer()
        if layer is not None and layer.visible:
            asked = tuple(layer.metadata.get(COLUMNS, ()))
            self._worker.ask(_look, record_of(layer), view_box(self._viewer(), layer), self._known, asked)

    def _take(self, found: _Shown) -> None:
        layer = self._layer()
        if layer is None or found is self._known:
            return
        self._known = found
        layer.features = found.features.columns | found.measured
        if found.features.of == "none" and not self._told:
            self._told = True
            show_info(
                f"This mosaic has more stones than napari's table of features takes; it will hold those in view once "
                f"they are no more than {layer_features.MOST_FEATURES:,}. Zoom in to see them."
            )

    def _gone(self, event: Any) -> None:
        layer = self._layer()
        if layer is None or event.value is layer:
            if layer is not None:
                _following.pop(layer, None)
            self.close()


def follow_features(viewer: Viewer, layer: Labels) -> LayerFeatures:
    """Keep the features of a tesserae layer of a viewer up to date from now on; on the main thread."""
    if layer not in _following:
        _following[layer] = LayerFeatures(viewer, layer)
    return _following[layer]


def follow_when_added(viewer: Viewer, path: Path) -> None:
    """Follow the features of the tesserae of a record once napari has made their layer."""

    def added(event: Any) -> None:
        if is_tesserae(event.value) and record_of(event.value) == path.absolute():
            viewer.layers.events.inserted.disconnect(added)
            follow_features(viewer, event.value)

    viewer.layers.events.inserted.connect(added)


def renew_features(viewer: Viewer, path: Path) -> None:
    """The tables of a record changed: look again, also where the screen shows nothing new."""
    for layer in tessera_layers(viewer, path):
        follow_features(viewer, layer).renew()


def colour_by_feature(layer: Labels, column: str, colormap: str = "viridis") -> None:
    """Colour labels by a column of their features, from its lowest 2 % to its highest.

    Parameters
    ----------
    layer
        A Labels layer with features; labels without a row are not drawn.
    column
        A column of numbers, say `area_mm2` or `score`.
    colormap
        The name of one of napari's.

    Raises
    ------
    InputError
        There is no such column, or it holds no numbers.
    """
    known = [str(name) for name in layer.features if name != "index"]
    if column not in known or not np.issubdtype(layer.features[column].dtype, np.number):
        raise InputError(
            f"The layer “{layer.name}” has no column of numbers “{column}” among its features, so there is nothing to "
            f"colour by; it has {', '.join(known) or 'none: zoom in, or wait until they are read'}."
        )
    values = layer.features[column].to_numpy(dtype=float)
    low, high = np.nanpercentile(values, (2, 98))
    share = np.nan_to_num((values - low) / max(high - low, 1e-12)).clip(0, 1)
    shades = ensure_colormap(colormap).map(np.linspace(0, 1, SHADES))
    shade = np.round(share * (SHADES - 1)).astype(int)
    labels = layer.features["index"].to_numpy() if "index" in layer.features else np.arange(len(values))
    colours: dict[int | None, Any] = dict(zip(labels.tolist(), shades[shade], strict=True))
    layer.colormap = DirectLabelColormap(color_dict={**colours, None: "transparent", 0: "transparent"})


def _look(path: Path, box: Box, known: _Shown, asked: tuple[str, ...]) -> _Shown:
    """What is to be shown now; `known` itself where that is nothing else."""
    with open_record(path) as record:
        features, file = known.features, measured_table(record)
        stamp = stamp_of(file) if asked and file.exists() else None
        if layer_features.state_of(record) != features.state or (features.of != "all" and features.box != box):
            features = layer_features.read_features(record, box)
        if features is known.features and (asked, stamp) == (known.asked, known.stamp):
            return known
        ids = features.columns.get("index", np.zeros(0, np.int64))
        names = tuple(name for name in asked if name not in features.columns)
        return _Shown(features, columns_for(record, ids, names), asked, stamp)


def _forget(layer: Any, *_: Any) -> None:
    """The window is gone, and with it the follower."""
    known = layer()
    follower = None if known is None else _following.pop(known, None)
    if follower is not None:
        follower.let_go()
