"""`CodingPlan`: who holds which partition, what each sends, how it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PyTree
from numpy.typing import ArrayLike

from jgc import _checks

# Coefficients are designed as NumPy float64; under jit they are JAX arrays.
AnyArray = np.ndarray | Array

Answered = Bool[AnyArray, "k *trials"]
Mask = Bool[Array, "k *trials"]  # one that has been checked
WorkerTrials = Float[Array, "k *trials"]
PartitionTrials = Float[Array, "n *trials"]

_ARRAYS = (
    "straggler_probabilities",
    "edge_worker",
    "edge_partition",
    "edge_coefficient",
    "weights",
)


@jax.tree_util.register_pytree_with_keys_class
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CodingPlan:
    """A gradient code for k workers and n data partitions.

    Worker i sends f_i = Σ_j a_ij g_j (4) of the partitions it holds; with I_i = 1
    for the workers that answered, the decoded gradient is ĝ = Σ_i I_i w_i f_i (5).
    The encoding matrix A is stored as its E edges, sorted by worker.

    A plan is a pytree: it goes through `jit`, `device_put` and serialisation, and
    through `vmap` as a batch of plans of equal sizes. Its constructors are in
    `jgc.codes`, and `from_matrix` and `from_edges` take a code of your own; they leave
    NumPy float64 arrays, which `encode`, `decode` and `coefficients` cast to the
    precision of their input. Plans that differ in their name alone have the same tree
    structure: nothing compiles again for a name, and what `jit` returns has the name
    of the plan that it was traced with.

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
    num_workers: int
    num_partitions: int
    name: str

    def __repr__(self) -> str:
        return (
            f"CodingPlan({self.name!r}, num_workers={self.num_workers}, "
            f"num_partitions={self.num_partitions}, load={self.load:.4g})"
        )

    @classmethod
    def from_edges(
        cls,
        worker: ArrayLike,
        partition: ArrayLike,
        coefficient: ArrayLike,
        *,
        p: ArrayLike,
        num_partitions: int,
        weights: ArrayLike | None = None,
        name: str = "custom",
    ) -> CodingPlan:
        """A code of your own, from its non-zero a_ij.

        Args:
            worker: the worker i of each edge (E,), integers in [0, k), in any order.
            partition: the partition j of each edge (E,), integers in [0, n).
            coefficient: a_ij of each edge (E,), finite.
            p: straggler probabilities (k,), each in [0, 1].
            num_partitions: n ≥ 1.
            weights: w_i (k,) of the fixed decoder, finite; default 1/(1 − p_i), which
                is unbiased where the columns of A sum to 1; 0 where p_i = 1.
            name: of the code, in print.

        Raises:
            ValueError: an argument of a wrong shape or out of its range, or a pair of
                a worker and a partition that comes twice.

        Example:
            >>> plan = CodingPlan.from_edges(
            ...     [0, 1, 1], [0, 0, 1], [1, 1, 2], p=[0.1, 0.2], num_partitions=2
            ... )
            >>> plan.encoding_matrix().tolist()
            [[1.0, 0.0], [1.0, 2.0]]
        """
        probabilities = _checks.probabilities(p, some_answer=False)
        k, n = probabilities.size, _checks.count("num_partitions", num_partitions)
        values = _checks.vector("coefficient", coefficient, may_be_empty=True)
        rows = _checks.integers("worker", worker, size=values.size, below=k)
        columns = _checks.integers("partition", partition, size=values.size, below=n)
        order = np.lexsort((columns, rows))
        rows, columns = rows[order], columns[order]
        repeated = (np.diff(rows) == 0) & (np.diff(columns) == 0)
        if repeated.any():
            at = int(np.flatnonzero(repeated)[0])
            raise ValueError(
                f"worker {rows[at]} holds partition {columns[at]} more than once; "
                "accepted: different pairs of a worker and a partition"
            )
        if weights is None:
            survival = 1 - probabilities
            w = np.divide(1, survival, out=np.zeros(k), where=survival > 0)
        else:
            w = _checks.one_or_each("weights", weights, k, "worker")
        return cls(
            straggler_probabilities=probabilities,
            edge_worker=rows.astype(np.int32),
            edge_partition=columns.astype(np.int32),
            edge_coefficient=values[order],
            weights=w,
            num_workers=k,
            num_partitions=n,
            name=name,
        )

    @classmethod
    def from_matrix(
        cls,
        encoding: ArrayLike,
        *,
        p: ArrayLike,
        weights: ArrayLike | None = None,
        name: str = "custom",
    ) -> CodingPlan:
        """A code of your own, from A (k, n); where a_ij = 0 nothing is held.

        Args:
            encoding: A (k, n), finite.
            p: as in `from_edges`.
            weights: as in `from_edges`.
            name: of the code, in print.

        Raises:
            ValueError: an argument of a wrong shape or out of its range.

        Example:
            >>> plan = CodingPlan.from_matrix([[1, 0.5], [0, 0.5]], p=[0.1, 0.2])
            >>> plan.load
            1.5
        """
        matrix = _checks.matrix("encoding", encoding)
        rows, columns = np.nonzero(matrix)
        size = _checks.probabilities(p, some_answer=False).size
        if size != matrix.shape[0]:
            raise ValueError(
                f"encoding must have one row a worker, {size} as p has entries, got "
                f"shape {matrix.shape}"
            )
        return cls.from_edges(
            rows,
            columns,
            matrix[rows, columns],
            p=p,
            num_partitions=matrix.shape[1],
            weights=weights,
            name=name,
        )

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        """The arrays; sizes, and a name that is never compared, are structure."""
        children = [
            (jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in _ARRAYS
        ]
        return children, (self.num_workers, self.num_partitions, _Label(self.name))

    @classmethod
    def tree_unflatten(cls, structure: Any, arrays: Any) -> CodingPlan:
        """The plan of these arrays, unchecked: inside JAX they may be anything."""
        k, n, label = structure
        fields = dict(zip(_ARRAYS, arrays, strict=True))
        fields |= {"num_workers": k, "num_partitions": n, "name": label.name}
        plan = object.__new__(cls)
        for name, value in fields.items():
            object.__setattr__(plan, name, value)
        return plan

    # --- What runs every step: jit-compiled by the caller, vmappable. ---

    def encode(self, gradients: PyTree[Num[AnyArray, "n ..."]]) -> PyTree:
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

        def encode_leaf(gradient: AnyArray) -> Array:
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
        self, messages: PyTree[Num[AnyArray, "k ..."]], answered: Bool[AnyArray, " k"]
    ) -> PyTree:
        """ĝ = Σ_i I_i w_i f_i (5): `jgc.decode` with the plan's own weights.

        With a decoder's it is `jgc.decode(messages, decoder(plan, answered))`. Of some
        codes, `fractional_repetition` and `uncoded` among them, the own weights are 1
        and the estimate is biased: `jgc.residual.bias(plan)`.

        Args:
            messages: a pytree of arrays with a leading axis over the k workers.
                What stands in the place of a straggler's message is not read, be
                it NaN.
            answered: I_i (k,), whether worker i answered in time.

        Returns:
            The pytree without its leading axis.

        Raises:
            ValueError: a leading axis of another size than k, or what is no mask (k,).
        """
        answered = check_mask(answered, self.num_workers)
        weights = jnp.asarray(self.weights, jnp.result_type(float))
        return decode(messages, jnp.where(answered, weights, 0))

    def coefficients(
        self, weights: Float[AnyArray, "*tracks k"]
    ) -> Float[Array, "..."]:
        """c_j = Σ_i v_i a_ij: what g_j ends up multiplied by, ĝ = Σ_j c_j g_j.

        Args:
            weights: v (k,) of a decoder, `decoder(plan, answered)`; (2, k) of one of
                two tracks.

        Returns:
            c (n,), or (2, n), in the precision of `weights`.

        Raises:
            ValueError: weights of another size than k, or a mask or integers in their
                place.
        """
        weights = jnp.asarray(weights)
        is_real = jnp.issubdtype(weights.dtype, jnp.floating)
        if weights.shape[-1:] != (self.num_workers,) or not is_real:
            raise ValueError(
                f"weights must be real numbers of shape (…, {self.num_workers}), one a "
                f"worker, as decoder(plan, answered) gives them; got {weights.dtype} "
                f"of shape {weights.shape}"
            )
        c = coefficients_of(self, jnp.moveaxis(weights, -1, 0))
        return jnp.moveaxis(c, 0, -1)

    # --- What a designer asks: on the host, in NumPy float64. ---

    @property
    def num_edges(self) -> int:
        """E, the number of (worker, partition) pairs."""
        return self.edge_worker.shape[-1]

    @property
    def load(self) -> float:
        """d = E/n, the replication or computation load; 1 when nothing is shared."""
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

    def _dense(self, edge_values: np.ndarray) -> np.ndarray:
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


