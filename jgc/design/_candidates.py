"""Codes, decoders and rules that are worth comparing on a trace, most by formula.

A candidate is what it does in each recorded round, and how to build it. The families
without decoding to solve for are searched in NumPy, hundreds of settings at a time;
only what comes off well is built (`jgc.design._planner`).
"""

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from jgc import codes, decoders
from jgc._plan import CodingPlan
from jgc.design import _layouts as layouts
from jgc.design import rules
from jgc.design._candidate import HANDICAP, Built, Candidate, Setting, late
from jgc.design._library_candidates import library
from jgc.design._race import effect
from jgc.stragglers import LoadedTrace

# Shares of the data that are waited for.
_SHARES = (
    0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.88, 0.91, 0.94, 0.96, 0.98, 0.99,
    1.0,
)  # fmt: skip
# Quantiles of the answers at which a deadline may lie.
_QUANTILES = (0.4, 0.6, 0.75, 0.85, 0.92, 0.96, 0.98, 0.995)
# A rule that waits for somebody gives up at this multiple of the longest wait in the
# trace, in medians of the round: what was never seen must not hold everyone up.
_PATIENCE = 1.5
_AFTER = 1 + 1e-6


def candidates(setting: Setting) -> Iterator[tuple[float, Candidate]]:
    """All candidates, each with the part of the work that is done by then."""
    yield 0.0, wait_for_all(setting)
    sizes = group_counts(setting)
    for i, num_groups in enumerate(sizes):
        for found in _grouped(setting, num_groups):
            yield 0.6 * (i + 1) / len(sizes), found
    for found in _unequal(setting):
        yield 0.8, found
    for found in library(setting):
        yield 1.0, found


