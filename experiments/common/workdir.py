"""One experiment a working directory: its config stays, and one process runs it."""

import json
import os
import platform
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jgc._extras import require
from jgc._files import write_atomically

_CONFIG = "config.json"
_LOCK, _HOLDER = ".lock", ".lock.holder"


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Makes `workdir` and holds it; the system lets go of it when the process ends.

    Raises:
        ValueError: another process holds it.
        OSError: it cannot be made.
    """
    filelock = require("filelock", extra="experiments")
    workdir.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(workdir / _LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise ValueError(
            f"--workdir={workdir} is in use by {_read_holder(workdir)}; wait for it, "
            "or name another folder"
        ) from None
    try:
        (workdir / _HOLDER).write_text(f"process {os.getpid()} on {platform.node()}")
        yield
    finally:
        lock.release()


def _read_holder(workdir: Path) -> str:
    try:
        return (workdir / _HOLDER).read_text() or "another process"
    except OSError:
        return "another process"


def check_same_experiment(
    config: ConfigDict, workdir: Path, *, may_grow: Container[str] = ()
) -> None:
    """Makes `workdir`, or checks that what it holds was started with `config`.

    Args:
        config: of the experiment.
        workdir: its own.
        may_grow: settings that may ask for more than they did: a tuple for further
            values, a number for a larger one.

    Raises:
        ValueError: it holds another experiment; names the settings that differ.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / _CONFIG
    if not path.exists():
        return
    found, wanted = json.loads(path.read_text()), _plain(config)
    for key in found.keys() & wanted.keys():
        if key in may_grow and _grows(found[key], wanted[key]):
            found[key] = wanted[key]
    differing = _differing_keys(found, wanted)
    if differing:
        raise ValueError(
            f"--workdir={workdir} holds an experiment with other settings of "
            f"{', '.join(differing)}; name a new folder, or the settings in {path}"
        )


def claim(config: ConfigDict, workdir: Path) -> None:
    """Makes `workdir` the experiment's; called once the input is known to be usable."""
    write_atomically(workdir / _CONFIG, json.dumps(_plain(config), indent=2) + "\n")


def read_config(workdir: Path) -> ConfigDict:
    """The config that `workdir` was claimed with.

    Raises:
        FileNotFoundError: `workdir` holds no experiment.
    """
    path = workdir / _CONFIG
    if not path.exists():
        raise FileNotFoundError(f"--workdir={workdir} has no {_CONFIG}")
    return ConfigDict(json.loads(path.read_text()))


def _plain(config: ConfigDict) -> dict:
    """As it comes back from JSON: tuples are lists."""
    return json.loads(config.to_json())


def _grows(found: Any, wanted: Any) -> bool:
    if isinstance(found, list) and isinstance(wanted, list):
        return all(value in wanted for value in found)
    return isinstance(found, int) and isinstance(wanted, int) and found <= wanted


def _differing_keys(found: dict, wanted: dict, prefix: str = "config.") -> list[str]:
    keys: list[str] = []
    for key in sorted(found.keys() | wanted.keys()):
        old, new = found.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            keys += _differing_keys(old, new, f"{prefix}{key}.")
        elif old != new:
            keys.append(prefix + key)
    return keys
