"""A code, a decoder and a rule as the planner compares them, and what for."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jgc.design._race import Effect, effect
from jgc.design._runnable import Runnable, Runs, schedule
from jgc.stragglers import LoadedTrace

HANDICAP = 1.03


@dataclass(frozen=True)
class Candidate:
    """A code, a decoder and a rule, sketched.

    Attributes:
        kind: the family, of which the best few are shown.
        name: of this setting.
        effect: on training, round by round.
        build: makes the plan, the decoder and the rule.
        handicap: by which its predicted time is multiplied where the best are picked:
            for rules in seconds, which fit while workers are as fast as recorded, and
            for shares by speed, which must be dealt anew when speeds change.
    """

    kind: str
    name: str
    effect: Effect
    build: Callable[[], Runnable]
    handicap: float = 1.0


@dataclass(frozen=True)
class Setting:
    """What candidates are made for.

    Attributes:
        latencies: recorded rounds that know their load.
        capacity: the largest share of the data on one worker.
        num_partitions: n if the caller has cut the data; None to choose.
        in_parts: whether workers can send each partition's message when it is done.
    """

    latencies: LoadedTrace
    capacity: float
    num_partitions: int | None
    in_parts: bool = False

    @property
    def num_workers(self) -> int:
        """k."""
        return self.latencies.recorded.num_workers

    def partitions(self, pieces: int) -> int:
        """n for a placement in so many pieces: several a piece."""
        if self.num_partitions is not None:
            return self.num_partitions
        return pieces * max(4, -(-64 // pieces))


def late(
    seconds: Float[np.ndarray, "T k"], waited: Float[np.ndarray, " T"]
) -> Float[np.ndarray, " k"]:
    """p_i under a rule, with half a round of each kind beside what was seen."""
    late = (seconds > waited[:, None]).sum(0)
    return (late + 0.5) / (seconds.shape[0] + 1)


def played(latencies: LoadedTrace, one: Runs) -> Effect:
    """The effect of what is built, by what it does in each recorded round."""
    return effect(*schedule(one, latencies))
