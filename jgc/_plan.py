"""`CodingPlan`: who holds which partition, what each sends, how it is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PyTree

# Coefficients are designed as NumPy float64; under jit they are JAX arrays.
AnyArray = np.ndarray | Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CodingPlan:
    """A gradient code for k workers and n data partitions.

    Worker i sends f_i = Σ_j a_ij g_j (4) of the partitions it holds; with I_i = 1
    for the workers that answered, the decoded gradient is ĝ = Σ_i I_i w_i f_i (5).
    The encoding matrix A is stored as its E edges, sorted by worker.

    A plan is a pytree: it goes through `jit`, `device_put` and serialisation, and
    through `vmap` as a batch of plans of equal sizes. Its constructors are in
    `jgc.codes`; they leave NumPy float64 arrays, which `encode`, `decode` and
    `coefficients` cast to the precision of their input.

    Attributes:
        straggler_probabilities: p_i, in [0, 1]; worker i answers in time with
            probability 1 − p_i.
        edge_worker: the worker of each edge, ascending.
        edge_partition: the partition of each edge.
        edge_coefficient: a_ij of each edge.
        weights: w_i, the decoding weights of the fixed decoder.
        num_workers: k.
        num_partitions: n.
        name: the code, for tables and plots.
    """

    straggler_probabilities: Float[AnyArray, " k"]
    edge_worker: Int[AnyArray, " E"]
    edge_partition: Int[AnyArray, " E"]
    edge_coefficient: Float[AnyArray, " E"]
    weights: Float[AnyArray, " k"]
    num_workers: int = field(metadata={"static": True})
    num_partitions: int = field(metadata={"static": True})
    name: str = field(metadata={"static": True})

    def __repr__(self) -> str:
        return (
            f"CodingPlan({self.name!r}, num_workers={self.num_workers}, "
            f"num_partitions={self.num_partitions}, load={self.load:.4g})"
        )

    # --- What runs every step: jit-compiled by the caller, vmappable. ---

    def encode(self, gradients: PyTree[Num[Array, "n ..."]]) -> PyTree:
        """All workers' messages f_i = Σ_j a_ij g_j (4).

        Args:
            gradients: a pytree of arrays with a leading axis over the n partitions.

        Returns:
            The same pytree with a leading axis over the k workers.

        Raises:
            ValueError: a leading axis other than n.
        """
        # One matrix product beats gather and scatter once A is fairly full, and
        # never holds more than the gradients and the messages.
        is_dense = 4 * self.num_edges >= self.num_workers * self.num_partitions

        def encode_leaf(gradient: Array) -> Array:
            gradient = _as_inexact(gradient)
            # A gather would read rows that are not there from the last one.
            _check_axis("gradients", gradient, self.num_partitions, "partitions")
            coefficient = jnp.asarray(self.edge_coefficient, gradient.dtype)
            if is_dense:
                shape = (self.num_workers, self.num_partitions)
                matrix = jnp.zeros(shape, gradient.dtype)
                matrix = matrix.at[self.edge_worker, self.edge_partition].add(
                    coefficient
                )
                return _weighted_sum(matrix, gradient)
            terms = _scale(coefficient, gradient[self.edge_partition])
            return jax.ops.segment_sum(
                terms,
                self.edge_worker,
                num_segments=self.num_workers,
                indices_are_sorted=True,
            )

        return jax.tree.map(encode_leaf, gradients)

    def decode(
        self, messages: PyTree[Num[Array, "k ..."]], mask: Bool[Array, " k"]
    ) -> PyTree:
        """ĝ = Σ_i I_i w_i f_i (5), with the plan's own weights.

        Args:
            messages: a pytree of arrays with a leading axis over the k workers.
                What stands in the place of a straggler's message is not read, be
                it NaN.
            mask: I_i, whether worker i answered in time.

        Returns:
            The pytree without its leading axis.

        Raises:
            ValueError: a leading axis or a mask of another size than k.
        """
        mask = self._checked_mask(mask)

        def decode_leaf(message: Array) -> Array:
            message = _as_inexact(message)
            _check_axis("messages", message, self.num_workers, "workers")
            answered = mask.reshape(mask.shape + (1,) * (message.ndim - 1))
            weights = jnp.asarray(self.weights, message.dtype)
            return _weighted_sum(weights, jnp.where(answered, message, 0))

        return jax.tree.map(decode_leaf, messages)

    def coefficients(self, mask: Bool[Array, " k"]) -> Float[Array, " n"]:
        """c_j = Σ_i I_i w_i a_ij: what g_j ends up multiplied by, ĝ = Σ_j c_j g_j.

        Args:
            mask: I_i, whether worker i answered in time.

        Raises:
            ValueError: a mask of another shape than (k,).
        """
        dtype = jnp.result_type(float)
        mask = self._checked_mask(mask)
        received = jnp.where(mask, jnp.asarray(self.weights, dtype), 0)
        coefficient = jnp.asarray(self.edge_coefficient, dtype)
        return jax.ops.segment_sum(
            received[self.edge_worker] * coefficient,
            self.edge_partition,
            num_segments=self.num_partitions,
        )

    def _checked_mask(self, mask: Bool[Array, " k"]) -> Bool[Array, " k"]:
        mask = jnp.asarray(mask, bool)
        if mask.shape != (self.num_workers,):
            raise ValueError(
                f"mask must have shape ({self.num_workers},), got {mask.shape}"
            )
        return mask

    # --- What a designer asks: on the host, in NumPy float64. ---

    @property
    def num_edges(self) -> int:
        """E, the number of (worker, partition) pairs."""
        return self.edge_worker.shape[-1]

    @property
    def load(self) -> float:
        """d = E/n, the replication or computation load: 1 when nothing is shared."""
        return self.num_edges / self.num_partitions

    @property
    def batch_sizes(self) -> Int[np.ndarray, " k"]:
        """b_i, the number of partitions that each worker holds."""
        return np.bincount(np.asarray(self.edge_worker), minlength=self.num_workers)

    def edge_alpha(self) -> Float[np.ndarray, " E"]:
        """α_i^j = (1 − p_i) w_i a_ij of each edge (P3)."""
        self._check_is_one()
        p = np.asarray(self.straggler_probabilities, np.float64)
        w = np.asarray(self.weights, np.float64)
        a = np.asarray(self.edge_coefficient, np.float64)
        return ((1 - p) * w)[np.asarray(self.edge_worker)] * a

    def alpha(self) -> Float[np.ndarray, "k n"]:
        """The combined variables α_i^j as a dense matrix, in the caller's order."""
        return self._dense(self.edge_alpha())

    def encoding_matrix(self) -> Float[np.ndarray, "k n"]:
        """A = (a_ij) as a dense matrix, in the caller's order."""
        return self._dense(np.asarray(self.edge_coefficient, np.float64))

    def _dense(self, edge_values: Float[np.ndarray, " E"]) -> np.ndarray:
        self._check_is_one()
        matrix = np.zeros((self.num_workers, self.num_partitions))
        np.add.at(
            matrix,
            (np.asarray(self.edge_worker), np.asarray(self.edge_partition)),
            edge_values,
        )
        return matrix

    def _check_is_one(self) -> None:
        if np.ndim(self.edge_worker) != 1:
            raise ValueError(
                f"this is a batch of {np.shape(self.edge_worker)[:-1]} plans; "
                "ask one of them"
            )


def _check_axis(name: str, leaf: Array, size: int, what: str) -> None:
    if leaf.shape[:1] != (size,):
        raise ValueError(
            f"{name} must have a leading axis over the {size} {what}, got shape "
            f"{leaf.shape}"
        )


def _as_inexact(leaf: Array) -> Array:
    """NumPy arrays cannot be indexed by tracers, and integers cannot hold a_ij."""
    leaf = jnp.asarray(leaf)
    dtype = leaf.dtype if jnp.issubdtype(leaf.dtype, jnp.inexact) else float
    return leaf.astype(dtype)


def _scale(factors: Array, values: Array) -> Array:
    return values * factors.reshape(factors.shape + (1,) * (values.ndim - 1))


def _weighted_sum(weights: Array, values: Array) -> Array:
    """Σ over the last axis of `weights` and the first of `values`, in full precision.

    Accelerators round float32 operands of a product to fewer bits by default;
    decoding must not.
    """
    return jnp.tensordot(weights, values, axes=1, precision=jax.lax.Precision.HIGHEST)
