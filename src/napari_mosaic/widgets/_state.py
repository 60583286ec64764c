"""What the panel knows and what it therefore shows, without any widget.

One decision: everything that happens changes one frozen `PanelState`; `resolve` turns it into a frozen
`PanelViewModel`, and the widgets only ever apply the difference of two views. What a button does and why it
is off can so be tested without a window.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from napari_mosaic.data_sizes import data_size
from napari_mosaic.image import PixelSize
from napari_mosaic.image.pixel_size import describe_extent, describe_size, is_oblique, oblique_words
from napari_mosaic.progress import duration
from napari_mosaic.record.figure_words import areas_of, density_of
from napari_mosaic.record.label_layer import SAM2
from napari_mosaic.request import SegmentParams
from napari_mosaic.widgets._facts import EstimateFacts, RecordFacts, RunFacts, SizeFacts, SourceFacts, Tuning
from napari_mosaic.widgets._floor_words import whole_words
from napari_mosaic.words import counted

Mark = Literal["done", "next", "later"]
STEPS = ("Open", "Size", "Area", "Find", "Check", "Measure", "Deliver")
OPEN, SIZE, AREA, FIND, CHECK, MEASURE, DELIVER = range(7)

CUT_PX_PER_S = 12e6
"""Pixels of the working grid that are cut into tesserae in a second, for the word *about*; not varied."""


@dataclass(frozen=True, kw_only=True)
class PanelState:
    """All that the panel knows."""

    source: SourceFacts | None = None
    size: SizeFacts = field(default_factory=SizeFacts)
    include: str = ""
    exclude: str = ""
    line_px: float | None = None
    corners: int = 0
    place: Path | None = None
    estimate: EstimateFacts | None = None
    view_share: float = 1.0
    view_cost: tuple[float, int] | None = None
    busy: str = ""
    run: RunFacts | None = None
    record: RecordFacts | None = None
    tuning: Tuning = field(default_factory=Tuning)
    applied: Tuning = field(default_factory=Tuning)
    method: str = SegmentParams.method
    model: str = ""
    lacks: str = ""
    """The model that the method needs and that is not here."""
    whole: dict[str, Any] = field(default_factory=dict)
    """The figures of the floor as they were measured last; {} where nobody has measured it."""
    whole_changed: str = ""
    """What has changed since."""
    message: str = ""


@dataclass(frozen=True)
class StepViewModel:
    """One step as shown: its mark, what is known, and why it cannot be used (empty when it can)."""

    mark: Mark
    summary: str
    reason: str = ""


@dataclass(frozen=True)
class ButtonViewModel:
    """A button as shown; `reason` is the tooltip that says why it is off."""

    enabled: bool
    text: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PanelViewModel:
    """Everything that the widgets show."""

    steps: tuple[StepViewModel, ...]
    find_view: ButtonViewModel
    find_all: ButtonViewModel
    cancel: ButtonViewModel
    apply_all: ButtonViewModel
    confirm: ButtonViewModel
    size_confirmable: bool
    masks_shown: bool
    smallest_note: str
    use_line: ButtonViewModel
    use_rectangle: ButtonViewModel
    rectify: ButtonViewModel
    save: ButtonViewModel
    hand_in: ButtonViewModel
    cost: str
    place: str
    size_note: str
    floor_note: str
    measures: tuple[tuple[str, str], ...]
    measure: ButtonViewModel
    plots: ButtonViewModel
    whole: str
    progress: tuple[int, str] | None
    message: str


def resolve(state: PanelState) -> PanelViewModel:
    """What a state shows."""
    summaries = (
        _open(state),
        _size(state),
        _area(state),
        _find(state),
        _check(state),
        _measure(state),
        _deliver(state),
    )
    reasons = tuple(_reason(state, step) for step in range(len(STEPS)))
    upcoming = next_step(state)
    marks: list[Mark] = ["later" if reasons[i] else ("done" if _is_done(state, i) else "later") for i in range(7)]
    if not reasons[upcoming]:
        marks[upcoming] = "next"
    return PanelViewModel(
        steps=tuple(StepViewModel(*parts) for parts in zip(marks, summaries, reasons, strict=True)),
        cost=_cost(state),
        place=str(state.place) if state.place is not None else "",
        size_note=_size_note(state),
        masks_shown=state.record is not None and state.record.masks is not None,
        smallest_note=_smallest_note(state.record),
        floor_note=_floor_note(state),
        measures=_measures(state),
        whole=whole_words(state.whole, state.whole_changed) if state.record is not None else "",
        progress=progress_of(state.run),
        message=state.message,
        **_buttons(state),
    )


def next_step(state: PanelState) -> int:
    """The step that a person would take now."""
    if state.source is None and state.record is None:
        return OPEN
    if state.run is not None or state.record is None:
        return FIND
    return DELIVER if state.record.complete and state.tuning == state.applied else CHECK


def _is_done(state: PanelState, step: int) -> bool:
    known = state.source is not None or state.record is not None
    return {
        OPEN: known,
        SIZE: known and state.size.confirmed,
        AREA: known,
        FIND: state.record is not None and state.record.complete,
        CHECK: state.record is not None and state.tuning == state.applied,
        MEASURE: state.record is not None and state.record.count > 0,
        DELIVER: False,
    }[step]


def _reason(state: PanelState, step: int) -> str:
    if step == OPEN:
        return ""
    if step in (SIZE, AREA, FIND):
        return "" if state.source is not None else "Open a photograph first."
    if state.record is None:
        return "Find tesserae first."
    if step == DELIVER and state.run is not None:
        return "Wait for the run to end, or cancel it."
    return ""


def _buttons(state: PanelState) -> dict[str, Any]:
    find = _reason(state, FIND) or ("A run is going on." if state.run is not None else "")
    if not find and state.place is None:
        find = "Choose a place for the record."
    if not find and state.lacks:
        find = f"The model {Path(state.lacks).name} is not here: download it, or choose a file."
    changed = state.tuning != state.applied
    apply = _reason(state, CHECK) or ("A run is going on." if state.run is not None else "")
    if not apply and not changed:
        apply = "The sliders stand where they were applied."
    whole = "Go on with the whole" if state.record is not None and not state.record.complete else "Whole mosaic"
    running = state.run is not None
    stopping = state.run is not None and state.run.stopping
    return {
        "find_view": ButtonViewModel(not find, "Find in view", find),
        "find_all": ButtonViewModel(not find, whole, find),
        "cancel": ButtonViewModel(running and not stopping, "Stopping …" if stopping else "Cancel"),
        "apply_all": ButtonViewModel(not apply, _apply_text(state), apply),
        "confirm": _confirm(state.size),
        "size_confirmable": not state.size.confirmed,
        "use_line": _use_line(state.line_px),
        "use_rectangle": _use_corners(state.corners, "Set"),
        "rectify": _use_corners(state.corners, "Rectify …", running=state.run is not None),
        "save": ButtonViewModel(not _reason(state, DELIVER), "Save …", _reason(state, DELIVER)),
        "hand_in": _hand_in(state),
        **_measuring(state),
    }


def _measuring(state: PanelState) -> dict[str, ButtonViewModel]:
    why = _reason(state, MEASURE) or ("A run is going on." if state.run is not None else "")
    if not why and state.record is not None and state.record.count == 0:
        why = "There is no tessera to measure."
    again = "Measure again" if state.whole else "Measure the floor"
    none = why or ("" if state.whole else "Measure first.")
    return {"measure": ButtonViewModel(not why, again, why), "plots": ButtonViewModel(not none, "Plots …", none)}


def _confirm(size: SizeFacts) -> ButtonViewModel:
    if size.pixel_mm is None:
        return ButtonViewModel(False, "Confirm", "Type the pixel size first.")
    if size.confirmed:
        return ButtonViewModel(False, "Confirmed", "")
    if is_oblique(PixelSize(mm=size.pixel_mm, confirmed=False, origin=size.origin)):
        return ButtonViewModel(False, "Confirm", oblique_words(size.origin))
    return ButtonViewModel(True, "Confirm", "")


def _hand_in(state: PanelState) -> ButtonViewModel:
    """What is handed in is in millimetres, so somebody must vouch for the pixel size."""
    reason = _reason(state, DELIVER)
    if not reason and not state.size.confirmed:
        reason = "Give the pixel size and confirm it first: what is handed in is in mm."
    return ButtonViewModel(not reason, reason=reason)


def _use_corners(corners: int, text: str, *, running: bool = False) -> ButtonViewModel:
    if corners != 4:
        return ButtonViewModel(False, text, "Mark the four corners of a rectangle first.")
    return ButtonViewModel(not running, text, "A run is going on." if running else "")


def _use_line(pixels: float | None) -> ButtonViewModel:
    if pixels is None or pixels == 0:
        return ButtonViewModel(False, "Set", "Draw a line along a known length first.")
    return ButtonViewModel(True, "Set", "")


def _apply_text(state: PanelState) -> str:
    if state.record is None or state.record.covered_px == 0:
        return "Apply to all"
    return f"Apply to all (about {duration(state.record.covered_px / CUT_PX_PER_S)})"


def _open(state: PanelState) -> str:
    if state.source is None:
        if state.record is not None:
            return f"{state.record.path.name}; its photograph is not in the viewer"
        return "photograph, record or sample"
    height, width = state.source.shape
    return f"{width:,} × {height:,} px · {megapixels(height * width)}"


def _size(state: PanelState) -> str:
    size = state.size
    if size.pixel_mm is None:
        return "pixel size unknown: lengths in px"
    if size.mm is None:
        return f"{size.pixel_mm:.4g} mm/px, not confirmed"
    floor = "" if state.source is None else f" · {describe_extent(state.source.shape, size.mm)}"
    return f"{size.mm:.4g} mm/px{floor}"


def _floor_note(state: PanelState) -> str:
    """Where the pixel size comes from, what the photograph therefore measures, and its coordinate system."""
    lines, size, source = [], state.size, state.source
    if size.pixel_mm is not None:
        given = PixelSize(mm=size.pixel_mm, confirmed=size.confirmed, origin=size.origin)
        lines.append(str(describe_size(given)))
        if source is not None:
            would = "The photograph is" if size.confirmed else "The photograph would be"
            lines.append(f"{would} {describe_extent(source.shape, size.pixel_mm)}.")
    if state.line_px:
        lines.append(f"The line is {state.line_px:,.0f} px long.")
    if source is not None and source.crs:
        lines.append(source.crs)
    return "\n".join(lines)


def _size_note(state: PanelState) -> str:
    estimate = state.estimate
    if estimate is None or estimate.tessera_px is None:
        return "The size of the stones is measured before the run."
    analysis = estimate.tessera_px * estimate.factor
    real = ""
    if state.size.mm is not None:
        real = f" ({estimate.tessera_px * state.size.mm:.2g} mm)"
    return f"Stones are about {estimate.tessera_px:.0f} px{real} in the photograph, analysed at {analysis:.0f} px."


def _smallest_note(record: RecordFacts | None) -> str:
    """What the figure of the slider is of."""
    if record is None or record.figures is None or not record.figures.median_px:
        return ""
    usual = record.figures.median_px * record.factor**2
    return f"“Smallest” is an area in px of the analysis, where half of the tesserae have {usual:,.0f} or more."


def _area(state: PanelState) -> str:
    inside = f"within “{state.include}”" if state.include else "whole photograph"
    return f"{inside}, without “{state.exclude}”" if state.exclude else inside


def _find(state: PanelState) -> str:
    if state.run is not None:
        return state.run.title
    if state.record is None:
        with_model = f" · {state.model}" if state.model else ""
        return state.busy or (f"ready{with_model}" if state.source is not None else "")
    if state.record.complete and not state.record.count:
        return "no tessera found · another analysis size may help"
    done = "complete" if state.record.complete else "in part"
    by = " by SAM 2" if state.record.labels == SAM2 else ""
    return f"{counted(state.record.count, 'tessera')}{by} · {done}"


def _check(state: PanelState) -> str:
    if state.record is None:
        return ""
    if state.tuning != state.applied:
        return "previewed, not applied yet"
    flagged = state.record.flagged
    return f"{flagged:,} very large ones to look at" if flagged else "look, and tune where needed"


def _measure(state: PanelState) -> str:
    return dict(_measures(state)).get("Tessera, median", "")


def _measures(state: PanelState) -> tuple[tuple[str, str], ...]:
    record = state.record
    if record is None or record.figures is None or record.count == 0:
        return ()
    size = state.size
    figures = record.figures if size.mm is None else replace(record.figures, pixel_mm=size.mm)
    side, mm = (figures.median_px or 0.0) ** 0.5, figures.pixel_mm
    return (
        ("Tesserae", f"{figures.count:,}"),
        ("Tessera, median", f"{side:.1f} px" if mm is None else f"{side * mm:.1f} mm"),
        ("Density", density_of(figures)),
        *areas_of(figures),
    )


def _deliver(state: PanelState) -> str:
    if state.record is None:
        return ""
    return "on disk; save a copy" if state.record.complete else "what is found so far"


def _cost(state: PanelState) -> str:
    if state.source is None:
        return ""
    if state.estimate is None:
        return state.busy or "Measuring how long it takes …"
    whole, share = state.estimate, min(1.0, state.view_share)
    if whole.disk == 0 and state.record is not None and state.record.complete:
        return "Everything is found; nothing is left to compute."
    seconds, disk = state.view_cost or (whole.seconds * share, whole.disk * share)
    rest = "Rest" if state.record is not None and not state.record.complete else "Whole"
    more = _mask_cost(whole) if "sam2" in state.method else ""
    return (
        f"View about {duration(seconds)} · {data_size(disk)}\n"
        f"{rest} about {duration(whole.seconds)} · {data_size(whole.disk)}{more}"
    )


def _mask_cost(estimate: EstimateFacts) -> str:
    """SAM 2's part of the cost."""
    amount = estimate.masks
    if amount is None:
        return "\nThe joints alone; SAM 2 comes on top and takes longer."
    asked = f"{counted(amount.windows, 'window')} with about {counted(amount.prompts, 'prompt')}"
    if estimate.mask_seconds is not None:
        return f"\nSAM 2 on top: {asked}, about {duration(estimate.mask_seconds)}"
    return f"\nSAM 2 on top: {asked}; how long they take is known once it runs."


def progress_of(run: RunFacts | None) -> tuple[int, str] | None:
    """How far a run is, in thousandths (-1: nobody knows), and in words; None where none goes on."""
    if run is None:
        return None
    if run.total <= 0:
        return (-1, run.phase or "Starting …")
    share = min(1.0, run.done / run.total)
    text = f"{run.phase} {run.done:,.1f} of {run.total:,.1f} {run.unit}"
    if share > 0.02 and run.elapsed > 2:
        text += f" · {duration(run.elapsed * (1 - share) / share)} left"
    return (round(share * 1000), text)


def megapixels(count: float) -> str:
    """Pixels in the unit that fits."""
    if count >= 1e9:
        return f"{count / 1e9:.2f} GP"
    return f"{count / 1e6:.1f} MP" if count < 1e7 else f"{count / 1e6:.0f} MP"
