"""`jgc.decode`, plans that differ by name, and the version."""

import importlib.metadata
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgc

P = [0.1, 0.4, 0.3, 0.7]
PLAN = jgc.codes.interval(P, num_partitions=6)
RNG = np.random.default_rng(0)
GRADIENTS = {"w": RNG.normal(size=(6, 3, 2)), "b": RNG.normal(size=6)}
ANSWERED = np.array([True, False, True, True])


def expected(weights, messages):
    return jax.tree.map(
        lambda leaf: np.tensordot(weights, np.asarray(leaf, np.float64), 1), messages
    )


def assert_close(found, wanted):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5),
        found,
        wanted,
    )


@pytest.mark.parametrize("tracks", [(), (2,), (3, 2)])
def test_weights_of_any_number_of_tracks(tracks):
    messages = PLAN.encode(GRADIENTS)
    weights = RNG.normal(size=(*tracks, 4))
    found = jgc.decode(messages, weights)
    assert found["w"].shape == (*tracks, 3, 2)
    assert found["b"].shape == tracks
    assert_close(found, expected(weights, messages))
    assert_close(jax.jit(jgc.decode)(messages, weights), found)


def test_it_is_the_plans_decoding_with_the_plans_weights():
    messages = PLAN.encode(GRADIENTS)
    weights = jgc.decoders.fixed(PLAN, ANSWERED)
    assert_close(jgc.decode(messages, weights), PLAN.decode(messages, ANSWERED))
    c = PLAN.coefficients(weights)
    assert_close(jgc.decode(messages, weights), expected(c, GRADIENTS))


@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf])
def test_a_message_of_weight_0_is_not_read(garbage):
    messages = PLAN.encode(GRADIENTS)
    late = jax.tree.map(lambda leaf: leaf.at[1].set(garbage), messages)
    weights = np.array([0.5, 0.0, 2.0, -1.0])
    assert_close(jgc.decode(late, weights), jgc.decode(messages, weights))
    both = np.stack([weights, 2 * weights])
    assert_close(jgc.decode(late, both), jgc.decode(messages, both))
    # A track that counts it has it: nothing hides what was asked for.
    both[1, 1] = 1.0
    found = jgc.decode(late, both)
    assert not np.isfinite(found["b"][1])


def test_slopes_do_not_come_from_what_is_not_read():
    weights = jnp.array([1.0, 0.0])
    slope = jax.grad(lambda m: jgc.decode(m, weights))(jnp.array([3.0, jnp.nan]))
    np.testing.assert_array_equal(slope, [1, 0])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_precision_is_the_messages(dtype):
    messages = jnp.ones((4, 3), dtype)
    assert jgc.decode(messages, np.ones(4)).dtype == dtype
    assert jgc.decode(np.arange(4), np.full(4, 0.5)) == 3.0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (ANSWERED, r"weights must be real numbers, .* got bool of shape \(4,\)"),
        (ANSWERED.astype(int), "weights must be real numbers, .* got int32"),
        (1.0, r"weights must be real numbers, .* got float32 of shape \(\)"),
        (jgc.decoders.least_squares, r"decoder\(plan, answered\), got Least.* itself"),
        (np.ones(4, np.complex64), "weights must be real numbers, .* got complex64"),
        (np.ones(3), r"messages must have a leading axis over the 3 workers, .*\(4,"),
        (np.ones((4, 2)), "messages must have a leading axis over the 2 workers"),
    ],
)
@pytest.mark.wrong_types
def test_what_are_no_weights_is_named(weights, message):
    for decode in (jgc.decode, jax.jit(jgc.decode)):
        with pytest.raises(ValueError, match=message):
            decode(jnp.ones((4, 3)), weights)


@pytest.mark.wrong_types
def test_messages_in_the_place_of_the_mask():
    with pytest.raises(ValueError, match=r"answered must be booleans.*4 workers"):
        PLAN.decode(ANSWERED, PLAN.encode(GRADIENTS))


@pytest.mark.wrong_types
def test_coefficients_of_tracks():
    weights = RNG.normal(size=(2, 4))
    c = PLAN.coefficients(weights)
    assert c.shape == (2, 6)
    np.testing.assert_allclose(c, weights @ PLAN.encoding_matrix(), atol=1e-5)
    np.testing.assert_allclose(PLAN.coefficients(weights[0]), c[0], atol=1e-6)
    for wrong in (weights.T, ANSWERED, 1.0):
        with pytest.raises(
            ValueError, match=r"weights must be real numbers of shape \(…, 4"
        ):
            PLAN.coefficients(wrong)


def test_plans_that_differ_by_name_do_not_compile_again():
    renamed = replace(PLAN, name="another")
    assert jax.tree.structure(renamed) == jax.tree.structure(PLAN)
    assert hash(jax.tree.structure(renamed)) == hash(jax.tree.structure(PLAN))
    traces = []

    @jax.jit
    def step(plan):
        traces.append(plan.name)
        return plan.decode(plan.encode(GRADIENTS), ANSWERED)

    for plan in (PLAN, renamed, replace(PLAN, name="")):
        step(plan)
    assert traces == ["interval"]
    # Sizes are structure.
    other = jgc.codes.interval(P, num_partitions=7)
    assert jax.tree.structure(other) != jax.tree.structure(PLAN)


def test_plans_of_other_names_go_through_one_map():
    renamed = replace(PLAN, name="another")
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), PLAN, renamed)
    decoded = jax.vmap(lambda plan: plan.decode(plan.encode(GRADIENTS), ANSWERED))(
        batch
    )
    assert_close(decoded["b"][0], decoded["b"][1])
    assert jax.tree.map(lambda leaf: leaf, renamed).name == "another"


def test_version():
    assert jgc.__version__ == importlib.metadata.version("jgc")
    assert jgc.__version__[0].isdigit()
