"""Finding λ: of all linear decoders, the one whose bias and variance cost least.

    minimise  Λ (m − 1)ᵀG(m − 1) + E‖ĝ − Eĝ‖²,   m = E[c].

Given m the least E[cᵀGc] is mᵀH⁻¹m, with H = AᵀE[K_I⁺]A and λ = H⁻¹m, so that

    λ + (Λ − 1) G H λ = Λ G 1:

Λ = ∞ is unbiased (μ = 0, Hλ = 1), Λ = 1 the least error given the mask (λ = G1). In the
coordinates of `Tilted` (G = (1 − ρ) Id + ρττᵀ, λ = (1 − ρ) λ̃ + γτ with τᵀλ̃ = 0), with
H̃ the response of m to λ̃ and h that to γ, μ = 1/(Λ − 1), N = τᵀτ, g = 1 − ρ + ρN and
P = Id − ττᵀ/N,

    μλ̃ + P(H̃λ̃ + γh) = 0,   μγ + (g/N)((1 − ρ)hᵀλ̃ + γτᵀh) = (1 + μ) g.

With γ eliminated that is symmetric, and finite for every ρ, 1 included. Solved with H̃
formed where that is small, by conjugate gradients over the masks otherwise.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from jgc.decoders._tilted.decoder import combined
from jgc.decoders._tilted.law import Law, masks_at_once
from jgc.decoders._tilted.projections import System

# H̃ is formed where masks × size × targets are at most this many numbers.
_LARGEST_FORMED = 1 << 24
_MOST_ITERATIONS = 2000

Vector = Float[np.ndarray, " m"]


class Tilt(NamedTuple):
    """λ = (1 − ρ) λ̃ + γτ, and E[c] with it.

    Attributes:
        direction: λ̃ (m,).
        level: γ.
        mean: E[c] (m,), in the coordinates of the system.
    """

    direction: Vector
    level: float
    mean: Vector

    def multipliers(self, system: System) -> Vector:
        """λ (m,)."""
        return (1 - system.similarity) * self.direction + self.level * system.target


@dataclass(eq=False)
class Response:
    """How C responds to λ̃ and γ, over the masks of a law.

    Attributes:
        system: the plan and its gradients.
        batches: masks (k, B) and their probabilities (B,), all of one size.
    """

    system: System
    batches: list[tuple[Bool[np.ndarray, "k B"], Float[np.ndarray, " B"]]]

    @property
    def is_small(self) -> bool:
        """Whether H̃ is worth forming."""
        trials = sum(probability.size for _, probability in self.batches)
        rows, targets = self.system.rows.shape
        return targets * rows * trials <= _LARGEST_FORMED

    def mean(self, direction: Vector, level: float) -> Vector:
        """E[c], in the coordinates of the system."""
        if self.is_small:
            return np.append(direction, level) @ self.formed
        if not direction.any():
            return level * self._mean_of_level
        return self._mean(direction, level)

    def moments(self, direction: Vector, level: float) -> tuple[Vector, float]:
        """E[c] − 1 of the n partitions, and E‖g − ĝ‖²."""
        system = self.system
        bias: Vector = np.zeros(system.target.size)
        error = 0.0
        for index, (_, probability) in enumerate(self.batches):
            c = system.coefficients(
                system.rows.T @ self._solution(index, direction, level)
            )
            bias += (c - 1) @ probability
            error += float(system.squared_errors(c) @ probability)
        return bias, error

    @cached_property
    def formed(self) -> Float[np.ndarray, "sides m"]:
        """H̃, and h in the last row."""
        mean = sum(
            solutions @ probability
            for solutions, (_, probability) in zip(
                self._units, self.batches, strict=True
            )
        )
        return (self.system.rows.T @ np.asarray(mean).T).T

    @cached_property
    def _mean_of_level(self) -> Vector:
        """H."""
        return self._mean(np.zeros(self.system.target.size), 1.0)

    def _mean(self, direction: Vector, level: float) -> Vector:
        return self.system.rows.T @ sum(
            self._solution(index, direction, level) @ probability
            for index, (_, probability) in enumerate(self.batches)
        )

    def _solution(
        self, index: int, direction: Vector, level: float
    ) -> Float[np.ndarray, "size B"]:
        """Of one batch."""
        if self.is_small:
            own = np.append(direction, level)
            return np.tensordot(own, self._units[index], axes=1)
        return self._solved(index, direction[None], np.array([level]))[0]

    @cached_property
    def _units(self) -> list[Float[np.ndarray, "sides size B"]]:
        """Solutions of each unit λ̃, and of γ = 1 in the last row."""
        size = self.system.target.size
        levels = np.append(np.zeros(size), 1.0)
        return [
            self._solved(index, np.eye(size + 1, size), levels)
            for index in range(len(self.batches))
        ]

    def _solved(
        self,
        index: int,
        directions: Float[np.ndarray, "sides m"],
        levels: Float[np.ndarray, " sides"],
    ) -> Float[np.ndarray, "sides size B"]:
        system = self.system
        with jax.enable_x64(True):
            return np.asarray(
                _combined(
                    system.projection,
                    (system.rows @ directions.T).T,
                    system.rows @ system.target,
                    levels,
                    system.similarity,
                    self.batches[index][0],
                )
            )


_combined = jax.jit(combined)


def response_of(system: System, law: Law) -> Response:
    """Cuts the masks of a law in batches of bounded memory."""
    trials = law.masks.shape[1]
    batch = min(masks_at_once(system.rows.shape[0]), trials)
    batch = -(-trials // -(-trials // batch))
    padding = -trials % batch
    masks = np.pad(law.masks, ((0, 0), (0, padding)))
    probability = np.pad(law.probability, (0, padding))
    return Response(
        system,
        [
            (masks[:, start : start + batch], probability[start : start + batch])
            for start in range(0, trials, batch)
        ],
    )


def solve(
    response: Response, *, noise_ratio: float, tolerance: float, diagonal: Vector
) -> Tilt:
    """The λ of the least Λ·bias² + variance, over the law of `response`.

    Args:
        response: of E[c].
        noise_ratio: Λ ≥ 0, may be infinite.
        tolerance: of the residual, relative, for conjugate gradients.
        diagonal: about the diagonal of H̃, to precondition with.
    """
    system = response.system
    m, norm = system.target.size, _norm(system)
    if noise_ratio == 1:
        zero = np.zeros(m)
        return Tilt(zero, norm, response.mean(zero, norm))
    mu = 0.0 if np.isinf(noise_ratio) else 1 / (noise_ratio - 1)
    return _solve(response, np.zeros(m), (1 + mu) * norm, mu, tolerance, diagonal)


def corrected(
    tilt: Tilt,
    fresh: Iterable[Response],
    response: Response,
    *,
    tolerance: float,
    diagonal: Vector,
) -> Tilt:
    """Moves E[c] by what fresh masks show it to be off, as `response` would have it."""
    system = response.system
    mean = np.mean([one.mean(tilt.direction, tilt.level) for one in fresh], axis=0)
    lacks = system.target - mean
    along = _norm(system) / (system.target @ system.target) * (system.target @ lacks)
    change = _solve(response, lacks, along, 0.0, tolerance, diagonal)
    return Tilt(
        tilt.direction + change.direction,
        tilt.level + change.level,
        mean + change.mean,
    )


def _norm(system: System) -> float:
    """g of Gτ = gτ."""
    return 1 - system.similarity + system.similarity * (system.target @ system.target)


def _solve(
    response: Response,
    across: Vector,
    along: float,
    mu: float,
    tolerance: float,
    diagonal: Vector,
) -> Tilt:
    """μλ̃ + P(H̃λ̃ + γh) = P·across, μγ + (g/N)((1 − ρ)hᵀλ̃ + γτᵀh) = along."""
    system = response.system
    rho, target = system.similarity, system.target
    m, size, norm = target.size, target @ target, _norm(system)

    h = response.mean(np.zeros(m), 1.0)
    bottom = mu + norm / size * (target @ h)
    beta = norm / size * (1 - rho) / bottom
    level_at_0 = along / bottom

    def project(x: Vector) -> Vector:
        return x - target * (target @ x / size)

    ph = project(h)

    def apply(x: Vector) -> Vector:
        x = project(x)
        return mu * x + project(response.mean(x, 0.0)) - beta * ph * (ph @ x)

    b = project(across) - level_at_0 * ph
    if response.is_small:
        # What P leaves of H̃ may be rounding alone, as where all messages are parallel.
        size_of_response = np.abs(response.formed).max() + mu
        matrix = np.stack([apply(e) for e in np.eye(m)])
        direction = project(_least_solution(matrix, b, size_of_response))
    else:
        direction = _conjugate_gradients(
            apply, b, lambda r: project(project(r) / (diagonal + mu)), tolerance
        )
    level = level_at_0 - beta * (h @ direction)
    return Tilt(direction, float(level), response.mean(direction, level))


def _least_solution(
    matrix: Float[np.ndarray, "m m"], b: Vector, scale: float
) -> Vector:
    """Of least norm; `matrix` is symmetric and made of numbers of this scale."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    kept = np.abs(values) > 1e-13 * matrix.shape[0] * scale
    vectors = vectors[:, kept]
    return vectors @ (vectors.T @ b / values[kept])


def _conjugate_gradients(
    apply: Callable[[Vector], Vector],
    b: Vector,
    precondition: Callable[[Vector], Vector],
    tolerance: float,
) -> Vector:
    x, residual = np.zeros_like(b), b.copy()
    z = precondition(residual)
    direction, product = z, residual @ z
    limit = tolerance * np.linalg.norm(b)
    for _ in range(min(_MOST_ITERATIONS, 10 * b.size)):
        if np.linalg.norm(residual) <= limit or product == 0:
            break
        applied = apply(direction)
        step = product / (direction @ applied)
        x = x + step * direction
        residual = residual - step * applied
        z = precondition(residual)
        product, last = residual @ z, product
        direction = z + product / last * direction
    return x
