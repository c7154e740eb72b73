"""The best of all unbiased decoders: its table, its rivals, its laws, its limits."""

import jax
import numpy as np
import pytest

import jgc
from jgc import codes, decoders, gradients, residual, stragglers

from . import reference
from .helpers import PSI, all_masks, case_plans, graph_plan, plan_of

PLANS = case_plans()
# Of any structure, with the sum of all among its rows; the draw of the bernoulli code
# in the table leaves partitions without a holder.
PLANS["bernoulli"] = jgc.CodingPlan.from_matrix(
    np.vstack([np.random.default_rng(0).random((7, 5)) < 0.5, np.ones(5)]) * 1.0,
    p=np.linspace(0.1, 0.8, 8),
)
P15 = np.exp(-0.5 * PSI)


def _interval(deadline, n):
    return codes.interval(np.exp(-(deadline - 1) * PSI), num_partitions=n)


# SPEC section 10, to the six digits that it gives.
TABLE = [
    (_interval(1.1, 10), 0.0, 5.233616, 5.144223),
    (_interval(1.1, 10), 0.5, 1.488566, 1.219789),
    (_interval(1.1, 10), 0.9, 1.159331, 0.823326),
    (_interval(1.5, 10), 0.0, 0.866918, 0.839513),
    (_interval(1.5, 10), 0.5, 0.226512, 0.115600),
    (_interval(1.5, 10), 0.9, 0.170212, 0.028768),
    (_interval(3, 10), 0.0, 0.031043, 0.023530),
    (_interval(3, 10), 0.5, 0.010384, 0.002822),
    (_interval(1.5, 100), 0.5, 0.173049, 0.032825),
]
PAIRS = codes.fractional_repetition(P15, num_partitions=8, replication=2)
UNCODED = codes.uncoded(P15, num_partitions=8)
TABLE += [
    (PAIRS, 0.0, None, 1.348743),
    (PAIRS, 0.5, None, 0.225497),
    (PAIRS, 0.9, None, 0.043629),
    (UNCODED, 0.0, None, 3.384588),
    (UNCODED, 0.5, None, 0.494445),
    (UNCODED, 0.9, None, 0.080276),
]


@pytest.mark.parametrize(("plan", "rho", "of_fixed", "best"), TABLE)
def test_table(plan, rho, of_fixed, best):
    decoder = decoders.best_unbiased(plan, gradients=rho)
    closed = residual.exact(plan, decoder=decoder, gradients=rho)
    assert closed.relative == pytest.approx(best, abs=1e-6)
    found = residual.enumerate_masks(plan, decoder=decoder, gradients=rho)
    assert found.mean == pytest.approx(closed.mean, rel=1e-9)
    if of_fixed is not None:
        fixed = residual.exact(plan, gradients=rho).relative
        assert fixed == pytest.approx(of_fixed, abs=1e-6)


@pytest.mark.parametrize("name", list(PLANS))
def test_every_code_is_unbiased_and_at_its_closed_form(name):
    plan, rho = PLANS[name], 0.3
    decoder = decoders.best_unbiased(plan, gradients=rho)
    moments = residual.decoded_moments(plan, decoder=decoder, gradients=rho)
    np.testing.assert_allclose(moments.mean, 1, atol=1e-8)
    found = residual.enumerate_masks(plan, decoder=decoder, gradients=rho)
    assert found.mean == pytest.approx(decoder.design.error, rel=1e-6)
    # All that answers says is enough for aligned gradients, of any code.
    aligned = decoders.best_unbiased(plan, gradients=1.0)
    found = residual.enumerate_masks(plan, decoder=aligned, gradients=1.0)
    assert found.relative == pytest.approx(residual.unbiased_floor(plan), rel=1e-6)


@pytest.mark.parametrize("name", ["interval", "bernoulli", "cyclic", "random_graph"])
def test_weights_are_those_of_the_straightforward_version(name):
    plan, rng = PLANS[name], np.random.default_rng(0)
    matrix = plan.encoding_matrix()
    vectors = rng.normal(size=(plan.num_partitions, 12)) + 0.5
    masks, probability = reference.mask_law(plan.straggler_probabilities)
    for own in (gradients.similar(0.6), gradients.vectors(vectors)):
        gram = own.gram_matrix(plan.num_partitions)
        tilt, error = reference.best_unbiased(matrix, gram, masks, probability)
        decoder = decoders.best_unbiased(plan, gradients=own)
        assert decoder.design.error == pytest.approx(error, rel=1e-6)
        expected = matrix.T @ reference.weights(matrix, gram, tilt, masks)
        with jax.enable_x64(True):
            c = np.asarray(decoder.coefficients(plan, masks))
        np.testing.assert_allclose(c, expected, atol=1e-5)


