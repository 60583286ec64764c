"""`check`: how good is it on my floor?

One decision: one command, given twice. First it proposes squares and says where to write the counts;
with the counts it says the error in one sentence.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_mosaic.cli.options import Json, options_of, plain
from napari_mosaic.cli.output import UsageError, answer, answer_json
from napari_mosaic.cli.records import Labels, choose_labels
from napari_mosaic.evaluation.floor import (
    RULE,
    Square,
    SquareParams,
    count_found,
    describe_error,
    describe_size,
    estimate_error,
    judge_squares,
    propose_squares,
)
from napari_mosaic.evaluation.floor_files import check_folder, read_counts, write_squares
from napari_mosaic.record import Record, open_record
from napari_mosaic.words import counted

if TYPE_CHECKING:
    SquareOptions = SquareParams
else:
    SquareOptions = options_of(SquareParams)


def check(
    record: Path,
    /,
    *,
    counts: Path | None = None,
    truth: Path | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    labels: Labels = None,
    as_json: Json = False,
    params: Annotated[SquareOptions, Parameter(name="*")] = SquareOptions(),  # noqa: B008 - frozen
) -> int:
    """How good is it on my floor? Proposes random squares to count, then gives the error with its interval.

    Parameters
    ----------
    record
        The record.
    counts
        The table squares.csv with the column counted filled in; or missed and wrong.
    truth
        Instead of counting: true labels of the photograph, or a corrected record.
    output
        Folder for the squares; NAME.check beside the record by default.
    labels
        Which of its labels are checked, such as tesserae or sam2; by default what the method found.
    as_json
        Write the result as JSON.
    params
        Which squares.

    """
    if counts is not None and truth is not None:
        raise UsageError("--counts and --truth both say what is right; give one of the two.")
    with open_record(record) as whole, ExitStack() as stack:
        opened = choose_labels(whole, labels)
        settings = plain(params, SquareParams)
        if counts is not None:
            return _tell(opened, count_found(opened, read_counts(counts)), as_json=as_json)
        image = stack.enter_context(opened.open_source())
        squares = propose_squares(opened, image, settings)
        if truth is not None:
            return _tell(opened, _judged(opened, squares, truth, stack), as_json=as_json)
        folder = output or check_folder(record)
        table = write_squares(opened, image, squares, folder)
        if as_json:
            answer_json({"table": str(table), "squares": [_plain(square) for square in squares]})
            return 0
        answer(f"{counted(len(squares), 'square')} of {describe_size(opened, squares)} in {folder}; {RULE}.")
        answer(f"Count the tesserae of each picture, write the numbers into the column counted of {table}, and give:")
        answer(f"napari-mosaic check {record} --counts {table}")
    return 0


def _judged(record: Record, squares: list[Square], truth: Path, stack: ExitStack) -> list[Square]:
    from napari_mosaic.evaluation.files import open_labels, require_same

    labels = open_labels(truth, "auto", 0, stack)
    require_same(record.plan.source_shape, labels.shape, record.path.name, str(truth))
    return judge_squares(record, squares, labels)


def _tell(record: Record, squares: list[Square], *, as_json: bool) -> int:
    error = estimate_error(squares, total=record.figures().count)
    sentence = describe_error(error, describe_size(record, squares))
    if as_json:
        values = {**asdict(error), "rule": RULE, "sentence": sentence, "squares": [_plain(s) for s in squares]}
        answer_json(values)
    else:
        answer(sentence)
    return 0


def _plain(square: Square) -> dict[str, object]:
    return {**asdict(square), "box": list(square.box)}
