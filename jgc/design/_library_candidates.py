"""Codes of the library that weight by 1/(1 − p) or look at who answered.

Baselines for the most part: on recorded traces groups with the same data, and no
redundancy at all, came off better at every load.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.sparse import csgraph

from jgc import codes, decoders
from jgc._plan import CodingPlan
from jgc.decoders import Decoder
from jgc.design import rules
from jgc.design._candidate import HANDICAP, Candidate, Setting, late
from jgc.design._race import effect
from jgc.design._runnable import Runnable
from jgc.stragglers import LoadedTrace


def library(setting: Setting) -> Iterator[Candidate]:
    """Codes whose decoders look at who answered, or that weight by 1/(1 − p)."""
    latencies, k = setting.latencies, setting.num_workers
    n = setting.num_partitions or k
    key = jax.random.key(0)

    def interval(p: np.ndarray) -> CodingPlan:
        return codes.interval(p, num_partitions=setting.num_partitions or 4 * k)

    def stochastic(p: np.ndarray) -> CodingPlan:
        return codes.stochastic(p, num_partitions=n, replication=2, key=key)

    def graph(p: np.ndarray) -> CodingPlan:
        return codes.random_graph(p, num_partitions=n, key=key)

    makers: list[_Maker] = [
        _Maker("interval code, fixed weights", 1.0, interval, decoders.fixed)
    ]
    if k >= 4 and 2 / k <= setting.capacity and n >= 3:
        sgc = "stochastic code (SGC)"
        makers.append(_Maker(sgc, 2.0, stochastic, decoders.fixed))
        if n == k:
            least = "random graph, least squares"
            makers.append(_Maker(least, 2.0, graph, decoders.graph))
    for maker in makers:
        recorded = latencies.seconds(maker.load / k)
        for quantile in (0.5, 0.6, 0.7, 0.8, 0.88, 0.95):
            tau = float(np.quantile(recorded, quantile, method="lower")) * (1 + 1e-6)
            if np.isfinite(tau) and tau > 0:
                yield from _by_deadline(setting, maker, tau)
    for stragglers in (1, 2, 3):
        load = (stragglers + 1) / k
        if stragglers >= k / 2 or load > setting.capacity or n != k:
            continue
        seconds = latencies.seconds(load)
        waited = np.sort(seconds, axis=1)[:, k - stragglers - 1]

        def cyclic(
            stragglers: int = stragglers,
            seconds: np.ndarray = seconds,
            waited: np.ndarray = waited,
        ) -> Runnable:
            plan = codes.cyclic_repetition(
                late(seconds, waited), num_partitions=n, num_stragglers=stragglers
            )
            rule = rules.first(plan, k - stragglers)
            return Runnable(plan, decoders.least_squares, rule)

        yield Candidate(
            "cyclic repetition, exact",
            f"cyclic repetition, s = {stragglers}",
            effect(waited, np.ones((waited.size, n))),
            cyclic,
        )


@dataclass(frozen=True)
class _Maker:
    kind: str
    load: float  # about, to begin with
    make: Callable[[np.ndarray], CodingPlan]
    decoder: Decoder


def _by_deadline(setting: Setting, maker: _Maker, tau: float) -> Iterator[Candidate]:
    latencies, k = setting.latencies, setting.num_workers
    plan = _settled(latencies, maker.make, tau, maker.load / k)
    load = plan.batch_sizes / plan.num_partitions
    if load.max() > setting.capacity * (1 + 1e-9):
        return
    held = load > 0
    seconds = latencies.seconds(load)
    answered = held & (seconds <= tau)
    waited = np.minimum(tau, seconds[:, held].max(1))
    if maker.decoder.is_fixed:
        coefficients = (answered * np.asarray(plan.weights)) @ plan.encoding_matrix()
    else:
        coefficients = _graph_coefficients(plan, answered)

    def build() -> Runnable:
        return Runnable(plan, maker.decoder, rules.deadline(plan, tau))

    yield Candidate(
        maker.kind,
        f"{maker.kind}, until {tau:.4g} s",
        effect(waited, coefficients),
        build,
        handicap=HANDICAP,
    )


def _graph_coefficients(
    plan: CodingPlan, answered: Bool[np.ndarray, "T k"]
) -> Float[np.ndarray, "T n"]:
    """What `decoders.graph` computes, on the host: components of the double cover."""
    k, n = plan.num_workers, plan.num_partitions
    low, high = np.full(k, n), np.full(k, -1)
    np.minimum.at(low, plan.edge_worker, plan.edge_partition)
    np.maximum.at(high, plan.edge_worker, plan.edge_partition)
    result = np.empty((answered.shape[0], n))
    for t, came in enumerate(answered & (high >= 0)):
        tail = np.concatenate([low[came], high[came]])
        head = np.concatenate([high[came], low[came]]) + n
        cover = sparse.coo_array(
            (np.ones(tail.size), (tail, head)), shape=(2 * n, 2 * n)
        )
        label = csgraph.connected_components(cover, directed=False)[1]
        size = np.bincount(label)
        plus = np.bincount(label[:n], minlength=size.size)
        result[t] = 2 * (1 - plus / size)[label[:n]]
    return result


def _settled(
    latencies: LoadedTrace,
    make: Callable[[np.ndarray], CodingPlan],
    tau: float,
    load: float,
) -> CodingPlan:
    """Design and p that agree: p at the loads that the code designed for p assigns."""
    k = latencies.recorded.num_workers
    loads: np.ndarray = np.full(k, load)
    for _ in range(6):
        plan = make(latencies.probabilities(loads, tau))
        new = plan.batch_sizes / plan.num_partitions
        if np.abs(new - loads).max() <= 0.05 / k:
            break
        # Halfway, as more load makes late and being late takes load off.
        loads = (loads + new) / 2
    return plan
