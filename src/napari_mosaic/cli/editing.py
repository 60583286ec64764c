"""`edit` and `edits`: correct the tesserae of a record from a list, undo, hand edits on, report them.

One decision: a list is done whole or not at all, unless --keep says that what worked may stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from napari_mosaic import editing
from napari_mosaic.cli.options import Flag, Json, options_of, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json, answer_table, run, say
from napari_mosaic.editing import Conflict, Edit, Replayed
from napari_mosaic.files import write_csv
from napari_mosaic.output_files import replacing
from napari_mosaic.record import Record, open_record
from napari_mosaic.tiling import Box
from napari_mosaic.words import counted

_SHOWN = 20
"""Rows that are printed; all are in the JSON."""

if TYPE_CHECKING:
    QueueOptions = editing.QueueParams
else:
    QueueOptions = options_of(editing.QueueParams)


def edit(record: Path, edits: Path, /, *, keep: Flag = False, dry_run: Flag = False, as_json: Json = False) -> int:
    """Correct the tesserae of a record from a list of edits.

    Parameters
    ----------
    record
        The record.
    edits
        A JSON list such as [{"tool": "merge", "ids": [1712, 1713]}, {"tool": "split_line", "line": [[9, 4], [9, 30]]}];
        places are [y, x] in pixels of the analysis size, areas GeoJSON in pixels of the photograph.
    keep
        Where an edit fails, keep those before it.
    dry_run
        Only check the list.
    as_json
        Write what was done as JSON.

    """
    requests = editing.read_requests(edits)
    if dry_run:
        answer(f"{counted(len(requests), 'edit')}, all well formed")
        return 0
    with open_record(record, writable=True) as opened:
        done = editing.apply_requests(opened, requests, keep=keep)
    if as_json:
        answer_json([None if made is None else _values(made) for made in done])
        return 0
    changed = [made for made in done if made is not None]
    new, gone = (sum(len(getattr(made, name)) for made in changed) for name in ("made", "gone"))
    idle = len(done) - len(changed)
    answer(f"{counted(len(changed), 'edit')} done, {counted(new, 'tessera')} new, {gone} gone{_idle(idle)}")
    return 0


def _idle(count: int) -> str:
    return f"; {count} changed nothing" if count else ""


def _values(made: Edit) -> dict[str, Any]:
    return {"number": made.number, "tool": made.tool, "box": list(made.box), "made": made.made, "gone": made.gone}


def undo(record: Path, /, *, steps: Annotated[int, Parameter(name=("--steps", "-n"))] = 1) -> int:
    """Take back the last edits, whenever they were made.

    Parameters
    ----------
    record
        The record.
    steps
        How many.

    """
    return _walk(record, editing.undo, steps, "undone", "undo")


def redo(record: Path, /, *, steps: Annotated[int, Parameter(name=("--steps", "-n"))] = 1) -> int:
    """Make undone edits again.

    Parameters
    ----------
    record
        The record.
    steps
        How many.

    """
    return _walk(record, editing.redo, steps, "made again", "redo")


def _walk(record: Path, step: Any, steps: int, done: str, name: str) -> int:
    if steps < 1:
        raise UsageError(f"{steps} steps are none; give 1 or more.")
    count = 0
    with open_record(record, writable=True) as opened:
        for _ in range(steps):
            made = step(opened)
            if made is None:
                break
            count += 1
            where = f" at {_place(opened, made.box)}" if made.box.area else ""  # areas touch no tessera
            answer(f"{made.tool} {done}{where}")
    if count == 0:
        answer(f"There is nothing to {name}.")
    return 0


def _place(record: Record, box: Box) -> str:
    """A box of the working grid as people find it again: in pixels of the photograph."""
    seen = box.scale(1 / record.plan.factor).clip(record.plan.source_shape)
    return f"y {seen.y0}-{seen.y1}, x {seen.x0}-{seen.x1} px of the photograph"


def export_edits(
    record: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    window: tuple[int, int, int, int] | None = None,
    overwrite: Flag = False,
) -> int:
    """Write the edits of a record, or of a window of it, to a file for another copy of the record.

    Parameters
    ----------
    record
        The record.
    output
        The file to write.
    window
        Only edits that meet y0 x0 y1 x1, in pixels of the analysis size.
    overwrite
        Replace a file that is there.

    """
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists already; add --overwrite to replace it, or give another name.")
    with open_record(record) as opened:
        count = editing.export_edits(opened, output, box=None if window is None else Box(*window))
    answer(f"{counted(count, 'edit')} in {output}")
    return 0


def apply_edits(record: Path, edits: Path, /, *, as_json: Json = False) -> int:
    """Bring the edits of a file into a record, and list those that a person should look at.

    Parameters
    ----------
    record
        The record.
    edits
        A file that `edits export` wrote from another copy of the record.
    as_json
        Write the result as JSON.

    """
    with open_record(record, writable=True) as opened:
        found: Replayed = run(editing.import_edits_steps(opened, edits), record.name)
    if as_json:
        conflicts = [asdict(conflict) for conflict in found.conflicts]
        answer_json({"applied": found.applied, "already": found.already, "conflicts": conflicts})
        return 0
    there = f", {found.already} there already" if found.already else ""
    answer(f"{counted(found.applied, 'edit')} applied{there}, {len(found.conflicts)} to look at")
    _list(opened, found.conflicts)
    return 0


def suspects(
    record: Path,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    overwrite: Flag = False,
    options: Annotated[QueueOptions, Parameter(name="*")] = QueueOptions(),  # noqa: B008 - frozen
) -> int:
    """List the tesserae that need a look, worst first, without those of which it was said already.

    Parameters
    ----------
    record
        The record.
    output
        A CSV file to write; the worst twenty are shown without one.
    overwrite
        Replace a file that is there.
    options
        What is suspicious.

    """
    if output is not None and output.exists() and not overwrite:
        raise UsageError(f"{output} exists already; add --overwrite to replace it, or give another name.")
    params = plain(options, editing.QueueParams)
    with open_record(record) as opened:
        found = run(editing.suspects_steps(opened, params), record.name)
    if output is not None:
        _write_suspects(output, found)
        answer(f"{counted(len(found), 'tessera')} to look at, in {output}")
        return 0
    for suspect in found[:_SHOWN]:
        answer(f"{suspect.id:>10}  y {suspect.y}, x {suspect.x}  {suspect.severity:.2f}  {', '.join(suspect.reasons)}")
    answer(f"{counted(len(found), 'tessera')} to look at; add -o to write them all to a file")
    return 0


def _write_suspects(path: Path, found: Sequence[editing.Suspect]) -> None:
    rows = ((s.id, s.y, s.x, *s.box, f"{s.severity:.4f}", "; ".join(s.reasons)) for s in found)
    with replacing(path, overwrite=True) as temporary:
        write_csv(temporary, (("id", "y", "x", "y0", "x0", "y1", "x1", "severity", "reasons"), *rows))


def report(record: Path, /, *, as_json: Json = False) -> int:
    """Say how the tesserae came to be: found by the machine, merged, split, drawn, deleted.

    Parameters
    ----------
    record
        The record.
    as_json
        Write the result as JSON.

    """
    with open_record(record) as opened:
        found, conflicts = editing.report(opened), editing.read_conflicts(opened)
    values = asdict(found)
    if as_json:
        answer_json(
            {
                **values,
                "sentence": editing.describe_report(found),
                "conflicts": [asdict(conflict) for conflict in conflicts],
            }
        )
        return 0
    answer(editing.describe_report(found))
    tools, _ = values.pop("by_tool"), values.pop("file")
    answer_table([*values.items(), *((f"  {name}", count) for name, count in tools.items())])
    if conflicts:
        say(f"{len(conflicts)} edits did not fit what was found last:")
        _list(opened, conflicts)
    return 0


def _list(record: Record, conflicts: tuple[Conflict, ...]) -> None:
    for conflict in conflicts:
        answer(f"  {conflict.tool} at {_place(record, conflict.box)}: {conflict.reason}")
