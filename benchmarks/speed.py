"""`segment` end to end against a plain sliding window, in turn, on one image: one line of JSON each.

    python benchmarks/speed.py --megapixels 36 --rounds 3

The plain window is the usual way: a U-Net with an EfficientNet-B3 encoder, windows of 512 px that overlap
by 64, one window a forward pass, torch as it comes, network alone, nothing written. `segment` reads the
file, finds the joints, cuts the tesserae and writes the record. Compare the ratios, not the seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image

from napari_mosaic import SegmentParams, draw_mosaic, segment


def plain_window(image: np.ndarray, network: torch.nn.Module) -> float:
    started = time.perf_counter()
    step, side = 512 - 64, 512
    height, width = image.shape[:2]
    total = np.zeros((height, width), np.float32)
    count = np.zeros((height, width), np.float32)
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    with torch.no_grad():
        for y in range(0, height - 64, step):
            for x in range(0, width - 64, step):
                y0, x0 = min(y, height - side), min(x, width - side)
                window = (image[y0 : y0 + side, x0 : x0 + side].astype(np.float32) / 255 - mean) / std
                logits = network(torch.from_numpy(window.transpose(2, 0, 1))[None])
                total[y0 : y0 + side, x0 : x0 + side] += torch.sigmoid(logits)[0, 0].numpy()
                count[y0 : y0 + side, x0 : x0 + side] += 1
    assert (total / count > 0.5).shape == (height, width)
    return time.perf_counter() - started


def ours(path: Path, folder: Path, scale: float) -> float:
    started = time.perf_counter()
    segment(path, folder / "run.mosaic.zarr", params=SegmentParams(scale=scale), overwrite=True).close()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=36.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cells = max(1, round((arguments.megapixels * 1e6) ** 0.5 / 1024))
    block = draw_mosaic(1024, seed=1).image
    image = np.tile(block, (cells, cells, 1))
    megapixels = image.shape[0] * image.shape[1] / 1e6
    network = smp.Unet("efficientnet-b3", encoder_weights=None, classes=1).eval()
    times: dict[str, list[float]] = {"plain": [], "1": [], "0.5": [], "1.6": []}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "floor.png"
        Image.fromarray(image).save(path)
        ours(path, Path(name), 0.25)
        for _ in range(arguments.rounds):
            times["plain"].append(plain_window(image, network))
            for scale in ("1", "0.5", "1.6"):
                times[scale].append(ours(path, Path(name), float(scale)))
    plain = statistics.median(times["plain"])
    for name, values in times.items():
        seconds = statistics.median(values)
        print(
            json.dumps(
                {
                    "benchmark": "speed",
                    "what": name if name == "plain" else f"segment at factor {name}",
                    "megapixels": round(megapixels, 1),
                    "seconds": round(seconds, 2),
                    "source_megapixels_per_second": round(megapixels / seconds, 2),
                    "times_faster_than_plain": round(plain / seconds, 2),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
