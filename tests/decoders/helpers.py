"""Plans and masks that the decoder and residual tests share."""

import jax
import numpy as np

import jgc
from jgc import codes, decoders

PSI = np.array([2, 1.7, 1.5, 1.2, 0.9, 0.6, 0.3, 0.15])
P = jgc.stragglers.deadline_probabilities(PSI, deadline=1.5)


def plan_of(rows, num_partitions, *, p=0.3, weights=1.0, name="by hand"):
    """A plan from one {partition: coefficient} a worker."""
    k = len(rows)
    worker = np.repeat(np.arange(k), [len(row) for row in rows])
    return jgc.CodingPlan(
        straggler_probabilities=np.broadcast_to(np.float64(p), (k,)),
        edge_worker=worker.astype(np.int32),
        edge_partition=np.array([j for row in rows for j in row], np.int32),
        edge_coefficient=np.array([a for row in rows for a in row.values()], float),
        weights=np.broadcast_to(np.float64(weights), (k,)),
        num_workers=k,
        num_partitions=num_partitions,
        name=name,
    )


def graph_plan(edges, num_partitions, **kwargs):
    """A graph code: one tuple of at most two partitions a worker."""
    return plan_of(
        [dict.fromkeys(edge, 1.0) for edge in edges], num_partitions, **kwargs
    )


def random_graph_edges(rng, num_workers, num_partitions):
    """Edges, repeated ones and loops among them, and workers without data."""
    edges = [
        tuple(sorted(rng.choice(num_partitions, 2, replace=False).tolist()))
        for _ in range(num_workers)
    ]
    edges[0] = edges[1]
    # As many entries in every graph, so that jit compiles once.
    special = rng.integers(0, 3)
    if special == 0:
        edges[2], edges[3] = edges[2][:1], edges[3][:1]
    elif special == 1:
        edges[2] = ()
    else:
        edges[2] = edges[3] = edges[4][:1]
    return edges


def all_masks(num_workers):
    """(k, 2^k); bit i of a column's index is worker i."""
    index = np.arange(1 << num_workers)
    return ((index >> np.arange(num_workers)[:, None]) & 1).astype(bool)


def best_coefficients(plan, masks):
    """c by numpy.linalg.lstsq, one mask at a time."""
    matrix = plan.encoding_matrix()
    ones = np.ones(plan.num_partitions)
    c = np.zeros((plan.num_partitions, masks.shape[1]))
    for t, mask in enumerate(masks.T):
        if mask.any():
            rows = matrix[mask]
            c[:, t] = rows.T @ np.linalg.lstsq(rows.T, ones, rcond=1e-10)[0]
    return c


# A ring: worker i holds partitions i and i + 1.
_RING = np.eye(8, dtype=bool) | np.roll(np.eye(8, dtype=bool), 1, axis=1)


def case_plans():
    """Every family of codes at k = 8, by name."""
    key = jax.random.key(3)
    return {
        "interval": codes.interval(P, num_partitions=10),
        "layers": codes.interval(P, num_partitions=6, layers=2),
        "scheme_i": codes.scheme_i(P, num_partitions=10),
        "scheme_ii": codes.scheme_ii(P, num_partitions=10),
        "sparse": codes.sparse(P, num_partitions=9),
        "placement": codes.on_placement(P, _RING),
        "dense": codes.dense(P, num_partitions=5),
        "uncoded": codes.uncoded(P, num_partitions=9),
        "bernoulli": codes.bernoulli_placement(
            P, num_partitions=8, replication=2, key=key
        ),
        "stochastic": codes.stochastic(P, num_partitions=8, replication=2, key=key),
        "fractional": codes.fractional_repetition(P, num_partitions=8, replication=4),
        "cyclic": codes.cyclic_repetition(P, num_partitions=8, num_stragglers=2),
        "random_graph": codes.random_graph(P, num_partitions=7, key=key),
        "graph": graph_plan(
            [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (5, 6), (2,)], 7, p=P
        ),
    }


DECODERS = {
    "fixed": decoders.fixed,
    "representative": decoders.representative,
    "least_squares": decoders.least_squares,
    "graph": decoders.graph,
}


def decoder_cases(plans):
    """All pairs of names of a plan and a decoder that it has."""
    return [
        (plan, decoder)
        for plan in plans
        for decoder in DECODERS
        if decoder != "graph" or "graph" in plan
    ]
