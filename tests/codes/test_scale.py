"""Plans for a million workers and partitions, in seconds."""

import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgc
from jgc import codes, decoders

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::jgc.codes.NegativeCoefficientWarning"),
]

SIZE = 10**6
SECONDS = 20  # several times what it takes, for machines that are shared
P = np.random.default_rng(0).uniform(0.1, 0.9, SIZE)
KEY = jax.random.key(0)

MAKERS = {
    "interval": lambda: codes.interval(P, num_partitions=SIZE),
    "scheme_i": lambda: codes.scheme_i(P, num_partitions=SIZE),
    "scheme_ii": lambda: codes.scheme_ii(P, num_partitions=SIZE),
    "sparse": lambda: codes.sparse(P, num_partitions=SIZE),
    "sparse, two kinds": lambda: codes.sparse(
        np.where(P < 0.5, 0.2, 0.4), num_partitions=SIZE
    ),
    "bernoulli": lambda: codes.bernoulli_placement(
        P, num_partitions=SIZE, key=KEY, replication=2
    ),
    "stochastic": lambda: codes.stochastic(
        P, num_partitions=SIZE, key=KEY, replication=2
    ),
    "random_graph": lambda: codes.random_graph(P, num_partitions=SIZE, key=KEY),
    "fractional_repetition": lambda: codes.fractional_repetition(
        P, num_partitions=SIZE, replication=2
    ),
    "cyclic_repetition": lambda: codes.cyclic_repetition(
        P, num_partitions=SIZE, num_stragglers=1
    ),
    # The longest path there is.
    "on_placement": lambda: codes.on_placement(
        np.random.default_rng(0).uniform(0.1, 0.9, SIZE),
        codes.scheme_ii(P, num_partitions=SIZE),
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_million_workers(name):
    start = time.perf_counter()
    plan = MAKERS[name]()
    assert time.perf_counter() - start < SECONDS
    assert plan.load <= 3.1

    start = time.perf_counter()
    bounds = jgc.residual.bounds(plan)
    assert time.perf_counter() - start < 5
    assert np.isfinite(bounds.certified)

    gradients = jnp.ones((SIZE, 2))
    mask = np.random.default_rng(1).random(SIZE) > P
    decoded = jax.jit(lambda g, m: plan.decode(plan.encode(g), m))(gradients, mask)
    total = np.asarray(decoders.fixed.coefficients(plan, mask), np.float64).sum()
    np.testing.assert_allclose(decoded, total, rtol=1e-3)
    # KiB on Linux: the plan, what made it, and all of JAX.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4e6
