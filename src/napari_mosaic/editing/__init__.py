"""Edits of tesserae and areas: every tool a function on a record that is open for writing.

One decision: a tool returns once level 0, the tables and the journal hold the edit; the smaller levels follow when
`update_pyramid_steps` is run, in the background or when the record is closed.

Examples
--------
>>> from napari_mosaic import open_record
>>> from napari_mosaic import editing
>>> with open_record("floor.mosaic.zarr", writable=True) as record:  # doctest: +SKIP
...     editing.merge(record, [1712, 1713])
...     editing.undo(record)
"""

from napari_mosaic.editing.area_edits import add_area, change_area, remove_area
from napari_mosaic.editing.entries import Edit
from napari_mosaic.editing.from_mask import add_mask
from napari_mosaic.editing.history import (
    Report,
    describe_report,
    list_edits,
    redo,
    report,
    undo,
    update_pyramid,
    update_pyramid_steps,
)
from napari_mosaic.editing.names import is_made, place_of_id
from napari_mosaic.editing.outliers import REASONS, QueueParams
from napari_mosaic.editing.outlines import add_click, add_outline, convex, fill_holes, grow, shrink, snap
from napari_mosaic.editing.painting import replace_window
from napari_mosaic.editing.queue import (
    Suspect,
    decide,
    progress_of_queue,
    read_suspects,
    suspects,
    suspects_steps,
)
from napari_mosaic.editing.replay import (
    Conflict,
    Replayed,
    export_edits,
    import_edits_steps,
    read_conflicts,
    replay_kept_steps,
)
from napari_mosaic.editing.requests import apply_request, apply_requests, check_requests, read_requests
from napari_mosaic.editing.tools import EDIT_TOOLS, TOOLS
from napari_mosaic.editing.whole_tesserae import assign, delete, merge, split_auto, split_line, split_seeds
from napari_mosaic.record.decisions import DECISIONS

settle, settle_steps = update_pyramid, update_pyramid_steps
"""Their older names."""

__all__ = [
    "DECISIONS",
    "EDIT_TOOLS",
    "REASONS",
    "TOOLS",
    "Conflict",
    "Edit",
    "QueueParams",
    "Replayed",
    "Report",
    "Suspect",
    "add_area",
    "add_click",
    "add_mask",
    "add_outline",
    "apply_request",
    "apply_requests",
    "assign",
    "change_area",
    "check_requests",
    "convex",
    "decide",
    "delete",
    "describe_report",
    "export_edits",
    "fill_holes",
    "grow",
    "import_edits_steps",
    "is_made",
    "list_edits",
    "merge",
    "place_of_id",
    "progress_of_queue",
    "read_conflicts",
    "read_requests",
    "read_suspects",
    "redo",
    "remove_area",
    "replace_window",
    "replay_kept_steps",
    "report",
    "settle",
    "settle_steps",
    "shrink",
    "snap",
    "split_auto",
    "split_line",
    "split_seeds",
    "suspects",
    "suspects_steps",
    "undo",
    "update_pyramid",
    "update_pyramid_steps",
]
