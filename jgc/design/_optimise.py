"""Coefficients that suit a decoder: its error has a derivative on a placement."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from jgc import _checks, decoders
from jgc._plan import CodingPlan
from jgc.decoders import Decoder
from jgc.decoders._tilted.decoder import Tilted
from jgc.gradients import GradientsLike, as_gradients

# Up to here all masks, beyond a sample.
_MOST_ENUMERATED = 10
_SAMPLE = 1024
# Of the Gram matrix of unit rows: keeps rows that come together differentiable.
_RIDGE = 1e-7
_START_NOISE = 0.01


class Optimised(NamedTuple):
    """What `optimise` found.

    Attributes:
        plan: the code; the same placement.
        decoder: for it: designed again, or as given.
        before: E‖g − ĝ‖²/‖g‖² of the plan that was given: of its design for the best
            unbiased decoder, over the masks used for others.
        after: of the new one.
    """

    plan: CodingPlan
    decoder: Decoder
    before: float
    after: float

    @property
    def gain(self) -> float:
        """The part of the error that went."""
        return 1 - self.after / self.before if self.before > 0 else 0.0


def optimise(
    plan: CodingPlan,
    *,
    gradients: GradientsLike,
    decoder: Decoder | None = None,
    num_steps: int = 200,
    learning_rate: float = 0.03,
    key: PRNGKeyArray | None = None,
) -> Optimised:
    """Improves a_ij on the placement as it is, for a decoder, by gradient descent.

    Adam on the coefficients, over all masks of up to 10 workers and a fixed sample of
    1,024 beyond; the best step is kept, and the plan as it was where none is better.
    For the best unbiased decoder the error is 1ᵀλ − 1ᵀG1 = max over λ of
    2·1ᵀλ − λᵀHλ − 1ᵀG1, which is differentiated with λ found anew each step. The
    problem is not convex: another start may end elsewhere. Workers are independent.

    Args:
        plan: where to start; of up to a few hundred workers.
        gradients: ρ or of `jgc.gradients`.
        decoder: None for `best_unbiased`; or any differentiable decoder that is not
            designed, such as `decoders.fixed` or `least_squares`. Fixed weights stay.
        num_steps: ≥ 1.
        learning_rate: of Adam, for rows of unit norm.
        key: of `jax.random`, where masks are sampled.

    Raises:
        ValueError: an argument out of its range, or no unbiased decoder.

    Example:
        >>> import jgc
        >>> ring = np.eye(4, dtype=bool) | np.roll(np.eye(4, dtype=bool), 1, axis=1)
        >>> plan = jgc.CodingPlan.from_matrix(1.0 * ring, p=[0.1, 0.2, 0.3, 0.4])
        >>> found = optimise(plan, gradients=0.5, num_steps=20)
        >>> found.after <= found.before
        True
    """
    num_steps = _checks.count("num_steps", num_steps)
    own = as_gradients(gradients, plan.num_partitions)
    if isinstance(decoder, Tilted):
        raise ValueError(
            f"decoder must be no design for other coefficients, got {decoder.name!r}; "
            "accepted: None for the best unbiased one, decoders.least_squares, fixed"
        )
    k = plan.num_workers
    if k > _MOST_ENUMERATED and key is None:
        raise ValueError(
            f"key must be a jax.random key for more than {_MOST_ENUMERATED} workers, "
            "whose masks are sampled"
        )
    p = np.asarray(plan.straggler_probabilities, np.float64)
    masks, probability = _masks(p, key)
    rows = _unit_rows(plan) if decoder is None else plan
    factor = own.factor(plan.num_partitions)
    optimizer = optax.adam(learning_rate)
    with jax.enable_x64(True):
        value = partial(_error, rows, decoder, jnp.asarray(factor), masks, probability)
        step = jax.jit(jax.value_and_grad(value))
        start = jnp.asarray(rows.edge_coefficient, float)
        project = _keeps_the_sum(rows) if decoder is None else lambda a: a
        first = least = float(step(start)[0])
        # Structured codes are saddles: equal messages part only if moved.
        noise = np.random.default_rng(0).normal(size=start.shape)
        best, a = start, project(start + _START_NOISE * noise)
        state = optimizer.init(a)
        for _ in range(num_steps):
            error, slope = step(a)
            if not np.isfinite(float(error)):
                break
            if float(error) < least:
                least, best = float(error), a
            updates, state = optimizer.update(slope, state)
            a = project(optax.apply_updates(a, updates))
    if not np.isfinite(least):
        raise ValueError(
            f"no decoder of {plan!r} is unbiased over these masks; see best_unbiased"
        )
    norm = own.squared_norm(plan.num_partitions)
    found = replace(rows, edge_coefficient=np.asarray(best))
    if decoder is not None:
        return Optimised(found, decoder, first / norm, least / norm)
    found = _unit_rows(found)
    old, new = (
        decoders.best_unbiased(one, gradients=own, key=key) for one in (plan, found)
    )
    before, after = float(old.design.error) / norm, float(new.design.error) / norm
    if after < before:
        return Optimised(found, new, before, after)
    return Optimised(plan, old, before, before)


def _masks(
    p: Float[np.ndarray, " k"], key: PRNGKeyArray | None
) -> tuple[Bool[np.ndarray, "k trials"], Float[np.ndarray, " trials"]]:
    k = p.size
    if k <= _MOST_ENUMERATED:
        masks = ((np.arange(1 << k) >> np.arange(k)[:, None]) & 1).astype(bool)
        each = np.where(masks, 1 - p[:, None], p[:, None])
        return masks, each.prod(axis=0)
    assert key is not None
    drawn = jax.random.bernoulli(key, jnp.asarray(1 - p)[:, None], (k, _SAMPLE))
    return np.asarray(drawn), np.full(_SAMPLE, 1 / _SAMPLE)


def _unit_rows(plan: CodingPlan) -> CodingPlan:
    """Rows of unit norm, which decode to the same."""
    worker, a = np.asarray(plan.edge_worker), np.asarray(plan.edge_coefficient)
    norm = np.sqrt(np.bincount(worker, weights=a**2, minlength=plan.num_workers))
    norm = np.where(norm > 0, norm, 1)
    return replace(
        plan,
        edge_coefficient=a / norm[worker],
        weights=np.asarray(plan.weights) * norm,
    )


def _keeps_the_sum(plan: CodingPlan) -> Callable[[Array], Array]:
    """Moves coefficients back to where x combines all messages to 1, as it does now.

    Off this plane the sum may be out of reach of every decoder.
    """
    worker, partition = np.asarray(plan.edge_worker), np.asarray(plan.edge_partition)
    x = np.linalg.lstsq(
        plan.encoding_matrix().T, np.ones(plan.num_partitions), rcond=1e-10
    )[0][worker]
    n = plan.num_partitions
    size = np.bincount(partition, weights=x**2, minlength=n)
    share = np.divide(x, size[partition], out=np.zeros(x.size), where=x != 0)

    def project(a: Array) -> Array:
        lacks = 1 - jax.ops.segment_sum(x * a, jnp.asarray(partition), n)
        return a + share * lacks[partition]

    return project


def _error(
    plan: CodingPlan,
    decoder: Decoder | None,
    factor: Float[Array, "n rank"],
    masks: Bool[np.ndarray, "k trials"],
    probability: Float[np.ndarray, " trials"],
    a: Float[Array, " E"],
) -> Float[Array, ""]:
    if decoder is not None:
        own = replace(plan, edge_coefficient=a)
        off = decoder.coefficients(own, jnp.asarray(masks)) - 1
        return ((factor.T @ off) ** 2).sum(axis=0) @ jnp.asarray(probability)
    k, n = plan.num_workers, plan.num_partitions
    matrix = jnp.zeros((k, n)).at[plan.edge_worker, plan.edge_partition].add(a)
    norm = jnp.sqrt((matrix**2).sum(axis=1, keepdims=True))
    matrix = matrix / jnp.where(norm > 0, norm, 1)
    coded = matrix @ factor
    gram = coded @ coded.T
    ridge = _RIDGE * jnp.trace(gram) / k

    def answer(mask: Bool[Array, " k"]) -> Float[Array, "n n"]:
        inside = mask[:, None] & mask
        shifted = jnp.where(inside, gram, 0) + jnp.diag(jnp.where(mask, ridge, 1.0))
        half = jax.scipy.linalg.solve_triangular(
            jnp.linalg.cholesky(shifted),
            jnp.where(mask[:, None], matrix, 0),
            lower=True,
        )
        return half.T @ half

    def add(total: Array, one: tuple[Array, Array]) -> tuple[Array, None]:
        mask, weight = one
        return total + jnp.einsum("t,tij->ij", weight, jax.vmap(answer)(mask)), None

    batch = min(64, masks.shape[1])
    rows = jnp.asarray(masks.T).reshape(-1, batch, k)
    weights = jnp.asarray(probability).reshape(-1, batch)
    response = jax.lax.scan(jax.checkpoint(add), jnp.zeros((n, n)), (rows, weights))[0]
    # λ of least norm; the maximum over λ is flat there, so λ needs no derivative.
    ones = jnp.ones(n)
    constant = jax.lax.stop_gradient(response)
    multipliers = jnp.linalg.pinv(constant, rtol=1e-12, hermitian=True) @ ones
    total = (factor.T @ ones) @ (factor.T @ ones)
    return 2 * multipliers.sum() - multipliers @ response @ multipliers - total
