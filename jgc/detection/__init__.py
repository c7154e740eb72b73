"""Detectors trained on COCO: data, models, losses, evaluation and drawing.

Imported by experiments alone; the coding core never imports it. Needs the extra
`detection`.
"""

from jgc.detection import _requirements as _requirements  # before all others
from jgc.detection._anchors import AnchorGrid, linear_scales, ssd_shapes
from jgc.detection._augment import (
    colour_jitter,
    expand,
    horizontal_flip,
    random_crop,
    ssd_augmentation,
)
from jgc.detection._detector import Detector, count_parameters
from jgc.detection._drawing import draw_detections, draw_grid
from jgc.detection._evaluation import CocoScores, coco_results, evaluate
from jgc.detection._losses import Losses
from jgc.detection._ssdlite import ssdlite
from jgc.detection._types import Detections, Examples, Predictions

__all__ = [
    "AnchorGrid",
    "CocoScores",
    "Detections",
    "Detector",
    "Examples",
    "Losses",
    "Predictions",
    "coco_results",
    "colour_jitter",
    "count_parameters",
    "draw_detections",
    "draw_grid",
    "evaluate",
    "expand",
    "horizontal_flip",
    "linear_scales",
    "random_crop",
    "ssd_augmentation",
    "ssd_shapes",
    "ssdlite",
]
