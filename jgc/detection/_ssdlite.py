"""SSDLite detectors of any size: torchvision's at 320 pixels, and far smaller ones."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jgc.detection._anchors import AnchorGrid, linear_scales, ssd_shapes
from jgc.detection._checks import check
from jgc.detection._detector import Detector
from jgc.detection._losses import ClassLoss, FocalLoss
from jgc.detection._options import (
    ImageSize,
    check_network,
    image_shape,
    useful_strides,
)
from jgc.detection.models._layers import PRIOR, map_sizes
from jgc.detection.models._ssdlite import STRIDES, SSDLite


def ssdlite(
    *,
    num_classes: int,
    image_size: ImageSize = 320,
    width: float = 1.0,
    reduced_tail: bool = True,
    strides: Sequence[int] | None = None,
    scales: Sequence[float] | None = None,
    min_scale: float = 0.2,
    max_scale: float = 0.95,
    aspect_ratios: Sequence[float] = (2.0, 3.0),
    anchors: AnchorGrid | None = None,
    residual_scale: float = 1.0,
    norm: str = "group",
    prior: float | None = PRIOR,
    classes: ClassLoss | None = None,
    dtype: Any = jnp.float32,
    **options: Any,
) -> Detector:
    """SSDLite on MobileNetV3-Large, as large or small as wanted.

    Layers and their parameters are those of torchvision's
    `ssdlite320_mobilenet_v3_large`: 3,440,060 with `num_classes=91`, 5,198,540 with
    `reduced_tail=False` (its form on a pretrained backbone). What differs by default,
    and what is torchvision's (`jgc.detection.torchvision.ssdlite320` has it all):

    | here | torchvision |
    | --- | --- |
    | group norm | batch norm; `norm="frozen"` at inference |
    | a sigmoid a class, focal loss | `SoftmaxLoss()`: softmax with background, 3 hard negatives |
    | divisor: the image's positives | the batch's positives |
    | IoU of 0.4 to 0.5 ignored | `Matching(negative_iou=0.5, forced="best")` |
    | an anchor for each object | objects may share their best anchor |
    | anchors of any size | sides cut to the image |
    | head weights from N(0, 0.01²), prior 0.01 | N(0, 0.03²), biases 0 |
    | other weights by He's rule | N(0, 0.03²) |
    | `Selection()`: 300 candidates an image, 100 stay, score 0.01, IoU 0.5 | 300 a class, 300 stay, 0.001, 0.55 |

    Args:
        num_classes: C; no background class among them.
        image_size: S, or (H, W), at least 32.
        width: multiplier of every layer's channels, in (0, 4].
        reduced_tail: halve the backbone's last stage, as without pre-training.
        strides: which maps to predict from, increasing powers of two from 4 to 512;
            8 (and 4) help small objects and small images. Default: 16 and up. Those
            beyond the first map of a single pixel are dropped.
        scales: of the anchors, relative to the image, one for each stride that is
            left and one more. Default: evenly from `min_scale` to `max_scale`, then 1.
        min_scale: of the finest map's anchors.
        max_scale: of the coarsest map's anchors.
        aspect_ratios: longer over shorter side; each adds a wide and a tall anchor to
            the two squares on every pixel.
        anchors: instead of those that the four options above describe; its maps are
            those of the strides.
        residual_scale: initial scale of residual branches, in [0, 1].
        norm: "group", or "frozen": a scale and a shift by constants, as batch norm at
            inference, for pretrained weights; untrained, they do nothing.
        prior: a sigmoid's first probability; None: logits start around 0.
        classes: the class loss and meaning of logits. Default: `FocalLoss()`.
        dtype: of the network's computation, such as `jnp.bfloat16`; parameters,
            statistics, predictions and losses are float32.
        **options: the other fields of `Detector`.

    Raises:
        ValueError: an option is out of its range.

    >>> detector = ssdlite(num_classes=3, image_size=64, width=0.25, strides=(8, 16))
    >>> detector.anchors.maps
    ((8, 8), (4, 4))
    """  # noqa: E501 - a table's rows are lines
    shape = image_shape(image_size)
    check_network(width=width, residual_scale=residual_scale, norm=norm)
    strides = STRIDES[2:] if strides is None else strides
    strides = useful_strides(strides, STRIDES, shape)
    maps = map_sizes(shape, strides)
    if scales is None:
        scales = linear_scales(len(strides), min_scale=min_scale, max_scale=max_scale)
    check(
        "scales",
        tuple(scales),
        len(scales) == len(strides) + 1,
        f"one for each of the strides {strides}, and one more",
    )
    if anchors is None:
        shapes = ssd_shapes(scales, aspect_ratios=aspect_ratios)
        anchors = AnchorGrid(maps=maps, shapes=shapes)
    check("anchors.maps", anchors.maps, anchors.maps == maps, str(maps))
    classes = FocalLoss() if classes is None else classes
    network = SSDLite(
        outputs=classes.outputs(num_classes),
        anchors=anchors.per_pixel,
        strides=strides,
        width=width,
        reduced_tail=reduced_tail,
        residual_scale=residual_scale,
        norm=norm,
        prior=prior,
        dtype=dtype,
    )
    return Detector(
        network=network,
        anchors=anchors,
        num_classes=num_classes,
        image_shape=shape,
        classes=classes,
        **options,
    )
