"""Mini-batches (C.4.1): some examples of every partition, drawn anew each iteration.

Workers that share a partition must draw the same batch of it, so the key of an
iteration is all that a batch depends on.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MiniBatches:
    """How to draw b examples of each partition; get one from `mini_batches`.

    The step on a batch takes the plan's coefficients times `scale`:

        indices = batches.draw(jax.random.fold_in(key, iteration))
        state, losses = step(
            state,
            jax.tree.map(lambda leaf: leaf[indices], examples),
            batches.partition,
            plan.coefficients(mask) * batches.scale,
        )

    Attributes:
        members: each partition's examples, padded to the largest partition.
        sizes: N_j, how many of them count.
        batch: 0 to b − 1, for its length.
    """

    members: Int[Array, "n most"]
    sizes: Int[Array, " n"]
    batch: Int[Array, " b"]

    def draw(self, key: Array) -> Int[Array, " n*b"]:
        """Indices of examples: b different ones of each partition, equally likely.

        Args:
            key: of the iteration.
        """
        n, most = self.members.shape
        order = jax.random.uniform(key, (n, most))
        order = jnp.where(jnp.arange(most) < self.sizes[:, None], order, 2.0)
        _, chosen = jax.lax.top_k(-order, self.batch.size)
        return jnp.take_along_axis(self.members, chosen, axis=1).reshape(-1)

    @property
    def partition(self) -> Int[Array, " n*b"]:
        """The partition of each drawn example."""
        return jnp.repeat(jnp.arange(self.sizes.size), self.batch.size)

    @property
    def scale(self) -> Float[Array, " n"]:
        """n N_j/N: makes batches of unequal partitions unbiased for the mean loss.

        A step's weight c_j n N_j/N on each of the n b examples over n b is c_j N_j/N on
        the batch's mean loss, whose mean is that of the partition.
        """
        return self.sizes * (self.sizes.size / self.sizes.sum())


def mini_batches(
    partition: Int[np.ndarray | Array, " N"], *, num_partitions: int, batch_size: int
) -> MiniBatches:
    """Batches of `batch_size` examples of every partition.

    Args:
        partition: the partition of each example, 0 to n − 1.
        num_partitions: n.
        batch_size: b, at least 1 and at most what the smallest partition holds.

    Raises:
        ValueError: b out of its range.
    """
    partition = np.asarray(partition)
    sizes = np.bincount(partition, minlength=num_partitions)
    if not 1 <= batch_size <= sizes.min():
        raise ValueError(
            f"batch_size={batch_size} must be at least 1 and at most {sizes.min()}, "
            "the examples of the smallest partition"
        )
    order = np.argsort(partition, kind="stable")
    start = np.cumsum(sizes) - sizes
    # Past a partition's end come other examples, which `draw` never picks.
    rows = np.minimum(start[:, None] + np.arange(sizes.max()), partition.size - 1)
    return MiniBatches(
        members=jnp.asarray(order[rows], jnp.int32),
        sizes=jnp.asarray(sizes, jnp.int32),
        batch=jnp.arange(batch_size),
    )
