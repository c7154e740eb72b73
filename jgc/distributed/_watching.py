"""Who is slow: latencies of each worker, and the seconds that were lost to it."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from jgc import _checks
from jgc._extras import require
from jgc._files import write_atomically
from jgc.distributed._round import Details
from jgc.distributed._watching_page import page
from jgc.training import Report

# Answers later than so many medians of their iteration are slow.
_SLOW = 2.0

Habit: TypeAlias = Literal["on time", "occasional", "chronic"]


class WorkerView(NamedTuple):
    """One worker over the last iterations in which it was asked.

    Attributes:
        worker: its number.
        answered: the share of these iterations in which it answered; NaN if none.
        probability: p that the code in use has for it; NaN before the first iteration.
        latency: median seconds to its answers; NaN if it gave none.
        computed: median seconds that it worked on them.
        between: the median of what is left: Ray, the network, its turn.
        lost: seconds of the whole run's waiting that are charged to it.
        habit: slow or silent never, in fewer than half of the iterations, or in more.
    """

    worker: int
    answered: float
    probability: float
    latency: float
    computed: float
    between: float
    lost: float
    habit: Habit


class Watch:
    """Collects the reports of a run on processes; at any time a table or a page."""

    def __init__(
        self,
        num_workers: int,
        *,
        window: int = 100,
        names: Sequence[str] = (),
        policy: str = "",
    ) -> None:
        """Of a run from now on.

        Args:
            num_workers: k.
            window: iterations that medians and shares look back on.
            names: of the workers, such as their hosts; none: their numbers.
            policy: what is waited for, in words, for the head of the table: of a rule
                its `name`.

        Raises:
            ValueError: a count below 1, or names for other workers.
        """
        self._k = _checks.count("num_workers", num_workers)
        if names and len(names) != self._k:
            raise ValueError(f"names must be of {self._k} workers, got {len(names)}")
        self._names = tuple(names) or tuple(map(str, range(self._k)))
        self._policy = policy
        self._recent: deque[Details] = deque(maxlen=_checks.count("window", window))
        self._lost = np.zeros(self._k)
        self._iterations = 0
        self._waited = 0.0
        self._seconds = 0.0
        self._lost_workers = 0
        self._similarity = float("nan")

    def observe(self, report: Report) -> None:
        """Takes in the report of an iteration of the Ray path.

        Raises:
            ValueError: a report of another path or of other workers.
        """
        details = report.details
        if not isinstance(details, Details) or details.asked.size != self._k:
            raise ValueError(
                f"report must be of {self._k} workers in processes, got details "
                f"{details!r}"
            )
        self._recent.append(details)
        self._lost += charged(details)
        self._iterations += 1
        self._waited += details.waited
        self._seconds += report.seconds
        self._lost_workers += details.lost
        self._similarity = report.similarity

    def workers(self) -> list[WorkerView]:
        """All workers, those first to which the most seconds were lost."""
        asked = np.array([d.asked for d in self._recent], bool).reshape(-1, self._k)
        latencies = np.array([d.latencies for d in self._recent]).reshape(-1, self._k)
        computed = np.array([d.computed for d in self._recent]).reshape(-1, self._k)
        is_slow = slow(asked, latencies)
        probabilities = np.full(self._k, np.nan)
        if self._recent:
            probabilities = self._recent[-1].probabilities
        views = []
        for worker in np.argsort(-self._lost, kind="stable"):
            own = asked[:, worker]
            came = own & np.isfinite(latencies[:, worker])
            latency, work = latencies[came, worker], computed[came, worker]
            share = is_slow[own, worker].mean() if own.any() else 0.0
            views.append(
                WorkerView(
                    worker=int(worker),
                    answered=float(came.sum() / own.sum()) if own.any() else np.nan,
                    probability=float(probabilities[worker]),
                    latency=_median(latency),
                    computed=_median(work),
                    between=_median(latency - work),
                    lost=float(self._lost[worker]),
                    habit="on time"
                    if share == 0
                    else "occasional"
                    if share < 0.5
                    else "chronic",
                )
            )
        return views

    def head(self) -> str:
        """The run in a line."""
        if not self._iterations:
            return "no iteration yet"
        line = (
            f"{self._iterations} iterations, {self._seconds / self._iterations:.3g} s "
            f"each, of which {self._waited / self._iterations:.3g} s waiting; "
            f"{self._lost_workers} workers or messages lost"
        )
        if self._policy:
            line += f"; waits {self._policy}"
        until = self._recent[-1].until
        if np.isfinite(until):
            line += f"; the last until {until:.3g} s at most"
        if np.isfinite(self._similarity):
            line += f"; ρ {self._similarity:.3g}"
        return line

    def table(self) -> Any:
        """A `rich.table.Table`, such as for `rich.live.Live`.

        Raises:
            ImportError: rich is not installed (extra "experiments").
        """
        rich_table = require("rich.table", extra="experiments")
        table = rich_table.Table(title=self.head())
        for heading in HEADINGS:
            table.add_column(heading, justify="right")
        for cells in self.rows():
            table.add_row(*cells)
        return table

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells."""
        return [
            (
                self._names[view.worker],
                "-" if np.isnan(view.answered) else f"{view.answered:.0%}",
                "-" if np.isnan(view.probability) else f"{view.probability:.3g}",
                *(
                    "-" if np.isnan(seconds) else f"{seconds:.3g}"
                    for seconds in (view.latency, view.computed, view.between)
                ),
                f"{view.lost:.3g}",
                view.habit,
            )
            for view in self.workers()
        ]

    def scalars(self) -> dict[str, float]:
        """Numbers of the last iteration by name, for TensorBoard's `add_scalar`.

        Those that are not known are left out: ρ where it is not followed, the deadline
        where there is none, the latency of a worker that did not answer.
        """
        if not self._recent:
            return {}
        last = self._recent[-1]
        numbers = {
            "waited": last.waited,
            "until": last.until,
            "similarity": self._similarity,
        }
        columns = {
            "latency": last.latencies,
            "p": last.probabilities,
            "lost": self._lost,
        }
        for column, values in columns.items():
            for name, value in zip(self._names, values, strict=True):
                numbers[f"{column}/{name}"] = value
        return {n: float(value) for n, value in numbers.items() if np.isfinite(value)}

    def write_html(self, path: Path) -> None:
        """Writes a page that needs nothing else: the table, and recent latencies."""
        latencies = [d.latencies for d in self._recent]
        write_atomically(
            path, page(self.head(), HEADINGS, self.rows(), self._names, latencies)
        )


