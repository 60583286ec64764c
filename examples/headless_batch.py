"""Segment every photograph of a folder without a viewer, and print what was found.

python headless_batch.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from napari_mosaic import SegmentParams
from napari_mosaic.export import export_record
from napari_mosaic.segmentation import segment

KINDS = {".tif", ".tiff", ".png", ".jpg", ".jpeg"}


def main(folder: Path, params: SegmentParams | None = None) -> None:
    """One record and one table beside each photograph; what is finished is not done again."""
    for photograph in sorted(path for path in folder.iterdir() if path.suffix.lower() in KINDS):
        with segment(photograph, params=params, resume=True) as record:
            print(f"{photograph.name}: {record.count} tesserae")
            export_record(record, "csv", photograph.with_suffix(".csv"), overwrite=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
