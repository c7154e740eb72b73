"""What `python -m jgc advise` prints and leaves."""

import argparse
import json
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jgc._files import write_atomically
from jgc.design._lost_seconds import LostSeconds, lost_seconds
from jgc.design._option_file import save_option
from jgc.design._planner import Option, search
from jgc.design._runnable import shares_of
from jgc.design._sensitivity import Sensitivity, sensitivity
from jgc.stragglers import LoadedTrace, load_trace, with_load

_COMPARED = 4  # options in the table of sensitivities
_WORK_FRACTIONS = (0.0, 0.1, 0.5, 1.0)
_SLOPES = (0.5, 1.0, 2.0)


def advise_from_file(options: argparse.Namespace, workdir: Path) -> None:
    """Reads a trace, answers, and leaves files in `workdir`.

    Raises:
        ValueError: an option or the trace is not usable.
        OSError: a file cannot be read or written.
    """
    recorded = load_trace(options.trace, missing_is_late=options.missing_is_late)
    latencies = with_load(
        recorded,
        work_fraction=options.work_fraction,
        slope=options.slope,
        recorded_load=options.recorded_load,
    )
    show = _Progress()
    found = search(
        latencies,
        capacity=options.capacity,
        num_partitions=options.num_partitions,
        in_parts=options.in_parts,
        progress=lambda part, what: show(0.6 * part, what),
    )
    compared = found[:_COMPARED]
    changes = _assumptions(latencies, options)
    table = sensitivity(
        compared,
        changes,
        num_partitions=options.num_partitions,
        progress=lambda part: show(0.6 + 0.4 * part, "other assumptions"),
    )
    show.end()
    lost = lost_seconds(recorded)
    print(_wrapped(headline(found)))
    print()
    print(_ranking(found))
    print(_sensitivities(compared, table))
    print(_workers(recorded.workers, lost))

    workdir.mkdir(parents=True, exist_ok=True)
    best = found[0]
    save_option(best, workdir / "option.npz")
    numbers = as_json(found, compared, table, lost)
    write_atomically(workdir / "advice.json", json.dumps(numbers, indent=1) + "\n")
    written = ["option.npz", "advice.json", *_pictures(found, lost, latencies, workdir)]
    print(f"In {workdir.absolute()}: {', '.join(written)}")
    file = str(workdir / "option.npz")
    print(f"Run it: option = jgc.design.load_option({file!r})")


def headline(found: Sequence[Option]) -> str:
    """The answer in a sentence."""
    best = found[0]
    everyone = next(o for o in found if o.kind == "wait for all")
    if best is everyone:
        return (
            "Wait for all workers: neither a code nor a deadline is predicted to be "
            "sooner."
        )
    low, high = best.interval
    coded = best.plan.load > 1 + 1e-9
    codes = [o for o in found if o.plan.load > 1 + 1e-9]
    against = ""
    if not coded and codes:
        against = (
            f"; no code is worth its load here, the best takes "
            f"{codes[0].relative_seconds:.2f}"
        )
    verb = "Code" if coded else "Don't code"
    return (
        f"{verb}: {best.name} takes {best.relative_seconds:.2f} ({low:.2f} to "
        f"{high:.2f}) of the time that waiting for all takes to a loss{against}."
    )


def _ranking(found: Sequence[Option]) -> str:
    header = ("time", "90 %", "by data", "s/iter", "iter", "load", "option")
    rows = [
        (
            f"{o.relative_seconds:.3f}",
            "{:.2f}-{:.2f}".format(*o.interval),
            "{:.2f}-{:.2f}".format(*o.by_data),
            f"{o.seconds_per_iteration:.4g}",
            f"{o.relative_iterations:.2f}",
            f"{o.plan.load:.3g}",
            o.name,
        )
        for o in found
    ]
    notes = (
        "time: to a loss, over that of waiting for all, with 5 and 95 % quantiles over "
        "resampled rounds; by data: from the kindest to the unkindest usual data and "
        "target; iter: iterations over those of exact gradients. Predicted on a "
        "problem that stands for yours (jgc.design)."
    )
    return f"{_aligned(header, rows)}\n{_wrapped(notes)}\n"


def _sensitivities(found: Sequence[Option], table: Sensitivity) -> str:
    header = (*table.names, "option")
    rows = [
        (*(f"{value:.2f}" for value in row), one.name)
        for one, row in zip(found, table.relative_seconds, strict=True)
    ]
    title = (
        "The same options if the seconds grow otherwise with the load "
        "(inf: never there):"
    )
    return f"{_wrapped(title)}\n{_aligned(header, rows)}\n"


