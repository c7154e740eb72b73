"""Several processes that are one experiment: `jax.distributed`, and one of them writes.

All run the same lines on the same config and workdir. What is on disk is read and
written by the writer alone, and the others are told.
"""

import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from absl import flags
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from experiments.common.errors import InputError

Value = TypeVar("Value")
Tree = TypeVar("Tree")

_MARK = ".processes"
_LONGEST_ERROR = 2000  # bytes
_UNTIL_VISIBLE = 5.0  # seconds that a shared file system may take


def define_flags() -> None:
    """--coordinator, --num_processes and --process_index."""
    flags.DEFINE_string(
        "coordinator", None, "host:port where process 0 can be reached by all others"
    )
    flags.DEFINE_integer("num_processes", 1, "that run this experiment together")
    flags.DEFINE_integer("process_index", 0, "of this one, from 0")


def join(coordinator: str | None, num_processes: int, process_index: int) -> None:
    """Meets the other processes; before JAX has been asked for its devices.

    Raises:
        InputError: the flags do not go together, or the others do not come.
    """
    if not num_processes >= 1 or not 0 <= process_index < num_processes:
        raise InputError(
            f"--num_processes={num_processes} --process_index={process_index}; "
            "accepted: at least 1 process, and an index from 0 to one less"
        )
    if num_processes == 1:
        if coordinator is not None:
            raise InputError(
                f"--coordinator={coordinator} needs --num_processes above 1"
            )
        return
    if coordinator is None:
        raise InputError(f"--num_processes={num_processes} needs --coordinator")
    # Its handler would swallow SIGTERM.
    jax.config.update("jax_enable_preemption_service", False)
    # A process that ends is an error in the others at once, not an abort after a while.
    jax.config.update("jax_enable_recoverability", True)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_index,
            initialization_timeout=120,
            heartbeat_timeout_seconds=20,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"--coordinator={coordinator}: {num_processes} processes did not meet "
            f"there: {error}"
        ) from error


def is_writer() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def agree(do: Callable[[], Value]) -> Value:
    """`do()` on every process; an error on one is an error on all.

    Raises:
        InputError: a ValueError, OSError or ImportError (of an extra) of any.
    """
    value, error = None, None
    try:
        value = do()
    except (ValueError, OSError, ImportError) as raised:
        error = raised
    if jax.process_count() == 1:
        if error is not None:
            raise InputError(error) from error
        return value  # type: ignore[return-value]
    text = str(error or "").encode()[:_LONGEST_ERROR]
    buffer = np.zeros(_LONGEST_ERROR, np.uint8)
    buffer[: len(text)] = np.frombuffer(text, np.uint8)
    texts = [
        bytes(np.asarray(row)).rstrip(b"\0").decode(errors="replace")
        for row in np.asarray(multihost_utils.process_allgather(buffer))
    ]
    for index, message in enumerate(texts):
        if message:
            own = index == jax.process_index()
            raise InputError(message if own else f"process {index}: {message}")
    return value  # type: ignore[return-value]


def check_one_experiment(config: ConfigDict, workdir: Path) -> None:
    """That all processes have the same config, and see the same folder.

    Raises:
        InputError: they do not.
    """
    if jax.process_count() == 1:
        return
    # An earlier experiment's mark is another.
    mark = str(int(from_writer(np.uint32(time.time_ns() % 2**32))))
    settings = zlib.crc32(json.dumps(json.loads(config.to_json())).encode())
    of_writer = int(from_writer(np.uint32(settings)))
    path = workdir / _MARK

    def write() -> None:
        if is_writer():
            path.write_text(mark)

    def read() -> None:
        if settings != of_writer:
            raise ValueError("--config: its settings are not those of process 0")
        last = time.monotonic() + _UNTIL_VISIBLE
        while not path.exists() or path.read_text() != mark:
            if time.monotonic() > last:
                raise ValueError(
                    f"--workdir={workdir} is not the folder of process 0; all "
                    "processes of an experiment share one"
                )
            time.sleep(0.1)

    agree(write)
    agree(read)
    if is_writer():
        path.unlink()


def from_writer(tree: Tree) -> Tree:
    """The writer's arrays on all processes, as NumPy's; equal shapes everywhere."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(tree))


def on_host(tree: Any) -> Any:
    """Arrays that all processes hold whole as this one's own."""
    return tree if jax.process_count() == 1 else jax.tree.map(np.asarray, tree)


def in_step() -> None:
    """Waits for all processes: none leaves while another needs it."""
    agree(lambda: None)


def is_lost(error: Exception) -> bool:
    """Whether the error is that a process of several is gone."""
    return jax.distributed.is_initialized() and isinstance(
        error, jax.errors.JaxRuntimeError
    )