def test_rows_that_nearly_depend_on_one_another_decide_no_rank():
    k = 100
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.3, k)
    plan = codes.interval(p, num_partitions=k)
    decoder = decoders.best_unbiased(
        plan, gradients=0.5, key=jax.random.key(0), num_masks=500
    )
    masks = rng.random((k, 100)) >= p[:, None]
    with jax.enable_x64(True):
        c = np.asarray(decoder.coefficients(plan, masks))
    values, vectors = np.linalg.eigh(gradients.similar(0.5).gram_matrix(k))
    factor = vectors * np.sqrt(values) @ vectors.T
    rows = plan.encoding_matrix() @ factor
    target = np.linalg.solve(factor, decoder.design.multipliers)
    least = np.empty(100)
    for t, answered in enumerate(masks.T):
        own = rows[answered] / np.linalg.norm(rows[answered], axis=1, keepdims=True)
        _, sizes, basis = np.linalg.svd(own, full_matrices=False)
        # What is 0 is so to rounding, what is not is far above: the rank is clear here,
        # and not in the Gram matrix, whose eigenvalues are the squares.
        spans = sizes > 1e-9
        least[t] = sizes[spans].min()
        assert sizes[~spans].max(initial=0.0) < 1e-14
        exact = np.linalg.solve(factor, basis[spans].T @ (basis[spans] @ target))
        # Below √λ = 6e-6 directions begin to be passed over (`_ridge`).
        atol = 1e-8 if least[t] > 1e-3 else 1e-2
        np.testing.assert_allclose(c[:, t], exact, atol=atol)
    assert (least < 1e-3).any()
    assert (least > 1e-3).any()


def _random_code(rng):
    k, n = 7, 5
    rows = np.where(rng.random((k, n)) < 0.5, rng.normal(size=(k, n)), 0)
    rows[rng.integers(k, size=n), np.arange(n)] = rng.uniform(0.5, 2, n)
    p = rng.choice([rng.uniform(0, 1, k), rng.beta(0.3, 0.3, k)]) * 0.98
    if rng.random() < 0.3:  # one message twice
        rows[0] = rows[1]
    # Unbiased fixed weights, where A allows any.
    target = np.linalg.lstsq(rows.T, np.ones(n), rcond=1e-9)[0]
    if not np.allclose(rows.T @ target, 1):
        return _random_code(rng)
    # Zeros are edges too: all codes have one shape, and compile once.
    return jgc.CodingPlan.from_edges(
        *np.indices((k, n)).reshape(2, -1),
        rows.ravel(),
        p=p,
        num_partitions=n,
        weights=target / (1 - p),
    )


@pytest.mark.parametrize("seed", range(40))
def test_never_worse_than_fixed_weights(seed):
    rng = np.random.default_rng(seed)
    plan = _random_code(rng)
    rho = float(rng.choice([0, rng.random(), 1]))
    decoder = decoders.best_unbiased(plan, gradients=rho)
    fixed = residual.exact(plan, gradients=rho).mean
    assert decoder.design.error <= fixed * (1 + 1e-7) + 1e-9
    moments = residual.decoded_moments(plan, decoder=decoder)
    np.testing.assert_allclose(moments.mean, 1, atol=1e-5)


def test_trade_off_is_the_least_of_bias_and_variance():
    plan, rng = PLANS["interval"], np.random.default_rng(1)
    gram = gradients.similar(0.4).gram_matrix(plan.num_partitions)

    def cost(decoder, ratio):
        moments = residual.decoded_moments(plan, decoder=decoder, gradients=0.4)
        off = moments.mean - 1
        variance = moments.squared_norm - moments.mean @ gram @ moments.mean
        return ratio * off @ gram @ off + variance

    ratios = [0.0, 0.5, 1.0, 3.0, 100.0]
    found = [
        decoders.trade_off(plan, gradients=0.4, noise_ratio=ratio) for ratio in ratios
    ]
    for own, ratio in zip(found, ratios, strict=True):
        least = cost(own, ratio)
        for other in found:
            assert least <= cost(other, ratio) + 1e-9
        # And no change of u is better.
        for _ in range(3):
            tilt = own.tilt + 1e-3 * rng.normal(size=own.tilt.shape)
            assert (
                least
                <= cost(
                    jax.tree.unflatten(
                        jax.tree.structure(own),
                        [
                            tilt if leaf is own.tilt else leaf
                            for leaf in jax.tree.leaves(own)
                        ],
                    ),
                    ratio,
                )
                + 1e-9
            )
    infinite = decoders.trade_off(plan, gradients=0.4, noise_ratio=np.inf)
    best = decoders.best_unbiased(plan, gradients=0.4)
    np.testing.assert_allclose(infinite.tilt, best.tilt)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.0])
def test_aligned_trade_off_shrinks_as_the_papers_second_track_does(ratio):
    plan = PLANS["interval"]
    best = decoders.best_unbiased(plan, gradients=1.0)
    traded = decoders.trade_off(plan, gradients=1.0, noise_ratio=ratio)
    factor = ratio / (ratio + residual.unbiased_floor(plan))
    masks = all_masks(8)
    with jax.enable_x64(True):
        first, second = (
            np.asarray(d.coefficients(plan, masks)) for d in (best, traded)
        )
    # Of the sum, which is all that aligned gradients see.
    np.testing.assert_allclose(second.sum(axis=0), factor * first.sum(axis=0))


def test_conditional_least_squares_is_least_squares_of_orthogonal_gradients():
    for name in ("interval", "cyclic", "graph"):
        plan, masks = PLANS[name], all_masks(8)
        own = decoders.conditional_least_squares(plan, gradients=0.0)
        with jax.enable_x64(True):
            found = own.coefficients(plan, masks)
            expected = decoders.least_squares.coefficients(plan, masks)
        np.testing.assert_allclose(found, expected, atol=1e-7)


def test_recorded_masks_are_their_own_law():
    plan, rng = PLANS["bernoulli"], np.random.default_rng(2)
    rounds = rng.random((300, 8)) < 0.4
    rounds[:, 1] |= rounds[:, 0]  # dependent
    decoder = decoders.best_unbiased(plan, gradients=0.5, model=rounds)
    with jax.enable_x64(True):
        c = np.asarray(decoder.coefficients(plan, rounds.T))
    np.testing.assert_allclose(c.mean(axis=1), 1, atol=1e-8)
    error = 0.5 * ((c - 1).sum(axis=0) ** 2).mean()
    error += 0.5 * ((c - 1) ** 2).sum(axis=0).mean()
    assert decoder.design.error == pytest.approx(error, rel=1e-8)
    assert decoder.design.method == "recorded"


def test_shocks_need_a_decoder_of_their_own():
    groups, shock = np.repeat([0, 1], 4), 0.25
    p = np.full(8, 0.35)
    plan = codes.interval(p, num_partitions=8)
    model = stragglers.shared_shocks(p, groups=groups, shock=shock)
    decoder = decoders.best_unbiased(
        plan, gradients=0.5, model=model, key=jax.random.key(0), num_masks=2048
    )
    fresh = residual.monte_carlo(
        jax.random.key(9),
        plan,
        num_trials=100_000,
        model=model,
        decoder=decoder,
        gradients=0.5,
    )
    off = fresh.mean - decoder.design.error
    assert abs(off) < 4 * (fresh.standard_error + decoder.design.standard_error)
    independent = decoders.best_unbiased(plan, gradients=0.5)
    assert (
        np.abs(independent.design.multipliers - decoder.design.multipliers).max() > 0.1
    )
    z = decoder.design.bias / decoder.design.bias_standard_error
    assert np.abs(z).max() < 8  # eight batches


@pytest.mark.slow
def test_sampled_design_says_what_bias_is_left():
    rng = np.random.default_rng(3)
    p = rng.uniform(0.05, 0.5, 40)
    plan = codes.interval(p, num_partitions=40)
    decoder = decoders.best_unbiased(
        plan, gradients=0.5, key=jax.random.key(1), num_masks=1024
    )
    masks = rng.random((40, 60_000)) >= p[:, None]
    with jax.enable_x64(True):
        c = np.asarray(jax.jit(decoder.coefficients)(plan, masks))
    bias = c.mean(axis=1) - 1
    error = c.std(axis=1) / np.sqrt(c.shape[1])
    # What was measured then and now agree.
    both = np.hypot(error, decoder.design.bias_standard_error)
    assert np.sqrt((((bias - decoder.design.bias) / both) ** 2).mean()) < 2
    assert np.abs(bias).max() < 0.02


def test_large_groups_are_enumerated():
    p = np.full(60, 0.5)
    plan = codes.fractional_repetition(p, num_partitions=30, replication=6)
    decoder = decoders.best_unbiased(plan, gradients=0.0)  # no key
    assert decoder.design.method == "enumeration"
    lost = 0.5**6
    assert decoder.design.error / 30 == pytest.approx(lost / (1 - lost))


