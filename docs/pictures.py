"""Draws the pictures of the pages, from jgc: `python docs/pictures.py [FOLDER]`.

Colours are legible on light and dark grounds; the site puts pictures on white.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from phases import phases

import jgc
import jgc.design

HERE = Path(__file__).parent / "pictures"
P = np.array([0.05, 0.1, 0.1, 0.2, 0.7])
ANSWERED = np.array([True, True, False, True, False])
INK, BLUE, LATE, PALE = "#1f2d3d", "#2f6aa8", "#c8553d", "#d9dde2"
LINES = ("#2f6aa8", "#c8553d", "#4b8b5a", "#8a5fa8", "#7a7a7a")


def grid(axes: Axes, plan: jgc.CodingPlan, answered: np.ndarray | None = None) -> None:
    """Workers down, partitions across; a cell's blue is how much of it α_i^j is."""
    alpha = plan.alpha()
    top = np.abs(alpha).max()
    for i, row in enumerate(alpha):
        late = answered is not None and not answered[i]
        for j, value in enumerate(row):
            strength = 0.0 if late else abs(value) / top
            face = mpl.colors.to_rgba(BLUE, strength) if value else "white"
            edge = LATE if late and value else PALE
            axes.add_patch(
                Rectangle((j, i), 0.94, 0.94, facecolor=face, edgecolor=edge)
            )
            if value and plan.num_partitions <= 6:
                colour = LATE if late else "white" if strength > 0.5 else INK
                axes.text(
                    j + 0.47, i + 0.5, f"{value:.2f}", color=colour, ha="center",
                    va="center", fontsize=8,
                )  # fmt: skip
    axes.set(xlim=(-0.1, plan.num_partitions + 0.1), ylim=(plan.num_workers, -0.1))
    axes.set_aspect("equal")
    axes.set_frame_on(False)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(plan.num_partitions) + 0.47)
    axes.set_xticklabels([f"$D_{{{j + 1}}}$" for j in range(plan.num_partitions)])
    axes.xaxis.tick_top()
    axes.set_yticks(np.arange(plan.num_workers) + 0.47)


def holdings() -> Figure:
    """Who holds what, and one iteration: who answered, and what is decoded."""
    plan = jgc.codes.interval(P, num_partitions=5)
    figure = Figure((9.4, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1])
    grid(left, plan)
    left.set_yticklabels([f"worker {i + 1}, late {p:.0%}" for i, p in enumerate(P)])
    left.set_title("who holds what, in which parts $\\alpha$")
    left.set_xlabel("columns add up to 1: on average nothing is lost")
    _coefficients(left, "mean $c_j$", plan.alpha().sum(axis=0))

    grid(right, plan, ANSWERED)
    names = ["answered" if ok else "late" for ok in ANSWERED]
    right.set_yticklabels(names)
    for label, ok in zip(right.get_yticklabels(), ANSWERED, strict=True):
        label.set_color(INK if ok else LATE)
    right.set_title("one iteration")
    c = np.asarray(jgc.decoders.fixed.coefficients(plan, ANSWERED))
    _coefficients(right, "$c_j$", c)
    right.set_xlabel(r"decoded: $\hat g = \sum_j c_j g_j$ in place of $\sum_j g_j$")
    return figure


def _coefficients(axes: Axes, name: str, values: np.ndarray) -> None:
    below = axes.get_ylim()[0] + 0.3
    axes.text(-0.15, below, name, ha="right", va="center")
    for j, value in enumerate(values):
        axes.text(j + 0.47, below, f"{value:.2f}", ha="center", va="center", fontsize=9)
    axes.set_ylim(below + 0.4, -0.1)


