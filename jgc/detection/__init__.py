"""Detectors trained on COCO: data, models, losses, evaluation and drawing.

Imported by experiments alone; the coding core never imports it. Needs the extra
`detection`.
"""

from jgc.detection import _requirements as _requirements  # before all others
from jgc.detection.anchors import AnchorGrid, linear_scales, ssd_shapes
from jgc.detection.detector import Detector, count_parameters
from jgc.detection.drawing import draw_detections, draw_grid
from jgc.detection.evaluation import CocoScores, coco_results, evaluate
from jgc.detection.losses import Losses
from jgc.detection.ssdlite import ssdlite
from jgc.detection.types import Detections, Examples, Predictions

__all__ = [
    "AnchorGrid",
    "CocoScores",
    "Detections",
    "Detector",
    "Examples",
    "Losses",
    "Predictions",
    "coco_results",
    "count_parameters",
    "draw_detections",
    "draw_grid",
    "evaluate",
    "linear_scales",
    "ssd_shapes",
    "ssdlite",
]
