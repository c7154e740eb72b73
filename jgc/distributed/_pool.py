"""Workers as Ray actors: what is in flight, who died or hangs, and their replacements.

All of Ray that this package uses is here and in `cluster`. The pool knows neither codes
nor optimizers: it sends parameters out and tells what came back.
"""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jgc import _checks
from jgc._extras import require
from jgc.distributed._cluster import connect, worker_environment
from jgc.distributed._nodes import Nodes, NodeTotal, Sent
from jgc.distributed._summing import Decoding
from jgc.distributed._worker import Question, Work, Worker
from jgc.distributed.faults import Fault, of_workers
from jgc.training import Partitions

_LOG = logging.getLogger(__name__)

# Workers replaced while a run starts, before it counts as impossible to start.
_MOST_LOST_AT_START = 3
# How many times as long as its workers took to start a run waits for spares as well:
# they compile for messages of every shape, and never start where there is no room.
_PATIENCE = 3.0


class Event(NamedTuple):
    """What happened to one worker.

    Attributes:
        worker: its number in the plan; of a process that was lost, that of the process.
        header: what it told of its message, unchecked; None where it failed.
        message: where that is; None where it failed.
        failure: why there is no answer; None where there is one.
        is_lost: whether the worker died with it, and another takes its place.
        round: of its task, which may be an older one than the newest.
    """

    worker: int
    header: Any = None
    message: Sent | None = None
    failure: str | None = None
    is_lost: bool = False
    round: int = 0


@dataclass
class _Slot:
    """The actor of a process, and the one call to it that is under way."""

    actor: Any
    call: Any = None
    called_at: float = 0.0
    is_ready: bool = False
    message: Any = None  # a reference to what the call makes
    node: str = ""
    round: int = 0  # of the newest task that it was given
    worker: int = -1  # whose task that is


@dataclass(frozen=True)
class _Assignment:
    """What the workers work on; kept for replacements."""

    work: Any  # a reference to the Work
    delays: Float[np.ndarray, "T k"] | None
    data: Sequence[Any]  # a reference to the partitions of each process, None: none
    key: np.ndarray
    faults: Sequence[Fault]
    hosts: Int[np.ndarray, " k"]  # the process of each worker
    # Of each process its workers with partitions, and which of its data each has.
    rows: Sequence[Mapping[int, Int[np.ndarray, " b"]]]


@dataclass(frozen=True)
class _Broadcast:
    """What workers are asked in a round."""

    question: Any  # a reference
    iteration: int
    coefficients: Sequence[Float[np.ndarray, " b"]]


class _Actor(Worker):
    """A worker that says where it is."""

    def begin(self, work: Work, *assigned: Any, **options: Any) -> str:
        """Prepares and compiles for what it is assigned, see `take`; its node."""
        self.prepare(work)
        self.take(*assigned, **options)
        self.compile()
        return self._node()

    def rehearse(
        self, work: Work, key: np.ndarray, parts: Sequence[tuple[Any, Any]]
    ) -> str:
        """Prepares, and compiles for each of several parts, none of which it keeps.

        Args:
            work: of the run.
            key: of the run.
            parts: of some processes a reference to the partitions, and `rows`.
        """
        ray = require("ray", extra="distributed")
        self.prepare(work)
        for data, rows in parts:
            self.take(None, ray.get(data), key, rows=rows)
            self.compile()
        self.release()
        return self._node()

    def step_in(self, *assigned: Any, **options: Any) -> str:
        """Takes what a lost process was assigned, after `rehearse`; its node."""
        self.take(*assigned, **options)
        return self._node()

    def _node(self) -> str:
        ray = require("ray", extra="distributed")
        return str(ray.get_runtime_context().get_node_id())


