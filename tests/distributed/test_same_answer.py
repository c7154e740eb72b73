"""Recorded masks: workers in processes end where the simulation does."""

import chex
import jax
import numpy as np
import optax
import pytest

import jgc
from experiments.common.schemes import SCHEMES
from jgc import codecs, optim
from jgc.distributed import WorkerPool, ray, wait_for
from jgc.training import Job, local_steps, simulated
from jgc.training._reached import reached
from tests.training.models import MODELS, logistic

pytestmark = pytest.mark.slow

K, N = 4, 6
P = np.array([0.3, 0.1, 0.7, 0.5])
KEY = jax.random.key(7)
# Nobody answers once, and everybody at the end.
MASKS = np.random.default_rng(0).random((3, K)) > P
MASKS = np.concatenate([MASKS, np.zeros((1, K), bool), np.ones((1, K), bool)])


@pytest.fixture(scope="module")
def pool(ray_cluster):
    with WorkerPool(K) as pool:
        yield pool


def train(path, job, model):
    reports = []
    with path(job) as run:
        state = run.init(KEY, model.params, model.model_state)
        for mask in MASKS:
            state, report = run.step(state, mask)
            reports.append(report)
    return state._replace(key=()), reports


def assert_same(pool, job, model, optimizer, *, chunk_size=None, codec=None):
    paths = (
        simulated(model.loss, optimizer, codec=codec),
        ray(
            model.loss,
            optimizer,
            pool=pool,
            policy=wait_for(K),
            codec=codec,
            chunk_size=chunk_size,
        ),
    )
    (expected, wanted), (found, reports) = (train(path, job, model) for path in paths)
    for state in (expected, found):
        assert int(state.iteration) == len(MASKS)
    # Processes keep what a biased codec leaves over themselves.
    chex.assert_trees_all_close(
        found, expected._replace(memory=()), rtol=model.tolerance, atol=model.tolerance
    )
    moved = optax.tree.norm(optax.tree.sub(expected.params, model.params))
    off = optax.tree.norm(optax.tree.sub(found.params, expected.params))
    assert off < 1e-3 * moved  # a run that goes nowhere agrees with anything
    for mask, report, all_told in zip(MASKS, reports, wanted, strict=True):
        np.testing.assert_array_equal(report.answered, mask)
        known = np.asarray(reached(job.plan, mask))
        np.testing.assert_array_equal(~np.isnan(report.partition_losses), known)
        np.testing.assert_allclose(
            report.partition_losses[known],
            all_told.partition_losses[known],
            rtol=10 * model.tolerance,
        )
        np.testing.assert_allclose(
            report.similarity, all_told.similarity, rtol=10 * model.tolerance
        )
    assert np.isnan(reports[-2].loss)
    np.testing.assert_allclose(
        reports[-1].loss, wanted[-1].loss, rtol=10 * model.tolerance
    )
    for name, value in wanted[-1].metrics.items():
        np.testing.assert_allclose(reports[-1].metrics[name], value, rtol=1e-3)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_code_and_decoder(pool, scheme):
    model = logistic(N)
    plan = SCHEMES[scheme].design(P, N, jax.random.key(0))
    job = Job(plan=plan, data=model.data(N, 2), decoder=SCHEMES[scheme].decoder)
    assert_same(pool, job, model, optax.sgd(0.1))


@pytest.mark.parametrize("chunk_size", [1, 2, 5])
def test_chunks(pool, chunk_size):
    model = logistic(N)
    job = Job(
        plan=jgc.codes.interval(P, num_partitions=N, layers=2), data=model.data(N)
    )
    assert_same(pool, job, model, optax.sgd(0.1), chunk_size=chunk_size)


# Two workers hold the data of the detector, which takes long to compile; they share a
# partition, whose augmentation must be the same on both.
MODEL_P = {"detector": np.array([0.3, 1, 0.7, 1])}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch_size", [0, 1])
def test_models(pool, name, batch_size):
    """Dropout, batch statistics, augmentation: on all examples and on mini-batches."""
    if batch_size == 0 and name != "batch_norm":
        pytest.skip("takes long, and has nothing that mini-batches have not")
    model = MODELS[name](N)
    plan = jgc.codes.interval(MODEL_P.get(name, P), num_partitions=N)
    job = Job(plan=plan, data=model.data(N, batch_size))
    assert_same(pool, job, model, optax.sgd(model.learning_rate))


@pytest.mark.parametrize("tracks", [1, 2])
def test_similarity(pool, tracks):
    """ρ is followed, and the next iterations are decoded by it."""
    model = logistic(N)._replace(tolerance=1e-4)
    plan = jgc.codes.interval(P, num_partitions=N)
    decoder = jgc.decoders.mixture(
        [jgc.decoders.best_unbiased(plan, gradients=rho) for rho in (0.0, 0.3)]
    )
    optimizer = optax.sgd(0.1)
    if tracks == 2:
        decoder = jgc.decoders.two_track(plan, decoder=decoder)
        optimizer = optim.two_track_adam(None, 0.1)
    job = Job(
        plan=plan,
        data=model.data(N, 2),
        decoder=decoder,
        similarity=jgc.gradients.following(every=1),
    )
    assert_same(pool, job, model, optimizer)


def test_local_steps(pool):
    model = logistic(N)
    loss = local_steps(model.loss, optax.adam(0.05), num_steps=3, batch_size=2)
    job = Job(plan=jgc.codes.interval(P, num_partitions=N), data=model.data(N))
    outer = optax.sgd(0.7, momentum=0.9, nesterov=True)
    assert_same(pool, job, model._replace(loss=loss), outer)


def test_two_tracks(pool):
    model = logistic(N)._replace(tolerance=1e-4)
    plan = jgc.codes.interval(P, num_partitions=N)
    decoder = jgc.decoders.two_track(plan, noise_ratio=2.0)
    job = Job(plan=plan, data=model.data(N), decoder=decoder)
    assert_same(pool, job, model, optim.two_track_adam(None, 0.1))


CODECS = [
    codecs.bfloat16(),
    codecs.int8(block=2),
    codecs.random_subspace(2),
    codecs.sign(block=8),
]


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_codecs(pool, codec):
    """What was not decoded, and in the second run what the first left, is not fed."""
    model = logistic(N)
    plan = jgc.codes.interval(P, num_partitions=N, layers=2)
    job = Job(plan=plan, data=model.data(N, 2))
    for _ in range(2):
        assert_same(pool, job, model, optax.sgd(1.0), codec=codec)


def test_a_straggler_model_draws_what_the_simulation_draws(pool):
    model = logistic(N)
    plan = jgc.codes.interval(P, num_partitions=N)
    job = Job(
        plan=plan,
        data=model.data(N, 2),
        stragglers=jgc.stragglers.markov(P, mean_burst=3),
    )
    answered = []
    for path in (
        simulated(model.loss, optax.sgd(0.1)),
        ray(model.loss, optax.sgd(0.1), pool=pool, policy=wait_for(K)),
    ):
        with path(job) as run:
            state = run.init(KEY, model.params)
            masks = []
            for _ in range(8):
                state, report = run.step(state)
                masks.append(report.answered)
        answered.append(masks)
    np.testing.assert_array_equal(*answered)
    assert 0 < np.mean(answered[0]) < 1