def decode(
    messages: PyTree[Num[AnyArray, "k ..."]], weights: Float[AnyArray, "*tracks k"]
) -> PyTree:
    """ĝ = Σ_i v_i f_i: the messages weighted and added up.

    Args:
        messages: a pytree of arrays with a leading axis over the k workers. A message
            of weight 0 in every track is not read, be it NaN.
        weights: v (k,) of a decoder, `decoder(plan, answered)`; (2, k) of one of two
            tracks.

    Returns:
        The pytree with a leading axis over the tracks in place of that over the
        workers; without one for weights (k,).

    Raises:
        ValueError: messages with another leading axis than the weights, or a mask in
            the place of weights.

    Example:
        >>> decode(np.array([[1.0], [2.0], [np.nan]]), np.array([0.5, 1.0, 0.0]))
        Array([2.5], dtype=float32)
    """
    if callable(weights):
        raise ValueError(
            "weights must be those of a decoder for a mask, decoder(plan, answered), "
            f"got {weights!r} itself"
        )
    weights = jnp.asarray(weights)
    if weights.ndim == 0 or not jnp.issubdtype(weights.dtype, jnp.floating):
        raise ValueError(
            "weights must be real numbers, one a worker, as decoder(plan, answered) "
            f"gives them; got {weights.dtype} of shape {weights.shape}"
        )
    counts = (weights != 0).any(axis=tuple(range(weights.ndim - 1)))

    def decode_leaf(message: AnyArray) -> Array:
        message = _as_inexact(message)
        _check_axis("messages", message, weights.shape[-1], "workers")
        is_read = counts.reshape(counts.shape + (1,) * (message.ndim - 1))
        return _weighted_sum(
            weights.astype(message.dtype), jnp.where(is_read, message, 0)
        )

    return jax.tree.map(decode_leaf, messages)


