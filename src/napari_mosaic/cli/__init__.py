"""The command line: `napari-mosaic`.

One decision: this file only names the commands; each lives in a module that is imported when it is
run, so that `--help` answers at once and loads neither torch nor Qt.
"""

from __future__ import annotations

import gc
import io
import sys
import traceback
import warnings
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from napari_mosaic.cli.output import say
from napari_mosaic.cli.spellings import translate
from napari_mosaic.errors import MosaicError, MosaicWarning
from napari_mosaic.memory import use_few_arenas

_OBJECTS = 50_000
"""New objects between two looks for garbage. Imports make many that all stay: with Python's own 700 looks cost 0.14 of
1.05 core-seconds of imports before a picture is opened (`python -X importtime`, with `gc.disable()` and without)."""

REPORT = "https://github.com/napari-mosaic/napari-mosaic/issues"
OK, COULD_NOT, WRONG_USAGE, STOPPED = 0, 1, 2, 130

_COMMANDS = {
    "segment": ("segmenting", "Find all joints and tesserae of photographs and keep them as mosaic records."),
    "estimate": ("estimating", "Say what a run would take: time, memory, disk and price of each quality."),
    "batch": ("batch", "Segment all photographs of a table; finished ones are skipped."),
    "info": ("records", "Say what a photograph or a mosaic record is."),
    "pixel-size": ("sizing", "Say how large a pixel is on the floor, or see what a record knows of it."),
    "rectify": ("rectifying", "Make of a photograph taken at a slant a picture from straight above, in mm."),
    "export": ("records", "Write the tesserae of a record for other programs."),
    "measure": ("measuring", "Measure the stones and the whole floor: size, joints, palette, rows, opus, count."),
    "bare-ground": ("measuring:mark_bare", "Find ground without a stone that counts as preserved, and mark it."),
    "deliver": ("delivering", "Write a folder to hand in: GeoPackage, DXF, table, drawing as PDF, README."),
    "import": ("importing:import_outlines", "Bring back what was drawn or corrected in another program."),
    "preview": ("records", "Draw the tesserae of a record over its photograph."),
    "edit": ("editing", "Correct the tesserae of a record from a list of edits."),
    "relink": ("records", "Tell a record where its photograph is now."),
    "synthesize": ("training", "Draw mosaics with their truth, to train and to test with."),
    "train": ("training", "Train a network, from pictures with masks or from drawn mosaics."),
    "finetune": ("training", "Teach a model your mosaic, from a few corrected pictures or windows."),
    "export-model": ("models", "Write a model for other programs: ONNX, or one safetensors file."),
    "evaluate": ("comparing", "Compare a record, labels or a mask, or a folder of them, with the truth."),
    "compare-models": ("comparing", "Compare many models on pictures with truth: table, bars, curves of their runs."),
    "probabilities": ("probability", "Write a record's map of joints as numbers or as a picture, with its mask."),
    "joints": ("probability", "Write the joints of records as pictures: mask, overlay and four panels."),
    "calibrate": ("probability", "Adjust confidence: find the temperature that makes probabilities honest."),
    "fuse": ("probability", "Join several maps of joints of one photograph into one."),
    "augment": ("probability", "Ask the model again about turned and mirrored copies, and map where it is unsure."),
    "tune": ("tuning", "Find better thresholds from a few annotated windows; the network does not run."),
    "sam2-finetune": ("sam2", "Fine-tune SAM 2 on your mosaics, or train a small one."),
    "sam2-tune": ("sam2", "Find better thresholds for the automatic masks of SAM 2."),
    "check": ("checking", "How good is it on my floor? Random squares to count, and the error that follows."),
}
_MODELS = {
    "list": ("list_models", "List the models that can be used by name."),
    "show": ("show_model", "Say what a model is: its files, licence and trained size."),
    "download": ("download_model", "Fetch a model once and keep it."),
    "import": ("import_file", "Take in a model file, such as a GROUT checkpoint."),
}
_EDITS = {
    "undo": ("undo", "Take back the last edits, whenever they were made."),
    "redo": ("redo", "Make undone edits again."),
    "export": ("export_edits", "Write edits to a file for another copy of the record."),
    "apply": ("apply_edits", "Bring the edits of a file into a record."),
    "suspects": ("suspects", "List the tesserae that need a look, worst first."),
    "report": ("report", "Say how the tesserae came to be: found, merged, split, drawn, deleted."),
}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("napari-mosaic")
    except PackageNotFoundError:
        return "unknown (not installed)"


def make_app() -> App:
    """The commands, not yet imported."""
    app = App(
        name="napari-mosaic",
        help=(
            "Photographs of mosaics into data: every tessera and all the joints, at any size.\n\n"
            "Add --debug to any command to see where an error comes from."
        ),
        version=_version,
        default_parameter=Parameter(negative=()),
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    for name, (module, text) in _COMMANDS.items():
        place = module if ":" in module else f"{module}:{name.replace('-', '_')}"
        app.command(f"napari_mosaic.cli.{place}", name=name, help=text)
    models = App(name="models", help="What models there are.", default_parameter=Parameter(negative=()))
    for name, (function, text) in _MODELS.items():
        models.command(f"napari_mosaic.cli.models:{function}", name=name, help=text)
    app.command(models)
    edits = App(name="edits", help="What was edited by hand.", default_parameter=Parameter(negative=()))
    for name, (function, text) in _EDITS.items():
        edits.command(f"napari_mosaic.cli.editing:{function}", name=name, help=text)
    app.command(edits)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    argv
        Words after the program's name; those of the process by default.

    Returns
    -------
    int
        0 done, 1 could not, 2 wrong usage, 130 stopped by the user.

    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a pipe on Windows may have no Greek: names are no reason to fail
    if argv is None:
        gc.set_threshold(_OBJECTS)
        use_few_arenas()
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", MosaicWarning)
            warnings.showwarning = _tell
            result = make_app()(translate(words), exit_on_error=False, print_error=False, result_action="return_value")
    except KeyboardInterrupt:
        again = dict.fromkeys(("segment", "train", "finetune", "sam2-finetune"), "; go on with --resume")
        again |= dict.fromkeys(("batch", "synthesize"), "; give the same command to go on")
        say(f"Stopped. What is finished is kept{again.get(next(iter(words), ''), '')}.")
        return STOPPED
    except Exception as error:  # noqa: BLE001 - the one place where nothing may reach the user raw
        return _report(error, debug=debug)
    return result if isinstance(result, int) else OK


def _tell(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Say in one line what a person should know; where it was found out matters only to programmers."""
    kind = "" if issubclass(category, MosaicWarning) else f"{category.__name__}: "
    say(f"{kind}{message}", prefix="napari-mosaic: ")


def _report(error: Exception, *, debug: bool) -> int:
    """Say what went wrong in one sentence; the exit code."""
    if debug:
        say(traceback.format_exc().rstrip())
    if isinstance(error, CycloptsError):
        say(" ".join(str(error).split()), prefix="napari-mosaic: ")
        return WRONG_USAGE
    if isinstance(error, MosaicError):
        say(str(error), prefix="napari-mosaic: ")
        return getattr(error, "exit_code", COULD_NOT)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    say(
        f"Something went wrong that nobody expected ({what}); please report it at {REPORT} with what "
        "the same command says with --debug.",
        prefix="napari-mosaic: ",
    )
    return COULD_NOT


__all__ = ["COULD_NOT", "OK", "STOPPED", "WRONG_USAGE", "main", "make_app"]
