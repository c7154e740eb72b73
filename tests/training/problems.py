"""A small separable problem: logistic regression on random examples."""

import jax
import jax.numpy as jnp

NUM_EXAMPLES, DIMENSION = 23, 4


def examples():
    features, labels = jax.random.split(jax.random.key(3))
    return {
        "features": jax.random.normal(features, (NUM_EXAMPLES, DIMENSION)),
        "label": jax.random.bernoulli(labels, 0.4, (NUM_EXAMPLES,)),
    }


def loss(params, examples):
    logits = examples["features"] @ params["weight"] + params["bias"]
    signs = jnp.where(examples["label"], -1.0, 1.0)
    return jax.nn.softplus(signs * logits)


def params():
    return {"weight": jnp.arange(1.0, DIMENSION + 1), "bias": jnp.array(0.5)}
