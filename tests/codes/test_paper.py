"""Numbers that the paper, or our reading of it, states."""

import itertools

import numpy as np
import pytest

import jgc
from jgc import codes

PSI = np.array([2, 1.7, 1.5, 1.2, 0.9, 0.6, 0.3, 0.15])


def test_figure_1b():
    plan = codes.cyclic_repetition([0.1] * 3, num_partitions=3, num_stragglers=1)
    expected = [[0.5, 1, 0], [0, 1, -1], [0.5, 0, 1]]
    np.testing.assert_allclose(plan.encoding_matrix(), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("tau", "orthogonal_per_n", "aligned_per_n2"),
    [(1.5, 0.866918, 0.162471), (1.1, 5.233616, 1.114061)],
)
def test_reference_values_of_interval(tau, orthogonal_per_n, aligned_per_n2):
    plan = codes.interval(np.exp(-PSI * (tau - 1)), num_partitions=10)
    bounds = jgc.residual.bounds(plan)
    assert bounds.orthogonal / 10 == pytest.approx(orthogonal_per_n, abs=5e-7)
    assert bounds.aligned / 100 == pytest.approx(aligned_per_n2, abs=5e-7)
    assert bounds.certified == pytest.approx(bounds.aligned, rel=1e-12)


def test_lemma_2_fails_for_negative_coefficients():
    p = np.exp(-PSI / 2)
    with pytest.warns(codes.NegativeCoefficientWarning, match="negative"):
        plan = codes.scheme_ii(
            p, num_partitions=10, batch_sizes=(3, 3, 3, 2, 2, 2, 1, 1)
        )
    bounds = jgc.residual.bounds(plan)
    assert bounds.aligned == pytest.approx(16.247, abs=5e-4)
    assert bounds.certified == pytest.approx(17.412, abs=5e-4)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=10)))
    errors = (signs @ plan.alpha().T) ** 2 @ (p / (1 - p))
    worst = signs[np.argmax(errors)]
    reached = jgc.residual.exact(
        plan, gradients=jgc.gradients.vectors(worst[:, None])
    ).mean
    assert reached == pytest.approx(errors.max(), rel=1e-12)
    assert reached == pytest.approx(17.412, abs=5e-3)
    assert reached > bounds.aligned + 1
    # The same load, p and n without negative coefficients keep the bound.
    interval = codes.interval(p, num_partitions=10)
    errors = (signs @ interval.alpha().T) ** 2 @ (p / (1 - p))
    assert errors.max() <= bounds.aligned * (1 + 1e-12)


def test_default_allocations_follow_y_here():
    p = np.exp(-PSI / 2)
    given = codes.scheme_i(p, num_partitions=10, batch_sizes=(3, 3, 3, 2, 2, 2, 1, 1))
    default = codes.scheme_i(p, num_partitions=10)
    assert (
        jgc.residual.bounds(default).certified <= jgc.residual.bounds(given).certified
    )
