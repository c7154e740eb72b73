"""A detector as pure functions of its parameters: initialise, loss, detect."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from jgc.detection._anchors import AnchorGrid
from jgc.detection._boxes import VARIANCES, encode
from jgc.detection._checks import check
from jgc.detection._losses import ClassLoss, FocalLoss, Losses, box_loss
from jgc.detection._matching import Matches, Matching
from jgc.detection._nms import Selection, select_detections
from jgc.detection._types import Detections, Examples, Predictions

Params = dict[str, Any]
"""A nested dict of float32 arrays, as flax makes them."""


@dataclass(frozen=True, kw_only=True)
class Detector:
    """An anchor-based detector: a network and how to teach and read it.

    Hashable, so it may be closed over or be a static argument of `jax.jit`. Every
    method is a pure function, works under jit, grad and vmap, and treats each image
    by itself: a batch's losses and detections are those of its images.

    An image's loss is divided by a number of its own: by default its anchors that
    learn an object, or 1 where there is none, as in torchvision's RetinaNet. The
    usual divisor, the number of such anchors in the batch, would make an image's loss
    depend on the others, and a coded sum of partitions' gradients would not be the
    batch's. Give the mean of `positives` over the training images as `divisor`, and
    the mean loss over them is exactly the batch's form with all of them in one batch:
    Σ ℓ_i / Σ n_i = mean(ℓ_i / n̄), the same function, so the same minimiser. The
    image's own divisor weighs images equally instead of objects; the minimisers agree
    where one set of parameters is best for every image.

    Attributes:
        network: maps float images (N, H, W, 3) to `Predictions` in the order of
            `anchors.boxes()`; nothing in it mixes images.
        anchors: the boxes that predictions are relative to.
        num_classes: C; labels are 0 to C − 1.
        image_shape: H and W, in pixels.
        mean: subtracted from each channel of an image in [0, 1].
        std: divides the result.
        variances: scale of the boxes' offsets: of centres, and of log sizes.
        matching: which anchor learns which object.
        classes: the class loss, and what the logits mean.
        beta: where smooth L1 turns from square to linear, ≥ 0, in offset units.
        box_weight: of the box loss beside the class loss, ≥ 0.
        divisor: of each image's losses, > 0; None: the number of its anchors that
            learn an object, at least 1.
        selection: which outputs become detections, unless `detect` is told otherwise.

    Raises:
        ValueError: a field is out of its range.
    """

    network: nn.Module
    anchors: AnchorGrid
    num_classes: int
    image_shape: tuple[int, int]
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    variances: tuple[float, float] = VARIANCES
    matching: Matching = field(default_factory=Matching)
    classes: ClassLoss = field(default_factory=FocalLoss)
    beta: float = 1.0
    box_weight: float = 1.0
    divisor: float | None = None
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        check("num_classes", self.num_classes, self.num_classes >= 1, "at least 1")
        check(
            "variances", self.variances, min(self.variances) > 0, "two numbers above 0"
        )
        check("beta", self.beta, self.beta >= 0, "at least 0")
        check("box_weight", self.box_weight, self.box_weight >= 0, "at least 0")
        check(
            "divisor",
            self.divisor,
            self.divisor is None or self.divisor > 0,
            "above 0, or None for each image's own",
        )

    @cached_property
    def anchor_boxes(self) -> Float[np.ndarray, "A 4"]:
        """All anchors as (ymin, xmin, ymax, xmax), in the order of predictions."""
        return self.anchors.boxes()

    def init(self, key: PRNGKeyArray) -> Params:
        """Fresh float32 parameters: a nested dict of arrays."""
        return self.network.init(key, jnp.zeros((1, *self.image_shape, 3)))["params"]

    def predict(
        self,
        params: Params,
        images: UInt8[Array, "N H W 3"],
        *,
        constants: Params | None = None,
    ) -> Predictions:
        """The network's outputs for images of pixels 0 to 255.

        Args:
            params: as from `init`.
            images: of the detector's `image_shape`.
            constants: of a network with frozen norms, from pretrained weights; None:
                those norms do nothing.

        Raises:
            ValueError: `images` has another shape or type.
        """
        self._check_images(images)
        if images.dtype != jnp.uint8:
            raise ValueError(f"images has dtype {images.dtype}; give uint8, 0 to 255")
        scaled = images.astype(jnp.float32) / 255
        scaled = (scaled - jnp.asarray(self.mean)) / jnp.asarray(self.std)
        return self.predict_scaled(params, scaled, constants=constants)

    def predict_scaled(
        self,
        params: Params,
        images: Float[Array, "N H W 3"],
        *,
        constants: Params | None = None,
    ) -> Predictions:
        """As `predict`, for float images that are normalised already.

        Raises:
            ValueError: `images` has another shape.
        """
        self._check_images(images)
        variables = {"params": params}
        if constants is not None:
            variables["constants"] = constants
        return cast(Predictions, self.network.apply(variables, images))

    def losses(
        self,
        params: Params,
        examples: Examples,
        *,
        constants: Params | None = None,
    ) -> Losses:
        """Class and box loss of each image, shape (N,) each."""
        predictions = self.predict(params, examples.image, constants=constants)
        return self.losses_of(predictions, examples)

    def losses_of(
        self,
        predictions: Predictions,
        examples: Examples,
        *,
        matches: Matches | None = None,
    ) -> Losses:
        """The losses of given outputs.

        Args:
            predictions: of N images.
            examples: their objects; the images are not used.
            matches: what the anchors learn; None: as `match` gives it.
        """
        matches = self.match(examples) if matches is None else matches
        anchors = jnp.asarray(self.anchor_boxes)

        def one(
            logits: Array, offsets: Array, boxes: Array, labels: Array, matches: Matches
        ) -> Losses:
            count = jnp.maximum(matches.positive.sum(), 1)
            divisor = count if self.divisor is None else self.divisor
            targets = encode(boxes[matches.object], anchors, variances=self.variances)
            box = box_loss(offsets, targets, matches, beta=self.beta)
            classification = self.classes(logits, matches, labels)
            return Losses(classification / divisor, self.box_weight * box / divisor)

        return jax.vmap(one)(*predictions, examples.boxes, examples.labels, matches)

    def loss(
        self,
        params: Params,
        examples: Examples,
        *,
        constants: Params | None = None,
    ) -> Float[Array, " N"]:
        """Class plus box loss of each image."""
        losses = self.losses(params, examples, constants=constants)
        return losses.classification + losses.box

    def match(self, examples: Examples) -> Matches:
        """What each of A anchors of each image is taught, shape (N, A) each."""
        anchors = jnp.asarray(self.anchor_boxes)
        return jax.vmap(self.matching, in_axes=(None, 0, 0, 0))(
            anchors, examples.boxes, examples.valid, examples.crowd
        )

    def positives(self, examples: Examples) -> Int[Array, " N"]:
        """How many anchors of each image learn an object; for `divisor`."""
        return self.match(examples).positive.sum(axis=1)

    def detect(
        self,
        params: Params,
        images: UInt8[Array, "N H W 3"],
        *,
        constants: Params | None = None,
        **selection: Any,
    ) -> Detections:
        """What the network sees, best first.

        Args:
            params: as from `init`.
            images: pixels, 0 to 255.
            constants: see `predict`.
            **selection: fields of `Selection` to replace those of the detector's.

        Raises:
            ValueError: an option is out of its range.
        """
        dataclasses.replace(self.selection, **selection)  # checked before any work
        predictions = self.predict(params, images, constants=constants)
        return self.detections_of(predictions, **selection)

    def detections_of(
        self,
        predictions: Predictions,
        *,
        extent: Float[Array, "N 2"] | None = None,
        **selection: Any,
    ) -> Detections:
        """The detections of given outputs.

        Args:
            predictions: of N images.
            extent: the height and width that each image takes of what the network
                saw, in (0, 1], the rest being padding; boxes are relative to the image.
            **selection: fields of `Selection` to replace those of the detector's.

        Raises:
            ValueError: an option is out of its range.
        """
        chosen = dataclasses.replace(self.selection, **selection)
        anchors = jnp.asarray(self.anchor_boxes)
        if extent is None:
            extent = jnp.ones((len(predictions.logits), 2))

        def one(logits: Array, offsets: Array, extent: Array) -> Detections:
            return select_detections(
                logits,
                offsets,
                anchors,
                selection=chosen,
                classes=self.classes,
                variances=self.variances,
                levels=self.anchors.per_level,
                extent=extent,
            )

        return jax.vmap(one)(*predictions, extent)

    def _check_images(self, images: Array) -> None:
        expected = (*self.image_shape, 3)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"images has shape {images.shape}; this detector takes "
                f"(N, {', '.join(map(str, expected))})"
            )


def count_parameters(params: Params) -> int:
    """How many numbers a parameter tree holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
