"""How partition gradients relate: one noun, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jgc
from jgc import gradients
from jgc.gradients import as_gradients, as_similarity

ROWS = np.random.default_rng(0).normal(size=(4, 3))
EVERY = {
    "similar": gradients.similar(0.3),
    "equal": gradients.similar(1),
    "orthogonal": gradients.similar(0.0),
    "common": gradients.common(0.25),
    "gram": gradients.gram(ROWS @ ROWS.T),
    "vectors": gradients.vectors(ROWS),
}


@pytest.mark.parametrize("name", EVERY)
def test_views_agree(name):
    related = EVERY[name]
    matrix = related.gram_matrix(4)
    assert matrix.shape == (4, 4)
    factor = related.factor(4)
    np.testing.assert_allclose(factor @ factor.T, matrix, atol=1e-12)
    assert related.squared_norm(4) == pytest.approx(matrix.sum(), rel=1e-12)


def test_a_factor_has_no_more_columns_than_the_rank():
    assert EVERY["equal"].factor(4).shape == (4, 1)
    assert EVERY["gram"].factor(4).shape == (4, 3)
    assert gradients.gram(np.zeros((4, 4))).factor(4).shape == (4, 0)


@given(part=st.floats(0, 1), n=st.integers(1, 40))
def test_the_common_part_is_that_of_the_squared_norm(part, n):
    """c is the share ρn² of ‖g‖² = ρn² + (1 − ρ)n."""
    related = gradients.common(part)
    rho = related.for_partitions(n).similarity
    assert rho * n**2 / related.squared_norm(n) == pytest.approx(part, abs=1e-12)


@pytest.mark.parametrize("part", [0.0, 0.3, 1.0])
def test_relative_errors_are_mixed_by_the_common_part(part):
    plan = jgc.codes.scheme_ii([0.1, 0.5, 0.3], num_partitions=4)
    equal, orthogonal, mixed = (
        jgc.residual.exact(plan, gradients=related).relative
        for related in (1.0, 0.0, gradients.common(part))
    )
    assert mixed == pytest.approx(part * equal + (1 - part) * orthogonal, rel=1e-12)


def test_a_number_is_a_similarity_and_none_the_default():
    assert as_gradients(0.25, 4).similarity == 0.25
    assert as_gradients(np.float32(0.25), 4).similarity == 0.25
    assert as_gradients(None, 4).similarity == 1
    assert as_gradients(None, 4, default=0.0).similarity == 0
    assert as_similarity(gradients.common(0.5), 4) == pytest.approx(0.2)


_TILTED = np.array([[1.0, 0.5], [0.4, 1.0]])


@pytest.mark.parametrize(
    ("make", "argument", "message"),
    [
        (gradients.similar, -0.1, r"rho must be a finite number in \[0, 1\], got -0.1"),
        (gradients.similar, 1.5, r"rho must be .* got 1.5"),
        (gradients.similar, np.nan, "rho must be .* got nan"),
        (gradients.similar, [0.5], r"rho must be .* got \[0.5\]"),
        (gradients.similar, "x", "rho must be real numbers"),
        (gradients.common, -1, r"part must be a finite number in \[0, 1\], got -1"),
        (gradients.common, np.inf, "part must be .* got inf"),
        (gradients.gram, np.ones((2, 3)), r"matrix must be square, .* \(2, 3\)"),
        (gradients.gram, np.ones(3), "matrix must be two-dimensional"),
        (gradients.gram, np.zeros((0, 0)), "matrix must be .* not empty"),
        (gradients.gram, np.full((2, 2), np.nan), "matrix must be .* finite"),
        (gradients.gram, _TILTED, "matrix must be symmetric"),
        (gradients.gram, [[1.0, 2.0], [2.0, 1.0]], "matrix must be positive semidef"),
        (gradients.gram, 1j * np.eye(2), "matrix must be real numbers"),
        (gradients.vectors, np.ones(3), "rows must be two-dimensional"),
        (gradients.vectors, [[1.0], [1.0, 2.0]], "rows must be an array of numbers"),
        (gradients.vectors, [[np.inf, 1.0]], "rows must be .* finite"),
    ],
)
@pytest.mark.wrong_types
def test_bad_arguments_are_named(make, argument, message):
    with pytest.raises(ValueError, match=message):
        make(argument)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (1.5, r"gradients must be a finite number in \[0, 1\], got 1.5"),
        (np.nan, "gradients must be a finite number"),
        ("x", "gradients must be real numbers"),
        (ROWS, r"jgc.gradients, such as gram\(G\) .* array of shape \(4, 3\)"),
        ([0.5], r"got an array of shape \(1,\)"),
        (
            gradients.gram(np.eye(3)),
            "gradients must be of the plan's 4 partitions, got 3",
        ),
        (
            gradients.vectors(ROWS[:2]),
            "gradients must be of the plan's 4 part.*, got 2",
        ),
    ],
)
@pytest.mark.wrong_types
def test_what_a_gradients_argument_refuses(argument, message):
    plan = jgc.codes.interval([0.2, 0.4], num_partitions=4)
    with pytest.raises(ValueError, match=message):
        jgc.residual.exact(plan, gradients=argument)


def test_a_gram_matrix_is_refused_where_a_similarity_is_needed():
    with pytest.raises(
        ValueError, match=r"gradients must be a similarity .* Gram matrix"
    ):
        jgc.codes.on_placement(
            [0.1, 0.2], np.eye(2), gradients=gradients.gram(np.eye(2))
        )
