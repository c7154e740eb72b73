import dataclasses
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from jgc import optim
from jgc.training import (
    Following,
    Job,
    Outputs,
    arrays,
    coded_gradient,
    partition_loss,
    partitioned,
    simulated,
)
from tests.training import problems

P = np.array([0.3, 0.8, 0.1, 0.6, 0.5])
N = 6
PARTITION = np.arange(problems.NUM_EXAMPLES) % N
KEY = jax.random.key(0)
PLANS = {
    "uncoded": jgc.codes.uncoded(P, num_partitions=N),
    "scheme_i": jgc.codes.scheme_i(P, num_partitions=N),
    "scheme_ii": jgc.codes.scheme_ii(P, num_partitions=N),
    "interval": jgc.codes.interval(P, num_partitions=N),
    "interval_layers": jgc.codes.interval(P, num_partitions=N, layers=3),
}


def data(batch_size=0):
    return partitioned(
        arrays(problems.examples()), PARTITION, num_partitions=N, batch_size=batch_size
    )


def partition_gradients():
    """g_j = ∇L(D_j), each by plain autodiff of its own examples; leading axis n."""
    examples = problems.examples()

    def of_partition(params, j):
        losses = problems.loss(params, examples)
        return jnp.sum(losses * (j == PARTITION)) / problems.NUM_EXAMPLES

    gradients = [jax.grad(of_partition)(problems.params(), j) for j in range(N)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *gradients)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("chunk_size", [None, 5, 23, 100])
def test_one_pass_equals_what_workers_send(plan, chunk_size):
    messages = plan.encode(partition_gradients())
    batch = data().batch(KEY, 0)
    run = jax.jit(
        lambda c: coded_gradient(
            problems.loss, problems.params(), batch, c, chunk_size=chunk_size
        )
    )
    each = np.asarray(problems.loss(problems.params(), problems.examples()))
    means = [each[j == PARTITION].mean() for j in range(N)]
    for seed in range(5):
        answered = jax.random.bernoulli(jax.random.key(seed), 1 - P)
        found = run(jgc.decoders.fixed.coefficients(plan, answered))
        decoded = plan.decode(messages, answered)
        chex.assert_trees_all_close(found.gradient, decoded, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.losses, means, rtol=1e-6)


@pytest.mark.parametrize("chunk_size", [None, 7])
def test_two_rows_of_coefficients_are_two_gradients(chunk_size):
    rows = jax.random.normal(KEY, (2, N))
    batch = data().batch(KEY, 0)

    def gradient(c):
        return coded_gradient(
            problems.loss, problems.params(), batch, c, chunk_size=chunk_size
        ).gradient

    expected = jax.tree.map(lambda *g: jnp.stack(g), *map(gradient, rows))
    chex.assert_trees_all_close(gradient(rows), expected, rtol=1e-5, atol=1e-6)


def test_straggler_free_steps_are_gradient_descent():
    plan = jgc.codes.straggler_free(5, num_partitions=N)
    optimizer = optax.adam(0.1)
    with simulated(problems.loss, optimizer)(Job(plan=plan, data=data())) as run:
        state = run.init(KEY, problems.params())
        for _ in range(3):
            state, report = run.step(state, np.ones(5, bool))

    params, opt_state = problems.params(), optimizer.init(problems.params())
    for _ in range(3):
        value, gradient = jax.value_and_grad(
            lambda params: problems.loss(params, problems.examples()).mean()
        )(params)
        updates, opt_state = optimizer.update(gradient, opt_state)
        params = optax.apply_updates(params, updates)
    chex.assert_trees_all_close(state.params, params, rtol=1e-5)
    assert report.loss == pytest.approx(float(value), rel=1e-5)
    assert state.iteration == 3


def test_one_compiled_step_serves_every_plan():
    traces = []

    def counted_loss(params, examples):
        traces.append(None)
        return problems.loss(params, examples)

    path = simulated(counted_loss, optax.sgd(0.1))
    decoders = (jgc.decoders.fixed, jgc.decoders.least_squares)
    for plan, decoder in itertools.product(PLANS.values(), decoders):
        with path(Job(plan=plan, data=data(), decoder=decoder)) as run:
            state = run.init(KEY, problems.params())
            run.step(state, np.ones(5, bool))
    assert len({plan.edge_worker.size for plan in PLANS.values()}) > 1
    # The loss is tried twice before the first job, and its step traced once for all.
    assert len(traces) == 2 + 1


def test_decoded_steps_are_unbiased():
    """Averaged over all masks, a coded step is the gradient-descent step."""
    plan = PLANS["interval"]
    masks = ((np.arange(2**5)[:, None] >> np.arange(5)) & 1).astype(bool)
    probability = np.prod(np.where(masks, 1 - P, P), axis=1)
    c = jax.vmap(lambda mask: jgc.decoders.fixed.coefficients(plan, mask))(masks)
    np.testing.assert_allclose(probability @ c, 1, rtol=1e-5)


