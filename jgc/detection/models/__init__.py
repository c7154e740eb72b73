"""Flax detectors: backbones, heads and their layers."""

from jgc.detection.models._mobilenetv3 import MobileNetV3Features, MobileNetV3Large
from jgc.detection.models._resnet import ResNetFeatures
from jgc.detection.models._retinanet import RetinaNet
from jgc.detection.models._ssdlite import SSDLite

__all__ = [
    "MobileNetV3Features",
    "MobileNetV3Large",
    "ResNetFeatures",
    "RetinaNet",
    "SSDLite",
]
