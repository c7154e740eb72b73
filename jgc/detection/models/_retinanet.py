"""RetinaNet: a ResNet, a feature pyramid, and one head shared by all its maps.

Lin et al., "Focal Loss for Dense Object Detection" (2017) and "Feature Pyramid
Networks" (2017), layers and initial values as in torchvision's
`retinanet_resnet50_fpn`, whose trained parameters this network has with frozen norms.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgc.detection._types import Predictions
from jgc.detection.models._layers import (
    PRIOR,
    GroupNorm,
    Pointwise,
    prior_bias,
    round_channels,
)
from jgc.detection.models._resnet import ResNetFeatures

STRIDES = (4, 8, 16, 32, 64, 128)
_BACKBONE_STRIDE = 32
_CHANNELS = 256
_HEAD_DEPTH = 4


class FeaturePyramid(nn.Module):
    """Maps of equally many channels: the coarse ones' meaning at fine resolution.

    Each of the backbone's maps is projected, the next coarser one's sum is doubled in
    size and added, and a 3x3 filter smooths the result; 3x3 filters of stride 2
    continue from the coarsest.

    Attributes:
        channels: of every map.
        extra: maps beyond the backbone's.
        dtype: of the computation; parameters are float32.
    """

    channels: int
    extra: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, maps: list[Float[Array, "N H W C"]]
    ) -> list[Float[Array, "N h w channels"]]:
        pyramid: list[Array] = []
        total: Array | None = None
        for index in reversed(range(len(maps))):
            side = Pointwise(
                self.channels,
                kernel_init=nn.initializers.lecun_normal(),
                dtype=self.dtype,
                name=f"lateral{index}",
            )(maps[index])
            total = side if total is None else side + _doubled(total, like=side)
            pyramid.insert(0, self._filter(f"smooth{index}", 1)(total))
        x = pyramid[-1]
        for index in range(self.extra):
            x = nn.relu(x) if index else x
            x = self._filter(f"extra{index}", 2)(x)
            pyramid.append(x)
        return pyramid

    def _filter(self, name: str, stride: int) -> nn.Conv:
        return nn.Conv(
            self.channels,
            (3, 3),
            stride,
            padding=1,
            kernel_init=nn.initializers.lecun_normal(),
            dtype=self.dtype,
            name=name,
        )


def _doubled(
    x: Float[Array, "N h w C"], *, like: Float[Array, "N H W C"]
) -> Float[Array, "N H W C"]:
    """Each pixel four times, without the last row or column where H or W is odd."""
    height, width = like.shape[1:3]
    return jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)[:, :height, :width]


class PyramidHead(nn.Module):
    """Four 3x3 filters and a fifth to `outputs` an anchor, the same for every map.

    Attributes:
        channels: of the four filters.
        anchors: anchors at each pixel.
        outputs: numbers for each anchor.
        bias: the last layer's initial bias.
        normalised: group norm after each filter, as torchvision's second version has.
        dtype: of the computation; the output is float32.
    """

    channels: int
    anchors: int
    outputs: int
    bias: float = 0.0
    normalised: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        # Without norms, torchvision's small weights would die in narrow layers.
        hidden = nn.initializers.normal(0.01)
        if self.normalised or self.channels < _CHANNELS:
            hidden = nn.initializers.he_normal()
        self.filters = [
            nn.Conv(
                self.channels,
                (3, 3),
                padding=1,
                use_bias=not self.normalised,
                kernel_init=hidden,
                dtype=self.dtype,
            )
            for _ in range(_HEAD_DEPTH)
        ]
        if self.normalised:
            self.norms = [GroupNorm() for _ in range(_HEAD_DEPTH)]
        self.predict = nn.Conv(
            self.anchors * self.outputs,
            (3, 3),
            padding=1,
            kernel_init=nn.initializers.normal(0.01),
            bias_init=nn.initializers.constant(self.bias),
            dtype=self.dtype,
        )

    def __call__(
        self, maps: list[Float[Array, "N H W C"]]
    ) -> Float[Array, "N A outputs"]:
        return jnp.concatenate([self._one(x) for x in maps], axis=1)

    def _one(self, x: Float[Array, "N H W C"]) -> Float[Array, "N a outputs"]:
        for index, layer in enumerate(self.filters):
            x = layer(x)
            x = self.norms[index](x) if self.normalised else x
            x = nn.relu(x)
        x = self.predict(x)
        return x.reshape(x.shape[0], -1, self.outputs).astype(jnp.float32)


class RetinaNet(nn.Module):
    """ResNet, feature pyramid, and a class and a box head over all maps.

    Attributes:
        outputs: logits an anchor.
        anchors: anchors at each pixel, the same on every map.
        strides: which maps to predict from, of `STRIDES`, consecutive.
        depth: of the ResNet.
        width: multiplier of every channel count but the heads' outputs.
        residual_scale: initial scale of the last norm of a residual branch.
        norm: of the ResNet, "group" or "frozen".
        head_norm: group norm in the heads.
        prior: the probability that a sigmoid of any logit has at first; None: the
            logits start around 0, as suits a softmax.
        dtype: of the computation; parameters and predictions are float32.
    """

    outputs: int
    anchors: int
    strides: tuple[int, ...] = STRIDES[1:]
    depth: int = 50
    width: float = 1.0
    residual_scale: float = 1.0
    norm: str = "group"
    head_norm: bool = False
    prior: float | None = PRIOR
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "N H W 3"]) -> Predictions:
        inner = tuple(s for s in self.strides if s <= _BACKBONE_STRIDE)
        maps = ResNetFeatures(
            self.depth,
            self.width,
            self.residual_scale,
            self.norm,
            self.dtype,
            name="backbone",
        )(images, inner)
        channels = round_channels(_CHANNELS * self.width)
        pyramid = FeaturePyramid(
            channels, len(self.strides) - len(inner), self.dtype, name="pyramid"
        )(maps)
        classes = PyramidHead(
            channels,
            self.anchors,
            self.outputs,
            prior_bias(self.prior),
            self.head_norm,
            self.dtype,
            name="class",
        )(pyramid)
        boxes = PyramidHead(
            channels,
            self.anchors,
            4,
            normalised=self.head_norm,
            dtype=self.dtype,
            name="box",
        )(pyramid)
        return Predictions(classes, boxes)
