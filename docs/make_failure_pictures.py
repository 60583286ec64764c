"""Make the model card's picture of where the bundled model fails.

python docs/make_failure_pictures.py --data ../shared/data

Left and middle: the two hardest crops with truth, white found, blue missed, orange no tessera by the truth, grey left
out; only labels are shown, nothing of the photographs. Right: a photograph of bricks, as `--preview` draws it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from napari_mosaic import open_image, segment
from napari_mosaic.evaluation import draw_tesserae
from napari_mosaic.export.preview import render_preview

HARDEST = {"onager": "lion_onager_cat5_detail.jpg", "lionbull": "lion_bull_cat19.jpg"}
OUT = Path(__file__).parent / "images" / "failures.png"
SIDE, GAP = 440, 10


def square(picture: np.ndarray) -> Image.Image:
    """The middle of a picture, as large as the others."""
    side = min(picture.shape[:2])
    y, x = ((length - side) // 2 for length in picture.shape[:2])
    return Image.fromarray(picture[y : y + side, x : x + side]).resize((SIDE, SIDE), Image.Resampling.BOX)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as folder:
        pictures = []
        for truth, photograph in HARDEST.items():
            record = Path(folder) / f"{Path(photograph).stem}.mosaic.zarr"
            segment(data / photograph, record).close()
            pictures.append(draw_tesserae(record, data / f"{truth}.json"))
        with segment("sample:brick", Path(folder) / "brick.mosaic.zarr") as bricks:
            pictures.append(render_preview(bricks, open_image("sample:brick")))
    strip = Image.new("RGB", (len(pictures) * (SIDE + GAP) - GAP, SIDE), "white")
    for number, picture in enumerate(pictures):
        strip.paste(square(picture), (number * (SIDE + GAP), 0))
    strip.save(OUT, optimize=True)


if __name__ == "__main__":
    main()
