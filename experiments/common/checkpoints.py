"""Saving and restoring a run's state so that a killed run goes on as if it had not."""

from pathlib import Path
from typing import TypeVar

import jax

from jgc._extras import require

State = TypeVar("State")


class Checkpoints:
    """The newest states of one run in a folder of its own, each written atomically.

    A context manager around orbax's `CheckpointManager`; a save that was cut off
    leaves the one before it as the newest.
    """

    def __init__(self, directory: Path, *, keep: int = 2) -> None:
        """Opens `directory`, which is made if it does not exist.

        Args:
            directory: the run's own.
            keep: how many of the newest states to keep.

        Raises:
            ImportError: orbax is not installed (extra "experiments").
        """
        self._orbax = require("orbax.checkpoint", extra="experiments")
        self._manager = self._orbax.CheckpointManager(
            directory.absolute(),
            options=self._orbax.CheckpointManagerOptions(
                max_to_keep=keep, create=True, enable_async_checkpointing=False
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self._manager.close()

    def save(self, iteration: int, state: State) -> None:
        """Writes the state after `iteration` iterations."""
        self._manager.save(
            iteration, args=self._orbax.args.StandardSave(_as_data(state)), force=True
        )

    def restore_newest(self, like: State) -> State | None:
        """The newest state, in `like`'s shapes and on its devices; None if none."""
        newest = self._manager.latest_step()
        if newest is None:
            return None
        abstract = jax.tree.map(self._orbax.utils.to_shape_dtype_struct, _as_data(like))
        found = self._manager.restore(
            newest, args=self._orbax.args.StandardRestore(abstract)
        )
        return jax.tree.map(
            lambda leaf, kind: (
                jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(kind))
                if _is_key(kind)
                else leaf
            ),
            found,
            like,
        )


def _as_data(state: State) -> State:
    """Random keys as the words that they are."""
    return jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state
    )


def _is_key(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )
