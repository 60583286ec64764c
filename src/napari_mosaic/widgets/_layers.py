"""The two layers of a record in a viewer: joints and tesserae, live while they are being made.

One decision: reading, and making the layers, happens on a background thread; the main thread only adds
them, and refreshes at most twice a second, when what will be seen is already in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from napari.layers import Image, Labels, Layer, Shapes
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QElapsedTimer, QObject, QTimer, Signal

from napari_mosaic.record import Record
from napari_mosaic.record.label_layer import SAM2
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._areas import area_data, standing_areas
from napari_mosaic.widgets._edited import is_tesserae
from napari_mosaic.widgets._facts import RecordFacts, Tuning
from napari_mosaic.widgets._features import follow_features
from napari_mosaic.widgets._levels import LivePyramid
from napari_mosaic.widgets._sketch import Shown, Sketcher
from napari_mosaic.widgets._sources import LABELS, RECORD, LayerData, lying_like, placement, view_box
from napari_mosaic.widgets._tuning import PreviewPlan, plan_preview, preview
from napari_mosaic.widgets._worker import Line, Requests, WorkFailure, when_idle

if TYPE_CHECKING:
    from napari import Viewer

REFRESH_MS = 500
"""Least time between two refreshes of a layer; not varied."""

SOON_MS = 100
"""The same where stones are waited for, those of the view; not varied."""

BREATH_MS = 30
"""Time for the viewer between two things that each take napari a while; not varied."""

JOINTS, TESSERAE, MASKS, PREVIEW = "image", "labels", "masks", "preview"
_PHASES = {"joints": (JOINTS,), "tesserae": (TESSERAE,), "masks": (MASKS, TESSERAE)}
"""What a phase of a run shows: the first of these that there is."""


@dataclass(frozen=True)
class LookValue:
    """What of a record is seen."""

    joints: bool = False
    tesserae: bool = True
    masks: Annotated[bool, {"label": "SAM 2"}] = True
    outlines: Annotated[bool, {"label": "As outlines"}] = False


@dataclass(frozen=True)
class Opened:
    """A record that can be looked at now: its layers, not yet in a viewer, and what they read from."""

    record: Record
    layers: dict[str, Layer]
    pyramids: dict[str, LivePyramid]
    facts: RecordFacts
    like: dict[str, Any]
    """Layer data of the tesserae: how further labels of the record lie."""


def record_data(record: Record, photograph: Layer | None = None) -> tuple[list[LayerData], list[LivePyramid]]:
    """Layer data of a record whose blocks are kept in memory, placed like `photograph` where one is given."""
    found, pyramids = [], []
    for levels, meta, kind in record.layers():
        pyramid = LivePyramid(levels)
        place = {} if photograph is None else placement(photograph, record.plan.factor)
        found.append((pyramid.levels, {**meta, **place}, kind))
        pyramids.append(pyramid)
    return found, pyramids


def make_layers(record: Record, facts: RecordFacts, photograph: Layer | None = None) -> Opened:
    """Make the layers of a record, its areas among them; for a worker's thread."""
    data, pyramids = record_data(record, photograph)
    makers = {JOINTS: Image, TESSERAE: Labels}
    layers: dict[str, Layer] = {kind: makers[kind](levels, **{**meta, **_look_of(kind)}) for levels, meta, kind in data}
    live = dict(zip(layers, pyramids, strict=True))
    masks = mask_layer(record, data[-1][1])
    if masks is not None:
        layers[MASKS], live[MASKS] = masks.layer, masks.pyramid
    areas = record_areas(record, data[-1][1])
    if areas is not None:
        rings, meta, kind = areas
        layers[kind] = Shapes(rings, **meta)
    return Opened(record, layers, live, facts, data[-1][1])


@dataclass(frozen=True)
class Joined:
    """A layer that a record has got while it is shown: its kind, what it reads from."""

    kind: str
    layer: Layer
    pyramid: LivePyramid


def mask_layer(record: Record, like: dict[str, Any]) -> Joined | None:
    """The masks of SAM 2 that a record keeps beside its tesserae, laid like those by `like`; None where it has none."""
    stored = record.label_layer(SAM2)
    if not stored.exists:
        return None
    pyramid = LivePyramid(stored.levels)
    placed = {name: value for name, value in like.items() if name not in ("name", "features", "metadata")}
    name, known = f"{record.metadata.source.name} SAM 2", {RECORD: str(record.path), LABELS: SAM2}
    layer = Labels(pyramid.levels, name=name, metadata=known, **{**placed, **_look_of(MASKS)})
    return Joined(MASKS, layer, pyramid)


