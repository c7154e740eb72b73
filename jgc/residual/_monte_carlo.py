"""The residual error by sampling: any decoder, any straggler model, any size."""

from collections.abc import Sequence
from typing import TypeVar, overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.decoders import Decoder, fixed
from jgc.decoders._fixed import Fixed
from jgc.gradients import GradientsLike, as_gradients
from jgc.residual._enumeration import (
    check_decoder,
    controls_of_all_masks,
    errors_of_all_masks,
)
from jgc.residual._result import ResidualError
from jgc.residual._sampling.blocks import Sampling, Source, can_be_controlled
from jgc.residual._sampling.control_variates import control_means
from jgc.residual._sampling.driver import Run
from jgc.residual._sampling.random_masks import (
    block_size,
    check_model,
    is_stateful,
    key_words,
    thresholds,
)
from jgc.residual._sampling.squared_error import ErrorEvaluator, error_evaluator
from jgc.residual._sampling.stacking import equal_edge_counts
from jgc.stragglers import StragglerModel

# Up to here errors of all 2^k masks are tabulated, if there are more trials than that.
_MOST_TABULATED = 16


@overload
def monte_carlo(
    key: PRNGKeyArray,
    plan: CodingPlan,
    *,
    num_trials: int,
    decoder: Decoder = ...,
    model: StragglerModel | None = ...,
    gradients: GradientsLike | None = ...,
    target_relative_error: float | None = ...,
    control_variate: bool = ...,
    chain_length: int = ...,
    chunk_size: int | None = ...,
    progress: bool | None = ...,
) -> ResidualError: ...


@overload
def monte_carlo(
    key: PRNGKeyArray,
    plan: Sequence[CodingPlan],
    *,
    num_trials: int,
    decoder: Decoder = ...,
    model: StragglerModel | None = ...,
    gradients: GradientsLike | None = ...,
    target_relative_error: float | None = ...,
    control_variate: bool = ...,
    chain_length: int = ...,
    chunk_size: int | None = ...,
    progress: bool | None = ...,
) -> list[ResidualError]: ...


