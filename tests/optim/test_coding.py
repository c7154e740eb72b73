import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from jgc import decoders, optim
from jgc.optim._clipping import partition_norms
from tests.optim.table import (
    MASK,
    OPTIMAL,
    OTHER,
    PARAMS,
    N,
    P,
    gradients,
    messages,
    tracks,
)


def test_decode_is_the_plans():
    transform = optim.decode(OPTIMAL)
    decoded, state = transform.update(messages(OPTIMAL, 0), (), PARAMS, answered=MASK)
    expected = OPTIMAL.decode(messages(OPTIMAL, 0), MASK)
    chex.assert_trees_all_equal(decoded, expected)
    passed, _ = transform.update(expected, state, PARAMS)
    assert passed is expected


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.fixed,
        decoders.least_squares,
        decoders.two_track(OTHER),
        decoders.two_track(OTHER, decoder=decoders.least_squares),
    ],
    ids=lambda decoder: decoder.name,
)
def test_decode_is_jgcs_with_a_decoders_weights(decoder):
    inputs = messages(OTHER, 0)
    weights = decoder(OTHER, MASK)
    found, _ = optim.decode(OTHER, decoder).update(inputs, (), PARAMS, answered=MASK)
    expected = jgc.decode(inputs, weights)
    for name, leaf in expected.items():
        if decoder.num_tracks == 2:
            assert isinstance(found[name], optim.Tracks)
            chex.assert_trees_all_equal(jnp.stack(found[name]), leaf)
        else:
            chex.assert_trees_all_equal(found[name], leaf)
    passed, _ = optim.decode(OTHER, decoder).update(found, (), PARAMS)
    assert passed is found
    for plan in (None, OTHER):
        given, _ = optim.decode(plan).update(inputs, (), PARAMS, weights=weights)
        chex.assert_trees_all_equal(given, found)


def test_a_redesigned_plan_does_not_recompile():
    optimizer = optim.two_track_adam(None, 0.1)
    traces = []

    @jax.jit
    def step(plan, decoder, state, inputs):
        traces.append(None)
        return optimizer.update(inputs, state, PARAMS, weights=decoder(plan, MASK))

    state = optimizer.init(PARAMS)
    placement = OPTIMAL.encoding_matrix() != 0
    for scale, noise_ratio in ((1.0, 1.0), (0.9, 2.0)):
        plan = jgc.codes.on_placement(P * scale, placement)
        decoder = decoders.two_track(plan, noise_ratio=noise_ratio)
        found, _ = step(plan, decoder, state, messages(plan, 0))
        expected, _ = optim.two_track_adam(plan, 0.1, noise_ratio=noise_ratio).update(
            messages(plan, 0), optimizer.init(PARAMS), PARAMS, answered=MASK
        )
        chex.assert_trees_all_close(found, expected, rtol=1e-4)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("updates", "extra", "message"),
    [
        (messages(OPTIMAL, 0), {}, "messages need answered="),
        (gradients(0), {"answered": MASK}, r"shape \(5, 3\).* got shape \(3,\); pass"),
        (gradients(0, (N,)), {"answered": MASK}, r"shape \(5, 3\).*got shape \(6, 3\)"),
        (messages(OPTIMAL, 0), {"answered": MASK[:3]}, r"shape \(5,\), got \(3,\)"),
        (messages(OPTIMAL, 0), {"answered": MASK[:, None]}, r"got \(5, 1\)"),
        (messages(OPTIMAL, 0), {"answered": MASK * 1.0}, "answered must be booleans"),
        (messages(OPTIMAL, 0), {"weights": MASK}, "weights must be real numbers"),
        (messages(OPTIMAL, 0), {"weights": jnp.ones(4)}, r"5 workers, got \(4,\)"),
        (messages(OPTIMAL, 0), {"weights": jnp.ones((3, 5))}, r"got \(3, 5\)"),
        (messages(OPTIMAL, 0), {"weights": jnp.ones(())}, r"got \(\)"),
        (
            messages(OPTIMAL, 0),
            {"weights": jnp.ones(5), "answered": MASK},
            "answered= or weights=, not both",
        ),
        (tracks(0), {"answered": MASK}, "got jgc.optim.Tracks"),
        ({"weight": jnp.ones((3, 2))}, {}, "a tree like the parameters"),
        ({"weight": jnp.ones((3, 2)), "bias": (1, 2)}, {}, "got tuple"),
    ],
)
@pytest.mark.wrong_types
def test_what_is_not_messages_is_named(updates, extra, message):
    optimizer = optim.coded_sgd(OPTIMAL, 0.1)
    with pytest.raises(ValueError, match=message):
        optimizer.update(updates, optimizer.init(PARAMS), PARAMS, **extra)


@pytest.mark.wrong_types
def test_without_a_plan_or_parameters():
    inputs = messages(OPTIMAL, 0)
    with pytest.raises(ValueError, match="give it to the constructor"):
        optim.decode().update(inputs, (), PARAMS, answered=MASK)
    with pytest.raises(ValueError, match=r"or \(2, k\).* got \(\)"):
        optim.decode().update(inputs, (), PARAMS, weights=jnp.ones(()))
    with pytest.raises(ValueError, match="pass params"):
        optim.decode(OPTIMAL).update(gradients(0), ())
    with pytest.raises(ValueError, match=r"over the 5 workers, got shape \(3,\)"):
        optim.decode(OPTIMAL).update(gradients(0), (), answered=MASK)
    with pytest.raises(ValueError, match="plan=None"):
        optim.decode(None, decoders.least_squares)


def test_a_decoder_that_cannot_decode_the_plan_is_refused_at_once():
    small = decoders.two_track(jgc.codes.interval(P[:3], num_partitions=N))
    with pytest.raises(ValueError, match="second-moment weights are of 3 workers"):
        optim.decode(OPTIMAL, small)


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
@pytest.mark.wrong_types
def test_clipping_refuses(max_norm):
    with pytest.raises(ValueError, match="max_norm"):
        optim.clip_partitions(max_norm)


def test_clip_encode_decode_chain():
    optimizer = optax.chain(
        optim.clip_partitions(1.0), optim.encode(OPTIMAL), optim.coded_sgd(OPTIMAL, 0.1)
    )
    inputs = gradients(0, (N,))
    updates, _ = optimizer.update(inputs, optimizer.init(PARAMS), PARAMS, answered=MASK)
    c = decoders.fixed.coefficients(OPTIMAL, MASK) * jnp.minimum(
        1, 1 / partition_norms(inputs)
    )
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
