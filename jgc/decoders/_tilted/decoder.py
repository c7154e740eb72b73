"""The decoder that projects a tilted target, and what is known of its design."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jgc._plan import AnyArray, CodingPlan
from jgc._pytree import pytree
from jgc.decoders._decoder import Decoder, Mask, Weights, float_dtype
from jgc.decoders._tilted.projections import Projection, Side, Solution

if TYPE_CHECKING:
    from jgc.decoders._tilted.recipe import Recipe


@pytree
@dataclass(frozen=True, eq=False)
class Design:
    """What a design says of itself; numbers are float64 on the host.

    Attributes:
        multipliers: λ (n,) of E[c] = 1, or of the trade between bias and variance.
        error: E‖g − ĝ‖², for the gradients and the stragglers that it is designed for.
        standard_error: of `error`; 0 unless masks were sampled.
        bias: E[c_j] − 1 (n,): 0 to rounding where the law of who answers is known
            whole and no bias is wanted; what fresh masks showed where it was sampled.
        bias_standard_error: of each entry of `bias`.
        num_masks: that E[c] was computed over.
        method: "enumeration", "recorded" or "sampled".
    """

    multipliers: Float[AnyArray, " n"]
    error: float | Array
    standard_error: float | Array
    bias: Float[AnyArray, " n"]
    bias_standard_error: Float[AnyArray, " n"]
    num_masks: int = field(metadata={"static": True})
    method: str = field(metadata={"static": True})


@pytree
@dataclass(frozen=True, eq=False)
class Tilted(Decoder):
    """v(I) = K_I⁺ u_I: what `best_unbiased` and its relatives return.

    With G = (1 − ρ) Id + ρττᵀ, λ = (1 − ρ) λ̃ + γτ and s = Rτ,

        v = ỹ + x (γ − ρ sᵀỹ) / (1 − ρ + ρ sᵀx),   ỹ = (RRᵀ)_I⁺ (Rλ̃)_I, x the same of τ,

    which is K_I⁺ (Rλ)_I by Sherman and Morrison, and holds in the limit ρ = 1.

    Attributes:
        projection: onto the rows that answered.
        tilt: the side of λ̃.
        common: the side of τ; None where ρ = 0, when λ̃ is all of λ.
        level: γ.
        similarity: ρ.
        design: how it was designed, and how good it is.
        recipe: how to design it again.
    """

    projection: Projection
    tilt: Float[AnyArray, " size"]
    common: Float[AnyArray, " size"] | None
    level: float | Array
    similarity: float | Array
    design: Design
    recipe: "Recipe" = field(metadata={"static": True})

    @property
    def is_unbiased(self) -> bool | None:  # type: ignore[override]
        return self.recipe.is_unbiased

    @property
    def name(self) -> str:
        return self.recipe.name

    def check(self, plan: CodingPlan) -> None:
        n = np.shape(self.design.multipliers)[-1]
        if (self.num_workers, n) != (plan.num_workers, plan.num_partitions):
            raise ValueError(
                f"{self.name} was designed for {self.num_workers} workers and {n} "
                f"partitions; {plan!r} has {plan.num_workers} and "
                f"{plan.num_partitions}: design it again"
            )

    @property
    def num_workers(self) -> int:
        """K of the plan that it was designed for."""
        return self.projection.num_workers

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        dtype = float_dtype()
        flat = answered.reshape(answered.shape[0], -1)
        solution = combined(
            self.projection,
            jnp.asarray(self.tilt, dtype)[None],
            None if self.common is None else jnp.asarray(self.common, dtype),
            jnp.asarray(self.level, dtype)[None],
            jnp.asarray(self.similarity, dtype),
            flat,
        )
        return self.projection.weights(solution[0], flat).reshape(answered.shape)

    def redesigned(self, plan: CodingPlan) -> "Tilted":
        return self.recipe.design(plan)

    def traded(self, plan: CodingPlan, noise_ratio: float) -> "Tilted":
        """The same design for another Λ, of `trade_off`."""
        return self.recipe.design(plan, noise_ratio=noise_ratio)


def combined(
    projection: Projection,
    tilts: Side,
    common: Float[Array, " size"] | None,
    levels: Float[Array, " sides"],
    similarity: float | Float[Array, ""] | Float[Array, " sides"],
    answered: Bool[Array, "k trials"],
) -> Solution:
    """The solutions v of `Tilted`, for several λ̃, γ and maybe ρ at once."""
    if common is None:
        return projection.solve(tilts, answered)
    solved = projection.solve(jnp.concatenate([tilts, common[None]]), answered)
    tilted, plain = solved[:-1], solved[-1]
    reached = jnp.einsum("i,rit->rt", common, tilted)
    rho = jnp.broadcast_to(similarity, levels.shape)[:, None]
    total = 1 - rho + rho * (common @ plain)
    # Nothing answered, or all that did holds nothing: plain is 0.
    total = jnp.where(total > 0, total, 1)
    return tilted + plain * ((levels[:, None] - rho * reached) / total)[:, None]
