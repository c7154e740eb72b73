"""Two tracks: one decoding of the gradient, another of what its second moment is of."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jgc._plan import AnyArray, CodingPlan
from jgc._pytree import pytree
from jgc.decoders._decoder import Decoder, Mask, Weights
from jgc.decoders._fixed import fixed
from jgc.decoders._second_moment import second_moment_weights
from jgc.decoders._tilted.decoder import Tilted


@pytree
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
    noise_ratio: float | Float[AnyArray, ""]

    num_tracks = 2

    @property
    def is_unbiased(self) -> bool | None:  # type: ignore[override]
        return self.first.is_unbiased

    @property
    def is_fixed(self) -> bool:  # type: ignore[override]
        return self.first.is_fixed

    @property
    def follows_similarity(self) -> bool:  # type: ignore[override]
        return self.first.follows_similarity

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

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        first = self.first.weights(plan, answered)
        second = jnp.asarray(self.second, first.dtype)
        second = second.reshape(second.shape + (1,) * (answered.ndim - 1))
        return jnp.stack([first, jnp.where(answered, second, 0)])

    def redesigned(self, plan: CodingPlan) -> Decoder:
        first = self.first.redesigned(plan)
        return two_track(plan, noise_ratio=self.noise_ratio, decoder=first)

    def at(self, rho: float | Float[Array, ""]) -> Decoder:
        return replace(self, first=self.first.at(rho))


@pytree
@dataclass(frozen=True, eq=False)
class TiltedTracks(Decoder):
    """Weights (2, k) of two designs: the first of no bias, the second of less noise.

    Attributes:
        first: of the gradient.
        second: of the gradient whose square is taken.
    """

    first: Tilted
    second: Tilted

    num_tracks = 2

    @property
    def is_unbiased(self) -> bool | None:  # type: ignore[override]
        return self.first.is_unbiased

    @property
    def name(self) -> str:
        return f"{self.first.name}, two tracks"

    def check(self, plan: CodingPlan) -> None:
        self.first.check(plan)

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        tracks = (self.first, self.second)
        return jnp.stack([track.weights(plan, answered) for track in tracks])

    def redesigned(self, plan: CodingPlan) -> Decoder:
        return TiltedTracks(self.first.redesigned(plan), self.second.redesigned(plan))


def two_track(
    plan: CodingPlan,
    *,
    noise_ratio: float | Float[AnyArray, ""] = 1.0,
    decoder: Decoder = fixed,
) -> Decoder:
    """`decoder` for the gradient, and v of (42) for the one whose square is taken.

    (42) weighs the squared bias of the second track against its variance, Λ to 1, for
    weights that do not know who answered and gradients that agree. Where the first
    track is a design (`best_unbiased`), the second minimises the same over all linear
    decoders that know who answered, under the gradients and stragglers of that design
    [ours]: `trade_off`, whose equation is λ + (Λ − 1) G H λ = Λ G 1 with
    H = AᵀE[K_I⁺]A. Λ = 1, as in the paper's Figure 7, makes it
    `conditional_least_squares`, the least error given who answered; Λ → ∞ makes both
    tracks one. For aligned gradients it is Λ/(Λ + P₀/(1 − P₀)) times the first, where
    (43) has Λ/(Λ + 1/D): in both the last term is the error of the first track.

    Args:
        plan: the code, on the host.
        noise_ratio: Λ ≥ 0, may be infinite; how much the gradient outweighs its noise.
            May be traced, and then is not checked.
        decoder: of the first track, which has one track.

    Raises:
        ValueError: a negative or NaN Λ, a traced one for a designed decoder, or a
            decoder of two tracks.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> two_track(plan)(plan, np.array([True, False])).shape
        (2, 2)
    """
    if decoder.num_tracks != 1:
        raise ValueError(f"decoder must have one track, got {decoder.name!r}")
    if isinstance(decoder, Tilted):
        if isinstance(noise_ratio, jax.core.Tracer):
            raise ValueError(
                f"noise_ratio must be a number for {decoder.name!r}, whose second "
                "track is designed on the host; got a traced one"
            )
        return TiltedTracks(decoder, decoder.traded(plan, float(noise_ratio)))
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
