"""RetinaNet detectors of any size: torchvision's, and far smaller ones."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jgc.detection._anchors import AnchorGrid, pyramid_shapes
from jgc.detection._checks import check
from jgc.detection._detector import Detector
from jgc.detection._losses import ClassLoss, FocalLoss
from jgc.detection._nms import Selection
from jgc.detection._options import (
    ImageSize,
    check_network,
    image_shape,
    useful_strides,
)
from jgc.detection.models._layers import PRIOR, map_sizes
from jgc.detection.models._resnet import DEPTHS
from jgc.detection.models._retinanet import STRIDES, RetinaNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def retinanet(
    *,
    num_classes: int,
    image_size: ImageSize = 640,
    depth: int = 50,
    width: float = 1.0,
    strides: Sequence[int] | None = None,
    base_size: float = 4.0,
    scales: Sequence[float] = (1.0, 2 ** (1 / 3), 2 ** (2 / 3)),
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
    anchors: AnchorGrid | None = None,
    residual_scale: float = 1.0,
    norm: str = "group",
    head_norm: bool = False,
    prior: float | None = PRIOR,
    classes: ClassLoss | None = None,
    dtype: Any = jnp.float32,
    **options: Any,
) -> Detector:
    """RetinaNet: a ResNet, a feature pyramid and a shared head, of any size.

    Layers and their parameters are those of torchvision's `retinanet_resnet50_fpn`:
    34,014,999 with `num_classes=91` and `norm="frozen"`; a group norm's scales and
    biases are 53,120 more. What differs by default, and what is torchvision's
    (`jgc.detection.torchvision.retinanet` has it all):

    | here | torchvision |
    | --- | --- |
    | group norm | batch norm; frozen with pretrained weights |
    | squares, images stretched | shorter side 800, longer at most 1333, padded |
    | anchors around pixels' centres, of any size | around their corners, whole pixels |
    | smooth L1, beta = 1/9 | L1, `beta=0.0` |
    | an anchor for each object, the nearest of equals | `Matching(forced="all_best")` |
    | hidden head weights by He's rule if narrower than 256 | N(0, 0.01²) |
    | `Selection()`: 300 candidates an image, 100 stay, score 0.01, IoU 0.5 | 1,000 a level, 300 stay, 0.05, 0.5 |

    Focal loss (0.25, 2), prior 0.01, matching at 0.5 and 0.4, offsets' scale of 1 and
    the divisor, each image's own, are the same. (The paper and detectron2 divide by
    the batch's positives.)

    Args:
        num_classes: C; no background class among them.
        image_size: S, or (H, W), at least 32.
        depth: of the ResNet: 18, 34, 50 or 101.
        width: multiplier of every layer's channels, in (0, 4].
        strides: which maps to predict from, consecutive powers of two from 4 to 128;
            at least one is 32 or below. Default: 8 to 128, P3 to P7. Those beyond the
            first map of a single pixel are dropped.
        base_size: side of a level's square anchor of scale 1, in strides.
        scales: of the anchors on every pixel, 1 being `base_size`.
        aspect_ratios: of the anchors on every pixel, height over width.
        anchors: instead of those that the four options above describe; its maps are
            those of the strides.
        residual_scale: initial scale of residual branches, in [0, 1].
        norm: of the ResNet: "group", or "frozen": a scale and a shift by constants, as
            batch norm at inference, for pretrained weights; untrained, they do
            nothing.
        head_norm: group norm in the head, which trains faster from scratch.
        prior: a sigmoid's first probability; None: logits start around 0.
        classes: the class loss and meaning of logits. Default: `FocalLoss()`.
        dtype: of the network's computation, such as `jnp.bfloat16`; parameters,
            statistics, predictions and losses are float32.
        **options: the other fields of `Detector`.

    Raises:
        ValueError: an option is out of its range.

    >>> detector = retinanet(num_classes=3, image_size=64, depth=18, width=0.25)
    >>> detector.anchors.maps
    ((8, 8), (4, 4), (2, 2), (1, 1))
    """  # noqa: E501 - a table's rows are lines
    shape = image_shape(image_size)
    check_network(width=width, residual_scale=residual_scale, norm=norm)
    check("depth", depth, depth in DEPTHS, f"one of {tuple(DEPTHS)}")
    strides = STRIDES[1:] if strides is None else strides
    strides = useful_strides(strides, STRIDES, shape)
    consecutive = all(2 * a == b for a, b in itertools.pairwise(strides))
    check("strides", strides, consecutive and strides[0] <= 32, "consecutive, from 32")
    maps = map_sizes(shape, strides)
    if anchors is None:
        shapes = pyramid_shapes(
            strides,
            shape,
            base_size=base_size,
            scales=scales,
            aspect_ratios=aspect_ratios,
        )
        anchors = AnchorGrid(maps=maps, shapes=shapes)
    per_pixel = anchors.per_pixel
    check("anchors.maps", anchors.maps, anchors.maps == maps, str(maps))
    check("anchors", per_pixel, len(set(per_pixel)) == 1, "as many on every pixel")
    classes = FocalLoss() if classes is None else classes
    network = RetinaNet(
        outputs=classes.outputs(num_classes),
        anchors=per_pixel[0],
        strides=strides,
        depth=depth,
        width=width,
        residual_scale=residual_scale,
        norm=norm,
        head_norm=head_norm,
        prior=prior,
        dtype=dtype,
    )
    defaults: dict[str, Any] = {
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "variances": (1.0, 1.0),
        "beta": 1 / 9,
        "selection": Selection(),
    }
    return Detector(
        network=network,
        anchors=anchors,
        num_classes=num_classes,
        image_shape=shape,
        classes=classes,
        **{**defaults, **options},
    )
