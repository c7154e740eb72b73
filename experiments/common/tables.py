"""Tables for people and pictures, into files that are whole or not there."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from jgc._files import write_atomically

Row = Sequence[str]


def print_table(header: Row, rows: Sequence[Row], *, title: str, width: int) -> None:
    """Prints a table, at least `width` characters wide where no terminal says."""
    table = Table(*header, title=title)
    for row in rows:
        table.add_row(*row)
    Console(width=max(Console().width, width)).print(table)


def write_markdown(path: Path, header: Row, rows: Sequence[Row]) -> None:
    """Writes a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    write_atomically(path, "".join(f"| {' | '.join(line)} |\n" for line in lines))


def write_picture(path: Path, figure: Figure, *, dpi: int) -> None:
    """Writes a figure as PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=dpi)
    write_atomically(path, picture.getvalue())


def write_pages(path: Path, pages: Sequence[Figure], *, dpi: int) -> None:
    """Writes one figure as `path`, several as `NAME-1.png`, `NAME-2.png` and so on."""
    for old in path.parent.glob(f"{path.stem}-[0-9]*{path.suffix}"):
        old.unlink()
    if len(pages) == 1:
        write_picture(path, pages[0], dpi=dpi)
        return
    path.unlink(missing_ok=True)
    for number, figure in enumerate(pages, start=1):
        numbered = path.with_name(f"{path.stem}-{number}{path.suffix}")
        write_picture(numbered, figure, dpi=dpi)
