"""What a detector learns from: a class and a box loss for every image by itself."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jgc.detection._checks import check
from jgc.detection._elementwise import sigmoid_focal_loss, smooth_l1
from jgc.detection._matching import Matches


class Losses(NamedTuple):
    """One number an image of each kind; `sum(losses)` is what training minimises."""

    classification: Float[Array, "*batch"]
    box: Float[Array, "*batch"]


@runtime_checkable
class ClassLoss(Protocol):
    """How logits become scores, and what a wrong one costs; hashable.

    A detector asks for `outputs(C)` logits an anchor. `rank` orders (anchor, class)
    pairs, and `score` turns ranks into probabilities: only those of the few best are
    computed. `__call__` is the sum over one image's anchors.
    """

    def outputs(self, num_classes: int) -> int: ...

    def rank(self, logits: Float[Array, "*shape L"]) -> Float[Array, "*shape C"]: ...

    def score(self, rank: Float[Array, "*shape"]) -> Float[Array, "*shape"]: ...

    def __call__(
        self,
        logits: Float[Array, "A L"],
        matches: Matches,
        labels: Int[Array, " M"],
    ) -> Float[Array, ""]: ...


@dataclass(frozen=True, kw_only=True)
class FocalLoss:
    """A sigmoid a class, every anchor that is not ignored counts (Lin et al., 2017).

    The easy background among them is discounted, not sampled.

    Attributes:
        alpha: weight of true classes, in [0, 1]; the others have 1 − alpha.
        gamma: how much what is already right is discounted, ≥ 0.

    Raises:
        ValueError: a number is out of range.
    """

    alpha: float = 0.25
    gamma: float = 2.0

    def __post_init__(self) -> None:
        check("alpha", self.alpha, 0 <= self.alpha <= 1, "in [0, 1]")
        check("gamma", self.gamma, self.gamma >= 0, "at least 0")

    def outputs(self, num_classes: int) -> int:
        """One logit a class."""
        return num_classes

    def rank(self, logits: Float[Array, "*shape C"]) -> Float[Array, "*shape C"]:
        """The logits themselves."""
        return logits

    def score(self, rank: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Their sigmoid."""
        return jax.nn.sigmoid(rank)

    def __call__(
        self,
        logits: Float[Array, "A C"],
        matches: Matches,
        labels: Int[Array, " M"],
    ) -> Float[Array, ""]:
        """The focal loss over all classes and anchors of one image."""
        classes = jnp.arange(logits.shape[-1])
        target = labels[matches.object][:, None] == classes
        focal = sigmoid_focal_loss(
            logits,
            matches.positive[:, None] & target,
            alpha=self.alpha,
            gamma=self.gamma,
        )
        return jnp.where(matches.ignored[:, None], 0.0, focal).sum()


@dataclass(frozen=True, kw_only=True)
class SoftmaxLoss:
    """A softmax over background, output 0, and the classes; hard negatives alone count.

    Of an image's background anchors those with the greatest loss, `negatives` for
    each anchor that learns an object (Liu et al., "SSD", 2016, section 2.2); an image
    without objects teaches nothing. The choice is made in each image by itself.

    Attributes:
        negatives: background anchors for each one with an object, ≥ 0.

    Raises:
        ValueError: the number is out of range.
    """

    negatives: float = 3.0

    def __post_init__(self) -> None:
        check("negatives", self.negatives, self.negatives >= 0, "at least 0")

    def outputs(self, num_classes: int) -> int:
        """One logit a class and one, the first, for the background."""
        return num_classes + 1

    def rank(self, logits: Float[Array, "*shape L"]) -> Float[Array, "*shape C"]:
        """Probabilities, the background's left out."""
        return jax.nn.softmax(logits)[..., 1:]

    def score(self, rank: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The same."""
        return rank

    def __call__(
        self,
        logits: Float[Array, "A L"],
        matches: Matches,
        labels: Int[Array, " M"],
    ) -> Float[Array, ""]:
        """Cross-entropy of one image's objects and hardest negatives."""
        target = jnp.where(matches.positive, labels[matches.object] + 1, 0)
        chosen = jnp.take_along_axis(logits, target[:, None], axis=1)[:, 0]
        entropy = jax.nn.logsumexp(logits, axis=-1) - chosen
        background = ~(matches.positive | matches.ignored)
        # Only the order matters: no gradient passes through it.
        hardness = jnp.where(background, lax.stop_gradient(entropy), -jnp.inf)
        place = jnp.argsort(jnp.argsort(-hardness))
        hard = background & (place < self.negatives * matches.positive.sum())
        return jnp.where(matches.positive | hard, entropy, 0.0).sum()


def box_loss(
    offsets: Float[Array, "A 4"],
    targets: Float[Array, "A 4"],
    matches: Matches,
    *,
    beta: float,
) -> Float[Array, ""]:
    """`smooth_l1` between the offsets of one image's anchors that learn an object."""
    distance = smooth_l1(offsets - targets, beta=beta).sum(-1)
    return jnp.where(matches.positive, distance, 0.0).sum()
