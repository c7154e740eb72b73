"""What is replayed: the advised option, and its rivals at a range of settings."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from jgc import codes, decoders
from jgc._plan import CodingPlan
from jgc.decoders import Decoder
from jgc.design import Option, rules, search
from jgc.stragglers import LoadedTrace


class Entry(NamedTuple):
    """A code, a decoder and a rule.

    Attributes:
        name: of this setting.
        plan: who computes what.
        decoder: how messages are decoded.
        rule: how long is waited.
        relative_seconds: predicted, over waiting for all; NaN where nothing is.
        parts: of the plan, where its workers send each partition's message when it is
            done.
    """

    name: str
    plan: CodingPlan
    decoder: Decoder
    rule: rules.Rule
    relative_seconds: float = float("nan")
    parts: codes.Split | None = None


# method(seen, replayed): its settings. Rivals choose among them in hindsight.
Method = Callable[[LoadedTrace, LoadedTrace], Iterator[Entry]]

_QUANTILES = (0.3, 0.5, 0.65, 0.8, 0.88, 0.93, 0.96, 0.98)
_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
_PARTS = 4  # partitions of an even share
_STRAGGLERS = (1, 2, 3, 5, 8, 12, 16, 24, 32, 48, 64)


def _advised(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    yield _first_of(search(seen))


def _advised_in_parts(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    yield _first_of(search(seen, in_parts=True))


def _first_of(found: Sequence[Option]) -> Entry:
    best = found[0]
    return Entry(
        best.name, best.plan, best.decoder, best.rule, best.relative_seconds, best.parts
    )


def _everyone(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    plan = _uncoded(replayed)
    yield Entry("wait for all", plan, decoders.fixed, rules.everyone(plan))


def _ignore_late(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    plan = _uncoded(replayed)
    for tau in _deadlines(replayed.seconds(1 / plan.num_workers), _QUANTILES):
        yield Entry(
            f"until {tau:.4g} s", plan, decoders.rescaled, rules.deadline(plan, tau)
        )


def _first(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    plan = _uncoded(replayed)
    k = plan.num_workers
    counts = {max(1, round(q * k)) for q in _QUANTILES} | {max(1, k - 1)}
    for count in sorted(counts):
        yield Entry(
            f"the first {count}", plan, decoders.rescaled, rules.first(plan, count)
        )


def _adaptive(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    plan = _uncoded(replayed)
    k = plan.num_workers
    slowest = seen.seconds(1 / k)
    limit = 10 * float(slowest[np.isfinite(slowest)].max())
    for count in sorted({max(2, round(q * k)) for q in _QUANTILES}):
        goal = rules.first(plan, count)
        rule = rules.adaptive(plan, goal, least=count // 2, at_most=limit)
        yield Entry(f"as {count} took", plan, decoders.rescaled, rule)


def _fractional(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    k = replayed.recorded.num_workers
    for d in sorted({round(d) for d in np.geomspace(2, k, 16)} - {1}):
        plan = codes.fractional_repetition(_zeros(k), num_partitions=k, replication=d)
        yield Entry(
            f"d = {d}, one of each group",
            plan,
            decoders.representative,
            rules.coverage(plan),
        )


def _cyclic(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    # Decoded exactly on paper; in floating point only for few stragglers.
    k = replayed.recorded.num_workers
    for s in (s for s in _STRAGGLERS if s < min(k / 2, 4)):
        plan = codes.cyclic_repetition(_zeros(k), num_partitions=k, num_stragglers=s)
        yield Entry(f"s = {s}", plan, decoders.least_squares, rules.first(plan, k - s))


def _stochastic(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    k = replayed.recorded.num_workers
    for tau in _deadlines(replayed.seconds(2 / k), _QUANTILES[3:]):
        p = replayed.probabilities(2 / k, tau)
        plan = codes.stochastic(
            p, num_partitions=k, replication=2, key=jax.random.key(0)
        )
        yield Entry(
            f"until {tau:.4g} s", plan, decoders.fixed, rules.deadline(plan, tau)
        )


def _graph(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    k = replayed.recorded.num_workers
    plan = codes.random_graph(_zeros(k), num_partitions=k, key=jax.random.key(0))
    for tau in _deadlines(replayed.seconds(2 / k), _QUANTILES[2:]):
        yield Entry(
            f"until {tau:.4g} s", plan, decoders.graph, rules.deadline(plan, tau)
        )


def _repetition(k: int, p: ArrayLike = 0.0, replication: int = 2) -> CodingPlan:
    """In blocks of partitions enough to be cut off in."""
    return codes.fractional_repetition(
        np.broadcast_to(p, (k,)),
        num_partitions=_PARTS * k,
        replication=replication,
    )


def _dropped(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    k = replayed.recorded.num_workers
    for tau in _deadlines(replayed.seconds(2 / k), _QUANTILES):
        plan = _repetition(k, seen.probabilities(2 / k, tau))
        yield Entry(f"until {tau:.4g} s", plan, _best(plan), rules.deadline(plan, tau))


def _in_parts(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    whole = _repetition(replayed.recorded.num_workers)
    for tau in _deadlines(_seconds(codes.split(whole), replayed), _QUANTILES):
        parts = codes.split(whole)
        late = seen.probabilities(parts.share, tau, worker=parts.worker)
        parts = codes.split(whole, p=late)
        plan = parts.plan
        yield Entry(
            f"until {tau:.4g} s",
            plan,
            _best(plan),
            rules.deadline(plan, tau),
            parts=parts,
        )


def _covered_in_parts(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    for d in (2, 4):
        whole = _repetition(replayed.recorded.num_workers, replication=d)
        yield from _until_covered(codes.split(whole), f"d = {d}, ")


def _uncoded_in_parts(seen: LoadedTrace, replayed: LoadedTrace) -> Iterator[Entry]:
    k = replayed.recorded.num_workers
    parts = codes.split(codes.uncoded(_zeros(k), num_partitions=_PARTS * k))
    plan = parts.plan
    for tau in _deadlines(_seconds(parts, replayed), _QUANTILES):
        yield Entry(
            f"until {tau:.4g} s",
            plan,
            decoders.rescaled,
            rules.deadline(plan, tau),
            parts=parts,
        )
    yield from _until_covered(parts)


def _until_covered(parts: codes.Split, name: str = "") -> Iterator[Entry]:
    for share in _SHARES:
        yield Entry(
            f"{name}{share:.0%} of the data",
            parts.plan,
            decoders.rescaled,
            rules.coverage(parts.plan, share),
            parts=parts,
        )


def _seconds(parts: codes.Split, latencies: LoadedTrace) -> np.ndarray:
    return latencies.seconds(parts.share, worker=parts.worker)


def _best(plan: CodingPlan) -> Decoder:
    return decoders.best_unbiased(plan, gradients=0.5, key=jax.random.key(0))


METHODS: dict[str, Method] = {
    "advised": _advised,
    "wait for all": _everyone,
    "ignore the late, rescale": _ignore_late,
    "first m, rescale": _first,
    "deadline that adapts, rescale": _adaptive,
    "fractional repetition, exact": _fractional,
    "cyclic repetition, exact": _cyclic,
    "stochastic code (SGC)": _stochastic,
    "random graph, least squares": _graph,
}

# Of workers that are cut off, and the same code with what is not whole dropped.
OF_PARTS: dict[str, Method] = {
    "advised, in parts": _advised_in_parts,
    "repetition, late ones dropped": _dropped,
    "repetition in parts": _in_parts,
    "repetition in parts, coverage": _covered_in_parts,
    "uncoded in parts, rescale": _uncoded_in_parts,
}


def _uncoded(latencies: LoadedTrace) -> CodingPlan:
    k = latencies.recorded.num_workers
    return codes.uncoded(_zeros(k), num_partitions=k)


def _zeros(k: int) -> np.ndarray:
    return np.zeros(k)


def _deadlines(seconds: np.ndarray, quantiles: tuple[float, ...]) -> list[float]:
    found = seconds[np.isfinite(seconds)]
    return [float(tau) for tau in np.unique(np.quantile(found, quantiles)) if tau > 0]
