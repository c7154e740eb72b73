"""Where jgc keeps what can be made again: prepared data, compiled steps."""

import os
from pathlib import Path

from jgc._extras import require

VARIABLE = "JGC_CACHE"


def user_cache() -> Path:
    """The folder that $JGC_CACHE names, or the platform's own for the user's caches.

    On Linux ~/.cache/jgc, or in $XDG_CACHE_HOME; it need not exist yet.

    Raises:
        ImportError: platformdirs, of the extra `experiments`, is not installed.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return require("platformdirs", extra="experiments").user_cache_path("jgc", False)
