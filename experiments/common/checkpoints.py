"""Saving and restoring a run's state so that a killed run goes on as if it had not."""

from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from experiments.common import processes
from experiments.common.stopping import held_back
from jgc._extras import require

State = TypeVar("State")


class Checkpoints:
    """The newest states of one run in a folder of its own, each written atomically.

    A context manager around orbax's `CheckpointManager`; a save that was cut off
    leaves the one before it as the newest. Of several processes the writer saves and
    reads, and the others are sent what it read.
    """

    def __init__(self, directory: Path, *, keep: int = 2) -> None:
        """Opens `directory`, which is made if it does not exist.

        Args:
            directory: the run's own.
            keep: how many of the newest states to keep.

        Raises:
            ImportError: orbax is not installed (extra "experiments").
        """
        self._orbax = orbax = require("orbax.checkpoint", extra="experiments")
        self._manager: Any = None
        if not processes.is_writer():
            return
        directory.mkdir(parents=True, exist_ok=True)
        alone = orbax.options.MultiprocessingOptions(
            primary_host=0, active_processes={0}, barrier_sync_key_prefix="writer"
        )
        several = {} if jax.process_count() == 1 else {"multiprocessing_options": alone}
        self._manager = orbax.CheckpointManager(
            directory.absolute(),
            options=orbax.CheckpointManagerOptions(
                max_to_keep=keep,
                create=False,
                enable_async_checkpointing=False,
                **several,
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._manager is not None:
            self._manager.close()

    def save(self, iteration: int, state: State) -> None:
        """Writes the state after `iteration` iterations."""
        if self._manager is not None:
            data = jax.tree.map(np.asarray, _as_data(state))
            arguments = self._orbax.args.StandardSave(data)
            with held_back():
                self._manager.save(iteration, args=arguments, force=True)

    def restore_newest(self, like: State) -> State | None:
        """The newest state, in `like`'s shapes and on its devices; None if none."""
        newest = None if self._manager is None else self._manager.latest_step()
        is_there = processes.from_writer(np.array(newest is not None))
        if not is_there:
            return None
        found = jax.tree.map(np.asarray, _as_data(like))
        if self._manager is not None:
            arguments = self._orbax.args.StandardRestore(found)
            with held_back():
                found = self._manager.restore(newest, args=arguments)
        return jax.tree.map(_placed, processes.from_writer(found), like)


def _placed(leaf: Any, like: Any) -> Any:
    """The data where `like` has its own."""
    if not isinstance(like, jax.Array):
        return leaf
    if _is_key(like):
        words = jax.device_put(leaf, jax.random.key_data(like).sharding)
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(like))
    return jax.device_put(leaf, like.sharding)


def _as_data(state: State) -> State:
    """Random keys as the words that they are."""
    return jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state
    )


def _is_key(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )
