"""What every path must train alike: a loss, a model, its state and its data each."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen, nnx

from jgc.detection import Examples, ssdlite
from jgc.training import Outputs, arrays, partition_loss, partitioned
from jgc.training._loss import LossLike
from tests.training import problems


class Model(NamedTuple):
    loss: LossLike
    params: Any
    examples: Any
    assignment: np.ndarray
    model_state: Any = ()
    learning_rate: float = 0.1
    tolerance: float = 2e-5

    def data(self, num_partitions, batch_size=0):
        return partitioned(
            arrays(self.examples),
            self.assignment,
            num_partitions=num_partitions,
            batch_size=batch_size,
        )


def logistic(num_partitions):
    return Model(
        problems.loss,
        problems.params(),
        jax.tree.map(np.asarray, problems.examples()),
        np.arange(problems.NUM_EXAMPLES) % num_partitions,
    )


class Transformer(linen.Module):
    """One block of attention with dropout, and a head."""

    @linen.compact
    def __call__(self, tokens, *, deterministic):
        x = linen.Embed(11, 8)(tokens)
        x = x + linen.MultiHeadDotProductAttention(num_heads=2, dropout_rate=0.2)(
            linen.LayerNorm()(x), deterministic=deterministic
        )
        x = linen.Dropout(0.3)(x, deterministic=deterministic)
        return linen.Dense(3)(linen.LayerNorm()(x).mean(axis=-2))


def transformer(num_partitions):
    """Flax linen, dropout by the partition's key."""
    rng = np.random.default_rng(1)
    size = 4 * num_partitions
    examples = {
        "tokens": rng.integers(0, 11, (size, 5)),
        "label": rng.integers(0, 3, size),
    }
    module = Transformer()
    params = module.init(jax.random.key(2), examples["tokens"][:1], deterministic=True)[
        "params"
    ]

    def loss(params, examples, key):
        logits = module.apply(
            {"params": params},
            examples["tokens"],
            deterministic=False,
            rngs={"dropout": key},
        )
        return optax.softmax_cross_entropy_with_integer_labels(
            logits, examples["label"]
        )

    assignment = np.arange(size) % num_partitions
    return Model(partition_loss(loss, key=True), params, examples, assignment)


class ConvolutionalNet(linen.Module):
    @linen.compact
    def __call__(self, images):
        x = linen.Conv(4, (3, 3), strides=2)(images)
        x = linen.BatchNorm(use_running_average=False, momentum=0.9)(x)
        return linen.Dense(3)(linen.relu(x).mean(axis=(-3, -2)))


def batch_norm(num_partitions):
    """Flax linen, batch statistics of each partition, and what they run into."""
    rng = np.random.default_rng(2)
    size = 4 * num_partitions
    examples = {
        "image": rng.normal(size=(size, 6, 6, 2)).astype(np.float32),
        "label": rng.integers(0, 3, size),
    }
    module = ConvolutionalNet()
    variables = module.init(jax.random.key(3), examples["image"][:2])

    def loss(params, examples, model_state):
        logits, changed = module.apply(
            {"params": params, "batch_stats": model_state["stats"]},
            examples["image"],
            mutable=["batch_stats"],
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(
            logits, examples["label"]
        )
        state = {"stats": changed["batch_stats"], "seen": model_state["seen"] + 1}
        return Outputs(losses, state, {"largest": jnp.abs(logits).max()})

    return Model(
        partition_loss(loss, model_state=True),
        variables["params"],
        examples,
        np.arange(size) % num_partitions,
        {"stats": variables["batch_stats"], "seen": jnp.zeros((), jnp.int32)},
        tolerance=1e-4,
    )


class Perceptron(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(4, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.2)
        self.head = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x, rngs):
        return self.head(self.dropout(nnx.relu(self.hidden(x)), rngs=rngs))[:, 0]


def perceptron(num_partitions):
    """Flax nnx, split into graph and parameters at the edge."""
    graph, params = nnx.split(Perceptron(nnx.Rngs(4)))
    examples = jax.tree.map(np.asarray, problems.examples())

    def loss(params, examples, key):
        model = nnx.merge(graph, params)
        logits = model(examples["features"], nnx.Rngs(dropout=key))
        return optax.sigmoid_binary_cross_entropy(
            logits, examples["label"].astype(logits.dtype)
        )

    assignment = np.arange(problems.NUM_EXAMPLES) % num_partitions
    return Model(partition_loss(loss, key=True), params, examples, assignment)


def detector(num_partitions):
    """SSDLite on images that are flipped and brightened at random."""
    rng = np.random.default_rng(0)
    num, size = 2 * num_partitions, 32
    corners = np.sort(rng.uniform(size=(num, 3, 2, 2)), axis=2).reshape(num, 3, 4)
    examples = Examples(
        image=rng.integers(0, 256, (num, size, size, 3), np.uint8),
        boxes=corners.astype(np.float32),
        labels=rng.integers(0, 3, (num, 3)).astype(np.int32),
        valid=np.ones((num, 3), bool),
        crowd=np.zeros((num, 3), bool),
    )
    model = ssdlite(
        num_classes=3, image_size=size, width=0.1, strides=(8,), norm="frozen"
    )

    def loss(params, examples, key):
        flip = jax.random.bernoulli(key, shape=examples.image.shape[:1])
        image = jnp.where(
            flip[:, None, None, None], examples.image[:, :, ::-1], examples.image
        )
        ymin, xmin, ymax, xmax = jnp.moveaxis(examples.boxes, -1, 0)
        flipped = jnp.stack([ymin, 1 - xmax, ymax, 1 - xmin], axis=-1)
        boxes = jnp.where(flip[:, None, None], flipped, examples.boxes)
        return model.loss(params, examples._replace(image=image, boxes=boxes))

    def weight(shape):
        """At random; the compilation of `init` takes as long as that of a step."""
        if len(shape.shape) < 2:
            return 1 + 0.1 * rng.normal(size=shape.shape).astype(np.float32)
        fan_in = np.prod(shape.shape[:-1])
        return rng.normal(0, fan_in**-0.5, shape.shape).astype(np.float32)

    return Model(
        partition_loss(loss, key=True),
        jax.tree.map(weight, jax.eval_shape(model.init, jax.random.key(0))),
        examples,
        np.arange(num) // 2,
        learning_rate=0.01,
        tolerance=1e-3,
    )


MODELS = {
    "logistic": logistic,
    "transformer": transformer,
    "batch_norm": batch_norm,
    "perceptron": perceptron,
    "detector": detector,
}
