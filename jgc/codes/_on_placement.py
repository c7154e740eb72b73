"""New coefficients for data that already lies on the workers [ours]."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._edges import placement_edges, without_lost_workers, without_zeros
from jgc.codes._optimal_structure import (
    inverse_odds_shares,
    plan_from_alpha,
    warn_if_negative,
)
from jgc.gradients import GradientsLike, as_similarity

# Similarities nearer to 1 than this count as 1, where α no longer depends on them.
_ALIGNED = 1e-9

# Inverse odds further apart than this count as this far apart where they only choose
# among solutions of the same aligned error.
_TIE_BREAK_RANGE = 1e-6


def on_placement(
    p: ArrayLike,
    placement: ArrayLike | CodingPlan,
    *,
    gradients: GradientsLike = 1.0,
    expected_weights: ArrayLike | None = None,
) -> CodingPlan:
    """The best code on a given placement: new p, no data moved.

    Of the unbiased codes with fixed weights it has the least error
    Σ_i δ_i [(1 − ρ) Σ_j (α_i^j)² + ρ (Σ_j α_i^j)²], for gradients of similarity ρ. At
    the default ρ = 1, the paper's objective (15), workers and partitions that hang
    together get the optimal row sums among themselves: Y for a connected placement,
    whose error is then n²/D whatever the placement. On a tree (Schemes I, II, connected
    interval codes) that decides every α, found by leaf elimination in O(n + k); on
    other placements, of the α with these row sums, those of least error for ρ = 0 (of p
    that span six orders of magnitude or less) are taken. ρ < 1 or cycles cost one
    sparse linear solve, for thousands of workers.

    Good for following p as it is estimated anew. Not good for p that has moved far
    from the one that the data was placed for: α may become negative and large; a
    lower similarity or `reference(…, nonnegative=True)` holds them back.

    Args:
        p: the new straggler probabilities (k,), each in [0, 1], not all 1. Workers with
            p_i = 1 send nothing, and their edges are not in the plan: keep the
            placement for when they return.
        placement: a boolean matrix (k, n), which worker holds which partition, or a
            plan whose edges are meant. Every partition on a worker with p_i < 1.
        gradients: how the partition gradients relate, by similarity or common part.
        expected_weights: w̃_i = (1 − p_i) w_i (17), positive (k,); any choice decodes
            to the same gradient. The default makes messages weighted means.

    Raises:
        ValueError: an argument out of its range, a placement for another number of
            workers, or a partition that no worker can ever answer for.

    Warns:
        NegativeCoefficientWarning: some α < 0, so that Lemma 1's bound may fail.

    Example:
        >>> import jgc
        >>> placed = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> placed.alpha().round(2).tolist()
        [[1.0, 0.6], [0.0, 0.4]]
        >>> on_placement([0.25, 0.5], placed).alpha().round(2).tolist()  # Y = 1.5, 0.5
        [[1.0, 0.5], [0.0, 0.5]]
    """
    p = _checks.probabilities(p)
    worker, partition, n = placement_edges("placement", placement, p.size)
    rho = as_similarity(gradients, n)
    worker, partition = without_lost_workers("placement", p, worker, partition, n)
    holders, rank = np.unique(worker, return_inverse=True)
    edges = _Edges(rank, partition, holders.size, n)
    alpha = (
        _least_aligned(p[holders], edges)
        if rho > 1 - _ALIGNED
        else _least_similar(p[holders], edges, rho)
    )
    plan = plan_from_alpha(
        p,
        *without_zeros(worker, partition, alpha),
        num_partitions=n,
        name="on_placement",
        expected_weights=expected_weights,
    )
    return warn_if_negative(plan)


class _Edges(NamedTuple):
    """A bipartite graph of m workers, all with data, and n partitions, all held."""

    worker: Int[np.ndarray, " E"]
    partition: Int[np.ndarray, " E"]
    num_workers: int
    num_partitions: int

    def matrix(self, values: Float[np.ndarray, " E"]) -> scipy.sparse.csc_array:
        return scipy.sparse.csc_array(
            (values, (self.worker, self.partition)),
            shape=(self.num_workers, self.num_partitions),
        )

    def sum_by_worker(self, values: np.ndarray) -> Float[np.ndarray, " m"]:
        return np.bincount(self.worker, values, self.num_workers)

    def sum_by_partition(self, values: np.ndarray) -> Float[np.ndarray, " n"]:
        return np.bincount(self.partition, values, self.num_partitions)

    def components(self) -> tuple[int, Int[np.ndarray, " m"], Int[np.ndarray, " n"]]:
        """Their number, and the component of each worker and of each partition."""
        m, n = self.num_workers, self.num_partitions
        graph = scipy.sparse.coo_array(
            (np.ones(self.worker.size, np.int8), (self.worker, m + self.partition)),
            shape=(m + n, m + n),
        )
        number, label = scipy.sparse.csgraph.connected_components(graph, directed=False)
        return number, label[:m], label[m:]


def _least_aligned(p: Float[np.ndarray, " m"], edges: _Edges) -> np.ndarray:
    """ρ = 1: Σ_j α_i^j is worker i's share of the partitions of its component."""
    num_components, of_worker, of_partition = edges.components()
    shares = inverse_odds_shares(p, of_worker)
    row_sums = np.bincount(of_partition)[of_worker] * shares
    roots = np.unique(of_partition, return_index=True)[1]
    num_nodes = edges.num_workers + edges.num_partitions
    if edges.worker.size == num_nodes - num_components:
        return _leaf_elimination(edges, row_sums, roots)

    # Least Σ_i δ_i Σ_j (α_i^j)²: the even split of row sums, plus what has row sums 0.
    batch_sizes = edges.sum_by_worker(np.ones(edges.worker.size))
    even = (row_sums / batch_sizes)[edges.worker]
    largest = np.zeros(num_components)
    np.maximum.at(largest, of_worker, shares)
    inverse_odds = np.maximum(shares / largest[of_worker], _TIE_BREAK_RANGE)
    is_root = np.zeros(edges.num_partitions, bool)
    is_root[roots] = True
    return even + _stationary(
        edges,
        inverse_odds,
        1 / batch_sizes,
        column_sums=1 - edges.sum_by_partition(even),
        is_pinned=is_root,
    )


