"""What a designer asks of a plan before running it, as numbers and as pictures."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jgc import residual
from jgc._extras import require
from jgc._plan import CodingPlan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Beyond this many workers or partitions a cell is too small for its number.
_MOST_CELLS_WITH_NUMBERS = 16
_LEAST_CELL = 2.5  # points: cells of many workers overlap, but are seen
_MOST_ABOVE_USUAL = 3.0  # the largest |α| over 98 % of them


class Diagnostics(NamedTuple):
    """One plan's costs and errors.

    Attributes:
        load: d = E/n, gradients computed per partition.
        worst_worker_load: max_i b_i, the most partitions on one worker.
        messages: workers with data: gradient-sized messages an iteration if all answer.
        storage: E, the partitions held by all workers together.
        least_alpha: the least α_i^j; below 0, Lemma 1's bound may fail.
        largest_bias: max_j |E[c_j] − 1|, 0 for unbiased codes.
        orthogonal: see `jgc.residual.ResidualBounds`.
        aligned: see `jgc.residual.ResidualBounds`.
        certified: see `jgc.residual.ResidualBounds`.
    """

    load: float
    worst_worker_load: int
    messages: int
    storage: int
    least_alpha: float
    largest_bias: float
    orthogonal: float
    aligned: float
    certified: float


def diagnose(plan: CodingPlan) -> Diagnostics:
    """Costs, signs, bias and residual errors of a plan, in O(E).

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> found = diagnose(plan)
        >>> found.load, round(found.aligned / 4, 3)  # 1/D
        (1.5, 0.2)
    """
    sizes = plan.batch_sizes
    alpha = plan.edge_alpha()
    return Diagnostics(
        load=plan.load,
        worst_worker_load=int(sizes.max()),
        messages=int((sizes > 0).sum()),
        storage=plan.num_edges,
        least_alpha=float(alpha.min()) if alpha.size else 0.0,
        largest_bias=float(np.abs(residual.bias(plan)).max()),
        **residual.bounds(plan)._asdict(),
    )


def draw_plan(plan: CodingPlan) -> "Figure":
    """Who holds what, and with what coefficient α_i^j; workers in the caller's order.

    Raises:
        ImportError: matplotlib is not installed (extra "plots").

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> draw_plan(plan).axes[0].get_title()
        'interval: α, load 1.50'
    """
    figure = _new_figure((7, 5))
    axis = figure.subplots()
    partition, worker = np.asarray(plan.edge_partition), np.asarray(plan.edge_worker)
    alpha = plan.edge_alpha()
    largest = float(np.abs(alpha).max(initial=0))
    usual = float(np.quantile(np.abs(alpha), 0.98)) if alpha.size else 0.0
    # A few huge coefficients would leave the others without a colour.
    is_ruled = largest > _MOST_ABOVE_USUAL * usual > 0
    limit = max(usual if is_ruled else largest, 1e-12)
    k, n = plan.num_workers, plan.num_partitions
    cell = max(300 / max(k, n), _LEAST_CELL)  # in points
    drawn = axis.scatter(
        partition,
        worker,
        c=alpha,
        s=cell**2,
        marker="s",
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        edgecolors="0.6",
        linewidths=0.5 if cell > 10 else 0,
    )
    if max(k, n) <= _MOST_CELLS_WITH_NUMBERS:
        for column, row, value in zip(partition, worker, alpha, strict=True):
            color = "white" if abs(value) > 0.6 * limit else "black"
            axis.annotate(
                f"{value:.2g}", (column, row), color=color, ha="center", va="center"
            )
        p = np.asarray(plan.straggler_probabilities)
        axis.set_yticks(range(k), [f"{i}  (p = {p[i]:.2g})" for i in range(k)])
        axis.set_xticks(range(n))
    axis.set(
        xlim=(-0.5, n - 0.5),
        ylim=(k - 0.5, -0.5),
        aspect="equal",
        xlabel="partition",
        ylabel="worker",
        title=f"{plan.name}: α, load {plan.load:.2f}",
    )
    figure.colorbar(drawn, label="α", extend="both" if is_ruled else "neither")
    return figure


def draw_error_against_load(plans: Sequence[CodingPlan]) -> "Figure":
    """Relative errors of several plans with the same n against what they cost.

    The error is E‖g − ĝ‖²/‖g‖², exact for each plan's fixed decoder.

    Raises:
        ImportError: matplotlib is not installed (extra "plots").
        ValueError: no plan, or plans with different numbers of partitions.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> dense = jgc.codes.dense([0.2, 0.5], num_partitions=2)
        >>> len(draw_error_against_load([plan, dense]).axes)
        2
    """
    sizes = sorted({plan.num_partitions for plan in plans})
    if len(sizes) != 1:
        raise ValueError(
            f"plans must be one or more with the same num_partitions, got {sizes}"
        )
    figure = _new_figure((10, 4.5))
    titles = {"aligned": "equal gradients", "orthogonal": "orthogonal gradients"}
    axes = figure.subplots(1, 2)
    for axis, (kind, title) in zip(axes, titles.items(), strict=True):
        for plan, (color, marker) in zip(plans, _styles(), strict=False):
            norm = plan.num_partitions ** (2 if kind == "aligned" else 1)
            error = getattr(residual.bounds(plan), kind) / norm
            axis.plot(
                plan.load,
                error,
                marker,
                color=color,
                label=plan.name,
                markersize=9,
                fillstyle="none",
                markeredgewidth=1.8,
            )
        axis.set(
            xlabel="computation load d",
            ylabel="E‖g − ĝ‖² / ‖g‖²",
            title=title,
            yscale="log",
        )
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def _styles() -> Iterator[tuple[str, str]]:
    """Colours and open markers that stay apart where plans coincide."""
    markers = ["o", "s", "^", "v", "D", "p", "*", "X", "h", "<", ">"]
    return ((f"C{i % 10}", markers[i % len(markers)]) for i in itertools.count())


def _new_figure(size: tuple[float, float]) -> Any:
    # A Figure of its own, not pyplot's: no global state, no display.
    figure = require("matplotlib.figure", extra="plots").Figure
    return figure(figsize=size, layout="constrained")
