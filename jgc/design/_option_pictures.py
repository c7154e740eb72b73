"""Pictures of an answer: time to a loss by option, and whom it was waited for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jgc._extras import require
from jgc.design._candidate import played
from jgc.design._lost_seconds import LostSeconds
from jgc.design._planner import Option
from jgc.design._race import REGIMES, race
from jgc.stragglers import LoadedTrace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 4
_GAPS = (0.5, 0.2, 0.1, 0.05, 0.02, 1e-2, 5e-3, 2e-3, 1e-3)


def draw_options(found: Sequence[Option], latencies: LoadedTrace) -> "Figure":
    """Seconds to each gap of the best options, and the prediction with its interval.

    Args:
        found: of `search`.
        latencies: that they were found on.

    Raises:
        ImportError: matplotlib is not installed (extra "plots").
    """
    figure = _new_figure((12, 4.5))
    left, right = figure.subplots(1, 2)
    everyone = [o for o in found if o.kind == "wait for all"]
    shown = [*[o for o in found if o not in everyone][:_SHOWN], *everyone]
    effects = [played(latencies, o) for o in shown]
    times = race(effects, draws=4, seed=3, targets=_GAPS).mean(1)
    usual = times.reshape(len(shown), len(_GAPS), len(REGIMES))[..., 1]
    for one, seconds in zip(shown, usual, strict=True):
        left.plot(seconds, _GAPS, marker=".", label=_short(one.name))
    left.set(
        yscale="log", xlabel="seconds", ylabel="gap to the least loss, over the first"
    )
    left.legend(fontsize="x-small")
    names = [_short(o.name) for o in reversed(found)]
    at = np.arange(len(names))
    values = np.array([o.relative_seconds for o in reversed(found)])
    low, high = np.array([o.interval for o in reversed(found)]).T
    right.barh(at, np.minimum(values, 2), color="C0", alpha=0.6)
    right.hlines(at, low, np.minimum(high, 2), color="k")
    right.axvline(1, color="0.5", linestyle="--")
    right.set_yticks(at, names, fontsize="x-small")
    right.set(xlabel="time to a loss, over waiting for all")
    return figure


def draw_lost_seconds(lost: LostSeconds) -> "Figure":
    """Who is late always and who now and then, and what each costs.

    Args:
        lost: of `lost_seconds`.

    Raises:
        ImportError: matplotlib is not installed (extra "plots").
    """
    figure = _new_figure((12, 4))
    left, right = figure.subplots(1, 2)
    for axis, values, label in (
        (left, lost.late, "part of the rounds late"),
        (right, lost.seconds, "seconds lost to it a round"),
    ):
        order = np.argsort(-values, kind="stable")
        colors = np.where(lost.is_chronic[order], "C3", "C0")
        axis.bar(np.arange(values.size), values[order], color=colors, width=1.0)
        axis.set(xlabel="workers, the worst first", ylabel=label)
    left.set_title("red: late in half of the rounds or more", fontsize="small")
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 48 else name[:47] + "…"


def _new_figure(size: tuple[float, float]) -> Any:
    figure = require("matplotlib.figure", extra="plots").Figure
    return figure(figsize=size, layout="constrained")
