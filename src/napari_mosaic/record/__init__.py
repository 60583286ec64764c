"""The record of one mosaic on disk: its only reader and writer."""

from napari_mosaic.files import write_error
from napari_mosaic.record.create import create_record, relink
from napari_mosaic.record.looked_at import Figures
from napari_mosaic.record.metadata import SourceEntry
from napari_mosaic.record.plan import SHARD, Plan
from napari_mosaic.record.source import check_source
from napari_mosaic.record.store import Record, open_record

__all__ = [
    "SHARD",
    "Figures",
    "Plan",
    "Record",
    "SourceEntry",
    "check_source",
    "create_record",
    "open_record",
    "relink",
    "write_error",
]