class WorkerPool:
    """k worker processes that outlive runs; a context manager.

    A process has one task at most, and those of the workers that it hosts one after
    another. When a round begins, processes that still are at an older one are told to
    drop it, which they do while they sleep and between chunks, and get the newest as
    soon as they are free: nothing queues up, and a worker that was slow once begins the
    next round with the others, or a chunk later.
    """

    def __init__(
        self,
        num_workers: int,
        *,
        spares: int = 0,
        address: str = "",
        threads: int = 1,
        actor_options: Mapping[str, Any] | None = None,
        hung_after: float = 60.0,
        start_timeout: float = 300.0,
    ) -> None:
        """Starts the processes, all at once; `assign` gives them work.

        Args:
            num_workers: k.
            spares: processes kept ready beside these: compiled, and without partitions
                until one of the k is lost, whose place they take in the same iteration.
                Another is started then in theirs.
            address: of a Ray cluster; empty: this machine.
            threads: that each worker computes with.
            actor_options: of Ray, such as `{"num_gpus": 1}`. By default workers reserve
                nothing, so that any number fits a laptop, and spread over the nodes.
            hung_after: seconds > 0 after which a worker at a task is killed.
            start_timeout: seconds > 0 after which one that does not start is.

        Raises:
            ValueError: an argument out of its range.
            ImportError: Ray is not installed (extra "distributed").
            ConnectionError: there is no cluster at `address`.
        """
        self._num_workers = _checks.count("num_workers", num_workers)
        spares = _checks.count("spares", spares, minimum=0)
        self._hung_after = _positive("hung_after", hung_after)
        self._start_timeout = _positive("start_timeout", start_timeout)
        connect(address)
        self._ray: Any = require("ray", extra="distributed")
        make_actor_class = self._ray.remote(concurrency_groups={"control": 1})
        self._actor_class = make_actor_class(_Actor).options(
            **{
                "num_cpus": 0,
                "scheduling_strategy": "SPREAD",
                "runtime_env": {"env_vars": worker_environment(threads)},
                **(actor_options or {}),
            }
        )
        environment = worker_environment(threads)
        self._nodes = Nodes(self._ray, environment, self._hung_after)
        self._round = 0
        self._broadcast: _Broadcast | None = None
        self._assignment: _Assignment | None = None
        self._todo: list[list[int]] = []  # of each process, in this round
        self._slots = [_Slot(self._actor_class.remote()) for _ in range(num_workers)]
        self._spares = [_Slot(self._actor_class.remote()) for _ in range(spares)]

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def num_workers(self) -> int:
        """The number of workers k."""
        return self._num_workers

    def resize(self, was: Sequence[int]) -> None:
        """Workers that leave and join for good, between runs.

        The next run must be of a plan for these workers, see `jgc.design.replan`.

        Args:
            was: for each worker from now on its number so far, or −1 for a new one, a
                spare's process if one is ready; the processes of those that are not
                named end.

        Raises:
            ValueError: no workers, or not different numbers of the pool's.
        """
        known = [worker for worker in was if worker != -1]
        is_valid = set(known) <= set(range(self._num_workers))
        if len(was) == 0 or not is_valid or len(set(known)) < len(known):
            raise ValueError(
                f"was must be different numbers of the pool's {self._num_workers} "
                f"workers, or −1 for new ones, got {was!r}"
            )
        before, self._broadcast = self._slots, None
        self._slots = [
            (self._take_spare() or _Slot(self._actor_class.remote()))
            if worker == -1
            else before[worker]
            for worker in was
        ]
        for worker in set(range(self._num_workers)) - set(known):
            self._ray.kill(before[worker].actor)
        self._num_workers = len(was)

    def close(self) -> None:
        """Ends the workers' processes; Ray itself goes on."""
        for slot in (*self._slots, *self._spares):
            self._ray.kill(slot.actor)
        self._slots, self._spares = [], []
        self._nodes.close()

    def assign(
        self,
        work: Work,
        data: Partitions,
        held: Sequence[Int[np.ndarray, " b"]],
        key: np.ndarray,
        *,
        hosts: Int[np.ndarray, " k"] | None = None,
        delays: Float[np.ndarray, "T k"] | None = None,
        faults: Sequence[Fault] = (),
    ) -> None:
        """Tells each worker its partitions and waits until all have compiled.

        Workers read their examples themselves; of arrays each is sent its own.
        Workers without partitions are never asked. Tasks of an earlier run are dropped.

        Args:
            work: what all of them share.
            data: the n partitions.
            held: the partitions of each worker.
            key: of the run, `jax.random.key_data`.
            hosts: the process of each worker; None: as many processes as workers.
            delays: seconds that worker i sleeps before its task of iteration t, at
                [t mod T, i], for experiments.
            faults: that befall workers, for tests.

        Raises:
            ValueError: `held` is for another number of workers.
            RuntimeError: a worker cannot be set up; says why.
        """
        if hosts is None:
            hosts = np.arange(len(held))
            if len(held) != self._num_workers:
                raise ValueError(
                    f"the plan must be for the pool's {self._num_workers} workers, got "
                    f"{len(held)}"
                )
        self._broadcast = None
        self._round += 1
        shared: list[Any] = []
        rows: list[dict[int, np.ndarray]] = []
        for process in range(self._num_workers):
            hosted = [
                i for i in np.flatnonzero(hosts == process).tolist() if held[i].size
            ]
            own = np.unique([j for i in hosted for j in held[i]])
            shared.append(self._ray.put(data.select(own)) if hosted else None)
            rows.append({i: np.searchsorted(own, held[i]) for i in hosted})
        self._assignment = _Assignment(
            self._ray.put(work), delays, shared, key, tuple(faults), hosts, rows
        )
        self._todo = [[] for _ in self._slots]
        began = time.monotonic()
        self._drop_tasks()
        waiting = [process for process, own in enumerate(rows) if own]
        for process, slot in enumerate(self._slots):
            slot.call = None
            if rows[process]:
                self._set_up(process)
        for spare in self._spares:
            self._rehearse(spare)
        lost = 0
        while not all(self._slots[worker].is_ready for worker in waiting):
            for event in self.events(math.inf):
                lost += event.is_lost
                if lost > _MOST_LOST_AT_START:
                    raise RuntimeError(f"worker {event.worker} {event.failure}")
        if self._spares:
            calls = [spare.call for spare in self._spares]
            seconds = min(_PATIENCE * (time.monotonic() - began), self._start_timeout)
            _, late = self._ray.wait(calls, num_returns=len(calls), timeout=seconds)
            if late:
                _LOG.warning(
                    "%d of %d spares are not ready %.3g s after the workers; the run "
                    "begins without them",
                    len(late),
                    len(calls),
                    seconds,
                )
        nodes = {self._slots[worker].node for worker in waiting}
        for wait in (False, True):  # all at once
            for node in nodes:
                self._nodes.start(node, wait=wait)

    def _drop_tasks(self) -> None:
        """Ends those of an earlier run, and processes that hang in one."""
        busy = {
            slot.call: slot
            for slot in self._slots
            if slot.is_ready and slot.call is not None
        }
        for slot in self._slots:
            self._skip(slot)
        if not busy:
            return
        calls = list(busy)
        _, late = self._ray.wait(
            calls, num_returns=len(calls), timeout=self._hung_after
        )
        for call in late:
            self._ray.kill(busy[call].actor)
            busy[call].actor = self._actor_class.remote()

    def begin_round(
        self,
        question: Question,
        coefficients: Sequence[Float[np.ndarray, " b"]],
        asked: Bool[np.ndarray, " k"],
    ) -> int:
        """Sends parameters to the workers `asked`; returns the number of the round.

        Args:
            question: the parameters and more; it goes to the object store once.
            coefficients: a_ij of each worker's edges.
            asked: whose messages are wanted; they hold partitions.
        """
        assert self._assignment is not None
        self._round += 1
        self._broadcast = _Broadcast(
            self._ray.put(question), question.iteration, coefficients
        )
        self._todo = [
            [worker for worker in hosted if asked[worker]]
            for hosted in self._assignment.rows
        ]
        for process, slot in enumerate(self._slots):
            if slot.is_ready and slot.call is None:
                self._give_task(process)
            elif slot.is_ready:
                self._skip(slot)
        return self._round

    def ask_again(self, worker: int) -> None:
        """Has a worker whose message was lost make it once more, in this round."""
        assert self._assignment is not None
        process = int(self._assignment.hosts[worker])
        slot = self._slots[process]
        self._todo[process].insert(0, worker)  # of one that is not ready, for then
        if slot.is_ready and slot.call is None:
            self._give_task(process)

    def total(
        self,
        decoding: Decoding,
        weights: Float[np.ndarray, "*tracks k"],
        keys: np.ndarray,
        sent: Sequence[Sent],
    ) -> NodeTotal:
        """The weighted sum of messages, see `Nodes.total`."""
        return self._nodes.total(decoding, weights, keys, sent)

    def events(self, timeout: float) -> list[Event]:
        """What has happened by now, or happens first within `timeout` seconds.

        May return nothing sooner. Workers that died or hang are being replaced.
        """
        processes = {
            slot.call: process
            for process, slot in enumerate(self._slots)
            if slot.call is not None
        }
        if not processes:
            time.sleep(min(timeout, 0.1))
            return []
        calls = list(processes)
        seconds = max(min(timeout, self._until_next_limit()), 0.0)
        ready, _ = self._ray.wait(calls, num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        events = [event for call in ready for event in self._take(processes[call])]
        return events + list(self._replace_hung())

    def _take(self, process: int) -> Iterator[Event]:
        """The result of a process's call, after which it gets its next task."""
        slot = self._slots[process]
        call, slot.call = slot.call, None
        was_ready, slot.is_ready = slot.is_ready, True
        errors = self._ray.exceptions
        try:
            header = self._ray.get(call)
        except errors.RayTaskError as error:
            reason = f"{type(error.cause).__name__}: {error.cause}"
            if not was_ready:  # a set-up failed
                yield self._replace(process, f"cannot be set up: {reason}")
                return
            yield Event(slot.worker, failure=reason, round=slot.round)
        except errors.RayError as error:
            yield self._replace(process, f"died: {type(error).__name__}")
            return
        else:
            if not was_ready:
                slot.node = header
            elif header is not None:
                sent = Sent(slot.worker, slot.message, slot.node)
                yield Event(slot.worker, header, sent, round=slot.round)
        slot.message = None
        self._give_task(process)

    def _give_task(self, process: int) -> None:
        """The first of those that are left in this round, if any."""
        broadcast, slot = self._broadcast, self._slots[process]
        if broadcast is None or not self._todo[process]:
            return
        slot.round, slot.worker = self._round, self._todo[process].pop(0)
        slot.call, slot.message = slot.actor.work.options(num_returns=2).remote(
            self._round,
            broadcast.question,
            broadcast.coefficients[slot.worker],
            slot.worker,
        )
        slot.called_at = time.monotonic()

    def _skip(self, slot: _Slot) -> None:
        slot.actor.skip_to.options(concurrency_group="control").remote(self._round)

    def _set_up(self, process: int, *, is_rehearsed: bool = False) -> None:
        slot, assignment = self._slots[process], self._assignment
        assert assignment is not None
        rows, delays = assignment.rows[process], assignment.delays
        slot.is_ready = False
        assigned = (
            None if delays is None else delays[:, list(rows)],
            assignment.data[process],
            assignment.key,
        )
        faults = of_workers(assignment.faults, rows, after=self._iteration())
        if is_rehearsed:
            slot.call = slot.actor.step_in.remote(*assigned, rows=rows, faults=faults)
        else:
            slot.call = slot.actor.begin.remote(
                assignment.work, *assigned, rows=rows, faults=faults
            )
        slot.called_at = time.monotonic()

    def _rehearse(self, spare: _Slot) -> None:
        """Has it compile whatever it may have to compute."""
        assignment = self._assignment
        assert assignment is not None
        different = {
            (
                max(own.size for own in rows.values()),
                max(own.max() for own in rows.values()),
            ): (data, rows)
            for data, rows in zip(assignment.data, assignment.rows, strict=True)
            if rows
        }
        spare.call = spare.actor.rehearse.remote(
            assignment.work, assignment.key, list(different.values())
        )

    def _take_spare(self) -> _Slot | None:
        """One that is ready, after which another is started; None if none is."""
        for place, spare in enumerate(self._spares):
            if spare.call is None:
                continue
            ready, _ = self._ray.wait([spare.call], timeout=0)
            if not ready:
                continue
            self._spares[place] = _Slot(self._actor_class.remote())
            try:
                self._ray.get(spare.call)
            except self._ray.exceptions.RayError as error:
                _LOG.warning("A spare is lost: %s", error)
                self._ray.kill(spare.actor)
                continue
            return _Slot(spare.actor)
        return None

    def _iteration(self) -> int:
        """The newest that workers were asked for in this run; -1 before the first."""
        return -1 if self._broadcast is None else self._broadcast.iteration

    def _replace(self, process: int, reason: str) -> Event:
        _LOG.warning("Worker %d %s; another takes its place", process, reason)
        lost = self._slots[process]
        self._ray.kill(lost.actor)
        if self._broadcast is not None and lost.round == self._round:
            self._todo[process].insert(0, lost.worker)  # what it was at
        spare = self._take_spare()
        self._slots[process] = spare or _Slot(self._actor_class.remote())
        self._set_up(process, is_rehearsed=spare is not None)
        for other in self._spares:
            if other.call is None:
                self._rehearse(other)
        return Event(process, failure=reason, is_lost=True)

    def _limit(self, slot: _Slot) -> float:
        limit = self._hung_after if slot.is_ready else self._start_timeout
        return slot.called_at + limit

    def _until_next_limit(self) -> float:
        limits = [self._limit(slot) for slot in self._slots if slot.call is not None]
        return min(limits) - time.monotonic()

    def _replace_hung(self) -> Iterator[Event]:
        now = time.monotonic()
        for process, slot in enumerate(self._slots):
            if slot.call is not None and self._limit(slot) <= now:
                seconds = now - slot.called_at
                yield self._replace(process, f"did not answer for {seconds:.3g} s")


def _positive(name: str, value: float) -> float:
    seconds = _checks.scalar(name, value, low=0.0)
    if seconds == 0:
        raise ValueError(f"{name} must be above 0, got 0")
    return seconds