def record_areas(record: Record, like: dict[str, Any]) -> LayerData | None:
    """Layer data of the area classes of a record, laid like its tesserae's `like`; None where there are none."""
    return area_data(record.areas, record.plan.factor, like, f"{like['name']} areas")


class RecordLayers(QObject):
    """Shows one record and follows it while it is written.

    `shown` comes after a refresh, `failed(WorkFailure)` where a preview or a part cannot be read.
    """

    shown = Signal()
    failed = Signal(object)

    def __init__(self, viewer: Viewer, opened: Opened, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.record = opened.record
        self._viewer = viewer
        self._pyramids = opened.pyramids
        self._dirty: dict[str, list[Box]] = {kind: [] for kind in self._pyramids}
        self._settling = self._busy = self._closed = False
        self._wanted: PreviewPlan | None = None
        self._kept: NDArray[Any] = np.zeros((0, 0), np.uint32)
        self._look = LookValue()
        self._sketcher: Sketcher | None = None
        self._reader = Line("layers", self)
        self._reader.failed.connect(self._unread)
        self._timer, self._since, self._rest_ms = when_idle(self, REFRESH_MS, self._begin), QElapsedTimer(), REFRESH_MS
        self._previewer = Requests(self)
        self._previewer.answered.connect(self._previewed)
        self._previewer.failed.connect(self.failed)
        self.layers = {kind: self._standing(layer) or layer for kind, layer in opened.layers.items()}
        self._adding = [layer for layer in self.layers.values() if layer not in viewer.layers]
        QTimer.singleShot(BREATH_MS, self._add_next)

    @property
    def joints(self) -> Image | None:
        """The map of joints, while it is in the viewer."""
        return self._present(JOINTS)

    @property
    def tesserae(self) -> Labels | None:
        """The tesserae, while they are in the viewer."""
        return self._present(TESSERAE)

    @property
    def masks(self) -> Labels | None:
        """The masks of SAM 2 beside the tesserae, while they are in the viewer."""
        return self._present(MASKS)

    @property
    def busy(self) -> bool:
        """Whether something finished is still to be shown."""
        return bool(self._adding) or self._busy or self._settling or any(self._dirty.values())

    def note(self, phase: str, box: Box | None) -> None:
        """A box of the working grid is finished; it will be seen soon."""
        kind = next((kind for kind in _PHASES.get(phase, ()) if kind in self._pyramids), None)
        if kind is not None and box is not None:
            self._dirty[kind].append(box)
            if kind == JOINTS and self._is_sketched(box):
                self._rest_ms = SOON_MS
            self._wake()

    def follow(self, sketcher: Sketcher) -> None:
        """Let the windows of a run be shown as they are computed."""
        self._sketcher = sketcher
        sketcher.show_in(Shown(self._pyramids[JOINTS].levels, self._pyramids[TESSERAE].levels))

    def join(self, event: Joined) -> None:
        """Show a layer that the record has got meanwhile."""
        if event.kind in self.layers or self._closed:
            return
        self._pyramids[event.kind], self._dirty[event.kind] = event.pyramid, []
        self.layers[event.kind] = self._standing(event.layer) or event.layer
        if self.layers[event.kind] not in self._viewer.layers:
            self._adding.append(event.layer)
            QTimer.singleShot(BREATH_MS, self._add_next)

    def settle(self) -> None:
        """The record is at rest: read again what is shown."""
        self._settling = True
        self._wake()

    def look(self, look: LookValue) -> None:
        """Choose what is seen; beneath the masks of SAM 2 the tesserae of the joints are outlines, to be told apart."""
        self._look = look
        seen = self._present(PREVIEW) or self.tesserae
        if self.joints is not None:
            self.joints.visible = look.joints
        for layer in (self.tesserae, self._present(PREVIEW), self.masks):
            if layer is not None:
                lined = look.outlines or (layer is self.tesserae and self.masks is not None and look.masks)
                layer.contour = 2 if lined else 0
                layer.opacity = 0.9 if lined else 0.5
                layer.visible = look.masks if layer is self.masks else look.tesserae and layer is seen

    def lie_on(self, photograph: Layer) -> None:
        """Put the layers of the record, also those that are still to be added, where the photograph lies now."""
        place = placement(photograph, self.record.plan.factor)
        for layer in (layer for kind, layer in self.layers.items() if kind != PREVIEW):
            if not np.allclose(layer.affine.affine_matrix, place["affine"].affine_matrix):
                layer.affine = place["affine"]
            for name in ("translate", "scale"):
                if not np.allclose(getattr(layer, name), place[name], rtol=1e-9, atol=1e-12):
                    setattr(layer, name, place[name])
            if tuple(layer.units) != tuple(place["units"]):
                layer.units = place["units"]

    def preview(self, tuning: Tuning) -> None:
        """Show the view as it would be with other sliders."""
        base = self.tesserae
        if base is not None:
            self._wanted = plan = plan_preview(view_box(self._viewer, base).clip(self.record.shape), tuning)
            self._previewer.ask(preview, self.record, plan, 0)

    def end_preview(self) -> None:
        """Take the preview away and show the stored tesserae."""
        self._wanted = None
        self._previewer.forget()
        layer = self._present(PREVIEW)
        self.layers.pop(PREVIEW, None)
        if layer is not None:
            self._viewer.layers.remove(layer)
            if self.tesserae is not None:
                self.tesserae.visible = self._look.tesserae

    def remove(self) -> None:
        """Take all layers out of the viewer."""
        self.close()
        for kind in list(self.layers):
            layer = self._present(kind)
            if layer is not None:
                self._viewer.layers.remove(layer)
        for layer in standing_areas(self._viewer, self.record.path):
            self._viewer.layers.remove(layer)

    def close(self) -> None:
        """Stop following the record; the layers stay."""
        self._closed = True
        if self._sketcher is not None:
            self._sketcher.show_in(None)
        self._adding = []
        self._timer.stop()
        self._previewer.close()
        self._reader.close(drop=True)

    def _standing(self, layer: Layer) -> Layer | None:
        """A layer that a reader has added for the same record, given the live data."""
        for other in self._viewer.layers:
            alike = all(other.metadata.get(key) == layer.metadata.get(key) for key in (RECORD, LABELS))
            if type(other) is type(layer) and alike:
                if not isinstance(layer, Shapes):  # what a person draws there is not ours to replace
                    other.data = layer.data_raw if hasattr(layer, "data_raw") else layer.data
                if is_tesserae(other):
                    follow_features(self._viewer, other)
                return other
        return None

    def _add_next(self) -> None:
        """Add one layer, and the next one when the viewer has breathed."""
        if self._closed or not self._adding:
            return
        layer = self._viewer.add_layer(self._adding.pop(0))
        if is_tesserae(layer):
            follow_features(self._viewer, layer)
        if isinstance(layer, Shapes):
            layer.editable = False  # the dock Edit tesserae lends it to whoever draws
        if layer not in (self.joints, self.tesserae):
            self._viewer.layers.selection.active = self.tesserae
        self.look(self._look)
        QTimer.singleShot(BREATH_MS, self._add_next)

    def _present(self, kind: str) -> Any:
        layer = self.layers.get(kind)
        return layer if layer is not None and layer in self._viewer.layers else None

    def _previewed(self, answer: tuple[PreviewPlan, int, NDArray[Any]]) -> None:
        """A part is there: show it, and go on until all of the view is covered."""
        plan, number, labels = answer
        base = self.tesserae
        if plan is not self._wanted or base is None:
            return
        if number == 0:
            self._kept = np.zeros(plan.shape, labels.dtype)
        self._kept[plan.place(plan.parts[number])] = labels
        levels = [self._kept[::step, ::step] for step in (1, 2, 4)]
        layer, lying = self._present(PREVIEW), lying_like(base, plan.box, plan.step)
        if layer is None:
            look = {name: getattr(base, name) for name in ("opacity", "colormap")}
            look["metadata"] = {RECORD: base.metadata.get(RECORD)}
            layer = Labels(levels, multiscale=True, name=f"{base.name} (preview)", **lying, **look)
            layer.contour = base.contour
            self.layers[PREVIEW] = self._viewer.add_layer(layer)
            self._viewer.layers.selection.active = base
        else:
            layer.data, layer.scale, layer.translate = levels, lying["scale"], lying["translate"]
        base.visible = False
        layer.visible = self._look.tesserae
        if number + 1 < len(plan.parts):
            self._previewer.ask(preview, self.record, plan, number + 1)

    def _wake(self) -> None:
        """Begin at once where nothing was refreshed lately."""
        if self._busy or self._closed:
            return
        wait = max(0, self._rest_ms - self._since.elapsed()) if self._since.isValid() else 0
        if not self._timer.isActive() or wait < self._timer.remainingTime():
            self._timer.start(wait)

    def _begin(self) -> None:
        self._rest_ms = REFRESH_MS
        dirty = {kind: boxes for kind, boxes in self._dirty.items() if boxes}
        settle, self._settling = self._settling, False
        if dirty or settle:
            self._dirty = {kind: [] for kind in self._pyramids}
            self._busy = True
            if self._sketcher is not None and self.tesserae is not None:
                self._sketcher.look(view_box(self._viewer, self.tesserae))
            self._reader.ask(lambda: self._read(dirty, settle), lambda kinds: self._refresh(kinds, settle))

    def _read(self, dirty: dict[str, list[Box]], settle: bool) -> tuple[str, ...]:
        """Take over what is finished; the kinds of layers that look otherwise now, of a record at rest all."""
        if settle:
            self._sketcher = None
            for pyramid in self._pyramids.values():
                pyramid.renew()
            return tuple(self._pyramids)
        news = {kind for kind, boxes in dirty.items() if kind != JOINTS and self._pyramids[kind].update(boxes)}
        if self._follow_windows(dirty.get(JOINTS, ())):
            news.add(JOINTS)
        sketcher = self._sketcher
        if sketcher is not None:
            news.update(kind for kind, new in zip((JOINTS, TESSERAE), sketcher.take_news(), strict=True) if new)
        return tuple(kind for kind in self._pyramids if kind in news)

    def _follow_windows(self, cores: Sequence[Box]) -> bool:
        """Take over written windows that are not shown yet, far ones and those of other processes; whether any was."""
        plan, sketcher, news = self.record.plan, self._sketcher, False
        for core in (core for core in cores if not self._is_sketched(core)):
            news |= self._pyramids[JOINTS].update([core])
            index = plan.lattice.overlapping(core)[0]
            if sketcher is not None and sketcher.is_near(plan, index):
                self.record.ledger.reload()
                sketcher.take(self.record, index, self.record.read_map(core))
        return news

    def _is_sketched(self, core: Box) -> bool:
        """Whether a window is in memory already, as it was computed."""
        sketcher = self._sketcher
        return sketcher is not None and sketcher.has(self.record.plan.lattice.overlapping(core)[0])

    def _unread(self, failure: WorkFailure) -> None:
        """What is finished cannot be read: say so, and go on with what comes next."""
        self._refresh((), False)
        self.failed.emit(failure)

    def _refresh(self, kinds: tuple[str, ...], settled: bool) -> None:
        """Show what was read, one layer a turn; pictures in the layer list only at the end."""
        if self._closed:
            return
        for place, kind in enumerate(kinds):
            layer = self._present(kind)
            if layer is not None and layer.visible:
                layer.refresh(extent=False, thumbnail=settled)
                QTimer.singleShot(BREATH_MS, lambda rest=kinds[place + 1 :]: self._refresh(rest, settled))
                return
        self._busy = False
        self._since.start()
        if self.busy:
            self._wake()
        self.shown.emit()


def _look_of(kind: str) -> dict[str, Any]:
    """Bright colours for tesserae: some of napari's own are lost on stone."""
    return {"colormap": CyclicLabelColormap(colors=_bright_colours())} if kind in (TESSERAE, MASKS) else {}


def _bright_colours(count: int = 24) -> NDArray[np.float32]:
    """Nothing for 0, then hues far from the one before, full and lighter in turn: `(count + 1, 4)`."""
    colours = np.zeros((count + 1, 4), np.float32)
    for number in range(count):
        hue = number * 0.381966 % 1.0
        colours[number + 1] = (*hsv_to_rgb(hue, 0.85 if number % 2 else 0.5, 1.0), 1.0)
    return colours
