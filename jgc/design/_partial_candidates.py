"""Workers that send each partition's message when it is done, and are cut off.

What a late worker has finished counts. Codes and rules are those that do best for whole
messages: groups with the same data, each worker of a group beginning elsewhere, and a
wait for a share of the data or a multiple of the median.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from jgc import codes, decoders
from jgc.design import _layouts as layouts
from jgc.design import rules
from jgc.design._candidate import Candidate, Runnable, Setting, late, seconds_of
from jgc.design._race import effect
from jgc.design._waits import or_all, patient, rescaled, shares
from jgc.design.rules._rules import part_of_data

_PIECES = 4  # messages of an even share
_MOST_REPLICATION = 4
# Of the median; the first a little after it, which rounding must not make late.
_MULTIPLES = (1 + 1e-6, 1.1, 1.25, 1.5, 2.0)


def in_parts(setting: Setting, group_counts: Sequence[int]) -> Iterator[Candidate]:
    """Candidates of up to a few holders a partition.

    Args:
        setting: what they are for.
        group_counts: the numbers of groups whose shares fit.
    """
    k = setting.num_workers
    for num_groups in group_counts:
        # Of equal groups, or the largest would hold more than its share.
        n = setting.num_partitions or -(-_PIECES * k // num_groups) * num_groups
        if k <= _MOST_REPLICATION * num_groups and n > num_groups:
            yield from _of_groups(setting, num_groups, n)


def _of_groups(setting: Setting, num_groups: int, n: int) -> Iterator[Candidate]:
    latencies, k = setting.latencies, setting.num_workers
    group = layouts.group_of_each(layouts.by_speed(latencies), num_groups)
    label = "uncoded" if num_groups == k else "fractional repetition"
    whole = layouts.grouped(np.zeros(k), group, num_partitions=n, name=label)
    parts = codes.split(whole)
    seconds = seconds_of(latencies, parts.plan, parts)
    partition = np.asarray(parts.plan.edge_partition)
    order = np.argsort(partition, kind="stable")
    starts = np.searchsorted(partition[order], np.arange(n))
    first = np.minimum.reduceat(seconds[:, order], starts, axis=1)
    code = "" if num_groups == k else f"fractional repetition d = {k / num_groups:.3g} "

    def known(waited: np.ndarray) -> codes.Split:
        p = late(seconds, waited)
        return parts._replace(plan=replace(parts.plan, straggler_probabilities=p))

    for share, waited in shares(first):

        def by_share(share: float = share, waited: np.ndarray = waited) -> Runnable:
            own = known(waited)
            rule = rules.coverage(own.plan, share)
            rule = patient(own.plan, rule, waited, seconds)
            return Runnable(own.plan, decoders.rescaled, rule, own)

        yield Candidate(
            "in parts, share of the data",
            f"{code}in parts, {part_of_data(share)}, rescale",
            effect(waited, rescaled(first <= waited[:, None])),
            by_share,
        )
    middle = np.sort(seconds, axis=1)[:, (seconds.shape[1] + 1) // 2 - 1]
    for multiple in _MULTIPLES:
        waited = np.minimum(multiple * middle, first.max(1))
        if not np.isfinite(waited).all():
            continue

        def by_median(
            multiple: float = multiple, waited: np.ndarray = waited
        ) -> Runnable:
            own = known(waited)
            rule = or_all(own.plan, rules.relative(own.plan, multiple))
            return Runnable(own.plan, decoders.rescaled, rule, own)

        yield Candidate(
            "in parts, ignore the late",
            f"{code}in parts, ignore the late after {multiple:.3g} medians, rescale",
            effect(waited, rescaled(first <= waited[:, None])),
            by_median,
        )
