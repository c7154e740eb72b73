import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.training import coded_gradient
from jgc.training._batches import mini_batches
from tests.training import problems

PARTITION = np.array([0, 2, 1, 0, 2, 0, 1, 2, 2])  # of 3, 2 and 4 examples
COEFFICIENTS = jnp.array([0.5, -1.0, 2.0])  # c_j of some mask
EXAMPLES = jax.tree.map(lambda leaf: leaf[: PARTITION.size], problems.examples())


def test_mean_over_all_batches_is_the_full_gradient():
    batches = mini_batches(PARTITION, num_partitions=3, batch_size=2)
    members = [np.flatnonzero(j == PARTITION) for j in range(3)]
    each = [list(itertools.combinations(own, 2)) for own in members]
    indices = np.array([np.concatenate(c) for c in itertools.product(*each)])
    assert len(indices) == 3 * 1 * 6
    coefficients = COEFFICIENTS * batches.scale

    def gradient(examples, weights):
        return coded_gradient(problems.loss, problems.params(), examples, weights)[0]

    def of_batch(indices):
        batch = jax.tree.map(lambda leaf: leaf[indices], EXAMPLES)
        return gradient(batch, coefficients[batches.partition] / indices.size)

    mean = jax.tree.map(lambda leaf: leaf.mean(0), jax.vmap(of_batch)(indices))
    full = gradient(EXAMPLES, COEFFICIENTS[PARTITION] / PARTITION.size)
    chex.assert_trees_all_close(mean, full, rtol=1e-5, atol=1e-6)


def test_draws_are_distinct_of_their_partition_and_equally_likely():
    batches = mini_batches(PARTITION, num_partitions=3, batch_size=2)
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = np.asarray(jax.vmap(batches.draw)(keys))
    np.testing.assert_array_equal(PARTITION[drawn[0]], [0, 0, 1, 1, 2, 2])
    assert (PARTITION[drawn] == batches.partition).all()
    assert (drawn[:, ::2] != drawn[:, 1::2]).all()
    share = np.bincount(drawn.ravel(), minlength=PARTITION.size) / len(keys)
    expected = 2 / np.bincount(PARTITION)[PARTITION]
    error = np.sqrt(expected * (1 - expected) / len(keys))
    assert (np.abs(share - expected) <= 4 * error).all()


@pytest.mark.parametrize("size", [0, 3])
def test_batches_larger_than_the_smallest_partition(size):
    with pytest.raises(
        ValueError, match=f"batch_size={size} must be at least 1 and.*2"
    ):
        mini_batches(PARTITION, num_partitions=3, batch_size=size)
