"""torchvision's `ssdlite320_mobilenet_v3_large`: the detector and its weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jgc.detection._anchors import AnchorGrid, linear_scales, ssd_shapes
from jgc.detection._detector import Detector
from jgc.detection._losses import SoftmaxLoss
from jgc.detection._matching import Matching
from jgc.detection._nms import Selection
from jgc.detection._ssdlite import ssdlite
from jgc.detection.models._layers import map_sizes
from jgc.detection.models._mobilenetv3 import blocks
from jgc.detection.models._ssdlite import STRIDES
from jgc.detection.torchvision._convert import Converter, Weights

_SIZE = 320
_STRIDES = STRIDES[2:]
_EPSILON = 1e-3
_ANCHORS = 6
_SPLIT = 12  # the block that torchvision cuts in two, after its expansion


def ssdlite320(*, num_classes: int = 90, **options: Any) -> Detector:
    """`ssdlite320_mobilenet_v3_large` with everything of torchvision's.

    Batch norm at inference, a softmax with background, 3 hard negatives an object,
    anchors cut to the image, its matching and its choice of detections. The divisor
    of the losses is each image's own, which torchvision's is for a batch of one.

    Args:
        num_classes: C; torchvision counts the background too, 91.
        **options: see `jgc.detection.ssdlite`.

    >>> ssdlite320().anchors.count
    3234
    """
    scales = linear_scales(len(_STRIDES), min_scale=0.2, max_scale=0.95)
    anchors = AnchorGrid(
        maps=map_sizes((_SIZE, _SIZE), _STRIDES),
        shapes=ssd_shapes(scales, largest=1.0),
    )
    defaults: dict[str, Any] = {
        "norm": "frozen",
        "prior": None,
        "classes": SoftmaxLoss(),
        "matching": Matching(negative_iou=0.5, forced="best"),
        "selection": Selection(
            max_detections=300,
            score_threshold=0.001,
            nms_iou=0.55,
            candidates=300,
            scope="class",
        ),
        "anchors": anchors,
    }
    return ssdlite(
        num_classes=num_classes, image_size=_SIZE, **(defaults | options)
    )  # fmt: skip


def ssdlite320_weights(
    arrays: Mapping[str, np.ndarray], *, epsilon: float = _EPSILON
) -> tuple[Detector, Weights]:
    """The detector of a state dict, whatever its number of classes, and its weights.

    Args:
        arrays: as from `read_state_dict`.
        epsilon: of the batch norms; torchvision's 0.001.

    Raises:
        ValueError: it is another network's.
    """
    convert = Converter(arrays, epsilon=epsilon)
    outputs = len(convert.take("head.classification_head.module_list.0.1.bias"))
    reduced = convert.take("backbone.features.1.3.0.weight").shape[0] < 960
    detector = ssdlite320(num_classes=outputs // _ANCHORS - 1, reduced_tail=reduced)

    _layer(convert, "backbone/stem", "backbone.features.0.0", "conv")
    for index, block in enumerate(blocks(width=1.0, reduced_tail=reduced)):
        whole = f"backbone.features.0.{index + 1}.block"
        first = f"{whole}.0"
        if index == _SPLIT:
            whole, first = "backbone.features.1.0", "backbone.features.0.13"
        elif index > _SPLIT:
            whole = f"backbone.features.1.{index - _SPLIT}.block"
            first = f"{whole}.0"
        ours = f"backbone/block{index}"
        place = 0
        if index > 0:  # the first block has nothing to expand
            _layer(convert, f"{ours}/expand", first, "pointwise")
            place = 1
        _layer(convert, f"{ours}/filter", f"{whole}.{place}", "depthwise")
        if block.squeeze:
            place += 1
            gate = f"{ours}/squeeze/Dense_"
            convert.pointwise(f"{gate}0", f"{whole}.{place}.fc1", bias=True)
            convert.pointwise(f"{gate}1", f"{whole}.{place}.fc2", bias=True)
        _layer(convert, f"{ours}/project", f"{whole}.{place + 1}", "pointwise")
    _layer(convert, "backbone/final", "backbone.features.1.3", "pointwise")

    for index in range(4):
        theirs = f"backbone.extra.{index}"
        _layer(convert, f"extra{index}/reduce", f"{theirs}.0", "pointwise")
        _layer(convert, f"extra{index}/filter", f"{theirs}.1", "depthwise")
        _layer(convert, f"extra{index}/expand", f"{theirs}.2", "pointwise")
    for index, stride in enumerate(_STRIDES):
        for ours, theirs in (("class", "classification"), ("box", "regression")):
            head = f"head.{theirs}_head.module_list.{index}"
            _layer(convert, f"{ours}{stride}/filter", f"{head}.0", "depthwise")
            convert.pointwise(f"{ours}{stride}/predict", f"{head}.1", bias=True)
        convert.offsets_first_y(f"box{stride}/predict")
    return detector, convert.weights(detector)


def _layer(convert: Converter, ours: str, theirs: str, kind: str) -> None:
    """A convolution and its norm, which torchvision numbers 0 and 1."""
    getattr(convert, kind)(f"{ours}/conv", f"{theirs}.0")
    convert.norm(f"{ours}/norm", f"{theirs}.1")
