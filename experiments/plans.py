"""The schemes that a config can name, and the straggler probabilities they face."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float

import jgc

SCHEMES: dict[str, Callable[[Float[np.ndarray, " k"], int], jgc.CodingPlan]] = {
    "gd": lambda p, n: jgc.codes.straggler_free(p.size, num_partitions=n),
    "is_sgd": lambda p, n: jgc.codes.uncoded(p, num_partitions=n),
    "scheme_i": lambda p, n: jgc.codes.scheme_i(p, num_partitions=n),
    "scheme_ii": lambda p, n: jgc.codes.scheme_ii(p, num_partitions=n),
    "interval": lambda p, n: jgc.codes.interval(p, num_partitions=n),
}

# Gradient descent waits for every worker, so no deadline changes it.
WAITS_FOR_ALL = frozenset({"gd"})


def draw_psi(
    key: jax.Array, num_workers: int, psi_min: float, psi_max: float
) -> Float[np.ndarray, " k"]:
    """ψ_i ~ U(psi_min, psi_max) of (23), one a worker."""
    draw = jax.random.uniform(key, (num_workers,), minval=psi_min, maxval=psi_max)
    return np.asarray(draw, np.float64)
