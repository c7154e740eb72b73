"""BGC, Bernoulli gradient coding [8]."""

import jax
import numpy as np
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._randomness import generator


def bernoulli_placement(
    p: ArrayLike, *, num_partitions: int, key: jax.Array, replication: float
) -> CodingPlan:
    """BGC [8]: a_ij = 1 with probability d/k, independently.

    Needs no design and no knowledge of p, but about n·e^{−d} partitions are on no
    worker at all, whatever the decoder. `placement_report` says what a draw achieved.

    The placement is what [8] defines; its weights come in three ways:

    - the plan's own are all 1, as the paper compares it (Appendix D): biased, a
      partition counts as often as it arrives, (1 − p_i) d times on average;
    - `jgc.decoders.one_step(replication=d)`, k/(r d) where r workers answered, is [8]'s
      one-step decoding;
    - `jgc.decoders.least_squares`, min_w ‖Aᵀw − 1‖, is its optimal decoding.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order.
        num_partitions: n ≥ 1.
        key: a `jax.random` key.
        replication: d, the expected number of workers per partition, in [0, k].

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> import jgc
        >>> plan = bernoulli_placement(
        ...     [0.1] * 100, num_partitions=1000, key=jax.random.key(0), replication=2
        ... )
        >>> copies = jgc.codes.placement_report(plan).replication
        >>> lost = (copies == 0).mean()  # about e⁻²
        >>> round(copies.mean(), 1).item(), round(lost, 1).item()
        (2.0, 0.1)
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    k = p.size
    d = _checks.scalar("replication", replication, 0, k)
    cell = _bernoulli_cells(generator(key), k * n, d / k)
    return CodingPlan.from_edges(
        cell // n,
        cell % n,
        np.ones(cell.size),
        p=p,
        weights=np.ones(k),
        num_partitions=n,
        name="bernoulli_placement",
    )


def _bernoulli_cells(
    rng: np.random.Generator, num_cells: int, probability: float
) -> np.ndarray:
    """The successes of `num_cells` trials, in time and space of their number."""
    if probability < 1e-18:  # less than one success in any matrix that is ever meant
        return np.zeros(0, np.int64)
    cells = [np.full(1, -1)]
    while cells[-1][-1] < num_cells:
        missing = (num_cells - cells[-1][-1]) * probability
        gaps = rng.geometric(probability, size=int(missing + 4 * missing**0.5) + 8)
        # A gap beyond the end counts as the end: sums of capped gaps stay in int64.
        gaps = np.minimum(gaps, num_cells + 1)
        ends = cells[-1][-1] + np.cumsum(gaps)
        cells.append(ends)
    cell = np.concatenate(cells)[1:]
    return cell[cell < num_cells]
