"""The documentation is true: its snippets run, its commands exist, and what is not run says so and is counted."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bright import bright_stones
from napari_mosaic import open_record
from napari_mosaic.cli import main, make_app
from napari_mosaic.dependencies import missing_of
from napari_mosaic.errors import DependencyError

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
NOT_RUN = 40
"""Snippets marked *not run here*. Whoever marks another one raises this, and says why in the mark."""
KINDS = {"bash", "python", "text"}
"""Snippets are commands or Python; `text` is neither."""

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="not a checkout")


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page; `mark` is why it is not run, None where it is."""

    page: str
    line: int
    kind: str
    text: str
    mark: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def snippets() -> Iterator[Snippet]:
    pattern = re.compile(r"^(?:<!-- not run here: ([^\n]*) -->\n)?```(\S*)\n(.*?)^```$", re.S | re.M)
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for found in pattern.finditer(text):
            line = text[: found.start()].count("\n") + 1
            yield Snippet(page, line, found[2], found[3], found[1])


SNIPPETS = list(snippets()) if (ROOT / "docs").is_dir() else []
RUN = [snippet for snippet in SNIPPETS if snippet.mark is None and snippet.kind != "text"]


def test_snippets_say_what_they_are_and_those_that_are_not_run_are_counted() -> None:
    assert {snippet.kind for snippet in SNIPPETS} <= KINDS
    marked = [snippet for snippet in SNIPPETS if snippet.mark is not None]
    assert len(marked) == NOT_RUN
    assert all(snippet.mark for snippet in marked)
    marks = sum((ROOT / page).read_text(encoding="utf-8").count("<!-- not run here") for page in PAGES)
    assert marks == NOT_RUN, "a mark stands right above its snippet"


@pytest.mark.parametrize("page", PAGES)
def test_commands_stand_in_fences_where_they_are_found(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.S | re.M)
    assert not re.search(r"^    (napari-mosaic|pip|python) ", text, re.M)


@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if s.kind == "bash"], ids=str)
def test_every_command_and_option_of_the_pages_exists(snippet: Snippet) -> None:
    for words in commands(snippet.text):
        make_app().parse_args(words, exit_on_error=False, print_error=False)


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `napari-mosaic` command, also where it follows others; lists of commands are none."""
    for line in text.splitlines():
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            if words and Path(words[0]).name == "napari-mosaic" and not words[1].endswith(","):
                yield words[1:]


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the pages speak of, of a small drawn floor."""
    folder = tmp_path_factory.mktemp("pages")
    picture = np.ascontiguousarray(bright_stones((256, 320), pitch=24))
    Image.fromarray(picture).save(folder / "floor.tif")
    (folder / "photographs").mkdir()
    Image.fromarray(picture[:128, :160]).save(folder / "photographs" / "corner.png")
    (folder / "records").mkdir()
    Image.fromarray(np.uint8(picture[..., 0] > 100) * 255).save(folder / "truth.png")
    for name, other in (("predictions", "east.png"), ("truths", "east_mask.png")):
        (folder / name).mkdir()
        shutil.copy(folder / "truth.png", folder / name / other)
    (folder / "jobs.csv").write_text("source,output\nfloor.tif,batch.mosaic.zarr\n")
    assert main(["segment", str(folder / "floor.tif"), "-o", str(folder / "begun.mosaic.zarr")]) == 0
    return folder


@pytest.fixture
def place(floor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder for one snippet to run in."""
    folder = Path(shutil.copytree(floor, tmp_path / "place"))
    for name in ("floor", "copy", "new", "old"):
        shutil.copytree(folder / "begun.mosaic.zarr", folder / f"{name}.mosaic.zarr")
    with open_record(folder / "floor.mosaic.zarr") as record:
        some = record.table(["id"])["id"][0].as_py()
    for name in ("corrections.json", "edits.json"):
        (folder / name).write_text(json.dumps([{"tool": "delete", "ids": [some]}]))
    np.save(folder / "other.npy", np.full((256, 320), 0.5, np.float32))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("snippet", RUN, ids=str)
def test_snippets_run(snippet: Snippet, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_by: dict[str, Callable[[Snippet, Path], None]] = {"bash": run_commands, "python": run_python}
    try:
        run_by[snippet.kind](snippet, place)
    except (AssertionError, DependencyError) as error:
        said = f"{capsys.readouterr().err}{error}"
        if "which is not installed" in said and missing_of("torch", "matplotlib", "upath"):
            pytest.skip(said.strip())
        raise


def run_python(snippet: Snippet, _: Path) -> None:
    exec(compile(snippet.text, str(snippet), "exec"), {"__name__": "snippet"})


def run_commands(snippet: Snippet, place: Path) -> None:
    """Run its commands in turn, those that begin a record without the one that is there."""
    for words in commands(snippet.text):
        if words[0] == "segment" and "--resume" not in words and "-o" in words and words[-1] != "--json":
            shutil.rmtree(place / words[words.index("-o") + 1], ignore_errors=True)
        assert main(words) == 0, words
