import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection.models import _convolutions as convolutions


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

    expected = both(lambda x, k: convolutions.grouped_depthwise(x, k, stride=stride))
    actual = both(lambda x, k: convolutions.depthwise_conv(x, k, stride))
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_float64_is_kept():
    def gradients(convolution):
        x = jax.random.normal(jax.random.key(0), (2, 7, 6, 4), jnp.float64)
        kernel = jax.random.normal(jax.random.key(1), (3, 3, 4), jnp.float64)
        return jax.grad(lambda *a: (convolution(*a) ** 2).sum(), (0, 1))(x, kernel)

    with jax.enable_x64(True):
        ours = gradients(lambda x, k: convolutions.depthwise_conv(x, k, 2))
        theirs = gradients(lambda x, k: convolutions.grouped_depthwise(x, k, stride=2))
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == jnp.float64
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_bfloat16_is_rounded_once(stride):
    x = jax.random.normal(jax.random.key(0), (2, 9, 8, 16), jnp.bfloat16)
    kernel = jax.random.normal(jax.random.key(1), (5, 5, 16), jnp.bfloat16)
    y, pull = jax.vjp(lambda x, k: convolutions.depthwise_conv(x, k, stride), x, kernel)
    wide, pull_wide = jax.vjp(
        lambda x, k: convolutions.grouped_depthwise(x, k, stride=stride),
        x.astype(jnp.float32),
        kernel.astype(jnp.float32),
    )
    found, exact = (y, *pull(y)), (wide, *pull_wide(y.astype(jnp.float32)))
    for rounded, value in zip(found, exact, strict=True):
        assert rounded.dtype == jnp.bfloat16
        np.testing.assert_allclose(
            rounded.astype(jnp.float32), value, rtol=2**-8, atol=1e-3
        )


@pytest.mark.parametrize(
    ("platform", "is_grouped"), [("cpu", False), ("cuda", False), ("tpu", True)]
)
def test_depthwise_runs_shifted_where_that_is_known_to_be_faster(platform, is_grouped):
    arguments = jnp.zeros((1, 6, 6, 4)), jnp.zeros((3, 3, 4))
    gradient = jax.jit(
        jax.grad(lambda x, k: convolutions.depthwise_conv(x, k).sum(), (0, 1))
    )
    lowered = gradient.trace(*arguments).lower(lowering_platforms=(platform,))
    assert ("convolution" in lowered.as_text()) == is_grouped


def test_depthwise_gradients_under_vmap_are_each_examples_own():
    x = jax.random.normal(jax.random.key(0), (3, 1, 6, 6, 4))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 4))
    gradient = jax.grad(lambda k, x: (convolutions.depthwise_conv(x, k, 2) ** 2).sum())
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
            for f in (convolutions.pointwise, convolution)
        )
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
