"""The table of edit tools is complete: whoever reads it finds every tool, and all that it needs of each."""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from napari_mosaic import editing
from napari_mosaic.editing.entries import Edit
from napari_mosaic.editing.requests import FORMS
from napari_mosaic.editing.tools import DRAWS, EDIT_TOOLS, TOOLS, EditTool, Gesture, Group, group_of
from napari_mosaic.record import Record
from napari_mosaic.tiling import Box

DOCS = Path(__file__).parents[1] / "docs" / "editing.md"
OTHERS = {"undo", "redo", "apply_request"}
"""Public functions that give an edit and are no tools."""

named = pytest.mark.parametrize("tool", EDIT_TOOLS, ids=lambda tool: tool.name)


def parameters_of(tool: EditTool) -> dict[str, inspect.Parameter]:
    return dict(list(inspect.signature(TOOLS[tool.name]).parameters.items())[1:])


def test_every_public_function_that_edits_is_a_tool() -> None:
    found = set()
    for name in editing.__all__:
        function = getattr(editing, name)
        if inspect.isfunction(function) and typing.get_type_hints(function).get("return") == Edit | None:
            first = next(iter(inspect.signature(function).parameters.values()))
            found |= {name} if first.annotation in ("Record", Record) else set()
    assert found - OTHERS == set(TOOLS) == {tool.name for tool in EDIT_TOOLS}
    assert len(TOOLS) == len(EDIT_TOOLS)


@named
def test_a_tool_has_a_function_of_its_name_a_group_and_help(tool: EditTool) -> None:
    assert TOOLS[tool.name].__name__ == tool.name
    assert getattr(editing, tool.name) is TOOLS[tool.name]
    assert tool.group in typing.get_args(Group)
    assert tool.help
    assert not tool.help.endswith(".")
    assert f"`{tool.name}" in DOCS.read_text(encoding="utf-8")


@named
def test_a_tool_of_the_hand_has_a_button_and_asks_for_what_its_function_takes(tool: EditTool) -> None:
    button = (tool.title, tool.key, tool.how)
    if tool.gesture is None:
        assert button == ("", "", "")
        return
    assert all(button)
    takes = parameters_of(tool)
    assert {DRAWS[tool.gesture], *tool.options} <= set(takes)
    needed = {name for name, parameter in takes.items() if parameter.default is parameter.empty}
    assert needed <= {DRAWS[tool.gesture], *tool.options}


@named
def test_every_parameter_of_a_tool_is_checked_in_a_list_of_edits(tool: EditTool) -> None:
    assert set(parameters_of(tool)) <= set(FORMS)


def test_every_gesture_draws_something_and_every_key_is_that_of_one_tool() -> None:
    assert set(DRAWS) == set(typing.get_args(Gesture))
    keys = Counter(tool.key for tool in EDIT_TOOLS if tool.key)
    assert set(keys.values()) == {1}


def test_what_a_report_counts_has_a_group_and_an_edit_of_an_unknown_tool_has_none() -> None:
    counted = {field.name for field in dataclasses.fields(editing.Report)}
    assert {"merged", "split", "drawn", "reshaped", "deleted", "assigned"} <= counted & set(typing.get_args(Group))
    assert group_of(Edit(number=0, tool="merge", box=Box(0, 0, 1, 1))) == "merged"
    assert group_of(Edit(number=0, tool="of a later version", box=Box(0, 0, 1, 1))) is None


@pytest.mark.parametrize("name", ["labels", "before"])
def test_arrays_of_a_list_of_edits_may_be_files_beside_it(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "window.npy", np.eye(3, dtype=np.uint32))
    request = {"tool": "replace_window", "box": [0, 0, 3, 3], "labels": [[0] * 3] * 3, name: "window.npy"}
    (tmp_path / "edits.json").write_text(json.dumps([request]), encoding="utf-8")
    (found,) = editing.read_requests(tmp_path / "edits.json")
    np.testing.assert_array_equal(found[name], np.eye(3))
