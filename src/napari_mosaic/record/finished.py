"""Windows of a record that a person has corrected and calls finished: the truth to learn from.

One decision: they are boxes in pixels of the photograph in a file of their own, `finished.json`, written
whole and renamed; marking says nothing about the tesserae, and computing never touches the marks.
"""

from __future__ import annotations

import json

from napari_mosaic.errors import InputError, RecordError
from napari_mosaic.files import write_whole, writing
from napari_mosaic.record.store import Record
from napari_mosaic.tiling import Box

NAME = "finished.json"
FORMAT = 1


def finished_boxes(record: Record) -> list[Box]:
    """The boxes `(y0, x0, y1, x1)` marked as finished, in pixels of the photograph, in the order of marking.

    Raises
    ------
    RecordError
        If the file is damaged or of a newer version.
    """
    path = record.path / NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] > FORMAT:
            raise RecordError(f"{path} is of a newer version than this one knows; update napari-mosaic to read it.")
        return [Box(*(int(edge) for edge in box)) for box in values["boxes"]]
    except FileNotFoundError:
        return []
    except RecordError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecordError(f"{path} cannot be read ({error}); delete it and mark the windows again.") from error


def require_finished(record: Record) -> list[Box]:
    """`finished_boxes`, where there must be some.

    Raises
    ------
    InputError
        If no window is marked as finished.
    """
    boxes = finished_boxes(record)
    if not boxes:
        raise InputError(
            f"No window of {record.path} is marked as finished, so there is nothing that is known to be true; "
            "correct a window and mark it."
        )
    return boxes


def mark_finished(record: Record, box: Box) -> list[Box]:
    """Mark a box of the photograph as finished; boxes that lie inside of it are taken up by it.

    Parameters
    ----------
    record
        Open for writing.
    box
        `(y0, x0, y1, x1)` in pixels of the photograph; what sticks out is cut off.

    Returns
    -------
    list of Box
        All boxes that are finished now.

    Raises
    ------
    InputError
        If the box holds no pixel of the photograph.
    RecordError
        If the record is open for reading only.
    """
    height, width = record.plan.source_shape
    inside = Box(*(int(edge) for edge in box)).clip((height, width))
    if inside.area == 0:
        raise InputError(
            f"The box {tuple(box)} holds no pixel of the photograph, which is {width} x {height} px; "
            "mark a window that lies on it."
        )
    boxes = finished_boxes(record)
    if any(_covers(other, inside) for other in boxes):
        return boxes
    return _write(record, [*(other for other in boxes if not _covers(inside, other)), inside])


def _write(record: Record, boxes: list[Box]) -> list[Box]:
    if not record.writable:
        raise RecordError(f"{record.path} is open for reading only; open it with writable=True to mark windows.")
    with writing(record.path):
        write_whole(
            record.path / NAME, json.dumps({"format": FORMAT, "boxes": [list(box) for box in boxes]}), sync=True
        )
    return boxes


def _covers(outer: Box, inner: Box) -> bool:
    return outer.intersect(inner) == inner
