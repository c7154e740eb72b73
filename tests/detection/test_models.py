import jax
import jax.numpy as jnp
import pytest

from jgc.detection import count_parameters, ssdlite
from jgc.detection.models import MobileNetV3Features, MobileNetV3Large


def test_the_classifier_has_torchvisions_count():
    images = jnp.zeros((1, 224, 224, 3))
    variables = jax.eval_shape(MobileNetV3Large().init, jax.random.key(0), images)
    assert count_parameters(variables["params"]) == 5_483_032


def test_ssdlite_has_torchvisions_count():
    params = jax.eval_shape(ssdlite(num_classes=91).init, jax.random.key(0))
    assert count_parameters(params) == 3_440_060
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("reduced_tail", [False, True])
def test_features_at_every_stride(reduced_tail):
    network = MobileNetV3Features(reduced_tail=reduced_tail)
    images = jax.ShapeDtypeStruct((2, 90, 64, 3), jnp.float32)
    maps, _ = jax.eval_shape(
        lambda key, x: network.init_with_output(key, x, (4, 8, 16, 32)),
        jax.random.key(0),
        images,
    )
    last = 480 if reduced_tail else 960
    assert [m.shape for m in maps] == [
        (2, 23, 16, 72), (2, 12, 8, 240), (2, 6, 4, 672), (2, 3, 2, last),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_classifier_is_its_images_own():
    network = MobileNetV3Large(num_classes=7, width=0.25)
    images = jax.random.normal(jax.random.key(0), (3, 32, 32, 3))
    logits, variables = jax.jit(network.init_with_output)(jax.random.key(1), images)
    alone = jax.jit(network.apply)(variables, images[1:2])
    assert logits.shape == (3, 7)
    assert jnp.allclose(logits[1:2], alone, atol=1e-5)
    assert not jnp.allclose(logits[0], logits[1], atol=1e-5)
