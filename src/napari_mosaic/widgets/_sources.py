"""From layers to photographs and back: what a layer shows, and where it is.

One decision: a layer that we added carries the location of its photograph in its metadata, any other has its own file
or none; but it is opened from there only while it shows just that. Whoever replaces the data of a layer works on what
is shown then.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Shapes
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_mosaic.errors import InputError, MosaicError
from napari_mosaic.image import MosaicImage, PixelSize, open_image
from napari_mosaic.image.layers import layer_size, same_pixels
from napari_mosaic.image.pixel_size import confirmed_mm
from napari_mosaic.record import Record, open_record
from napari_mosaic.record_names import entry_of, is_record_of, record_place
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._levels import CachedLevel
from napari_mosaic.widgets._napari import camera_of, canvas_size

if TYPE_CHECKING:
    from napari import Viewer

SOURCE = "mosaic_source"
"""Key of a layer's metadata: where its photograph is."""

RECORD = "mosaic_record"
"""Key of a layer's metadata: the record that it shows."""

LABELS = "mosaic_labels"
"""Key of a layer's metadata: which label layer of its record it shows; missing for the tesserae."""

GIVEN = "mosaic_pixel_mm"
"""Key of a photograph's metadata: the pixel size that we scaled it by; another one is somebody's word."""

ORIGIN = "mosaic_pixel_origin"
"""Key of a photograph's metadata: whose word that size was; missing where it is the file's own."""

PLACE = "mosaic_place"
"""Key of a photograph's metadata: the record that it was opened with."""

AREA = "mosaic_area"
"""Key of a layer of shapes: the file that its areas were read from."""

DRAWN_COLOUR = "#ffd54f"
"""Of lines and areas that a person draws over a photograph; not varied."""

LayerData = tuple[Any, dict[str, Any], str]


def photograph_data(image: MosaicImage, record: Record | None = None) -> LayerData:
    """A photograph as layer data for napari: all levels, read where they are looked at.

    Its `record` knows the size of a pixel better than the file: both must lie together. What nobody vouches for scales
    nothing.
    """
    mm = confirmed_mm(image.pixel_size) if record is None else record.pixel_mm
    pixel, unit = (1.0, "pixel") if mm is None else (mm, "mm")
    location = image.source.location
    levels = [
        CachedLevel(_reader(image, k), (*shape, 3), np.uint8, origin=location)
        for k, shape in enumerate(image.level_shapes)
    ]
    known: dict[str, Any] = {SOURCE: location, GIVEN: mm}
    if record is not None and record.pixel_size is not None:
        known[ORIGIN] = record.pixel_size.origin
    meta = {
        "name": image.name,
        "rgb": True,
        "multiscale": len(levels) > 1,
        "scale": (pixel, pixel),
        "units": (unit, unit),
        "metadata": known,
    }
    return (levels if len(levels) > 1 else image.read(Box(0, 0, *image.shape))), meta, "image"


def _reader(image: MosaicImage, level: int) -> Any:
    return lambda box: image.read(box, level)


def is_photograph(layer: Layer) -> bool:
    """Whether a layer can be a photograph: a flat image that is no map of ours."""
    return isinstance(layer, Image) and layer.ndim == 2 and RECORD not in layer.metadata


def plane_shape(layer: Layer) -> tuple[int, int]:
    """Height and width of a layer's picture."""
    data = layer.data[0] if layer.multiscale else layer.data
    return int(data.shape[0]), int(data.shape[1])


def location_of(layer: Layer) -> str:
    """Path or address of a layer's photograph; empty where it is in memory only."""
    known = layer.metadata.get(SOURCE)
    if known:
        return str(known)
    path = getattr(layer.source, "path", None)
    return str(path) if path and Path(path).exists() else ""


def open_layer(layer: Layer) -> MosaicImage:
    """The photograph of a layer: what it shows now; for a worker's thread, because opening may decode."""
    known = layer.metadata.get(SOURCE)
    image = _open_known(layer, str(known)) if known else None
    if image is None:
        image = open_image(layer)
    size = _size_given(layer)
    if size is not None:
        image.pixel_size = size
    return image


def note_size(layer: Layer, mm: float | None, origin: str) -> None:
    """Keep with a photograph's layer by what size it was scaled, and whose word that was."""
    layer.metadata[GIVEN] = mm
    layer.metadata.pop(ORIGIN, None)
    if mm is not None and origin:
        layer.metadata[ORIGIN] = origin


def _size_given(layer: Layer) -> PixelSize | None:
    """The size that somebody gave to a photograph, while its layer still has it."""
    given, origin = layer.metadata.get(GIVEN), layer.metadata.get(ORIGIN)
    size, _ = layer_size(layer)
    if given is None or not origin or size is None or not np.isclose(size.mm, given, rtol=1e-6):
        return None
    return PixelSize(mm=float(given), confirmed=True, origin=str(origin))


def _open_known(layer: Layer, location: str) -> MosaicImage | None:
    """The photograph at a location, while the layer shows just that."""
    data = list(layer.data) if layer.multiscale else [layer.data]
    ours = all(isinstance(level, CachedLevel) and level.origin == location for level in data)
    try:
        image = open_image(location)
    except MosaicError:
        if ours:
            raise
        return None
    if not ours and not _shows(layer, data[0], image):
        image.close()
        return None
    size, _ = layer_size(layer)
    given = layer.metadata.get(GIVEN)
    if size is not None and (given is None or not np.isclose(size.mm, given, rtol=1e-6)):
        known = image.pixel_size
        image.pixel_size = known if known is not None and known.confirmed else size
    return image


