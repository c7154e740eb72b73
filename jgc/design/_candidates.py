"""Codes, decoders and rules that are worth comparing on a trace, most by formula.

A candidate is what it does in each recorded round, and how to build it. The families
without decoding to solve for are searched in NumPy, hundreds of settings at a time;
only what comes off well is built (`jgc.design._planner`).
"""

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from jgc import codes, decoders
from jgc._plan import CodingPlan
from jgc.design import _layouts as layouts
from jgc.design import rules
from jgc.design._candidate import HANDICAP, Candidate, Setting, late
from jgc.design._library_candidates import library
from jgc.design._partial_candidates import in_parts
from jgc.design._race import effect
from jgc.design._runnable import Runnable, seconds_of
from jgc.design._waits import (
    SHARES,
    first_of,
    middle,
    or_all,
    patient,
    rescaled,
    rescaling,
    shares,
)
from jgc.stragglers import LoadedTrace

# Quantiles of the answers at which a deadline may lie.
_QUANTILES = (0.4, 0.6, 0.75, 0.85, 0.92, 0.96, 0.98, 0.995)
_AFTER = 1 + 1e-6


def candidates(setting: Setting) -> Iterator[tuple[float, Candidate]]:
    """All candidates, each with the part of the work that is done by then."""
    yield 0.0, wait_for_all(setting)
    sizes = group_counts(setting)
    for i, num_groups in enumerate(sizes):
        for found in _grouped(setting, num_groups):
            yield 0.6 * (i + 1) / len(sizes), found
    for found in _unequal(setting, is_whole=True):
        yield 0.8, found
    if setting.in_parts:
        for found in _unequal(setting, is_whole=False):
            yield 0.85, found
        for found in in_parts(setting, sizes):
            yield 0.9, found
    for found in library(setting):
        yield 1.0, found


def wait_for_all(setting: Setting) -> Candidate:
    """No redundancy and no hurry: what every other candidate is measured by."""
    k = setting.num_workers
    n = setting.num_partitions or k

    def build() -> Runnable:
        plan = codes.uncoded(np.zeros(k), num_partitions=n)
        return Runnable(plan, decoders.fixed, rules.everyone(plan))

    counts = codes.uncoded(np.zeros(k), num_partitions=n).batch_sizes
    seconds = setting.latencies.seconds(counts / n)[:, counts > 0]
    ones = np.ones((seconds.shape[0], n))
    name = "wait for all"
    return Candidate(name, name, effect(seconds.max(1), ones), build)


