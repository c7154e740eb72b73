import itertools
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.training import arrays, partitioned
from tests.training import problems

PARTITION = np.array([0, 2, 1, 0, 2, 0, 1, 2, 2])  # of 3, 2 and 4 examples
EXAMPLES = jax.tree.map(
    lambda leaf: np.asarray(leaf[: PARTITION.size]), problems.examples()
)
COEFFICIENTS = jnp.array([0.5, -1.0, 2.0])  # c_j of some mask
KEY = jax.random.key(5)


class Numbers:
    """Example i is i, read one by one."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return np.int32(index)


def cut(batch_size, *, partition=PARTITION, source=None, n=3):
    source = arrays(EXAMPLES) if source is None else source
    return partitioned(source, partition, num_partitions=n, batch_size=batch_size)


def gradient(batch, coefficients):
    """∇ Σ_js c_j weights[j, s] loss[j, s]."""

    def objective(params):
        flat = jax.tree.map(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), batch.examples
        )
        losses = problems.loss(params, flat).reshape(batch.weights.shape)
        each = (batch.weights * losses).sum(1)
        return coefficients[batch.partition] @ each

    return jax.grad(objective)(problems.params())


def full_gradient(coefficients):
    def objective(params):
        losses = problems.loss(params, EXAMPLES)
        return (coefficients[PARTITION] * losses).mean()

    return jax.grad(objective)(problems.params())


def test_all_examples_are_the_mean_loss_however_unequal():
    partition = np.where(PARTITION == 1, 3, PARTITION)  # partition 1 is empty
    batch = cut(0, partition=partition, n=4).batch(KEY, 0)
    assert batch.weights.shape == (4, 4)
    expected = [[1, 1, 1, 0], [0] * 4, [1] * 4, [1, 1, 0, 0]]
    np.testing.assert_allclose(batch.weights * PARTITION.size, expected, rtol=1e-6)
    found = gradient(batch, jnp.append(COEFFICIENTS, COEFFICIENTS[1]))
    chex.assert_trees_all_close(found, full_gradient(COEFFICIENTS), rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_mean_over_all_batches_is_the_full_gradient(batch_size):
    """Where b = 3, partition 1 has 2 examples only: it is taken whole."""
    own = [np.flatnonzero(j == PARTITION) for j in range(3)]
    sets = [list(itertools.combinations(o, min(batch_size, o.size))) for o in own]
    some = cut(batch_size).batch(KEY, 0)

    def of_rows(rows):
        examples = jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], EXAMPLES)
        batch = type(some)(examples, some.weights, some.partition)
        return gradient(batch, COEFFICIENTS)

    rows = [
        [np.resize(chosen, batch_size) for chosen in each]
        for each in itertools.product(*sets)
    ]
    found = jax.tree.map(lambda leaf: leaf.mean(0), jax.vmap(of_rows)(np.array(rows)))
    chex.assert_trees_all_close(found, full_gradient(COEFFICIENTS), rtol=1e-5)


def test_draws_are_distinct_of_their_partition_and_every_set_is_equally_likely():
    draws = jax.vmap(cut(2).rows, in_axes=(None, 0))(KEY, jnp.arange(6000))
    assert (PARTITION[draws] == np.arange(3)[:, None]).all()
    draws = np.sort(draws, axis=-1)
    assert (draws[..., 0] < draws[..., 1]).all()
    for j in range(3):
        members = np.flatnonzero(j == PARTITION)
        sets, counts = np.unique(draws[:, j], axis=0, return_counts=True)
        assert len(sets) == members.size * (members.size - 1) / 2
        share = 1 / len(sets)
        error = np.sqrt(len(draws) * share * (1 - share))
        assert (np.abs(counts - len(draws) * share) <= 4 * error).all()


def test_partitions_draw_independently_of_one_another():
    partition = np.repeat(np.arange(3), 8)
    whole = cut(1, partition=partition, source=Numbers(24))
    draws = jax.vmap(whole.rows, in_axes=(None, 0))(KEY, jnp.arange(8000))
    draws = np.asarray(draws)[..., 0] % 8
    pairs = np.bincount(8 * draws[:, 0] + draws[:, 2], minlength=64)
    later = np.bincount(8 * draws[1:, 1] + draws[:-1, 1], minlength=64)
    for counts in (pairs, later):
        expected = counts.sum() / 64
        assert ((counts - expected) ** 2 / expected).sum() < 120  # χ², 63 degrees


@pytest.mark.parametrize("batch_size", [0, 2])
@pytest.mark.parametrize("held", [[2], [2, 0], [0, 1, 2]])
def test_every_holder_of_a_partition_reads_the_same(batch_size, held):
    whole = cut(batch_size)
    own = whole.select(held)
    assert len(own.source) == np.isin(PARTITION, held).sum()
    for iteration in (0, 1, 10_000):
        everything, some = whole.batch(KEY, iteration), own.batch(KEY, iteration)
        assert some.partition.tolist() == held
        expected = jax.tree.map(
            lambda leaf: np.asarray(leaf)[np.array(held)], everything
        )
        chex.assert_trees_all_equal(jax.tree.map(np.asarray, some), expected)
    np.testing.assert_array_equal(  # and so of a source that stays whole
        cut(batch_size, source=Numbers(9)).select(held).rows(KEY, 3),
        cut(batch_size, source=Numbers(9)).rows(KEY, 3)[np.array(held)],
    )


def test_selections_may_be_selected_from_and_hold_nothing_but_empty_partitions():
    partition = np.where(PARTITION == 1, 3, PARTITION)
    whole = cut(2, partition=partition, n=4)
    again = whole.select([3, 0, 1]).select([1, 3])
    np.testing.assert_array_equal(
        again.batch(KEY, 5).weights[1], whole.batch(KEY, 5).weights[3]
    )
    nothing = whole.select([1])
    assert len(nothing.source) == 1
    assert not nothing.batch(KEY, 5).weights.any()


def test_what_a_worker_is_sent_is_small():
    big = arrays({"x": np.zeros((1000, 500))})
    partition = np.arange(1000) % 100
    whole = partitioned(big, partition, num_partitions=100, batch_size=1)
    assert len(pickle.dumps(whole.select([3, 4]))) < 2 * 10 * 500 * 8 + 4000
    lazy = partitioned(Numbers(1000), partition, num_partitions=100, batch_size=1)
    sent = pickle.dumps(lazy.select([3, 4]))
    assert len(sent) < 1500
    np.testing.assert_array_equal(
        pickle.loads(sent).rows(KEY, 1), lazy.rows(KEY, 1)[3:5]
    )


def test_batches_of_arrays_are_part_of_a_compiled_loop():
    device = cut(2, source=arrays(jax.tree.map(jnp.asarray, EXAMPLES)))

    @jax.jit
    def labels(data):
        def body(_, iteration):
            return None, data.batch(KEY, iteration).examples["label"]

        return jax.lax.scan(body, None, jnp.arange(4))[1]

    host = cut(2)
    expected = np.stack([host.batch(KEY, t).examples["label"] for t in range(4)])
    np.testing.assert_array_equal(labels(device), expected)
    np.testing.assert_array_equal(labels(host), expected)
    assert isinstance(device.batch(KEY, 0).examples["label"], jax.Array)
    assert isinstance(host.batch(KEY, 0).examples["label"], np.ndarray)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 5}, "batch_size must be at most 4, .*largest.* got 5"),
        ({"batch_size": -1}, "batch_size must be an integer ≥ 0, got -1"),
        ({"batch_size": 1.5}, "batch_size must be an integer, got 1.5"),
        ({"num_partitions": 2}, r"assignment must lie in \[0, 2\)"),
        ({"num_partitions": 0}, "num_partitions must be an integer ≥ 1"),
        ({"assignment": PARTITION[1:]}, "each of the source's 9 examples, got 8"),
        ({"assignment": PARTITION + 0.0}, "assignment must be .*of integers"),
        ({"assignment": PARTITION[:, None]}, "assignment must be one-dimensional"),
        ({"assignment": PARTITION - 1}, r"assignment must lie in \[0, 3\)"),
    ],
)
@pytest.mark.wrong_types
def test_wrong_arguments_are_named(arguments, message):
    accepted = {"assignment": PARTITION, "num_partitions": 3}
    with pytest.raises(ValueError, match=message):
        partitioned(Numbers(9), **(accepted | arguments))


@pytest.mark.wrong_types
def test_a_tree_of_arrays_is_no_source():
    with pytest.raises(ValueError, match=r"2 examples, got 9; .*arrays\(tree\)"):
        partitioned({"x": np.ones(9), "y": 1}, PARTITION, num_partitions=3)


@pytest.mark.parametrize("numbers", [[], [0, 0], [3], [[0, 1]]])
@pytest.mark.wrong_types
def test_wrong_selections_are_named(numbers):
    with pytest.raises(ValueError, match="numbers must be"):
        cut(1).select(numbers)


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_an_array_is_the_source_of_its_rows(kind):
    rows = kind(np.arange(8.0).reshape(4, 2))
    cut = partitioned(rows, [0, 0, 1, 1], num_partitions=2)

    batch = cut.batch(jax.random.key(0), 0)

    np.testing.assert_array_equal(batch.examples, np.reshape(rows, (2, 2, 2)))
