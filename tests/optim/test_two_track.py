from dataclasses import replace

import chex
import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from jgc import decoders, optim
from jgc.training import Job, arrays, coded_gradient, partitioned, simulated
from tests.codes.table import CODES, every_code
from tests.codes.table import P as CODE_P
from tests.optim.table import (
    MASK,
    OPTIMAL,
    OTHER,
    PARAMS,
    N,
    P,
    gradients,
    messages,
    two_track_aliases,
)
from tests.training import problems

PARTITION = np.arange(problems.NUM_EXAMPLES) % N


def partition_gradients(params):
    scales = jnp.linspace(0.5, 2.0, N)
    return jax.tree.map(
        lambda p: jnp.stack([s * (2 + jnp.sin(3 * p + s)) for s in scales]), params
    )


def after_100_steps(optimizer, updates_of, **extra):
    @jax.jit
    def step(params, state):
        update, state = optimizer.update(updates_of(params), state, params, **extra)
        return optax.apply_updates(params, update), state

    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(100):
        params, state = step(params, state)
    return params


def full_gradient(params):
    return jax.tree.map(lambda g: g.sum(0), partition_gradients(params))


@two_track_aliases
@pytest.mark.parametrize("noise_ratio", [1e9, np.inf])
def test_equals_optax_over_100_steps_when_the_ratio_is_large(alias, noise_ratio):
    coded = alias.make(OPTIMAL, 0.01, noise_ratio=noise_ratio)
    chex.assert_trees_all_close(
        after_100_steps(coded, full_gradient),
        after_100_steps(alias.reference(0.01), full_gradient),
        rtol=0,
        atol=1e-6,
    )


@two_track_aliases
@pytest.mark.parametrize(
    "plan",
    [
        jgc.codes.straggler_free(3, num_partitions=N),
        jgc.codes.interval(P * 1e-9, num_partitions=N),
    ],
    ids=["p = 0", "p small"],
)
def test_equals_optax_over_100_steps_when_nobody_straggles(alias, plan):
    found = after_100_steps(
        alias.make(plan, 0.01),
        lambda params: plan.encode(partition_gradients(params)),
        answered=jnp.ones(plan.num_workers, bool),
    )
    expected = after_100_steps(alias.reference(0.01), full_gradient)
    chex.assert_trees_all_close(found, expected, rtol=0, atol=1e-6)


def test_second_track_scales_the_second_moment_alone():
    first, second = gradients(0), gradients(1)
    adam = optim.scale_by_two_track_adam(0.5, 0.25, 1e-3)
    both = jax.tree.map(optim.Tracks, first, second)
    update, _ = adam.update(both, adam.init(PARAMS), PARAMS)
    expected = jax.tree.map(lambda m, v: m / (jnp.abs(v) + 1e-3), first, second)
    chex.assert_trees_all_close(update, expected, rtol=1e-5)


def test_zeros_in_the_second_track_divide_by_eps():
    first = jax.tree.map(jnp.ones_like, PARAMS)
    second = jax.tree.map(jnp.zeros_like, PARAMS)
    adam = optim.scale_by_two_track_adam(eps=1e-4)
    both = jax.tree.map(optim.Tracks, first, second)
    update, _ = adam.update(both, adam.init(PARAMS), PARAMS)
    chex.assert_trees_all_close(
        update, jax.tree.map(lambda x: x * 1e4, first), rtol=1e-5
    )


@pytest.mark.parametrize(
    "second",
    [
        optax.scale_by_rss(),
        optax.scale_by_amsgrad(b1=0),
        optax.scale_by_adamax(b1=0),
        optax.scale_by_yogi(b1=0),
        optax.scale_by_factored_rms(),
    ],
    ids=["adagrad", "amsgrad", "adamax", "yogi", "adafactor"],
)
def test_two_track_form_of_other_optimizers_is_theirs_on_equal_tracks(second):
    coded = optim.two_track(optax.identity(), second)
    state, coded_state = second.init(PARAMS), coded.init(PARAMS)
    for seed in range(5):
        expected, state = second.update(gradients(seed), state, PARAMS)
        update, coded_state = coded.update(gradients(seed), coded_state, PARAMS)
        chex.assert_trees_all_close(update, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "second",
    [
        optax.scale_by_lion(),
        optax.lion(1e-3),
        optax.sgd(0.1),
        optax.identity(),
        optax.scale_by_sign(),
        optax.scale_by_adam(),
        optax.trace(0.9),
    ],
    ids=["scale_by_lion", "lion", "sgd", "identity", "sign", "adam", "trace"],
)
def test_what_has_no_second_moment_is_refused(second):
    with pytest.raises(ValueError, match="Lion, sign descent and SGD"):
        optim.two_track(optax.ema(0.9), second)


