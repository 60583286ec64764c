"""What does each column of the feature table cost? Core-seconds and peak memory for a record's tesserae: a line each.

python benchmarks/columns.py                         # the sample "brick"
python benchmarks/columns.py floor.mosaic.zarr
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from napari_mosaic.measurement.features import feature_table
from napari_mosaic.measurement.registry import COLUMNS
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import segment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", nargs="?", help="a mosaic record")
    asked = parser.parse_args().record
    with tempfile.TemporaryDirectory() as folder:
        if asked is None:
            segment("sample:brick", Path(folder) / "a.mosaic.zarr", params=SegmentParams()).close()
        with open_record(asked or Path(folder) / "a.mosaic.zarr") as record:
            feature_table(record, ["rectangle_length", "joint_width", "lightness", "corners"])  # compiled by now
            for name, column in COLUMNS.items():
                if column.unit == "map" and record.affine is None:
                    continue
                began = time.process_time()
                feature_table(record, [name])
                core_s = time.process_time() - began
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
                line = {"benchmark": "columns", "column": name, "source": column.source, "tesserae": record.count}
                line |= {"core_s": round(core_s, 3), "us_each": round(core_s / max(record.count, 1) * 1e6, 1)}
                print(json.dumps(line | {"peak_gb": round(peak, 2)}), flush=True)


if __name__ == "__main__":
    main()
