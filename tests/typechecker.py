"""What the import hook of `JGC_TYPECHECK=1` checks calls of jgc with."""

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype
from numpy.typing import ArrayLike

check_calls = beartype(
    conf=BeartypeConf(
        hint_overrides=FrozenDict(
            {
                # An int is a float, as mypy has it, and NumPy's are both.
                int: int | np.integer,
                float: float | int | np.floating | np.integer,
                # NumPy's own hint has complex alone for Python's numbers, and asks
                # sequences for __reversed__, which tuples lack.
                ArrayLike: ArrayLike | int | float | tuple,
                ArrayLike | None: ArrayLike | int | float | tuple | None,
            }
        ),
    )
)
