import numpy as np
import pytest

import jgc
from jgc import theory

P = np.array([0.3, 0.8, 0.1, 0.6, 0.5])
D = ((1 - P) / P).sum()
N = 6
T = np.arange(1, 400)
STEPS = np.full(T.size, 0.05)

# Each bound as a function of B alone.
BOUNDS = {
    "distance": lambda b: theory.strongly_convex_distance(
        T, squared_gradient=b, strong_convexity=0.5
    ),
    "strongly convex": lambda b: theory.strongly_convex_gap(
        T, squared_gradient=b, strong_convexity=0.5, smoothness=2.0
    ),
    "under steps": lambda b: theory.strongly_convex_gap_under_steps(
        STEPS,
        squared_gradient=b,
        strong_convexity=0.5,
        smoothness=2.0,
        initial_distance=0.1,
    ),
    "convex": lambda b: theory.convex_gap(
        STEPS, squared_gradient=b, initial_distance=1.0
    ),
    "non-convex": lambda b: theory.non_convex_gradient(
        STEPS, squared_gradient=b, smoothness=2.0, initial_gap=1.0
    ),
    "non-smooth": lambda b: theory.non_smooth_gap(
        T, squared_gradient=b, strong_convexity=0.5
    ),
    "non-smooth average": lambda b: theory.non_smooth_average_gap(
        T, squared_gradient=b, strong_convexity=0.5
    ),
}
every_bound = pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)


@pytest.mark.parametrize("layers", [1, 3, 6])
def test_lemmas_for_optimal_codes(layers):
    plan = jgc.codes.interval(P, num_partitions=N, layers=layers)
    lemma_1 = theory.residual_error_bound(plan, squared_norm=2.0)
    assert lemma_1 == pytest.approx(2 * N**2 / D, rel=1e-12)
    lemma_2 = theory.squared_gradient_bound(plan, squared_norm=2.0)
    assert lemma_2 == pytest.approx(2 * N**2 * (1 + 1 / D), rel=1e-12)
    noisy = theory.squared_gradient_bound(plan, squared_norm=2.0, noise_variance=0.3)
    assert lemma_2 < noisy <= lemma_2 + 0.3 * N * (1 + N / D) * (1 + 1e-12)


def test_lemma_2_holds_for_any_gradients_and_plan():
    rng = np.random.default_rng(0)
    masks = (np.arange(2**5)[:, None] >> np.arange(5)) & 1
    probability = np.prod(np.where(masks, 1 - P, P), axis=1)
    # Unequal allocation: some α are negative, where n²/D itself fails.
    plans = [
        jgc.codes.interval(P, num_partitions=N),
        jgc.codes.scheme_ii(P, num_partitions=N, batch_sizes=(1, 2, 3, 2, 2)),
    ]
    for plan in plans:
        received = plan.weights[:, None] * plan.encoding_matrix()
        for _ in range(50):
            g = rng.normal(size=(N, 3))
            g /= np.linalg.norm(g, axis=1, keepdims=True)
            square = probability @ ((masks @ received @ g) ** 2).sum(1)
            bound = theory.squared_gradient_bound(plan, squared_norm=1.0)
            assert square <= bound * (1 + 1e-12)


def test_minibatch_noise_by_enumeration():
    plan = jgc.codes.interval(P, num_partitions=N, layers=2)
    masks = (np.arange(2**5)[:, None] >> np.arange(5)) & 1
    probability = np.prod(np.where(masks, 1 - P, P), axis=1)
    c = masks @ (plan.weights[:, None] * plan.encoding_matrix())
    extra = theory.squared_gradient_bound(plan, squared_norm=0.0, noise_variance=0.3)
    assert extra == pytest.approx(0.3 * probability @ (c**2).sum(1), rel=1e-12)


def test_a_biased_plan_is_refused():
    with pytest.raises(ValueError, match="unbiased, got IS-SGD"):
        theory.squared_gradient_bound(
            jgc.codes.uncoded(P, num_partitions=N), squared_norm=1.0
        )


@every_bound
def test_bounds_grow_with_b_and_end_lower_than_they_begin(bound):
    low, high = bound(1.0), bound(2.0)
    assert np.isfinite(low).all()
    assert (high >= low).all()
    assert high[-1] > low[-1] > 0
    assert low[-1] < low[0] or bound is BOUNDS["under steps"]


@every_bound
def test_rare_stragglers_give_the_bound_of_gradient_descent(bound):
    free = jgc.codes.straggler_free(5, num_partitions=N)
    limit = bound(theory.squared_gradient_bound(free, squared_norm=1.0))
    np.testing.assert_allclose(limit, bound(float(N**2)), rtol=1e-12)
    previous = np.inf
    for scale in (1.0, 1e-2, 1e-4):
        plan = jgc.codes.interval(P * scale, num_partitions=N)
        found = bound(theory.squared_gradient_bound(plan, squared_norm=1.0))
        distance = np.abs(found - limit).max()
        assert distance < previous
        previous = distance
    np.testing.assert_allclose(found, limit, rtol=1e-4)


def test_constant_steps_end_at_their_floor():
    gap = theory.strongly_convex_gap_under_steps(
        np.full(2000, 0.05),
        squared_gradient=3.0,
        strong_convexity=0.5,
        smoothness=2.0,
        initial_distance=10.0,
    )
    assert gap[0] == 10.0
    assert gap[-1] == pytest.approx(2.0 * 0.05 * 3.0 / (4 * 0.5), rel=1e-6)


def test_decreasing_steps_agree_with_the_recursion():
    """1/(λt) under the general recursion stays below Theorem 2's closed form."""
    options = {"squared_gradient": 3.0, "strong_convexity": 0.5, "smoothness": 2.0}
    recursion = theory.strongly_convex_gap_under_steps(
        1 / (0.5 * T[:-1]), initial_distance=3.0 / 0.5**2, **options
    )
    assert (recursion <= theory.strongly_convex_gap(T, **options)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BOUNDS["convex"](-1.0), "squared_gradient"),
        (lambda: BOUNDS["convex"](np.nan), "squared_gradient"),
        (
            lambda: theory.convex_gap(
                [0.1, 0.0], squared_gradient=1.0, initial_distance=1.0
            ),
            "step_sizes must be above 0",
        ),
        (
            lambda: theory.non_smooth_gap(
                [0], squared_gradient=1.0, strong_convexity=1.0
            ),
            "counted from 1",
        ),
        (
            lambda: theory.non_smooth_gap(
                [1], squared_gradient=1.0, strong_convexity=0.0
            ),
            "strong_convexity must be above 0",
        ),
        (
            lambda: theory.strongly_convex_gap(
                [1], squared_gradient=1.0, strong_convexity=2.0, smoothness=1.0
            ),
            "at least strong_convexity",
        ),
    ],
)
def test_errors_name_the_rule(call, message):
    with pytest.raises(ValueError, match=message):
        call()
