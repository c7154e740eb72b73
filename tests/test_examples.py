"""The examples of docstrings give what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

import jgc

PACKAGE = Path(jgc.__file__).parent
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]


def test_modules_with_examples_are_found():
    assert {"jgc._plan", "jgc.gradients", "jgc.residual._exact"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("jgc"):
            raise
        pytest.skip(f"{name} needs {error.name}")
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed
