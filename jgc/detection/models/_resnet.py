"""ResNet features: basic or bottleneck blocks in four stages.

He et al., "Deep Residual Learning" (2016), in torchvision's variant (a bottleneck's
stride on its 3x3 filter, the same parameters), with group or frozen instead of batch
normalisation so that one image's output never depends on another's.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgc.detection.models._layers import ConvNorm, round_channels

DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
"""Blocks in each stage, by depth; from 50 on they are bottlenecks."""

_BASE = 64
_EXPANSION = 4
_LEAST_BOTTLENECK_DEPTH = 50


class ResidualBlock(nn.Module):
    """Two 3x3 filters, or 1x1, 3x3, 1x1; their input, projected if need be, is added.

    Attributes:
        channels: of the 3x3 filters.
        bottleneck: between 1x1 convolutions, the last to four times `channels`.
        stride: of one 3x3 filter and of the projection.
        residual_scale: initial scale of the last group norm.
        norm: "group" or "frozen".
        dtype: of the computation; parameters are float32.
    """

    channels: int
    bottleneck: bool
    stride: int = 1
    residual_scale: float = 1.0
    norm: str = "group"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w D"]:
        layer = functools.partial(
            ConvNorm, activation=nn.relu, norm=self.norm, dtype=self.dtype
        )
        last = functools.partial(
            layer,
            activation=None,
            scale_init=nn.initializers.constant(self.residual_scale),
        )
        if self.bottleneck:
            outputs = _EXPANSION * self.channels
            y = layer(self.channels, name="reduce")(x)
            y = layer(self.channels, 3, self.stride, name="filter")(y)
            y = last(outputs, name="expand")(y)
        else:
            outputs = self.channels
            y = layer(outputs, 3, self.stride, name="first")(x)
            y = last(outputs, 3, name="second")(y)
        if x.shape != y.shape:
            project = layer(outputs, 1, self.stride, activation=None, name="project")
            x = project(x)
        return nn.relu(x + y)


class ResNetFeatures(nn.Module):
    """The last map of each stage asked for, by stride: 4, 8, 16 or 32.

    Attributes:
        depth: one of `DEPTHS`.
        width: multiplier of every channel count.
        residual_scale: initial scale of the last norm of a residual branch: below 1
            the untrained network is closer to its skips, hence smoother.
        norm: "group" or "frozen".
        dtype: of the computation; parameters are float32.
    """

    depth: int = 50
    width: float = 1.0
    residual_scale: float = 1.0
    norm: str = "group"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "N H W 3"], strides: Sequence[int] = (32,)
    ) -> list[Float[Array, "N h w C"]]:
        x = ConvNorm(
            round_channels(_BASE * self.width),
            7,
            2,
            activation=nn.relu,
            norm=self.norm,
            dtype=self.dtype,
            name="stem",
        )(images.astype(self.dtype))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        maps = {}
        for stage, blocks in enumerate(DEPTHS[self.depth]):
            for index in range(blocks):
                x = ResidualBlock(
                    round_channels(_BASE * 2**stage * self.width),
                    self.depth >= _LEAST_BOTTLENECK_DEPTH,
                    2 if stage > 0 and index == 0 else 1,
                    self.residual_scale,
                    self.norm,
                    self.dtype,
                    name=f"stage{stage}block{index}",
                )(x)
            maps[4 * 2**stage] = x
        return [maps[s] for s in strides]
