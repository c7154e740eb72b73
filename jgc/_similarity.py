"""The similarity of partition gradients, followed from messages while training.

With G = a·Id + b·11ᵀ any combination Σ_j c_j g_j has

    ‖Σ_j c_j g_j‖² = a ‖c‖² + b (Σ_j c_j)²,

so that norms of messages (c = a_i) and of their weighted sum tell a, b and the
similarity ρ = b/(a + b). Norms over ‖c‖² are a line in t = (Σ_j c_j)²/‖c‖², fitted in
each iteration by least squares with weights 1/(1 + t)², as errors grow with the norms.
Fits are averaged, each by its determinant, and old ones forgotten. A fit is unbiased up
to the iteration's scale, which cancels in ρ, whatever the norm of g does; one line
through the norms of all iterations would have to know their scales.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jgc import _checks
from jgc._plan import AnyArray, CodingPlan, coefficients_of

# What the first guess weighs, where an iteration weighs its determinant, 1/4 at most.
_PRIOR_WEIGHT = 0.01
# Combinations as alike as this tell nothing: a determinant of rounding errors.
_LEAST_DETERMINANT = 1e-6
# How far the scale of the iteration before may be off this one's.
_LARGEST_JUMP = 10.0


class Similarity(NamedTuple):
    """What was seen of a and b; a pytree for a training state.

    Attributes:
        parts: the means of a and of b (2,), in units that cancel.
        scale: of the norms of the last iteration; 0 before the first.
    """

    parts: Float[Array, " 2"]
    scale: Float[Array, ""]

    @property
    def rho(self) -> Float[Array, ""]:
        """ρ in [0, 1], by what `update` has seen so far."""
        a, b = jnp.maximum(self.parts, 0)
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
    every: int = 10

    def init(self) -> Similarity:
        """Before the first iteration."""
        rho = self.first_guess
        parts = _PRIOR_WEIGHT * jnp.array([1.0 - rho, rho])
        return Similarity(parts, jnp.zeros(()))

    def update(
        self,
        state: Similarity,
        plan: CodingPlan,
        messages: PyTree[Float[AnyArray, "k ..."]],
        answered: Bool[AnyArray, " k"],
    ) -> Similarity:
        """What the messages of one iteration add.

        Args:
            state: before.
            plan: the code.
            messages: a pytree of arrays with a leading axis over the k workers; what
                stands in a straggler's place is not read.
            answered: I_i (k,).
        """
        dtype = state.parts.dtype
        answered = jnp.asarray(answered)
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
        count = jnp.maximum(seen.sum(), 1)
        own = (norms / (1 + t)).sum() / count
        # (1, t)/(1 + t), of which the norms over 1 + t are a combination with a and b.
        row = jnp.where(seen, jnp.stack([jnp.ones_like(t), t]) / (1 + t), 0)
        (aa, ab), (_, bb) = row @ row.T / count
        determinant = aa * bb - ab**2
        ok = (own > 0) & jnp.isfinite(own) & (determinant > _LEAST_DETERMINANT)
        # Gradients shrink, similarities need not. An iteration over its own scale would
        # have the errors of its norms twice, which do not cancel.
        scale = jnp.where(state.scale > 0, state.scale, own)
        scale = jnp.clip(scale, own / _LARGEST_JUMP, own * _LARGEST_JUMP)
        norms = jnp.where(ok, norms / jnp.where(ok, scale, 1), 0)
        to_a, to_b = row @ (norms / (1 + t)) / count
        new = jnp.stack([bb * to_a - ab * to_b, aa * to_b - ab * to_a])
        keep = jnp.where(ok, self.decay, 1.0)
        return Similarity(
            keep * state.parts + (1 - keep) * new, jnp.where(ok, own, state.scale)
        )


def following(
    *, decay: float = 0.95, first_guess: float = 0.5, every: int = 10
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
    nothing, and leaves ρ at the first guess.

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
        >>> state, messages = follow.init(), jnp.ones((4, 3))
        >>> for _ in range(10):
        ...     state = follow.update(state, plan, messages, jnp.ones(4, bool))
        >>> round(float(state.rho), 2)
        1.0
    """
    decay = _checks.scalar("decay", decay, 0, 1)
    if decay == 1:
        raise ValueError("decay must be below 1, got 1: nothing would ever be learnt")
    return SimilarityEstimator(
        decay,
        _checks.scalar("first_guess", first_guess, 0, 1),
        _checks.count("every", every),
    )
