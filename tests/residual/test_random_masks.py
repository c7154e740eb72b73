"""Random bits, thresholds and masks by the block."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32

from jgc.residual._sampling import random_masks


def masks_of(p, *, blocks=1, size=8192, seed=0):
    words = random_masks.key_words(jax.random.key(seed))
    limits = random_masks.thresholds(np.asarray(p)[None])

    @jax.jit
    def block(index):
        packed = random_masks.bernoulli_masks(words, index, limits, size=size)
        planes = [packed.plane(jnp.uint32(d)) for d in range(random_masks.DRAWS)]
        return jnp.concatenate(planes, axis=1)

    return np.concatenate([block(jnp.uint32(i)) for i in range(blocks)], axis=1)


def test_the_generator_is_threefry():
    key = jnp.array([123, 456], jnp.uint32)
    counter = jnp.arange(16, dtype=jnp.uint32)
    ours = random_masks._threefry(key, counter, jnp.uint32(9))
    theirs = threefry_2x32(
        key, jnp.concatenate([counter, jnp.full(16, 9, jnp.uint32)])
    ).reshape(2, -1)
    np.testing.assert_array_equal(ours, theirs)


def test_certain_outcomes_are_certain():
    mask = masks_of([0.0, 1.0, 1e-300, 1 - 1e-16], blocks=4)
    assert mask[0].all()
    assert not mask[1].any()
    assert mask[2].all()
    assert not mask[3].any()


def test_frequencies_and_independence():
    p = np.array([0.5, 0.25, 1e-3, 0.999, 2**-17, 0.7])
    mask = masks_of(p, blocks=128)
    trials = mask.shape[1]
    error = (mask.mean(axis=1) - (1 - p)) / np.sqrt(p * (1 - p) / trials)
    assert (np.abs(error) < 4.5).all()
    frequent = mask[[0, 1, 5]]
    correlation = np.corrcoef(np.concatenate([frequent, np.roll(frequent, 1, 1)]))
    assert np.abs(correlation - np.eye(6)).max() < 5 / np.sqrt(trials)


def test_rounding_of_thresholds_has_no_bias():
    # 2^-17 is half a step of 16 bits: rounded down it would never happen.
    mask = masks_of(np.full(64, 2.0**-17), blocks=64)
    expected = mask.size * 2.0**-17
    assert abs((~mask).sum() - expected) < 5 * np.sqrt(expected)


def test_blocks_and_keys_differ():
    first, second = masks_of([0.5] * 4), masks_of([0.5] * 4, seed=1)
    assert 0.4 < (first == second).mean() < 0.6
    both = masks_of([0.5] * 4, blocks=2)
    np.testing.assert_array_equal(both[:, :8192], first)
    assert 0.4 < (both[:, :8192] == both[:, 8192:]).mean() < 0.6


@pytest.mark.parametrize("k", [1, 3, 10, 1000, 10**6])
def test_block_sizes(k):
    size = random_masks.block_size(k)
    assert size & (size - 1) == 0
    assert 32 <= size <= 16384


@pytest.mark.parametrize("key", [None, 3, np.zeros(2)])
@pytest.mark.wrong_types
def test_bad_keys(key):
    with pytest.raises(ValueError, match="key must be one JAX random key"):
        random_masks.key_words(key)
