"""Files, folders, samples and formats to choose from.

One decision: every dialog is here, so the panel itself can be driven without one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from magicgui.widgets import request_values
from qtpy.QtWidgets import QComboBox, QFileDialog, QInputDialog, QMenu, QMessageBox, QWidget

from napari_mosaic.area_files import AREA_SUFFIXES
from napari_mosaic.export import FORMATS
from napari_mosaic.export.sheet import SHEETS
from napari_mosaic.file_types import OPENED, TIFF
from napari_mosaic.image.samples import SAMPLES
from napari_mosaic.objects import as_place
from napari_mosaic.widgets._docks import PLUGIN

PATTERN = "*.mosaic.zarr/"
_KINDS = f"Images ({' '.join(f'*{suffix}' for suffix in OPENED)});;All files (*)"
_AREAS = f"Areas ({' '.join(f'*{suffix}' for suffix in AREA_SUFFIXES)});;All files (*)"


def claim_records() -> None:
    """Make this plugin the preferred reader of its own records, unless a person chose another.

    Any plugin may read folders; without a preference napari asks at each record that is dropped.
    """
    from napari.settings import get_settings

    plugins = get_settings().plugins
    if not any("mosaic.zarr" in pattern for pattern in plugins.extension2reader):
        plugins.extension2reader = {**plugins.extension2reader, PATTERN: PLUGIN}


def claim_large_pictures() -> None:
    """Make this plugin the preferred reader of TIFFs where nobody but napari's own reader would be asked.

    It hands to napari's own whatever is no large photograph. Without a preference napari asks at each TIFF; one that a
    person has, of any pattern, and a third reader that a person may mean, are left alone.
    """
    from napari.plugins.utils import get_preferred_reader
    from napari.settings import get_settings
    from npe2 import PluginManager

    plugins = get_settings().plugins
    for suffix in TIFF.suffixes:
        readers = {one.plugin_name for one in PluginManager.instance().iter_compatible_readers([f"a{suffix}"])}
        if readers <= {PLUGIN, "napari"} and get_preferred_reader(f"a{suffix}") is None:
            plugins.extension2reader = {**plugins.extension2reader, f"*{suffix}": PLUGIN}


def is_record(path: Path) -> bool:
    """Whether there is a mosaic record at a place."""
    return (as_place(path) / "mosaic.json").is_file()


def offer_samples(menu: QMenu, chosen: Callable[[str], None]) -> None:
    """Fill a menu with the samples."""
    for name, sample in SAMPLES.items():
        action = menu.addAction(sample.title)
        action.triggered.connect(lambda _=False, name=name: chosen(f"sample:{name}"))


def offer_formats(box: QComboBox) -> None:
    """Fill a box with the formats that a record can be exported to."""
    for name in sorted(FORMATS, key=lambda name: name != "csv"):
        box.addItem(f"{name}: {FORMATS[name].help}", name)


def ask_image(parent: QWidget) -> str:
    """A photograph to open; empty if none was chosen."""
    return str(QFileDialog.getOpenFileName(parent, "Open a photograph", "", _KINDS)[0])


def ask_photo_folder(parent: QWidget) -> str:
    """A folder that is a photograph; empty if none was chosen."""
    return str(QFileDialog.getExistingDirectory(parent, "Open a folder of georeferenced blocks, or an OME-Zarr"))


def ask_address(parent: QWidget) -> str:
    """An address to open, as it was typed or pasted; empty if none was given."""
    words = "http or https address of a IIIF info.json or manifest, a .dzi, an OME-Zarr or a picture:"
    text, taken = QInputDialog.getText(parent, "Open a photograph at an address", words)
    return text.strip() if taken else ""


def ask_area(parent: QWidget) -> str:
    """A file of areas; empty if none was chosen."""
    return str(QFileDialog.getOpenFileName(parent, "Stay within the areas of a file", "", _AREAS)[0])


def ask_record(parent: QWidget) -> str:
    """A record to open; empty if none was chosen."""
    return str(QFileDialog.getExistingDirectory(parent, "Open a mosaic record (NAME.mosaic.zarr)"))


def ask_pictures(parent: QWidget) -> str:
    """A folder with pictures and masks; empty if none was chosen."""
    return str(QFileDialog.getExistingDirectory(parent, "Choose a folder that holds images and masks"))


def ask_model(parent: QWidget, kind: str) -> str:
    """A file of a model, of SAM 2 where `kind` is "sam2"; empty if none was chosen."""
    what = "a checkpoint of SAM 2" if kind == "sam2" else "a model that finds joints"
    kinds = "Models (*.pt *.pth *.safetensors *.torch *.ckpt);;All files (*)"
    return str(QFileDialog.getOpenFileName(parent, f"Choose {what}", "", kinds)[0])


def ask_function(parent: QWidget) -> str:
    """A function of a person's own, `MODULE:FUNCTION`; empty if none was given."""
    words = "A function that labels the stones of a window, as MODULE:FUNCTION (see “A method of your own”):"
    return str(QInputDialog.getText(parent, "A function of yours", words)[0]).strip()


def ask_truths(parent: QWidget) -> tuple[str, ...]:
    """Drawn truths to compare with; empty if none was chosen."""
    kinds = "Labels, masks, places of crops (*.json *.png *.tif *.tiff *.npy);;All files (*)"
    return tuple(QFileDialog.getOpenFileNames(parent, "Choose drawn truth of this photograph", "", kinds)[0])


def ask_results(parent: QWidget) -> str:
    """A folder of results to compare; empty if none was chosen."""
    return str(QFileDialog.getExistingDirectory(parent, "Choose a folder of label images, masks or records"))