HEADINGS = (
    "worker",
    "answered",
    "p",
    "latency, s",
    "computing, s",
    "between, s",
    "lost to it, s",
    "slow",
)


def charged(details: Details) -> Float[np.ndarray, " k"]:
    """The seconds of one iteration's waiting, shared out among those who caused it.

    Each stretch between two answers is charged in equal parts to those who had not
    answered by then: the Shapley value of the game in which a set of workers costs the
    time of its slowest. They add up to `waited` [ours].
    """
    times = np.minimum(details.latencies, details.waited)[details.asked]
    order = np.argsort(times)
    stretches = np.diff(times[order], prepend=0.0)
    shares = np.cumsum(stretches / np.arange(times.size, 0, -1))
    own = np.empty_like(times)
    own[order] = shares
    whole = np.zeros(details.asked.size)
    whole[details.asked] = own
    return whole


def slow(
    asked: Bool[np.ndarray, "T k"], latencies: Float[np.ndarray, "T k"]
) -> Bool[np.ndarray, "T k"]:
    """Who was asked and answered late, by the iteration's median, or not at all."""
    found = np.zeros(asked.shape, bool)
    for row, (own, seconds) in enumerate(zip(asked, latencies, strict=True)):
        came = seconds[own & np.isfinite(seconds)]
        limit = _SLOW * np.median(came) if came.size else 0.0
        found[row] = own & (seconds > limit)
    return found


def _median(values: Float[np.ndarray, " m"]) -> float:
    return float(np.median(values)) if values.size else float("nan")
