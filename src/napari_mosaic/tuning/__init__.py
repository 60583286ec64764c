"""Better thresholds for one kind of mosaic, from a few windows that somebody drew.

One decision: the network never runs. The stored map is cut into tesserae again and again, as the viewer's
sliders do, and a search remembers what came out; it may be stopped and gone on with at any time.
"""

from napari_mosaic.tuning.handed import Handed, read_handed
from napari_mosaic.tuning.search import TuneParams, TuneResult, read_best, tune, tune_steps
from napari_mosaic.tuning.study import GOALS

__all__ = ["GOALS", "Handed", "TuneParams", "TuneResult", "read_best", "read_handed", "tune", "tune_steps"]
