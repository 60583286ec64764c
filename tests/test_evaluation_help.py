"""The commands of evaluation explain themselves without loading torch, Qt, Optuna or matplotlib."""

from __future__ import annotations

import subprocess
import sys

COMMANDS = ("evaluate", "check", "probabilities", "calibrate", "fuse", "augment", "tune")


def test_help_is_there_and_light() -> None:
    script = f"""
import sys
from napari_mosaic.cli import main
codes = [main([name, "--help"]) for name in {COMMANDS!r}]
heavy = [name for name in ("torch", "napari", "qtpy", "optuna", "matplotlib") if name in sys.modules]
sys.exit(f"loaded {{heavy}}, codes {{codes}}" if heavy or any(codes) else 0)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    for name in COMMANDS:
        assert f"Usage: napari-mosaic {name}" in found.stdout
