from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from jgc import decoders, optim
from jgc.optim._clipping import partition_norms
from tests.optim.table import MASK, OPTIMAL, OTHER, PARAMS, N, P, gradients, messages


def test_decode_is_the_plans():
    transform = optim.decode(OPTIMAL)
    decoded, state = transform.update(messages(OPTIMAL, 0), (), PARAMS, answered=MASK)
    expected = OPTIMAL.decode(messages(OPTIMAL, 0), MASK)
    chex.assert_trees_all_equal(decoded, expected)
    passed, _ = transform.update(expected, state, PARAMS)
    assert passed is expected


def test_plan_in_update_takes_the_place_of_the_constructors():
    inputs = messages(OTHER, 0)
    by_mask = replace(OTHER, weights=decoders.least_squares(OTHER, MASK))
    for constructed in (None, OPTIMAL):
        decoded, _ = optim.decode(constructed).update(
            inputs, (), PARAMS, answered=MASK, plan=by_mask
        )
        chex.assert_trees_all_close(decoded, by_mask.decode(inputs, MASK))


def test_a_redesigned_plan_does_not_recompile():
    optimizer = optim.two_track_adam(None, 0.1)
    traces = []

    @jax.jit
    def step(plan, weights, state, inputs):
        traces.append(None)
        return optimizer.update(
            inputs,
            state,
            PARAMS,
            answered=MASK,
            plan=plan,
            second_moment_weights=weights,
        )

    state = optimizer.init(PARAMS)
    placement = OPTIMAL.encoding_matrix() != 0
    for scale in (1.0, 0.9):
        plan = jgc.codes.on_placement(P * scale, placement)
        weights = decoders.second_moment_weights(plan, noise_ratio=1.0)
        _, state = step(plan, weights, state, messages(plan, 0))
    assert len(traces) == 1
    with pytest.raises(ValueError, match="second_moment_weights="):
        optimizer.update(messages(OTHER, 0), state, PARAMS, answered=MASK, plan=OTHER)


@pytest.mark.parametrize(
    ("updates", "extra", "message"),
    [
        (messages(OPTIMAL, 0), {}, "need answered="),
        (gradients(0), {"answered": MASK}, "leading axis over the 5 workers"),
        (messages(OPTIMAL, 0), {"answered": MASK[:3]}, r"shape \(5,\), got \(3,\)"),
    ],
)
def test_what_is_not_messages_is_named(updates, extra, message):
    optimizer = optim.coded_sgd(OPTIMAL, 0.1)
    with pytest.raises(ValueError, match=message):
        optimizer.update(updates, optimizer.init(PARAMS), PARAMS, **extra)
    with pytest.raises(ValueError, match="plan="):
        optim.decode().update(messages(OPTIMAL, 0), (), PARAMS, answered=MASK)


@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 3.0, 100.0])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_clipping_enforces_the_norm_and_keeps_the_direction(max_norm, dtype):
    before = jax.tree.map(lambda g: g.astype(dtype), gradients(0, (N,)))
    before["bias"] = before["bias"].at[2].set(0)
    before["weight"] = before["weight"].at[2].set(0)
    clip = optim.clip_partitions(max_norm)
    after, _ = jax.jit(clip.update)(before, clip.init(PARAMS))
    chex.assert_trees_all_equal_shapes_and_dtypes(before, after)
    rounding = float(jnp.finfo(dtype).eps)
    norms = np.asarray(partition_norms(after), np.float64)
    assert (norms <= max_norm * (1 + 4 * rounding)).all()
    wanted = np.minimum(np.asarray(partition_norms(before)), max_norm)
    np.testing.assert_allclose(norms, wanted, rtol=4 * rounding)


def test_clipping_does_not_overflow():
    huge = {"bias": jnp.full((2, 3), 1e30)}
    after, _ = optim.clip_partitions(2.0).update(huge, optax.EmptyState())
    np.testing.assert_allclose(jnp.linalg.norm(after["bias"], axis=1), 2.0, rtol=1e-6)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, np.nan, np.inf, "1"])
def test_clipping_refuses(max_norm):
    with pytest.raises(ValueError, match="max_norm"):
        optim.clip_partitions(max_norm)


def test_clip_encode_decode_chain():
    optimizer = optax.chain(
        optim.clip_partitions(1.0), optim.encode(OPTIMAL), optim.coded_sgd(OPTIMAL, 0.1)
    )
    inputs = gradients(0, (N,))
    updates, _ = optimizer.update(inputs, optimizer.init(PARAMS), PARAMS, answered=MASK)
    c = OPTIMAL.coefficients(MASK) * jnp.minimum(1, 1 / partition_norms(inputs))
    expected = jax.tree.map(lambda g: -0.1 * jnp.tensordot(c, g, axes=1), inputs)
    chex.assert_trees_all_close(updates, expected, rtol=1e-5, atol=1e-6)


def test_minibatches_of_partitions_change_nothing():
    """C.4.1: the mean over batches of coded steps is the full coded step."""
    batches = [gradients(seed, (N,)) for seed in range(8)]
    optimizer = optim.coded_sgd(OPTIMAL, 0.1)
    state = optimizer.init(PARAMS)

    def step(gradient):
        return optimizer.update(OPTIMAL.encode(gradient), state, answered=MASK)[0]

    def mean(trees):
        return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trees)

    chex.assert_trees_all_close(
        mean([step(batch) for batch in batches]), step(mean(batches)), atol=1e-6
    )