def _shows(layer: Layer, data: Any, image: MosaicImage) -> bool:
    with open_image(list(layer.data) if layer.multiscale else layer.data) as shown:
        return same_pixels(shown, image, data)


def is_place_of(place: Path, image: MosaicImage, layer: Layer) -> bool:
    """Whether the record at a place is of what a layer shows, opened as `image`."""
    if is_record_of(place, image):
        return True
    kept = None if image.source.location else open_kept(place, image, layer)
    if kept is not None:
        kept.close()
    return kept is not None


def open_kept(place: Path, image: MosaicImage, layer: Layer) -> MosaicImage | None:
    """The file that a layer without one was saved to for the record at a place, if it shows the same still."""
    if entry_of(place) is None:
        return None
    try:
        with open_record(place) as record:
            kept = record.open_source()
    except MosaicError:
        return None
    if same_pixels(image, kept, layer.data[0] if layer.multiscale else layer.data):
        return kept
    kept.close()
    return None


def default_place(layer: Layer) -> Path:
    """Where the record of a layer goes: beside its file, else into a folder of the user."""
    if PLACE in layer.metadata:
        return Path(layer.metadata[PLACE])
    location = location_of(layer)
    if location and Path(location).exists():
        return record_place(str(Path(location).absolute()), layer.name, None)
    return record_place(location, layer.name, Path.home() / "mosaics")


def view_box(viewer: Viewer | None, layer: Layer) -> Box:
    """The part of a layer that the canvas of its viewer shows, in pixels of its largest level; all where it shows none.

    `layer.corner_pixels` is more than that: since napari 0.9 it is what was read of a pyramid, and stays so however
    near one goes.
    """
    shape = plane_shape(layer)
    whole = Box(0, 0, *shape)
    if viewer is None:
        return whole
    camera = camera_of(viewer)
    half = np.array(canvas_size(viewer)) / camera.zoom / 2
    ends = [np.asarray(camera.center[-2:]) + half * sign for sign in ((-1, -1), (-1, 1), (1, -1), (1, 1))]
    pixels = np.array([np.asarray(layer.world_to_data(end))[-2:] for end in ends]) + 0.5
    low, high = np.floor(pixels.min(axis=0)), np.ceil(pixels.max(axis=0))
    box = Box(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clip(shape)
    return box if box.area else whole


def middle(box: Box) -> tuple[float, float]:
    """The centre of a box."""
    return (box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2


def placement(layer: Layer, factor: float) -> dict[str, Any]:
    """Where a working grid of `factor` px per source px lies, for a layer over the same picture."""
    scale = np.asarray(layer.scale, dtype=float)[-2:]
    half = 0.5 / factor - 0.5
    moved = {"scale": tuple(scale / factor), "translate": tuple(_shifted(layer, half, half))}
    return {**lying_like(layer), **moved}


def placement_in(layer: Layer, box: Box, zoom: int) -> dict[str, Any]:
    """Where a box of a photograph lies that was enlarged so many times, for a layer over the same picture."""
    half = 0.5 / zoom - 0.5
    scale = np.asarray(layer.scale, dtype=float)[-2:]
    moved = {"scale": tuple(scale / zoom), "translate": tuple(_shifted(layer, box.y0 + half, box.x0 + half))}
    return {**lying_like(layer), **moved}


def lying_like(layer: Layer, box: Box | None = None, step: int = 1) -> dict[str, Any]:
    """Keywords of a flat layer whose pixels are those of `layer`, or of a box of it, wherever that was moved to.

    Its pixels are each `step` x `step` of those.
    """
    return {
        "scale": layer.scale[-2:] * step,
        "translate": layer.translate[-2:] if box is None else corner_of(layer, box, step),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units[-2:],
    }


def corner_of(layer: Layer, box: Box, step: int = 1) -> NDArray[np.float64]:
    """The `translate` of a layer that lies like the largest level of another, but begins at a box of it.

    Its pixels are each `step` x `step` of those.
    """
    middle = (step - 1) / 2
    return _shifted(layer, box.y0 + middle, box.x0 + middle)


def _shifted(layer: Layer, y: float, x: float) -> NDArray[np.float64]:
    """Where a place of a layer's pixels lies before its affine is applied."""
    linear = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim).linear_matrix
    return np.asarray(np.asarray(layer.translate, dtype=float)[-2:] + linear[-2:, -2:] @ np.array([y, x]))


def polygons(shapes: Shapes, photograph: Layer) -> Any:
    """The areas of a Shapes layer as polygons `(x, y)` in source pixels.

    Raises
    ------
    InputError
        If the layer holds no area.
    """
    import shapely

    parts = []
    for outline, kind in zip(shapes.data, shapes.shape_type, strict=True):
        corners = shape_outline(np.asarray(outline), kind)
        if len(corners) >= 3:
            points = [photograph.world_to_data(shapes.data_to_world(point)) for point in corners]
            parts.append(shapely.Polygon([(x + 0.5, y + 0.5) for y, x in points]).buffer(0))
    area = shapely.union_all(parts)
    if area.is_empty:
        raise InputError(f"The layer “{shapes.name}” holds no area; draw a polygon in it or choose another.")
    return area


def shape_outline(corners: NDArray[Any], kind: str) -> NDArray[Any]:
    """The corners of a shape's outline; of an ellipse 64, of a line none."""
    if kind in ("line", "path"):
        return corners[:0]
    if kind != "ellipse":
        return corners
    centre = corners.mean(axis=0)
    one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(turn) * one + np.sin(turn) * other)
