"""How a GeoPackage looks in QGIS: styles inside the file, used without a click.

One decision: outlines are thin and without fill, so the photograph shows under them; areas are filled by class. A
style is the least that QGIS needs, and says nothing of what it does not style.

References
----------
QGIS: the table `layer_styles` of a GeoPackage, and QML with the category "Symbology".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from xml.sax.saxutils import quoteattr

from napari_mosaic.areas import CLASSES
from napari_mosaic.output_files import refusal

_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME)
"""
_CONTENTS = """
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, description, srs_id)
VALUES ('layer_styles', 'attributes', 'layer_styles', '', 0)
"""
_STYLE = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
  styleSLD, useAsDefault, description, owner) VALUES ('', '', ?, 'geom', ?, ?, '', 1, 'napari-mosaic', '')
"""
_HEAD = '<!DOCTYPE qgis PUBLIC "http://mrcc.com/qgis.dtd" "SYSTEM"><qgis version="3.28.0" styleCategories="Symbology">'

AREA_FILLS = {one.name: ",".join(str(part) for part in bytes.fromhex(one.colour[1:])) for one in CLASSES}
"""Colour of each class of areas, red, green, blue."""


def add_styles(path: Path, layers: Mapping[str, str]) -> None:
    """Write the styles of some layers, QML by the layer's name, into a GeoPackage that is complete otherwise."""
    try:
        with closing(sqlite3.connect(path)) as base, base:
            base.execute(_TABLE)
            base.execute(_CONTENTS)
            for name, qml in layers.items():
                base.execute(_STYLE, (name, f"{name} (napari-mosaic)", qml))
    except sqlite3.Error as error:
        raise refusal("The GeoPackage", path, error) from error


def outline_style() -> str:
    """Tesserae: a thin dark outline, no fill."""
    symbol = _symbol("0", "0,0,0,0", "30,30,30,255", 0.15)
    return f'{_HEAD}<renderer-v2 type="singleSymbol"><symbols>{symbol}</symbols></renderer-v2></qgis>'


def area_style() -> str:
    """Areas: filled by class, half transparent."""
    categories = "".join(
        f'<category symbol="{number}" value={quoteattr(kind)} label={quoteattr(kind)} render="true"/>'
        for number, kind in enumerate(AREA_FILLS)
    )
    symbols = "".join(
        _symbol(str(number), f"{fill},90", f"{fill},255", 0.4) for number, fill in enumerate(AREA_FILLS.values())
    )
    return (
        f'{_HEAD}<renderer-v2 type="categorizedSymbol" attr="class"><categories>{categories}</categories>'
        f"<symbols>{symbols}</symbols></renderer-v2></qgis>"
    )


def _symbol(name: str, fill: str, line: str, width_mm: float) -> str:
    options = {
        "color": fill,
        "outline_color": line,
        "outline_style": "solid",
        "outline_width": f"{width_mm}",
        "outline_width_unit": "MM",
        "style": "no" if fill.endswith(",0") else "solid",
    }
    inner = "".join(f'<Option name="{key}" type="QString" value="{value}"/>' for key, value in options.items())
    return (
        f'<symbol type="fill" name="{name}" alpha="1" clip_to_extent="1" force_rhr="0">'
        '<layer class="SimpleFill" enabled="1" locked="0" pass="0">'
        f'<Option type="Map">{inner}</Option></layer></symbol>'
    )
