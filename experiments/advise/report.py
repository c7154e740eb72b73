"""What `experiments.advise` prints and leaves, from what it found."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.common.tables import write_picture
from jgc._files import write_atomically
from jgc.design import draw_deadlines
from jgc.stragglers.estimation import FitTest
from jgc.stragglers.pictures import draw_trace

if TYPE_CHECKING:
    from experiments.advise.__main__ import Findings

# What to make of an assumption that a test refuses.
_CONSEQUENCES = {
    "independent workers": "they straggle in the same rounds, more than their bursts "
    "explain; the formulas leave it out, the last line on the plan does not",
    "independent rounds": "they straggle in bursts: rounds are worth fewer, as the "
    "intervals of p count them, and errors of consecutive iterations add up",
    "shifted-exponential latencies": "p is counted at the deadline, and needs no law",
}


def write_report(findings: "Findings", config: Any, workdir: Path) -> None:
    """Prints the advice; writes `advice.json`, `deadline.png` and `trace.png`."""
    console = Console(highlight=False, soft_wrap=True)
    _print_trace(console, findings)
    _print_deadline(console, findings, config)
    _print_estimates(console, findings, config)
    _print_tests(console, findings)
    _print_plan(console, findings, config)

    numbers = json.dumps(_numbers(findings), indent=2)
    write_atomically(workdir / "advice.json", numbers + "\n")
    figures = {
        "deadline.png": draw_deadlines(findings.curve, chosen=findings.deadline),
        "trace.png": draw_trace(findings.recorded, deadline=findings.deadline),
    }
    for name, figure in figures.items():
        write_picture(workdir / name, figure, dpi=120)
    names = ("plan.npz", "advice.json", *figures)
    console.print(f"\nIn {workdir.absolute()}: {', '.join(names)}")
    console.print(
        "Train with it: python -m experiments.train --config=configs/train/coco.py "
        "--config.data.directory=/path/to/coco --workdir=runs/advised "
        f"--config.plan_file={workdir / 'plan.npz'} "
        f"--config.schemes=\"('plan_file',)\" "
        f"--config.num_workers={findings.recorded.num_workers} "
        f"--config.num_partitions={findings.advice.chosen.plan.num_partitions}"
    )


def _print_trace(console: Console, findings: "Findings") -> None:
    recorded = findings.recorded
    seconds = recorded.latencies
    half, most = np.quantile(seconds, [0.5, 0.99], method="lower")
    last = seconds[np.isfinite(seconds)].max()
    console.print(
        f"Trace: {recorded.num_rounds} rounds of {recorded.num_workers} workers; half "
        f"of the answers within {half:.4g} s, 99 % within {most:.4g} s, the last after "
        f"{last:.4g} s."
    )
    never = ~np.isfinite(seconds).any(0)
    if never.any():
        names = [recorded.workers[i] for i in np.flatnonzero(never)[:8]]
        console.print(f"{never.sum()} workers never answered: {', '.join(names)}")


def _print_deadline(console: Console, findings: "Findings", config: Any) -> None:
    curve, tau = findings.curve, findings.deadline
    why = (
        "of least time to accuracy, (τ + overhead)(1 + error)"
        if findings.is_chosen
        else "as config.deadline asks"
    )
    console.print(f"\nDeadline: τ = {tau:.4g} s, {why}.")
    table = Table("deadline, s", "late", "error", "s an iteration", "s to accuracy")
    at = int(np.searchsorted(curve.deadlines, tau))
    shown = {*np.linspace(0, curve.deadlines.size - 1, 9).astype(int).tolist(), at}
    for i in sorted(shown):
        answered = findings.recorded.answered(curve.deadlines[i])
        style = "bold" if i == at else None
        table.add_row(
            f"{curve.deadlines[i]:.4g}",
            f"{1 - answered.mean():.1%}",
            f"{curve.error[i]:.3g}",
            f"{curve.iteration[i]:.4g}",
            f"{curve.time[i]:.4g}",
            style=style,
        )
    console.print(table)
    console.print(
        f"Error: E‖g − ĝ‖²/‖g‖² of the best plan within the capacity, where a part "
        f"{config.common_part:g} of ‖g‖² is common to all partitions. Seconds to "
        f"accuracy: for each iteration that would do without stragglers, at an "
        f"overhead of {config.overhead:g} s. Theorem 2, for gradients that agree and "
        f"no capacity, has τ = {findings.by_theorem:.4g} s."
    )


def _print_estimates(console: Console, findings: "Findings", config: Any) -> None:
    p, prior = findings.p, findings.prior
    console.print(
        f"\np at the deadline: from {p.min():.3g} to {p.max():.3g}, mean "
        f"{p.mean():.3g}; counted, with the prior Beta({prior.late:.3g}, "
        f"{prior.in_time:.3g}) ({config.prior}), worth "
        f"{prior.late + prior.in_time:.3g} rounds. {_how_sure(findings, config.level)}"
    )


def _how_sure(findings: "Findings", level: float) -> str:
    rounds, seen = findings.effective_rounds, findings.recorded.num_rounds
    if rounds <= 1:
        return (
            f"How sure that is cannot be known: {seen} rounds are too few, or bursts "
            "too long, to tell how rounds depend on one another."
        )
    low, high = findings.interval
    return (
        f"A worker's own rounds, {seen} and worth {rounds:.3g} independent ones, leave "
        f"its p a {level:.0%} interval of half-width {np.mean(high - low) / 2:.2g} on "
        "average."
    )


def _print_tests(console: Console, findings: "Findings") -> None:
    table = Table("assumption", "measured", "if it holds", "p-value")
    refused = []
    for name, test in findings.tests.items():
        if test is None:
            table.add_row(name, "–", "–", "too few answers")
            continue
        table.add_row(
            name, f"{test.statistic:.4g}", f"{test.expected:.4g}", f"{test.p_value:.3g}"
        )
        if test.p_value < 0.01:
            refused.append(name)
    console.print()
    console.print(table)
    for name in refused:
        console.print(f"Not {name}: {_CONSEQUENCES[name]}.")


def _print_plan(console: Console, findings: "Findings", config: Any) -> None:
    chosen = findings.advice.chosen
    table = Table(
        "partitions", "layers", "load", "largest share", "error, equal", "orthogonal"
    )
    for option in findings.advice.options:
        table.add_row(
            str(option.plan.num_partitions),
            str(option.layers),
            f"{option.plan.load:.3g}",
            f"{option.worst_share:.4g}",
            f"{option.aligned:.3g}",
            f"{option.orthogonal:.3g}",
            style="bold" if option is chosen else None,
        )
    console.print()
    console.print(table)
    limited = (
        "; the most reliable workers would hold more, and the rest went to the others"
        if chosen.limited
        else ""
    )
    console.print(
        f"Plan: {chosen.plan.name} on {chosen.plan.num_partitions} partitions, load "
        f"{chosen.plan.load:.3g}: the least error, at the common part "
        f"{config.common_part:g}, of those that leave no worker more than "
        f"{findings.capacity:.4g} of the data{limited}. Errors are E‖g − ĝ‖²/‖g‖², for "
        "equal and for orthogonal partition gradients."
    )
    equal, orthogonal = findings.correlated
    console.print(
        f"If workers straggle together as they did in the trace, its errors are "
        f"{equal:.3g} and {orthogonal:.3g} instead."
    )


def _numbers(findings: "Findings") -> dict[str, Any]:
    chosen = findings.advice.chosen
    return {
        "num_rounds": findings.recorded.num_rounds,
        "num_workers": findings.recorded.num_workers,
        "deadline": findings.deadline,
        "deadline_was_chosen": findings.is_chosen,
        "deadline_by_theorem_2": findings.by_theorem,
        "prior": findings.prior._asdict(),
        "p": findings.p.tolist(),
        "p_low": findings.interval[0].tolist(),
        "p_high": findings.interval[1].tolist(),
        "effective_rounds": findings.effective_rounds,
        "tests": {name: _test(test) for name, test in findings.tests.items()},
        "capacity": findings.capacity,
        "correlated_aligned": findings.correlated[0],
        "correlated_orthogonal": findings.correlated[1],
        "options": [
            {
                "num_partitions": option.plan.num_partitions,
                "layers": option.layers,
                "load": option.plan.load,
                "worst_share": option.worst_share,
                "aligned": option.aligned,
                "orthogonal": option.orthogonal,
                "limited": option.limited,
                "chosen": option is chosen,
            }
            for option in findings.advice.options
        ],
        "curve": {
            name: values.tolist() for name, values in findings.curve._asdict().items()
        },
    }


def _test(test: FitTest | None) -> dict[str, float] | None:
    return None if test is None else test._asdict()
