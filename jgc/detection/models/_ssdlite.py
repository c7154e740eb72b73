"""SSDLite on MobileNetV3-Large: features at several strides, a light head on each.

Sandler et al., "MobileNetV2" (2018), section 6.2; Howard et al., "Searching for
MobileNetV3" (2019), section 6.3; extra layers and initial values as in torchvision's
`ssdlite320_mobilenet_v3_large`, whose parameter count this network has when it is
given the same outputs.
"""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgc.detection._types import Predictions
from jgc.detection.models._layers import (
    PRIOR,
    ConvNorm,
    Pointwise,
    prior_bias,
    round_channels,
)
from jgc.detection.models._mobilenetv3 import MobileNetV3Features

BACKBONE_STRIDE = 32
EXTRA_CHANNELS = (512, 256, 256, 128)
STRIDES = (4, 8, 16, 32, 64, 128, 256, 512)


class ExtraBlock(nn.Module):
    """Halve the resolution beyond the backbone's: 1x1, 3x3 in depth, 1x1."""

    channels: int
    norm: str = "group"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w channels"]:
        layer = functools.partial(
            ConvNorm, activation=nn.relu6, norm=self.norm, dtype=self.dtype
        )
        x = layer(self.channels // 2, name="reduce")(x)
        x = layer(None, 3, 2, name="filter")(x)
        return layer(self.channels, name="expand")(x)


class Head(nn.Module):
    """Depthwise 3x3, norm, relu6, then a 1x1 convolution to `outputs` an anchor.

    Attributes:
        anchors: anchors at each pixel.
        outputs: numbers for each anchor.
        bias: the last layer's initial bias.
        norm: "group" or "frozen".
        dtype: of the computation; the output is float32.
    """

    anchors: int
    outputs: int
    bias: float = 0.0
    norm: str = "group"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N A outputs"]:
        x = ConvNorm(
            None,
            3,
            activation=nn.relu6,
            norm=self.norm,
            dtype=self.dtype,
            name="filter",
        )(x)
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
        outputs: logits an anchor.
        anchors: anchors at each pixel, for each stride.
        strides: which maps to predict from, of `STRIDES`, increasing; blocks beyond
            the largest are not built.
        width: multiplier of every channel count but the heads' outputs.
        reduced_tail: halve the backbone's last stage, as without pre-training.
        residual_scale: initial scale of the last norm of a residual branch.
        norm: "group" or "frozen".
        prior: the probability that a sigmoid of any logit has at first; None: the
            logits start around 0, as suits a softmax.
        dtype: of the computation; parameters and predictions are float32.
    """

    outputs: int
    anchors: tuple[int, ...]
    strides: tuple[int, ...] = STRIDES[2:]
    width: float = 1.0
    reduced_tail: bool = True
    residual_scale: float = 1.0
    norm: str = "group"
    prior: float | None = PRIOR
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "N H W 3"]) -> Predictions:
        backbone_strides = tuple(s for s in self.strides if s < BACKBONE_STRIDE)
        *maps, x = MobileNetV3Features(
            self.width,
            self.reduced_tail,
            self.residual_scale,
            self.norm,
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
            x = ExtraBlock(scaled, self.norm, self.dtype, name=f"extra{index}")(x)
            if stride in self.strides:
                maps.append(x)

        head = functools.partial(Head, norm=self.norm, dtype=self.dtype)
        bias = prior_bias(self.prior)
        logits, offsets = [], []
        for s, anchors, features in zip(self.strides, self.anchors, maps, strict=True):
            classes = head(anchors, self.outputs, bias, name=f"class{s}")
            logits.append(classes(features))
            offsets.append(head(anchors, 4, name=f"box{s}")(features))
        return Predictions(jnp.concatenate(logits, 1), jnp.concatenate(offsets, 1))
