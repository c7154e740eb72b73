import jax
import numpy as np
import pytest

from jgc.stragglers import bernoulli, deadline_probabilities


def test_sample_answers_with_probability_one_minus_p():
    p = np.array([0.0, 0.1, 0.5, 0.93, 1.0])
    model = bernoulli(p)
    state = model.init(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 100_000)
    masks, _ = jax.vmap(model.sample, in_axes=(None, 0))(state, keys)
    deviation = np.abs(masks.mean(0) - (1 - p))
    assert (deviation <= 5 * np.sqrt(p * (1 - p) / len(keys))).all()


def test_sample_under_scan_and_jit():
    model = bernoulli([0.5, 0.5])

    @jax.jit
    def masks(key):
        def body(state, key):
            mask, state = model.sample(state, key)
            return state, mask

        return jax.lax.scan(body, model.init(key), jax.random.split(key, 10))[1]

    assert masks(jax.random.key(0)).shape == (10, 2)


def test_deadline_probabilities():
    p = deadline_probabilities([0.1, 2.0], deadline=1.1)
    np.testing.assert_allclose(p, np.exp([-0.01, -0.2]))
    assert (deadline_probabilities([0.1, 2.0], deadline=1.0) == 1).all()


@pytest.mark.parametrize(
    ("psi", "deadline", "message"),
    [
        ([1.0, 0.0], 1.1, r"psi must be positive, got psi\[1\] = 0"),
        ([1.0, -1.0], 1.1, r"psi\[1\] = -1"),
        ([], 1.1, "psi must be one-dimensional and not empty"),
        ([1.0], 0.9, r"deadline must be a finite number in \[1, inf\], got 0.9"),
        ([1.0], float("nan"), "deadline must be a finite number"),
    ],
)
def test_bad_input(psi, deadline, message):
    with pytest.raises(ValueError, match=message):
        deadline_probabilities(psi, deadline=deadline)


def test_bernoulli_checks_p():
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\], got p\[1\] = 1.5"):
        bernoulli([0.5, 1.5])
