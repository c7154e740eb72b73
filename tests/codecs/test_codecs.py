"""Each codec's mean, its exact error, its bits, and what it adds to a code's error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgc
from jgc import codecs

CODECS = [
    codecs.full(),
    codecs.bfloat16(),
    codecs.int8(block=8),
    codecs.int8(),
    codecs.one_bit(block=8),
    codecs.sign(block=8),
    codecs.sign(),
    codecs.random_subspace(1),
    codecs.random_subspace(3),
    codecs.random_subspace(50),
]
TRIALS = 20_000


def vectors():
    random = jax.random.normal(jax.random.key(0), (30,))
    return {
        "normal": random,
        "one entry": jnp.zeros(30).at[7].set(2.0),
        "nothing": jnp.zeros(30),
        "far apart": random * 10.0 ** jnp.linspace(-6, 6, 30),
        "all alike": jnp.full(30, -0.3),
        "short": random[:1],
    }


def decoded(codec, vector, trials):
    def once(key):
        return codec.decode(codec.encode(vector, key), key, vector.size)

    return jax.jit(jax.vmap(once))(jax.random.split(jax.random.key(1), trials))


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("name", vectors())
def test_mean_and_error(codec, name):
    vector = vectors()[name]
    found = np.asarray(decoded(codec, vector, TRIALS), np.float64)
    assert found.shape == (TRIALS, vector.size)
    exact = np.asarray(vector, np.float64)
    squared = ((found - exact) ** 2).sum(axis=1)
    expected = float(codec.expected_error(vector))
    spread = 5 * squared.std() / np.sqrt(TRIALS)
    rounding = 1e-6 * (exact**2).sum()
    assert squared.mean() == pytest.approx(expected, abs=spread + rounding)
    omega = codec.relative_variance(vector.size)
    if omega is not None:
        np.testing.assert_allclose(expected, omega * (exact**2).sum(), rtol=1e-5)
    if codec.is_unbiased:
        off = np.abs(found.mean(axis=0) - exact)
        allowed = 5 * found.std(axis=0) / np.sqrt(TRIALS) + 1e-6 * np.abs(exact)
        allowed += 10 / TRIALS * np.abs(exact).max()  # what is too rare to be seen
        assert (off <= allowed).all()


def test_bits():
    size = 10_000
    bits = {codec: codec.bits(size) / size for codec in CODECS}
    assert bits[codecs.full()] == 32
    assert bits[codecs.bfloat16()] == 16
    assert bits[codecs.int8()] == pytest.approx(8 + 32 / 256, rel=0.03)
    assert bits[codecs.one_bit(block=8)] == 1 + 32 / 8
    assert codecs.one_bit(block=1024).bits(1024 * 50) / (1024 * 50) == 1 + 32 / 1024
    assert bits[codecs.random_subspace(50)] == 32 / 50


def test_bfloat16_is_off_by_a_unit_at_most():
    vector = jax.random.normal(jax.random.key(5), (1000,))
    found = decoded(codecs.bfloat16(), vector, 1)[0]
    assert (jnp.abs(found - vector) <= 2.0**-7 * jnp.abs(vector)).all()
    assert (found != vector).any()


@pytest.mark.parametrize("factor", [2, 5])
@pytest.mark.parametrize("is_together", [False, True])
def test_error_of_code_and_codec(factor, is_together):
    """Decoded through both, workers independent or straggling together."""
    p, n, d, trials = np.array([0.3, 0.5, 0.4, 0.2]), 6, 10, 60_000
    plan = jgc.codes.interval(p, num_partitions=n, layers=2)
    rows = np.random.default_rng(2).normal(size=(n, d))
    gradients, codec = jgc.gradients.vectors(rows), codecs.random_subspace(factor)
    messages = plan.encode(jnp.asarray(rows, jnp.float32))
    keys = jax.random.split(jax.random.key(3), (trials, 4))
    uniform = jax.random.uniform(jax.random.key(4), (trials, 1 if is_together else 4))
    answered = uniform >= p

    @jax.jit
    @jax.vmap
    def squared_error(mask, keys):
        encoded = jax.vmap(codec.encode)(messages, keys)
        found = jax.vmap(lambda e, k: codec.decode(e, k, d))(encoded, keys)
        return ((plan.decode(found, mask) - rows.sum(axis=0)) ** 2).sum()

    found = np.asarray(squared_error(answered, keys), np.float64)
    covariance = None
    if is_together:
        high, low = np.maximum.outer(p, p), np.minimum.outer(p, p)
        covariance = low * (1 - high)  # P(both straggle) = min(p_i, p_l)
    code = jgc.residual.exact(plan, gradients=gradients, covariance=covariance)
    added = codecs.added_error(plan, codec, size=d, gradients=gradients)
    assert added.mean > 10 * found.std() / np.sqrt(trials)
    spread = 5 * found.std() / np.sqrt(trials)
    assert found.mean() == pytest.approx(code.mean + added.mean, abs=spread)
    assert added.squared_norm == pytest.approx(code.squared_norm)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: codecs.int8(block=0), "block must be an integer ≥ 1"),
        (lambda: codecs.one_bit(block=12), "block must be a multiple of 8, got 12"),
        (lambda: codecs.random_subspace(0), "factor must be an integer ≥ 1"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("codec", "size"),
    [(codecs.bfloat16(), 8), (codecs.int8(), 8), (codecs.random_subspace(3), 8)],
    ids=str,
)
def test_no_closed_form(codec, size):
    plan = jgc.codes.uncoded([0.1, 0.2], num_partitions=2)
    with pytest.raises(ValueError, match="codec must be unbiased and have"):
        codecs.added_error(plan, codec, size=size)
