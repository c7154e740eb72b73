import numpy as np
import pytest

from jgc import stragglers
from jgc.stragglers import pictures

RNG = np.random.default_rng(0)


def test_burst_lengths_worker_by_worker():
    late = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]], bool)
    assert sorted(pictures.burst_lengths(~late)) == [2, 2, 3]


@pytest.mark.parametrize("workers", [3, 40])
def test_survival_curves_of_few_and_bands_of_many(workers):
    model = stragglers.shifted_exponential(RNG.uniform(1, 3, workers), shift=1.0)
    axis = pictures.draw_survival(model.survival, np.linspace(1, 3, 20)).axes[0]
    assert len(axis.get_lines()) == (3 if workers == 3 else 1)
    curve = axis.get_lines()[0].get_ydata()
    assert curve[0] == 1
    assert (np.diff(curve) <= 0).all()


def test_bursts_beside_those_of_independent_rounds():
    masks = RNG.uniform(size=(40, 2000)) > 0.3
    axis = pictures.draw_bursts(masks).axes[0]
    seen = np.array([bar.get_height() for bar in axis.patches])
    expected = axis.get_lines()[0].get_ydata()
    common = expected > 50
    assert common.sum() > 3
    deviation = np.abs(seen - expected)[common]
    assert (deviation < 5 * np.sqrt(expected[common])).all()
    # All late answers are in some burst.
    size = np.arange(1, len(expected) + 1)
    assert (size * seen).sum() == (~masks).sum()


def test_correlation_leaves_workers_without_variance_blank():
    model = stragglers.common_factor([0.2, 0.5, 0.0], correlation=0.5)
    axis = pictures.draw_correlation(model.covariance()).axes[0]
    drawn = axis.get_images()[0].get_array()
    assert np.ma.is_masked(drawn[2, 0]) or np.isnan(drawn[2, 0])
    covariance = model.covariance()
    expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert drawn[0, 1] == pytest.approx(expected)


@pytest.mark.parametrize("deadline", [0.1, 1.5, 99.0])
def test_trace(tmp_path, deadline):
    """At deadlines that none, some and all meet, with a worker that never answers."""
    latencies = 1 + RNG.exponential(size=(20, 5))
    latencies[:, 2] = np.inf
    recorded = stragglers.trace(latencies, missing_is_late=True)
    figure = pictures.draw_trace(recorded, deadline=deadline)
    figure.savefig(tmp_path / "trace.png")
    assert len(figure.axes) == 4


def test_simulated_masks():
    import jax

    model = stragglers.markov([0.0, 0.5, 1.0], mean_burst=4.0)
    masks = stragglers.simulate(model, jax.random.key(0), 4000)
    assert masks.shape == (4000, 3)
    assert masks[:, 0].all()
    assert not masks[:, 2].any()
    assert pictures.burst_lengths(masks[:, [1]]).mean() == pytest.approx(4, abs=0.6)
