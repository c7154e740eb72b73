import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jgc.detection.models import layers


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("shape", [(6, 6), (7, 5), (4, 9), (2, 2), (1, 1)])
def test_shifted_depthwise_is_the_grouped_convolution(shape, size, stride):
    key = jax.random.key(0)
    x = jax.random.normal(key, (2, *shape, 4))
    kernel = jax.random.normal(key, (size, size, 4))

    def both(function):
        @jax.jit
        def run(x, kernel):
            y, pull = jax.vjp(lambda x, k: function(x, k), x, kernel)
            return y, pull(jnp.cos(jnp.arange(y.size)).reshape(y.shape))

        return run(x, kernel)

    expected = both(lambda x, k: layers.grouped_depthwise(x, k, stride=stride))
    actual = both(lambda x, k: layers.depthwise_conv(x, k, stride))
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_depthwise_runs_shifted_on_a_cpu_and_grouped_elsewhere():
    arguments = jnp.zeros((1, 6, 6, 4)), jnp.zeros((3, 3, 4))
    gradient = jax.jit(jax.grad(lambda x, k: layers.depthwise_conv(x, k).sum(), (0, 1)))
    text = {
        platform: gradient.trace(*arguments).lower(lowering_platforms=(platform,))
        for platform in ("cpu", "cuda")
    }
    assert "convolution" not in text["cpu"].as_text()
    assert "convolution" in text["cuda"].as_text()


def test_depthwise_gradients_under_vmap_are_each_examples_own():
    x = jax.random.normal(jax.random.key(0), (3, 1, 6, 6, 4))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 4))
    gradient = jax.grad(lambda k, x: (layers.depthwise_conv(x, k, 2) ** 2).sum())
    together = jax.vmap(gradient, in_axes=(None, 0))(kernel, x)
    for one, alone in zip(x, together, strict=True):
        np.testing.assert_allclose(gradient(kernel, one), alone, rtol=1e-5, atol=1e-5)


def test_pointwise_is_a_1x1_convolution():
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    kernel = jax.random.normal(jax.random.key(1), (4, 6))

    def convolution(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel[None, None],
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    for argument in (0, 1):
        actual, expected = (
            jax.grad(lambda *a, f=f: (f(*a) ** 2).sum(), argument)(x, kernel)
            for f in (layers.pointwise, convolution)
        )
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [8, 24, 96, 184])
def test_group_norm_is_flaxs(channels):
    key = jax.random.key(0)
    x = 3 * jax.random.normal(key, (2, 5, 4, channels)) + 1
    ours = layers.GroupNorm()
    theirs = nn.GroupNorm(layers.num_groups(channels), epsilon=1e-3)
    params = jax.tree.map(
        lambda p: p + jax.random.normal(key, p.shape), ours.init(key, x)
    )

    def run(module):
        return jax.value_and_grad(
            lambda p, x: jnp.sin(module.apply(p, x)).sum(), (0, 1)
        )

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
