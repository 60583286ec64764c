"""The process in which rules are searched for: `python -m napari_mosaic.widgets._tune.worker`.

One decision: a search takes a core for minutes and holds Python's lock while it does, so it has a process of
its own. Its events are `progress` with the score of each trial, then `done` or `failed` (see `_process`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from napari_mosaic.errors import MosaicError
from napari_mosaic.record import open_record
from napari_mosaic.tuning import tune_steps
from napari_mosaic.widgets._process import Stopped, Tell, serve, tell_progress
from napari_mosaic.widgets._tune.runs import BEST, TuneRequest


def run(request: TuneRequest, tell: Tell, stopped: Stopped) -> None:
    """Search as asked, telling each trial, until the end or until `stopped()`."""
    try:
        with open_record(request.record) as record:
            steps = tune_steps(record, request.truths, request.folder, params=request.parameters())
            for progress in steps:
                tell_progress(progress, tell)
                if stopped():
                    steps.close()
                    return
        tell("done", path=str(Path(request.folder) / BEST))
    except MosaicError as error:
        tell("failed", message=str(error))


def main() -> int:
    """Serve one request from standard input; returns the exit status."""
    return serve(lambda line, tell, stopped: run(TuneRequest.from_json(line), tell, stopped))


if __name__ == "__main__":
    sys.exit(main())