def _leaf_elimination(
    edges: _Edges, row_sums: Float[np.ndarray, " m"], roots: Int[np.ndarray, " c"]
) -> np.ndarray:
    """The only α on a forest with these row sums and column sums 1.

    A leaf's one edge has its sum; without the leaf the forest is smaller. From the
    leaves up to a root, a partition, in each tree.
    """
    m, n = edges.num_workers, edges.num_partitions
    ground = m + n  # a node below all roots makes the forest a tree
    head = np.concatenate([edges.worker, np.full(roots.size, ground)])
    tail = m + np.concatenate([edges.partition, roots])
    tree = scipy.sparse.coo_array(
        (np.ones(head.size, np.int8), (head, tail)), shape=(ground + 1, ground + 1)
    ).tocsr()
    order, parent = scipy.sparse.csgraph.breadth_first_order(
        tree, ground, directed=False
    )
    # What a subtree's workers have to give beyond what its partitions need.
    excess = np.concatenate([row_sums, np.full(n, -1.0), [0.0]]).tolist()
    parents = parent.tolist()
    for node in order[:0:-1].tolist():
        excess[parents[node]] += excess[node]
    total = np.array(excess)
    node = m + edges.partition
    return np.where(parent[edges.worker] == node, total[edges.worker], -total[node])


def _least_similar(p: Float[np.ndarray, " m"], edges: _Edges, rho: float) -> np.ndarray:
    """ρ < 1: the stationary point of a strictly convex quadratic programme."""
    batch_sizes = edges.sum_by_worker(np.ones(edges.worker.size))
    theta = rho / (1 - rho + rho * batch_sizes)
    # Workers that always answer cost nothing: partitions of theirs are free for all.
    always = p == 0
    holders_always = edges.sum_by_partition(always[edges.worker])
    is_free = holders_always > 0
    inverse_odds = np.zeros(p.size)
    if not always.all():
        # Only ratios matter. Those of float64 probabilities span e^781, which fits
        # between the least and the largest float64 when the largest is put near e^660.
        log_inverse_odds = np.log1p(-p[~always]) - np.log(p[~always])
        inverse_odds[~always] = np.exp(log_inverse_odds - log_inverse_odds.max() + 660)
    alpha = _stationary(
        edges, inverse_odds, theta, np.ones(edges.num_partitions), is_pinned=is_free
    )
    missing = 1 - edges.sum_by_partition(alpha)
    share = np.divide(missing, holders_always, out=missing, where=is_free)
    return np.where(always[edges.worker], share[edges.partition], alpha)


def _stationary(
    edges: _Edges,
    inverse_odds: Float[np.ndarray, " m"],
    theta: Float[np.ndarray, " m"],
    column_sums: Float[np.ndarray, " n"],
    is_pinned: Bool[np.ndarray, " n"],
) -> np.ndarray:
    """α_i^j = s_i (v_j − θ_i Σ_l v_l) with the given column sums, s_i = 1/δ_i.

    There Σ_i δ_i [Σ_j (α_i^j)² + θ_i/(1 − b_i θ_i) (Σ_j α_i^j)²] is least, with
    multipliers v_j; at θ_i = 1/b_i row sums are 0. Pinned partitions have v_j = 0 and
    any sum.
    """
    s = inverse_odds[edges.worker]
    total = edges.sum_by_partition(s)
    free = np.flatnonzero(~is_pinned)
    if free.size == 0:
        return np.zeros(s.size)
    # With x_i = √(s_i θ_i) Σ_l v_l and y_j = √(Σ_i s_i) v_j: x = K y, and y − Kᵀ x is
    # given; scaled, so that entries are at most 1 whatever p is.
    scale = np.sqrt(total[free])
    root = np.sqrt(s) * np.sqrt(theta[edges.worker])
    k_matrix = edges.matrix(root)[:, free] @ scipy.sparse.diags_array(1 / scale)
    m = edges.num_workers
    system = scipy.sparse.block_array(
        [
            [scipy.sparse.eye_array(m), -k_matrix],
            [-k_matrix.T, scipy.sparse.eye_array(free.size)],
        ],
        format="csc",
    )
    factors = scipy.sparse.linalg.splu(system)

    def with_column_sums(sums: Float[np.ndarray, " n"]) -> np.ndarray:
        solution = factors.solve(np.concatenate([np.zeros(m), sums[free] / scale]))
        v = np.zeros(edges.num_partitions)
        v[free] = solution[m:] / scale
        shift = theta * edges.sum_by_worker(v[edges.partition])
        return s * (v[edges.partition] - shift[edges.worker])

    alpha = with_column_sums(column_sums)
    # Once more for what rounding left, near ρ = 1 and for very unequal p.
    return alpha + with_column_sums(column_sums - edges.sum_by_partition(alpha))
