"""Faults for tests: kill, hang, delay, corrupt or fail a worker at a stated iteration.

    path = ray(loss, optimizer, pool=pool, policy=policy, faults=[
        kill(worker=2, iteration=40), delay(worker=0, iteration=41, seconds=3.0)])

What is broken is the worker's own process and its own message, so that whatever would
have to cope with it in earnest does. A worker that takes a lost one's place is not
struck by the faults that its predecessor met.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from jgc import _checks
from jgc.distributed._messages import Answer, Leaves

Kind: TypeAlias = Literal["kill", "hang", "delay", "corrupt", "fail"]
Corruption: TypeAlias = Literal["nan", "shape", "dtype", "garbage"]

# wait(seconds): sleeps so long, or until the worker is told to drop its task.
Wait: TypeAlias = Callable[[float], object]

_FOREVER = 1e6  # seconds; the lock of a thread takes no infinity


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What befalls one worker in one iteration; get one from the functions here.

    Attributes:
        worker: its number.
        iteration: t, as `TrainState.iteration` before the step: from 0.
        kind: what happens.
        seconds: of a delay.
        corruption: of the message.
        is_late: a failure comes when the next round has begun.
    """

    worker: int
    iteration: int
    kind: Kind
    seconds: float = 0.0
    corruption: Corruption = "nan"
    is_late: bool = False

    def before(self, wait: Wait) -> None:
        """What it does to a task that begins; `wait` is the worker's."""
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.kind == "hang":
            while True:
                time.sleep(3600.0)
        elif self.kind == "delay":
            wait(self.seconds)
        elif self.kind == "fail":
            if self.is_late:
                wait(_FOREVER)
            raise RuntimeError(f"a fault of iteration {self.iteration}")

    def after(self, answer: Answer | None) -> Any:
        """What it makes of an answer."""
        if self.kind != "corrupt" or answer is None:
            return answer
        return _CORRUPT[self.corruption](answer)


def _with_nan(message: Leaves) -> Leaves:
    """In the last float, which of a rounded message is a scale."""
    *others, last = message
    last = np.array(last)
    last[-1] = np.nan
    return (*others, last)


_CORRUPT: dict[str, Callable[[Answer], Any]] = {
    "nan": lambda answer: answer._replace(message=_with_nan(answer.message)),
    "shape": lambda answer: answer._replace(
        message=tuple(leaf[:-1] for leaf in answer.message)
    ),
    "dtype": lambda answer: answer._replace(
        message=tuple(leaf.astype(np.float16) for leaf in answer.message)
    ),
    "garbage": lambda answer: "garbage",
}


def kill(*, worker: int, iteration: int) -> Fault:
    """Its process ends by SIGKILL when the task of the iteration begins.

    Raises:
        ValueError: a number below 0.

    Example:
        >>> fault = kill(worker=2, iteration=40)
        >>> fault.kind, fault.worker, fault.iteration
        ('kill', 2, 40)
    """
    return _fault(worker, iteration, "kill")


def hang(*, worker: int, iteration: int) -> Fault:
    """It never answers, nor hears that it should stop, until it is replaced.

    Raises:
        ValueError: a number below 0.

    Example:
        >>> fault = hang(worker=2, iteration=40)
        >>> fault.kind, fault.worker, fault.iteration
        ('hang', 2, 40)
    """
    return _fault(worker, iteration, "hang")


def delay(*, worker: int, iteration: int, seconds: float) -> Fault:
    """It sleeps before its task, and wakes up if told to drop it.

    Raises:
        ValueError: a number below 0.

    Example:
        >>> delay(worker=0, iteration=41, seconds=3.0).before(print)  # for a sleep
        3.0
    """
    seconds = _checks.scalar("seconds", seconds, low=0.0)
    return _fault(worker, iteration, "delay", seconds=seconds)


def corrupt(*, worker: int, iteration: int, how: Corruption = "nan") -> Fault:
    """Its message is none that may be decoded.

    Args:
        worker: its number.
        iteration: from 0.
        how: `nan` in the last entry; an entry missing (`shape`); float16 (`dtype`);
            or no message at all (`garbage`).

    Raises:
        ValueError: a number below 0 or another `how`.

    Example:
        >>> answer = Answer((np.ones(3, np.float32),), losses=np.zeros(2))
        >>> corrupt(worker=1, iteration=9).after(answer).message[0].tolist()
        [1.0, 1.0, nan]
        >>> shorter = corrupt(worker=1, iteration=9, how="shape").after(answer)
        >>> shorter.message[0].tolist()
        [1.0, 1.0]
    """
    if how not in get_args(Corruption):
        raise ValueError(f"how must be one of {get_args(Corruption)}, got {how!r}")
    return _fault(worker, iteration, "corrupt", corruption=how)


def fail(*, worker: int, iteration: int, late: bool = False) -> Fault:
    """Its task raises, at once or, if `late`, when the next round has begun.

    Raises:
        ValueError: a number below 0.

    Example:
        >>> fail(worker=0, iteration=7).before(print)
        Traceback (most recent call last):
        RuntimeError: a fault of iteration 7
    """
    return _fault(worker, iteration, "fail", is_late=late)


def of_workers(
    faults: Iterable[Fault], workers: Iterable[int], *, after: int = -1
) -> list[Fault]:
    """Those of some workers in iterations later than `after`.

    Example:
        >>> faults = [kill(worker=w, iteration=t) for w, t in ((0, 3), (1, 5), (0, 8))]
        >>> [fault.iteration for fault in of_workers(faults, [0], after=3)]
        [8]
    """
    struck = set(workers)
    return [f for f in faults if f.worker in struck and f.iteration > after]


def _fault(worker: int, iteration: int, kind: Kind, **more: Any) -> Fault:
    return Fault(
        worker=_checks.count("worker", worker, minimum=0),
        iteration=_checks.count("iteration", iteration, minimum=0),
        kind=kind,
        **more,
    )
