"""The residual error by sampling: any decoder, any straggler model, any size."""

from collections.abc import Sequence
from typing import overload

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.decoders import Decoder, fixed
from jgc.decoders._fixed import Fixed
from jgc.gradients import GradientsLike, as_gradients
from jgc.residual._enumeration import check_decoder
from jgc.residual._result import ResidualError
from jgc.residual._sampling.blocks import (
    Sampling,
    Source,
    can_be_controlled,
    errors_of_masks,
)
from jgc.residual._sampling.cases import cases_of, is_random
from jgc.residual._sampling.control_variates import Combination, control_means
from jgc.residual._sampling.driver import Run, pilot
from jgc.residual._sampling.estimates import LEAST_SAMPLES, Known
from jgc.residual._sampling.model_masks import check_model, is_stateful
from jgc.residual._sampling.random_masks import block_size, key_words
from jgc.residual._sampling.unseen import rare_outcomes
from jgc.stragglers import StragglerModel


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

    For a fixed decoder `exact` is the answer; a sample of it is a check.

    Masks of independent stragglers are drawn from a mixture of laws and weighted, so
    that rare outcomes of single workers, many stragglers at once and lost partitions
    are met however rare they are, and the mean stays unbiased. Masks of a `model` come
    as they come.

    The standard error is infinite where fewer than about 10 of the events that carry
    the variance were met, or none at all: more trials are needed, or an enumeration. It
    is 0 only where the error does not depend on chance. What it can not know of is a
    kind of mask that no law looks for: a decoder of your own that fails on a few masks
    in particular, or a rare event of a `model` that strikes several workers at once.

    Runs on all local devices in memory that does not grow with `num_trials`. Trials
    belong to blocks of a size that depends on k alone, each with random bits of its own
    from `key`; blocks are merged in order, in float64. So the result depends neither on
    `chunk_size` nor on the number of devices, nor do different backends draw different
    masks. Results are equal to the last bit on devices of one kind. Blocks are computed
    whole: trials short of one cost as much as it does (k = 10: 16,384 trials, 1,000:
    256).

    Args:
        key: a JAX random key of any kind. The same key gives the same random words to
            every plan, and so mostly the same stragglers to plans of the same p:
            differences between codes are known better than each error.
        plan: the code, or several with equal k and n in one compiled call, of which
            each may have its own p (for another p than it was designed for, replace
            `straggler_probabilities`).
        num_trials: masks to draw, at most; at least 2. A pilot of a block or a few, to
            choose control variates by, is not counted.
        decoder: from `jgc.decoders`, or a `Decoder` of your own, given masks
            (k, trials).
        model: of the stragglers, of the plan's k workers; by default independent, with
            the plan's p. A trace needs `replay(…, random_start=True)`.
        gradients: how the partition gradients relate, as in `exact`.
        target_relative_error: stop once the standard error is at most this times the
            mean, of every plan, and about 50 events carry each; looked at after each
            block, from 256 samples on.
        control_variate: for decoders that depend on the mask, where stragglers are
            independent, also measure the fixed decoder's error, the partitions lost
            and the workers that answered, whose means are known, and remove the part
            of the noise that they explain, usually most. The method is then
            "monte_carlo, controlled". Not where so few events carry what is left that
            it may be larger.
        chain_length: for models with a state: trials are runs of this many
            consecutive iterations, and the standard error is that of independent runs.
        chunk_size: trials per device call, rounded to whole blocks; by default calls
            grow to a quarter of a second. Changes how often the progress moves.
        progress: show a bar; by default on a terminal, if the run is long.

    Returns:
        One result, or one for each plan of a sequence.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.5, 0.5], num_partitions=2)
        >>> found = monte_carlo(jax.random.key(0), plan, num_trials=10_000)
        >>> abs(found.relative - 0.375) < 4 * found.relative_standard_error
        True
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
    source = Source(key, key_words(key))
    k = plans[0].num_workers
    if model is not None:
        check_model(model, key, num_workers=k, steps=chain_length)
    steps = chain_length if model is not None and is_stateful(model, key) else 1
    sampling = Sampling(
        isinstance(decoder, Fixed),
        model,
        max(1, block_size(k) // steps),
        steps,
        control_variate
        and can_be_controlled(decoder, model)
        and num_trials >= LEAST_SAMPLES,
    )
    cases = cases_of(
        plans, related, decoder.specialised(plans), sampling, num_trials=num_trials
    )
    if cases.proposals is not None and num_trials >= LEAST_SAMPLES:
        apart = jax.random.fold_in(key, 1)
        drawn = pilot(Source(apart, key_words(apart)), cases, sampling)
        means = np.zeros((len(plans), 0))
        if sampling.controlled:
            means = np.stack([control_means(one, related) for one in plans])
        cases = cases._replace(combination=Combination.controlled(means, drawn))
    rarer, unseen = np.zeros(0), np.zeros((len(plans), 0))
    if model is not None:
        rarer, unseen = rare_outcomes(
            model,
            jax.random.fold_in(key, 1),
            lambda mask: errors_of_masks(cases.evaluator, mask),
            num_trials=num_trials,
        )
    run = Run(
        sampling,
        source,
        cases,
        num_samples=-(-num_trials // steps),
        known=Known(
            is_random(
                plans,
                cases,
                model,
                squared_norm=related.squared_norm(plans[0].num_partitions),
            ),
            rarer,
            unseen,
        ),
        target=target_relative_error,
    )
    found = run.finish(chunk_size=chunk_size, progress=progress)
    results = [
        ResidualError(
            mean=float(found.mean[i]),
            standard_error=float(found.standard_error[i]),
            trials=found.trials,
            method="monte_carlo, controlled" if sampling.controlled else "monte_carlo",
            squared_norm=related.squared_norm(plans[0].num_partitions),
        )
        for i in range(len(plans))
    ]
    return results[0] if isinstance(plan, CodingPlan) else results
