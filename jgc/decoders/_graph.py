"""Optimal decoding of graph codes, worker = edge and partition = vertex, by components.

Minimising ‖c − 1‖ over c_v = Σ_{e ∋ v} w_e splits over the connected components of the
graph of workers that answered. A component with an odd cycle reaches every c: all its
partitions are recovered, c = 1. In a bipartite one with sides L and R every worker adds
to both sides alike, Σ_L c = Σ_R c, and the nearest such c to 1 is

    c = 2|R|/(|L| + |R|) on L,   c = 2|L|/(|L| + |R|) on R;

a vertex alone has c = 0. The double cover makes the two cases one: give each vertex a
copy v⁺ and a copy v⁻ and each edge uv the edges u⁺v⁻ and v⁺u⁻. A component of the cover
with N⁺ and N⁻ copies has c = 2N⁻/(N⁺ + N⁻) on its v⁺, and N⁺ = N⁻ where there is an
odd cycle. A worker with one partition is the edge v⁺v⁻, a loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from jgc._plan import CodingPlan
from jgc._pytree import pytree
from jgc.decoders._blocks import in_blocks
from jgc.decoders._decoder import (
    Coefficients,
    Decoder,
    Mask,
    Weights,
    float_dtype,
)

# Trials that one core's cache holds: 100 workers take 30 µs a mask so, 120 at once.
_BLOCK = 128


class Cover(NamedTuple):
    """Double cover of the answering workers' graph: vertices v⁺ = v, v⁻ = n + v.

    Edges that did not answer run from the spare vertex 2n to itself.
    """

    tail: Int[Array, " 2k"]
    head: Int[Array, " 2k"]
    label: Int[Array, " 2n+1"]  # the least vertex of the component

    def nearest(self, targets: Float[Array, "*sides n"]) -> Float[Array, "*sides n"]:
        """The c that weights can reach and that is nearest to each target.

        Weights reach all c with Σ_L c = Σ_R c in each bipartite component, so that the
        nearest takes (Σ_L τ − Σ_R τ)/(|L| + |R|) off on L and adds it on R. In the
        cover that is the sum of τ on plus copies less that on minus copies, which is
        0 where there is an odd cycle.
        """
        n, label = targets.shape[-1], self.label
        size = jax.ops.segment_sum(jnp.ones_like(label), label, label.size)
        spare = jnp.zeros((*targets.shape[:-1], 1), targets.dtype)
        signed = jnp.concatenate([targets, -targets, spare], axis=-1)
        total = jnp.zeros_like(signed).at[..., label].add(signed)
        mean = total / jnp.maximum(size, 1)
        return targets - mean[..., label[:n]]


@pytree
@dataclass(frozen=True)
class Graph(Decoder):
    """The weights of `least_squares`' coefficients for graph codes, in linear time.

    For codes whose workers hold two partitions (or one, or none) with coefficients 1:
    OD [11]. Coefficients equal those of `least_squares` on every mask, and need
    O(log n) rounds of O(k) work; the weights reach them along spanning trees and are
    not those of least norm.
    """

    name = "least squares on a graph"

    def check(self, plan: CodingPlan) -> None:
        _check_graph_code(plan)

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        n, pair = plan.num_partitions, ends(plan)
        ones = jnp.ones(n, float_dtype())

        def of_mask(one: Bool[Array, " k"]) -> Float[Array, " k"]:
            covered = cover(n, pair, one)
            return tree_weights(covered, pair, covered.nearest(ones))

        return _over_trials(of_mask, answered)

    def _coefficients(self, plan: CodingPlan, answered: Mask) -> Coefficients:
        n, pair = plan.num_partitions, ends(plan)
        ones = jnp.ones(n, float_dtype())
        return _over_trials(lambda one: cover(n, pair, one).nearest(ones), answered)

    def specialised(self, plans: Sequence[CodingPlan]) -> Decoder:
        for plan in plans:
            self.check(plan)
        return self


graph = Graph()


def _over_trials(
    function: Callable[[Bool[Array, " k"]], Array], answered: Mask
) -> Array:
    result = over_trials(function, answered.reshape(answered.shape[0], -1))
    return result.reshape(result.shape[:1] + answered.shape[1:])


def over_trials(
    function: Callable[..., Array], *arrays: Shaped[Array, "*any trials"]
) -> Array:
    """`function` of one trial on all, which come last in the arrays and its results."""
    return in_blocks(jax.vmap(function, in_axes=-1, out_axes=-1), *arrays, size=_BLOCK)


def ends(plan: CodingPlan) -> tuple[Int[Array, " k"], Int[Array, " k"]]:
    """The two partitions of each worker, equal where it holds one, n where none."""
    n, k = plan.num_partitions, plan.num_workers
    holds = jnp.asarray(plan.edge_coefficient) != 0
    partition = jnp.asarray(plan.edge_partition)
    first = jax.ops.segment_min(jnp.where(holds, partition, n), plan.edge_worker, k)
    last = jax.ops.segment_max(jnp.where(holds, partition, -1), plan.edge_worker, k)
    empty = last < 0
    return jnp.where(empty, n, first), jnp.where(empty, n, last)


def is_graph_code(plan: CodingPlan) -> bool:
    """Whether workers hold at most two partitions, with coefficients 0 or 1."""
    a = np.asarray(plan.edge_coefficient)
    worker = np.asarray(plan.edge_worker)
    if not ((a == 0) | (a == 1)).all():
        return False
    return bool(np.bincount(worker[a != 0], minlength=1).max() <= 2)


def _check_graph_code(plan: CodingPlan) -> None:
    arrays = (plan.edge_worker, plan.edge_coefficient)
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        return  # under jit there are no values to check
    a = np.asarray(plan.edge_coefficient)
    if not ((a == 0) | (a == 1)).all():
        raise ValueError(
            "decoders.graph needs coefficients 0 or 1, got one of "
            f"{float(a[(a != 0) & (a != 1)][0])!r} in {plan.name!r}; "
            "decoders.least_squares takes any"
        )
    sizes = np.bincount(np.asarray(plan.edge_worker)[a != 0], minlength=1)
    if sizes.max() > 2:
        raise ValueError(
            "decoders.graph needs workers with at most 2 partitions, got "
            f"{int(sizes.max())} on worker {int(sizes.argmax())} of {plan.name!r}; "
            "decoders.least_squares takes any number"
        )


def cover(
    num_partitions: int,
    pair: tuple[Int[Array, " k"], Int[Array, " k"]],
    mask: Bool[Array, " k"],
) -> Cover:
    """The double cover for one mask, by its workers' `ends`."""
    n = num_partitions
    u, v = pair
    spare = 2 * n
    answered = jnp.tile(mask & (u < n), 2)
    tail = jnp.where(answered, jnp.concatenate([u, v]), spare)
    head = jnp.where(answered, jnp.concatenate([v, u]) + n, spare)
    return Cover(tail, head, _component_labels(tail, head, spare + 1))


