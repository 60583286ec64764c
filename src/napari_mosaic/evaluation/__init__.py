"""How good is it: against the truth of one image or of many, and on a floor that nobody has drawn.

One decision: a figure is a function of two sets of labels on one grid; reading files, pairing folders
and painting pictures stand around it, so the command line and the viewer say the same.
"""

from napari_mosaic.evaluation.files import (
    Evaluation,
    EvaluationParams,
    evaluate_files,
    label_mask,
    read_label_image,
)
from napari_mosaic.evaluation.floor import (
    FloorError,
    Square,
    count_found,
    estimate_error,
    propose_squares,
)
from napari_mosaic.evaluation.floor_files import read_counts, write_squares
from napari_mosaic.evaluation.folders import FolderEvaluation, evaluate_folders, evaluate_folders_steps
from napari_mosaic.evaluation.models import ModelComparison, compare_models, compare_models_steps, plot_models
from napari_mosaic.evaluation.pictures import (
    compare_predictions,
    draw_tesserae,
    five_colours,
    tessera_colours,
    write_picture,
)

draw_stones, stone_colours = draw_tesserae, tessera_colours
"""Their names before."""

__all__ = [
    "Evaluation",
    "EvaluationParams",
    "FloorError",
    "FolderEvaluation",
    "ModelComparison",
    "Square",
    "compare_models",
    "compare_models_steps",
    "compare_predictions",
    "count_found",
    "draw_stones",
    "draw_tesserae",
    "estimate_error",
    "evaluate_files",
    "evaluate_folders",
    "evaluate_folders_steps",
    "five_colours",
    "label_mask",
    "plot_models",
    "propose_squares",
    "read_counts",
    "read_label_image",
    "stone_colours",
    "tessera_colours",
    "write_picture",
    "write_squares",
]
