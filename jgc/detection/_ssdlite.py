"""SSDLite detectors of any size: torchvision's at 320 pixels, and far smaller ones."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jgc.detection._anchors import AnchorGrid, linear_scales, ssd_shapes
from jgc.detection._checks import check
from jgc.detection._detector import Detector
from jgc.detection.models._ssdlite import STRIDES, SSDLite, map_sizes


def ssdlite(
    *,
    num_classes: int,
    image_size: int = 320,
    width: float = 1.0,
    reduced_tail: bool = True,
    strides: Sequence[int] | None = None,
    scales: Sequence[float] | None = None,
    min_scale: float = 0.2,
    max_scale: float = 0.95,
    aspect_ratios: Sequence[float] = (2.0, 3.0),
    residual_scale: float = 1.0,
    dtype: Any = jnp.float32,
    **options: Any,
) -> Detector:
    """SSDLite on MobileNetV3-Large, as large or small as wanted.

    The defaults are torchvision's `ssdlite320_mobilenet_v3_large` but for its
    background class: with `num_classes=91` they have its 3,440,060 parameters.

    Args:
        num_classes: C; no background class among them.
        image_size: S, at least 32.
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
        residual_scale: initial scale of residual branches, in [0, 1].
        dtype: of the network's computation, such as `jnp.bfloat16`; parameters,
            statistics, predictions and losses are float32.
        **options: the other fields of `Detector`.

    Raises:
        ValueError: an option is out of its range.
    """
    check("image_size", image_size, image_size >= 32, "at least 32")
    check("width", width, 0 < width <= 4, "in (0, 4]")
    check("residual_scale", residual_scale, 0 <= residual_scale <= 1, "in [0, 1]")
    strides = STRIDES[2:] if strides is None else tuple(strides)
    check(
        "strides",
        strides,
        bool(strides) and set(strides) <= set(STRIDES) and _increasing(strides),
        f"increasing, from {STRIDES}",
    )
    # One map of a single pixel is enough: beyond it there is nothing to halve.
    strides = tuple(
        s for i, s in enumerate(strides) if i == 0 or strides[i - 1] < image_size
    )
    if scales is None:
        scales = linear_scales(len(strides), min_scale=min_scale, max_scale=max_scale)
    check(
        "scales",
        tuple(scales),
        len(scales) == len(strides) + 1,
        f"one for each of the strides {strides}, and one more",
    )
    anchors = AnchorGrid(
        maps=map_sizes(image_size, strides),
        shapes=ssd_shapes(scales, aspect_ratios=aspect_ratios),
    )
    network = SSDLite(
        num_classes=num_classes,
        anchors=anchors.per_pixel,
        strides=strides,
        width=width,
        reduced_tail=reduced_tail,
        residual_scale=residual_scale,
        dtype=dtype,
    )
    return Detector(
        network=network,
        anchors=anchors,
        num_classes=num_classes,
        image_size=image_size,
        **options,
    )


def _increasing(values: Sequence[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))
