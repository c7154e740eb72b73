"""torchvision's `retinanet_resnet50_fpn`: the detector and its weights."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jgc.detection._anchors import AnchorGrid
from jgc.detection._detector import Detector
from jgc.detection._matching import Matching
from jgc.detection._nms import Selection
from jgc.detection._options import ImageSize, image_shape
from jgc.detection._retinanet import retinanet as _retinanet
from jgc.detection.models._layers import map_sizes
from jgc.detection.models._resnet import DEPTHS
from jgc.detection.models._retinanet import STRIDES
from jgc.detection.torchvision._convert import Converter, Weights

_STRIDES = STRIDES[1:]
_ANCHORS = 9
_RATIOS = (0.5, 1.0, 2.0)


def retinanet_anchors(shape: tuple[int, int]) -> AnchorGrid:
    """torchvision's anchors for an image of (H, W) pixels, padding included.

    Their sides are whole, even numbers of pixels, and they are centred on the corners
    of a grid whose steps are whole pixels too: on the coarsest maps the anchors end
    before the image does.
    """
    height, width = shape
    maps = map_sizes(shape, _STRIDES)
    shapes = []
    for stride in _STRIDES:
        sizes = [int(4 * stride * 2 ** (third / 3)) for third in range(3)]
        pairs = [(s * r**0.5, s / r**0.5) for r in _RATIOS for s in sizes]
        shapes.append(
            tuple(
                (2 * round(h / 2) / height, 2 * round(w / 2) / width) for h, w in pairs
            )
        )
    steps = [
        (height // rows / height, width // columns / width) for rows, columns in maps
    ]
    return AnchorGrid(maps=maps, shapes=tuple(shapes), steps=tuple(steps), offset=0.0)


def retinanet(
    *, num_classes: int = 91, image_size: ImageSize = 800, **options: Any
) -> Detector:
    """`retinanet_resnet50_fpn` with everything of torchvision's.

    Frozen batch norm, whole-pixel anchors, L1, its matching and its choice of
    detections. Its losses' divisor is each image's own, in torchvision too.

    Args:
        num_classes: C; torchvision has an output for the background too, which learns
            nothing: its labels start at 1.
        image_size: of the network's input, padding included.
        **options: see `jgc.detection.retinanet`.

    >>> retinanet(image_size=(800, 1088)).anchors.maps[-1]
    (7, 9)
    """
    defaults: dict[str, Any] = {
        "norm": "frozen",
        "beta": 0.0,
        "matching": Matching(forced="all_best"),
        "selection": Selection(
            max_detections=300,
            score_threshold=0.05,
            nms_iou=0.5,
            candidates=1000,
            scope="level",
        ),
        "anchors": retinanet_anchors(image_shape(image_size)),
    }
    return _retinanet(
        num_classes=num_classes, image_size=image_size, **(defaults | options)
    )


def retinanet_weights(
    arrays: Mapping[str, np.ndarray], *, epsilon: float = 0.0
) -> tuple[Detector, Weights]:
    """The detector of a state dict, whatever its number of classes, and its weights.

    Args:
        arrays: as from `read_state_dict`; names of torchvision before 0.13 will do.
        epsilon: of the batch norms. torchvision's published weights want 0; what it
            trained since from a pretrained backbone 1e-5.

    Raises:
        ValueError: it is another network's.
    """
    convert = Converter(
        {_current(name): array for name, array in arrays.items()}, epsilon=epsilon
    )
    outputs = len(convert.take("head.classification_head.cls_logits.bias"))
    detector = retinanet(num_classes=outputs // _ANCHORS)

    body = "backbone.body"
    convert.conv("backbone/stem/conv", f"{body}.conv1")
    convert.norm("backbone/stem/norm", f"{body}.bn1")
    for stage, count in enumerate(DEPTHS[50]):
        for index in range(count):
            ours = f"backbone/stage{stage}block{index}"
            theirs = f"{body}.layer{stage + 1}.{index}"
            convert.pointwise(f"{ours}/reduce/conv", f"{theirs}.conv1")
            convert.norm(f"{ours}/reduce/norm", f"{theirs}.bn1")
            convert.conv(f"{ours}/filter/conv", f"{theirs}.conv2")
            convert.norm(f"{ours}/filter/norm", f"{theirs}.bn2")
            convert.pointwise(f"{ours}/expand/conv", f"{theirs}.conv3")
            convert.norm(f"{ours}/expand/norm", f"{theirs}.bn3")
            if index == 0:
                convert.pointwise(f"{ours}/project/conv", f"{theirs}.downsample.0")
                convert.norm(f"{ours}/project/norm", f"{theirs}.downsample.1")

    for index in range(3):
        lateral, smooth = (
            f"backbone.fpn.{kind}_blocks.{index}.0" for kind in ("inner", "layer")
        )
        convert.pointwise(f"pyramid/lateral{index}", lateral, bias=True)
        convert.conv(f"pyramid/smooth{index}", smooth, bias=True)
    for index in range(2):
        extra = f"backbone.fpn.extra_blocks.p{6 + index}"
        convert.conv(f"pyramid/extra{index}", extra, bias=True)

    heads = (
        ("class", "classification_head", "cls_logits"),
        ("box", "regression_head", "bbox_reg"),
    )
    for ours, theirs, last in heads:
        for index in range(4):
            layer = f"head.{theirs}.conv.{index}.0"
            convert.conv(f"{ours}/filters_{index}", layer, bias=True)
        convert.conv(f"{ours}/predict", f"head.{theirs}.{last}", bias=True)
    convert.offsets_first_y("box/predict")
    return detector, convert.weights(detector)


def _current(name: str) -> str:
    """A name as torchvision gives it since 0.13, which nested these layers deeper."""
    name = re.sub(
        r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$",
        r"\1.0.\2",
        name,
    )
    old = re.fullmatch(r"(head\.\w+_head\.conv)\.(\d+)\.(weight|bias)", name)
    # Convolutions and activations took turns then.
    return f"{old[1]}.{int(old[2]) // 2}.0.{old[3]}" if old else name
