"""Best linear unbiased decoding [ours], and what trades its variance for a bias."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, PRNGKeyArray
from numpy.typing import ArrayLike
from scipy import sparse

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.decoders._structure import encoding_rows, structure_of
from jgc.decoders._tilted import design
from jgc.decoders._tilted.decoder import Design, Tilted
from jgc.decoders._tilted.law import Law, law_of
from jgc.decoders._tilted.projections import System, system_of
from jgc.decoders._tilted.recipe import Recipe
from jgc.gradients import GradientsLike, as_gradients

if TYPE_CHECKING:
    from jgc.stragglers import StragglerModel

# Numbers of a sample of masks, and its bounds.
_SAMPLE_ENTRIES = 1 << 20
_FEWEST_MASKS, _MOST_MASKS = 128, 4096

# Batches of fresh masks for the correction, and as many to measure what is left.
_FRESH_BATCHES = 8

_EXACT_TOLERANCE = 1e-13
_SAMPLED_TOLERANCE = 1e-3
_CORRECTION_TOLERANCE = 1e-2


def best_unbiased(
    plan: CodingPlan,
    *,
    gradients: GradientsLike,
    model: "StragglerModel | ArrayLike | None" = None,
    key: PRNGKeyArray | None = None,
    num_masks: int | None = None,
) -> Tilted:
    """Of all linear decoders that are unbiased, the one of least error [ours].

    The paper's weights are fixed. The master knows who answered, so that weights may
    depend on it, at no cost to anyone: v(I) = K_I⁺ u_I with K = AGAᵀ and u = Aλ, λ such
    that E[Aᵀv(I)] = 1. That least squares decodes towards a tilted target u and not
    towards A G 1 takes its bias away, with the least variance that an unbiased
    combination of the messages can have (Lagrange; SPEC section 10). Never worse than
    the plan's own weights where those are unbiased, or than any unbiased decoder of
    the same messages. As ρ → 1 it reaches P₀/(1 − P₀), the floor of every unbiased
    estimator (`residual.unbiased_floor`), for every code.

    Weights are not those of a pseudo-inverse where messages are nearly parallel: what
    tells those apart, below 5e-3 of their size in float32 and 6e-6 in float64, is
    passed over, by the precision that jax has when it is designed. Decode in that one.

    λ is found once, on the host; an iteration is one solve, O(k) for codes whose
    workers overlap in a band (interval, Scheme II, repetition, cyclic) and for graph
    codes, O(k³) for others.

    Unbiased under the law of who answers that it is designed for: the plan's own p,
    independent, by default. Exactly so (to rounding) where that law is known whole:
    up to 14 groups of workers with different messages, however many workers, recorded
    masks, or a model that knows its outcomes. A sample of masks leaves a bias in E[c]:
    it is corrected once with eight times as many fresh masks, measured again on others,
    and reported in `decoder.design`.

    Args:
        plan: the code, on the host; any.
        gradients: ρ or of `jgc.gradients`: what the variance is least for; it is
            unbiased for any. A nearly singular Gram matrix is designed for with 1e-3 of
            its mean diagonal added: what costs nothing would grow without limit.
        model: who answers: None for independent workers with the plan's p; a
            `StragglerModel`, by its `outcomes`, or without them sampled in runs of 64
            iterations; or recorded masks (T, k), such as
            `trace.answered(deadline)`, whose own law is taken as it is.
        key: of `jax.random`, where masks are sampled.
        num_masks: in the sample; by default 2^20 numbers' worth, 128 to 4,096.

    Returns:
        A decoder; its `design` holds λ, the predicted error, and the bias that is
        left.

    Raises:
        ValueError: no combination of the messages is unbiased; names the partitions,
            such as those whose holders never answer. Or an argument out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5, 0.1], num_partitions=3)
        >>> decoder = best_unbiased(plan, gradients=0.5)
        >>> fixed = jgc.residual.exact(plan, gradients=0.5)
        >>> bool(decoder.design.error < fixed.mean)
        True
    """
    return _designed(
        plan,
        gradients=gradients,
        noise_ratio=np.inf,
        model=model,
        key=key,
        num_masks=num_masks,
    )


def trade_off(
    plan: CodingPlan,
    *,
    gradients: GradientsLike,
    noise_ratio: float,
    model: "StragglerModel | ArrayLike | None" = None,
    key: PRNGKeyArray | None = None,
    num_masks: int | None = None,
) -> Tilted:
    """Of all linear decoders, the one of least Λ·‖bias‖² + variance [ours].

    The paper's (42) for decoders that know who answered, and for any gradients:

        minimise  Λ ‖g − E ĝ‖² + E‖ĝ − E ĝ‖².

    Λ = ∞ is `best_unbiased`; Λ = 1 has the least error, `conditional_least_squares`;
    Λ < 1 shrinks further. For aligned gradients it is `best_unbiased` times
    Λ/(Λ + P₀/(1 − P₀)), as (43) is w times Λ/(Λ + 1/D).

    Args:
        plan: as in `best_unbiased`.
        gradients: as there.
        noise_ratio: Λ ≥ 0, may be infinite.
        model: as there.
        key: as there.
        num_masks: as there.

    Raises:
        ValueError: as `best_unbiased`.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.5, 0.5], num_partitions=2)
        >>> second = trade_off(plan, gradients=1.0, noise_ratio=1.0)
        >>> float(second(plan, np.array([True, False]))[0].round(4))
        2.0
    """
    if np.ndim(noise_ratio) != 0 or not noise_ratio >= 0:
        raise ValueError(
            f"noise_ratio must be a number ≥ 0, infinity included, got {noise_ratio!r}"
        )
    return _designed(
        plan,
        gradients=gradients,
        noise_ratio=float(noise_ratio),
        model=model,
        key=key,
        num_masks=num_masks,
    )


def conditional_least_squares(
    plan: CodingPlan,
    *,
    gradients: GradientsLike,
    model: "StragglerModel | ArrayLike | None" = None,
    key: PRNGKeyArray | None = None,
    num_masks: int | None = None,
) -> Tilted:
    """v(I) = K_I⁺(AG1)_I: the least error of all linear decoders, given who answered.

    Biased: where little arrives it shrinks towards 0. Good for few iterations or a
    large P₀; in the long run a bias does not average out, noise does. For ρ = 0 it is
    `least_squares`. Its weights need no law of who answers; `design.error` and
    `design.bias` are under the one given.

    Args:
        plan: as in `best_unbiased`.
        gradients: as there.
        model: as there.
        key: as there.
        num_masks: as there.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.5, 0.5], num_partitions=2)
        >>> decoder = conditional_least_squares(plan, gradients=0.0)
        >>> decoder(plan, np.array([True, False])).round(4).tolist()
        [1.0, 0.0]
    """
    return _designed(
        plan,
        gradients=gradients,
        noise_ratio=1.0,
        model=model,
        key=key,
        num_masks=num_masks,
    )


def _designed(
    plan: CodingPlan,
    *,
    gradients: GradientsLike,
    noise_ratio: float,
    model: "StragglerModel | ArrayLike | None",
    key: PRNGKeyArray | None,
    num_masks: int | None,
) -> Tilted:
    own = as_gradients(gradients, plan.num_partitions)
    structure = structure_of([plan])
    system = system_of(plan, own, structure)
    if num_masks is None:
        fair = _SAMPLE_ENTRIES // plan.num_workers
        num_masks = int(np.clip(fair, _FEWEST_MASKS, _MOST_MASKS))
    num_masks = _checks.count("num_masks", num_masks, minimum=2)
    law = law_of(plan, model, structure=structure, key=key, num_masks=num_masks)
    is_unbiased = bool(np.isinf(noise_ratio))
    if is_unbiased:
        _check_all_can_answer(plan, law)
    diagonal = _diagonal(plan, law, system)
    tolerance = _EXACT_TOLERANCE if law.draw is None else _SAMPLED_TOLERANCE
    response = design.response_of(system, law)
    tilt = design.solve(
        response, noise_ratio=noise_ratio, tolerance=tolerance, diagonal=diagonal
    )
    if is_unbiased:
        _check_is_unbiased(plan, system, tilt, law)
        if law.draw is not None:
            fresh = (
                design.response_of(system, law._replace(masks=law.draw(index)))
                for index in range(_FRESH_BATCHES)
            )
            tilt = design.corrected(
                tilt,
                fresh,
                response,
                tolerance=_CORRECTION_TOLERANCE,
                diagonal=diagonal,
            )
    recipe = Recipe(
        constructor=_designed,
        name=_name(noise_ratio),
        is_unbiased=is_unbiased,
        gradients=own,
        options=(
            ("noise_ratio", noise_ratio),
            ("model", model),
            ("key", key),
            ("num_masks", num_masks),
        ),
    )
    return _assembled(response, tilt, law, recipe)


def _name(noise_ratio: float) -> str:
    if np.isinf(noise_ratio):
        return "best unbiased"
    if noise_ratio == 1:
        return "conditional least squares"
    return f"bias for variance at {noise_ratio:g}"


def _assembled(
    response: design.Response, tilt: design.Tilt, law: Law, recipe: Recipe
) -> Tilted:
    system = response.system
    is_simple = system.similarity == 0
    direction = tilt.multipliers(system) if is_simple else tilt.direction
    # On the law, or on masks not designed with.
    seen = [response]
    if law.draw is not None:
        seen = [
            design.response_of(
                system, law._replace(masks=law.draw(_FRESH_BATCHES + index))
            )
            for index in range(_FRESH_BATCHES)
        ]
    moments = [one.moments(tilt.direction, tilt.level) for one in seen]
    bias = np.array([of_one for of_one, _ in moments])
    error = np.array([of_one for _, of_one in moments])
    return Tilted(
        projection=system.projection,
        tilt=np.asarray(system.rows @ direction),
        common=None if is_simple else np.asarray(system.rows @ system.target),
        level=tilt.level,
        similarity=system.similarity,
        design=Design(
            multipliers=system.multipliers(tilt.multipliers(system)),
            error=float(error.mean()),
            standard_error=float(_standard_error(error)),
            bias=bias.mean(axis=0),
            bias_standard_error=_standard_error(bias),
            num_masks=law.masks.shape[1],
            method=law.method,
        ),
        recipe=recipe,
    )


def _standard_error(batches: Float[np.ndarray, "batches ..."]) -> np.ndarray:
    """Of the mean; masks of a batch depend on one another, batches do not."""
    if batches.shape[0] == 1:  # the whole law
        return np.zeros(batches.shape[1:])
    # Of a vector, NumPy gives a number that is no array.
    return np.asarray(batches.std(axis=0, ddof=1) / np.sqrt(batches.shape[0]))


def _check_all_can_answer(plan: CodingPlan, law: Law) -> None:
    worker = np.asarray(plan.edge_worker)
    holds = np.asarray(plan.edge_coefficient) != 0
    live = holds & (law.answers() > 0)[worker]
    if law.method == "enumeration":  # groups answer there, not workers
        live = holds & (np.asarray(plan.straggler_probabilities) < 1)[worker]
    count = np.bincount(
        np.asarray(plan.edge_partition)[live], minlength=plan.num_partitions
    )
    lost = np.flatnonzero(count == 0)
    if lost.size:
        raise ValueError(
            "no decoder is unbiased: no worker that ever answers holds "
            f"{_list_of('partition', lost)}"
        )


def _check_is_unbiased(
    plan: CodingPlan, system: System, tilt: design.Tilt, law: Law
) -> None:
    """Where E[c] = 1 was not reached, because no combination of messages gives 1."""
    residual = np.abs(system.coefficients(tilt.mean) - 1)
    if residual.max() <= (1e-5 if law.draw is None else 0.05):
        return
    rows = encoding_rows(plan)
    p = np.asarray(plan.straggler_probabilities)
    live = p < 1 if law.method == "enumeration" else law.answers() > 0
    nearest = sparse.linalg.lsmr(
        rows[np.flatnonzero(live)].T,
        np.ones(rows.shape[1]),
        atol=1e-12,
        btol=1e-12,
        maxiter=10 * max(rows.shape),
    )[0]
    off = np.abs(rows[np.flatnonzero(live)].T @ nearest - 1)
    if off.max() > 1e-6:
        raise ValueError(
            "no decoder is unbiased: all messages together cannot make up the sum of "
            "all gradients, for their coefficients on "
            f"{_list_of('partition', np.flatnonzero(off > 1e-6))}"
        )
    raise ValueError(
        "the design did not converge: E[c] is off by up to "
        f"{residual.max():.2g} on {_list_of('partition', [residual.argmax()])}, whose "
        "holders all but never answer"
    )


def _list_of(noun: str, numbers: ArrayLike) -> str:
    listed = [int(number) for number in np.asarray(numbers)]
    shown = ", ".join(map(str, listed[:10]))
    more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
    return f"{noun}{'s' if len(listed) > 1 else ''} {shown}{more}"


def _diagonal(plan: CodingPlan, law: Law, system: System) -> Float[np.ndarray, " m"]:
    """How likely each partition is to arrive: about the diagonal of E[Π_I]."""
    if system.factor is not None:
        return np.ones(system.target.size)
    answers = law.answers()
    if law.method == "enumeration":
        answers = 1 - np.asarray(plan.straggler_probabilities, np.float64)
    silent = np.log(np.maximum(1 - answers, 1e-12))
    worker, partition = np.asarray(plan.edge_worker), np.asarray(plan.edge_partition)
    lost = np.bincount(partition, weights=silent[worker], minlength=plan.num_partitions)
    return np.maximum(-np.expm1(lost), 1e-12)
