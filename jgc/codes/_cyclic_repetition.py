"""The cyclic repetition code [5], in an explicit real form; cyclic MDS [7]."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._edges import in_blocks


def cyclic_repetition(
    p: ArrayLike, *, num_partitions: int, num_stragglers: int
) -> CodingPlan:
    """Cyclic repetition [5]: worker i holds blocks i, …, i + s; any k − s recover g.

    Exact for any s stragglers by `jgc.decoders.least_squares`, at load s + 1; with more
    than s it falls off fast, and it takes no notice of p. Small s only: the weights
    that an unlucky set of stragglers needs grow exponentially with s. At k = 20 the
    worst of 500 such sets leaves ‖c − 1‖² = 4e-23 for s = 3 and 3e-17 for s = 5;
    without `jax_enable_x64` it leaves 0.02 and 0.6.

    In [5] the coefficients are drawn at random; here they are the values on the circle,
    θ_j = 2πj/k, of trigonometric polynomials with k − s frequencies, whose zeros are
    the blocks that a worker does not hold. Any k − s translates of such a polynomial
    are a basis, and 1 is in its span. For k − s odd this is the cyclic MDS code of [7]
    (Raviv et al. 2020): rows are shifts of one codeword of a BCH code, with s
    consecutive k-th roots of unity as its roots and the frequencies −(k − s − 1)/2 to
    (k − s − 1)/2 left, so that it is real. For k − s even [7] needs complex
    coefficients; here frequencies are halves and values are divided by
    cos((θ_j − φ)/2) [ours]: real, as exact, but no longer shifts. k = n = 3 and s = 1
    give the paper's Figure 1(b). Coefficients are 1 at most.

    The plan's own weights, for a fixed decoder, are unbiased when every p_i < 1.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1. Workers stand on the
            circle in the order given; a worker with p_i = 1 has weight 0.
        num_partitions: n ≥ 1, in k blocks of consecutive partitions, as equal as can
            be; with n < k some are empty.
        num_stragglers: s, from 0 to k − 1.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> plan = cyclic_repetition([0.1] * 3, num_partitions=3, num_stragglers=1)
        >>> sent = plan.encoding_matrix().round(6)
        >>> sent.tolist()
        [[0.5, 1.0, 0.0], [0.0, 1.0, -1.0], [0.5, 0.0, 1.0]]
        >>> (sent[1] + 2 * sent[2]).tolist()  # g, without worker 0
        [1.0, 1.0, 1.0]
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    k, s = p.size, _checks.count("num_stragglers", num_stragglers, minimum=0)
    if s >= k:
        raise ValueError(f"num_stragglers must be below k = {k}, got {s}")
    coefficients, total = _circle_code(k, s)
    worker, partition, edge = in_blocks(
        worker=np.repeat(np.arange(k), s + 1),
        block=((np.arange(k)[:, None] + np.arange(s + 1)) % k).ravel(),
        num_blocks=k,
        num_partitions=n,
    )
    return CodingPlan.from_edges(
        worker,
        partition,
        coefficients.ravel()[edge],
        p=p,
        weights=np.divide(total, 1 - p, out=np.zeros(k), where=p < 1),
        num_partitions=n,
        name="cyclic_repetition",
    )


def _circle_code(
    k: int, s: int
) -> tuple[Float[np.ndarray, "{k} {s}+1"], Float[np.ndarray, " {k}"]]:
    """Coefficients of worker i on blocks i, …, i + s, and x with Σ_i x_i f_i = g."""
    offset = np.arange(s + 1)
    worker = np.arange(k)
    # F(θ), the product of sin((θ − θ_m)/2) over the k − s − 1 blocks m outside of the
    # window: inside it F is, up to a constant, 1 over the product on the window.
    distance = np.abs(offset[:, None] - offset)
    log_sine = np.log(np.sin(np.pi * np.arange(1, s + 1) / k))
    log_values = -np.concatenate([[0.0], log_sine])[distance].sum(axis=1)
    values = np.exp(log_values - log_values.max())
    matrix = np.tile(values, (k, 1))
    total = np.ones(k)
    if (k - s) % 2 == 0:
        # F changes sign once round the circle, and so does cos((θ − φ)/2), which is
        # not 0 on any block.
        phi = np.pi / k if k % 2 == 0 else 0.0
        block = worker[:, None] + offset
        sign = np.where(block >= k, -1.0, 1.0)
        matrix = sign * matrix / np.cos((2 * np.pi * (block % k) / k - phi) / 2)
        # F is even about the middle of its window, so that Σ_i cos((θ_i + middle −
        # φ)/2) F(θ − θ_i) is cos((θ − φ)/2) times a constant.
        total = np.cos((np.pi * (2 * worker + s) / k - phi) / 2)
    scale = np.abs(matrix).max(axis=1) * np.sign(matrix[:, 0])
    holders_of_0 = (-offset) % k
    total /= (total[holders_of_0] * matrix[holders_of_0, offset]).sum()
    return matrix / scale[:, None], total * scale
