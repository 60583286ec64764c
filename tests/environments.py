"""Which tests run where: without torch, and in the light environment."""

from __future__ import annotations

NEEDS_TORCH = (
    "test_agreement.py",
    "test_folder_lock.py",
    "test_grout.py",
    "test_onnx_models.py",
    "test_sam_generator.py",
    "test_sam_models.py",
    "test_sam_small.py",
    "test_sam_training.py",
    "test_training.py",
    "test_training_commands.py",
    "test_training_loop.py",
)
"""Files whose tests all bear the mark `torch`: they import it, so without it they are not even read."""
CORE = (
    "areas", "cli", "dependencies", "docs", "end_to_end", "export", "export_drawings", "file_types", "image_arrays",
    "image_blocks", "image_pictures", "image_tiff", "image_web", "metrics", "package", "probability",
    "segmentation", "start", "tesserae", "tiling",
    "weights", "writers",
)  # fmt: skip
"""Files that `--core` runs, by what they test: those that the light package must pass within four minutes."""
