"""What is trained: partitions of examples, a loss, where to start, the least loss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from scipy import optimize


class Problem(NamedTuple):
    """Of n partitions with m examples each.

    Attributes:
        losses: `losses(params) -> (n,)`, the mean loss of each partition.
        params: to start from (P,).
        minimum: the least mean loss of all, or the least found by L-BFGS.
        smoothness: of the mean loss at the start, about.
    """

    losses: Callable[[Float[Array, " P"]], Float[Array, " n"]]
    params: Float[np.ndarray, " P"]
    minimum: float
    smoothness: float


def logistic(config: Any, diversity: float) -> Problem:
    """Logistic regression with a little ridge: strongly convex."""
    features, sign = _data(config, diversity, curved=False)

    def losses(params: Float[Array, " d"]) -> Float[Array, " n"]:
        margin = sign * (features @ params)
        return jnp.logaddexp(0, -margin).mean(axis=1) + 0.005 * (params**2).sum()

    return _problem(losses, np.zeros(features.shape[-1], np.float32))


def network(config: Any, diversity: float) -> Problem:
    """A tanh layer of eight units on data that no hyperplane parts; squared error."""
    features, sign = _data(config, diversity, curved=True)
    rng = np.random.default_rng(config.seed + 1)
    width, dimension = 8, features.shape[-1]
    start = {
        "inner": rng.normal(size=(dimension, width)) / np.sqrt(dimension),
        "outer": rng.normal(size=width) / np.sqrt(width),
    }
    flat, unravel = ravel_pytree(jax.tree.map(jnp.float32, start))

    def losses(params: Float[Array, " P"]) -> Float[Array, " n"]:
        tree = unravel(params)
        output = jnp.tanh(features @ tree["inner"]) @ tree["outer"]
        squared = ((output - sign) ** 2).mean(axis=1) / 2
        return squared + 0.005 * (params**2).sum()

    return _problem(losses, np.asarray(flat))


PROBLEMS: dict[str, Callable[[Any, float], Problem]] = {
    "logistic": logistic,
    "network": network,
}


def _data(
    config: Any, diversity: float, *, curved: bool
) -> tuple[Float[Array, "n m d"], Float[Array, "n m"]]:
    """Features and signs, whose law differs between partitions by `diversity`."""
    rng = np.random.default_rng(config.seed)
    n, m = config.num_workers, config.training.num_examples
    d = config.training.dimension
    shift = diversity * rng.normal(size=(n, 1, d)) / 2
    features = rng.normal(size=(n, m, d)) + shift
    truth = rng.normal(size=d) + diversity * rng.normal(size=(n, 1, d))
    margin = 2 * (features * truth).sum(axis=-1) / np.sqrt(d)
    if curved:
        margin = margin + (features[..., 0] * features[..., 1])
    sign = np.where(rng.logistic(size=(n, m)) < margin, 1.0, -1.0)
    return jnp.asarray(features, jnp.float32), jnp.asarray(sign, jnp.float32)


def _problem(
    losses: Callable[[Array], Array], params: Float[np.ndarray, " P"]
) -> Problem:
    mean = jax.jit(lambda params: losses(params).mean())
    found = optimize.minimize(
        lambda x: tuple(
            np.asarray(value, np.float64)
            for value in jax.value_and_grad(mean)(jnp.asarray(x, jnp.float32))
        ),
        params,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500},
    )
    hessian = np.asarray(jax.hessian(mean)(jnp.asarray(params)))
    return Problem(
        losses, params, float(found.fun), float(np.linalg.eigvalsh(hessian)[-1])
    )
