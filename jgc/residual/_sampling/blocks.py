"""The compiled part of Monte Carlo: moments of many blocks, on all devices."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from jgc.decoders import Decoder
from jgc.decoders._fixed import Fixed
from jgc.residual._enumeration import over_all_masks
from jgc.residual._sampling.control_variates import (
    NUM_CONTROLS,
    Combination,
    controls,
    partitions_lost,
)
from jgc.residual._sampling.model_masks import model_mask
from jgc.residual._sampling.proposals import Laws, Proposals
from jgc.residual._sampling.random_masks import DRAWS, Thresholds, bernoulli_masks
from jgc.residual._sampling.squared_error import ErrorEvaluator
from jgc.stragglers import StragglerModel

# Blocks that one compiled call can hold the moments of, per device.
BLOCKS_PER_CALL = 1024


class Sampling(NamedTuple):
    """What a compiled call depends on beside arrays; hashable.

    Attributes:
        is_fixed: whether the decoder is the plans' own weights.
        model: of the stragglers, or None for independent ones with the plans' p.
        chains: independent samples per block.
        steps: consecutive iterations per sample, 1 unless the model has a state.
        controlled: whether control variates are recorded beside the error.
    """

    is_fixed: bool
    model: StragglerModel | None
    chains: int
    steps: int
    controlled: bool

    @property
    def num_variables(self) -> int:
        """A trial's weight, its error, and its control variates."""
        return 2 + NUM_CONTROLS * self.controlled


class Source(NamedTuple):
    """Where masks come from: arrays, the same on all devices.

    Attributes:
        key: the caller's.
        words: two words derived from it.
    """

    key: PRNGKeyArray
    words: UInt32[Array, " 2"]


class Case(NamedTuple):
    """A plan's masks and what they mean: arrays; of many plans, with a leading axis.

    Attributes:
        evaluator: of the errors.
        limits: thresholds of the laws of independent stragglers, the plan's first.
        proposals: the other laws, or None to draw from the plan's alone.
        table: the variables of all masks, or None to decode each trial.
        combination: from variables to samples.
    """

    evaluator: ErrorEvaluator
    limits: Thresholds
    proposals: Proposals | None
    table: Float[Array, "variables masks"] | None
    combination: Combination


@partial(jax.jit, static_argnames="sampling")
def block_moments(
    first: Int[Array, " devices"],
    count: Int[Array, " devices"],
    num_samples: Int[Array, ""],
    source: Source,
    cases: Case,
    *,
    sampling: Sampling,
) -> Float[Array, "devices blocks plans samples 4"]:
    """Means and powers of blocks `first` … `first + count − 1` of each device.

    One program for any number of blocks: the trip count is data, so that a block goes
    through the same arithmetic whatever the chunk that it is in.

    Args:
        first: the first block of each device.
        count: blocks of each device, at most `BLOCKS_PER_CALL`.
        num_samples: of the whole run; the last block may be cut short by it.
        source: of the masks.
        cases: the plans.
        sampling: the rest.

    Returns:
        Mean and powers of `Moments`; what lies behind `count` is 0.
    """

    def on_device(
        first: Array, count: Array, num_samples: Array, source: Source, cases: Case
    ) -> Array:
        if cases.table is not None:
            cases = cases._replace(table=jax.vmap(_combined)(cases, cases.table))

        def body(i: Array, out: Array) -> Array:
            block = first[0] + i
            valid = num_samples - block * sampling.chains

            def of_plan(case: Case, shared: Array | None) -> Array:
                values = _variables(block, source, case, shared, sampling)
                if case.table is None:
                    values = _combined(case, values)
                return _moments(values, valid, sampling)

            moments = _over_plans(of_plan, block, source, cases, sampling)
            return jax.lax.dynamic_update_index_in_dim(out, moments, i, 0)

        shape = (BLOCKS_PER_CALL, *cases.combination.offset.shape, 4)
        out = jnp.zeros(shape, jnp.float64)
        return jax.lax.fori_loop(0, count[0], body, out)[None]

    split, copied = PartitionSpec("device"), PartitionSpec()
    return jax.shard_map(
        on_device,
        mesh=Mesh(np.array(jax.local_devices()), ("device",)),
        in_specs=(split, split, copied, copied, copied),
        out_specs=split,
        check_vma=False,  # loops of unequal length, no communication
    )(first, count, num_samples, source, cases)


@partial(jax.jit, static_argnames="sampling")
def block_variables(
    block: Int[Array, ""], source: Source, cases: Case, *, sampling: Sampling
) -> Float[Array, "plans variables trials"]:
    """A block's variables, before they are combined to samples."""

    def of_plan(case: Case, shared: Array | None) -> Array:
        return _variables(block, source, case, shared, sampling)

    return _over_plans(of_plan, block, source, cases, sampling)


def _over_plans(
    function: Callable[[Case, Array | None], Array],
    block: Array,
    source: Source,
    cases: Case,
    sampling: Sampling,
) -> Array:
    """`function` of each plan, and of the masks that a model gave to all."""
    shared = None
    if sampling.model is not None:
        shared = model_mask(
            sampling.model,
            source.key,
            block.astype(jnp.uint32),
            chains=sampling.chains,
            steps=sampling.steps,
        )
    if cases.combination.offset.shape[0] == 1:
        return function(jax.tree.map(lambda leaf: leaf[0], cases), shared)[None]
    # Plans draw the same words: their errors are compared on common stragglers.
    return jax.lax.map(lambda case: function(case, shared), cases)


