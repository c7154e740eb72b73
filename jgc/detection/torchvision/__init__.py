"""torchvision's detectors, exactly: its anchors, losses, choices, and its weights.

A user's own file of published weights scores here what it is published with. torch
and torchvision are never imported; `tests/detection/torchvision` compares each stage
with what torchvision itself gave.
"""

from jgc.detection.torchvision._convert import Weights
from jgc.detection.torchvision._pretrained import MODELS, Pretrained, load
from jgc.detection.torchvision._retinanet import (
    retinanet,
    retinanet_anchors,
    retinanet_weights,
)
from jgc.detection.torchvision._ssdlite import ssdlite320, ssdlite320_weights
from jgc.detection.torchvision._state_dict import read_state_dict

__all__ = [
    "MODELS",
    "Pretrained",
    "Weights",
    "load",
    "read_state_dict",
    "retinanet",
    "retinanet_anchors",
    "retinanet_weights",
    "ssdlite320",
    "ssdlite320_weights",
]
