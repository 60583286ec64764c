"""One record that is edited in a viewer: edits one after the other on a thread, each shown once the journal holds it.

One decision: edits wait in line on one thread, so a slow disk holds up no stroke and none is lost. The screen shows
what an edit will do as soon as it cannot be lost any more; the record catches up behind it, and what the screen shows
is then compared with the record. The smaller levels follow when nobody has edited for a moment. A record has one
writer, so the docks of a viewer borrow its one session and give it back; the last one that does closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.layers import Labels
from qtpy.QtCore import QObject, Qt, Signal

from napari_mosaic.editing import Edit, apply_request, redo, undo, update_pyramid_steps
from napari_mosaic.editing.tools import group_of
from napari_mosaic.errors import LockedError, WriteError
from napari_mosaic.record import Record, open_record
from napari_mosaic.record.patches import Patch
from napari_mosaic.tiling import Box
from napari_mosaic.widgets._edited import foresee, refresh_part, take_over, tessera_layers
from napari_mosaic.widgets._features import renew_features
from napari_mosaic.widgets._worker import Line, Worker, when_idle
from napari_mosaic.words import counted

if TYPE_CHECKING:
    from napari import Viewer

SETTLE_MS = 1500
"""How long nobody edits before the smaller levels are made; not varied."""


@dataclass(frozen=True)
class OpenFacts:
    """A record that is open now, and the sentence why it cannot be edited, or none."""

    path: Path
    refusal: str = ""


@dataclass(frozen=True)
class JournalFacts:
    """How many edits can be undone and redone."""

    done: int = 0
    undone: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a request: its name, the edit (None where nothing changed) and how the journal stands.

    `news` where the screen may show something else than the record holds.
    """

    name: str
    edit: Edit | None
    journal: JournalFacts
    news: bool = False

    @property
    def words(self) -> str:
        """What happened, in a few words."""
        words = describe(self.edit)
        if self.name not in ("undo", "redo"):
            return words
        if self.edit is None:
            return "There is nothing left."
        return f"{'Undone' if self.name == 'undo' else 'Made again'}: {words[0].lower()}{words[1:]}"


class EditSession(QObject):
    """A record open for edits, as long as nobody else writes to it; then for reading.

    Signals reach the main thread: `opened(OpenFacts, JournalFacts)`, `edited(Outcome)` after the screen shows the
    edit, `failed(WorkFailure)`, `rested()` when all levels are up to date.
    """

    opened = Signal(object, object)
    edited = Signal(object)
    failed = Signal(object)
    rested = Signal()
    _foreseen = Signal(object)

    def __init__(self, viewer: Viewer, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.path = path
        self.record: Record | None = None
        self._viewer = viewer
        self._closed = False
        self._refusal = ""
        self._settler: Worker | None = None
        self._boxes: list[Box] = []
        self._line = Line("edits", self)
        self._line.failed.connect(self.failed)
        self._rest = when_idle(self, SETTLE_MS, self._settle)
        self._foreseen.connect(lambda box: self._refresh([box]), Qt.ConnectionType.QueuedConnection)
        self.reopen()

    @property
    def busy(self) -> bool:
        """Whether something asked for is still to come."""
        return self._line.busy or self._settler is not None or self._rest.isActive()

    @property
    def editing(self) -> bool:
        """Whether an edit waits in line or is being written."""
        return self._line.busy

    def edit(self, request: dict[str, Any]) -> None:
        """Ask for an edit, as `editing.apply_request` takes it."""
        self.change(request["tool"], lambda record: apply_request(record, request))

    def undo(self) -> None:
        """Take back the last edit."""
        self.change("undo", undo)

    def redo(self) -> None:
        """Make the edit again that was undone last."""
        self.change("redo", redo)

    def change(self, name: str, function: Callable[[Record], Edit | None]) -> None:
        """Run a function that edits the record, in line, and show what it changed."""
        layers = tessera_layers(self._viewer, self.path)

        def hear(patch: Patch) -> None:
            for layer in layers:
                foresee(layer, patch)
            self._foreseen.emit(patch.box)

        def work() -> Outcome:
            record = self._ready()
            with record.journal.listening(hear):
                edit = function(record)
            news = edit is not None and _taken_over(layers, record, edit.box)
            return Outcome(name, edit, journal_facts(record), news)

        self._submit(work, self._show)

    def ask(self, function: Callable[[Record], Any], then: Callable[[Any], None]) -> None:
        """Run a function on the record in line with the edits, then another on its result on the main thread."""
        self._submit(lambda: function(self._ready()), then)

    def announce(self) -> None:
        """Say `opened` once more, for a dock that came later."""
        self._submit(self._facts, lambda facts: self.opened.emit(*facts))

    def reopen(self) -> None:
        """Try to open the record for edits once more."""
        self._submit(self._open, lambda facts: self.opened.emit(*facts))

    def close(self) -> None:
        """Write what waits in line, bring the smaller levels up to date and free the record."""
        if self._closed:
            return
        self._closed = True
        self._rest.stop()
        self._foreseen.disconnect()
        if self._settler is not None:
            self._settler.abandon(timeout=60.0)
            self._settler = None
        self._line.close(self._free)

    def _ready(self) -> Record:
        if self.record is None:
            self._open()
        assert self.record is not None
        return self.record

    def _open(self) -> tuple[OpenFacts, JournalFacts]:
        self._free()
        refusal = ""
        try:
            self.record = open_record(self.path, writable=True)
        except (LockedError, WriteError) as error:
            refusal = f"Read-only: {error}".replace(str(self.path), self.path.name)
        if self.record is None:
            self.record = open_record(self.path)
        self._refusal = refusal
        return OpenFacts(self.path, refusal), journal_facts(self.record)

    def _facts(self) -> tuple[OpenFacts, JournalFacts]:
        record = self._ready()
        return OpenFacts(self.path, self._refusal), journal_facts(record)

    def _free(self) -> None:
        record, self.record = self.record, None
        if record is not None:
            record.close()

    def _submit(self, function: Callable[[], Any], then: Callable[[Any], Any]) -> None:
        if not self._closed:
            self._line.ask(function, then)

    def _show(self, outcome: Outcome) -> None:
        if outcome.edit is not None:
            self._boxes.append(outcome.edit.box)
            renew_features(self._viewer, self.path)
            self._refresh([outcome.edit.box] if outcome.news else [])
            self._rest.start()
        self.edited.emit(outcome)

    def _refresh(self, boxes: Iterable[Box]) -> None:
        for layer in tessera_layers(self._viewer, self.path):
            for box in boxes:
                refresh_part(layer, box)

    def _settle(self) -> None:
        """Make the smaller levels; edits made meanwhile are left for the next time."""
        record = self.record
        if self._settler is not None:
            self._rest.start()
            return
        if record is None or not record.writable:
            return
        job = Worker(lambda: update_pyramid_steps(record), self)
        job.failed.connect(self.failed)
        job.ended.connect(self._settled)
        self._settler = job.start()

    def _settled(self) -> None:
        """Show what was edited once more: a run may have read the smaller levels before they were made."""
        self._settler = None
        boxes, self._boxes = self._boxes, []
        layers = tessera_layers(self._viewer, self.path)

        def work(record: Record) -> list[Box]:
            return [box for box in boxes if _taken_over(layers, record, box)]

        self.ask(work, self._rested)

    def _rested(self, boxes: Iterable[Box]) -> None:
        self._refresh(boxes)
        if not self.busy:
            self.rested.emit()


def _taken_over(layers: Sequence[Labels], record: Record, box: Box) -> bool:
    """Bring a box of all layers to what the record holds; whether one of them showed something else."""
    news = [take_over(layer, record, box) for layer in layers]
    return any(news)


def journal_facts(record: Record) -> JournalFacts:
    """How the journal of a record stands."""
    return JournalFacts(len(record.journal.done), len(record.journal.undone))


def describe(edit: Edit | None) -> str:
    """What an edit did, in a few words."""
    if edit is None:
        return "Nothing changed."
    made, gone, kept = (len(ids) for ids in (edit.made, edit.gone, edit.kept))
    group = group_of(edit)
    if group == "merged":
        return f"Merged {gone + kept} into tessera {edit.kept[0]}." if kept else "Merged."
    if group == "split":
        parts = [*edit.kept, *edit.made]
        return f"Parted into {len(parts)}: {', '.join(map(str, parts[:4]))}{' …' if len(parts) > 4 else ''}."
    if group == "drawn" and edit.made:
        return f"Added tessera {edit.made[0]}."
    if group == "areas":
        return "The areas changed."
    if group == "deleted":
        return f"Deleted {stones(gone)}."
    if group == "painted":
        return f"Painted: {made} new, {kept} changed, {gone} gone."
    word = "Assigned to" if group == "assigned" else "Changed"
    return f"{word} {stones(kept)}."


def stones(count: int) -> str:
    """So many tesserae."""
    return counted(count, "tessera")


# lending ----------------------------------------------------------------------------------------

_lent: WeakKeyDictionary[Any, dict[Path, tuple[EditSession, int]]] = WeakKeyDictionary()
"""Sessions of each window by record, and how many docks have them."""


def borrow_session(viewer: Viewer, path: Path) -> EditSession:
    """The session for the record at `path` in a viewer, opened where it is the first; `give_back` it."""
    window, place = viewer.window, path.absolute()
    lent = _lent.setdefault(window, {})
    session, count = lent[place] if place in lent else (EditSession(viewer, place), 0)
    if count:
        session.announce()
    lent[place] = session, count + 1
    return session


def give_back(session: EditSession, viewer: Viewer) -> None:
    """Let go of a borrowed session; after the last dock what waits is written and the record is free."""
    lent = _lent.get(viewer.window, {})
    _, count = lent.get(session.path, (session, 1))
    if count > 1:
        lent[session.path] = session, count - 1
        return
    lent.pop(session.path, None)
    session.close()
    session.deleteLater()
