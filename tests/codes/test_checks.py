"""Errors name the argument, the rule and the value."""

import numpy as np
import pytest

from jgc import _checks


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "n must be an integer ≥ 1, got 0"),
        (-3, "n must be an integer ≥ 1, got -3"),
        (True, "n must be an integer ≥ 1, got True"),
        (np.True_, "n must be an integer"),
        (2.0, r"n must be an integer, got 2\.0"),
        ("2", "n must be an integer, got '2'"),
        (None, "n must be an integer, got None"),
    ],
)
def test_count(value, message):
    with pytest.raises(ValueError, match=message):
        _checks.count("n", value)


@pytest.mark.parametrize("value", [3, np.int32(3), np.array(3)])
def test_count_accepts_integers(value):
    assert _checks.count("n", value) == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"p must be one-dimensional and not empty, got shape \(0,\)"),
        (0.5, r"p must be one-dimensional and not empty, got shape \(\)"),
        ([[0.5]], r"got shape \(1, 1\)"),
        ([0.5, np.nan], r"p must be finite, got p\[1\] = nan"),
        ([np.inf, 0.5], r"p must be finite, got p\[0\] = inf"),
        (["a"], "p must be real numbers, got dtype <U1"),
        ([None], "p must be real numbers, got dtype object"),
        ([True, False], "p must be real numbers, got dtype bool"),
        ([1j], "p must be real numbers, got dtype complex128"),
        ([[1], [1, 2]], "p must be an array of numbers"),
        ([1.5, 0.5], r"p must lie in \[0, 1\], got p\[0\] = .*1\.5"),
        ([0.5, -1e-300], r"p must lie in \[0, 1\], got p\[1\] = .*-1e-300"),
        ([1, 1.0], "p must have an entry below 1: with all 2 workers at 1"),
    ],
)
def test_probabilities(value, message):
    with pytest.raises(ValueError, match=message):
        _checks.probabilities(value)


def test_probabilities_are_a_copy_in_float64():
    given = np.array([0, 1], np.int8)
    p = _checks.probabilities(given)
    assert p.dtype == np.float64
    given[0] = 1
    assert p.tolist() == [0, 1]
    assert _checks.probabilities([1.0], some_answer=False).tolist() == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf, 2, -0.1, [0.5], "0.5", None, True])
def test_scalar(value):
    with pytest.raises(ValueError, match=r"ρ must be"):
        _checks.scalar("ρ", value, 0, 1)


def test_one_or_each():
    assert _checks.one_or_each("d", 2, 3, "partition").tolist() == [2, 2, 2]
    assert _checks.one_or_each("d", [1, 2], 2, "partition").tolist() == [1, 2]
    for value in [1, 2], [[1, 2, 3]], [], "2", np.nan, [np.nan] * 3:
        with pytest.raises(ValueError, match="d must be"):
            _checks.one_or_each("d", value, 3, "partition")
