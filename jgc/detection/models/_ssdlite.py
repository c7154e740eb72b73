"""SSDLite on MobileNetV3-Large: features at several strides, a light head on each.

Sandler et al., "MobileNetV2" (2018), section 6.2; Howard et al., "Searching for
MobileNetV3" (2019), section 6.3; extra layers and initial values as in torchvision's
`ssdlite320_mobilenet_v3_large`, whose parameter count this network has when it is
given the same outputs.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgc.detection._types import Predictions
from jgc.detection.models._layers import ConvNorm, Pointwise, round_channels
from jgc.detection.models._mobilenetv3 import MobileNetV3Features

BACKBONE_STRIDE = 32
EXTRA_CHANNELS = (512, 256, 256, 128)
STRIDES = (4, 8, 16, 32, 64, 128, 256, 512)
_PRIOR = 0.01


def map_sizes(image_size: int, strides: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Height and width of the map at each stride: every halving rounds up."""
    return tuple((-(-image_size // stride),) * 2 for stride in strides)


class ExtraBlock(nn.Module):
    """Halve the resolution beyond the backbone's: 1x1, 3x3 in depth, 1x1."""

    channels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w channels"]:
        middle = self.channels // 2
        x = ConvNorm(middle, activation=nn.relu6, dtype=self.dtype, name="reduce")(x)
        x = ConvNorm(None, 3, 2, activation=nn.relu6, dtype=self.dtype, name="filter")(
            x
        )
        return ConvNorm(
            self.channels, activation=nn.relu6, dtype=self.dtype, name="expand"
        )(x)


class Head(nn.Module):
    """Depthwise 3x3, norm, relu6, then a 1x1 convolution to `outputs` an anchor.

    Attributes:
        anchors: anchors at each pixel.
        outputs: numbers for each anchor.
        bias: the last layer's initial bias.
        dtype: of the computation; the output is float32.
    """

    anchors: int
    outputs: int
    bias: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N A outputs"]:
        x = ConvNorm(None, 3, activation=nn.relu6, dtype=self.dtype, name="filter")(x)
        x = Pointwise(
            self.anchors * self.outputs,
            kernel_init=nn.initializers.normal(0.01),
            bias_init=nn.initializers.constant(self.bias),
            dtype=self.dtype,
            name="predict",
        )(x)
        return x.reshape(x.shape[0], -1, self.outputs).astype(jnp.float32)


class SSDLite(nn.Module):
    """MobileNetV3-Large, extra blocks, and a class and a box head on every map.

    Attributes:
        num_classes: logits an anchor.
        anchors: anchors at each pixel, for each stride.
        strides: which maps to predict from, of `STRIDES`, increasing; blocks beyond
            the largest are not built.
        width: multiplier of every channel count but the heads' outputs.
        reduced_tail: halve the backbone's last stage, as without pre-training.
        residual_scale: initial scale of the last norm of a residual branch.
        dtype: of the computation; parameters and predictions are float32.
    """

    num_classes: int
    anchors: tuple[int, ...]
    strides: tuple[int, ...] = STRIDES[2:]
    width: float = 1.0
    reduced_tail: bool = True
    residual_scale: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "N H W 3"]) -> Predictions:
        backbone_strides = tuple(s for s in self.strides if s < BACKBONE_STRIDE)
        *maps, x = MobileNetV3Features(
            self.width,
            self.reduced_tail,
            self.residual_scale,
            self.dtype,
            name="backbone",
        )(images, (*backbone_strides, BACKBONE_STRIDE))
        if BACKBONE_STRIDE in self.strides:
            maps.append(x)
        stride = BACKBONE_STRIDE
        for index, channels in enumerate(EXTRA_CHANNELS):
            stride *= 2
            if stride > self.strides[-1]:
                break
            scaled = round_channels(channels * self.width, divisor=16)
            x = ExtraBlock(scaled, self.dtype, name=f"extra{index}")(x)
            if stride in self.strides:
                maps.append(x)

        # Rare positives: at first every class of every anchor has probability 0.01,
        # or the background's loss would drown the rest (Lin et al., "Focal Loss for
        # Dense Object Detection", 2017, section 4.1).
        bias = -math.log((1 - _PRIOR) / _PRIOR)
        logits, offsets = [], []
        for s, anchors, features in zip(self.strides, self.anchors, maps, strict=True):
            logits.append(
                Head(anchors, self.num_classes, bias, self.dtype, name=f"class{s}")(
                    features
                )
            )
            offsets.append(Head(anchors, 4, dtype=self.dtype, name=f"box{s}")(features))
        return Predictions(jnp.concatenate(logits, 1), jnp.concatenate(offsets, 1))
