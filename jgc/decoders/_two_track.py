"""Two tracks: one decoding of the gradient, another of what its second moment is of."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jgc._plan import CodingPlan
from jgc.decoders._decoder import Answered, Decoder, Weights
from jgc.decoders._fixed import fixed
from jgc.decoders._second_moment import second_moment_weights


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class TwoTrack(Decoder):
    """Weights (2, k): of `first`, and v_i of (42) for the second moment.

    Attributes:
        first: the decoder of the first track.
        second: v (k,).
        noise_ratio: Λ of v; data, so that another one compiles nothing again.
    """

    first: Decoder
    second: Float[np.ndarray | Array, " k"]
    noise_ratio: float | Float[Array, ""]

    num_tracks = 2

    @property
    def is_unbiased(self) -> bool | None:  # type: ignore[override]
        return self.first.is_unbiased

    @property
    def is_fixed(self) -> bool:  # type: ignore[override]
        return self.first.is_fixed

    @property
    def name(self) -> str:
        return f"{self.first.name}, two tracks"

    def check(self, plan: CodingPlan) -> None:
        self.first.check(plan)
        if np.shape(self.second) != (plan.num_workers,):
            raise ValueError(
                f"these second-moment weights are of {np.shape(self.second)[0]} "
                f"workers, the plan has {plan.num_workers}"
            )

    def weights(self, plan: CodingPlan, answered: Answered) -> Weights:
        first = self.first.weights(plan, answered)
        second = jnp.asarray(self.second, first.dtype)
        second = second.reshape(second.shape + (1,) * (answered.ndim - 1))
        return jnp.stack([first, jnp.where(answered, second, 0)])

    def redesigned(self, plan: CodingPlan) -> Decoder:
        first = self.first.redesigned(plan)
        return two_track(plan, noise_ratio=self.noise_ratio, decoder=first)


def two_track(
    plan: CodingPlan,
    *,
    noise_ratio: float | Float[Array, ""] = 1.0,
    decoder: Decoder = fixed,
) -> Decoder:
    """`decoder` for the gradient, and v of (42) for the one whose square is taken.

    Args:
        plan: the code, on the host.
        noise_ratio: Λ ≥ 0, may be infinite; how much the gradient outweighs its noise.
            May be traced, and then is not checked.
        decoder: of the first track, which has one track.

    Raises:
        ValueError: a negative or NaN Λ, or a decoder of two tracks.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> two_track(plan)(plan, np.array([True, False])).shape
        (2, 2)
    """
    if decoder.num_tracks != 1:
        raise ValueError(f"decoder must have one track, got {decoder.name!r}")
    second: np.ndarray | Array
    if isinstance(noise_ratio, jax.core.Tracer):
        limit = second_moment_weights(plan, noise_ratio=np.inf)
        second = shrinkage(plan, noise_ratio) * limit
    else:
        noise_ratio = float(noise_ratio)
        second = second_moment_weights(plan, noise_ratio=noise_ratio)
    return TwoTrack(decoder, second, noise_ratio)


def shrinkage(plan: CodingPlan, noise_ratio: Float[Array, ""]) -> Float[Array, ""]:
    """κ = ΛD/(1 + ΛD), by which v of Λ > 0 is v of Λ = ∞ (42)–(43), Λ traced."""
    limit = second_moment_weights(plan, noise_ratio=np.inf)
    sums = np.bincount(
        np.asarray(plan.edge_worker),
        weights=np.asarray(plan.edge_coefficient, np.float64),
        minlength=plan.num_workers,
    )
    # There v_i = n/(p_i s_i D); a worker without a sum s_i says nothing of D.
    at = int(np.argmax(np.abs(limit * sums)))
    inverse = plan.straggler_probabilities[at] * limit[at] * sums[at]
    ratio = jnp.asarray(noise_ratio, jnp.result_type(float))
    return 1 / (1 + inverse / plan.num_partitions / ratio)
