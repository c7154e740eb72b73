"""One iteration on the driver: asks, waits, and sums what came when that is over."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jgc._plan import CodingPlan
from jgc.distributed._messages import Header, why_rejected
from jgc.distributed._nodes import Sent
from jgc.distributed._policies import Policy, Waiting
from jgc.distributed._pool import Event, WorkerPool
from jgc.distributed._recent import Recent
from jgc.distributed._summing import Decoding

_LOG = logging.getLogger(__name__)


class Details(NamedTuple):
    """What an iteration on processes saw beside its report.

    Attributes:
        asked: whose messages were wanted (k,).
        latencies: seconds from sending the parameters to having the answer (k,);
            infinite where none came in time.
        computed: of these, seconds that the worker spent on it (k,); the rest it waited
            for Ray, for the network and for its turn. NaN where no answer came.
        waited: seconds spent waiting for workers.
        until: seconds after sending the parameters at which the policy would have ended
            the wait, as it said when it was last asked and went on: the deadline that
            an adaptive rule has come to. Infinite where it waits for answers alone.
        probabilities: p of the code in use, which is re-designed where p is followed
            (k,).
        rejected: messages that were not sound, or tasks that raised.
        dropped: messages or failures of earlier iterations, which came too late.
        lost: workers that died or hung, and messages that went down with a node.
        received: bytes of messages and of their sums that came from other nodes.
    """

    asked: Bool[np.ndarray, " k"]
    latencies: Float[np.ndarray, " k"]
    computed: Float[np.ndarray, " k"]
    waited: float
    until: float
    probabilities: Float[np.ndarray, " k"]
    rejected: int
    dropped: int
    lost: int
    received: int


class Round:
    """What came of an iteration so far."""

    def __init__(
        self,
        pool: WorkerPool,
        policy: Policy,
        plan: CodingPlan,
        *,
        number: int,
        iteration: int,
        held: list[Int[np.ndarray, " b"]],
        wanted: Bool[np.ndarray, " k"],
        decoding: Decoding,
        recent: Recent,
    ) -> None:
        """A round that `pool.begin_round` has begun.

        Args:
            pool: of the workers.
            policy: how long to wait.
            plan: the code in use.
            number: of the round, an attribute.
            iteration: of the run.
            held: the partitions of each worker.
            wanted: whose messages were asked for.
            decoding: of the run.
            recent: the rounds before, to which this one is added when it is over.
        """
        self._pool, self._policy, self._plan = pool, policy, plan
        self.number, self._iteration = number, iteration
        self._held, self._decoding = held, decoding
        self._recent, self._past = recent, recent.past()
        self._asked, self._outstanding = wanted, wanted.copy()
        self._sent: dict[int, Sent] = {}
        self.headers: dict[int, Header] = {}
        self._latencies = np.full(plan.num_workers, np.inf)
        self._rejections: list[str] = []
        self._dropped = self._lost = self._received = 0
        self._began = time.perf_counter()
        self._waited = self._ended = 0.0
        self._until = np.inf

    @property
    def answered(self) -> Bool[np.ndarray, " k"]:
        """Whose messages came and are to be decoded."""
        return np.isfinite(self._latencies)

    def details(self) -> Details:
        """For the report."""
        computed = np.full(self._latencies.shape, np.nan)
        for worker, header in self.headers.items():
            computed[worker] = header.computed
        return Details(
            self._asked,
            self._latencies,
            computed,
            self._waited,
            self._until,
            np.asarray(self._plan.straggler_probabilities),
            len(self._rejections),
            self._dropped,
            self._lost,
            self._received,
        )

    def gradient(
        self,
        weights_of: Callable[[Bool[np.ndarray, " k"]], Float[np.ndarray, "*tracks k"]],
        keys: np.ndarray,
        told: Bool[np.ndarray, " k"],
    ) -> Float[np.ndarray, "*tracks d"] | None:
        """Waits until the policy is met, and decodes; None if nobody answered.

        Messages that turn out to be unsound or lost only now are as if they had not
        come, and the policy is asked again.

        Args:
            weights_of: of the decoder, by who answered.
            keys: of the messages.
            told: workers without partitions that count as having answered.

        Raises:
            RuntimeError: every worker that holds data sent what had to be rejected.
        """
        while True:
            began = time.perf_counter()
            self._wait()
            self._waited += time.perf_counter() - began
            if not self._sent:
                self._remember()
                return None
            weights = weights_of(self.answered | told)
            found = self._pool.total(
                self._decoding, weights, keys, list(self._sent.values())
            )
            self._received += found.received
            if found.vector is not None:
                self._remember()
                return found.vector
            for worker, reason in found.unusable.items():
                self._forget(worker)
                self._reject(worker, reason)
            for worker in found.lost:
                self._forget(worker)
                self._lost += 1
                self._outstanding[worker] = True
                self._pool.ask_again(worker)

    def _remember(self) -> None:
        self._recent.add(self.number, self._began, self._latencies, self._ended)

    def _wait(self) -> None:
        while self._outstanding.any():
            elapsed = time.perf_counter() - self._began
            seen = self._latencies.copy()
            left = self._policy(
                Waiting(self._plan, self.answered, elapsed, seen, self._past)
            )
            if left > 0:
                self._until = elapsed + left
            # Once more after the last wait: what has come by then counts.
            for event in self._pool.events(max(left, 0.0)):
                self._take(event)
            if left <= 0:
                break
        self._ended = time.perf_counter() - self._began
        if self._rejections and len(self._rejections) == self._num_holders():
            raise RuntimeError(
                f"iteration {self._iteration}: the messages of all "
                f"{len(self._rejections)} workers were rejected, the last because "
                f"{self._rejections[-1]}"
            )

    def _take(self, event: Event) -> None:
        worker, failure = event.worker, event.failure
        if event.is_lost:
            self._lost += 1
            return
        if event.round != self.number:  # sound or not, it is not of this iteration
            self._dropped += 1
            if failure is None:
                self._recent.late(event.round, worker, time.perf_counter())
            return
        if failure is None:
            failure = why_rejected(
                event.header, self._decoding.expected, self._held[worker].size
            )
        self._outstanding[worker] = False
        if failure is not None:
            self._reject(worker, failure)
            return
        assert event.message is not None
        self.headers[worker], self._sent[worker] = event.header, event.message
        self._latencies[worker] = time.perf_counter() - self._began

    def _reject(self, worker: int, reason: str) -> None:
        self._rejections.append(reason)
        _LOG.warning(
            "Iteration %d: rejected the message of worker %d: %s",
            self._iteration,
            worker,
            reason,
        )

    def _forget(self, worker: int) -> None:
        del self.headers[worker], self._sent[worker]
        self._latencies[worker] = np.inf

    def _num_holders(self) -> int:
        return sum(own.size > 0 for own in self._held)