def ask_truth(parent: QWidget) -> str:
    """A drawn truth to compare with; empty if none was chosen."""
    kinds = "Labels, masks, places of crops (*.json *.png *.tif *.tiff *.npy);;All files (*)"
    return str(QFileDialog.getOpenFileName(parent, "Choose drawn truth", "", kinds)[0])


def ask_truth_folder(parent: QWidget) -> str:
    """A folder of truths, or a record; empty if none was chosen."""
    return str(QFileDialog.getExistingDirectory(parent, "Choose a folder of truths, or a record (NAME.mosaic.zarr)"))


def ask_run(parent: QWidget) -> str:
    """A folder of a training run; empty if none was chosen."""
    return str(QFileDialog.getExistingDirectory(parent, "Choose the folder of a training run (with history.csv)"))


def ask_table(parent: QWidget) -> str:
    """A file for a table; empty if none was chosen."""
    return str(QFileDialog.getSaveFileName(parent, "Save the table as", "figures.csv", "CSV (*.csv);;JSON (*.json)")[0])


def ask_chosen(parent: QWidget) -> str:
    """A file for stones that were chosen; empty if none was chosen."""
    kinds = "CSV (*.csv);;GeoPackage (*.gpkg)"
    return str(QFileDialog.getSaveFileName(parent, "Save these stones as", "chosen.csv", kinds)[0])


def ask_folder(parent: QWidget, start: str) -> str:
    """A folder, new or not; empty if none was chosen."""
    return str(QFileDialog.getSaveFileName(parent, "Keep the run and its model in", start, "Folder (*)")[0])


def default_run(source: str) -> str:
    """A new folder for a training run that learns from `source` (empty for drawn mosaics)."""
    home = Path.home() / "mosaics" / "models"
    name = Path(source).name.removesuffix(".mosaic.zarr") if source else "model"
    number = 1
    while (home / f"{name} {number}").exists():
        number += 1
    return str(home / f"{name} {number}")


def ask_place(parent: QWidget, place: Path | None) -> str:
    """A place for a new record; empty if none was chosen."""
    start = str(place) if place is not None else "mosaic.mosaic.zarr"
    return str(QFileDialog.getSaveFileName(parent, "Keep the record as", start, "Mosaic record (*.mosaic.zarr)")[0])


def ask_export(parent: QWidget, name: str, record: Path) -> str:
    """A file to export to; empty if none was chosen."""
    format_ = FORMATS[name]
    start = record.with_name(record.name.removesuffix(".mosaic.zarr") + format_.suffixes[0])
    kinds = f"{format_.help} ({' '.join(f'*{suffix}' for suffix in format_.suffixes)})"
    return str(QFileDialog.getSaveFileName(parent, "Save a copy as", str(start), kinds)[0])


def ask_rectified(parent: QWidget, place: Path) -> str:
    """A file for the rectified picture of the photograph whose record would be at `place`; empty if none was chosen."""
    start = place.with_name(place.name.removesuffix(".mosaic.zarr") + "-rectified.tif")
    return str(QFileDialog.getSaveFileName(parent, "Keep the rectified picture as", str(start), "TIFF (*.tif)")[0])


def ask_delivery_words(parent: QWidget) -> dict[str, str | None] | None:
    """What a folder to hand in says of itself, as `deliver` takes it; None if it is not wanted after all."""
    said = request_values(
        {
            "author": {"annotation": str, "label": "Who hands it in", "value": ""},
            "crs": {
                "annotation": str,
                "label": "Coordinate system",
                "value": "",
                "options": {"tooltip": "Of the GeoPackage, such as EPSG:4326; empty for that of the photograph."},
            },
            "sheet": {"annotation": str, "label": "Largest sheet", "value": "A3", "options": {"choices": list(SHEETS)}},
        },
        title="A folder to hand in",
        parent=parent,
    )
    return None if said is None else {"author": said["author"], "crs": said["crs"] or None, "sheet": said["sheet"]}


def ask_delivery(parent: QWidget, record: Path) -> str:
    """A new folder to hand in; empty if none was chosen."""
    start = str(default_delivery(record))
    return str(QFileDialog.getSaveFileName(parent, "Keep the folder to hand in as", start, "Folder (*)")[0])


def default_delivery(record: Path) -> Path:
    """A folder beside a record that is not there yet."""
    stem = record.name.removesuffix(".mosaic.zarr")
    place, number = record.with_name(f"{stem}-delivery"), 1
    while place.exists():
        number += 1
        place = record.with_name(f"{stem}-delivery {number}")
    return place


def ask_any_export(parent: QWidget | None, record: Path) -> str:
    """A file to export to, in any format; its suffix tells which. Empty if none was chosen."""
    start = record.with_name(record.name.removesuffix(".mosaic.zarr") + ".gpkg")
    kinds = [f"{f.help} ({' '.join(f'*{suffix}' for suffix in f.suffixes)})" for f in FORMATS.values()]
    chosen = next(kind for kind in kinds if "*.gpkg" in kind)
    return str(QFileDialog.getSaveFileName(parent, "Export tesserae as", str(start), ";;".join(kinds), chosen)[0])


def ask_unapplied(parent: QWidget, *, stay: bool = True) -> str:
    """What becomes of a painting that is not applied: `apply`, `discard`, or `stay` where that can be chosen."""
    kind = QMessageBox.StandardButton
    buttons = kind.Apply | kind.Discard | (kind.Cancel if stay else kind.NoButton)
    words = "You painted in this window and have not applied it. Apply it to the record?"
    answer = QMessageBox.question(parent, "Leave the window", words, buttons, kind.Apply)
    if answer == kind.Apply:
        return "apply"
    return "discard" if answer == kind.Discard or not stay else "stay"
