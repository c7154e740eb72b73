"""Starting an experiment from the command line, with errors that a user can act on."""

import difflib
import logging
import runpy
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import ConfigDict


class InputError(Exception):
    """What the user passed cannot be used; raised before any work."""


def run(main: Callable[[], None], *, default_config: Path | None = None) -> None:
    """Parses the flags and calls `main`; an `InputError` ends with its message alone.

    Logs of this project are shown; of the libraries below it, warnings only, unless
    --verbosity asks for more.

    Args:
        main: the program.
        default_config: the config file that holds where no --config is given.
    """

    def wrapped(arguments: list[str]) -> None:
        if len(arguments) > 1:
            sys.exit(f"error: unknown arguments {arguments[1:]}")
        for name in ("experiments", "jgc"):
            logging.getLogger(name).setLevel(logging.INFO)
        if not flags.FLAGS["verbosity"].present:
            absl_logging.set_verbosity(absl_logging.WARNING)
        try:
            main()
        except InputError as error:
            sys.exit(f"error: {error}")

    app.run(wrapped, flags_parser=partial(_parse, default_config))


def _parse(default_config: Path | None, arguments: list[str]) -> list[str]:
    names = [argument.lstrip("-").split("=")[0] for argument in arguments]
    if default_config and "config" not in names:
        # A default in the flag's definition would raise there, at a wrong override.
        arguments = [arguments[0], f"--config={default_config}", *arguments[1:]]
    arguments = _without_overridden(arguments)
    try:
        return flags.FLAGS(arguments)
    except (flags.Error, OSError) as error:  # OSError: the config file
        sys.exit(f"error: {error}")
    except (AttributeError, KeyError):
        # ml_collections does not say which override names a key that is not there.
        for message in _unknown_keys(arguments):
            sys.exit(f"error: {message}")
        raise


def _without_overridden(arguments: list[str]) -> list[str]:
    """Of several values for one setting the last; ml_collections appends tuples."""
    kept: dict[object, list[str]] = {}
    for number, argument in enumerate(arguments):
        name, *value = argument.lstrip("-").split("=", 1)
        if argument.startswith("-") and name.startswith("config.") and value:
            kept.pop(name, None)
            kept[name] = [argument]
        else:
            kept[number] = [argument]
    return [argument for group in kept.values() for argument in group]


def _unknown_keys(arguments: list[str]) -> Iterator[str]:
    """What is wrong with each `--config.some.key=value` whose key does not exist."""
    options = [argument.lstrip("-").split("=", 1) for argument in arguments]
    files = [option[1] for option in options if option[0] == "config" and option[1:]]
    if not files:
        return
    config = runpy.run_path(files[-1])["get_config"]()
    for name, *_ in options:
        prefix, *path = name.split(".")
        node: Any = config
        for key in path if prefix == "config" else ():
            if not isinstance(node, ConfigDict) or key not in node:
                yield _no_such_key(name, key, node)
                break
            node = node[key]


def _no_such_key(name: str, key: str, node: Any) -> str:
    accepted = sorted(node) if isinstance(node, ConfigDict) else []
    nearest = difflib.get_close_matches(key, accepted, n=1)
    hint = f" (did you mean {nearest[0]}?)" if nearest else ""
    return (
        f"--{name}: there is no setting {key!r}{hint}; accepted here: "
        f"{', '.join(accepted) or 'nothing'}"
    )