def monte_carlo(
    key: PRNGKeyArray,
    plan: CodingPlan | Sequence[CodingPlan],
    *,
    num_trials: int,
    decoder: Decoder = fixed,
    model: StragglerModel | None = None,
    gradients: GradientsLike | None = None,
    target_relative_error: float | None = None,
    control_variate: bool = True,
    chain_length: int = 64,
    chunk_size: int | None = None,
    progress: bool | None = None,
) -> ResidualError | list[ResidualError]:
    """E‖g − ĝ‖² from random masks, with its standard error.

    Runs on all local devices in memory that does not grow with `num_trials`. Trials
    belong to blocks of a size that depends on k alone, each with random bits of its own
    from `key`; blocks are merged in order, in float64. So the result depends neither on
    `chunk_size` nor on the number of devices, nor do different backends draw different
    masks. Results are equal to the last bit on devices of one kind. Blocks are computed
    whole: trials short of one cost as much as it does (k = 10: 16,384 trials, 1,000:
    256).

    Args:
        key: a JAX random key of any kind. The same key gives the same stragglers to
            every plan with the same p, whatever its code and decoder: differences
            between codes are known better than each error.
        plan: the code, or several with equal k and n in one compiled call, of which
            each may have its own p (for another p than it was designed for, replace
            `straggler_probabilities`).
        num_trials: masks to draw, at most; at least 2.
        decoder: from `jgc.decoders`, or a `Decoder` of your own, given masks
            (k, trials).
        model: of the stragglers, of the plan's k workers; by default independent, with
            the plan's p. A trace needs `replay(…, random_start=True)`.
        gradients: how the partition gradients relate, as in `exact`.
        target_relative_error: stop once the standard error is at most this times the
            mean, of every plan; looked at after each block, from 256 samples on. Random
            masks whose errors were all equal so far do not stop a run: the rare ones
            that matter may not have come yet.
        control_variate: for decoders that depend on the mask, where stragglers are
            independent, also measure the fixed decoder's error, the partitions lost
            and the workers that answered, whose means are known, and remove the part
            of the noise that they explain, usually most. The method is then
            "monte_carlo, controlled".
        chain_length: for models with a state: trials are runs of this many
            consecutive iterations, and the standard error is that of independent runs.
        chunk_size: trials per device call, rounded to whole blocks; by default calls
            grow to a quarter of a second. Changes how often the progress moves.
        progress: show a bar; by default on a terminal, if the run is long.

    Returns:
        One result, or one for each plan of a sequence.

    Raises:
        ValueError: an argument out of its range.
    """
    plans = [plan] if isinstance(plan, CodingPlan) else list(plan)
    num_trials = _checks.count("num_trials", num_trials, minimum=2)
    chain_length = _checks.count("chain_length", chain_length)
    if chunk_size is not None:
        chunk_size = _checks.count("chunk_size", chunk_size)
    if target_relative_error is not None:
        target_relative_error = _checks.scalar(
            "target_relative_error", target_relative_error, low=0.0
        )
    if not plans:
        raise ValueError("plan must be a plan or a sequence of at least one, got none")
    check_decoder(decoder, *plans)
    related = as_gradients(gradients, plans[0].num_partitions)
    words = key_words(key)
    k = plans[0].num_workers
    if model is not None:
        check_model(model, key, num_workers=k, steps=chain_length)
    steps = chain_length if model is not None and is_stateful(model, key) else 1
    is_fixed = isinstance(decoder, Fixed)
    controlled = control_variate and can_be_controlled(decoder, model)
    decoder = decoder.specialised(plans)
    sampling = Sampling(
        is_fixed, model, max(1, block_size(k) // steps), steps, controlled
    )
    means = (
        np.stack([control_means(one, related) for one in plans]) if controlled else None
    )
    padded = equal_edge_counts(plans)
    # Fixed decoders and random bits are 32-bit by name; what decides ranks and what
    # is summed over trials is float64, whatever the user's setting.
    dtype = np.float32 if is_fixed else np.float64
    evaluators = _stacked(
        [error_evaluator(one, related, decoder, dtype=dtype) for one in padded]
    )
    limits = _stacked([thresholds(one.straggler_probabilities) for one in padded])
    # The error is a function of the mask: with few workers, each mask's is found once.
    # Only a fixed decoder's error that is a single sum is faster than the table.
    is_one_sum = is_fixed and related.similarity == 1
    tables = None
    if k <= _MOST_TABULATED and num_trials >= 1 << k and not is_one_sum:
        tables = _tables(evaluators, controlled)
    run = Run(
        sampling,
        Source(key, words, limits),
        evaluators,
        tables,
        num_samples=-(-num_trials // steps),
        control_means=means,
        target=target_relative_error,
    )
    moments = run.finish(chunk_size=chunk_size, progress=progress)
    mean, standard_error = moments.estimate(means)
    results = [
        ResidualError(
            mean=float(mean[i]),
            standard_error=float(standard_error[i]),
            trials=moments.count * steps,
            method="monte_carlo, controlled" if controlled else "monte_carlo",
            squared_norm=related.squared_norm(plans[0].num_partitions),
        )
        for i in range(len(plans))
    ]
    return results[0] if isinstance(plan, CodingPlan) else results


def _tables(
    evaluators: ErrorEvaluator, controlled: bool
) -> Float[Array, "plans variables masks"]:
    """The errors of all masks, and their control variates."""

    def of_plan(evaluator: ErrorEvaluator) -> Float[Array, "variables masks"]:
        errors = errors_of_all_masks(evaluator)[None]
        if not controlled:
            return errors
        return jnp.concatenate([errors, controls_of_all_masks(evaluator)])

    with jax.enable_x64(True):
        return jnp.stack(
            [
                of_plan(jax.tree.map(lambda leaf, i=i: leaf[i], evaluators))
                for i in range(evaluators.plan.weights.shape[0])
            ]
        )


_Tree = TypeVar("_Tree")


def _stacked(trees: Sequence[_Tree]) -> _Tree:
    """Leaves along a new first axis; shorter lists of edges end in zeros, no edges."""

    def stack(*leaves: np.ndarray) -> np.ndarray:
        longest = max(np.shape(leaf)[:1] for leaf in leaves)
        padded = [
            np.pad(leaf, [(0, longest[0] - leaf.shape[0])] + [(0, 0)] * (leaf.ndim - 1))
            if longest
            else leaf
            for leaf in map(np.asarray, leaves)
        ]
        return np.stack(padded)

    return jax.tree.map(stack, *trees)
