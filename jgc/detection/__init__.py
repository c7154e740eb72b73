"""Detectors trained on COCO: data, models, losses, evaluation and drawing.

Imported by experiments alone; the coding core never imports it. Needs the extra
`detection`.
"""

from jgc.detection import _requirements as _requirements  # before all others
from jgc.detection._anchors import AnchorGrid, linear_scales, pyramid_shapes, ssd_shapes
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
from jgc.detection._factory import DETECTORS, detector
from jgc.detection._losses import ClassLoss, FocalLoss, Losses, SoftmaxLoss
from jgc.detection._matching import Matches, Matching
from jgc.detection._nms import Selection
from jgc.detection._retinanet import retinanet
from jgc.detection._ssdlite import ssdlite
from jgc.detection._types import Detections, Examples, Predictions

__all__ = [
    "DETECTORS",
    "AnchorGrid",
    "ClassLoss",
    "CocoScores",
    "Detections",
    "Detector",
    "Examples",
    "FocalLoss",
    "Losses",
    "Matches",
    "Matching",
    "Predictions",
    "Selection",
    "SoftmaxLoss",
    "coco_results",
    "colour_jitter",
    "count_parameters",
    "detector",
    "draw_detections",
    "draw_grid",
    "evaluate",
    "expand",
    "horizontal_flip",
    "linear_scales",
    "pyramid_shapes",
    "random_crop",
    "retinanet",
    "ssd_augmentation",
    "ssd_shapes",
    "ssdlite",
]
