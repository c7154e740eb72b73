"""The law of who answers, as masks with probabilities: all of them, or a sample."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.decoders._structure import Structure

if TYPE_CHECKING:  # the two rooms lie side by side
    from jgc.stragglers import StragglerModel

# 2^14 masks: what is exact up to here takes about a second.
MOST_ENUMERATED = 14

# Consecutive iterations of each run of a model with a state.
_CHAIN_LENGTH = 64

# Numbers that a batch of masks may hold at once, 32 MiB, and 512 MiB where long
# recursions along the workers have few masks to run on.
_BATCH_ENTRIES = 1 << 22
_MOST_BATCH_ENTRIES = 1 << 26
_FEWEST_AT_ONCE = 128

Masks = Bool[np.ndarray, "k trials"]


def masks_at_once(size: int) -> int:
    """Of so many workers or partitions."""
    # A band of w + 1 diagonals and three sides or so a group.
    entries = 4 * size
    few = min(_FEWEST_AT_ONCE, _MOST_BATCH_ENTRIES // entries)
    return max(1, few, _BATCH_ENTRIES // entries)


class Law(NamedTuple):
    """Masks with probabilities.

    Attributes:
        masks: (k, T).
        probability: (T,), adds up to 1.
        method: "enumeration" (of groups, for each of which one worker answers),
            "recorded" (or a model's own outcomes) or "sampled".
        draw: `draw(i) -> masks (k, B)`, fresh and independent of `masks`, another batch
            for each i ≥ 0; None where `masks` are the whole law.
    """

    masks: Masks
    probability: Float[np.ndarray, " trials"]
    method: str
    draw: Callable[[int], Masks] | None

    def answers(self) -> Float[np.ndarray, " k"]:
        """How often each worker answers."""
        return self.masks @ self.probability


def law_of(
    plan: CodingPlan,
    model: "StragglerModel | ArrayLike | None",
    *,
    structure: Structure,
    key: PRNGKeyArray | None,
    num_masks: int,
) -> Law:
    """The law of the plan's own p, of a model, or of recorded masks.

    Args:
        plan: the code.
        model: None, a straggler model, or masks (T, k).
        structure: of the plan; what is decoded depends on which groups answered only.
        key: for laws that are sampled.
        num_masks: in a sample.

    Raises:
        ValueError: a model of other workers, or one to sample and no key.
    """
    k = plan.num_workers
    if model is None:
        p = _checks.probabilities(plan.straggler_probabilities)
        law = _enumerated(p, plan.batch_sizes > 0, structure)
        if law is not None:
            return law
        draw = _independent_batches(p, _seed(key), num_masks)
    elif callable(getattr(model, "sample", None)):
        outcomes = getattr(model, "outcomes", None)
        known = outcomes() if outcomes else None
        if known is not None:
            return _recorded(known.masks, k, known.probability)
        _seed(key)
        draw = _model_batches(model, key, k, num_masks)  # type: ignore[arg-type]
    else:
        return _recorded(model, k)  # type: ignore[arg-type]
    masks = draw(0)
    probability = np.full(masks.shape[1], 1 / masks.shape[1])
    return Law(masks, probability, "sampled", lambda i: draw(i + 1))


def _enumerated(
    p: Float[np.ndarray, " k"], holds: Bool[np.ndarray, " k"], structure: Structure
) -> Law | None:
    """All masks of groups that hold data: one worker speaks for its group."""
    group = np.array(structure.group)
    silent = np.ones(group.max() + 1)
    np.multiply.at(silent, group, np.where(holds, p, 1))
    random = np.flatnonzero((silent > 0) & (silent < 1))
    if random.size > MOST_ENUMERATED:
        return None
    answered = np.repeat((silent == 0)[:, None], 1 << random.size, axis=1)
    probability = np.ones(1)
    for bit, which in enumerate(random):
        answered[which] = (np.arange(1 << random.size) >> bit) & 1
        probability = np.concatenate(
            [probability * silent[which], probability * (1 - silent[which])]
        )
    masks = np.zeros((p.size, answered.shape[1]), bool)
    masks[np.array(structure.representative)] = answered
    return Law(masks, probability, "enumeration", None)


def _recorded(
    masks: ArrayLike,
    num_workers: int,
    probability: Float[np.ndarray, " T"] | None = None,
) -> Law:
    array = np.asarray(masks)
    is_boolean = array.dtype == bool or (
        array.dtype.kind in "iu" and np.isin(array, (0, 1)).all()
    )
    if array.ndim != 2 or array.shape[0] == 0 or not is_boolean:
        raise ValueError(
            "model must be a StragglerModel or boolean masks (T, k), a row a round, "
            f"got shape {array.shape} and dtype {array.dtype}"
        )
    if array.shape[1] != num_workers:
        raise ValueError(
            f"model must have a column for each of the plan's {num_workers} workers, "
            f"got {array.shape[1]}"
        )
    rows, outcome = np.unique(array.astype(bool), axis=0, return_inverse=True)
    counts = np.bincount(outcome.ravel(), weights=probability)
    return Law(rows.T, counts / counts.sum(), "recorded", None)


def _independent_batches(
    p: Float[np.ndarray, " k"], seed: np.random.SeedSequence, size: int
) -> Callable[[int], Masks]:
    """Batches in which every worker answers as often as it should, to one mask.

    Uniform numbers of each worker are spread over `size` strata in random order (Latin
    hypercube sampling, McKay et al. 1979): each mask has the right law, and a mean over
    masks loses the part of its variance that is a sum over workers.
    """

    def draw(index: int) -> Masks:
        rng = np.random.default_rng([*seed.generate_state(4), index])
        masks = np.empty((p.size, size), bool)
        rows = max(1, (1 << 22) // size)
        for start in range(0, p.size, rows):
            part = p[start : start + rows, None]
            strata = np.tile(np.arange(size, dtype=np.float32), (part.size, 1))
            strata = rng.permuted(strata, axis=1)
            uniform = (strata + rng.random((part.size, 1))) / size
            masks[start : start + rows] = uniform >= part
        return masks

    return draw


def _model_batches(
    model: "StragglerModel", key: PRNGKeyArray, num_workers: int, size: int
) -> Callable[[int], Masks]:
    chains = -(-size // _CHAIN_LENGTH)

    @jax.jit
    def runs(key: PRNGKeyArray) -> jax.Array:
        def run(key: PRNGKeyArray) -> jax.Array:
            start, *keys = jax.random.split(key, 1 + _CHAIN_LENGTH)

            def step(state: object, key: PRNGKeyArray) -> tuple[object, jax.Array]:
                mask, state = model.sample(state, key)
                return state, mask

            return jax.lax.scan(step, model.init(start), jax.numpy.stack(keys))[1]

        return jax.vmap(run)(jax.random.split(key, chains))

    def draw(index: int) -> Masks:
        masks = np.asarray(runs(jax.random.fold_in(key, index)))
        if masks.shape[2:] != (num_workers,):
            raise ValueError(
                f"model must sample masks of the plan's {num_workers} workers, got "
                f"shape {masks.shape[2:]}"
            )
        return np.ascontiguousarray(masks.reshape(-1, num_workers).T)

    return draw


def _seed(key: PRNGKeyArray | None) -> np.random.SeedSequence:
    if key is None:
        raise ValueError(
            "key must be a jax.random key where the masks are sampled: more than "
            f"{MOST_ENUMERATED} groups of workers that may straggle, or a model"
        )
    data = jax.random.key_data(key) if _is_typed(key) else key
    return np.random.SeedSequence(np.asarray(data, np.uint32).ravel().tolist())


def _is_typed(key: PRNGKeyArray) -> bool:
    return jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
