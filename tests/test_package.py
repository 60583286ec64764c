"""What is installed: the plugin is registered, the weights are there, and importing is cheap."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import napari_mosaic

ROOT = Path(__file__).resolve().parents[1]
HEAVY = "torch", "segmentation_models_pytorch", "napari", "qtpy", "magicgui", "numba", "zarr", "openvino"


@pytest.mark.parametrize("what", ["import napari_mosaic", "from napari_mosaic.cli import main; main(['--help'])"])
def test_importing_and_help_load_nothing_heavy(what: str) -> None:
    script = f"{what}\nimport sys; sys.stderr.write(','.join(m for m in {HEAVY!r} if m in sys.modules))"
    if "main" in what:
        script = f"import sys\ntry:\n    {what}\nexcept SystemExit:\n    pass\n" + script.splitlines()[-1]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_every_public_name_is_there() -> None:
    for name in napari_mosaic.__all__:
        assert getattr(napari_mosaic, name) is not None
    with pytest.raises(AttributeError):
        napari_mosaic.nothing  # noqa: B018


def test_the_plugin_is_registered_and_its_commands_exist() -> None:
    npe2 = pytest.importorskip("npe2")
    (entry,) = [e for e in importlib.metadata.entry_points(group="napari.manifest") if e.name == "napari-mosaic"]
    assert entry.value == "napari_mosaic:napari.yaml"
    manifest = npe2.PluginManifest.from_file(Path(napari_mosaic.__file__).parent / "napari.yaml")
    assert manifest.name == "napari-mosaic"
    assert manifest.contributions.widgets


def test_the_link_at_the_top_names_the_manifest() -> None:
    link = ROOT / "napari.yaml"
    if not link.exists():
        pytest.skip("not a checkout")
    text = link.read_text()
    assert text == (ROOT / "src/napari_mosaic/napari.yaml").read_text() or text == "src/napari_mosaic/napari.yaml"


def test_a_wheel_carries_the_plugin_and_the_weights(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 15e6
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert "napari_mosaic/napari.yaml" in names
        (weights,) = [name for name in names if name.endswith("grout-lite.safetensors")]
        assert archive.getinfo(weights).file_size < 12e6
        (entries,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "napari_mosaic:napari.yaml" in archive.read(entries).decode()