def _component_labels(
    tail: Int[Array, " edges"], head: Int[Array, " edges"], num_vertices: int
) -> Int[Array, " vertices"]:
    """The least vertex of each vertex's component: hook roots, then jump pointers."""

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        label, _ = state
        a, b = label[tail], label[head]
        low, high = jnp.minimum(a, b), jnp.maximum(a, b)
        hooked = label.at[high].min(low)  # roots that meet: the larger joins
        jumped = hooked[hooked]
        jumped = jumped[jumped]
        return jumped, (jumped != label).any()

    # A vertex points to a root in the end: nothing changes only when every edge
    # joins equal labels and every label points to itself.
    start = jnp.arange(num_vertices)
    label, _ = jax.lax.while_loop(lambda s: s[1], step, (start, jnp.bool_(True)))
    return label


def tree_weights(
    cover: Cover,
    pair: tuple[Int[Array, " k"], Int[Array, " k"]],
    reached: Float[Array, " n"],
) -> Float[Array, " k"]:
    """Weights that reach these c: a flow from plus to minus copies on a tree.

    Breadth-first trees of the cover's components; the edge to a vertex's parent
    carries what its subtree lacks. O(k) work a round, as many rounds as the trees
    are deep. A worker's weight is the mean of its two edges in the cover, which for a
    loop are one edge twice and count together.
    """
    num_partitions = reached.size
    spare = 2 * num_partitions
    vertex = jnp.arange(spare + 1)
    num_edges = cover.tail.size
    edge = jnp.arange(num_edges)
    both = jnp.concatenate([cover.tail, cover.head])
    other = jnp.concatenate([cover.head, cover.tail])
    twice = jnp.concatenate([edge, edge])
    root = cover.label == vertex

    def grow(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        depth, parent_edge, level = state
        reaches = (depth[both] == level) & (depth[other] < 0)
        best = (
            jnp.full(spare + 1, num_edges)
            .at[other]
            .min(jnp.where(reaches, twice, num_edges))
        )
        new = best < num_edges
        return (
            jnp.where(new, level + 1, depth),
            jnp.where(new, best, parent_edge),
            level + 1,
        )

    depth, parent_edge, deepest = jax.lax.while_loop(
        lambda s: (s[0] == s[2]).any(),
        grow,
        (jnp.where(root, 0, -1), jnp.full(spare + 1, num_edges), jnp.int32(0)),
    )
    ends = jnp.append(cover.tail, spare) + jnp.append(cover.head, spare)
    parent = jnp.where(root, vertex, ends[parent_edge] - vertex)
    sign = jnp.where(vertex < num_partitions, 1, -1)
    target = jnp.concatenate([reached, reached, jnp.zeros(1, reached.dtype)])

    def gather(state: tuple[Array, Array]) -> tuple[Array, Array]:
        lacks, level = state
        moves = jnp.where((depth == level) & ~root, lacks, 0)
        return lacks.at[parent].add(moves), level - 1

    lacks, _ = jax.lax.while_loop(lambda s: s[1] > 0, gather, (sign * target, deepest))
    flow = jnp.zeros(num_edges + 1, lacks.dtype).at[parent_edge].set(sign * lacks)
    total = flow[:num_edges].reshape(2, -1).sum(axis=0)
    return jnp.where(pair[0] == pair[1], total, total / 2)
