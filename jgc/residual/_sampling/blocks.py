"""The compiled part of Monte Carlo: moments of many blocks, on all devices."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from jgc.decoders import Decoder
from jgc.decoders._fixed import Fixed
from jgc.residual._sampling.control_variates import NUM_CONTROLS, controls
from jgc.residual._sampling.random_masks import (
    DRAWS,
    Thresholds,
    bernoulli_masks,
    model_mask,
)
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
        """The error, and its control variates."""
        return 1 + NUM_CONTROLS * self.controlled


class Source(NamedTuple):
    """Where masks come from: arrays, the same on all devices.

    Attributes:
        key: the caller's.
        words: two words derived from it.
        thresholds: of independent stragglers, with a leading axis over plans.
    """

    key: PRNGKeyArray
    words: UInt32[Array, " 2"]
    thresholds: Thresholds


@partial(jax.jit, static_argnames="sampling")
def block_moments(
    first: Int[Array, " devices"],
    count: Int[Array, " devices"],
    num_samples: Int[Array, ""],
    source: Source,
    evaluators: ErrorEvaluator,
    tables: Float[Array, "plans variables masks"] | None,
    *,
    sampling: Sampling,
) -> Float[Array, "devices blocks plans moments"]:
    """Means and scatters of blocks `first` … `first + count − 1` of each device.

    One program for any number of blocks: the trip count is data, so that a block goes
    through the same arithmetic whatever the chunk that it is in.

    Args:
        first: the first block of each device.
        count: blocks of each device, at most `BLOCKS_PER_CALL`.
        num_samples: of the whole run; the last block may be cut short by it.
        source: of the masks.
        evaluators: with a leading axis over plans on every array.
        tables: errors and controls of all masks, or None to decode each trial.
        sampling: the rest.

    Returns:
        Means and scatters of `Moments`, flat; what lies behind `count` is 0.
    """

    def on_device(
        first: Array,
        count: Array,
        num_samples: Array,
        source: Source,
        evaluators: ErrorEvaluator,
        tables: Array | None,
    ) -> Array:
        def body(i: Array, out: Array) -> Array:
            block = first[0] + i
            valid = num_samples - block * sampling.chains
            moments = _one_block(
                block.astype(jnp.uint32), valid, source, evaluators, tables, sampling
            )
            return jax.lax.dynamic_update_index_in_dim(out, moments, i, 0)

        plans = evaluators.plan.weights.shape[0]
        variables = sampling.num_variables
        shape = (BLOCKS_PER_CALL, plans, variables * (variables + 1))
        out = jnp.zeros(shape, jnp.float64)
        return jax.lax.fori_loop(0, count[0], body, out)[None]

    split, copied = PartitionSpec("device"), PartitionSpec()
    return jax.shard_map(
        on_device,
        mesh=Mesh(np.array(jax.local_devices()), ("device",)),
        in_specs=(split, split, copied, copied, copied, copied),
        out_specs=split,
        check_vma=False,  # loops of unequal length, no communication
    )(first, count, num_samples, source, evaluators, tables)


def _one_block(
    block: UInt32[Array, ""],
    valid: Int[Array, ""],
    source: Source,
    evaluators: ErrorEvaluator,
    tables: Array | None,
    sampling: Sampling,
) -> Float[Array, "plans moments"]:
    size = sampling.chains * sampling.steps
    if sampling.model is not None:
        shared = model_mask(
            sampling.model,
            source.key,
            block,
            chains=sampling.chains,
            steps=sampling.steps,
        )

    def of_plan(
        operand: tuple[ErrorEvaluator, Array | None, Thresholds],
    ) -> Float[Array, " moments"]:
        evaluator, table, limits = operand
        if sampling.model is not None:
            errors = _errors(evaluator, table, shared, sampling)
        else:
            masks = bernoulli_masks(source.words, block, limits, size=size)
            draws = jnp.arange(DRAWS, dtype=jnp.uint32)
            if sampling.is_fixed or table is not None:
                errors = jax.lax.map(
                    lambda draw: _errors(evaluator, table, masks.plane(draw), sampling),
                    draws,
                )
                errors = jnp.moveaxis(errors, 0, 1).reshape(errors.shape[1], -1)
            else:  # decoders gain more from long rows than unpacking them costs
                mask = jnp.concatenate([masks.plane(draw) for draw in draws], axis=1)
                errors = _errors(evaluator, None, mask, sampling)
        return _moments(errors, valid, sampling)

    operands = (evaluators, tables, source.thresholds)
    if evaluators.plan.weights.shape[0] == 1:
        return of_plan(jax.tree.map(lambda leaf: leaf[0], operands))[None]
    # Plans draw the same words: their errors are compared on common stragglers.
    return jax.lax.map(of_plan, operands)


def _errors(
    evaluator: ErrorEvaluator,
    table: Float[Array, "variables masks"] | None,
    mask: Bool[Array, "k trials"],
    sampling: Sampling,
) -> Float[Array, "variables trials"]:
    """The decoder's squared errors, and the control variates if there are any."""
    if table is not None:
        bit = jnp.arange(mask.shape[0], dtype=jnp.uint32)[:, None]
        index = (mask.astype(jnp.uint32) << bit).sum(axis=0, dtype=jnp.uint32)
        return table[:, index]
    error = evaluator.errors(mask)[None]
    if not sampling.controlled:
        return error
    return jnp.concatenate([error, controls(evaluator, mask)])


def _moments(
    errors: Float[Array, "variables trials"],
    valid: Int[Array, ""],
    sampling: Sampling,
) -> Float[Array, " moments"]:
    values = errors.reshape(-1, sampling.chains, sampling.steps).astype(jnp.float64)
    values = values[:, :, 0] if sampling.steps == 1 else values.mean(axis=2)
    is_valid = jnp.arange(sampling.chains) < valid
    number = jnp.clip(valid, 1, sampling.chains)
    mean = jnp.where(is_valid, values, 0).sum(axis=1) / number
    centred = jnp.where(is_valid, values - mean[:, None], 0)
    # Not a product: what it adds up in would be the backend's choice.
    scatter = (centred[:, None] * centred[None]).sum(axis=2)
    return jnp.concatenate([mean, scatter.reshape(-1)])


def can_be_controlled(decoder: Decoder, model: StragglerModel | None) -> bool:
    """Whether the error is sampled from masks whose control variates are known."""
    return not isinstance(decoder, Fixed) and model is None
