"""From torch's names and axes to ours."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jgc.detection._detector import Detector, Params


class Weights(NamedTuple):
    """What a network needs: `Detector.predict(params, …, constants=constants)`.

    Attributes:
        params: what training would change.
        constants: gains and shifts of the frozen batch norms.
    """

    params: Params
    constants: Params


class Converter:
    """Takes a state dict's arrays one by one, and knows which were taken.

    Args:
        arrays: by torch's name.
        epsilon: of the batch norms.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], *, epsilon: float) -> None:
        self._arrays = dict(arrays)
        self._unused = {n for n in arrays if not n.endswith(".num_batches_tracked")}
        self._epsilon = epsilon
        self.params: Params = {}
        self.constants: Params = {}

    def take(self, name: str) -> np.ndarray:
        """The array of a name, float32.

        Raises:
            ValueError: there is none, or it is not of real numbers.
        """
        if name not in self._arrays:
            raise ValueError(f"the state dict lacks {name!r}")
        self._unused.discard(name)
        return np.asarray(self._arrays[name], np.float32)

    def conv(self, ours: str, theirs: str, *, bias: bool = False) -> None:
        """A convolution: (out, in, k, k) becomes (k, k, in, out)."""
        self._put(f"{ours}/kernel", self.take(f"{theirs}.weight").transpose(2, 3, 1, 0))
        self._bias(ours, theirs, bias)

    def pointwise(self, ours: str, theirs: str, *, bias: bool = False) -> None:
        """A 1x1 convolution: (out, in, 1, 1) becomes (in, out)."""
        weight = self.take(f"{theirs}.weight")
        self._put(f"{ours}/kernel", weight.reshape(weight.shape[:2]).T)
        self._bias(ours, theirs, bias)

    def depthwise(self, ours: str, theirs: str) -> None:
        """A depthwise convolution: (channels, 1, k, k) becomes (k, k, channels)."""
        weight = self.take(f"{theirs}.weight")
        self._put(f"{ours}/kernel", weight[:, 0].transpose(1, 2, 0))

    def norm(self, ours: str, theirs: str) -> None:
        """A batch norm at inference: γ/√(σ² + ε) and β − μ·γ/√(σ² + ε)."""
        scale, bias, mean, variance = (
            self.take(f"{theirs}.{part}").astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = scale / np.sqrt(variance + self._epsilon)
        _put(self.constants, f"{ours}/gain", gain.astype(np.float32))
        _put(self.constants, f"{ours}/shift", (bias - mean * gain).astype(np.float32))

    def offsets_first_y(self, ours: str) -> None:
        """Reorders a box layer's outputs from (x, y, w, h) to (y, x, h, w)."""
        layer = _at(self.params, ours)
        for name, array in layer.items():
            grouped = array.reshape(*array.shape[:-1], -1, 4)
            layer[name] = grouped[..., [1, 0, 3, 2]].reshape(array.shape)

    def weights(self, detector: Detector) -> Weights:
        """All that was taken, checked against the detector's network.

        Raises:
            ValueError: an array is left over, missing or of another shape.
        """
        if self._unused:
            some = sorted(self._unused)[:3]
            raise ValueError(
                f"the state dict has {len(self._unused)} arrays that this network has "
                f"no place for, among them {some}"
            )
        image = jax.ShapeDtypeStruct((1, *detector.image_shape, 3), np.float32)
        expected = jax.eval_shape(detector.network.init, jax.random.key(0), image)
        found = {"params": self.params, "constants": self.constants}
        shapes, wanted = _shapes(found), _shapes(expected)
        if shapes != wanted:
            name = min(set(shapes.items()) ^ set(wanted.items()))[0]
            raise ValueError(
                f"{name} has shape {shapes.get(name)} in the state dict and "
                f"{wanted.get(name)} in this network"
            )
        return Weights(self.params, self.constants)

    def _bias(self, ours: str, theirs: str, bias: bool) -> None:
        if bias:
            self._put(f"{ours}/bias", self.take(f"{theirs}.bias"))

    def _put(self, path: str, array: np.ndarray) -> None:
        _put(self.params, path, np.ascontiguousarray(array))


def _put(tree: Params, path: str, array: np.ndarray) -> None:
    *parents, name = path.split("/")
    _at(tree, "/".join(parents))[name] = array


def _at(tree: Params, path: str) -> dict[str, Any]:
    for name in path.split("/"):
        tree = tree.setdefault(name, {})
    return tree


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}
