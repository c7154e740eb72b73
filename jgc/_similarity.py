"""The similarity of partition gradients, followed from messages while training.

With G = a·Id + b·11ᵀ any combination Σ_j c_j g_j has

    ‖Σ_j c_j g_j‖² = a ‖c‖² + b (Σ_j c_j)²,

so that norms of messages (c = a_i) and of their weighted sum tell a, b and the
similarity ρ = b/(a + b). Norms over ‖c‖² are a line in t = (Σ_j c_j)²/‖c‖², fitted by
least squares with weights 1/(1 + t)², as errors grow with the norms; old iterations are
forgotten.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jgc import _checks
from jgc._plan import CodingPlan, coefficients_of

# Of an iteration's equations: what the first guess weighs.
_PRIOR_WEIGHT = 1e-3


class Similarity(NamedTuple):
    """What was seen of a and b; a pytree for a training state.

    Attributes:
        moments: Σ of the products of (1, t)/(1 + t) with itself (2, 2).
        sums: Σ of its products with the norms (2,).
    """

    moments: Float[Array, "2 2"]
    sums: Float[Array, " 2"]

    @property
    def rho(self) -> Float[Array, ""]:
        """ρ in [0, 1], by what `update` has seen so far."""
        (aa, ab), (_, bb) = self.moments
        determinant = jnp.maximum(aa * bb - ab**2, 1e-12)
        a = (bb * self.sums[0] - ab * self.sums[1]) / determinant
        b = (aa * self.sums[1] - ab * self.sums[0]) / determinant
        a, b = jnp.maximum(a, 0), jnp.maximum(b, 0)
        return jnp.where(a + b > 0, b / jnp.where(a + b > 0, a + b, 1), 0)


class SimilarityEstimator(NamedTuple):
    """Follows the similarity of partition gradients; pure functions of `following`.

    Attributes:
        decay: of what was seen, an update.
        first_guess: ρ until something is seen.
        every: iterations of a training path between updates.
    """

    decay: float
    first_guess: float
    every: int = 1

    def init(self) -> Similarity:
        """Before the first iteration."""
        knots = jnp.array([0.5, 2.0])
        rho = self.first_guess
        state = _added(knots, 1 - rho + rho * knots, jnp.ones(2))
        return Similarity(*(_PRIOR_WEIGHT * part for part in state))

    def update(
        self,
        state: Similarity,
        plan: CodingPlan,
        messages: PyTree[Float[Array, "k ..."]],
        answered: Bool[Array, " k"],
    ) -> Similarity:
        """What the messages of one iteration add.

        Args:
            state: before.
            plan: the code.
            messages: a pytree of arrays with a leading axis over the k workers; what
                stands in a straggler's place is not read.
            answered: I_i (k,).
        """
        dtype = state.sums.dtype
        a = jnp.asarray(plan.edge_coefficient, dtype)
        worker, k = jnp.asarray(plan.edge_worker), plan.num_workers
        sums = jax.ops.segment_sum(a, worker, k)
        squares = jax.ops.segment_sum(a**2, worker, k)
        received = jnp.where(answered, jnp.asarray(plan.weights, dtype), 0)
        own, whole = jnp.zeros(k, dtype), jnp.zeros((), dtype)
        for leaf in jax.tree.leaves(messages):
            rows = jnp.asarray(leaf, dtype).reshape(k, -1)
            rows = jnp.where(answered[:, None], rows, 0)
            own = own + (rows**2).sum(axis=1)
            whole = whole + ((received @ rows) ** 2).sum()
        c = coefficients_of(plan, received)
        squares = jnp.where(answered, squares, 0)
        return self.update_from(
            state,
            sums=jnp.append(sums, c.sum()),
            squares=jnp.append(squares, (c**2).sum()),
            squared_norms=jnp.append(own, whole),
        )

    def update_from(
        self,
        state: Similarity,
        *,
        sums: Float[Array, " m"],
        squares: Float[Array, " m"],
        squared_norms: Float[Array, " m"],
    ) -> Similarity:
        """What the norms of any combinations Σ_j c_j g_j of one iteration add.

        For paths that never form messages: of ĝ, and of the same messages weighted with
        random signs.

        Args:
            state: before.
            sums: Σ_j c_j of each (m,).
            squares: Σ_j c_j² of each; where 0 there is nothing to learn.
            squared_norms: ‖Σ_j c_j g_j‖² of each.
        """
        seen = squares > 0
        size = jnp.where(seen, squares, 1)
        t = jnp.where(seen, sums**2 / size, 0)
        norms = jnp.where(seen, squared_norms / size, 0)
        # Of the iteration's own scale: gradients shrink, similarities need not.
        scale = (norms / (1 + t)).sum()
        ok = (scale > 0) & jnp.isfinite(scale)
        weights = jnp.where(seen & ok, 1.0, 0.0) / jnp.maximum(seen.sum(), 1)
        norms = jnp.where(ok, norms / jnp.where(ok, scale, 1) * seen.sum(), 0)
        new = _added(t, norms, weights)
        keep = jnp.where(ok, self.decay, 1.0)
        return Similarity(
            keep * state.moments + (1 - keep) * new[0],
            keep * state.sums + (1 - keep) * new[1],
        )


def following(
    *, decay: float = 0.95, first_guess: float = 0.5, every: int = 1
) -> SimilarityEstimator:
    """Follows ρ of `jgc.gradients.similar` from the messages themselves.

    A training path does it for `jgc.training.Job(similarity=…)`. In a loop of your own,
    with a mixture of designs, the weights of iteration t come from iterations before t
    only, so that decoding stays unbiased:

        weights = decoders.mixture(designs).at(state.rho)(plan, answered)
        …decode, step…
        state = follow.update(state, plan, messages, answered)

    Early in training gradients of partitions agree, near the optimum they cancel; a
    similarity below 0 counts as 0. A code whose messages all look alike (`dense`) tells
    only a + b·t at one t, and leaves the rest to the first guess.

    Args:
        decay: in [0, 1): 1/(1 − decay) updates count.
        first_guess: ρ in [0, 1] until something is seen.
        every: of this many iterations of a training path one is looked at.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> import jax.numpy as jnp
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.1] * 4, num_partitions=4)
        >>> follow = following(decay=0.5)
        >>> state = follow.update(
        ...     follow.init(), plan, jnp.ones((4, 3)), jnp.ones(4, bool)
        ... )
        >>> bool(state.rho > 0.95)
        True
    """
    decay = _checks.scalar("decay", decay, 0, 1)
    if decay == 1:
        raise ValueError("decay must be below 1, got 1: nothing would ever be learnt")
    return SimilarityEstimator(
        decay,
        _checks.scalar("first_guess", first_guess, 0, 1),
        _checks.count("every", every),
    )


def _added(
    t: Float[Array, " m"], norms: Float[Array, " m"], weights: Float[Array, " m"]
) -> tuple[Float[Array, "2 2"], Float[Array, " 2"]]:
    row = jnp.stack([jnp.ones_like(t), t]) / (1 + t)
    return (row * weights) @ row.T, row @ (weights * norms / (1 + t))
