"""Residual error and bits per iteration of a code's messages through each codec.

    python -m benchmarks.codecs

Partition gradients are normal vectors with a common part. For unbiased codecs the error
is exact, that of the code plus Σ_i (1 − p_i) w_i² E‖C(f_i) − f_i‖²; beside it, and for
`sign` alone, what was measured over masks and keys, of one iteration: what error
feedback makes up for later is not in it. A codec that sends 1/s of the bits would have
to be compared with s iterations, or workers, of the uncompressed code: the last column
is the error times the bits. At the end communication-efficient codes, whose error is
enumerated; partition gradients are orthogonal there.
"""

import argparse
import itertools

import jax
import jax.numpy as jnp
import numpy as np

import jgc
from jgc import codecs
from jgc.codecs import Codec

CODECS = (
    codecs.full(),
    codecs.bfloat16(),
    codecs.int8(),
    codecs.one_bit(),
    codecs.sign(),
    codecs.random_subspace(4),
    codecs.random_subspace(32),
)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=16_384)
    parser.add_argument("--trials", type=int, default=200)
    options = parser.parse_args()
    k = n = 10
    p = np.exp(-1.5 * np.linspace(0.1, 2, k))  # the paper's (38)
    for layers in (1, 2):
        plan = jgc.codes.interval(p, num_partitions=n, layers=layers)
        for common in (0.0, 0.9):
            table(plan, common, options.size, options.trials)
    exact_table(p)


def exact_table(p: np.ndarray) -> None:
    """Of codes that are exact for s stragglers with 1/m of the entries."""
    masks = np.array(list(itertools.product((False, True), repeat=p.size)))
    chances = np.where(masks, 1 - p, p).prod(axis=1)
    print(f"{'s':>3} {'m':>3} {'load':>5} {'bits/entry':>10} {'error':>9}")
    for s, m in ((2, 1), (4, 1), (2, 2), (3, 3), (2, 4)):
        code = codecs.communication_efficient(
            p.size, stragglers=s, blocks=m, key=jax.random.key(0)
        )
        error = chances @ np.asarray(jax.vmap(code.relative_error)(masks))
        print(f"{s:>3} {m:>3} {code.load:>5g} {32 / m:>10.2f} {error:>9.4f}")


def table(plan: jgc.CodingPlan, common: float, size: int, trials: int) -> None:
    """One code and one kind of gradients."""
    n = plan.num_partitions
    rho = jgc.gradients.common(common).for_partitions(n).similarity or 0.0
    own, shared = jax.random.normal(jax.random.key(0), (2, n, size))
    rows = np.sqrt(1 - rho) * own + np.sqrt(rho) * shared[:1]
    gradients = jgc.gradients.vectors(rows)
    messages = plan.encode(rows)
    code = jgc.residual.exact(plan, gradients=gradients)
    chances = (1 - plan.straggler_probabilities) * plan.weights**2
    print(
        f"{plan.name}, load {plan.load:.2f}, {common:.0%} of the gradient common; "
        f"error of the code {code.relative:.3f}"
    )
    print(
        f"{'codec':>16} {'bits/entry':>10} {'MB/iteration':>12} {'error':>9} "
        f"{'measured':>18} {'error·bits':>10}"
    )
    for codec in CODECS:
        added = np.asarray(jax.vmap(codec.expected_error)(messages), np.float64)
        exact = code.relative + chances @ added / code.squared_norm
        found = measured(codec, plan, messages, rows.sum(axis=0), trials)
        mean, spread = found.mean(), found.std() / np.sqrt(trials)
        error = exact if codec.is_unbiased else mean
        bits = codec.bits(size)
        print(
            f"{codec.name:>16} {bits / size:>10.2f} "
            f"{plan.num_workers * bits / 8e6:>12.3f} "
            f"{exact if codec.is_unbiased else float('nan'):>9.4f} "
            f"{mean:>9.4f} ± {spread:.4f} {error * bits / size:>10.2f}"
        )


def measured(
    codec: Codec,
    plan: jgc.CodingPlan,
    messages: jax.Array,
    full_gradient: jax.Array,
    trials: int,
) -> np.ndarray:
    """‖g − ĝ‖²/‖g‖² of random masks and keys; the same masks for every codec."""
    k, size = messages.shape

    @jax.jit
    def once(key: jax.Array, messages: jax.Array) -> jax.Array:
        of_mask, of_codec = jax.random.split(key)
        answered = jax.random.uniform(of_mask, (k,)) >= plan.straggler_probabilities
        keys = jax.random.split(of_codec, k)
        encoded = jax.vmap(codec.encode)(messages, keys)
        found = jax.vmap(lambda e, key: codec.decode(e, key, size))(encoded, keys)
        off = plan.decode(found, answered) - full_gradient
        return jnp.sum(off**2) / jnp.sum(full_gradient**2)

    keys = jax.random.split(jax.random.key(1), trials)
    return np.array([once(key, messages) for key in keys])


if __name__ == "__main__":
    main()
