"""What others have drawn or corrected comes back: as edits of the record that it came from, or as a record of its own.

One decision: every file becomes outlines on the photograph (`reading`); a record of them is made shard by shard
(`records`), and edits are what an export of now would not hold (`comparing`, `edits`).
"""

from napari_mosaic.importing.comparing import Dispute
from napari_mosaic.importing.edits import Imported, import_edits_steps
from napari_mosaic.importing.outlines import Outlines
from napari_mosaic.importing.reading import read_outlines
from napari_mosaic.importing.records import import_record_steps

__all__ = ["Dispute", "Imported", "Outlines", "import_edits_steps", "import_record_steps", "read_outlines"]
