"""The protocol, over codes × decoders: jit, vmap, trailing axes, weights against c."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgc
from jgc import decoders

from .helpers import DECODERS, all_masks, case_plans, decoder_cases, plan_of

PLANS = {
    name: plan
    for name, plan in case_plans().items()
    if name in ("interval", "bernoulli", "fractional", "cyclic", "graph")
}
CASES = decoder_cases(PLANS)


@pytest.fixture(scope="module")
def masks():
    return all_masks(8)[:, ::5]


@pytest.mark.parametrize(("plan", "decoder"), CASES)
def test_transforms_give_the_same_weights(plan, decoder, masks):
    plan, decoder = PLANS[plan], DECODERS[decoder]

    @jax.jit
    def every_way(plan, masks):
        return (
            decoder(plan, masks),
            decoder(plan, masks[:, 3]),
            jax.vmap(decoder, in_axes=(None, 1), out_axes=1)(plan, masks[:, :9]),
            decoder(plan, masks[:, :12].reshape(8, 3, 4)),
        )

    weights, single, mapped, cube = map(np.asarray, every_way(plan, masks))
    assert weights.shape == masks.shape
    assert weights.dtype == np.float32
    assert (weights[~masks] == 0).all()
    # Weights of least norm are known to 1e-3 in float32: directions that do not
    # change c are rounding over λ.
    scale = 1e-5 if decoder is not decoders.least_squares else 1e-2
    scale *= max(1, np.abs(weights).max())
    np.testing.assert_allclose(single, weights[:, 3], atol=scale)
    np.testing.assert_allclose(mapped, weights[:, :9], atol=scale)
    np.testing.assert_allclose(cube, weights[:, :12].reshape(8, 3, 4), atol=scale)


@pytest.mark.parametrize(("plan", "decoder"), CASES)
def test_coefficients_are_those_of_the_weights(plan, decoder, masks):
    plan, decoder = PLANS[plan], DECODERS[decoder]
    with jax.enable_x64(True):
        weights = np.asarray(jax.jit(decoder)(plan, masks))
        c = np.asarray(jax.jit(decoder.coefficients)(plan, masks))
    np.testing.assert_allclose(c, plan.encoding_matrix().T @ weights, atol=1e-9)


def test_fixed_is_the_plans_own_decoding(masks):
    plan = PLANS["interval"]
    c = decoders.fixed.coefficients(plan, masks[:, 7])
    np.testing.assert_allclose(
        c, (masks[:, 7] * plan.weights) @ plan.encoding_matrix(), rtol=1e-5
    )


@pytest.mark.parametrize("num_workers", [4, 60])
def test_coefficients_by_matrix_and_by_edges(num_workers, masks):
    # 60 × 60 entries against 60 edges: the way through the edges.
    rows = [{i: 1.0 + i} for i in range(num_workers)]
    plan = plan_of(rows, num_workers)
    weights = jnp.ones((num_workers, 3))
    expected = np.broadcast_to(1.0 + np.arange(num_workers)[:, None], (num_workers, 3))
    np.testing.assert_allclose(plan.coefficients(weights.T), expected.T)


def test_representative_takes_the_first_of_each_group():
    plan = PLANS["fractional"]
    supports = plan.encoding_matrix() != 0
    masks = all_masks(8)
    weights = np.asarray(decoders.representative(plan, masks))
    for mask, row in zip(masks.T, weights.T, strict=True):
        seen = []
        for i in np.flatnonzero(mask):
            first = not any((supports[i] == supports[j]).all() for j in seen)
            assert row[i] == (plan.weights[i] if first else 0)
            seen.append(i)


def test_representative_reads_zero_coefficients_as_no_edge():
    plan = plan_of([{0: 1.0, 1: 0.0}, {0: 1.0}, {1: 1.0}], 2)
    weights = decoders.representative(plan, np.ones(3, bool))
    np.testing.assert_array_equal(weights, [1, 0, 1])


def test_batch_of_plans_under_vmap(masks):
    plan = PLANS["interval"]
    batch = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), plan)
    weights = jax.vmap(decoders.least_squares, in_axes=(0, None))(batch, masks[:, 9])
    expected = decoders.least_squares(plan, masks[:, 9])
    np.testing.assert_allclose(weights, [expected, expected], atol=1e-3)


# --- Decoders as pytrees. ---


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_go_through_jit_as_data(name, masks):
    plan, decoder = PLANS["graph"], DECODERS[name]
    traces = []

    @jax.jit
    def weights(decoder, plan, answered):
        traces.append(None)
        return decoder(plan, answered)

    found = weights(decoder, plan, masks[:, 5])
    weights(jax.tree.map(lambda leaf: leaf, decoder), plan, masks[:, 6])
    assert len(traces) == 1
    np.testing.assert_allclose(found, decoder(plan, masks[:, 5]), atol=1e-2)


@pytest.mark.parametrize(
    "make",
    [
        lambda plan: decoders.fixed,
        lambda plan: decoders.graph,
        lambda plan: decoders.least_squares,
        lambda plan: decoders.best_unbiased(plan, gradients=0.5),
        lambda plan: decoders.two_track(plan, decoder=decoders.least_squares),
    ],
    ids=["fixed", "graph", "least squares", "best unbiased", "two tracks"],
)
def test_outside_jit_the_second_call_compiles_nothing(make, masks, caplog):
    plan = PLANS["graph"]
    designs = [make(plan) for _ in range(2)]

    def compiled(decoder, masks):
        caplog.clear()
        with jax.log_compiles():
            decoder(plan, masks)
            decoder.coefficients(plan, masks)
        return [one for one in caplog.messages if one.startswith("Compiling")]

    jax.clear_caches()
    assert len(compiled(designs[0], masks[:, 9])) >= 2
    assert compiled(designs[0], masks[:, 9]) == []
    assert compiled(designs[1], masks[:, 10]) == []


def test_what_a_decoder_was_designed_with_is_no_constant():
    plan, traces = PLANS["interval"], []
    answered = np.arange(8) % 3 > 0

    @jax.jit
    def weights(decoder):
        traces.append(None)
        return decoder(plan, answered)

    for scale in (1.0, 2.0):
        decoder = decoders.two_track(replace(plan, weights=plan.weights))
        decoder = replace(decoder, second=decoder.second * scale)
        found = weights(decoder)
        np.testing.assert_allclose(found[1], answered * decoder.second, rtol=1e-6)
    assert len(traces) == 1


@pytest.mark.parametrize("first", [decoders.fixed, decoders.least_squares])
def test_two_tracks(first, masks):
    plan = PLANS["bernoulli"]
    decoder = decoders.two_track(plan, noise_ratio=2.0, decoder=first)
    v = decoders.second_moment_weights(plan, noise_ratio=2.0)
    assert decoder.num_tracks == 2
    assert decoder.is_fixed == first.is_fixed
    assert decoder.is_unbiased == first.is_unbiased
    for answered in (masks[:, 7], masks, masks[:, :12].reshape(8, 3, 4)):
        weights = jax.jit(lambda d, m: d(plan, m))(decoder, answered)
        assert weights.shape == (2, *answered.shape)
        np.testing.assert_allclose(weights[0], first(plan, answered), atol=1e-2)
        second = v.reshape(8, *[1] * (answered.ndim - 1)) * answered
        np.testing.assert_allclose(weights[1], second, rtol=1e-6)
        c = decoder.coefficients(plan, answered)
        assert c.shape == (2, plan.num_partitions, *answered.shape[1:])
        both = np.tensordot(weights, plan.encoding_matrix(), (1, 0))
        np.testing.assert_allclose(c, np.moveaxis(both, -1, 1), atol=1e-4)


def test_two_tracks_of_another_plan_are_refused():
    decoder = decoders.two_track(PLANS["interval"])
    other = plan_of([{0: 1.0}] * 3, 1)
    with pytest.raises(ValueError, match="are of 8 workers, the plan has 3"):
        decoder(other, np.ones(3, bool))
    with pytest.raises(ValueError, match="noise_ratio must be a number ≥ 0"):
        decoders.two_track(other, noise_ratio=-1.0)


def test_two_tracks_are_designed_again_for_a_new_plan():
    plan = PLANS["interval"]
    decoder = decoders.two_track(plan, noise_ratio=0.5)
    moved = replace(plan, straggler_probabilities=np.linspace(0.1, 0.8, 8))
    expected = decoders.second_moment_weights(moved, noise_ratio=0.5)
    np.testing.assert_array_equal(decoder.redesigned(moved).second, expected)
    assert decoders.least_squares.redesigned(moved) is decoders.least_squares


def test_a_function_of_ones_own(masks):
    plan = PLANS["interval"]
    half = decoders.from_function(
        lambda plan, answered: 0.5 * jnp.ones(answered.shape), name="half"
    )
    weights = jax.jit(lambda d, m: d(plan, m))(half, masks)
    np.testing.assert_array_equal(weights, 0.5 * masks)  # 0 where nothing came
    assert (half.name, half.is_unbiased, half.is_fixed) == ("half", False, False)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(
    "answered",
    [np.ones(8), np.ones(8, int), np.ones(7, bool), np.ones((1, 8), bool), True],
    ids=["floats", "ints", "7 workers", "trials first", "scalar"],
)
@pytest.mark.wrong_types
def test_what_is_no_mask_is_named(name, answered):
    plan, decoder = PLANS["graph"], DECODERS[name]
    message = r"(?m)^answered must be booleans, one for each of the 8 workers, .*\)$"
    for use in (decoder, decoder.coefficients, jax.jit(decoder)):
        with pytest.raises(ValueError, match=message):
            use(plan, answered)


def test_a_function_that_gives_back_a_mask_does_not_round_the_code():
    plan = jgc.CodingPlan.from_matrix([[0.5, 0.5], [0.5, 0.5]], p=[0.1, 0.2])
    mine = decoders.from_function(lambda plan, answered: answered)
    everyone = np.ones(2, bool)

    assert mine.coefficients(plan, everyone).tolist() == [1, 1]


def test_a_function_of_another_shape_is_refused():
    plan = jgc.CodingPlan.from_matrix(np.eye(2), p=[0.1, 0.2])
    mine = decoders.from_function(lambda plan, answered: jnp.ones(2), name="ones")

    with pytest.raises(ValueError, match=r"'ones' must return .* \(2, 2\), got"):
        mine(plan, np.ones((2, 2), bool))


@pytest.mark.wrong_types
def test_coefficients_of_integers_are_refused():
    plan = jgc.CodingPlan.from_matrix([[0.5, 0.5]], p=[0.1])

    with pytest.raises(ValueError, match="weights must be real numbers"):
        plan.coefficients(np.array([1]))


@pytest.mark.wrong_types
def test_trials_are_refused_where_one_mask_is_decoded():
    plan = jgc.CodingPlan.from_matrix(np.eye(2), p=[0.1, 0.2])

    with pytest.raises(ValueError, match=r"answered must be of one iteration"):
        plan.decode(np.ones((2, 3)), np.ones((2, 2), bool))
