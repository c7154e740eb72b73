"""Blocks of trials give what all trials at once give."""

import jax
import numpy as np
import pytest

from jgc.decoders._blocks import in_blocks

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("trials", [0, 1, 4, 5, 8, 11])
def test_blocks_agree_with_all_at_once(trials):
    rows = RNG.normal(size=(3, trials))
    mask = RNG.random((5, trials)) < 0.5
    seen = []

    def function(rows, mask):
        seen.append(rows.shape[-1])
        return rows[:, None] * mask

    found = in_blocks(function, rows, mask, size=4)
    np.testing.assert_allclose(found, rows[:, None] * mask, rtol=1e-6)
    if jax.default_backend() == "cpu":
        assert max(seen) <= 4
