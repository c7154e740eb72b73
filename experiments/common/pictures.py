"""What all pictures of experiments share: a page, legends beside curves, styles."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

_WIDTH = 9.0  # inches of a page
_ROW = 2.9
_LEGEND_COLUMNS, _LEGEND_ROW = 3, 0.24
_LINES = ("-", "--", "-.", ":")
_MARKERS = "os^vDp*XhP<>d"


class Style(NamedTuple):
    """How a curve looks in all panels."""

    color: str
    line: str
    marker: str

    @classmethod
    def of(cls, number: int) -> "Style":
        """Four solid lines, four dashed ones and so on: equal curves stay visible."""
        return cls(
            f"C{number % 10}",
            _LINES[number // 4 % 4],
            _MARKERS[number % len(_MARKERS)],
        )


def page(
    rows: int, columns: int, *, num_entries: int, **subplots: Any
) -> tuple[Figure, np.ndarray]:
    """A figure as wide as a page, and its axes (rows, columns).

    Args:
        rows: of panels.
        columns: of panels.
        num_entries: of the legend below them.
        subplots: as `Figure.subplots` has them.
    """
    legend = _LEGEND_ROW * -(-num_entries // _LEGEND_COLUMNS) + 0.4
    figure = Figure(figsize=(_WIDTH, _ROW * rows + legend), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **subplots)


def legend_below(figure: Figure, axes: np.ndarray) -> None:
    """One legend for all panels, below them: it covers no curve."""
    entries: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="outside lower center",
            ncols=min(_LEGEND_COLUMNS, len(entries)),
            fontsize="small",
        )