def codes() -> Figure:
    """Six placements for six workers."""
    p, n = [0.1, 0.1, 0.2, 0.2, 0.3, 0.4], 6
    made = {
        "uncoded": jgc.codes.uncoded(p, num_partitions=n),
        "interval": jgc.codes.interval(p, num_partitions=n),
        "scheme_i": jgc.codes.scheme_i(p, num_partitions=n),
        "fractional_repetition": jgc.codes.fractional_repetition(
            p, num_partitions=n, replication=2
        ),
        "cyclic_repetition": jgc.codes.cyclic_repetition(
            p, num_partitions=n, num_stragglers=1
        ),
        "dense": jgc.codes.dense(p, num_partitions=n),
    }
    figure = Figure((9.4, 6.6), layout="constrained")
    for axes, (name, plan) in zip(
        figure.subplots(2, 3).flat, made.items(), strict=True
    ):
        held = np.zeros((6, n))
        held[plan.edge_worker, plan.edge_partition] = 1
        for i, j in np.argwhere(held >= 0):
            face = BLUE if held[i, j] else "white"
            axes.add_patch(
                Rectangle((j, i), 0.92, 0.92, facecolor=face, edgecolor=PALE)
            )
        axes.set(xlim=(-0.1, n + 0.1), ylim=(6.1, -0.1), xticks=[], yticks=[])
        axes.set_aspect("equal")
        axes.set_frame_on(False)
        axes.set_title(f"{name}, load {plan.load:.3g}", fontsize=10)
    figure.supylabel("workers, the late ones below", fontsize=10)
    figure.supxlabel("partitions of the data", fontsize=10)
    return figure


def waiting() -> Figure:
    """Eight rounds of the same workers: waiting for all, and a deadline with a code."""
    seconds = 1 + np.random.default_rng(3).exponential(0.5, (8, 8))
    seconds[:, 2] += np.where(np.random.default_rng(4).random(8) < 0.4, 2.0, 0.0)
    plan = jgc.codes.uncoded(np.full(8, 0.2), num_partitions=8)
    rules = {
        "wait for all": jgc.design.rules.everyone(plan),
        "deadline 1.8 s": jgc.design.rules.deadline(plan, 1.8),
    }
    figure = Figure((9.4, 3.6), layout="constrained")
    for axes, (name, rule) in zip(figure.subplots(2, 1, sharex=True), rules.items(), strict=True):  # fmt: skip  # noqa: E501
        start = 0.0
        for round in seconds:
            waited, answered = rule(round)
            for i, (own, ok) in enumerate(zip(round, answered, strict=True)):
                axes.barh(
                    i, min(own, float(waited)), left=start, height=0.7,
                    color=BLUE if ok else LATE,
                )  # fmt: skip
            start += float(waited)
            axes.axvline(start, color=INK, linewidth=0.8)
        axes.set(ylim=(7.6, -0.6), yticks=[], ylabel="workers")
        axes.set_title(
            f"{name}: 8 iterations in {start:.1f} s", loc="left", fontsize=10
        )
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    axes.set_xlabel("seconds; red: given up, and computed in vain")
    return figure


def decoders() -> Figure:
    """The error of two placements under several decoders, in closed form."""
    rates = np.geomspace(0.01, 0.7, 13)
    best = jgc.decoders.best_unbiased
    figure = Figure((9.4, 3.6), layout="constrained")
    for axes, rho in zip(figure.subplots(1, 2, sharey=True), (0.0, 0.5), strict=True):
        lines: dict[str, list[float]] = {}
        for p in rates:
            q = np.full(8, p)
            pairs = jgc.codes.fractional_repetition(q, num_partitions=8, replication=2)
            layers = jgc.codes.interval(q, num_partitions=8, layers=2)
            alone = jgc.codes.uncoded(q, num_partitions=8)
            cases = (
                ("interval, load 2, fixed", layers, jgc.decoders.fixed),
                ("interval, load 2, best unbiased", layers, None),
                ("pairs, load 2, best unbiased", pairs, None),
                ("uncoded, load 1, best unbiased", alone, None),
                ("uncoded, load 1, late ignored", alone, jgc.decoders.fixed),
            )
            for name, plan, decoder in cases:
                decoder = decoder or best(plan, gradients=rho)
                error = jgc.residual.enumerate_masks(
                    plan, decoder=decoder, gradients=rho
                )
                lines.setdefault(name, []).append(error.relative)
        for (name, values), colour in zip(lines.items(), LINES, strict=True):
            axes.loglog(rates, values, color=colour, label=name)
        axes.set_title(f"similarity of gradients $\\rho$ = {rho:g}", fontsize=10)
        axes.set_xlabel("how often each of 8 workers is late")
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.axes[0].set_ylabel(r"E$\|g-\hat g\|^2 / \|g\|^2$")
    return figure


