"""What the dock *SAM 2* knows and what it therefore shows, without any widget; see `_state` for the manner."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_mosaic.widgets._sam.tools import BY_NAME, Gesture
from napari_mosaic.widgets._session import JournalFacts
from napari_mosaic.widgets._state import ButtonViewModel

NO_RECORD = "Show a record first: find tesserae in the panel “Mosaic”, or drop a record into the viewer."
NO_MODEL = "Choose a model first."
OTHER_MODEL = "Choose another model: this one was not read."


@dataclass(frozen=True, kw_only=True)
class SeenFacts:
    """A mask that is seen: its score from 0 to 1, its area in pixels of the working grid, and its place of how many."""

    score: float
    area: int
    place: int
    count: int


@dataclass(frozen=True, kw_only=True)
class SamState:
    """All that the dock knows.

    `layer` is the name of the tesserae layer, `ready` says that its record and photograph are open, `refusal` why it
    cannot be edited. `model` is loaded where `loaded`. `clicks` counts what was shown of a stone; `seen` is what SAM 2
    made of it, None until it has answered; `nothing` where it has seen nothing.
    """

    records: tuple[str, ...] = ()
    layer: str = ""
    ready: bool = False
    refusal: str = ""
    model: str = ""
    loading: bool = False
    loaded: bool = False
    tool: Gesture | None = None
    clicks: int = 0
    thinking: str = ""
    seen: SeenFacts | None = None
    nothing: bool = False
    how: str = "add"
    journal: JournalFacts = field(default_factory=JournalFacts)
    last: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class SamViewModel:
    """Everything that the widgets show."""

    records: tuple[str, ...]
    layer: str
    refusal: str
    model: str
    model_note: str
    tools: bool
    tool: str
    doing: str
    seen: str
    accept: ButtonViewModel
    reject: ButtonViewModel
    smaller: ButtonViewModel
    larger: ButtonViewModel
    undo: ButtonViewModel
    redo: ButtonViewModel
    busy: bool
    last: str
    message: str


def resolve_sam(state: SamState) -> SamViewModel:
    """What a state shows."""
    why, seen = _why_not(state), state.seen
    free = not why
    writable = free and not state.refusal
    return SamViewModel(
        records=state.records,
        layer=state.layer,
        refusal=state.refusal,
        model=state.model,
        model_note=_model_note(state),
        tools=free,
        tool=state.tool or "" if free else "",
        doing=why or (BY_NAME[state.tool].how if state.tool else "Take a tool and show SAM 2 a stone."),
        seen=_seen(state),
        accept=ButtonViewModel(writable and seen is not None, "Accept", "Write the mask into the tesserae  (Enter)"),
        reject=ButtonViewModel(state.clicks > 0, "Reject", "Drop the mask and its points  (Esc)"),
        smaller=ButtonViewModel(seen is not None and seen.place > 0, "Smaller", "Another mask for the same click  ([)"),
        larger=ButtonViewModel(
            seen is not None and seen.place + 1 < seen.count, "Larger", "Another mask for the same click  (])"
        ),
        undo=ButtonViewModel(
            state.clicks > 0 or (writable and state.journal.done > 0),
            "Undo",
            "Take back the last click, then the last edit  (Ctrl+Z)",
        ),
        redo=ButtonViewModel(writable and state.journal.undone > 0, "Redo", "Make the edit again  (Ctrl+Shift+Z)"),
        busy=bool(state.thinking) or state.loading,
        last=state.last,
        message=state.message,
    )


def _why_not(state: SamState) -> str:
    """Why no stone can be shown, or nothing."""
    if not state.layer:
        return NO_RECORD
    if not state.ready:
        return "Opening the record …"
    if state.loading:
        return "Loading the model …"
    if state.loaded:
        return ""
    return OTHER_MODEL if state.model else NO_MODEL


def _model_note(state: SamState) -> str:
    if state.loading:
        return "loading …"
    if state.loaded:
        return "ready"
    return "" if state.model else "none yet"


def _seen(state: SamState) -> str:
    if state.thinking:
        return state.thinking
    if state.nothing:
        return "SAM 2 sees no stone there; click elsewhere on it, or draw around it."
    if state.seen is None:
        return ""
    seen = state.seen
    which = f" · mask {seen.place + 1} of {seen.count}" if seen.count > 1 else ""
    return f"Expected overlap {100 * seen.score:.0f} % · {seen.area:,} px{which}"
