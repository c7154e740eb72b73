"""The API reference: a page for each public module, of the names in its `__all__`.

A new module or name appears by itself. A public name without a docstring is a warning,
and so is one that no page ended up with.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

import jgc

_LOG = logging.getLogger(__name__)
_PACKAGE = Path(jgc.__file__).parent


def public_modules() -> list[str]:
    """All modules of jgc of which no part is underscored, in order."""
    names = []
    for path in _PACKAGE.rglob("*.py"):
        parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not any(part.startswith("_") for part in parts):
            names.append(".".join(parts))
    return sorted(names)


def public_names(module: ModuleType) -> dict[str, Any]:
    """What `__all__` lists, but for modules; without one, what is defined there."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and getattr(value, "__module__", None) == module.__name__
        ]
    found = {name: getattr(module, name) for name in names}
    return {name: x for name, x in found.items() if not inspect.ismodule(x)}


def _page(module: ModuleType) -> str:
    names = public_names(module)
    lines = [f"# {module.__name__}", "", "```{eval-rst}"]
    lines += [f".. automodule:: {module.__name__}", ""]
    # Dunder names such as `__version__` have a line in the text, no entry in the table.
    listed = [name for name in names if not name.startswith("__")]
    if listed:
        lines += [".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   {name}" for name in listed] + [""]
    for name, value in names.items():
        lines += [*_entry(module.__name__, name, value), ""]
    return "\n".join([*lines, "```", ""])


def _entry(module: str, name: str, value: Any) -> Iterator[str]:
    if comment := _comment(name, value):
        yield from (f".. py:data:: {name}", "", f"   {comment}")
        return
    if inspect.isclass(value):
        yield from (f".. autoclass:: {module}.{name}", "   :members:")
    elif inspect.isroutine(inspect.unwrap(value)):
        yield f".. autofunction:: {module}.{name}"
    else:  # a value that is described by its class, such as a decoder without data
        yield from (f".. autodata:: {module}.{name}", "   :no-value:")
        if not type(value).__module__.startswith("jgc."):
            _LOG.warning("%s.%s has no comment that begins with #:", module, name)
    if not inspect.getdoc(value):
        _LOG.warning("%s.%s has no docstring", module, name)


def _comment(name: str, value: Any) -> str:
    """What a `#:` comment above a constant says, wherever in jgc it is defined."""
    if inspect.isclass(value) or inspect.isroutine(inspect.unwrap(value)):
        return ""
    for path in _PACKAGE.rglob("*.py"):
        comment = re.search(rf"^#: (.*)\n{name}\b.* = ", path.read_text(), re.MULTILINE)
        if comment:
            return comment[1]
    return ""


def write_pages(app: Sphinx) -> None:
    """Writes `api/`, leaving pages alone that are as they should be."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    modules = public_modules()
    pages = {f"{name}.md": _page(importlib.import_module(name)) for name in modules}
    listed = "\n".join(modules)
    pages["index.md"] = (
        "# API reference\n\nEvery public name, from each module's `__all__`. What an "
        "underscore hides may change without notice.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    )
    for old in {path.name for path in folder.glob("*.md")} - pages.keys():
        (folder / old).unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def check_names(app: Sphinx, _: Exception | None) -> None:
    """Warns of public names that the reference lacks."""
    documented = app.env.domains["py"].data["objects"]
    for module in public_modules():
        for name in public_names(importlib.import_module(module)):
            if f"{module}.{name}" not in documented:
                _LOG.warning("%s.%s is in no page of the reference", module, name)


def _is_skipped(
    app: Sphinx, kind: str, name: str, value: Any, skip: bool, options: Any
) -> bool | None:
    # Fields of named tuples: the class's own docstring says what they are.
    made = ("Alias for field number", "Create new instance of")
    return True if (getattr(value, "__doc__", None) or "").startswith(made) else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Of Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-skip-member", _is_skipped)
    app.connect("build-finished", check_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
