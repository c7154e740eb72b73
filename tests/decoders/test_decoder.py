"""The protocol, over codes × decoders: jit, vmap, trailing axes, weights against c."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
    np.testing.assert_allclose(c, plan.coefficients(masks[:, 7]), rtol=1e-5)


@pytest.mark.parametrize("num_workers", [4, 60])
def test_coefficients_by_matrix_and_by_edges(num_workers, masks):
    # 60 × 60 entries against 60 edges: the way through the edges.
    rows = [{i: 1.0 + i} for i in range(num_workers)]
    plan = plan_of(rows, num_workers)
    weights = jnp.ones((num_workers, 3))
    expected = np.broadcast_to(1.0 + np.arange(num_workers)[:, None], (num_workers, 3))
    np.testing.assert_allclose(decoders.coefficients(plan, weights), expected)


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
