import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc import codes, residual
from jgc import gradients as related
from jgc.design import redesign
from jgc.stragglers import bernoulli, estimation, simulate

P = np.array([0.1, 0.3, 0.5, 0.7, 0.2])
MOVED = np.array([0.6, 0.3, 0.1, 0.7, 0.2])
PLANS = {
    "tree": codes.interval(P, num_partitions=6),
    "cycles": codes.interval(P, num_partitions=6, layers=2),
    "random": codes.stochastic(
        P, num_partitions=6, key=jax.random.key(0), replication=2
    ),
}


@pytest.mark.parametrize("common", [0.5, 1.0])
@pytest.mark.parametrize("name", PLANS)
def test_sizes_names_and_placement_stay(name, common):
    plan = PLANS[name]
    new = redesign(plan, MOVED, tolerance=0, gradients=related.common(common))
    assert new is not plan
    assert jax.tree.structure(new) == jax.tree.structure(plan)
    np.testing.assert_array_equal(new.edge_worker, plan.edge_worker)
    np.testing.assert_array_equal(new.edge_partition, plan.edge_partition)
    rho = common / (common + (1 - common) * 6)
    expected = codes.on_placement(MOVED, plan, gradients=rho)
    np.testing.assert_allclose(new.alpha(), expected.alpha(), atol=1e-12)
    assert np.abs(residual.bias(new)).max() < 1e-9


@pytest.mark.parametrize("name", PLANS)
def test_compiled_functions_go_on(name):
    plan, traces = PLANS[name], 0

    @jax.jit
    def step(plan, gradients, mask):
        nonlocal traces
        traces += 1
        return plan.decode(plan.encode(gradients), mask)

    gradients, mask = jnp.ones((6, 2)), jnp.arange(5) != 1
    step(plan, gradients, mask)
    for p in (MOVED, P[::-1], np.full(5, 1e-9)):
        new = redesign(plan, p, tolerance=0)
        step(new, gradients, mask)
        step(jax.device_put(new), gradients, mask)
    assert traces <= 2  # once for NumPy leaves and once for JAX's


def test_a_plan_that_is_good_enough_stays():
    plan = redesign(PLANS["tree"], P, tolerance=0.0)
    assert plan is not PLANS["tree"]  # which was designed for equal gradients
    assert redesign(plan, P, tolerance=0.0) is plan
    assert redesign(plan, P * 1.001, tolerance=0.1) is plan
    kept = dataclasses.replace(plan, straggler_probabilities=MOVED)
    best = codes.on_placement(MOVED, plan, gradients=1 / 7)
    errors = [residual.exact(used, gradients=1 / 7).mean for used in (kept, best)]
    bias = residual.bias(kept)
    squared_bias = bias.sum() ** 2 / 7 + (bias**2).sum() * 6 / 7
    excess = max(errors[0] - errors[1], squared_bias) / errors[1]
    assert excess > 0.2
    assert redesign(plan, MOVED, tolerance=excess * 1.001) is plan
    assert redesign(plan, MOVED, tolerance=excess * 0.999) is not plan


def test_following_workers_that_change_beats_a_fixed_plan():
    """Estimates in the loop, a new design now and then; the error under the true p."""
    rounds, every = 1200, 100
    plan = fixed = PLANS["tree"]
    estimator = estimation.forgetting(5, memory=150)
    update = jax.jit(estimator.update)
    state = estimator.init()
    masks = simulate(bernoulli(MOVED), jax.random.key(0), rounds)
    designs = 0
    for t, mask in enumerate(masks):
        state = update(state, mask)
        if t % every == every - 1:
            p = estimator.probabilities(state)
            new = redesign(plan, p, tolerance=0.1, gradients=1.0)
            designs += new is not plan
            plan = new
    assert 1 <= designs <= 6

    def error(used):
        true = dataclasses.replace(used, straggler_probabilities=MOVED)
        return residual.exact(true).mean

    least = error(codes.on_placement(MOVED, fixed))
    assert error(plan) < 1.3 * least
    assert error(plan) < error(fixed)


@pytest.mark.parametrize(
    ("p", "options", "message"),
    [
        ([0.1, 0.2, 0.0, 0.3, 0.4], {}, "strictly between 0 and 1"),
        ([0.1, 0.2, 1.0, 0.3, 0.4], {}, "strictly between 0 and 1"),
        ([0.1, 0.2], {}, "for 2 workers"),
        (P, {"tolerance": -1}, "tolerance must be"),
    ],
)
def test_bad_input(p, options, message):
    with pytest.raises(ValueError, match=message):
        redesign(PLANS["tree"], p, **options)
