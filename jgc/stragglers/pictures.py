"""Pictures of stragglers, recorded or simulated: how late, how long, how together."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._extras import require
from jgc.stragglers._trace import Trace, replay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More curves than this are drawn as bands of quantiles instead.
_MOST_CURVES = 16


def draw_survival(
    survival: Callable[[float], Float[np.ndarray, " k"]], deadlines: ArrayLike
) -> "Figure":
    """P(T_i > τ) of each worker, or of quantiles of the workers where they are many.

    Args:
        survival: such as `LatencyModel.survival`; of a trace, `replay(trace).survival`.
        deadlines: τ in seconds, positive.

    Raises:
        ImportError: matplotlib is not installed (extra "plots").

    Example:
        >>> import jgc
        >>> model = jgc.stragglers.exponential([1.0, 2.0])
        >>> figure = draw_survival(model.survival, [0.5, 1.0])
        >>> slow, fast = figure.axes[0].get_lines()
        >>> slow.get_ydata().round(4).tolist()  # e^−0.5, e^−1
        [0.6065, 0.3679]
    """
    figure = _new_figure((6, 4))
    _survival_panel(figure.subplots(), survival, deadlines)
    return figure


def draw_bursts(masks: Bool[np.ndarray, "T k"]) -> "Figure":
    """Lengths of the workers' bursts of lateness, beside those of independent rounds.

    Args:
        masks: who answered (T, k): `trace.answered(deadline)`, or of `simulate`.

    Raises:
        ImportError: matplotlib is not installed (extra "plots").

    Example:
        >>> answered = np.array([[True], [False], [False], [True], [False], [True]])
        >>> draw_bursts(answered).axes[0].get_title()  # of 2 and of 1
        'mean 1.50 rounds'
    """
    figure = _new_figure((6, 4))
    _burst_panel(figure.subplots(), np.asarray(masks, bool))
    return figure


def draw_correlation(covariance: ArrayLike) -> "Figure":
    """The correlation of every two workers' masks; blank where one is always the same.

    Args:
        covariance: Cov(I) (k, k), such as `StragglerModel.covariance()`.

    Raises:
        ImportError: matplotlib is not installed (extra "plots").

    Example:
        >>> figure = draw_correlation([[0.25, 0.05], [0.05, 0.25]])
        >>> figure.axes[0].get_title()
        'mean correlation 0.200'
    """
    figure = _new_figure((5.5, 4.5))
    _correlation_panel(figure, figure.subplots(), np.asarray(covariance, np.float64))
    return figure


def draw_trace(recorded: Trace, *, deadline: float) -> "Figure":
    """The three pictures of a trace side by side.

    Args:
        recorded: the trace.
        deadline: τ in seconds, beyond which an answer is late.

    Raises:
        ImportError: matplotlib is not installed (extra "plots").

    Example:
        >>> import jgc
        >>> seconds = [[1.0, 1.0], [9.0, 9.0], [9.0, 1.0], [1.0, 1.0]]
        >>> figure = draw_trace(jgc.stragglers.trace(seconds), deadline=2.0)
        >>> [panel.get_title() for panel in figure.axes[1:3]]
        ['mean 1.50 rounds', 'mean correlation 0.577']
    """
    figure = _new_figure((16, 4.5))
    left, middle, right = figure.subplots(1, 3)
    model = replay(recorded)
    seen = np.unique(recorded.latencies)
    seen = seen[np.isfinite(seen) & (seen > 0)]
    grid = np.unique(np.quantile(seen, np.linspace(0, 1, 200)))
    _survival_panel(left, model.survival, grid)
    left.axvline(deadline, color="0.5", linestyle="--")
    _burst_panel(middle, recorded.answered(deadline))
    _correlation_panel(figure, right, model.covariance(deadline))
    return figure


def burst_lengths(masks: Bool[np.ndarray, "T k"]) -> Int[np.ndarray, " bursts"]:
    """Lengths in rounds of all runs of lateness of all workers.

    Runs at the ends of the record are counted as long as they were seen.

    Example:
        >>> answered = [[True, False], [False, False], [False, True], [True, False]]
        >>> burst_lengths(np.array(answered)).tolist()  # worker 0: 2, worker 1: 2 and 1
        [2, 2, 1]
    """
    is_late = ~np.asarray(masks, bool)
    padded = np.pad(is_late, ((1, 1), (0, 0))).T.astype(np.int8).ravel()
    change = np.diff(padded)
    return np.flatnonzero(change == -1) - np.flatnonzero(change == 1)


def _survival_panel(axis: Any, survival: Callable, deadlines: ArrayLike) -> None:
    tau = np.sort(_checks.vector("deadlines", deadlines))
    p = np.array([survival(float(deadline)) for deadline in tau])
    if p.shape[1] <= _MOST_CURVES:
        for i in range(p.shape[1]):
            axis.step(tau, p[:, i], where="post", label=f"worker {i}")
    else:
        quantiles = np.quantile(p, [0, 0.1, 0.5, 0.9, 1], axis=1)
        axis.step(tau, quantiles[2], where="post", label="median worker")
        for low, high, shade, label in ((1, 3, 0.3, "10–90 %"), (0, 4, 0.12, "all")):
            axis.fill_between(
                tau,
                quantiles[low],
                quantiles[high],
                step="post",
                color="C0",
                alpha=shade,
                linewidth=0,
                label=f"{label} of workers",
            )
    axis.set(xscale="log", xlabel="deadline τ, seconds", ylabel="P(T > τ)")
    axis.legend(fontsize="small")


def _burst_panel(axis: Any, masks: Bool[np.ndarray, "T k"]) -> None:
    lengths = burst_lengths(masks)
    longest = int(lengths.max(initial=1))
    size = np.arange(1, longest + 1)
    found = np.bincount(lengths, minlength=longest + 1)[1:]
    axis.bar(size, found, color="C0", alpha=0.6, label="seen")
    axis.plot(size, _expected_bursts(masks, size), "ko", label="if independent")
    axis.set(
        yscale="log" if lengths.size else "linear",
        ylim=(0.5, None),
        xlabel="rounds late in a row",
        ylabel="bursts",
        title=f"mean {lengths.mean() if lengths.size else 0:.2f} rounds",
    )
    axis.legend()


def _expected_bursts(masks: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Mean numbers of bursts of each size if rounds were independent, p as seen."""
    rounds = masks.shape[0]
    p = (~masks).mean(0)[:, None]
    inside = np.maximum(rounds - size - 1, 0) * p**size * (1 - p) ** 2
    at_an_end = 2 * p**size * (1 - p) * (size < rounds)
    whole = p**size * (size == rounds)
    return (inside + at_an_end + whole).sum(0)


def _correlation_panel(figure: Any, axis: Any, covariance: np.ndarray) -> None:
    scale = np.sqrt(np.diag(covariance))
    outer = np.outer(scale, scale)
    correlation = np.divide(
        covariance, outer, out=np.full(covariance.shape, np.nan), where=outer > 1e-15
    )
    np.fill_diagonal(correlation, np.nan)  # 1, and would set the scale
    known = correlation[np.isfinite(correlation)]
    limit = max(float(np.quantile(np.abs(known), 0.99)) if known.size else 0, 1e-3)
    image = axis.imshow(correlation, cmap="RdBu_r", vmin=-limit, vmax=limit)
    mean = f"{known.mean():.3f}" if known.size else "unknown"
    axis.set(xlabel="worker", ylabel="worker", title=f"mean correlation {mean}")
    figure.colorbar(image, ax=axis)


def _new_figure(size: tuple[float, float]) -> Any:
    figure = require("matplotlib.figure", extra="plots").Figure
    return figure(figsize=size, layout="constrained")
