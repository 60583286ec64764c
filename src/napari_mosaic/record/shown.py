"""A record as whoever measures and hands on sees it: with one of its label layers in the place of its tesserae.

One decision: exports, figures and columns know one layer, `record.tesserae`; which one that is, is chosen once, here.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from napari_mosaic.files import read_object
from napari_mosaic.record.label_layer import SAM2_PLAN, TESSERAE, found_name, require_layer

if TYPE_CHECKING:
    from napari_mosaic.record.store import Record

IMPORTED = "imported"
"""The method of a record whose tesserae came from a file; its model is the file's name."""


def show_labels(record: Record, name: str | None) -> Record:
    """See `Record.with_labels`."""
    if name is None and record.whole is not None:
        return record
    layer = record.label_layer(require_layer(record.path, found_name(record.path) if name is None else name))
    shown = copy.copy(record)
    shown.whole, shown.writable, shown.tesserae = record.whole or record, False, layer
    shown.edits = record.edits.of(layer)
    return shown


def model_of_masks(record: Record) -> str | None:
    """The model of SAM 2 that made the labels which a record shows; None where it made none of them."""
    plan = read_object(record.path / SAM2_PLAN)
    return plan.get("model") if plan.get("into") == record.tesserae.name else None


def is_imported(record: Record) -> bool:
    """Whether the labels that a record shows came from a file, and no method of ours found them."""
    return record.plan.method == IMPORTED and model_of_masks(record) is None


def describe_method(record: Record) -> str:
    """How the labels that a record shows were found, in a few words."""
    plan, masks, name = record.plan, model_of_masks(record), record.tesserae.name
    words = f"imported from {plan.model}" if plan.method == IMPORTED else f"{plan.method}, model {plan.model}"
    words += f", SAM 2 model {masks}" if masks else ""
    return words if name == TESSERAE else f"{words}, labels {name}"