def wait_for_all(setting: Setting) -> Candidate:
    """No redundancy and no hurry: what every other candidate is measured by."""
    k = setting.num_workers
    n = setting.num_partitions or k

    def build() -> Built:
        plan = codes.uncoded(np.zeros(k), num_partitions=n)
        return plan, decoders.fixed, rules.everyone(plan)

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
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(num_groups))
    first = np.minimum.reduceat(seconds[:, order], starts, axis=1)
    replication = k / num_groups
    is_plain = num_groups == k

    def plan_for(waited: np.ndarray) -> CodingPlan:
        p = late(seconds, waited)
        label = "uncoded" if is_plain else "fractional repetition"
        return layouts.grouped(p, group, num_partitions=n, name=label)

    code = "" if is_plain else f"fractional repetition d = {replication:.3g}, "
    for share, waited in _shares(first):
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

        def build(share: float = share, waited: np.ndarray = waited) -> Built:
            plan = plan_for(waited)
            rule = _patient(plan, rules.coverage(plan, share), waited, seconds)
            return plan, decoders.rescaled, rule

        yield Candidate(
            kind, name, effect(waited, _dealt(_rescaled(answered), n)), build
        )
    last = first.max(1)
    # The median as `rules.relative` has it: of an even number the lower of two.
    middle = np.sort(seconds, axis=1)[:, (k + 1) // 2 - 1]
    for quantile in _QUANTILES:
        # A little after an answer, which rounding must not make late on a device.
        tau = _AFTER * float(np.quantile(first, quantile, method="lower"))
        if tau <= 0 or not np.isfinite(tau):
            continue
        waited = np.minimum(tau, last)
        coefficients = _dealt(_rescaled(first <= tau), n)

        def by_deadline(tau: float = tau, waited: np.ndarray = waited) -> Built:
            plan = plan_for(waited)
            return plan, decoders.rescaled, _or_all(plan, rules.deadline(plan, tau))

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
            multiples = first / middle[:, None]
            multiple = float(np.quantile(multiples, quantile, method="lower"))
            multiple *= _AFTER
        if not np.isfinite(multiple) or multiple < 1:
            continue
        waited = np.minimum(multiple * middle, last)

        def by_median(multiple: float = multiple, waited: np.ndarray = waited) -> Built:
            plan = plan_for(waited)
            rule = _or_all(plan, rules.relative(plan, multiple))
            return plan, decoders.rescaled, rule

        yield Candidate(
            "ignore the late, rescale"
            if is_plain
            else "fractional repetition, partial",
            code + f"ignore the late after {multiple:.3g} medians, rescale",
            effect(waited, _dealt(_rescaled(first <= waited[:, None]), n)),
            by_median,
        )


def _unequal(setting: Setting) -> Iterator[Candidate]:
    """No redundancy, shares by speed, the slowest left out; timed on other rounds.

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
            timed = _rows(latencies, judged).seconds(part / n)
            arrivals[judged] = np.sort(timed[:, layouts.owners(part)], axis=1)
        seconds = latencies.seconds(final / n)
        owner = layouts.owners(final)
        own = np.sort(seconds[:, owner], axis=1)
        for share in _SHARES:
            if share < 0.6:
                continue
            # `coverage` counts partitions, which workers bring several at once.
            at = int(np.ceil(share * n * (1 - 1e-12))) - 1
            waited = arrivals[:, at]
            coefficients = _rescaled(seconds[:, owner] <= own[:, at, None])
            if not np.isfinite(waited).all():
                continue
            whole = share == 1
            few = "worker" if dropped == 1 else "workers"
            some = f", {dropped} {few} left out" if dropped else ""
            name = f"shares by speed{some}, " + (
                "wait for all" if whole else f"{share:.0%} of the data, rescale"
            )

            def build(
                share: float = share,
                final: Int[np.ndarray, " k"] = final,
                waited: np.ndarray = own[:, at],
                seconds: np.ndarray = seconds,
            ) -> Built:
                plan = layouts.shared_out(
                    late(seconds, waited), final, name="unequal shares"
                )
                rule = _patient(plan, rules.coverage(plan, share), waited, seconds)
                return plan, decoders.rescaled, rule

            yield Candidate(
                "shares by speed" + ("" if whole else ", rescale"),
                name,
                effect(waited, coefficients),
                build,
                handicap=HANDICAP,
            )


def _rows(latencies: LoadedTrace, kept: Bool[np.ndarray, " T"]) -> LoadedTrace:
    recorded = latencies.recorded
    return LoadedTrace(
        recorded._replace(latencies=recorded.latencies[kept]),
        latencies.load,
        latencies.slope[kept],
    )


def _shares(
    first: Float[np.ndarray, "T G"],
) -> Iterator[tuple[float, Float[np.ndarray, " T"]]]:
    """The share of the groups that is waited for, and how long that takes."""
    num_groups = first.shape[1]
    ordered = np.sort(first, axis=1)
    seen: set[int] = set()
    for share in (*_SHARES, (num_groups - 1) / num_groups):
        count = int(np.ceil(share * num_groups * (1 - 1e-12)))
        if count < 1 or count in seen or not np.isfinite(ordered[:, count - 1]).all():
            continue
        seen.add(count)
        yield count / num_groups, ordered[:, count - 1]


def _rescaled(answered: Bool[np.ndarray, "T G"]) -> Float[np.ndarray, "T G"]:
    count = answered.sum(1, keepdims=True)
    return answered * (answered.shape[1] / np.maximum(count, 1))


def _dealt(by_group: Float[np.ndarray, "T G"], n: int) -> Float[np.ndarray, "T n"]:
    return by_group[:, np.arange(n) % by_group.shape[1]]


def _or_all(plan: CodingPlan, rule: rules.Rule) -> rules.Rule:
    """The rule, ended by one answer of each group: more would change nothing."""
    if plan.load == 1:
        return rule
    return rules.earliest(rule, rules.coverage(plan))


def _patient(
    plan: CodingPlan,
    rule: rules.Rule,
    waited: Float[np.ndarray, " T"],
    seconds: Float[np.ndarray, "T k"],
) -> rules.Rule:
    """The rule, given up where it would take much longer than it ever has."""
    held = seconds[:, plan.batch_sizes > 0]
    middle = np.sort(held, axis=1)[:, (held.shape[1] + 1) // 2 - 1]
    longest = float((waited / np.maximum(middle, 1e-12)).max())
    if not np.isfinite(longest):
        return rule
    return rules.earliest(rule, rules.relative(plan, max(1.0, _PATIENCE * longest)))
