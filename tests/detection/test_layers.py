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


@pytest.mark.parametrize("size", [1, 3])
def test_strided_convolutions_are_flaxs(size):
    x = jax.random.normal(jax.random.key(0), (2, 7, 6, 4))
    ours = layers.ConvNorm(8, size, stride=2, activation=None, norm="frozen")
    theirs = nn.Conv(8, (size, size), 2, padding=size // 2, use_bias=False)
    params = ours.init(jax.random.key(1), x)
    kernel = params["params"]["conv"]["kernel"].reshape(size, size, 4, 8)
    expected = theirs.apply({"params": {"kernel": kernel}}, x)
    np.testing.assert_allclose(
        ours.apply(params, x), expected / jnp.sqrt(1 + 1e-5), atol=1e-4
    )


def test_no_product_is_fused_with_a_strided_operand():
    # XLA's compiler for NVIDIA GPUs ended the process on RetinaNet's, for two images.
    x = jnp.zeros((2, 8, 8, 4))
    module = layers.ConvNorm(8, 1, stride=2)
    params = module.init(jax.random.key(0), x)
    run = jax.jit(module.apply).trace(params, x).lower(lowering_platforms=("cuda",))
    operations = [
        name
        for line in run.as_text().splitlines()
        for name in ("slice", "optimization_barrier", "dot_general")
        if f"stablehlo.{name}" in line
    ]
    assert operations == ["slice", "optimization_barrier", "dot_general"]