def test_float16_is_refused():
    with pytest.raises(ValueError, match="float16"):
        optim.scale_by_two_track_adam().init({"x": jnp.ones(2, jnp.float16)})


@every_code
@pytest.mark.parametrize("noise_ratio", [0.01, 1.0, 30.0])
def test_optimal_codes_have_a_second_track_of_one_scalar(code, noise_ratio):
    plan = code.make(CODE_P)
    ratio = optim.second_moment_ratio(plan, noise_ratio=noise_ratio)
    d = ((1 - CODE_P) / CODE_P).sum()
    v = decoders.second_moment_weights(plan, noise_ratio=noise_ratio)
    if code.optimal:
        expected = noise_ratio * d / (1 + noise_ratio * d)
        assert ratio == pytest.approx(expected, rel=1e-12)
        # A split of α into A and w leaves messages that are weighted sums; with rows
        # that sum to 0 neither weight counts.
        np.testing.assert_allclose(v, expected * plan.weights, rtol=1e-12)
    elif ratio is not None:
        np.testing.assert_allclose(v, ratio * plan.weights, rtol=1e-9)


@pytest.mark.parametrize(
    "code", [c for c in CODES if not c.optimal], ids=lambda code: code.name
)
@pytest.mark.parametrize("noise_ratio", [0.1, 1.0, 10.0])
def test_second_moment_weights_solve_42(code, noise_ratio):
    """v minimises Var + Λ·bias² of the decoded gradient where all g_j are equal.

    With ĝ' = Σ_i I_i v_i s_i g_1 for equal partition gradients (s_i = Σ_j a_ij):

        min_v  Σ_i p_i(1 − p_i) (v_i s_i)² + Λ (Σ_i (1 − p_i) v_i s_i − n)².

    Setting its gradient to 0 gives v_i = nΛ/(p_i s_i (1 + ΛD)), (43).
    """
    plan = code.make(CODE_P)
    sums = plan.encoding_matrix().sum(1)
    v = decoders.second_moment_weights(plan, noise_ratio=noise_ratio)
    u = cp.Variable(plan.num_workers)  # v s: free of the scale of messages
    live = np.abs(sums) > 1e-9
    variance = cp.sum_squares(cp.multiply(np.sqrt(CODE_P * (1 - CODE_P)), u))
    bias = (1 - CODE_P) @ u - plan.num_partitions
    problem = cp.Problem(cp.Minimize(variance + noise_ratio * bias**2), [u[~live] == 0])
    problem.solve(solver=cp.CLARABEL)
    np.testing.assert_allclose((v * sums)[live], u.value[live], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("never", [None, 0.0, 1.0, 1e-300])
@every_code
def test_a_traced_noise_ratio_gives_the_same_weights(code, never):
    """v of every Λ is v of Λ = ∞ times one scalar, in each of the limits."""
    plan = code.make(CODE_P)
    if never is not None:
        p = CODE_P.copy()
        p[1] = never
        plan = replace(plan, straggler_probabilities=p)
    everyone = np.ones(plan.num_workers, bool)

    @jax.jit
    def traced(ratio):
        weights = decoders.two_track(plan, noise_ratio=ratio)(plan, everyone)
        return weights, optim.second_moment_ratio(plan, noise_ratio=ratio)

    for noise_ratio in (1e-6, 0.3, 1.0, 1e6, np.inf):
        expected = decoders.two_track(plan, noise_ratio=noise_ratio)(plan, everyone)
        found, kappa = traced(noise_ratio)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-12 * scale)
        expected = optim.second_moment_ratio(plan, noise_ratio=noise_ratio)
        assert (kappa is None) == (expected is None)
        if kappa is not None:
            np.testing.assert_allclose(kappa, expected, rtol=1e-5)


def batch():
    cut = partitioned(arrays(problems.examples()), PARTITION, num_partitions=N)
    return cut, cut.batch(jax.random.key(0), 0)


def losses_of_partitions(params, weights):
    losses = problems.loss(params, problems.examples())
    return jnp.vdot(weights[PARTITION], losses) / problems.NUM_EXAMPLES


