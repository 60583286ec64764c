"""Only `widgets/_napari.py` knows of napari's inside, and no module of another's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

WIDGETS = Path(__file__).parents[1] / "src" / "napari_mosaic" / "widgets"
ADAPTER = "_napari.py"
_FOREIGN = ("napari", "npe2", "app_model", "magicgui", "superqt", "vispy", "psygnal", "qtpy")
_ASKED = ("getattr", "hasattr", "setattr", "delattr")
_ONCE_USED = ("_is_creating", "_is_moving", "_slice", "_transforms", "_qt_viewer", "_qt_window", "_dock_widgets")
MODULES = sorted(path for path in WIDGETS.rglob("*.py") if path.name != ADAPTER)


def faults(source: str) -> list[str]:
    """What a module uses that begins with an underscore and is not its own."""
    tree = ast.parse(source)
    return sorted({*_attributes(tree), *_strings(tree), *_imports(tree)})


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and len(name) > 1


def _attributes(tree: ast.Module) -> Iterator[str]:
    own = _own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            if _is_self(node.value) or node.attr in own:
                continue
            yield ast.unparse(node)


def _own_names(tree: ast.Module) -> set[str]:
    """Private names that the module itself gives to its classes and their instances."""
    nodes = list(ast.walk(tree))
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return names | {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value)
    }


def _is_self(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):  # super()._end()
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _strings(tree: ast.Module) -> Iterator[str]:
    """Names handed to `getattr` and its like, and those of napari that stood here once."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ASKED:
            given = [part.value for part in node.args[1:2] if isinstance(part, ast.Constant)]
            yield from (f"{node.func.id} {name}" for name in given if isinstance(name, str) and _is_private(name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in _ONCE_USED:
            yield repr(node.value)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in _FOREIGN:
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            if any(_is_private(name) for name in names):
                yield ast.unparse(node)
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
            if names[0] in _FOREIGN and any(_is_private(name) for name in names):
                yield ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(WIDGETS)))
def test_a_module_touches_no_private_name_of_another(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == [], "use a public name, or a function of widgets/_napari.py"


@pytest.mark.parametrize(
    "line",
    [
        "viewer.window._qt_viewer.canvas.size",
        "layer._transforms['tile2data']",
        "self._layer._slice.image.raw",
        "getattr(layer, '_is_creating', False)",
        "any(getattr(layer, name, False) for name in ('_is_creating', '_is_moving'))",
        "from napari._qt.widgets.qt_viewer_dock_widget import QtViewerDockWidget",
        "from napari.layers.utils.layer_utils import _FeatureTable",
        "import napari._app_model",
    ],
)
def test_each_way_in_is_found(line: str) -> None:
    assert faults(line)


@pytest.mark.parametrize(
    "line",
    [
        "self._layer.data",
        "super()._end()",
        "class A:\n    def __init__(self):\n        self._thread = 1\nthreads = [job._thread for job in started]",
        "kind.endswith('_area')",
        "thing.__wrapped__",
    ],
)
def test_what_is_ones_own_is_none(line: str) -> None:
    assert faults(line) == []


# one module begins threads --------------------------------------------------------------------------

WORKERS = {"_worker.py", "_process.py"}
_BEGINNERS = {
    "threading.Thread",
    "Thread",
    "ThreadPoolExecutor",
    "QThread",
    "QTimer",
    "subprocess.Popen",
    "thread_worker",
}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(WIDGETS)))
def test_only_the_worker_module_begins_threads_timers_and_processes(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    begun = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)} & _BEGINNERS
    assert not begun or path.name in WORKERS


def test_the_worker_module_is_where_they_are_begun() -> None:
    trees = [ast.parse((WIDGETS / name).read_text(encoding="utf-8")) for name in sorted(WORKERS)]
    begun = {ast.unparse(node.func) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert {"threading.Thread", "ThreadPoolExecutor", "QTimer", "subprocess.Popen"} <= begun
