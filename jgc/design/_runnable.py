"""What training needs of an option, and what that does over recorded rounds."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float

from jgc._plan import CodingPlan
from jgc.codes import Split
from jgc.decoders import Decoder
from jgc.design import rules
from jgc.stragglers import LoadedTrace


class Runnable(NamedTuple):
    """What training needs of an option.

    Attributes:
        plan: who computes what.
        decoder: from who answered to weights.
        rule: how long to wait.
        parts: where workers send each partition's message when it is done, whose each
            is: `plan` is that of messages, `parts.plan`. None: whole messages.
    """

    plan: CodingPlan
    decoder: Decoder
    rule: rules.Rule
    parts: Split | None = None


@runtime_checkable
class Runs(Protocol):
    """What has the attributes of a `Runnable`."""

    @property
    def plan(self) -> CodingPlan: ...
    @property
    def decoder(self) -> Decoder: ...
    @property
    def rule(self) -> rules.Rule: ...
    @property
    def parts(self) -> Split | None: ...


class Schedule(NamedTuple):
    """The rounds of one method on one trace.

    Attributes:
        waited: seconds of each round (T,).
        coefficients: c_j of each round (T, n).
    """

    waited: Float[np.ndarray, " T"]
    coefficients: Float[np.ndarray, "T n"]


def schedule(
    one: Runs, latencies: LoadedTrace, *, interruptible: bool = True
) -> Schedule:
    """What a plan, a decoder and a rule make of a trace."""
    rounds = rules.play(
        one.rule,
        seconds_of(latencies, one.plan, one.parts),
        interruptible=interruptible,
        worker=None if one.parts is None else one.parts.worker,
    )
    coefficients = jax.jit(one.decoder.coefficients)(one.plan, rounds.answered.T)
    return Schedule(rounds.waited, np.asarray(coefficients, np.float64).T)


def seconds_of(
    latencies: LoadedTrace, plan: CodingPlan, parts: Split | None
) -> Float[np.ndarray, "T k"]:
    """When each of the plan's messages comes, in each recorded round."""
    worker = None if parts is None else parts.worker
    return latencies.seconds(shares_of(plan, parts), worker=worker)


def shares_of(plan: CodingPlan, parts: Split | None) -> Float[np.ndarray, " k"]:
    """Of the data, that a worker has been through when it sends each message."""
    return plan.batch_sizes / plan.num_partitions if parts is None else parts.share