@pytest.mark.parametrize("chunk_size", [None, 5])
def test_two_cotangents_equal_two_backward_passes(chunk_size):
    traces = []

    def loss(params, examples):
        traces.append(None)
        return problems.loss(params, examples)

    weights = decoders.two_track(OTHER)(OTHER, MASK)
    coefficients = OTHER.coefficients(weights)

    def gradient_of(c):
        cut = batch()[1]
        found = coded_gradient(loss, problems.params(), cut, c, chunk_size=chunk_size)
        return found, len(traces)

    _, passes_of_one = gradient_of(coefficients[0])
    both, passes = gradient_of(coefficients)
    assert passes == 2 * passes_of_one  # as many as for one track again
    assert both.losses.shape == (N,)
    for track in range(2):
        alone = jax.grad(losses_of_partitions)(problems.params(), coefficients[track])
        found = jax.tree.map(lambda leaf, track=track: leaf[track], both.gradient)
        chex.assert_trees_all_close(found, alone, rtol=1e-5, atol=1e-6)


def test_two_tracks_cost_less_than_two_passes():
    width = 64
    layers = [jnp.eye(width)] * 4
    cut = partitioned(
        arrays(np.ones((128, width), np.float32)), np.arange(128) % 4, num_partitions=4
    )
    examples = cut.batch(jax.random.key(0), 0)

    def loss(params, x):
        for layer in params:
            x = jnp.tanh(x @ layer)
        return (x**2).sum(1)

    def flops(coefficients):
        compiled = jax.jit(
            lambda params, c: coded_gradient(loss, params, examples, c).gradient
        ).lower(layers, coefficients)
        return compiled.compile().cost_analysis()["flops"]

    one, two = flops(jnp.ones(4)), flops(jnp.ones((2, 4)))
    # Forward once, backward (twice a forward's products) twice: 5 units, not 6.
    assert two < 1.75 * one


@pytest.mark.parametrize("decoder", [decoders.fixed, decoders.least_squares])
def test_simulated_steps_equal_messages(decoder):
    cut, _ = batch()
    both = decoders.two_track(OTHER, decoder=decoder)
    optimizer = optim.two_track_adam(OTHER, 0.1, decoder=decoder)
    params, opt_state = problems.params(), optimizer.init(problems.params())
    update = jax.jit(optimizer.update)
    partition_gradients = jax.jit(
        jax.vmap(
            lambda weights, params: jax.grad(losses_of_partitions)(params, weights),
            in_axes=(0, None),
        )
    )
    path = simulated(problems.loss, optim.two_track_adam(None, 0.1))
    with path(Job(plan=OTHER, data=cut, decoder=both)) as run:
        state = run.init(jax.random.key(0), problems.params())
        for seed in range(5):
            mask = jax.random.bernoulli(jax.random.key(seed), 1 - P)
            state, _ = run.step(state, mask)
            sent = OTHER.encode(partition_gradients(jnp.eye(N), params))
            updates, opt_state = update(sent, opt_state, params, answered=mask)
            params = optax.apply_updates(params, updates)
    chex.assert_trees_all_close(state.params, params, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [optax.sgd(0.1), optax.adam(0.1), optim.coded_sgd(OTHER, 0.1)],
    ids=["sgd", "adam", "coded_sgd"],
)
def test_a_training_step_refuses_two_tracks_for_an_optimizer_of_one(optimizer):
    cut, _ = batch()
    job = Job(plan=OTHER, data=cut, decoder=decoders.two_track(OTHER))
    with simulated(problems.loss, optimizer)(job) as run:
        state = run.init(jax.random.key(0), problems.params())
        with pytest.raises(ValueError, match="does not take two tracks"):
            run.step(state, MASK)


def test_messages_bring_both_tracks():
    inputs, optimizer = messages(OTHER, 0), optim.two_track_adam(OTHER, 0.1)
    state = optimizer.init(PARAMS)
    v = decoders.second_moment_weights(OTHER, noise_ratio=1.0)
    found, _ = optimizer.update(inputs, state, PARAMS, answered=MASK)
    both = jax.tree.map(
        optim.Tracks,
        OTHER.decode(inputs, MASK),
        replace(OTHER, weights=v).decode(inputs, MASK),
    )
    expected, _ = optimizer.update(both, state, PARAMS)
    chex.assert_trees_all_close(found, expected, rtol=1e-5)