def coefficients_of(plan: CodingPlan, weights: WorkerTrials) -> PartitionTrials:
    """`CodingPlan.coefficients` of weights whose first axis is the workers'.

    Trials go last: every operation then runs over contiguous trials.
    """
    k, n = plan.num_workers, plan.num_partitions
    values = jnp.asarray(plan.edge_coefficient, weights.dtype)
    # A matrix product once A is fairly full; the factor is where the two cost the
    # same on a CPU. Beyond 2^24 entries the dense matrix would not be small.
    if k * n <= min(16 * plan.num_edges, 1 << 24):
        matrix = jnp.zeros((n, k), weights.dtype)
        matrix = matrix.at[plan.edge_partition, plan.edge_worker].add(values)
        return _weighted_sum(matrix, weights)
    return jax.ops.segment_sum(
        _scale(values, weights[jnp.asarray(plan.edge_worker)]), plan.edge_partition, n
    )


def check_answered(answered: Answered, num_workers: int) -> Mask:
    """`answered` as an array.

    Raises:
        ValueError: it is no boolean array whose first axis is the workers'.
    """
    try:
        mask = jnp.asarray(answered)
    except (TypeError, ValueError):  # a pytree, as of messages
        raise ValueError(
            f"answered must be booleans, one for each of the {num_workers} workers, "
            f"got {type(answered).__name__}"
        ) from None
    if mask.dtype != bool or mask.shape[:1] != (num_workers,):
        raise ValueError(
            f"answered must be booleans, one for each of the {num_workers} workers, "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    return mask


def check_mask(answered: Bool[AnyArray, " k"], num_workers: int) -> Bool[Array, " k"]:
    """`check_answered` of one iteration, without axes of trials.

    Raises:
        ValueError: it is no boolean array (k,).
    """
    mask = check_answered(answered, num_workers)
    if mask.ndim != 1:
        raise ValueError(
            f"answered must be of one iteration, of shape ({num_workers},), got shape "
            f"{mask.shape}"
        )
    return mask


class _Label:
    """A name that is equal to every other: it changes nothing that is compiled."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Label)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return repr(self.name)


def _check_axis(name: str, leaf: Array, size: int, what: str) -> None:
    if leaf.shape[:1] != (size,):
        raise ValueError(
            f"{name} must have a leading axis over the {size} {what}, got shape "
            f"{leaf.shape}"
        )


def _as_inexact(leaf: AnyArray) -> Array:
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
