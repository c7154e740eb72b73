"""MobileNetV3-Large: a classifier, and the features that a detector takes from it.

Howard et al., "Searching for MobileNetV3" (2019), in torchvision's variant (the same
parameter count), with group or frozen instead of batch normalisation so that one
image's output never depends on another's.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgc.detection.models._layers import Activation, ConvNorm, round_channels


class Block(NamedTuple):
    """One inverted residual block, in channels at width 1."""

    size: int
    expanded: int
    output: int
    squeeze: bool
    activation: Activation
    stride: int


_STEM = 16
_BLOCKS = (
    Block(3, 16, 16, False, nn.relu, 1),
    Block(3, 64, 24, False, nn.relu, 2),
    Block(3, 72, 24, False, nn.relu, 1),
    Block(5, 72, 40, True, nn.relu, 2),
    Block(5, 120, 40, True, nn.relu, 1),
    Block(5, 120, 40, True, nn.relu, 1),
    Block(3, 240, 80, False, nn.hard_swish, 2),
    Block(3, 200, 80, False, nn.hard_swish, 1),
    Block(3, 184, 80, False, nn.hard_swish, 1),
    Block(3, 184, 80, False, nn.hard_swish, 1),
    Block(3, 480, 112, True, nn.hard_swish, 1),
    Block(3, 672, 112, True, nn.hard_swish, 1),
    Block(5, 672, 160, True, nn.hard_swish, 2),
    Block(5, 960, 160, True, nn.hard_swish, 1),
    Block(5, 960, 160, True, nn.hard_swish, 1),
)
_TAIL = 12  # the first block of the last stage, which "reduced" halves
_FINAL_EXPANSION = 6
_CLASSIFIER = 1280


def blocks(*, width: float, reduced_tail: bool) -> tuple[Block, ...]:
    """The 15 blocks at a width multiplier; `reduced_tail` halves the last stage."""
    scaled = []
    for index, block in enumerate(_BLOCKS):
        halve = 2 if reduced_tail and index >= _TAIL else 1
        # The tail's first expansion belongs to the stage before it.
        halve_expanded = halve if index > _TAIL else 1
        scaled.append(
            block._replace(
                expanded=round_channels(block.expanded // halve_expanded * width),
                output=round_channels(block.output // halve * width),
            )
        )
    return tuple(scaled)


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the whole map (Hu et al., 2018)."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W C"]:
        channels = x.shape[-1]
        gate = x.mean((1, 2), dtype=jnp.float32)
        gate = nn.Dense(round_channels(channels // 4), dtype=self.dtype)(gate)
        gate = nn.Dense(channels, dtype=self.dtype)(nn.relu(gate))
        return x * nn.hard_sigmoid(gate)[:, None, None]


class InvertedResidual(nn.Module):
    """Expand, filter in depth, gate, project; add the input where shapes agree.

    Returns the output and the expansion: what a detector reads at the resolution
    before the block's stride.
    """

    block: Block
    residual_scale: float
    norm: str = "group"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "N H W C"]
    ) -> tuple[Float[Array, "N h w output"], Float[Array, "N H W expanded"]]:
        block, norm, dtype = self.block, self.norm, self.dtype
        skip = block.stride == 1 and x.shape[-1] == block.output
        expanded = x
        if block.expanded != x.shape[-1]:
            expanded = ConvNorm(
                block.expanded,
                activation=block.activation,
                norm=norm,
                dtype=dtype,
                name="expand",
            )(x)
        y = ConvNorm(
            None,
            block.size,
            block.stride,
            activation=block.activation,
            norm=norm,
            dtype=dtype,
            name="filter",
        )(expanded)
        if block.squeeze:
            y = SqueezeExcite(dtype, name="squeeze")(y)
        scale = self.residual_scale if skip else 1.0
        y = ConvNorm(
            block.output,
            activation=None,
            scale_init=nn.initializers.constant(scale),
            norm=norm,
            dtype=dtype,
            name="project",
        )(y)
        return (x + y if skip else y), expanded


class MobileNetV3Features(nn.Module):
    """The convolutional part: one map for every stride asked for.

    The map at stride 4, 8 or 16 is the expansion in the block that steps on to the
    next stride (SSDLite's choice, section 6.3 of the paper); at stride 32 it is the
    last layer.

    Attributes:
        width: multiplier of every channel count.
        reduced_tail: halve the last stage (Table 6 of the paper).
        residual_scale: initial scale of the last norm of a residual branch: below 1
            the untrained network is closer to its skips, hence smoother.
        norm: "group" or "frozen".
        dtype: of the computation; parameters are float32.
    """

    width: float = 1.0
    reduced_tail: bool = False
    residual_scale: float = 1.0
    norm: str = "group"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "N H W 3"], strides: Sequence[int] = (32,)
    ) -> list[Float[Array, "N h w C"]]:
        x = ConvNorm(
            round_channels(_STEM * self.width),
            3,
            2,
            norm=self.norm,
            dtype=self.dtype,
            name="stem",
        )(images.astype(self.dtype))
        maps, stride = {}, 2
        for index, block in enumerate(
            blocks(width=self.width, reduced_tail=self.reduced_tail)
        ):
            x, expanded = InvertedResidual(
                block, self.residual_scale, self.norm, self.dtype, name=f"block{index}"
            )(x)
            if block.stride == 2:
                maps[stride] = expanded
                stride *= 2
        maps[stride] = ConvNorm(
            _FINAL_EXPANSION * x.shape[-1],
            norm=self.norm,
            dtype=self.dtype,
            name="final",
        )(x)
        return [maps[s] for s in strides]


class MobileNetV3Large(nn.Module):
    """The classifier: features, their mean over the map, two dense layers.

    torchvision's has 5,483,032 parameters, and so has this one at its defaults. The
    dropout between the dense layers is left out: a loss is a function of parameters
    and examples alone.

    Attributes:
        num_classes: number of logits.
        width: multiplier of every channel count.
        reduced_tail: halve the last stage (Table 6 of the paper).
        dtype: of the computation; parameters and logits are float32.
    """

    num_classes: int = 1000
    width: float = 1.0
    reduced_tail: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "N H W 3"]
    ) -> Float[Array, "N num_classes"]:
        (x,) = MobileNetV3Features(
            self.width, self.reduced_tail, dtype=self.dtype, name="features"
        )(images)
        hidden = round_channels(_CLASSIFIER // (1 + self.reduced_tail) * self.width)
        x = nn.Dense(hidden, dtype=self.dtype)(x.mean((1, 2)))
        logits = nn.Dense(self.num_classes, dtype=self.dtype)(nn.hard_swish(x))
        return logits.astype(jnp.float32)
