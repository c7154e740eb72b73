"""The table of codes that tests run through: a new code is one row here."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
import pytest

import jgc
from jgc import CodingPlan, codes

# Different workers, in no order; no α is negative in Schemes I and II at n = 7.
P = np.array([0.35, 0.1, 0.62, 0.2, 0.45, 0.3])
N = 7
KEY = jax.random.key(7)

# Partitions of neighbours overlap in a cycle: not a tree.
RING = np.array([[(j - i) % N < 3 for j in range(N)] for i in range(P.size)])


@dataclass(frozen=True)
class Code:
    """A constructor with options that suit any p of six entries and n = 7.

    Attributes:
        make: from p to a plan.
        unbiased: E[c_j] = 1 for every partition when p < 1.
        optimal: row sums are Y (Theorem 1).
        follows_p: when p is permuted so are the rows of α; not so for a code whose
            placement goes by the workers' numbers.
    """

    name: str
    make: Callable[[np.ndarray], CodingPlan]
    unbiased: bool = True
    optimal: bool = False
    follows_p: bool = False


def _optimal(name: str, make: Callable[[np.ndarray], CodingPlan]) -> Code:
    return Code(name, make, optimal=True, follows_p=True)


CODES = [
    _optimal("interval", lambda p: codes.interval(p, num_partitions=N)),
    _optimal("layers", lambda p: codes.interval(p, num_partitions=N, layers=3)),
    _optimal("scheme_i", lambda p: codes.scheme_i(p, num_partitions=N)),
    _optimal("scheme_ii", lambda p: codes.scheme_ii(p, num_partitions=N)),
    _optimal("sparse", lambda p: codes.sparse(p, num_partitions=N)),
    # Groups are numbered in the caller's order.
    Code(
        "sparse of scheme_i",
        lambda p: codes.sparse(p, num_partitions=N, sub_code=codes.scheme_i),
        optimal=True,
    ),
    _optimal("dense", lambda p: codes.dense(p, num_partitions=N)),
    _optimal(
        "reference", lambda p: codes.reference(p, num_partitions=N, noise_variance=1.0)
    ),
    Code("on_placement", lambda p: codes.on_placement(p, RING), optimal=True),
    Code("on_placement, ρ", lambda p: codes.on_placement(p, RING, gradients=0.5)),
    Code("uncoded", lambda p: codes.uncoded(p, num_partitions=N), unbiased=False),
    Code(
        "bernoulli",
        lambda p: codes.bernoulli_placement(
            p, num_partitions=N, key=KEY, replication=2.5
        ),
        unbiased=False,
    ),
    Code(
        "fractional_repetition",
        lambda p: codes.fractional_repetition(p, num_partitions=N, replication=2),
        unbiased=False,
    ),
    Code(
        "stochastic",
        lambda p: codes.stochastic(p, num_partitions=N, key=KEY, replication=2),
    ),
    # 2k/n is not an integer: degrees differ, and fixed weights are biased.
    Code(
        "random_graph",
        lambda p: codes.random_graph(p, num_partitions=N, key=KEY),
        unbiased=False,
    ),
    Code(
        "cyclic_repetition",
        lambda p: codes.cyclic_repetition(p, num_partitions=N, num_stragglers=2),
    ),
    Code(
        "expander",
        lambda p: codes.expander(p, num_partitions=N, replication=3, key=KEY),
    ),
    # The six pairs of four points. `margulis` has no code of six workers.
    Code(
        "block_design",
        lambda p: codes.block_design(p, num_partitions=N, replication=3),
    ),
]

every_code = pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)


def objective(
    plan: CodingPlan, similarity: float = 1.0, noise_variance: float = 0.0
) -> float:
    """C.4.1's objective for unit gradients, without the constant n σ²."""
    error = jgc.residual.exact(plan, gradients=similarity).mean
    return error + noise_variance * jgc.residual.exact(plan, gradients=0.0).mean
