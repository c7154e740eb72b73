"""How many seconds to a loss: options raced on a problem that stands for the user's.

Gradient descent on a quadratic, in its eigenbasis. Partition j's loss has its minimum
at an offset u_j from that of all, so that an iteration which multiplies its gradient by
c_j takes

    x ← x − η λ (s x − b),    s = mean_j c_j,    b = mean_j c_j u_j,

for each eigenvalue λ: all that a code, a decoder and a rule do to training is in s and
b of each round. Offsets come from sampling (the mean of 1/n of the data is off by a
variance ∝ n, independently) and from order (the first half of the data wants one thing,
the second another: data sorted by class). How large they are against the initial gap is
not known before training, so that options are raced over a range of both [ours].
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

_MODES = 5  # eigenvalues, from 1 down to 1/_CONDITION
_SAMPLES = 4  # of the offsets, over which the gap is a mean
_CONDITION = 10.0
_STEP_SIZES = np.geomspace(0.12, 1.9, 14)
_ITERATIONS = 160
_GRID = 8192  # pieces of the data whose offsets are drawn


class Regime(NamedTuple):
    """A kind of data.

    Attributes:
        sampling: the gap, over the initial one, that the minimum of a random sample as
            large as the data leaves: about d/(2N) for d parameters and N examples, over
            the initial gap.
        contrast: the same for the two halves of the data in their order.
    """

    sampling: float
    contrast: float


REGIMES = (
    Regime(0.002, 0.0),
    Regime(0.008, 0.0),
    Regime(0.008, 0.5),
    Regime(0.02, 0.0),
)
TARGETS = (1e-2, 1e-3)
# Of the cases (targets × regimes, in this order): so few data are the exception.
CASE_WEIGHTS = np.tile([0.3, 0.4, 0.2, 0.1], len(TARGETS)) / len(TARGETS)


class Effect(NamedTuple):
    """What each round of an option does to training.

    Attributes:
        waited: seconds (R,).
        scale: s (R,).
        sampling: b of sampling offsets of unit size (R, modes · samples).
        contrast: b of contrast offsets of unit size (R,).
    """

    waited: Float[np.ndarray, " R"]
    scale: Float[np.ndarray, " R"]
    sampling: Float[np.ndarray, "R draws"]
    contrast: Float[np.ndarray, " R"]


@functools.lru_cache(maxsize=256)
def _offsets(n: int) -> tuple[Float[np.ndarray, "n draws"], Float[np.ndarray, " n"]]:
    """Of n partitions, as means over the pieces that they are made of."""
    drawn = np.random.default_rng(0).normal(size=(_GRID, _MODES * _SAMPLES))
    drawn *= np.sqrt(_GRID)
    side = np.where(np.arange(_GRID) < _GRID // 2, 1.0, -1.0)
    pieces = np.column_stack([drawn - drawn.mean(0), side])
    if n <= _GRID:
        starts = np.arange(n) * _GRID // n
        size = np.diff(np.append(starts, _GRID))
        means = np.add.reduceat(pieces, starts) / size[:, None]
    else:
        means = pieces[np.arange(n) * _GRID // n]
    means -= means.mean(0)
    return means[:, :-1], means[:, -1]


def effect(
    waited: Float[np.ndarray, " R"], coefficients: Float[np.ndarray, "R n"]
) -> Effect:
    """The effect of rounds with these coefficients.

    They are scaled to a mean of 1 over all rounds: step sizes are tuned for each option
    on a grid, and a common factor must not buy a step between its points.
    """
    n = coefficients.shape[1]
    sampling, contrast = _offsets(n)
    mean = coefficients.mean()
    coefficients = coefficients / mean if mean > 0 else coefficients
    return Effect(
        np.asarray(waited, np.float64),
        coefficients.mean(1),
        coefficients @ sampling / n,
        coefficients @ contrast / n,
    )


def race(
    effects: Sequence[Effect],
    *,
    draws: int,
    seed: int = 0,
    targets: tuple[float, ...] = TARGETS,
    regimes: tuple[Regime, ...] = REGIMES,
) -> Float[np.ndarray, "options draws cases"]:
    """Seconds of each option to each target in each regime, at its best step size.

    Every draw resamples whole rounds with replacement, the same for all options: its
    scatter is what so few rounds leave unknown. Infinite where a target is not reached.

    Args:
        effects: of options over the same rounds.
        draws: at least 1; the first takes the rounds in equal shares.
        seed: of the draws.
        targets: shares of the initial gap; cases are targets × regimes.
        regimes: kinds of data.
    """
    rounds = effects[0].waited.size
    rng = np.random.default_rng(seed)
    order = rng.integers(rounds, size=(draws, _ITERATIONS))
    whole = [rng.permutation(rounds) for _ in range(-(-_ITERATIONS // rounds))]
    order[0] = np.concatenate(whole)[:_ITERATIONS]
    for draw in range(1, draws):  # a bootstrap sample of the trace, played over again
        sample = rng.integers(rounds, size=rounds)
        order[draw] = sample[order[draw] % rounds] if rounds > 1 else 0
    stacked = [np.stack(part).astype(np.float32) for part in zip(*effects, strict=True)]
    # One program for any number of options up to the next power of two.
    padding = max(16, 1 << (len(effects) - 1).bit_length()) - len(effects)
    padded = [np.concatenate([a, np.repeat(a[:1], padding, 0)]) for a in stacked]
    times = _all_times(tuple(padded), order.astype(np.int32), targets, regimes)
    times = np.asarray(times, np.float64)[: len(effects)]
    return np.where(np.isnan(times), np.inf, times)  # of rounds that never end


@functools.partial(jax.jit, static_argnames=("targets", "regimes"))
def _all_times(
    effects: tuple[Float[Array, "options R ..."], ...],
    order: Int[Array, "draws iterations"],
    targets: tuple[float, ...],
    regimes: tuple[Regime, ...],
) -> Float[Array, "options draws cases"]:
    run = functools.partial(_times, order=order, targets=targets, regimes=regimes)
    return jax.lax.map(run, effects, batch_size=16)


def _times(
    effect: tuple[Float[Array, "R ..."], ...],
    order: Int[Array, "draws iterations"],
    targets: tuple[float, ...],
    regimes: tuple[Regime, ...],
) -> Float[Array, "draws cases"]:
    waited, scale, sampling, contrast = effect
    # Axes: regimes, step sizes, samples, modes.
    eigenvalues = jnp.asarray(np.geomspace(1, 1 / _CONDITION, _MODES), jnp.float32)
    # Every mode has an equal part of the gap Σ λ x².
    unit = 1 / jnp.sqrt(eigenvalues * _MODES)
    kinds = jnp.sqrt(jnp.asarray(regimes, jnp.float32))[:, None, None, None, :]
    aims = jnp.log(jnp.asarray(targets, jnp.float32))[:, None, None]
    step = jnp.asarray(_STEP_SIZES, jnp.float32)[:, None, None] * eigenvalues
    drawn = sampling.reshape(-1, _SAMPLES, _MODES)
    offsets = unit * (kinds[..., 0] * drawn + kinds[..., 1] * contrast[:, None, None])

    def run(order: Int[Array, " iterations"]) -> Float[Array, " cases"]:
        shape = (len(regimes), _STEP_SIZES.size)
        everywhere = (*shape, _SAMPLES, _MODES)

        def iterate(carry: tuple, round: Int[Array, ""]) -> tuple[tuple, None]:
            x, gap, seconds, reached = carry
            b = offsets[:, round][:, None]
            x = x - step * (scale[round] * x - b)
            total = (eigenvalues * x**2).sum(-1).mean(-1)
            new = jnp.log(jnp.clip(total, 1e-12, 1e6))
            part = (gap - aims) / jnp.maximum(gap - new, 1e-9)
            hit = seconds + jnp.clip(part, 0, 1) * waited[round]
            is_new = (new <= aims) & jnp.isinf(reached)
            reached = jnp.where(is_new, hit, reached)
            return (x, new, seconds + waited[round], reached), None

        start = (
            jnp.broadcast_to(unit, everywhere),
            jnp.zeros(shape),
            jnp.zeros(()),
            jnp.full((len(targets), *shape), jnp.inf),
        )
        (_, _, _, reached), _ = jax.lax.scan(iterate, start, order)
        return reached.min(-1).reshape(-1)

    return jax.vmap(run)(order)
