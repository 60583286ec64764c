"""What a run was like: `history.csv`, `history.png`, and logs for TensorBoard.

One decision: a row holds nothing of the clock and belongs to a checkpoint; rows later than the checkpoint
that a run goes on from are dropped, so an interrupted run ends with the history of an undisturbed one.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mosaic.dependencies import has_package, needed_for
from napari_mosaic.files import whole_file, write_csv
from napari_mosaic.plots import new_figure, save_figure
from napari_mosaic.training.run_files import writing

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TABLE, PLOT, LOGS = "history.csv", "history.png", "tensorboard"
Panels = tuple[tuple[str, ...], ...]
"""Which figures are drawn together."""


def read_history(folder: str | Path) -> list[dict[str, float]]:
    """Rows of a run's history, first to last; a line that is not whole ends it."""
    path = Path(folder) / TABLE
    if not path.exists():
        return []
    rows: list[dict[str, float]] = []
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            try:
                rows.append({name: float(value) for name, value in row.items()})
            except (TypeError, ValueError):
                break
    return rows


class History:
    """The open history of a run; closing it draws the curves."""

    def __init__(self, folder: Path, step: int, panels: Panels) -> None:
        self.folder, self._panels = folder, panels
        self.rows = [row for row in read_history(folder) if row["step"] <= step]
        self._write()
        self._log = _open_log(folder / LOGS, step)

    def add(self, row: dict[str, float]) -> None:
        """Append a row and log it."""
        self.rows.append({name: round(value, 8) for name, value in row.items()})
        self._write()
        if self._log is not None:
            for name, value in row.items():
                if name != "step":
                    self._log.add_scalar(name, value, int(row["step"]))
            self._log.flush()

    def close(self) -> None:
        """End the log and draw the curves."""
        if self._log is not None:
            self._log.close()
        if self.rows and has_package("matplotlib"):
            plot_history(self.rows, self.folder / PLOT, self._panels)

    def _write(self) -> None:
        path = self.folder / TABLE
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with writing(path), whole_file(path, sync=True) as part:
            write_csv(part, (names, *([f"{row[n]:.8g}" if n in row else "" for n in names] for row in self.rows)))


def plot_history(rows: list[dict[str, float]], path: Path, panels: Panels) -> None:
    """Draw loss, validation and learning rate over the steps, as a PNG."""
    figure = new_figure(11, 3.2)
    for axes, names in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in names:
            points = [(row["step"], row[name]) for row in rows if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=name.replace("_", " "))
        axes.set_xlabel("step")
        if axes.lines:
            axes.legend()
    save_figure(figure, path)


def _open_log(folder: Path, step: int) -> SummaryWriter | None:
    """A TensorBoard writer that forgets what is later than `step`; None where TensorBoard is not installed."""
    if not has_package("tensorboard"):
        return None
    with needed_for("A log for TensorBoard"):
        from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)  # type: ignore[no-untyped-call]
