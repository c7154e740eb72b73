"""The table and the picture of `experiments.replay`, from its rows."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.common.tables import print_table, write_markdown, write_picture
from experiments.replay.virtual_time import seconds_to


def write_report(
    rows: list[dict[str, Any]], least_loss: float, config: Any, workdir: Path
) -> None:
    """Prints the table; writes `table.md` and `replay.png`.

    Args:
        rows: of the runs, each with the losses of every step size.
        least_loss: L*, or the least that was seen.
        config: of the experiment.
        workdir: where to.
    """
    best = best_settings(rows, least_loss, config.targets)
    everyone = best.get(("wait for all", config.optimizers[0]), {})
    header = ["method", "optimizer"]
    for target in config.targets:
        header += [f"s to {target:.2g}", "over all", "setting"]
    cells = []
    for (method, optimizer), found in best.items():
        line = [method, optimizer]
        for target in config.targets:
            seconds, row, _ = found[target]
            reference = everyone.get(target, (np.nan,))[0]
            line += [
                _number(seconds),
                _number(seconds / reference),
                row["name"] if np.isfinite(seconds) else "never",
            ]
        cells.append(line)
    title = "virtual seconds to shares of the initial gap, each at its best"
    print_table(header, cells, title=title, width=180)
    write_markdown(workdir / "table.md", header, cells)
    for row in rows:
        if row["method"] == "advised":
            print(
                f"Advised: {row['name']}, predicted {row['predicted']:.3f} of the time "
                "of waiting for all."
            )
    figure = draw(best, least_loss, min(config.targets))
    write_picture(workdir / "replay.png", figure, dpi=120)


def best_settings(
    rows: list[dict[str, Any]], least_loss: float, targets: tuple[float, ...]
) -> dict[tuple[str, str], dict[float, tuple[float, dict[str, Any], int]]]:
    """Of each method and optimizer, and target: seconds, row and step size."""
    best: dict = {}
    for row in rows:
        losses, at = np.array(row["losses"], np.float64), np.array(row["at"])
        found = best.setdefault((row["method"], row["optimizer"]), {})
        for target in targets:
            seconds, step = seconds_to(target, losses, at, least_loss)
            if target not in found or seconds < found[target][0]:
                found[target] = (seconds, row, step)
    return best


def draw(best: dict, least_loss: float, target: float) -> Figure:
    """Gap against seconds at the settings best for a target."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    for (method, optimizer), found in best.items():
        _, row, step = found[target]
        gap = np.array(row["losses"][step]) - least_loss
        label = f"{method}, {optimizer}" if optimizer != "sgd" else method
        gap = np.maximum(gap / gap[0], target / 10)
        axis.plot(row["at"], gap, label=label, linewidth=2 if "advised" in label else 1)
    longest = [f[target][0] for f in best.values() if np.isfinite(f[target][0])]
    axis.axhline(target, color="0.5", linestyle="--")
    axis.set(
        yscale="log",
        xlabel="virtual seconds",
        ylabel="(L − L*) over its start",
        xlim=(0, 1.2 * max(longest, default=1.0)),
        ylim=(target / 3, 1.5),
    )
    axis.legend(fontsize="small")
    return figure


def _number(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "–"
