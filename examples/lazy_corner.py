"""Label one corner of a huge photograph: only the pixels that the corner needs are read.

python lazy_corner.py PHOTOGRAPH
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from napari_mosaic import SegmentParams
from napari_mosaic.segmentation import lazy_tesserae


def main(photograph: Path | str, params: SegmentParams | None = None) -> Any:
    """The labels of the first 512 x 512 px of the working grid."""
    levels = lazy_tesserae(photograph, params)
    corner = np.asarray(levels[0][:512, :512])
    print(f"{len(np.unique(corner)) - 1} tesserae meet the corner; nothing else was computed")
    return corner


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sample:brick")
