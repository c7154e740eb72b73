"""Compiled programs kept between starts: the second start of a job compiles nothing."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from absl import flags

from jgc._cache import user_cache

_LOG = logging.getLogger(__name__)
_OFF = "off"
_REQUESTS = "/jax/compilation_cache/compile_requests_use_cache"
_HITS = "/jax/compilation_cache/cache_hits"


def define_flags() -> None:
    """--compilation_cache, of experiments."""
    flags.DEFINE_string(
        "compilation_cache",
        "",
        "folder of compiled programs; empty: `compiled` in the user's cache directory "
        f"or $JGC_CACHE; {_OFF}: none",
    )


@contextmanager
def cached(folder: str) -> Iterator[None]:
    """Keeps what is compiled within in `folder`, and logs how much was found there.

    Args:
        folder: as --compilation_cache has it. JAX_COMPILATION_CACHE_DIR goes before
            the default.
    """
    if folder == _OFF:
        jax.config.update("jax_enable_compilation_cache", False)
        yield
        return
    own = os.environ.get("JAX_COMPILATION_CACHE_DIR") or user_cache() / "compiled"
    directory = Path(folder or own).expanduser().absolute()
    jax.config.update("jax_compilation_cache_dir", str(directory))
    # All programs: hundreds of small ones take as long as a large one.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    seen: Counter[str] = Counter()

    def count(event: str, **_: object) -> None:
        seen[event] += 1

    jax.monitoring.register_event_listener(count)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_listener(count)
        found = seen[_HITS]
        _LOG.info(
            "Compiled %d programs, found %d in %s",
            seen[_REQUESTS] - found,
            found,
            directory,
        )
