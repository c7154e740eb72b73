"""The residual error over all 2^k masks: exact for any decoder, for few workers."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.decoders import Decoder, fixed
from jgc.gradients import GradientsLike, as_gradients
from jgc.residual._result import ResidualError
from jgc.residual._sampling.squared_error import ErrorEvaluator, error_evaluator
from jgc.stragglers import StragglerModel

_MOST_WORKERS = 20
_MASKS_PER_CHUNK = 1 << 12


def enumerate_masks(
    plan: CodingPlan,
    *,
    decoder: Decoder = fixed,
    p: ArrayLike | None = None,
    model: StragglerModel | None = None,
    gradients: GradientsLike | None = None,
) -> ResidualError:
    """E‖g − ĝ‖² as the sum over all masks of their probability times their error.

    In float64 on the default device, whatever the user's setting; 2^k decodings, or
    one for each of a model's outcomes.

    Args:
        plan: the code, of at most 20 workers, or any number with a model.
        decoder: from `jgc.decoders`, or a `Decoder` of your own.
        p: probabilities (k,) of independent stragglers; default the plan's.
        model: who answers, in place of p: one that knows its `outcomes`.
        gradients: how the partition gradients relate, as in `exact`.

    Raises:
        ValueError: more than 20 workers, a model that does not know its outcomes, or
            an argument out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.5] * 4, num_partitions=2, replication=2
        ... )
        >>> decoder = jgc.decoders.representative
        >>> found = enumerate_masks(plan, decoder=decoder, gradients=0.0)
        >>> found.mean, found.trials  # each block of unit norm is lost with 0.5²
        (0.5, 16)
    """
    if model is not None:
        return _over_outcomes(plan, decoder, p, model, gradients)
    k = plan.num_workers
    if k > _MOST_WORKERS:
        raise ValueError(
            f"plan must have at most {_MOST_WORKERS} workers to enumerate 2^k masks, "
            f"got {k}; use jgc.residual.monte_carlo"
        )
    check_decoder(decoder, plan)
    probabilities = mask_probabilities(
        _checks.probabilities(
            plan.straggler_probabilities if p is None else p, some_answer=False
        ),
        num_workers=k,
    )
    own = as_gradients(gradients, plan.num_partitions)
    evaluator = error_evaluator(plan, own, decoder.specialised([plan]))
    with jax.enable_x64(True):
        errors = np.asarray(errors_of_all_masks(evaluator))
    return _result(probabilities, errors, own.squared_norm(plan.num_partitions))


def _over_outcomes(
    plan: CodingPlan,
    decoder: Decoder,
    p: ArrayLike | None,
    model: StragglerModel,
    gradients: GradientsLike | None,
) -> ResidualError:
    known = model.outcomes() if model.outcomes is not None else None
    if known is None or p is not None:
        raise ValueError(
            "model must know its outcomes, and p be None beside it; for others use "
            "jgc.residual.monte_carlo"
        )
    if known.masks.shape[1] != plan.num_workers:
        raise ValueError(
            f"model must be of the plan's {plan.num_workers} workers, got "
            f"{known.masks.shape[1]}"
        )
    check_decoder(decoder, plan)
    own = as_gradients(gradients, plan.num_partitions)
    evaluator = error_evaluator(plan, own, decoder.specialised([plan]))
    with jax.enable_x64(True):
        errors = np.asarray(_errors_of(evaluator, known.masks.T))
    squared_norm = own.squared_norm(plan.num_partitions)
    return _result(known.probability, errors, squared_norm)


def _result(
    probability: Float[np.ndarray, " masks"],
    errors: Float[np.ndarray, " masks"],
    squared_norm: float,
) -> ResidualError:
    return ResidualError(
        mean=float(probability @ errors),
        standard_error=0.0,
        trials=errors.size,
        method="enumeration",
        squared_norm=squared_norm,
    )


def mask_probabilities(
    p: Float[np.ndarray, " k"], *, num_workers: int
) -> Float[np.ndarray, " masks"]:
    """The probability of each mask; bit i of its index is whether worker i answered.

    Raises:
        ValueError: p is not of size k.
    """
    if p.size != num_workers:
        raise ValueError(f"p must have {num_workers} entries, got {p.size}")
    result = np.ones(1)
    for straggles in p:
        result = np.concatenate([result * straggles, result * (1 - straggles)])
    return result


@jax.jit
def _errors_of(
    evaluator: ErrorEvaluator, masks: Bool[Array, "k masks"]
) -> Float[Array, " masks"]:
    return evaluator.errors(masks)


@jax.jit
def errors_of_all_masks(evaluator: ErrorEvaluator) -> Float[Array, " masks"]:
    """‖g − ĝ‖² of each of the 2^k masks, numbered as in `mask_probabilities`."""
    return over_all_masks(evaluator.errors, evaluator.plan.num_workers).reshape(-1)


def all_coefficients(
    plan: CodingPlan, decoder: Decoder
) -> Float[np.ndarray, "n masks"]:
    """C of each of the 2^k masks, numbered as in `mask_probabilities`, in float64."""
    special = decoder.specialised([plan])
    with jax.enable_x64(True):
        chunks = np.asarray(_all_coefficients(plan, special))
    return np.moveaxis(chunks, 1, 0).reshape(plan.num_partitions, -1)


@jax.jit
def _all_coefficients(
    plan: CodingPlan, decoder: Decoder
) -> Float[Array, "chunks n trials"]:
    return over_all_masks(partial(decoder.coefficients, plan), plan.num_workers)


def over_all_masks(
    function: Callable[[Bool[Array, "k trials"]], Array], num_workers: int
) -> Float[Array, "chunks ..."]:
    """`function` of all 2^k masks, by chunks, numbered as in `mask_probabilities`."""
    chunk = min(1 << num_workers, _MASKS_PER_CHUNK)
    worker = jnp.arange(num_workers)[:, None]

    def of_chunk(first: Array) -> Array:
        index = first + jnp.arange(chunk)
        return function(((index >> worker) & 1).astype(bool))

    return jax.lax.map(of_chunk, jnp.arange(0, 1 << num_workers, chunk))


def check_decoder(decoder: object, *plans: CodingPlan) -> None:
    """Raises ValueError on what is no decoder of one track for these plans."""
    if not isinstance(decoder, Decoder):
        raise ValueError(
            "decoder must be of jgc.decoders, such as jgc.decoders.from_function(f), "
            f"got {decoder!r}"
        )
    if decoder.num_tracks != 1:
        raise ValueError(
            f"decoder must have one track, {decoder.name!r} has {decoder.num_tracks}: "
            "the residual error is that of its first"
        )
    for plan in plans:
        decoder.check(plan)
