"""The name of `napari_mosaic.training.annotations` in earlier versions."""

from napari_mosaic.training.annotations import store_annotations

__all__ = ["store_annotations"]