def test_mini_batches_have_the_full_gradient_as_their_mean():
    full = coded_gradient(
        problems.loss, problems.params(), data().batch(KEY, 0), jnp.ones(N)
    ).gradient
    cut = data(batch_size=2)

    def of_iteration(t):
        batch = cut.batch(KEY, t)
        return coded_gradient(
            problems.loss, problems.params(), batch, jnp.ones(N)
        ).gradient

    many = jax.jit(jax.vmap(of_iteration))(jnp.arange(4000))
    for mean, leaf in zip(jax.tree.leaves(full), jax.tree.leaves(many), strict=True):
        error = np.abs(leaf.mean(axis=0) - mean)
        assert (error < 4.5 * leaf.std(axis=0) / np.sqrt(4000)).all()


def test_a_run_that_is_resumed_ends_at_the_same_bits():
    plan = PLANS["interval"]
    designs = [jgc.decoders.best_unbiased(plan, gradients=rho) for rho in (0.0, 0.5)]
    job = Job(
        plan=plan,
        decoder=jgc.decoders.mixture(designs),
        data=data(batch_size=2),
        stragglers=jgc.stragglers.markov(P, mean_burst=5),
        following=Following(
            estimator=jgc.stragglers.estimation.forgetting(5, memory=10), every=6
        ),
        similarity=jgc.gradients.following(every=2),
    )
    path = simulated(problems.loss, optax.adam(0.1))
    with path(job) as run:
        state = run.init(KEY, problems.params())
        for t in range(12):
            state, report = run.step(state)
            if t == 6:
                halfway = jax.tree.map(np.asarray, state._replace(key=()))
    with path(job) as run:
        run.init(KEY, problems.params())
        again = jax.tree.map(jnp.asarray, halfway)._replace(
            code=halfway.code, key=state.key
        )
        for _ in range(5):
            again, repeated = run.step(again)
    chex.assert_trees_all_equal(again.params, state.params)
    chex.assert_trees_all_equal(again.code, state.code)
    chex.assert_trees_all_equal(again.similarity, state.similarity)
    assert repeated.loss == report.loss
    assert 0 < repeated.similarity == report.similarity < 1


def test_what_is_followed_is_redesigned_for():
    """Told p = ½ of workers of which one never answers, the code gives it up."""
    truth = np.array([0.05, 0.1, 0.1, 0.2, 0.95])
    believed = jgc.codes.interval(np.full(5, 0.5), num_partitions=N, layers=2)
    job = Job(
        plan=believed,
        data=data(),
        stragglers=jgc.stragglers.bernoulli(truth),
        following=Following(
            estimator=jgc.stragglers.estimation.forgetting(5, memory=200), every=20
        ),
    )
    with simulated(problems.loss, optax.sgd(0.01))(job) as run:
        state = run.init(KEY, problems.params())
        before = jax.tree.map(np.asarray, state.code.bits)
        for _ in range(200):
            state, _ = run.step(state)
    after = {name: bits.view(np.float64) for name, bits in state.code.bits.items()}
    p = after["straggler_probabilities"]
    assert p[4] > 0.8
    assert p[:4].max() < 0.4
    used = dataclasses.replace(believed, **after)
    true = {"straggler_probabilities": truth}
    kept = dataclasses.replace(believed, **true)
    follows = dataclasses.replace(used, **true)
    error = jgc.residual.exact(follows, gradients=0.5).relative
    assert error < 0.5 * jgc.residual.exact(kept, gradients=0.5).relative
    assert set(before) == set(after)


def test_two_tracks_need_an_optimizer_of_two():
    plan = PLANS["uncoded"]
    decoder = jgc.decoders.two_track(plan)
    job = Job(plan=plan, data=data(), decoder=decoder)
    with simulated(problems.loss, optax.adam(0.1))(job) as run:
        state = run.init(KEY, problems.params())
        with pytest.raises(ValueError, match=r"two|track"):
            run.step(state, np.ones(5, bool))
    with simulated(problems.loss, optim.two_track_adam(None, 0.1))(job) as run:
        state, report = run.step(run.init(KEY, problems.params()), np.ones(5, bool))
    assert np.isfinite(report.loss)


def mean_loss(params, examples):
    return problems.loss(params, examples).mean()


def divided(params, examples):
    losses = problems.loss(params, examples)
    return losses / losses.size


