"""Recorded masks: workers in processes end where the simulation does."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from benchmarks.coded_step import random_examples
from experiments.common.schemes import SCHEMES
from jgc.detection import ssdlite
from jgc.distributed import Driver, WorkerPool, wait_for
from jgc.training import init_state, make_step
from tests.training import problems

pytestmark = pytest.mark.slow

K, N, T = 4, 6, 4
P = np.array([0.3, 0.1, 0.7, 0.5])
PARTITION = np.arange(problems.NUM_EXAMPLES) % N
OPTIMIZER = optax.adam(0.1)
OPTIMIZER_OF_DETECTOR = optax.sgd(0.01)
MASKS = np.random.default_rng(0).random((T, K)) > P


@pytest.fixture(scope="module")
def pool(ray_cluster):
    with WorkerPool(K) as pool:
        yield pool


def simulated(loss, params, examples, partition, plan, decoder, optimizer=OPTIMIZER):
    step = make_step(loss, optimizer)
    state = init_state(params, optimizer)
    losses = []
    for mask in MASKS:
        coefficients = decoder.coefficients(plan, mask)
        state, each = step(state, examples, jnp.asarray(partition), coefficients)
        losses.append(float(each.mean()))
    return state, losses


CASES = [(scheme, None) for scheme in SCHEMES] + [("interval", 2)]


@pytest.mark.parametrize(("scheme", "chunk_size"), CASES)
def test_logistic_regression(pool, scheme, chunk_size):
    decoder = SCHEMES[scheme].decoder
    plan = SCHEMES[scheme].design(P, N, jax.random.key(0))
    driver = Driver(
        pool,
        problems.loss,
        OPTIMIZER,
        plan,
        params=problems.params(),
        examples=problems.examples(),
        partition=PARTITION,
        policy=wait_for(K),
        decoder=decoder,
        chunk_size=chunk_size,
    )
    state = driver.init(problems.params())
    for mask in MASKS:
        state, round = driver.advance(state, asked=mask)
        np.testing.assert_array_equal(round.mask, mask & (plan.batch_sizes > 0))
    expected, losses = simulated(
        problems.loss, problems.params(), problems.examples(), PARTITION, plan, decoder
    )
    chex.assert_trees_all_close(state.params, expected.params, rtol=2e-5, atol=1e-6)
    chex.assert_trees_all_close(state.opt_state, expected.opt_state, rtol=2e-4)
    if scheme == "dense":  # any worker has all the losses
        assert round.loss == pytest.approx(losses[-1], rel=1e-5)


def test_detector(pool):
    """Two of the workers get data: a detector takes long to compile."""
    detector = ssdlite(num_classes=3, image_size=32, width=0.1, strides=(8, 16))
    examples = random_examples(9, 32)
    partition = np.arange(9) % N
    params = jax.jit(detector.init)(jax.random.key(0))
    plan = jgc.codes.interval(np.array([0.3, 1, 0.7, 1]), num_partitions=N)
    assert plan.num_edges == N + 1  # one partition is shared
    driver = Driver(
        pool,
        detector.loss,
        OPTIMIZER_OF_DETECTOR,
        plan,
        params=params,
        examples=examples,
        partition=partition,
        policy=wait_for(K),
    )
    state = driver.init(params)
    for mask in MASKS:
        state, _ = driver.advance(state, asked=mask)
    expected, _ = simulated(
        detector.loss,
        params,
        examples,
        partition,
        plan,
        jgc.decoders.fixed,
        optimizer=OPTIMIZER_OF_DETECTOR,
    )
    moved = jax.tree.map(jnp.subtract, expected.params, params)
    difference = jax.tree.map(jnp.subtract, expected.params, state.params)
    assert optax.tree.norm(difference) < 1e-4 * optax.tree.norm(moved)
