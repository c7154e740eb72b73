"""The page that a watched run leaves: one file of HTML, no script, nothing fetched."""

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
tr.chronic { background: #fbe3e0; } tr.occasional { background: #fdf6dc; }
svg { display: block; width: 100%; height: 1.6rem; background: #f6f6f6; }
"""


def page(
    head: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    names: Sequence[str],
    latencies: Sequence[Float[np.ndarray, " k"]],
) -> str:
    """The whole page.

    Args:
        head: the run in a line.
        headings: of the table's columns.
        rows: of the table; the last cell is the kind of worker.
        names: of the workers.
        latencies: of the last iterations, infinite where no answer came.
    """
    lines = [
        f'<tr class="{escape(row[-1])}">'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    ]
    heads = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><meta charset="utf-8"><title>Workers</title>',
            f"<style>{_STYLE}</style>",
            f"<h1>Workers</h1><p>{escape(head)}</p>",
            f"<table><tr>{heads}</tr>",
            *lines,
            "</table>",
            *_pictures(names, latencies),
            "</html>",
            "",
        ]
    )


def _pictures(
    names: Sequence[str], latencies: Sequence[Float[np.ndarray, " k"]]
) -> list[str]:
    if not latencies:
        return []
    seconds = np.array(latencies)
    came = seconds[np.isfinite(seconds)]
    top = float(came.max()) if came.size else 1.0
    width = len(latencies)
    pictures = [
        f"<h2>The last {width} iterations</h2><p>Full height is {top:.3g} s; where "
        "there is no bar, no answer came.</p>"
    ]
    for name, own in zip(names, seconds.T, strict=True):
        bars = "".join(
            f'<rect x="{t}" y="{1 - value / top:.4f}" width="0.8" '
            f'height="{value / top:.4f}" fill="#46699b"/>'
            for t, value in enumerate(own)
            if np.isfinite(value)
        )
        pictures.append(
            f"<div>{escape(name)}</div>"
            f'<svg viewBox="0 0 {width} 1" preserveAspectRatio="none">{bars}</svg>'
        )
    return pictures
