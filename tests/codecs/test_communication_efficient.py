"""Exact for any s stragglers, of messages of 1/m of the length; nearest beyond."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.codecs import communication_efficient

KEY = jax.random.key(0)
SIZES = [
    (1, 0, 1),
    (4, 0, 4),
    (4, 1, 1),
    (5, 2, 3),  # everyone holds all
    (6, 1, 2),
    (6, 4, 1),
    (10, 2, 2),
    (10, 3, 4),
]


def code_of(k, s, m):
    return communication_efficient(k, stragglers=s, blocks=m, key=KEY)


def gradients_of(k, size=31):  # which no number of blocks divides
    return np.random.default_rng(k).normal(size=(k, size)).astype(np.float32)


def masks(k, lost):
    rows = [
        [worker not in late for worker in range(k)]
        for number in lost
        for late in itertools.combinations(range(k), number)
    ]
    return np.array(rows, bool)


def dense(code):
    """Coefficients (k, n, m), of which a worker has those that it holds."""
    every = np.zeros((code.num_workers, code.num_workers, code.blocks))
    rows = np.arange(code.num_workers)[:, None]
    every[rows, np.asarray(code.held)] = code.coefficients
    return every


@pytest.mark.parametrize(("k", "s", "m"), SIZES)
def test_exact_for_all_masks_of_few_stragglers(k, s, m):
    code, gradients = code_of(k, s, m), gradients_of(k)
    messages = code.encode(gradients)
    assert messages.shape == (k, -(-31 // m))
    assert (code.load, code.blocks, code.stragglers) == (s + m, m, s)
    decode = jax.jit(jax.vmap(lambda mask: code.decode(messages, mask, size=31)))
    found = np.asarray(decode(masks(k, range(s + 1))), np.float64)
    whole = gradients.sum(axis=0, dtype=np.float64)
    off = np.linalg.norm(found - whole, axis=1) / np.linalg.norm(whole)
    assert off.max() < 2e-4
    assert np.median(off) < 1e-5


@pytest.mark.parametrize(("k", "s", "m"), [(6, 1, 2), (5, 2, 3)])
def test_messages_are_of_what_a_worker_holds(k, s, m):
    code, gradients = code_of(k, s, m), gradients_of(k, 6 * m)
    blocks = gradients.reshape(k, m, 6)
    expected = np.einsum("kjm,jmd->kd", dense(code), blocks)
    np.testing.assert_allclose(code.encode(gradients), expected, rtol=1e-4, atol=1e-4)
    assert all(len(set(own)) == s + m for own in np.asarray(code.held).tolist())


def test_late_messages_are_not_read():
    code, gradients = code_of(6, 1, 2), gradients_of(6)
    mask = np.arange(6) != 3
    messages = code.encode(gradients).at[3].set(jnp.nan)
    found = code.decode(messages, mask, size=31)
    np.testing.assert_allclose(found, gradients.sum(axis=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("k", "s", "m"), [(5, 1, 2), (6, 2, 1), (6, 1, 3)])
def test_beyond_its_stragglers_it_is_the_nearest(k, s, m):
    """By enumeration, against least squares over all coefficients."""
    code = code_of(k, s, m)
    every = dense(code).reshape(k, k * m)
    target = np.tile(np.eye(m), (k, 1))  # every block of every partition once
    for mask in masks(k, range(s + 1, k + 1)):
        best = np.linalg.lstsq(every[mask].T, target)[0]
        expected = ((every[mask].T @ best - target) ** 2).sum() / (k * m)
        weights = np.asarray(code.weights(mask))
        assert not weights[:, ~mask].any()
        found = ((every.T @ weights.T - target) ** 2).sum() / (k * m)
        assert found == pytest.approx(expected, rel=1e-3)
        assert float(code.relative_error(mask)) == pytest.approx(expected, rel=1e-3)
    assert expected == pytest.approx(1)  # nobody


def test_is_a_pytree():
    code, gradients = code_of(6, 1, 2), gradients_of(6)
    again = jax.tree.map(jnp.asarray, code)
    assert jax.tree.structure(again) == jax.tree.structure(code)
    mask = np.arange(6) != 0

    @jax.jit
    def whole(code, gradients):
        return code.decode(code.encode(gradients), mask, size=31)

    np.testing.assert_allclose(
        whole(again, gradients), gradients.sum(axis=0), rtol=1e-4, atol=1e-4
    )
    pulled = jax.grad(lambda g: whole(code, g).sum())(gradients)
    np.testing.assert_allclose(pulled, 1, rtol=1e-4)  # each counts once


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": 0}, "num_workers must be an integer ≥ 1, got 0"),
        ({"stragglers": -1}, "stragglers must be an integer ≥ 0, got -1"),
        ({"blocks": 0}, "blocks must be an integer ≥ 1, got 0"),
        ({"blocks": 4}, r"at most num_workers = 5.*got 2 \+ 4"),
        pytest.param(
            {"key": 3},
            "key must be one jax.random key",
            marks=pytest.mark.wrong_types,
        ),
    ],
)
def test_bad_input(options, message):
    good = {"num_workers": 5, "stragglers": 2, "blocks": 2, "key": KEY}
    with pytest.raises(ValueError, match=message):
        communication_efficient(**{**good, **options})
