"""Starting an experiment from the command line, with errors that a user can act on.

`experiment` is the main of every room that has a config and a working directory,
`report` of what redraws one, `run` of any other program. Flags are defined when a
program starts: importing one defines none.
"""

import difflib
import logging
import runpy
import sys
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
from absl import app, flags
from absl import logging as absl_logging
from ml_collections import ConfigDict, config_flags

from experiments.common import compilation, memory, processes, stopping
from experiments.common.errors import InputError
from experiments.common.workdir import check_same_experiment, claim, locked

__all__ = ["InputError", "experiment", "report", "run"]

Prepared = TypeVar("Prepared")
_GOES_ON = "the same command goes on where this one stopped"


def experiment(
    prepare: Callable[[Any, Path], Prepared],
    work: Callable[[Prepared, Any, Path], None],
    *,
    several_processes: bool = False,
    may_grow: Container[str] = (),
    how_to_go_on: str = _GOES_ON,
) -> None:
    """The program of an experiment: --config, --workdir and what they all have.

    Args:
        prepare: `prepare(config, workdir)`, everything that wrong input can stop, by
            ValueError, OSError or, of an extra, ImportError.
        work: `work(prepared, config, workdir)`, in a working directory that is this
            config's and nobody else's. With several processes it runs in all.
        several_processes: whether it can.
        may_grow: settings of which more may be asked later, see `workdir`.
        how_to_go_on: after a signal or on a full disk.
    """
    config_flags.DEFINE_config_file("config", lock_config=True)
    flags.DEFINE_string("workdir", None, "where results go", required=True)
    flags.mark_flag_as_required("config")
    compilation.define_flags()
    memory.define_flags()
    if several_processes:
        processes.define_flags()

    def main() -> None:
        values = flags.FLAGS
        config, workdir = values.config, Path(values.workdir)
        if values.keep_freed_memory:
            memory.keep_freed()
        if several_processes:
            processes.join(
                values.coordinator, values.num_processes, values.process_index
            )
        with ExitStack() as stack:
            stack.enter_context(stopping.stopped_by_signals(how_to_go_on))
            stack.enter_context(compilation.cached(values.compilation_cache))

            def hold() -> None:
                if processes.is_writer():
                    stack.enter_context(locked(workdir))
                    check_same_experiment(config, workdir, may_grow=may_grow)

            processes.agree(hold)
            processes.check_one_experiment(config, workdir)
            prepared = processes.agree(lambda: prepare(config, workdir))
            if processes.is_writer():
                claim(config, workdir)
            work(prepared, config, workdir)
        if processes.is_writer():
            print(f"\nResults are in {workdir.absolute()}:")
            for entry in sorted(workdir.glob("[!.]*")):
                print(f"  {entry.name}")

    run(main, how_to_go_on=how_to_go_on)


def report(redraw: Callable[[Path], None]) -> None:
    """The program that redraws what an experiment left; errors as of `experiment`."""
    flags.DEFINE_string("workdir", None, "of a finished experiment", required=True)

    def main() -> None:
        workdir = Path(flags.FLAGS.workdir)
        try:
            redraw(workdir)
        except FileNotFoundError as error:
            raise InputError(error) from error

    run(main, how_to_go_on="the same command draws it")


def run(
    main: Callable[[], None],
    *,
    default_config: Path | None = None,
    how_to_go_on: str = _GOES_ON,
) -> None:
    """Parses the flags and calls `main`; an `InputError` ends with its message alone.

    Logs of this project are shown; of the libraries below it, warnings only, unless
    --verbosity asks for more.

    Args:
        main: the program.
        default_config: the config file that holds where no --config is given.
        how_to_go_on: after a signal or on a full disk.
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
            _leave(1, f"error: {error}")
        except stopping.Stopped as error:
            stopping.end(error.number, how_to_go_on)
        except Exception as error:
            what = stopping.full_disk(error)
            if what is not None:
                _leave(
                    1, f"error: no room to write ({what}); make some: {how_to_go_on}"
                )
            if processes.is_lost(error):
                _leave(1, f"error: another process ended; {how_to_go_on}, in all")
            raise

    app.run(wrapped, flags_parser=partial(_parse, default_config))


def _leave(code: int, line: str) -> None:
    """Not waiting for processes that are told the same, or wait for this one."""
    if jax.distributed.is_initialized():
        stopping.leave(code, line)
    print(line, file=sys.stderr)
    sys.exit(code)


def _parse(default_config: Path | None, arguments: list[str]) -> list[str]:
    names = [argument.lstrip("-").split("=")[0] for argument in arguments]
    if default_config and "config" not in names:
        # A default in the flag's definition would raise there, at a wrong override.
        arguments = [arguments[0], f"--config={default_config}", *arguments[1:]]
    arguments = _without_overridden(arguments)
    try:
        return flags.FLAGS(arguments)
    except (flags.Error, OSError, InputError) as error:  # the last two: the config
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
    file, *form = files[-1].split(":", 1)
    config = runpy.run_path(file)["get_config"](*form)
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
