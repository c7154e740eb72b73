"""Codes on balanced incomplete block designs."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._edges import in_blocks

Blocks = Int[np.ndarray, "k size"]


def block_design(p: ArrayLike, *, num_partitions: int, replication: int) -> CodingPlan:
    """Balanced incomplete block design: any two groups of data meet on λ workers.

    Data is in v groups, the points of a 2-(v, b, λ) design, and worker i holds the b
    points of block i, a_ij = 1: every point is on r workers, every pair of points on
    λ = r(b − 1)/(v − 1). Where k = v any two workers also share λ points, so that with
    equal weights ‖c − 1‖² depends on the number of stragglers alone, and an adversary
    who picks them gains nothing (Kadhe et al. 2019). Known here, q prime and k the
    number of blocks:

        k              r            v            b
        q² + q + 1     q + 1        q² + q + 1   q + 1        projective planes, λ = 1
        q² + q         q + 1        q²           q            affine planes, λ = 1
        v(v − 1)/2     v − 1        any ≥ 3      2            all pairs, λ = 1
        v(v − 1)/6     (v − 1)/2    1, 3 mod 6   3            Steiner triples, λ = 1
        q              (q − 1)/2    3 mod 4      (q − 1)/2    squares, λ = (q − 3)/4

    The plan's own weights, for a fixed decoder, are 1/(r(1 − p_i)): unbiased when every
    p_i < 1.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order. They play
            no part in the placement; a worker with p_i = 1 has weight 0.
        num_partitions: n ≥ 1, in v groups of consecutive partitions, as equal as can
            be; with n < v some are empty.
        replication: r, the load where groups are equal.

    Raises:
        ValueError: an argument out of its range, or no design known here.

    Example:
        >>> plan = block_design([0.1] * 7, num_partitions=7, replication=3)  # Fano's
        >>> held = plan.encoding_matrix()
        >>> (held.T @ held).tolist()[0]  # how often partition 0 meets each
        [3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    k, r = p.size, _checks.count("replication", replication)
    found = [one for one in _designs(k) if (one.num_blocks, one.replication) == (k, r)]
    if not found:
        raise ValueError(_known(k, r))
    blocks = found[0].make()
    worker, partition, _ = in_blocks(
        worker=np.repeat(np.arange(k), blocks.shape[1]),
        block=blocks.ravel(),
        num_blocks=found[0].num_points,
        num_partitions=n,
    )
    return CodingPlan.from_edges(
        worker,
        partition,
        np.ones(worker.size),
        p=p,
        weights=np.divide(1 / r, 1 - p, out=np.zeros(k), where=p < 1),
        num_partitions=n,
        name="block_design",
    )


class _Design(NamedTuple):
    num_blocks: int
    replication: int
    num_points: int
    make: Callable[[], Blocks]


def _designs(at_most: int) -> list[_Design]:
    """All that are known here with so many blocks or fewer."""
    found = []
    for q in _primes(at_most):
        if q % 4 == 3 and q > 3:
            found.append(_Design(q, (q - 1) // 2, q, partial(_squares, q)))
        if q * (q + 1) > at_most:
            continue
        found.append(_Design(q * q + q, q + 1, q * q, partial(_affine, q)))
        found.append(
            _Design(q * q + q + 1, q + 1, q * q + q + 1, partial(_projective, q))
        )
    v = 3
    while v * (v - 1) // 6 <= at_most:
        found.append(_Design(v * (v - 1) // 2, v - 1, v, partial(_all_pairs, v)))
        if v % 6 in (1, 3) and v > 3:
            triples = _Design(v * (v - 1) // 6, (v - 1) // 2, v, partial(_triples, v))
            found.append(triples)
        v += 1
    return [one for one in found if one.num_blocks <= at_most]


def _known(k: int, r: int) -> str:
    """What to say where there is no design."""
    known = {(one.num_blocks, one.replication) for one in _designs(max(4 * k, 12))}
    of_k = sorted(own for size, own in known if size == k)
    if of_k:
        listed = " or ".join(map(str, of_k))
        return f"replication must be {listed} for a design with k = {k} blocks, got {r}"
    nearest = sorted(known, key=lambda one: (abs(one[0] - k), one))[:4]
    listed = ", ".join(f"{size} (replication {own})" for size, own in sorted(nearest))
    return (
        f"p must be of as many workers as a design known here has blocks, the nearest "
        f"being {listed}; got {k}"
    )


def _primes(at_most: int) -> list[int]:
    is_prime = np.ones(at_most + 1, bool)
    is_prime[:2] = False
    for q in range(2, int(at_most**0.5) + 1):
        if is_prime[q]:
            is_prime[q * q :: q] = False
    return np.flatnonzero(is_prime).tolist()


def _squares(q: int) -> Blocks:
    """The translates of the squares other than 0, a difference set for q = 3 mod 4."""
    squares = np.unique(np.arange(1, q) ** 2 % q)
    return (np.arange(q)[:, None] + squares) % q


def _affine(q: int) -> Blocks:
    """The lines y = ax + c and x = c of the plane over Z_q; point (x, y) is xq + y."""
    a, c, x = np.ogrid[:q, :q, :q]
    sloped = (x * q + (a * x + c) % q).reshape(q * q, q)
    upright = np.arange(q * q).reshape(q, q)
    return np.concatenate([sloped, upright])


def _projective(q: int) -> Blocks:
    """The affine lines, each with its point at infinity, and the line of those."""
    infinity = q * q + np.append(np.repeat(np.arange(q), q), np.full(q, q))
    lines = np.concatenate([_affine(q), infinity[:, None]], axis=1)
    return np.concatenate([lines, q * q + np.arange(q + 1)[None]])


def _all_pairs(v: int) -> Blocks:
    return np.stack(np.triu_indices(v, 1), axis=1)


def _triples(v: int) -> Blocks:
    """A Steiner triple system: of Bose for v = 3 mod 6, of Skolem for v = 1 mod 6.

    Points are (a, i), a of a commutative quasigroup and i in Z_3, numbered 3a + i; of
    Skolem's the last one is ∞.
    """
    size = v // 3
    a, b = np.triu_indices(size, 1)
    if v % 6 == 3:
        # Idempotent: the half of a + b modulo an odd number.
        product = (a + b) * (size + 1) // 2 % size
        own = np.arange(size)[:, None] * 3 + np.arange(3)
    else:
        # Half-idempotent: a·a = a for the first half alone, and a·a = a − size/2.
        total = (a + b) % size
        product = total // 2 + total % 2 * (size // 2)
        half = np.arange(size // 2)
        own = half[:, None] * 3 + np.arange(3)
        i = np.arange(3)
        pairs = np.stack(
            [
                ((half[:, None] + size // 2) * 3 + i).ravel(),
                (half[:, None] * 3 + (i + 1) % 3).ravel(),
                np.full(3 * half.size, v - 1),
            ],
            axis=1,
        )
        own = np.concatenate([own, pairs])
    i = np.arange(3)[:, None]
    mixed = np.stack([3 * a + i, 3 * b + i, 3 * product + (i + 1) % 3], axis=-1)
    return np.concatenate([own, mixed.reshape(-1, 3)])
