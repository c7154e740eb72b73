"""The schemes that a config can name: a code, how it is decoded, and what it faces."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

import jgc
from jgc import codes, decoders

Probabilities = Float[np.ndarray, " k"]


class Scheme(NamedTuple):
    """A code and its decoder.

    Attributes:
        design: `design(p, n, key) -> plan`; only random codes look at the key.
        decoder: how its messages are decoded.
        waits_for_all: stragglers are waited for, so that no deadline changes it.
    """

    design: Callable[[Probabilities, int, Array], jgc.CodingPlan]
    decoder: jgc.decoders.Decoder = decoders.fixed
    waits_for_all: bool = False


# Baselines are at d ≈ 2, as in the paper.
SCHEMES: dict[str, Scheme] = {
    "gd": Scheme(
        lambda p, n, key: codes.straggler_free(p.size, num_partitions=n),
        waits_for_all=True,
    ),
    "is_sgd": Scheme(lambda p, n, key: codes.uncoded(p, num_partitions=n)),
    "scheme_i": Scheme(lambda p, n, key: codes.scheme_i(p, num_partitions=n)),
    "scheme_ii": Scheme(lambda p, n, key: codes.scheme_ii(p, num_partitions=n)),
    "interval": Scheme(lambda p, n, key: codes.interval(p, num_partitions=n)),
    "interval_2_layers": Scheme(
        lambda p, n, key: codes.interval(p, num_partitions=n, layers=2)
    ),
    "sparse": Scheme(lambda p, n, key: codes.sparse(p, num_partitions=n)),
    "dense": Scheme(lambda p, n, key: codes.dense(p, num_partitions=n)),
    "sgc": Scheme(
        lambda p, n, key: codes.stochastic(p, num_partitions=n, key=key, replication=2)
    ),
    "bgc": Scheme(
        lambda p, n, key: codes.bernoulli(p, num_partitions=n, key=key, replication=2)
    ),
    "ehd": Scheme(
        lambda p, n, key: codes.fractional_repetition(
            p, num_partitions=n, replication=2
        )
    ),
    "ehd_representative": Scheme(
        lambda p, n, key: codes.fractional_repetition(
            p, num_partitions=n, replication=2
        ),
        decoders.representative,
    ),
    "od": Scheme(
        lambda p, n, key: codes.random_graph(p, num_partitions=n, key=key),
        decoders.graph,
    ),
    "cyclic": Scheme(
        lambda p, n, key: codes.cyclic_repetition(
            p, num_partitions=n, num_stragglers=1
        ),
        decoders.least_squares,
    ),
    "interval_least_squares": Scheme(
        lambda p, n, key: codes.interval(p, num_partitions=n), decoders.least_squares
    ),
}


def draw_psi(
    key: jax.Array, num_workers: int, psi_min: float, psi_max: float
) -> Float[np.ndarray, " k"]:
    """ψ_i ~ U(psi_min, psi_max) of (23), one a worker."""
    draw = jax.random.uniform(key, (num_workers,), minval=psi_min, maxval=psi_max)
    return np.asarray(draw, np.float64)
