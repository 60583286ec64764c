"""How well are rows followed? F1 of pairs of neighbours in a row: a line a laying of drawn floors, or a real crop.

python benchmarks/rows.py                       # 24 drawings a laying, seeds from 100
python benchmarks/rows.py --seed 700            # others, none of which chose a constant
python benchmarks/rows.py --crops ../shared/data    # the crops of tests/data/rows, by both annotators
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from napari_mosaic.measurement.andamento import direction_field
from napari_mosaic.measurement.label_images import measure_labels
from napari_mosaic.measurement.rows import pair_score, pairs_of, trace_rows
from napari_mosaic.synthetic.rows import LAYINGS, draw_rows

MARKED = Path(__file__).resolve().parents[1] / "tests" / "data" / "rows"


def found_pairs(labels: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of labels that stand beside each other in a row."""
    ids, shapes, graph = measure_labels(labels)
    rows = trace_rows(shapes, graph, direction_field(shapes, graph), shortest=2)
    return pairs_of([ids[chain] for chain in rows.chains()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=int, default=24)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--crops", type=Path)
    asked = parser.parse_args()
    if asked.crops is not None:
        for path in sorted(MARKED.glob("*.json")):
            marked = json.loads(path.read_text(encoding="utf-8"))
            labels = np.array(Image.open(asked.crops / marked["truth"]))[1::3, 1::3].astype(np.int32)
            score = pair_score(found_pairs(labels), pairs_of(marked["rows"]))
            print(json.dumps({"benchmark": "rows", "marked": path.stem, "f1": round(score, 3)}), flush=True)
        return
    for laying in LAYINGS:
        scores = []
        for seed in range(asked.seed, asked.seed + asked.drawings):
            drawing = draw_rows(560, seed, laying)
            scores.append(pair_score(found_pairs(drawing.labels), pairs_of(drawing.rows)))
        line = {
            "benchmark": "rows",
            "drawn": laying,
            "drawings": asked.drawings,
            "f1": round(float(np.mean(scores)), 3),
        }
        print(json.dumps(line | {"least": round(min(scores), 3)}), flush=True)


if __name__ == "__main__":
    main()