def test_graphs_by_components_agree_with_cholesky():
    rng = np.random.default_rng(4)
    edges = [tuple(rng.choice(50, 2, replace=False)) for _ in range(70)]
    edges += [(j,) for j in range(50)]
    plan = graph_plan(edges, 50, p=0.4)
    rounds = rng.random((24, 120)) < 0.6
    by_graph = decoders.conditional_least_squares(plan, gradients=0.3, model=rounds)
    # Another scale of one coefficient is no graph code, and decodes to the same.
    scaled = jgc.CodingPlan.from_matrix(
        plan.encoding_matrix() * np.where(np.arange(120) == 0, 2, 1)[:, None],
        p=0.4 + np.zeros(120),
    )
    by_factor = decoders.conditional_least_squares(scaled, gradients=0.3, model=rounds)
    assert type(by_graph.projection) is not type(by_factor.projection)
    with jax.enable_x64(True):
        found = by_graph.coefficients(plan, rounds.T)
        expected = by_factor.coefficients(scaled, rounds.T)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_long_bands_are_cut_and_agree():
    p = np.random.default_rng(5).uniform(0.1, 0.6, 3000)
    plan = codes.interval(p, num_partitions=3000)
    rounds = np.random.default_rng(6).random((2, 3000)) >= p
    decoder = decoders.conditional_least_squares(plan, gradients=0.2, model=rounds)
    assert decoder.projection.is_banded
    with jax.enable_x64(True):
        one = decoder.coefficients(plan, rounds[0])
        many = decoder.coefficients(plan, np.repeat(rounds[:1], 200, axis=0).T)
    np.testing.assert_allclose(one, many[:, 7], atol=1e-9)


def test_singular_gram_matrices():
    plan, rng = PLANS["interval"], np.random.default_rng(7)
    own = gradients.vectors(rng.normal(size=(10, 3)))
    decoder = decoders.best_unbiased(plan, gradients=own)
    moments = residual.decoded_moments(plan, decoder=decoder, gradients=own)
    np.testing.assert_allclose(moments.mean, 1, atol=1e-5)
    found = residual.enumerate_masks(plan, decoder=decoder, gradients=own)
    assert found.mean == pytest.approx(decoder.design.error, rel=1e-9)
    similar = decoders.best_unbiased(plan, gradients=0.5)
    rival = residual.enumerate_masks(plan, decoder=similar, gradients=own)
    assert found.mean < rival.mean


def test_single_precision_is_as_good_where_rows_are_apart():
    plan, masks = PLANS["interval"], all_masks(8)
    decoder = decoders.best_unbiased(plan, gradients=0.9)
    single = np.asarray(decoder.coefficients(plan, masks))
    with jax.enable_x64(True):
        double = np.asarray(decoder.coefficients(plan, masks))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=1e-3 * np.abs(double).max())


def test_partitions_that_never_arrive_are_named():
    plan = plan_of([{0: 1.0, 1: 1.0}, {1: 1.0}, {2: 1.0}], 3, p=[1.0, 0.5, 1.0])
    with pytest.raises(ValueError, match="holds partitions 0, 2"):
        decoders.best_unbiased(plan, gradients=0.5)
    rounds = np.array([[0, 1, 0], [0, 1, 1]], bool)
    with pytest.raises(ValueError, match=r"holds partition 0$"):
        decoders.best_unbiased(plan, gradients=0.5, model=rounds)
    # One message alone, with unequal coefficients.
    plan = plan_of([{0: 1.0, 1: 2.0}, {2: 1.0}], 3, p=0.5)
    with pytest.raises(ValueError, match="coefficients on partitions 0, 1"):
        decoders.best_unbiased(plan, gradients=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gradients": 1.5}, "gradients"),
        ({"gradients": 0.5, "model": np.ones((3, 5), bool)}, "8 workers"),
        ({"gradients": 0.5, "model": np.full((3, 8), 0.5)}, "boolean masks"),
        ({"gradients": 0.5, "model": stragglers.bernoulli(P15)}, "key"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        decoders.best_unbiased(PLANS["interval"], **arguments)


def test_other_gradients_and_decoders_have_no_closed_form():
    plan = PLANS["interval"]
    decoder = decoders.best_unbiased(plan, gradients=0.5)
    with pytest.raises(ValueError, match="other gradients"):
        residual.exact(plan, decoder=decoder, gradients=0.4)
    with pytest.raises(ValueError, match="no closed form"):
        residual.exact(plan, decoder=decoders.least_squares)
    with pytest.raises(ValueError, match="designed for 8 workers and 10"):
        decoder(PLANS["uncoded"], np.ones(8, bool))


def test_redesign_for_another_p_compiles_nothing_again():
    plan = PLANS["interval"]
    decoder = decoders.best_unbiased(plan, gradients=0.5)
    other = decoder.redesigned(codes.on_placement(np.flip(P15) * 0.9, plan))
    assert jax.tree.structure(other) == jax.tree.structure(decoder)
    assert other.design.error != decoder.design.error