def _workers(names: Sequence[str], lost: LostSeconds) -> str:
    order = np.argsort(-lost.seconds, kind="stable")[:5]
    worst = ", ".join(
        f"{names[i]} {lost.seconds[i]:.3g} s ({lost.late[i]:.0%} of rounds late)"
        for i in order
    )
    occasional = int(((lost.late > 0) & ~lost.is_chronic).sum())
    text = (
        f"Workers: {int(lost.is_chronic.sum())} late in half of the rounds or more, "
        f"{occasional} now and then, of {lost.late.size}. Waiting beyond the median "
        f"costs {lost.seconds.sum():.3g} s a round, most of it for {worst}."
    )
    return f"{_wrapped(text)}\n"


def _assumptions(
    latencies: LoadedTrace, options: argparse.Namespace
) -> list[tuple[str, LoadedTrace]]:
    recorded = latencies.recorded
    if options.slope is None:
        return [
            (f"work {part:.0%}", with_load(recorded, work_fraction=part))
            for part in _WORK_FRACTIONS
        ]
    return [
        (
            f"slope x{factor:g}",
            with_load(
                recorded,
                slope=factor * options.slope,
                recorded_load=options.recorded_load,
            ),
        )
        for factor in _SLOPES
    ]


def as_json(
    found: Sequence[Option],
    compared: Sequence[Option],
    table: Sensitivity,
    lost: LostSeconds,
) -> dict[str, Any]:
    """The answer for programs."""
    return {
        "answer": headline(found),
        "options": [
            {
                "name": o.name,
                "kind": o.kind,
                "relative_seconds": o.relative_seconds,
                "interval": [_finite(value) for value in o.interval],
                "by_data": [_finite(value) for value in o.by_data],
                "seconds_per_iteration": _finite(o.seconds_per_iteration),
                "relative_iterations": _finite(o.relative_iterations),
                "load": o.plan.load,
                "largest_share": float(shares_of(o.plan, o.parts).max()),
                "messages": o.plan.num_workers,
                "num_partitions": o.plan.num_partitions,
                "rule": o.rule.name,
                "decoder": o.decoder.name,
            }
            for o in found
        ],
        "sensitivity": {
            one.name: {
                name: _finite(value)
                for name, value in zip(table.names, row.tolist(), strict=True)
            }
            for one, row in zip(compared, table.relative_seconds, strict=True)
        },
        "workers": {
            "late": lost.late.tolist(),
            "is_chronic": lost.is_chronic.tolist(),
            "lost_seconds_a_round": lost.seconds.tolist(),
        },
    }


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if np.isfinite(value) else None


def _pictures(
    found: Sequence[Option],
    lost: LostSeconds,
    latencies: LoadedTrace,
    workdir: Path,
) -> list[str]:
    try:
        from jgc.design._option_pictures import draw_lost_seconds, draw_options

        figures = {
            "options.png": draw_options(found, latencies),
            "workers.png": draw_lost_seconds(lost),
        }
    except ImportError as error:
        print(f"No pictures: {error}", file=sys.stderr)
        return []
    for name, figure in figures.items():
        figure.savefig(workdir / name, dpi=120)
    return list(figures)


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        cells = [cell.rjust(w) for cell, w in zip(row, widths, strict=True)]
        numbers = "  ".join([*cells[:-1], ""])
        indent = " " * len(numbers)
        lines.append(_wrapped(numbers + row[-1], indent=indent))
    return "\n".join(lines)


def _wrapped(text: str, *, indent: str = "") -> str:
    """The text in lines of the terminal's width, those after the first indented."""
    width = max(shutil.get_terminal_size((100, 24)).columns, len(indent) + 20)
    return textwrap.fill(
        text,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


class _Progress:
    """One line on the terminal, or a line every few seconds elsewhere."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._on_terminal = sys.stderr.isatty()

    def __call__(self, part: float, what: str) -> None:
        now = time.monotonic()
        if now - self._last < (0.1 if self._on_terminal else 5.0):
            return
        self._last = now
        line = f"{part:4.0%} {what}"[:78]
        end = "" if self._on_terminal else "\n"
        print(f"\r{line:78}" if self._on_terminal else line, end=end, file=sys.stderr)

    def end(self) -> None:
        """Leaves the line empty."""
        if self._on_terminal:
            print("\r" + " " * 78 + "\r", end="", file=sys.stderr)
