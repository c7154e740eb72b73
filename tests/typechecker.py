"""What the import hook of `JGC_TYPECHECK=1` checks calls of jgc with."""

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype
from numpy.typing import ArrayLike

check_calls = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True,  # an int is a float, as mypy has it
        hint_overrides=FrozenDict(
            {
                int: int | np.integer,
                # NumPy's own hint asks for __reversed__, which tuples lack.
                ArrayLike: ArrayLike | tuple,
            }
        ),
    )
)
