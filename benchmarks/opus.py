"""Which opus is proposed for drawn floors? A confusion table: a line for each manner of drawing.

python benchmarks/opus.py                   # 30 drawings a manner, seeds from 9000: none of them was used for a rule
python benchmarks/opus.py --grounds         # the grounds' quantiles as well
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import fields

import numpy as np

from napari_mosaic.measurement.andamento import direction_field
from napari_mosaic.measurement.label_images import measure_labels
from napari_mosaic.measurement.opus import OPERA, Grounds, local_grounds, opus_regions
from napari_mosaic.measurement.rows import trace_rows
from napari_mosaic.synthetic.manners import EXPECTED, draw_manner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=int, default=30)
    parser.add_argument("--seed", type=int, default=9000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--grounds", action="store_true")
    asked = parser.parse_args()
    for manner, expected in EXPECTED.items():
        found: Counter[str] = Counter()
        seen = []
        for seed in range(asked.seed, asked.seed + asked.drawings):
            _, shapes, graph = measure_labels(draw_manner(asked.size, seed, manner))
            directions = direction_field(shapes, graph)
            rows = trace_rows(shapes, graph, directions)
            opus, _ = opus_regions(shapes, graph, directions, rows)
            found[OPERA[int(np.bincount(opus, minlength=len(OPERA)).argmax())]] += 1
            grounds = local_grounds(shapes, graph, directions, rows)
            seen.append([float(np.median(getattr(grounds, each.name))) for each in fields(Grounds)])
        line = {"benchmark": "opus", "drawn": manner, "expected": expected, "drawings": asked.drawings}
        line |= {name: found[name] for name in OPERA if found[name]}
        print(json.dumps(line), flush=True)
        if asked.grounds:
            quantiles = np.quantile(seen, (0.05, 0.5, 0.95), axis=0).T.round(3)
            names = [each.name for each in fields(Grounds)]
            print(json.dumps(dict(zip(names, quantiles.tolist(), strict=True))), flush=True)


if __name__ == "__main__":
    main()
