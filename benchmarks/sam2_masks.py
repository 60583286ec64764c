"""SAM 2 with the published automatic settings beside ours, guided by the joints, on the same picture in one run.

    python benchmarks/sam2_masks.py --model FILE [--count 2] [--stones 10] [--seed 900000]
        [--photograph FILE --truth FILE]

Pictures are drawn crops of about `stones` x `stones` tesserae, of seeds that no training uses, at the drawing's own
scale, or one photograph with its truth. Each line is JSON: prompts, windows encoded, windows there are, seconds of the
masks alone, and F1 at an overlap of 0.5. The last line is about clicks: seconds from a click to its preview in a
window that is encoded, and of one call of the decoder in the same run. Any checkpoint will do; with `--model random`
the smallest architecture runs with random weights, so that everything but F1 is right.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_mosaic import SegmentParams, draw_mosaic, segment
from napari_mosaic.engine.sam.clicks import open_clicks
from napari_mosaic.engine.sam.methods import register_mask_method
from napari_mosaic.engine.sam.plan import AUTOMATIC, GUIDED, MaskPlan
from napari_mosaic.engine.segmenters import add_factory, load_segmenter
from napari_mosaic.image import open_image
from napari_mosaic.metrics import evaluate_labels
from napari_mosaic.record import Record
from napari_mosaic.record.sam2 import Sam2Files
from napari_mosaic.sam.clicks import Clicks
from napari_mosaic.sam.params import PRESETS, SamParams
from napari_mosaic.sam.prompts import Prompts
from napari_mosaic.tiling import Box

PX = 24
GEOMETRIES = ("bond", "rows", "cells", "mixed")
METHODS = {"automatic as published": (AUTOMATIC, "mosaic-sam2"), "guided by the joints": (GUIDED, "ours")}


def load(model: str) -> Any:
    """The network of a file or a name, or one with random weights."""
    from napari_mosaic.sam.building import build_model
    from napari_mosaic.sam.network import SamNetwork, load_sam
    from napari_mosaic.sam.registry import SMALLEST

    if model != "random":
        return load_sam(model)
    return SamNetwork(build_model(SMALLEST), name="random", sha256="random", config=SMALLEST)


def pictures(arguments: argparse.Namespace) -> Iterator[tuple[str, Any, Any, float | str]]:
    """Name, pixels, truth and scale of every picture."""
    if arguments.photograph is not None:
        from napari_mosaic.evaluation.files import read_label_image

        yield arguments.photograph.name, str(arguments.photograph), read_label_image(arguments.truth), "auto"
        return
    for k in range(arguments.count):
        geometry = GEOMETRIES[k % len(GEOMETRIES)]
        drawn = draw_mosaic(arguments.stones * PX, arguments.seed + k, geometry, tessera_px=PX)
        yield f"{geometry} {arguments.seed + k}", drawn.image, drawn.labels, 1.0


def run(network: Any, image: Any, truth: Any, scale: Any, method: str, path: Path) -> dict[str, Any]:
    """One method on one picture."""
    mode, preset = METHODS[method]
    add_factory(method, lambda *settings: load_segmenter("grout", *settings[:1]))
    register_mask_method(method, mode, lambda _: network)
    params, sam = SegmentParams(method=method, scale=scale), PRESETS[preset]
    if mode == AUTOMATIC:  # windows of ten tesserae, as published, whatever the model's size
        sam = replace(sam, tessera_px=sam.tessera_px * network.image_size / 1024)
    with segment(image, path, params=params, sam=sam) as record:
        plan = MaskPlan.from_json(Sam2Files(record).read_plan() or {})
        work = Sam2Files(record).read_work() or {}
        whole = Box(0, 0, *record.shape)
        labels = record.read_labels(whole) if mode == GUIDED else record.label_layer("sam2").read(whole)
        windows = sum(len(plan.lattice(layer, record.shape)) for layer in range(len(plan.layers)))
        found = on_truth(labels, truth, record)
        scores = evaluate_labels(found, truth).at(0.5)
        return {
            "prompts": work["prompts"],
            "encoder_passes": work["windows"],
            "windows": windows,
            "seconds": work["seconds"],
            "f1": round(scores.f1, 4),
            "tesserae": int(len(np.unique(truth)) - 1),
            "found": int(len(np.unique(found)) - 1),
        }


def on_truth(labels: Any, truth: Any, record: Record) -> Any:
    """Labels of the working grid on the pixels of the photograph."""
    y, x = (np.arange(side) for side in truth.shape)
    rows, columns = (np.minimum(((k + 0.5) * record.plan.factor).astype(int), side - 1)
                     for k, side in zip((y, x), labels.shape, strict=True))  # fmt: skip
    return labels[rows[:, None], columns]


def click_seconds(network: Any, image: Any, record_path: Path, rounds: int = 15) -> dict[str, Any]:
    """From a click to its mask on a window that is encoded, and one call of the decoder for it."""
    from napari_mosaic.record import open_record

    with open_record(record_path) as record:
        session = open_clicks(record.plan, open_image(image), network, SamParams())
        y, x = (side / 2 for side in record.shape)
        clicks = Clicks(inside=((y, x),))
        frame = session.frame_for(clicks)
        embedding = session.warm(frame)
        asked = Prompts(points=frame.to_network(np.array([y]), np.array([x])))
        shown, decoded = [], []
        for _ in range(rounds):
            started = time.perf_counter()
            session.suggest(clicks)
            shown.append(time.perf_counter() - started)
            started = time.perf_counter()
            list(network.predict(embedding, asked, batch=1))
            decoded.append(time.perf_counter() - started)
    preview, call = statistics.median(shown), statistics.median(decoded)
    return {"click_to_mask": round(preview, 4), "decoder_call": round(call, 4), "ratio": round(preview / call, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--stones", type=int, default=10)
    parser.add_argument("--seed", type=int, default=900_000)
    parser.add_argument("--photograph", type=Path)
    parser.add_argument("--truth", type=Path)
    arguments = parser.parse_args()
    network = load(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, image, truth, scale) in enumerate(pictures(arguments)):
            rows = {}
            for place, method in enumerate(METHODS):
                path = Path(folder) / f"{number}-{place}.mosaic.zarr"
                rows[method] = run(network, image, truth, scale, method, path)
                print(json.dumps({"picture": name, "method": method, **rows[method]}), flush=True)
            published, ours = rows.values()
            fewer = published["prompts"] / max(1, ours["prompts"])
            print(json.dumps({"picture": name, "times fewer prompts": round(fewer, 1),
                              "encoder passes within windows": ours["encoder_passes"] <= ours["windows"]}))  # fmt: skip
        print(json.dumps({"picture": name, **click_seconds(network, image, path)}))


if __name__ == "__main__":
    main()
