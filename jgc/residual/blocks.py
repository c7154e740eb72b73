"""The compiled part of Monte Carlo: moments of many blocks, on all devices."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from jgc.decoders import Decoder, fixed
from jgc.residual.random_masks import (
    DRAWS,
    Thresholds,
    bernoulli_masks,
    model_mask,
)
from jgc.residual.squared_error import ErrorEvaluator
from jgc.stragglers import StragglerModel

# Blocks that one compiled call can hold the moments of, per device.
BLOCKS_PER_CALL = 1024


class Sampling(NamedTuple):
    """What a compiled call depends on beside arrays; hashable.

    Attributes:
        decoder: the decoder.
        model: of the stragglers, or None for independent ones with the plans' p.
        chains: independent samples per block.
        steps: consecutive iterations per sample, 1 unless the model has a state.
        controlled: whether the fixed decoder's error is recorded beside the decoder's.
    """

    decoder: Decoder
    model: StragglerModel | None
    chains: int
    steps: int
    controlled: bool


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
    tables: Float[Array, "plans masks outputs"] | None,
    *,
    sampling: Sampling,
) -> Float[Array, "devices blocks plans 5"]:
    """Means and scatters of blocks `first` … `first + count − 1` of each device.

    One program for any number of blocks: the trip count is data, so that a block goes
    through the same arithmetic whatever the chunk that it is in.

    Args:
        first: the first block of each device.
        count: blocks of each device, at most `BLOCKS_PER_CALL`.
        num_samples: of the whole run; the last block may be cut short by it.
        source: of the masks.
        evaluators: with a leading axis over plans on every array.
        tables: errors of all masks, (x, y) or x alone, or None to decode each trial.
        sampling: the rest.

    Returns:
        The mean of x and y, and the three scatters of `Moments`; what lies behind
        `count` is 0.
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

        plans = evaluators.weights.shape[0]
        out = jnp.zeros((BLOCKS_PER_CALL, plans, 5), jnp.float64)
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
) -> Float[Array, "plans 5"]:
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
    ) -> Float[Array, " 5"]:
        evaluator, table, limits = operand
        if sampling.model is not None:
            errors = _errors(evaluator, table, shared, sampling)
        else:
            masks = bernoulli_masks(source.words, block, limits, size=size)
            draws = jnp.arange(DRAWS, dtype=jnp.uint32)
            if sampling.decoder is fixed or table is not None:
                errors = jax.lax.map(
                    lambda draw: _errors(evaluator, table, masks.plane(draw), sampling),
                    draws,
                )
            else:  # decoders gain more from long rows than unpacking them costs
                mask = jnp.concatenate([masks.plane(draw) for draw in draws], axis=1)
                errors = _errors(evaluator, None, mask, sampling)
        return _moments(errors, valid, sampling)

    operands = (evaluators, tables, source.thresholds)
    if evaluators.weights.shape[0] == 1:
        return of_plan(jax.tree.map(lambda leaf: leaf[0], operands))[None]
    # Plans draw the same words: their errors are compared on common stragglers.
    return jax.lax.map(of_plan, operands)


def _errors(
    evaluator: ErrorEvaluator,
    table: Float[Array, "masks outputs"] | None,
    mask: Bool[Array, "k trials"],
    sampling: Sampling,
) -> tuple[Array, Array | None]:
    """The decoder's squared errors, and the fixed decoder's where it is a control."""
    if table is not None:
        bit = jnp.arange(mask.shape[0], dtype=jnp.uint32)[:, None]
        index = (mask.astype(jnp.uint32) << bit).sum(axis=0, dtype=jnp.uint32)
        looked_up = table[index]
        return looked_up[:, 0], looked_up[:, 1] if sampling.controlled else None
    error = evaluator.of_decoder(sampling.decoder, mask)
    return error, evaluator.of_fixed(mask) if sampling.controlled else None


def _moments(
    errors: tuple[Array, Array | None], valid: Int[Array, ""], sampling: Sampling
) -> Float[Array, " 5"]:
    is_valid = jnp.arange(sampling.chains) < valid
    number = jnp.clip(valid, 1, sampling.chains)

    def centred(error: Array) -> tuple[Array, Array]:
        values = _per_sample(error, sampling)
        mean = jnp.where(is_valid, values, 0).sum() / number
        return mean, jnp.where(is_valid, values - mean, 0)

    x, y = errors
    mean_x, dx = centred(x)
    if y is None:
        zero = jnp.zeros_like(mean_x)
        return jnp.stack([mean_x, zero, (dx**2).sum(), zero, zero])
    mean_y, dy = centred(y)
    return jnp.stack([mean_x, mean_y, (dx**2).sum(), (dy**2).sum(), (dx * dy).sum()])


def _per_sample(error: Float[Array, "*trials"], sampling: Sampling) -> Array:
    """The mean over each chain's iterations, in float64."""
    chains = error.reshape(sampling.chains, sampling.steps).astype(jnp.float64)
    return chains[:, 0] if sampling.steps == 1 else chains.mean(axis=1)


def can_be_controlled(decoder: Decoder, model: StragglerModel | None) -> bool:
    """Whether the fixed decoder's error is another one, of known mean."""
    return decoder is not fixed and model is None
