"""Flax detectors: backbones, heads and their layers."""

from jgc.detection.models.mobilenetv3 import MobileNetV3Features, MobileNetV3Large
from jgc.detection.models.ssdlite import SSDLite

__all__ = ["MobileNetV3Features", "MobileNetV3Large", "SSDLite"]
