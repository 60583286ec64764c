"""Is the search for the scale as good as looking at the whole ladder, and how many windows does it save? A line each.

python benchmarks/scale.py PICTURE [PICTURE …]
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from typing import Any
from unittest import mock

from napari_mosaic.areas import AreaSet
from napari_mosaic.engine import scale
from napari_mosaic.engine.domain import Domain
from napari_mosaic.image import open_image
from napari_mosaic.request import SegmentParams
from napari_mosaic.segmentation import load_method


class Counted:
    """A method that counts the windows it is asked for."""

    def __init__(self, method: Any) -> None:
        self._method = method
        self.windows = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def predict(self, windows: Any) -> Any:
        self.windows += len(windows)
        return self._method.predict(windows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+")
    method = load_method(SegmentParams())
    for picture in parser.parse_args().pictures:
        line: dict[str, Any] = {"benchmark": "scale", "source": picture}
        with open_image(picture) as image:
            for name, probe in (("ladder", partial(_whole_ladder, scale.probe_scale)), ("search", scale.probe_scale)):
                counted, began = Counted(method), time.process_time()
                with mock.patch.object(scale, "probe_scale", probe):
                    found = scale.estimate_scale(image, counted, Domain(image, AreaSet(), 1.0))
                core_s = round(time.process_time() - began, 2)
                line |= {f"{name}_px": found.source_px, f"{name}_windows": counted.windows, f"{name}_core_s": core_s}
        print(json.dumps(line), flush=True)


def _whole_ladder(probe: Any, *arguments: Any, near: Any = None, **options: Any) -> Any:
    del near
    return probe(*arguments, **options)


if __name__ == "__main__":
    main()