def run() -> Figure:
    """One regression four ways, against the clock: ten workers that hang at times."""
    rng = np.random.default_rng(0)
    k, rounds, work = 10, 80, 0.2
    hangs = rng.random((rounds, k)) < np.repeat([0.02, 0.1, 0.3], [5, 3, 2])
    seconds = (
        1
        + rng.exponential(0.1, (rounds, k))
        + hangs * rng.exponential(8.0, (rounds, k))
    )
    latencies = jgc.stragglers.with_load(
        jgc.stragglers.trace(seconds), work_fraction=work
    )

    def loaded(plan: jgc.CodingPlan) -> np.ndarray:
        share = np.bincount(plan.edge_worker, minlength=k) / plan.num_partitions
        return np.asarray(latencies.seconds(share))

    def coded(deadline: float) -> jgc.CodingPlan:
        plan = jgc.codes.interval(np.full(k, 0.1), num_partitions=k)
        for _ in range(10):  # p depends on the shares, and they on p
            p = np.clip((loaded(plan) > deadline).mean(0), 0.01, 0.99)
            plan = jgc.codes.interval(p, num_partitions=k)
        return plan

    alone, rules = jgc.codes.uncoded(np.zeros(k), num_partitions=k), jgc.design.rules
    pairs = jgc.codes.fractional_repetition(
        np.full(k, 0.1), num_partitions=k, replication=2
    )
    interval = coded(2.0)
    best_unbiased = jgc.decoders.best_unbiased(interval, gradients=0.5)
    ways = {
        "wait for all": (alone, jgc.decoders.fixed, rules.everyone(alone)),
        "ignore who is late after 1.4 s, rescaled": (
            alone, jgc.decoders.normalised, rules.deadline(alone, 1.4),
        ),
        "interval code, best unbiased, 2 s": (
            interval, best_unbiased, rules.deadline(interval, 2.0),
        ),
        "pairs hold the same, one of each awaited": (
            pairs, jgc.decoders.representative, rules.coverage(pairs, 1.0),
        ),
    }  # fmt: skip
    x = rng.normal(size=(k, 20, 4)) * [1.0, 0.8, 0.6, 0.4]
    targets = rng.normal(size=4) + rng.normal(size=(k, 1, 4))  # half is each one's own
    y = (x * targets).sum(-1) + rng.normal(size=(k, 20))
    least = np.linalg.lstsq(x.reshape(-1, 4), y.reshape(-1), rcond=None)[0]

    def gap(params: np.ndarray) -> float:
        loss = [((x @ one - y) ** 2).mean() for one in (params, least)]
        return float(loss[0] - loss[1])

    figure = Figure((9.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for (name, (plan, decoder, rule)), colour in zip(ways.items(), LINES, strict=False):
        played = rules.play(rule, loaded(plan))
        c = np.asarray(decoder.coefficients(plan, played.answered.T))
        best: list[float] = []
        for step in 0.7 ** np.arange(12):  # each at its best
            params, gaps = np.zeros(4), [gap(np.zeros(4))]
            for own in c.T:
                slopes = np.einsum("jnd,jn->jd", x, x @ params - y) / 20
                params = params - step * own @ slopes / k
                gaps.append(gap(params))
            if not best or np.mean(gaps[20:]) < np.mean(best[20:]):
                best = gaps
        at = np.concatenate([[0], np.cumsum(played.waited)])
        axes.semilogy(at, np.array(best) / best[0], color=colour, label=name)
    axes.set(xlabel="seconds", ylabel="gap to the least loss, of the first")
    axes.set(xlim=(0, 120), ylim=(1e-5, 2))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


PICTURES = {
    "run": run,
    "holdings": holdings,
    "codes": codes,
    "waiting": waiting,
    "decoders": decoders,
    "phases": phases,
}


def write(folder: Path) -> None:
    """Writes all of them; the same versions give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "jgc",
        "font.family": "sans-serif",
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with mpl.rc_context(settings):
        for name, draw in PICTURES.items():
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
