"""Training: the bundled network from drawn mosaics alone. Needs torch; nothing else imports it early."""

from __future__ import annotations

from napari_mosaic.training.export import export_weights
from napari_mosaic.training.run import TrainParams, train, train_steps

__all__ = ["TrainParams", "export_weights", "train", "train_steps"]
