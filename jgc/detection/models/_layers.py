"""Layers whose output for one image never depends on another. Maps are NHWC.

Group normalisation gives what flax's does, in a third of the time on a CPU: it
reduces over pixels first and over a group's channels last.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jgc.detection.models._convolutions import depthwise_conv, pointwise

Activation = Callable[[Array], Array]

PRIOR = 0.01
"""What a sigmoid of any untrained class logit gives."""


def prior_bias(prior: float | None) -> float:
    """The bias with which a sigmoid gives `prior`; 0 for None.

    Positives are rare: with a probability of 1/2 everywhere the background's loss
    would drown the rest at first (Lin et al., "Focal Loss for Dense Object
    Detection", 2017, section 4.1).
    """
    return 0.0 if prior is None else -math.log((1 - prior) / prior)


def map_sizes(
    image_shape: tuple[int, int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Height and width of the map at each stride: every halving rounds up."""
    height, width = image_shape
    return tuple((-(-height // stride), -(-width // stride)) for stride in strides)


def round_channels(channels: float, *, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, never below 90 % of it.

    MobileNet's rule for scaled widths (Sandler et al., 2018), at least `divisor`.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def num_groups(channels: int, *, group_size: int = 16, max_groups: int = 32) -> int:
    """The most groups that divide `channels`, of `group_size` channels or more.

    Small groups erase how strong a channel is; one group ties all of them. The limit
    of 32 groups is that of Wu and He, "Group Normalization" (2018); `group_size` is
    what keeps narrow layers, and maps of one pixel, well conditioned.
    """
    most = max(1, min(max_groups, channels // group_size))
    return next(g for g in range(most, 0, -1) if channels % g == 0)


def group_norm(
    x: Float[Array, "N H W C"],
    scale: Float[Array, " C"],
    bias: Float[Array, " C"],
    *,
    groups: int,
    epsilon: float,
) -> Float[Array, "N H W C"]:
    """Normalise each group of channels of each image, then scale and shift.

    Statistics are float32 whatever x's dtype.
    """
    wide = x.astype(jnp.float32)
    # Pixels first, with channels innermost as they lie in memory, then the groups of
    # what little is left: two passes over x in all, both vectorised.
    mean = _group_mean(wide.mean((1, 2)), groups)
    square = _group_mean(jnp.square(wide).mean((1, 2)), groups)
    variance = jnp.maximum(square - jnp.square(mean), 0.0)
    gain = lax.rsqrt(variance + epsilon) * scale
    shift = bias - mean * gain
    return (wide * gain[:, None, None] + shift[:, None, None]).astype(x.dtype)


def _group_mean(x: Float[Array, "N C"], groups: int) -> Float[Array, "N C"]:
    """Each channel's mean over its group."""
    batch, channels = x.shape
    means = x.reshape(batch, groups, channels // groups).mean(-1)
    return jnp.repeat(means, channels // groups, axis=-1)


class GroupNorm(nn.Module):
    """Group normalisation with a scale and a bias per channel.

    Attributes:
        epsilon: added to the variance.
        scale_init: the scale's initialiser; zeros silence a residual branch.
    """

    epsilon: float = 1e-3
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W C"]:
        channels = x.shape[-1]
        scale = self.param("scale", self.scale_init, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        return group_norm(
            x, scale, bias, groups=num_groups(channels), epsilon=self.epsilon
        )


class FrozenNorm(nn.Module):
    """Scale and shift each channel by constants: batch normalisation at inference.

    With a batch normalisation's scale γ, bias β, mean μ, variance σ² and ε the
    constants are gain = γ/√(σ² + ε) and shift = β − μ·gain. They are not parameters:
    no optimizer sees them, and one image's output never depends on another's. They lie
    in the collection "constants"; without it, this is the identity.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W C"]:
        if not self.is_initializing() and not self.has_variable("constants", "gain"):
            return x
        shape = (x.shape[-1],)
        gain = self.variable("constants", "gain", jnp.ones, shape).value
        shift = self.variable("constants", "shift", jnp.zeros, shape).value
        return (x.astype(jnp.float32) * gain + shift).astype(x.dtype)


NORMS = ("group", "frozen")
"""Normalisations that treat each image by itself."""


def normalisation(
    kind: str,
    *,
    scale_init: nn.initializers.Initializer = nn.initializers.ones,
    name: str = "norm",
) -> nn.Module:
    """`GroupNorm` or, for pretrained weights, `FrozenNorm`, by name."""
    if kind == "frozen":
        return FrozenNorm(name=name)
    return GroupNorm(scale_init=scale_init, name=name)


class DepthwiseConv(nn.Module):
    """`depthwise_conv` with a kernel of its own and no bias."""

    size: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
        # One input channel feeds each output: He's fan is the filter's area.
        init = nn.initializers.variance_scaling(
            2.0, "fan_in", "normal", in_axis=(0, 1), out_axis=2
        )
        kernel = self.param("kernel", init, (self.size, self.size, x.shape[-1]))
        return depthwise_conv(
            x.astype(self.dtype), kernel.astype(self.dtype), self.stride
        )


class Pointwise(nn.Module):
    """`pointwise` with a kernel and, if asked, a bias of its own."""

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W features"]:
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        y = pointwise(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,))
            y += bias.astype(self.dtype)
        return y


class ConvNorm(nn.Module):
    """A convolution without bias, a normalisation, then an activation.

    Attributes:
        features: output channels; None for a depthwise convolution.
        size: filter height and width, odd; 1 is a matrix product.
        stride: pixels from one output to the next.
        activation: applied last; None for a linear output.
        scale_init: the group norm's scale.
        norm: one of `NORMS`.
        dtype: of the computation; parameters are float32.
    """

    features: int | None
    size: int = 1
    stride: int = 1
    activation: Activation | None = nn.hard_swish
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    norm: str = "group"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w features"]:
        if self.features is None:
            x = DepthwiseConv(self.size, self.stride, self.dtype, name="conv")(x)
        elif self.size == 1:
            if self.stride > 1:
                # The barrier keeps a product and its strided operand apart, which XLA
                # up to JAX 0.11 aborts on where it makes one GPU kernel of the two.
                x = lax.optimization_barrier(x[:, :: self.stride, :: self.stride])
            x = Pointwise(self.features, use_bias=False, dtype=self.dtype, name="conv")(
                x
            )
        else:
            x = nn.Conv(
                self.features,
                (self.size, self.size),
                self.stride,
                padding=self.size // 2,
                use_bias=False,
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                name="conv",
            )(x)
        x = normalisation(self.norm, scale_init=self.scale_init)(x)
        return x if self.activation is None else self.activation(x)
