"""Optional dependencies: one error that names the extra to install."""

import importlib
from types import ModuleType


def require(module: str, *, extra: str) -> ModuleType:
    """Import `module`, which belongs to the optional dependency group `extra`.

    Raises:
        ImportError: `module` is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ImportError(
            f"{module} is not installed; it comes with jgc's extra {extra!r}: "
            f"pip install 'jgc[{extra}]'"
        ) from error
