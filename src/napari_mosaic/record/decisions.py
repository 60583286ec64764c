"""What the queue of suspicious tesserae keeps in a record: the last list, and what a person said of each.

One decision: a decision is one line that is only ever appended, on the disk when the call returns, and a line that a
crash cut off counts as not written. The list is replaced whole and knows how many lines there were before it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from napari_mosaic.errors import RecordError, WriteError
from napari_mosaic.files import append_synced, make_folder, read_grown
from napari_mosaic.record.store import Record
from napari_mosaic.record.tables import write_table
from napari_mosaic.tiling import Box

FOLDER, LIST, LOG = "queue", "suspects.parquet", "decisions.log"
DECISIONS = ("fine", "ignored", "fixed")
_OPEN = "open"
_DECISIONS_KEY, _EDITS_KEY = b"decisions", b"edits"


@dataclass(frozen=True)
class Decision:
    """What a person said of a tessera, and its box then; which line of the file it is, from 0."""

    word: str
    box: Box
    line: int


@dataclass(frozen=True)
class Listed:
    """The last list, and how many decisions and journal entries there were when it was made."""

    table: pa.Table
    decisions: int
    edits: int


def read_decisions(record: Record) -> tuple[dict[int, Decision], int]:
    """The last decision about each tessera that has one, and the number of lines."""
    found: dict[int, Decision] = {}
    lines = _whole_lines(_path(record, LOG)).decode("ascii", "replace").splitlines()
    for count, line in enumerate(lines):
        words = line.split()
        if len(words) == 6 and words[1] in (*DECISIONS, _OPEN):
            id_, box = int(words[0]), Box(*(int(edge) for edge in words[2:]))
            found.pop(id_, None)
            if words[1] != _OPEN:
                found[id_] = Decision(words[1], box, count)
    return found, len(lines)


def add_decision(record: Record, id_: int, word: str | None, box: Box) -> None:
    """Append what was said of a tessera with that box; None takes back what was said before."""
    path = _path(record, LOG)
    line = " ".join(str(value) for value in (id_, word or _OPEN, *box)) + "\n"
    try:
        make_folder(path.parent)
        append_synced(path, line.encode(), end=len(_whole_lines(path)))
    except OSError as error:
        raise WriteError(
            f"The decision could not be written to {path} ({error.strerror or error}), so it does not count; "
            "free some space or give a record that you may write to."
        ) from error


def write_list(record: Record, columns: Mapping[str, object], *, decisions: int, edits: int) -> None:
    """Replace the list, whole or not at all; it knows of so many decisions and entries of the journal."""
    notes = {_DECISIONS_KEY: str(decisions), _EDITS_KEY: str(edits)}
    table = pa.table(dict(columns)).replace_schema_metadata(notes)
    path = _path(record, LIST)
    try:
        make_folder(path.parent)
        write_table(path, table)
    except OSError as error:
        raise WriteError(
            f"The queue could not be written to {path} ({error.strerror or error}); free some space and look again."
        ) from error


def read_list(record: Record) -> Listed | None:
    """The last list, or None where there was none."""
    path = _path(record, LIST)
    try:
        table = pq.read_table(io.BytesIO(path.read_bytes()), partitioning=None)
        notes = table.schema.metadata
        return Listed(table, int(notes[_DECISIONS_KEY]), int(notes[_EDITS_KEY]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path} cannot be read ({error}); delete it and look for suspects again.") from error


def _path(record: Record, name: str) -> Path:
    return record.path / FOLDER / name


def _whole_lines(path: Path) -> bytes:
    """The lines of a file; what a crash cut off at its end is left out, so that the next line does not join it."""
    try:
        content = read_grown(path)
    except FileNotFoundError:
        return b""
    return content[: content.rfind(b"\n") + 1]
