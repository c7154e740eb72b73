"""What holds for every code: transforms, serialisation, dense views, promises."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgc
from jgc import decoders
from jgc.codes._optimal_structure import row_sums
from tests.codes.table import CODES, RING, N, P, every_code

RNG = np.random.default_rng(0)
GRADIENTS = {
    "w": RNG.normal(size=(N, 3, 2)).astype(np.float32),
    "b": RNG.normal(size=N).astype(np.float32),
}
MASKS = RNG.random((4, P.size)) > P


def _decoded(plan, gradients, mask):
    return plan.decode(plan.encode(gradients), mask)


def _assert_trees_close(left, right, rtol=2e-5, atol=2e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol, atol), left, right)


@every_code
def test_edges_are_sorted_unique_and_in_range(code):
    plan = code.make(P)
    pair = plan.edge_worker.astype(int) * N + plan.edge_partition
    assert (np.diff(pair) > 0).all()
    assert plan.edge_worker.dtype == plan.edge_partition.dtype == np.int32
    assert 0 <= plan.edge_partition.min() <= plan.edge_partition.max() < N
    assert 0 <= plan.edge_worker.min() <= plan.edge_worker.max() < P.size
    assert plan.edge_coefficient.dtype == plan.weights.dtype == np.float64
    assert np.isfinite(plan.edge_coefficient).all()
    assert np.isfinite(plan.weights).all()
    np.testing.assert_array_equal(plan.straggler_probabilities, P)


@every_code
def test_decoding_the_encoded_is_the_coefficients(code):
    plan = code.make(P)
    for mask in MASKS:
        c = decoders.fixed.coefficients(plan, mask)
        np.testing.assert_allclose(
            c, (mask * plan.weights) @ plan.encoding_matrix(), rtol=1e-5, atol=1e-5
        )
        expected = jax.tree.map(lambda g, c=c: np.tensordot(c, g, 1), GRADIENTS)
        _assert_trees_close(_decoded(plan, GRADIENTS, mask), expected)


@every_code
def test_jit(code):
    plan = code.make(P)
    _assert_trees_close(
        jax.jit(_decoded)(plan, GRADIENTS, MASKS[0]),
        _decoded(plan, GRADIENTS, MASKS[0]),
    )


@every_code
def test_vmap_over_masks_and_over_plans(code):
    plan = code.make(P)
    expected = [_decoded(plan, GRADIENTS, mask) for mask in MASKS]
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *expected)
    messages = plan.encode(GRADIENTS)
    over_masks = jax.vmap(plan.decode, in_axes=(None, 0))(messages, MASKS)
    _assert_trees_close(over_masks, expected)
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[plan] * len(MASKS))
    over_plans = jax.vmap(_decoded, in_axes=(0, None, 0))(batch, GRADIENTS, MASKS)
    _assert_trees_close(over_plans, expected)


@every_code
def test_pickle_and_flatten_round_trips(code):
    plan = code.make(P)
    leaves, structure = jax.tree.flatten(plan)
    for copy in pickle.loads(pickle.dumps(plan)), structure.unflatten(leaves):
        assert repr(copy) == repr(plan)
        np.testing.assert_array_equal(copy.encoding_matrix(), plan.encoding_matrix())
        np.testing.assert_array_equal(copy.weights, plan.weights)


@every_code
def test_dense_views_and_sizes(code):
    plan = code.make(P)
    w_tilde = (1 - P) * plan.weights
    np.testing.assert_allclose(
        plan.alpha(), w_tilde[:, None] * plan.encoding_matrix(), rtol=1e-12
    )
    held = plan.encoding_matrix() != 0
    assert plan.num_edges == held.sum()
    np.testing.assert_array_equal(plan.batch_sizes, held.sum(axis=1))
    assert plan.load == pytest.approx(held.sum() / N)


@every_code
def test_unbiased_where_promised(code):
    bias = jgc.residual.bias(code.make(P))
    assert code.unbiased == (np.abs(bias).max() < 1e-10)


@every_code
def test_row_sums_where_promised(code):
    sums = code.make(P).alpha().sum(axis=1)
    assert not code.optimal or np.abs(sums - row_sums(P, N)).max() < 1e-6


@pytest.mark.parametrize(
    "code", [code for code in CODES if code.follows_p], ids=lambda code: code.name
)
def test_workers_keep_the_callers_order(code):
    order = np.array([3, 0, 5, 1, 4, 2])
    alpha = code.make(P).alpha()
    np.testing.assert_allclose(code.make(P[order]).alpha(), alpha[order], atol=1e-6)


@pytest.mark.parametrize("similarity", [0.5, 1.0])
def test_a_placement_keeps_the_callers_order(similarity):
    order = np.array([3, 0, 5, 1, 4, 2])
    alpha = jgc.codes.on_placement(P, RING, gradients=similarity).alpha()
    again = jgc.codes.on_placement(P[order], RING[order], gradients=similarity)
    np.testing.assert_allclose(again.alpha(), alpha[order], atol=1e-12)


@every_code
@pytest.mark.parametrize("container", [list, tuple, jnp.asarray])
def test_p_in_any_container(code, container):
    plan, again = code.make(P), code.make(container(P))
    np.testing.assert_array_equal(again.edge_partition, plan.edge_partition)
    np.testing.assert_allclose(again.alpha(), plan.alpha(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "code",
    [code for code in CODES if code.name in ("interval", "scheme_i", "dense")],
    ids=lambda code: code.name,
)
def test_expected_weights_change_the_split_only(code):
    make = getattr(jgc.codes, code.name)
    w_tilde = np.linspace(0.5, 3, P.size)
    plan = make(P, num_partitions=N, expected_weights=w_tilde)
    np.testing.assert_allclose(plan.alpha(), code.make(P).alpha(), rtol=1e-12)
    np.testing.assert_allclose((1 - P) * plan.weights, w_tilde)
    with pytest.raises(ValueError, match="expected_weights"):
        make(P, num_partitions=N, expected_weights=-w_tilde)


@pytest.mark.parametrize("extreme", [1e-310, 1e308])
def test_expected_weights_that_overflow(extreme):
    with pytest.raises(ValueError, match=r"expected_weights\[1\] ="):
        jgc.codes.interval(
            [0.5, 0.9], num_partitions=3, expected_weights=[1.0, extreme]
        )
