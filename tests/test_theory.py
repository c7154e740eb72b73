import jax
import numpy as np
import pytest

import jgc
from jgc import theory
from jgc.gradients import vectors

P = np.array([0.3, 0.8, 0.1, 0.6, 0.5])
D = ((1 - P) / P).sum()
N = 6
T = np.arange(1, 400)
STEPS = np.full(T.size, 0.05)

# Each bound as a function of B alone.
BOUNDS = {
    "theorem 2": lambda b: theory.theorem_2(
        T, squared_gradient=b, strong_convexity=0.5
    ),
    "theorem 3, constant": lambda b: theory.theorem_3_constant_steps(
        T, squared_gradient=b, smoothness=2.0, initial_gap=1.0
    ),
    "theorem 3, falling": lambda b: theory.theorem_3_falling_steps(
        T, squared_gradient=b, smoothness=2.0, initial_gap=1.0
    ),
    "theorem 4": lambda b: theory.theorem_4(
        STEPS, squared_gradient=b, strong_convexity=0.5, initial_distance=0.1
    ),
    "strongly convex": lambda b: theory.strongly_convex_gap(
        T, squared_gradient=b, strong_convexity=0.5, smoothness=2.0
    ),
    "under steps": lambda b: theory.strongly_convex_distance(
        STEPS, squared_gradient=b, strong_convexity=0.5, initial_distance=0.1
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
DISTANCES = (BOUNDS["theorem 4"], BOUNDS["under steps"])
every_bound = pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)


@pytest.mark.parametrize("layers", [1, 3, 6])
def test_lemmas_for_optimal_codes(layers):
    """(10), (19), (20) and C.4.1, and the forms that hold for other codes as well."""
    plan = jgc.codes.interval(P, num_partitions=N, layers=layers)
    error, square = 2 * N**2 / D, 2 * N**2 * (1 + 1 / D)
    assert theory.lemma_1(plan, squared_norm=2.0) == pytest.approx(error, rel=1e-12)
    assert theory.lemma_2(plan, squared_norm=2.0) == pytest.approx((error, square))
    wider = theory.residual_error_bound(plan, squared_norm=2.0)
    assert wider == pytest.approx(error, rel=1e-12)
    wider = theory.squared_gradient_bound(plan, squared_norm=2.0)
    assert wider == pytest.approx(square, rel=1e-12)
    noise = {"squared_norm": 2.0, "noise_variance": 0.3}
    batches = 0.3 * N * (1 + N / D)
    expected = pytest.approx((error + batches, square + batches))
    assert theory.lemma_2(plan, **noise) == expected
    sharper = theory.squared_gradient_bound(plan, **noise)
    assert square < sharper <= (square + batches) * (1 + 1e-12)


def test_lemmas_1_and_2_fail_for_negative_coefficients():
    """docs/paper.md: gradients of norm 1 reach 17.41, the paper's bound is 16.25."""
    psi = np.array([2, 1.7, 1.5, 1.2, 0.9, 0.6, 0.3, 0.15])
    p, sizes = np.exp(-psi / 2), (3, 3, 3, 2, 2, 2, 1, 1)
    with pytest.warns(jgc.codes.NegativeCoefficientWarning):
        plan = jgc.codes.scheme_ii(p, num_partitions=10, batch_sizes=sizes)
    paper = theory.lemma_2(plan, squared_norm=1.0).residual_error
    assert paper == pytest.approx(16.247, abs=1e-3)
    assert theory.lemma_1(plan, squared_norm=1.0) == pytest.approx(paper)
    signs = 1 - 2.0 * ((np.arange(2**10)[:, None] >> np.arange(10)) & 1)
    errors = p / (1 - p) @ (plan.alpha() @ signs.T) ** 2
    worst = signs[errors.argmax()]
    reached = jgc.residual.exact(plan, gradients=vectors(worst[:, None])).mean
    assert reached == pytest.approx(17.412, abs=1e-3)
    assert paper < reached <= theory.residual_error_bound(plan, squared_norm=1.0)


def test_lemma_2_is_of_optimal_structure():
    plan = jgc.codes.stochastic(
        P, num_partitions=N, key=jax.random.key(0), replication=2
    )
    with pytest.raises(ValueError, match=r"optimal structure.*worker \d has"):
        theory.lemma_2(plan, squared_norm=1.0)
    lemma_1 = theory.lemma_1(plan, squared_norm=1.0)
    assert lemma_1 == pytest.approx(jgc.residual.exact(plan).mean)
    for lemma in (theory.lemma_1, theory.lemma_2):
        with pytest.raises(ValueError, match="unbiased, got uncoded"):
            lemma(jgc.codes.uncoded(P, num_partitions=N), squared_norm=1.0)


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
    with pytest.raises(ValueError, match="unbiased, got uncoded"):
        theory.squared_gradient_bound(
            jgc.codes.uncoded(P, num_partitions=N), squared_norm=1.0
        )


@every_bound
def test_bounds_grow_with_b_and_end_lower_than_they_begin(bound):
    low, high = bound(1.0), bound(2.0)
    assert np.isfinite(low).all()
    assert (high >= low).all()
    assert high[-1] > low[-1] > 0
    assert low[-1] < low[0] or bound in DISTANCES


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


OPTIONS = {"squared_gradient": 3.0, "strong_convexity": 0.5}
LOSS = {"squared_gradient": 3.0, "smoothness": 2.0, "initial_gap": 7.0}


def test_theorem_2_as_the_paper_has_it():
    found = theory.theorem_2([1, 10], **OPTIONS)
    np.testing.assert_allclose(found, [4 * 3 / 0.5**2, 4 * 3 / (0.5**2 * 10)])  # (30)


@pytest.mark.parametrize("last", [0, 1, 99])
def test_theorem_3_as_the_paper_has_it(last):
    """(31) and (33) from (75), and by (78) from what the proof does to it."""
    root, noise = np.sqrt(last + 1), 2.0 * 3.0
    constant = theory.theorem_3_constant_steps([last], **LOSS)
    np.testing.assert_allclose(constant, 7 / root + noise / 2 / root)
    steps = np.full(last + 1, 1 / root)
    np.testing.assert_allclose(theory.non_convex_gradient(steps, **LOSS)[-1], constant)

    falling = theory.theorem_3_falling_steps([last], **LOSS)
    expected = 7 / root + noise * (1 + np.log(last + 1) / 2) / root
    np.testing.assert_allclose(falling, expected)
    harmonic = (1 / np.arange(1, last + 2)).sum()
    proved = (7 + noise / 2 * harmonic) / root  # (79)
    assert proved <= falling[0] <= proved + noise / 2 * (2 - 0.577) / root


def test_theorem_4_as_the_paper_has_it():
    steps = np.array([0.3, 0.1, 2.0, 0.5])
    found = theory.theorem_4(steps, initial_distance=5.0, **OPTIONS)
    assert found[0] == 5.0
    for t in range(4):  # (35), written out
        kept = 1 - steps[: t + 1] * 0.5
        terms = [steps[q] ** 2 * np.prod(kept[q + 1 :]) for q in range(t + 1)]
        expected = 5.0 * np.prod(kept) + 3.0 * np.sum(terms)
        assert found[t + 1] == pytest.approx(expected)
    sharper = theory.strongly_convex_distance(steps, initial_distance=5.0, **OPTIONS)
    assert (sharper <= found).all()
    assert (sharper[1:3] < found[1:3]).all()


@pytest.mark.parametrize("step", [0.05, 0.9, 1.9])
def test_theorem_4_ends_below_36_for_steps_below_the_inverse_of_lambda(step):
    steps = np.full(3000, step)
    options = {"initial_distance": 10.0, **OPTIONS}
    limit = theory.theorem_4(steps, **options)[-1]
    assert limit == pytest.approx(step * 3.0 / 0.5, rel=1e-6)  # (94)
    assert limit < theory.theorem_4_limit(step, **OPTIONS) == 3.0 / 0.5**2
    sharper = theory.strongly_convex_distance(steps, **options)[-1]
    expected = step * 3.0 / (2 * 0.5) if step <= 1 else step**2 * 3.0
    assert sharper == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("step", [2.0, 2.5])
def test_and_not_for_others(step):
    """At γ = 1/λ (35) ends at B/λ² itself, beyond it cannot be unrolled."""
    with pytest.raises(ValueError, match="below 1/strong_convexity = 2"):
        theory.theorem_4_limit(step, **OPTIONS)
    if step > 2:
        with pytest.raises(ValueError, match="at most 1/strong_convexity = 2"):
            theory.theorem_4([step], initial_distance=1.0, **OPTIONS)


def test_falling_steps_in_theorem_4_lose_a_logarithm():
    """(37) holds; (97) has 1/t where (35) gives H_t/t."""
    t = np.arange(1, 2001)
    found = theory.theorem_4(1 / (0.5 * t), initial_distance=3.0 / 0.5**2, **OPTIONS)
    np.testing.assert_allclose(found[1:], 3.0 / 0.5**2 * np.cumsum(1 / t) / t)
    sharper = theory.strongly_convex_distance(
        1 / (0.5 * t), initial_distance=3.0 / 0.5**2, **OPTIONS
    )
    assert (sharper[:-1] <= theory.theorem_2(t, **OPTIONS)).all()
    assert (sharper <= found).all()


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
