"""`CodingPlan` against dense matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc import CodingPlan, codes
from jgc.decoders import fixed
from tests.codes.table import N, P

RNG = np.random.default_rng(5)

# E ≥ kn/4 encodes by a matrix product, fewer edges by gather and segment sum.
BRANCHES = [
    codes.dense(P, num_partitions=N),
    codes.interval(RNG.uniform(0.1, 0.9, 20), num_partitions=30),
]


@pytest.fixture(params=BRANCHES, ids=["matrix product", "segment sum"])
def plan(request):
    return request.param


def test_both_branches_are_here():
    fill = [p.num_edges / (p.num_workers * p.num_partitions) for p in BRANCHES]
    assert fill[0] > 1 / 4 > fill[1]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 0.05)]
)
def test_encode_and_decode_in_the_callers_precision(plan, dtype, tolerance):
    gradients = jnp.asarray(RNG.normal(size=(plan.num_partitions, 3)), dtype)
    messages = plan.encode(gradients)
    assert messages.dtype == dtype
    exact = plan.encoding_matrix() @ np.asarray(gradients, np.float64)
    np.testing.assert_allclose(
        np.asarray(messages, np.float64), exact, rtol=tolerance, atol=tolerance
    )
    mask = RNG.random(plan.num_workers) < 0.7
    decoded = plan.decode(messages, mask)
    assert decoded.dtype == dtype
    exact = (mask * plan.weights) @ np.asarray(messages, np.float64)
    np.testing.assert_allclose(
        np.asarray(decoded, np.float64),
        exact,
        rtol=tolerance,
        atol=tolerance * plan.num_partitions,
    )


def test_float64(plan):
    with jax.enable_x64(True):
        gradients = jnp.asarray(RNG.normal(size=(plan.num_partitions, 2, 2)))
        mask = RNG.random(plan.num_workers) < 0.7
        decoded = plan.decode(plan.encode(gradients), mask)
        c = fixed.coefficients(plan, mask)
        assert decoded.dtype == c.dtype == jnp.float64
        np.testing.assert_allclose(
            decoded, np.tensordot(c, gradients, 1), rtol=1e-12, atol=1e-12
        )


def test_integers_are_not_truncated(plan):
    gradients = np.arange(plan.num_partitions)
    messages = plan.encode(gradients)
    np.testing.assert_allclose(
        messages, plan.encoding_matrix() @ gradients, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("garbage", [np.nan, np.inf])
def test_a_stragglers_message_is_not_read(plan, garbage):
    messages = plan.encode(RNG.normal(size=(plan.num_partitions, 3)))
    mask = np.arange(plan.num_workers) % 2 == 0
    late = np.where(mask[:, None], messages, garbage)
    np.testing.assert_array_equal(plan.decode(late, mask), plan.decode(messages, mask))


def test_traced_masks(plan):
    messages = plan.encode(jnp.ones((plan.num_partitions, 2)))
    mask = np.arange(plan.num_workers) % 3 == 0
    expected = plan.decode(messages, mask)
    np.testing.assert_allclose(jax.jit(plan.decode)(messages, mask), expected, 1e-5)


@pytest.mark.parametrize(
    "change", [np.float32, np.int32, lambda m: m[0], lambda m: m[None]]
)
@pytest.mark.wrong_types
def test_masks_are_booleans_one_a_worker(plan, change):
    answered = change(np.ones(plan.num_workers, bool))
    messages = plan.encode(jnp.ones((plan.num_partitions, 2)))
    k = plan.num_workers
    # One line; JAX may add others below.
    message = rf"(?m)^answered must be .* of the {k} workers, got \w+ of shape \(.*\)$"
    for use in (plan.decode, jax.jit(plan.decode)):
        with pytest.raises(ValueError, match=message):
            use(messages, answered)


def test_nobody_answers(plan):
    mask = np.zeros(plan.num_workers, bool)
    assert not np.asarray(fixed.coefficients(plan, mask)).any()


def test_gradients_flow_through_encode_and_decode(plan):
    mask = np.arange(plan.num_workers) % 2 == 0

    def total(gradients):
        return plan.decode(plan.encode(gradients), mask).sum()

    slope = jax.grad(total)(jnp.ones((plan.num_partitions, 2)))
    expected = np.repeat(fixed.coefficients(plan, mask)[:, None], 2, axis=1)
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)


def test_a_plan_without_edges():
    plan = codes.bernoulli_placement(
        [0.5] * 3, num_partitions=4, key=jax.random.key(0), replication=0
    )
    np.testing.assert_array_equal(plan.encode(jnp.ones((4, 2))), np.zeros((3, 2)))
    np.testing.assert_array_equal(plan.coefficients(np.ones(3)), np.zeros(4))
    assert plan.load == 0


def test_repr_says_what_matters():
    plan = codes.interval([0.5, 0.5], num_partitions=4)
    assert (
        repr(plan) == "CodingPlan('interval', num_workers=2, num_partitions=4, load=1)"
    )


def test_plans_are_compared_by_identity_and_hashable():
    plan = codes.interval([0.5, 0.5], num_partitions=4)
    assert isinstance(plan, CodingPlan)
    assert len({plan, plan}) == 1


@pytest.mark.parametrize("size", [1, -1, 1000])
@pytest.mark.wrong_types
def test_other_sizes_than_the_plans_are_refused(plan, size):
    n, k = plan.num_partitions, plan.num_workers
    with pytest.raises(ValueError, match="gradients must have a leading axis"):
        plan.encode(jnp.ones((size if size > 0 else n - 1, 2)))
    with pytest.raises(ValueError, match="messages must have a leading axis"):
        plan.decode(jnp.ones((size if size > 0 else k - 1, 2)), np.ones(k, bool))
    mask = np.ones(size if size > 0 else k - 1, bool)
    with pytest.raises(ValueError, match=f"one for each of the {k} workers"):
        plan.decode(jnp.ones((k, 2)), mask)
    for weights in (mask.astype(float), np.ones(k, bool)):
        with pytest.raises(ValueError, match="weights must be real numbers of shape"):
            plan.coefficients(weights)


@pytest.mark.parametrize("ask", ["edge_alpha", "alpha", "encoding_matrix"])
def test_a_batch_has_no_matrix_of_its_own(ask):
    plan = BRANCHES[0]
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), plan, plan)
    with pytest.raises(ValueError, match="batch of"):
        getattr(batch, ask)()
