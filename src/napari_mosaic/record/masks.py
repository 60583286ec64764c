"""An older name: `MaskStore` is `record.sam2.Sam2Files`; the masks themselves are `record.label_layer("sam2")`."""

from napari_mosaic.record.sam2 import Sam2Files as MaskStore

__all__ = ["MaskStore"]
