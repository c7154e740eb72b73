"""Messages through codecs, worker by worker, and error feedback of the biased ones."""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import jgc
from jgc import codecs, optim
from jgc.codecs._rounding import Sign
from jgc.training import Job, arrays, coded_gradient, partitioned, simulated
from jgc.training._messages import message_key
from jgc.training._state import run_keys
from tests.training.models import logistic

K, N = 4, 6
P = np.array([0.3, 0.1, 0.7, 0.5])
KEY = jax.random.key(7)
PLAN = jgc.codes.interval(P, num_partitions=N, layers=2)
MASKS = np.array([[1, 1, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
CODECS = [
    codecs.bfloat16(),
    codecs.int8(block=2),
    codecs.one_bit(block=8),
    codecs.random_subspace(2),
    codecs.sign(block=8),
]


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_each_message_by_a_key_of_its_own(codec):
    """And with what its worker's last decoded one left over, if it is biased."""
    model = logistic(N)
    data = model.data(N, 2)
    memory = [0.0] * K
    with simulated(model.loss, optax.sgd(1.0), codec=codec)(
        Job(plan=PLAN, data=data)
    ) as run:
        state = run.init(KEY, model.params)
        for t, mask in enumerate(MASKS):
            batch = data.batch(run_keys(KEY).batches, t)
            gradients = [
                coded_gradient(model.loss, state.params, batch, row).gradient
                for row in np.eye(N)
            ]
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *gradients)
            messages = PLAN.encode(stacked)
            decoded = []
            for worker in range(K):
                own = jax.tree.map(lambda leaf, i=worker: leaf[i], messages)
                vector, unravel = ravel_pytree(own)
                vector = vector + memory[worker]
                key = message_key(KEY, t, worker)
                found = codec.decode(codec.encode(vector, key), key, vector.size)
                assert (found != vector).any()
                decoded.append(unravel(found))
                if not codec.is_unbiased and mask[worker]:
                    memory[worker] = vector - found
            whole = jax.tree.map(lambda *leaves: np.stack(leaves), *decoded)
            expected = jax.tree.map(
                lambda p, g: p - g, state.params, PLAN.decode(whole, mask)
            )
            state, report = run.step(state, mask)
            np.testing.assert_array_equal(report.answered, mask)
            chex.assert_trees_all_close(state.params, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tracks", [1, 2])
def test_what_changes_nothing_changes_nothing(tracks):
    """Messages one by one give what one pass gives, the probe for ρ included."""
    model = logistic(N)
    decoder, optimizer = jgc.decoders.best_unbiased(PLAN, gradients=0.3), optax.sgd(0.1)
    if tracks == 2:
        decoder = jgc.decoders.two_track(PLAN, decoder=decoder)
        optimizer = optim.two_track_adam(None, 0.1)
    job = Job(
        plan=PLAN,
        data=model.data(N, 2),
        decoder=decoder,
        similarity=jgc.gradients.following(every=1),
    )
    found = []
    for codec in (None, codecs.full()):
        with simulated(model.loss, optimizer, codec=codec)(job) as run:
            state = run.init(KEY, model.params)
            for mask in MASKS:
                state, report = run.step(state, mask)
        found.append((state._replace(key=()), report.loss, report.similarity))
    chex.assert_trees_all_close(*found, rtol=1e-4, atol=1e-5)


@dataclass(frozen=True)
class Forgetful(Sign):
    """Signs whose error is not fed back."""

    is_unbiased = True


def gap(codec, steps=600):
    """What is left of the loss above its least, of least squares on unlike data."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 12)) * np.logspace(0, -1, 12)
    y = x @ rng.normal(size=12) + 2 * rng.normal(size=60)
    best = np.linalg.lstsq(x, y)[0]
    data = partitioned(
        arrays({"x": x.astype(np.float32), "y": y.astype(np.float32)}),
        np.arange(60) % N,
        num_partitions=N,
    )

    def loss(w, examples):
        return (examples["x"] @ w - examples["y"]) ** 2 / 2

    rate = optax.cosine_decay_schedule(0.3, steps)
    p = np.full(K, 0.05)
    plan = jgc.codes.interval(p, num_partitions=N)
    job = Job(plan=plan, data=data, stragglers=jgc.stragglers.bernoulli(p))
    with simulated(loss, optax.sgd(rate), codec=codec)(job) as run:
        state = run.init(KEY, jnp.zeros(12))
        for _ in range(steps):
            state, _ = run.step(state)
    least, start = np.sum((x @ best - y) ** 2), np.sum(y**2)
    return (np.sum((x @ np.asarray(state.params) - y) ** 2) - least) / (start - least)


def test_error_feedback_goes_where_full_messages_go():
    full, fed_back = gap(codecs.full()), gap(codecs.sign(block=16))
    assert fed_back < full + 0.01
    assert gap(Forgetful(16)) > 5 * fed_back


def test_what_is_left_over_is_of_the_state():
    model = logistic(N)
    job = Job(plan=PLAN, data=model.data(N))
    path = simulated(model.loss, optax.sgd(1.0), codec=codecs.sign(block=8))
    with path(job) as run:
        state = run.init(KEY, model.params)
        for mask in MASKS[:2]:
            state, _ = run.step(state, mask)
        leaves, structure = jax.tree.flatten(state)
        again = jax.tree.unflatten(structure, leaves)
        (one, _), (other, _) = run.step(state, MASKS[3]), run.step(again, MASKS[3])
        without = state._replace(memory=jnp.zeros_like(state.memory))
        lost, _ = run.step(without, MASKS[3])
    assert state.memory.shape == (K, ravel_pytree(model.params)[0].size)
    chex.assert_trees_all_equal(one.params, other.params)
    assert optax.tree.norm(optax.tree.sub(one.params, lost.params)) > 1e-4


@pytest.mark.wrong_types
@pytest.mark.parametrize("codec", ["int8", codecs.int8, 8])
def test_what_is_no_codec(codec):
    with pytest.raises(ValueError, match="codec must be None or of"):
        simulated(logistic(N).loss, optax.sgd(1.0), codec=codec)
