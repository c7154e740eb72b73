"""Workers that send each partition's message when it is done, and are cut off.

What a late worker has finished counts. Codes and rules are those that do best for whole
messages: groups with the same data, each worker of a group beginning elsewhere, and a
wait for a share of the data or a multiple of the median.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float

from jgc import codes
from jgc._plan import CodingPlan
from jgc.design import _layouts as layouts
from jgc.design import rules
from jgc.design._candidate import Candidate, Setting
from jgc.design._race import effect
from jgc.design._runnable import seconds_of
from jgc.design._waits import (
    first_of,
    middle,
    or_all,
    patient,
    rescaled,
    rescaling,
    shares,
)
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
    first = first_of(seconds, np.asarray(parts.plan.edge_partition))
    code = "" if num_groups == k else f"fractional repetition d = {k / num_groups:.3g} "

    def candidate(
        kind: str,
        name: str,
        waited: Float[np.ndarray, " T"],
        rule_of: Callable[[CodingPlan], rules.Rule],
    ) -> Candidate:
        return Candidate(
            f"in parts, {kind}",
            f"{code}in parts, {name}, rescale",
            effect(waited, rescaled(first <= waited[:, None])),
            lambda: rescaling(
                parts.plan, parts, rule_of, seconds=seconds, waited=waited
            ),
        )

    for share, waited in shares(first):

        def by_share(
            plan: CodingPlan, share: float = share, waited: np.ndarray = waited
        ) -> rules.Rule:
            return patient(plan, rules.coverage(plan, share), waited, seconds)

        yield candidate("share of the data", part_of_data(share), waited, by_share)
    typical, last = middle(seconds), first.max(1)
    for multiple in _MULTIPLES:
        waited = np.minimum(multiple * typical, last)
        if not np.isfinite(waited).all():
            continue

        def by_median(plan: CodingPlan, multiple: float = multiple) -> rules.Rule:
            return or_all(plan, rules.relative(plan, multiple))

        name = f"ignore the late after {multiple:.3g} medians"
        yield candidate("ignore the late", name, waited, by_median)
