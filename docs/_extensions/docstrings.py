"""Docstrings as Sphinx reads them: what jgc writes as in Markdown, in its markup.

Indented blocks are code or formulas, not quotations; tables are rows of `|`; `*` and
`|` are themselves, as in β* and |block|.
"""

import ast
import re
import textwrap
from typing import Any

from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

# Blocks under these lines are Google's sections.
_SECTION = re.compile(r"(Args|Attributes|Example|Raises|Returns|Yields):$")


def converted(lines: list[str]) -> list[str]:
    """The same docstring with code blocks and tables in reStructuredText."""
    out: list[str] = []
    last = ""  # the line that is not empty and not indented
    is_session = False  # of the interpreter, which ends at an empty line
    at = 0
    while at < len(lines):
        line = lines[at]
        begins = not out or not out[-1].strip()
        if line.startswith("    ") and begins and not _SECTION.match(last):
            block, at = _while(lines, at, lambda x: x.startswith("    ") or not x)
            out += _code(block)
        elif line.startswith("| "):
            block, at = _while(lines, at, lambda x: x.startswith("|"))
            out += _table(block)
        else:
            last = line if line and not line.startswith(" ") else last
            is_session = line.lstrip().startswith(">>> ") or (is_session and line != "")
            out.append(line if is_session else _escaped(line))
            at += 1
    return out


def _while(lines: list[str], at: int, belongs: Any) -> tuple[list[str], int]:
    end = at
    while end < len(lines) and belongs(lines[end]):
        end += 1
    return lines[at:end], end


def _escaped(line: str) -> str:
    """The line, whose `*` and `|` are themselves outside of code."""
    parts = line.split("`")
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _code(block: list[str]) -> list[str]:
    text = textwrap.dedent("\n".join(block)).strip("\n")
    try:
        ast.parse(text)
        language = "python"
    except SyntaxError:
        language = "text"
    lines = [f"   {line}" if line else "" for line in text.split("\n")]
    return [f".. code-block:: {language}", "", *lines, ""]


def _table(block: list[str]) -> list[str]:
    rows = [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in block]
    width = len(rows[0])
    out = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows[:1] + rows[2:]:
        cells = row + [""] * (width - len(row))
        out += [f"   {'*' if i == 0 else ' '} - {x}" for i, x in enumerate(cells)]
    return [*out, ""]


def _process(
    app: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    lines[:] = converted(lines)


def _signature(
    app: Sphinx, kind: str, name: str, value: Any, options: Any, args: Any, returns: Any
) -> tuple[Any, Any]:
    return args and _named(args), returns and _named(returns)


def _named(signature: str) -> str:
    """Types by the names that they have in the source."""
    for mode in ("smart", "fully-qualified-except-typing"):
        signature = signature.replace(
            stringify_annotation(ArrayLike, mode), "ArrayLike"
        )
    return signature.replace("jaxlib._jax.Array", "Array")


def setup(app: Sphinx) -> dict[str, bool]:
    """Of Sphinx."""
    app.connect("autodoc-process-docstring", _process, priority=400)  # before Google's
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