def _variables(
    block: Array,
    source: Source,
    case: Case,
    shared: Bool[Array, "k trials"] | None,
    sampling: Sampling,
) -> Float[Array, "variables trials"]:
    """A block's weights, errors and controls, or what the table has for its masks."""
    if shared is not None:
        return _of_masks(case, shared, None, sampling)
    size = sampling.chains
    number = block.astype(jnp.uint32)
    laws = None
    if case.proposals is not None:
        laws = case.proposals.laws(source.words, number, size=size)
    masks = bernoulli_masks(
        source.words, number, case.limits, None if laws is None else laws.law, size=size
    )
    draws = jnp.arange(DRAWS, dtype=jnp.uint32)
    if sampling.is_fixed or case.table is not None:
        values = jax.lax.map(
            lambda operand: _of_masks(
                case, masks.plane(operand[0]), operand[1], sampling
            ),
            (draws, laws),
        )
        return jnp.moveaxis(values, 0, 1).reshape(values.shape[1], -1)
    # Decoders gain more from long rows than unpacking them costs.
    mask = jnp.concatenate([masks.plane(draw) for draw in draws], axis=1)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1), laws)
    return _of_masks(case, mask, flat, sampling)


def _of_masks(
    case: Case,
    mask: Bool[Array, "k trials"],
    laws: Laws | None,
    sampling: Sampling,
) -> Float[Array, "variables trials"]:
    if case.proposals is not None and laws is not None:
        mask = case.proposals.without_lost(mask, laws)
    if case.table is None:
        return variables(case.evaluator, case.proposals, mask, sampling)
    bit = jnp.arange(mask.shape[0], dtype=jnp.uint32)[:, None]
    index = (mask.astype(jnp.uint32) << bit).sum(axis=0, dtype=jnp.uint32)
    return case.table[:, index]


def variables(
    evaluator: ErrorEvaluator,
    proposals: Proposals | None,
    mask: Bool[Array, "k trials"],
    sampling: Sampling,
) -> Float[Array, "variables trials"]:
    """The weight of each mask; times its error; times its controls, if any."""
    error = evaluator.errors(mask)
    if not sampling.is_fixed:
        error = evaluator.without_rounding(error)
    needs_lost = sampling.controlled or not (sampling.is_fixed or proposals is None)
    lost = partitions_lost(evaluator.plan, mask) if needs_lost else None
    if proposals is None:
        weight = jnp.ones_like(error)
    else:
        weight = proposals.weights(mask, lost).astype(error.dtype)
    rows = error[None]
    if sampling.controlled and lost is not None:
        rows = jnp.concatenate([rows, controls(evaluator, mask, lost)])
    return jnp.concatenate([weight[None], weight * rows])


@partial(jax.jit, static_argnames="sampling")
def variables_of_all_masks(
    cases: Case, sampling: Sampling
) -> Float[Array, "plans variables masks"]:
    """What `variables` gives for each mask, numbered as in `mask_probabilities`."""

    def of_plan(case: Case) -> Array:
        chunks = over_all_masks(
            lambda mask: variables(case.evaluator, case.proposals, mask, sampling),
            case.evaluator.plan.num_workers,
        )
        return jnp.moveaxis(chunks, 1, 0).reshape(chunks.shape[1], -1)

    return jax.lax.map(of_plan, cases)


@jax.jit
def errors_of_masks(
    evaluators: ErrorEvaluator, mask: Bool[Array, "k trials"]
) -> Float[Array, "plans trials"]:
    """Each plan's ‖g − ĝ‖² of each mask."""
    return jax.lax.map(lambda one: one.errors(mask), evaluators)


def _combined(
    case: Case, values: Float[Array, "variables trials"]
) -> Float[Array, "samples trials"]:
    """Samples from variables."""
    if case.proposals is None:  # no weights, nothing to combine
        return values[1:2].astype(jnp.float64)
    offset, coefficient = case.combination
    # Not a product: what it adds up in would be the backend's choice.
    samples = jnp.asarray(offset)[:, None]
    for i, row in enumerate(values.astype(jnp.float64)):
        samples = samples + coefficient[:, i, None] * row
    return samples


def _moments(
    samples: Float[Array, "samples trials"],
    valid: Int[Array, ""],
    sampling: Sampling,
) -> Float[Array, "samples 4"]:
    values = samples.reshape(-1, sampling.chains, sampling.steps)
    values = values[:, :, 0] if sampling.steps == 1 else values.mean(axis=2)
    is_valid = jnp.arange(sampling.chains) < valid
    number = jnp.clip(valid, 1, sampling.chains)
    mean = jnp.where(is_valid, values, 0).sum(axis=1) / number
    centred = jnp.where(is_valid, values - mean[:, None], 0)
    square = centred**2
    powers = [(power).sum(axis=1) for power in (square, square * centred, square**2)]
    return jnp.stack([mean, *powers], axis=1)


def can_be_controlled(decoder: Decoder, model: StragglerModel | None) -> bool:
    """Whether the error is sampled from masks whose control variates are known."""
    return not isinstance(decoder, Fixed) and model is None
