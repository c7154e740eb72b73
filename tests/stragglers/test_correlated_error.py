"""The residual error where workers straggle together."""

import jax
import numpy as np
import pytest

import jgc
from jgc import codes, residual, stragglers

P = np.array([0.3, 0.6, 0.35, 0.8, 0.5])
PLANS = [codes.interval(P, num_partitions=6), codes.uncoded(P, num_partitions=6)]
MODELS = {
    "common factor": stragglers.common_factor(P, correlation=0.7),
    "shared shocks": stragglers.shared_shocks(
        P, groups=[0, 0, 1, 1, 1], shock=[0.25, 0.3]
    ),
}


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
@pytest.mark.parametrize("similarity", [0.0, 0.4, 1.0])
def test_a_diagonal_covariance_is_independence(plan, similarity):
    independent = stragglers.bernoulli(P).covariance()
    found = residual.exact(plan, gradients=similarity, covariance=independent)
    expected = residual.exact(plan, gradients=similarity)
    assert found.mean == pytest.approx(expected.mean, rel=1e-12)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_against_monte_carlo(name, plan):
    vectors = np.random.default_rng(0).normal(size=(6, 4)) + 0.5
    gradients = jgc.gradients.vectors(vectors)
    found = residual.monte_carlo(
        jax.random.key(0),
        plan,
        model=MODELS[name],
        gradients=gradients,
        num_trials=100_000,
        progress=False,
    )
    covariance = MODELS[name].covariance()
    expected = residual.exact(plan, gradients=gradients, covariance=covariance).mean
    assert abs(found.mean - expected) < 4.5 * found.standard_error
    independent = residual.exact(plan, gradients=gradients).mean
    if plan.name == "interval":  # IS-SGD's error here is nearly all bias
        assert abs(found.mean - independent) > 20 * found.standard_error


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.eye(4), r"finite \(5, 5\) array"),
        (np.full((5, 5), np.nan), "finite"),
        (np.diag(P * (1 - P)) + np.eye(5, k=1) / 10, "symmetric"),
        (np.eye(5), r"p\(1 - p\) of the plan on its diagonal, got 1 for worker 3"),
    ],
)
def test_bad_covariance(covariance, message):
    with pytest.raises(ValueError, match=message):
        residual.exact(PLANS[0], covariance=covariance)
