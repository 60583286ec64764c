"""Making data and networks: drawn sets, training, fine-tuning, files for others. Needs torch.

One decision: the names are loaded when they are first used, so that the command line can read the
parameters, and show its help, without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mosaic._lazy import lazy_names

if TYPE_CHECKING:
    from napari_mosaic.training.export import export_weights, import_model
    from napari_mosaic.training.onnx_export import export_onnx, export_onnx_steps
    from napari_mosaic.training.params import FINETUNE_PRESETS, PRESETS, FinetuneParams, SynthesisParams, TrainParams
    from napari_mosaic.training.run import finetune, finetune_steps, train, train_steps
    from napari_mosaic.training.synthesis import synthesize, synthesize_steps

_PUBLIC = {
    "FINETUNE_PRESETS": "params",
    "PRESETS": "params",
    "FinetuneParams": "params",
    "SynthesisParams": "params",
    "TrainParams": "params",
    "export_onnx": "onnx_export",
    "export_onnx_steps": "onnx_export",
    "export_weights": "export",
    "finetune": "run",
    "finetune_steps": "run",
    "import_model": "export",
    "synthesize": "synthesis",
    "synthesize_steps": "synthesis",
    "train": "run",
    "train_steps": "run",
}

__all__ = [
    "FINETUNE_PRESETS",
    "PRESETS",
    "FinetuneParams",
    "SynthesisParams",
    "TrainParams",
    "export_onnx",
    "export_onnx_steps",
    "export_weights",
    "finetune",
    "finetune_steps",
    "import_model",
    "synthesize",
    "synthesize_steps",
    "train",
    "train_steps",
]


__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
