"""Sums of messages on the nodes where they lie: one vector a node crosses the network.

A node whose aggregator is not there, or dies over it, sends its messages themselves.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jgc._extras import require
from jgc.distributed._summing import Decoding, Total, sum_messages

_LOG = logging.getLogger(__name__)

# Ray sends what is smaller to the driver with the answer.
_SENT_AT_ONCE = 100_000


class Sent(NamedTuple):
    """A message that has not been fetched.

    Attributes:
        worker: whose.
        reference: to it.
        node: where it is.
    """

    worker: int
    reference: Any
    node: str


class NodeTotal(NamedTuple):
    """A weighted sum of messages of all nodes.

    Attributes:
        vector: (*tracks, d); None if some of the messages cannot be decoded.
        unusable: reasons, by worker.
        lost: workers whose messages went down with their node.
        received: bytes of messages and sums that came from other nodes.
    """

    vector: Float[np.ndarray, "*tracks d"] | None
    unusable: dict[int, str]
    lost: tuple[int, ...]
    received: int


class Aggregator:
    """An actor that sums the messages of its node."""

    def ready(self) -> bool:
        """Whether it has started."""
        return True

    def total(
        self,
        decoding: Decoding,
        weights: Float[np.ndarray, "*tracks m"],
        keys: np.ndarray,
        references: Sequence[Any],
    ) -> Total:
        """Their sum, see `sum_messages`."""
        ray = require("ray", extra="distributed")
        return sum_messages(decoding, weights, keys, ray.get(list(references)))


class Nodes:
    """The aggregators of a cluster, each started once a worker is on its node."""

    def __init__(self, ray: Any, environment: dict[str, str], timeout: float) -> None:
        """None yet; messages of the driver's own node are summed by the driver.

        Args:
            ray: the module.
            environment: of their processes.
            timeout: seconds after which a node is taken to be lost.
        """
        self._ray, self._timeout = ray, timeout
        self._own = ray.get_runtime_context().get_node_id()
        self._actor_class = ray.remote(Aggregator)
        self._options = {"num_cpus": 0, "runtime_env": {"env_vars": environment}}
        self._actors: dict[str, Any] = {}
        self._starting: dict[str, Any] = {}

    def start(self, node: str, *, wait: bool = False) -> None:
        """Sees to it that a node has an aggregator; `wait`s until it has."""
        if node in ("", self._own):
            return
        if node not in self._actors:
            strategies = require("ray.util.scheduling_strategies", extra="distributed")
            there = strategies.NodeAffinitySchedulingStrategy(node, soft=False)
            options = {**self._options, "scheduling_strategy": there}
            actor = self._actor_class.options(**options).remote()
            self._actors[node], self._starting[node] = actor, actor.ready.remote()
        if wait and node in self._starting:
            self._ray.wait([self._starting[node]], timeout=self._timeout)

    def close(self) -> None:
        """Ends the aggregators."""
        for node in list(self._actors):
            self._drop(node)

    def total(
        self,
        decoding: Decoding,
        weights: Float[np.ndarray, "*tracks k"],
        keys: np.ndarray,
        sent: Sequence[Sent],
    ) -> NodeTotal:
        """Σ_i w_i C(f_i) over the messages that were sent.

        Args:
            decoding: of the run.
            weights: of all workers.
            keys: of all workers' messages, `jax.random.key_data`.
            sent: at least one.
        """
        is_small = decoding.expected.message_bytes <= _SENT_AT_ONCE
        groups: dict[str, list[Sent]] = {}
        for message in sent:
            has_aggregator = not is_small and self._is_ready(message.node)
            groups.setdefault(message.node if has_aggregator else "", []).append(
                message
            )
        near = groups.pop("", [])
        pending = {
            node: self._actors[node].total.remote(
                decoding,
                weights[..., _workers(group)],
                keys[_workers(group)],
                [message.reference for message in group],
            )
            for node, group in groups.items()
        }
        parts: list[np.ndarray] = []
        unusable: dict[int, str] = {}
        lost: list[int] = []
        received = 0

        def take(found: Total, group: Sequence[Sent]) -> None:
            if found.vector is not None:
                parts.append(found.vector)
            for position, reason in found.unusable.items():
                unusable[group[position].worker] = reason

        def sum_here(group: Sequence[Sent]) -> None:
            nonlocal received
            fetched, here = self._fetch(group)
            far = sum(m.node != self._own for m in here)
            received += far * decoding.expected.message_bytes
            lost.extend(m.worker for m in group if m not in here)
            if here:
                workers = _workers(here)
                take(
                    sum_messages(
                        decoding, weights[..., workers], keys[workers], fetched
                    ),
                    here,
                )

        if near:
            sum_here(near)
        for node, reference in pending.items():
            try:
                found = self._ray.get(reference, timeout=self._timeout)
            except self._ray.exceptions.RayError as error:
                _LOG.warning(
                    "No sum from node %s: %s; its messages are fetched",
                    node,
                    type(error).__name__,
                )
                self._drop(node)
                sum_here(groups[node])
            else:
                received += 0 if found.vector is None else found.vector.nbytes
                take(found, groups[node])
        if unusable or lost:
            return NodeTotal(None, unusable, tuple(lost), received)
        vector = parts[0] if len(parts) == 1 else np.add.reduce(parts)
        return NodeTotal(vector, {}, (), received)

    def _is_ready(self, node: str) -> bool:
        if node in ("", self._own):
            return False
        self.start(node)
        if node in self._starting:
            ready, _ = self._ray.wait([self._starting[node]], timeout=0)
            if not ready:
                return False
            del self._starting[node]
        return True

    def _fetch(self, group: Sequence[Sent]) -> tuple[list[Any], list[Sent]]:
        """Messages, and whose they are, without those that are lost."""
        fetched, here = [], []
        for message in group:
            try:
                fetched.append(self._ray.get(message.reference, timeout=self._timeout))
            except self._ray.exceptions.RayError:
                continue
            here.append(message)
        return fetched, here

    def _drop(self, node: str) -> None:
        self._starting.pop(node, None)
        self._ray.kill(self._actors.pop(node))


def _workers(group: Sequence[Sent]) -> list[int]:
    return [message.worker for message in group]