def normalised(params, examples):
    features = examples["features"]
    centred = features - features.mean(axis=0)
    return problems.loss(params, {**examples, "features": centred})


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (mean_loss, r"loss\(params, examples\) must return one loss an example"),
        (lambda p, e: (problems.loss(p, e), 1), "got tuple"),
        (lambda p, e: problems.loss(p, e) > 0, "got bool"),
        (divided, "loss mixes examples"),
        (normalised, "loss mixes examples"),
        ("loss", "loss must be a function"),
        (partition_loss(mean_loss), "a partition_loss must return one loss an example"),
        (
            partition_loss(
                lambda p, e, model_state: Outputs(problems.loss(p, e), jnp.zeros(3)),
                model_state=True,
            ),
            "must have the shapes of the model_state",
        ),
    ],
)
@pytest.mark.wrong_types
def test_a_loss_that_is_none_is_refused_before_training(loss, message):
    with (
        pytest.raises(ValueError, match=message),
        simulated(loss, optax.sgd(0.1))(
            Job(plan=PLANS["interval"], data=data())
        ) as run,
    ):
        run.init(KEY, problems.params())


@pytest.mark.parametrize(
    ("optimizer", "params", "message"),
    [
        (0.1, problems.params(), "optimizer must be an optax transformation.* 0.1"),
        (optax.sgd(0.1), {"count": 3}, r"params\['count'\] of int32"),
        # At zeros alone the means that it takes off change nothing.
        (optax.sgd(0.1), jax.tree.map(jnp.zeros_like, problems.params()), "mixes"),
    ],
)
@pytest.mark.wrong_types
def test_what_cannot_be_trained_is_refused(optimizer, params, message):
    job = Job(plan=PLANS["interval"], data=data())
    with (
        pytest.raises(ValueError, match=message),
        simulated(normalised, optimizer)(job) as run,
    ):
        run.init(KEY, params)


def test_a_partition_loss_may_mix_what_a_plain_one_may_not():
    job = Job(plan=PLANS["interval"], data=data(), stragglers=None)
    with simulated(partition_loss(normalised), optax.sgd(0.1))(job) as run:
        _, report = run.step(run.init(KEY, problems.params()), np.ones(5, bool))
    examples = problems.examples()
    for j in range(N):
        own = jax.tree.map(lambda leaf, j=j: leaf[j == PARTITION], examples)
        # Partition 5 has an example less, which the first fills up and is counted in
        # the statistics alone.
        if j < N - 1:
            expected = normalised(problems.params(), own).mean()
            assert report.partition_losses[j] == pytest.approx(
                float(expected), rel=1e-4
            )


@pytest.mark.parametrize(
    ("answered", "message"),
    [
        (None, "no workers to observe"),
        (np.ones(5), "answered must be booleans"),
        (np.ones(4, bool), "one for each of the 5 workers"),
    ],
)
@pytest.mark.wrong_types
def test_masks_that_are_none(answered, message):
    job = Job(plan=PLANS["interval"], data=data())
    with simulated(problems.loss, optax.sgd(0.1))(job) as run:
        state = run.init(KEY, problems.params())
        with pytest.raises(ValueError, match=message):
            run.step(state, answered)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": lambda: data().select([0, 1])}, "data must be of all 6 partitions"),
        ({"data": lambda: problems.examples()}, "data must be of .*partitioned, got d"),
        ({"decoder": lambda: "fixed"}, "decoder must be of jgc.decoders"),
        ({"decoder": lambda: jgc.decoders.graph}, r"decoders\.graph needs"),
        (
            {"stragglers": lambda: jgc.stragglers.bernoulli([0.1])},
            "stragglers must be of the plan's 5 workers",
        ),
        ({"stragglers": lambda: [0.1] * 5}, r"such as bernoulli\(p\).*got list"),
        (
            {"stragglers": lambda: jgc.stragglers.exponential(np.ones(5))},
            "stragglers must be a .*got LatencyModel",
        ),
        (
            {
                "stragglers": lambda: jgc.stragglers.StragglerModel(
                    lambda key: (), lambda state, key: jnp.ones(5, bool)
                )
            },
            r"stragglers.sample must return \(mask, state\)",
        ),
    ],
)
@pytest.mark.wrong_types
def test_jobs_whose_parts_do_not_fit(change, message):
    parts = {name: make() for name, make in change.items()}
    with pytest.raises(ValueError, match=message):
        Job(**{"plan": PLANS["interval"], "data": data(), **parts})


@pytest.mark.parametrize(
    "coefficients", [np.ones(5), np.ones(N, bool), np.ones((2, N + 1))]
)
@pytest.mark.wrong_types
def test_coefficients_of_another_kind(coefficients):
    batch = data().batch(KEY, 0)
    with pytest.raises(ValueError, match="coefficients must be numbers"):
        coded_gradient(problems.loss, problems.params(), batch, coefficients)


def test_nobody_answers_and_nothing_moves():
    job = Job(plan=PLANS["interval"], data=data())
    with simulated(problems.loss, optax.sgd(0.1))(job) as run:
        state = run.init(KEY, problems.params())
        after, report = run.step(state, np.zeros(5, bool))
    chex.assert_trees_all_equal(after.params, state.params)
    assert not report.answered.any()
