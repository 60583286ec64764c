"""What the dock *Measure* knows and what it therefore shows, without any widget; see `_state` for the manner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_mosaic.widgets._facts import RunFacts
from napari_mosaic.widgets._floor_words import whole_words
from napari_mosaic.widgets._session import JournalFacts, stones
from napari_mosaic.widgets._state import ButtonViewModel, progress_of

NO_RECORD = "Show a record first: find tesserae in the panel “Mosaic”, or drop a record into the viewer."
NOT_MEASURED = "Measure first."
NOTHING_CHOSEN = "Choose stones first: in a plot, by a click in the viewer, or by a shape."


@dataclass(frozen=True, kw_only=True)
class MeasureState:
    """All that the dock knows.

    `layer` is the name of the tesserae layer, `refusal` why its record cannot be edited. `whole` are the figures that
    the record keeps, {} where nobody has measured it; `changed` what has changed since; `measured` how many stones the
    table holds; `labels` whose they are. `chosen` counts the stones that are chosen; `part` are the figures of what is
    drawn, as rich text.
    """

    records: tuple[str, ...] = ()
    layer: str = ""
    ready: bool = False
    refusal: str = ""
    reading: bool = False
    run: RunFacts | None = None
    whole: dict[str, Any] = field(default_factory=dict)
    changed: str = ""
    measured: int = 0
    labels: str = "tesserae"
    coloured: bool = False
    chosen: int = 0
    part: str = ""
    saving: bool = False
    journal: JournalFacts = field(default_factory=JournalFacts)
    last: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class MeasureViewModel:
    """Everything that the widgets show."""

    records: tuple[str, ...]
    layer: str
    refusal: str
    measure: ButtonViewModel
    stop: ButtonViewModel
    changed: str
    whole: str
    usable: bool
    plain: ButtonViewModel
    rectangle: ButtonViewModel
    polygon: ButtonViewModel
    part: str
    chosen: str
    clear: ButtonViewModel
    save: ButtonViewModel
    assign: ButtonViewModel
    bare: ButtonViewModel
    progress: tuple[int, str] | None
    last: str
    message: str


def resolve_measure(state: MeasureState) -> MeasureViewModel:
    """What a state shows."""
    no_record = "" if state.layer else NO_RECORD
    running = "Measuring is going on." if state.run is not None else ""
    nothing = no_record or ("" if state.measured else NOT_MEASURED)
    unchosen = nothing or ("" if state.chosen else NOTHING_CHOSEN)
    why = no_record or running
    return MeasureViewModel(
        records=state.records,
        layer=state.layer,
        refusal=state.refusal,
        measure=ButtonViewModel(not why, "Measure again" if state.whole else "Measure", why),
        stop=ButtonViewModel(state.run is not None and not state.run.stopping, "Stop", ""),
        changed=f"Measured {state.changed}: measure again." if state.changed else "",
        whole=whole_words(state.whole) or ("" if no_record else "Nobody has measured this record yet."),
        usable=not nothing,
        plain=ButtonViewModel(state.coloured, "Own colours", "" if state.coloured else "They have their own colours."),
        rectangle=ButtonViewModel(not nothing, "Draw a rectangle", nothing),
        polygon=ButtonViewModel(not nothing, "Draw a polygon", nothing),
        part=state.part,
        chosen=f"{stones(state.chosen)} chosen" if state.chosen else NOTHING_CHOSEN,
        clear=ButtonViewModel(not unchosen, "Choose none", unchosen),
        save=ButtonViewModel(not unchosen and not state.saving, "Save these …", unchosen),
        assign=_assign(state, unchosen),
        bare=_bare(state, no_record),
        progress=progress_of(state.run),
        last=state.last,
        message=state.message,
    )


def _bare(state: MeasureState, no_record: str) -> ButtonViewModel:
    why = no_record or state.refusal or ("" if state.whole else NOT_MEASURED)
    if not why and not state.whole.get("bare", {}).get("share"):
        why = "No ground without a stone counts as preserved."
    return ButtonViewModel(not why, "Mark bare ground", why)


def _assign(state: MeasureState, unchosen: str) -> ButtonViewModel:
    why = unchosen or state.refusal
    if not why and state.labels != "tesserae":
        why = "These are the masks of SAM 2 beside the tesserae, which cannot be edited."
    return ButtonViewModel(not why, "Assign", why)
