"""Detectors trained on COCO: data, models, losses, evaluation and drawing.

Imported by experiments alone; the coding core never imports it. Needs the extra
`detection`.
"""

from jgc.extras import require

# Everything here is a flax network or works on one's outputs: say which extra is
# missing before the first import that would fail without a hint.
require("flax", extra="detection")

from jgc.detection.anchors import AnchorGrid, linear_scales, ssd_shapes  # noqa: E402
from jgc.detection.detector import Detector, count_parameters  # noqa: E402
from jgc.detection.drawing import draw_detections, draw_grid  # noqa: E402
from jgc.detection.evaluation import CocoScores, coco_results, evaluate  # noqa: E402
from jgc.detection.losses import Losses  # noqa: E402
from jgc.detection.ssdlite import ssdlite  # noqa: E402
from jgc.detection.types import Detections, Examples, Predictions  # noqa: E402

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
