import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jgc.detection.models import _layers as layers


@pytest.mark.parametrize("channels", [8, 96])
def test_group_norm_is_flaxs(channels):
    key = jax.random.key(0)
    x = 3 * jax.random.normal(key, (2, 5, 4, channels)) + 1
    ours = layers.GroupNorm()
    theirs = nn.GroupNorm(layers.num_groups(channels), epsilon=1e-3)
    params = jax.tree.map(
        lambda p: p + jax.random.normal(key, p.shape), ours.init(key, x)
    )

    def run(module):
        def total(params, x):
            return jnp.sin(module.apply(params, x)).sum()

        return jax.jit(jax.value_and_grad(total, (0, 1)))

    for a, b in zip(
        jax.tree.leaves(run(ours)(params, x)),
        jax.tree.leaves(run(theirs)(params, x)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_groups_divide_the_channels():
    for channels in range(8, 1000, 8):
        groups = layers.num_groups(channels)
        assert channels % groups == 0
        assert groups == 1 or channels // groups >= 16
        assert groups <= 32


def test_rounded_channels_lose_at_most_a_tenth():
    assert [layers.round_channels(c) for c in (3, 16, 19.2, 24, 28, 5.6)] == [
        8, 16, 24, 24, 32, 8,
    ]  # fmt: skip
    for channels in range(8, 500):
        assert layers.round_channels(channels) >= 0.9 * channels
