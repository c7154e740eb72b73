"""The compiled part of Monte Carlo: moments of many blocks of trials, on all devices."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from jgc.decoders import Decoder, fixed
from jgc.residual.random_masks import (
    Thresholds,
    bernoulli_mask,
    bernoulli_words,
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
    ) -> Array:
        def body(i: Array, out: Array) -> Array:
            block = first[0] + i
            valid = num_samples - block * sampling.chains
            moments = _one_block(
                block.astype(jnp.uint32), valid, source, evaluators, sampling
            )
            return jax.lax.dynamic_update_index_in_dim(out, moments, i, 0)

        plans = evaluators.weights.shape[0]
        out = jnp.zeros((BLOCKS_PER_CALL, plans, 5), jnp.float64)
        return jax.lax.fori_loop(0, count[0], body, out)[None]

    split, copied = PartitionSpec("device"), PartitionSpec()
    return jax.shard_map(
        on_device,
        mesh=Mesh(np.array(jax.local_devices()), ("device",)),
        in_specs=(split, split, copied, copied, copied),
        out_specs=split,
        check_vma=False,  # loops of unequal length, no communication
    )(first, count, num_samples, source, evaluators)


def _one_block(
    block: UInt32[Array, ""],
    valid: Int[Array, ""],
    source: Source,
    evaluators: ErrorEvaluator,
    sampling: Sampling,
) -> Float[Array, "plans 5"]:
    k, size = evaluators.weights.shape[1], sampling.chains * sampling.steps
    plans = evaluators.weights.shape[0]
    if sampling.model is None:
        drawn, rounding = bernoulli_words(source.words, block, k, size)
    else:
        mask = model_mask(
            sampling.model,
            source.key,
            block,
            chains=sampling.chains,
            steps=sampling.steps,
        )

    def of_plan(operand: tuple[ErrorEvaluator, Thresholds]) -> Float[Array, " 5"]:
        evaluator, limits = operand
        answered = (
            bernoulli_mask(drawn, rounding, limits) if sampling.model is None else mask
        )
        return _moments(evaluator, answered, valid, sampling)

    operands = (evaluators, source.thresholds)
    if plans == 1:
        return of_plan(jax.tree.map(lambda leaf: leaf[0], operands))[None]
    # Plans share the random words: their errors are compared on common stragglers.
    return jax.lax.map(of_plan, operands)


def _moments(
    evaluator: ErrorEvaluator,
    mask: Bool[Array, "k trials"],
    valid: Int[Array, ""],
    sampling: Sampling,
) -> Float[Array, " 5"]:
    x = _per_sample(evaluator.of_decoder(sampling.decoder, mask), sampling)
    is_valid = jnp.arange(sampling.chains) < valid
    number = jnp.clip(valid, 1, sampling.chains)

    def centred(values: Array) -> tuple[Array, Array]:
        mean = jnp.where(is_valid, values, 0).sum() / number
        return mean, jnp.where(is_valid, values - mean, 0)

    mean_x, dx = centred(x)
    if not sampling.controlled:
        zero = jnp.zeros_like(mean_x)
        return jnp.stack([mean_x, zero, (dx**2).sum(), zero, zero])
    mean_y, dy = centred(_per_sample(evaluator.of_fixed(mask), sampling))
    return jnp.stack(
        [mean_x, mean_y, (dx**2).sum(), (dy**2).sum(), (dx * dy).sum()]
    )


def _per_sample(error: Float[Array, " trials"], sampling: Sampling) -> Array:
    """The mean over each chain's iterations, in float64."""
    chains = error.reshape(sampling.chains, sampling.steps).astype(jnp.float64)
    return chains[:, 0] if sampling.steps == 1 else chains.mean(axis=1)


def can_be_controlled(decoder: Decoder, model: StragglerModel | None) -> bool:
    """Whether the fixed decoder's error has a known mean and is not the error itself."""
    return decoder is not fixed and model is None
