"""What the dock *Edit tesserae* knows and what it therefore shows, without any widget; see `_state` for the manner."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_mosaic.editing.tools import EditTool
from napari_mosaic.widgets._edit.tools import CHOOSE
from napari_mosaic.widgets._edit.walk import Walk
from napari_mosaic.widgets._facts import RunFacts
from napari_mosaic.widgets._session import JournalFacts
from napari_mosaic.widgets._state import ButtonViewModel
from napari_mosaic.words import counted

NO_RECORD = "Show a record first: find tesserae in the panel “Mosaic”, or drop a record into the viewer."


@dataclass(frozen=True, kw_only=True)
class EditState:
    """All that the dock knows.

    `records` are the names of the layers that can be edited, `layer` that of the one which is; `ready` once its
    record is open, with the sentence why it cannot be edited in `refusal`.
    """

    records: tuple[str, ...] = ()
    layer: str = ""
    ready: bool = False
    refusal: str = ""
    tool: EditTool = CHOOSE
    doing: str = CHOOSE.how
    journal: JournalFacts = field(default_factory=JournalFacts)
    walk: Walk | None = None
    run: RunFacts | None = None
    painting: bool = False
    areas: bool = False
    finished: int | None = None
    last: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class EditViewModel:
    """Everything that the widgets show."""

    records: tuple[str, ...]
    layer: str
    refusal: str
    tools: bool
    tool: str
    doing: str
    last: str
    undo: ButtonViewModel
    redo: ButtonViewModel
    draw_area: ButtonViewModel
    area_note: str
    paint: ButtonViewModel
    apply_painting: ButtonViewModel
    leave_painting: ButtonViewModel
    goto: bool
    look: ButtonViewModel
    step: bool
    decide: bool
    suspect: str
    checked: str
    share: int
    progress: tuple[int, str] | None
    finish: ButtonViewModel
    finished: str
    message: str


def resolve_edit(state: EditState) -> EditViewModel:
    """What a state shows."""
    writable = state.ready and not state.refusal
    free = writable and not state.painting
    why = _why_not(state)
    walk = state.walk or Walk()
    looking = state.run is not None
    return EditViewModel(
        records=state.records,
        layer=state.layer,
        refusal=state.refusal,
        tools=free,
        tool=state.tool.name if free else "",
        doing=why or state.doing,
        last=state.last,
        undo=_undo(state, free),
        redo=ButtonViewModel(free and state.journal.undone > 0, "Redo", "Make the edit again  (Ctrl+Shift+Z)"),
        draw_area=ButtonViewModel(free, "Draw", why or "Draw areas of this class on the floor."),
        area_note="Select shapes and choose a class to change theirs." if state.areas else "",
        paint=ButtonViewModel(free, "Edit this window", why or "Paint with all of napari’s brushes  (W)"),
        apply_painting=ButtonViewModel(state.painting, "Apply", "Write what you painted to the record."),
        leave_painting=ButtonViewModel(state.painting, "Leave", "End painting; asks if something is not applied."),
        goto=state.ready and not state.painting,
        look=ButtonViewModel(
            state.ready and not looking and not state.painting,
            "Look again" if state.walk is not None else "Find what needs a look",
            why or "Looks for odd sizes and shapes, two colours, low confidence, stones on lacunae.",
        ),
        step=state.ready and bool(walk.waiting) and not state.painting,
        decide=free and walk.current is not None,
        suspect=_suspect(state.walk),
        checked=_checked(state.walk),
        share=round(1000 * walk.checked / walk.total) if walk.total else 0,
        progress=_progress(state.run),
        finish=ButtonViewModel(
            writable, "Mark this window as finished", why or "Say that all you see is right: to learn from."
        ),
        finished=_finished(state.finished),
        message=state.message,
    )


def _why_not(state: EditState) -> str:
    """Why no tool can be used, or nothing."""
    if not state.layer:
        return NO_RECORD
    if not state.ready:
        return "Opening the record …"
    if state.refusal:
        return "The tools rest: the record is read-only here."
    if state.painting:
        return "You are painting: apply or leave first."
    return ""


def _undo(state: EditState, free: bool) -> ButtonViewModel:
    return ButtonViewModel(
        free and state.journal.done > 0, "Undo", f"{state.journal.done:,} edits can be undone  (Ctrl+Z)"
    )


def _suspect(walk: Walk | None) -> str:
    if walk is None:
        return ""
    if not walk.waiting:
        return "Nothing is left that needs a look."
    current = walk.current
    if current is None:
        return f"{len(walk.waiting):,} need a look, the worst first."
    why = ", ".join(current.reasons) or current.reason
    return f"{walk.place + 1:,} of {len(walk.waiting):,} · tessera {current.id}: {why}"


def _checked(walk: Walk | None) -> str:
    return f"{walk.checked:,} of {walk.total:,} checked" if walk is not None and walk.total else ""


def _progress(run: RunFacts | None) -> tuple[int, str] | None:
    if run is None:
        return None
    return (round(1000 * min(1.0, run.done / run.total)) if run.total else -1), "Looking at every tessera …"


def _finished(count: int | None) -> str:
    if count is None:
        return ""
    return f"{counted(count, 'window')} finished"