def group_counts(setting: Setting) -> list[int]:
    """Numbers of groups G whose share 1/G fits, from k (no redundancy) down."""
    k, n = setting.num_workers, setting.num_partitions
    most = k if n is None else min(k, n)
    replication = np.unique(np.rint(np.geomspace(1, k, 24)).astype(int))
    groups = sorted({max(1, min(most, k // int(d))) for d in replication}, reverse=True)
    fits = [
        g
        for g in groups
        if -(-setting.partitions(g) // g) / setting.partitions(g)
        <= setting.capacity * (1 + 1e-9)
    ]
    return fits


def _grouped(setting: Setting, num_groups: int) -> Iterator[Candidate]:
    """Groups with the same data, one answer of each counts; G = k is no redundancy."""
    latencies, k = setting.latencies, setting.num_workers
    n = setting.partitions(num_groups)
    group = layouts.group_of_each(layouts.by_speed(latencies), num_groups)
    held = np.bincount(np.arange(n) % num_groups, minlength=num_groups)
    seconds = latencies.seconds(held[group] / n)
    first = first_of(seconds, group)
    replication = k / num_groups
    is_plain = num_groups == k

    def plan_for(waited: np.ndarray) -> CodingPlan:
        p = late(seconds, waited)
        label = "uncoded" if is_plain else "fractional repetition"
        return layouts.grouped(p, group, num_partitions=n, name=label)

    code = "" if is_plain else f"fractional repetition d = {replication:.3g}, "
    # The rule counts partitions: of unequal groups some bring more than others.
    counted = first if n % num_groups == 0 else _dealt(first, n)
    for share, waited in shares(counted):
        answered = first <= waited[:, None]
        count = int(answered.sum(1).min())
        is_whole = count == num_groups
        kind = "first m, rescale" if is_plain else "fractional repetition, partial"
        if is_whole:
            kind = (
                "wait for all, dealt out"
                if is_plain
                else ("fractional repetition, exact")
            )
            name = code + (
                "wait for all, dealt out" if is_plain else "one of each group"
            )
        elif is_plain:
            name = f"the first {count} of {k}, rescale"
        else:
            name = code + f"{count} of the {num_groups} groups, rescale"

        def build(share: float = share, waited: np.ndarray = waited) -> Runnable:
            plan = plan_for(waited)
            rule = patient(plan, rules.coverage(plan, share), waited, seconds)
            return Runnable(plan, decoders.rescaled, rule)

        yield Candidate(
            kind, name, effect(waited, rescaled(_dealt(answered, n))), build
        )
    last = first.max(1)
    typical = middle(seconds)
    for quantile in _QUANTILES:
        # A little after an answer, which rounding must not make late on a device.
        tau = _AFTER * float(np.quantile(first, quantile, method="lower"))
        if tau <= 0 or not np.isfinite(tau):
            continue
        waited = np.minimum(tau, last)
        coefficients = rescaled(_dealt(first <= tau, n))

        def by_deadline(tau: float = tau, waited: np.ndarray = waited) -> Runnable:
            plan = plan_for(waited)
            rule = or_all(plan, rules.deadline(plan, tau))
            return Runnable(plan, decoders.rescaled, rule)

        yield Candidate(
            "ignore the late, rescale"
            if is_plain
            else "fractional repetition, partial",
            code + f"ignore the late after {tau:.4g} s, rescale",
            effect(waited, coefficients),
            by_deadline,
            handicap=HANDICAP,
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            multiples = first / typical[:, None]
            multiple = float(np.quantile(multiples, quantile, method="lower"))
            multiple *= _AFTER
        if not np.isfinite(multiple) or multiple < 1:
            continue
        waited = np.minimum(multiple * typical, last)

        def by_median(
            multiple: float = multiple, waited: np.ndarray = waited
        ) -> Runnable:
            plan = plan_for(waited)
            rule = or_all(plan, rules.relative(plan, multiple))
            return Runnable(plan, decoders.rescaled, rule)

        yield Candidate(
            "ignore the late, rescale"
            if is_plain
            else "fractional repetition, partial",
            code + f"ignore the late after {multiple:.3g} medians, rescale",
            effect(waited, rescaled(_dealt(first <= waited[:, None], n))),
            by_median,
        )


def _unequal(setting: Setting, *, is_whole: bool) -> Iterator[Candidate]:
    """No redundancy, shares by speed, the slowest left out; timed on other rounds.

    With a message for each worker's share where `is_whole`, for each partition if not.

    Shares fitted to the rounds that judge them would look faster than they are: each
    half of the rounds times those fitted to the other.
    """
    latencies, k = setting.latencies, setting.num_workers
    n = setting.num_partitions or 8 * k
    rounds = latencies.recorded.num_rounds
    if rounds < 2:
        return
    halves = [np.arange(rounds) % 2 == half for half in (0, 1)]
    left_out = sorted({0, *(int(np.ceil(k * f)) for f in (0.01, 0.03, 0.06, 0.12))})
    for dropped in left_out:
        if dropped > k - 2:
            continue
        fit = functools.partial(
            layouts.balanced_counts,
            num_partitions=n,
            left_out=dropped,
            capacity=setting.capacity,
        )
        fitted = [fit(_rows(latencies, ~judged)) for judged in halves]
        final = fit(latencies)
        if final is None or any(part is None for part in fitted):
            continue
        arrivals = np.empty((rounds, n))
        for judged, part in zip(halves, fitted, strict=True):
            assert part is not None
            timed = _of_partitions(_rows(latencies, judged), part, is_whole)
            arrivals[judged] = np.sort(timed, axis=1)
        came = _of_partitions(latencies, final, is_whole)
        own = np.sort(came, axis=1)
        for share in SHARES:
            if share < 0.6:
                continue
            # `coverage` counts partitions, which workers bring several at once.
            at = int(np.ceil(share * n * (1 - 1e-12))) - 1
            waited = arrivals[:, at]
            coefficients = rescaled(came <= own[:, at, None])
            if not np.isfinite(waited).all():
                continue
            whole = share == 1
            few = "worker" if dropped == 1 else "workers"
            some = f", {dropped} {few} left out" if dropped else ""
            kind = "shares by speed" + ("" if is_whole else " in parts")
            name = f"{kind}{some}, " + (
                "wait for all" if whole else f"{share:.0%} of the data, rescale"
            )

            def build(
                share: float = share,
                final: Int[np.ndarray, " k"] = final,
                waited: np.ndarray = own[:, at],
            ) -> Runnable:
                plan = layouts.shared_out(np.zeros(k), final, name="unequal shares")
                parts = None if is_whole else codes.split(plan)
                plan = plan if parts is None else parts.plan
                seconds = seconds_of(latencies, plan, parts)
                return rescaling(
                    plan,
                    parts,
                    lambda plan: patient(
                        plan, rules.coverage(plan, share), waited, seconds
                    ),
                    seconds=seconds,
                    waited=waited,
                )

            yield Candidate(
                kind + ("" if whole else ", rescale"),
                name,
                effect(waited, coefficients),
                build,
                handicap=HANDICAP,
            )


def _of_partitions(
    latencies: LoadedTrace, counts: Int[np.ndarray, " k"], is_whole: bool
) -> Float[np.ndarray, "T n"]:
    """When each partition comes of workers that have so many, spread evenly."""
    owner = layouts.owners(counts)
    order = np.argsort(owner, kind="stable")
    so_far = np.empty(owner.size, np.int64)
    first = np.cumsum(counts) - counts
    so_far[order] = 1 + np.arange(owner.size) - first[owner[order]]
    share = (counts[owner] if is_whole else so_far) / owner.size
    return latencies.seconds(share, worker=owner)


def _rows(latencies: LoadedTrace, kept: Bool[np.ndarray, " T"]) -> LoadedTrace:
    recorded = latencies.recorded
    return LoadedTrace(
        recorded._replace(latencies=recorded.latencies[kept]),
        latencies.load,
        latencies.slope[kept],
    )


def _dealt(by_group: Shaped[np.ndarray, "T G"], n: int) -> Shaped[np.ndarray, "T n"]:
    return by_group[:, np.arange(n) % by_group.shape[1]]
