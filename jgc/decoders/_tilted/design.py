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
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jgc.decoders._tilted.decoder import combined
from jgc.decoders._tilted.law import Law, masks_at_once
from jgc.decoders._tilted.projections import Projection, Side, System

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

    def error(self, system: System) -> float:
        """E‖g − ĝ‖² = λᵀm − 2 (Gτ)ᵀm + τᵀGτ; for an unbiased one τᵀλ − τᵀGτ."""
        target, norm = system.target, _norm(system)
        size = target @ target
        reached = target @ self.mean
        # (Gτ)ᵀ(1 − m) first: what is left is as small as the bias.
        second = self.multipliers(system) @ self.mean
        return float(second - norm * size + 2 * norm * (size - reached))


@dataclass(eq=False)
class Response:
    """How E[c] responds to λ̃ and γ, over the masks of a law.

    Attributes:
        system: the plan and its gradients.
        batches: masks (k, B) and their probabilities (B,), all of one size.
    """

    system: System
    batches: list[tuple[Bool[np.ndarray, "k B"], Float[np.ndarray, " B"]]]
    _known: dict[int, Float[np.ndarray, "sides m"]] = field(default_factory=dict)

    def __call__(
        self, directions: Float[np.ndarray, "sides m"], levels: Float[np.ndarray, " s"]
    ) -> Float[np.ndarray, "sides m"]:
        """E[c] of each."""
        system = self.system
        with jax.enable_x64(True):
            tilts = jnp.asarray((system.rows @ directions.T).T)
            common = jnp.asarray(system.rows @ system.target)
            mean = sum(
                np.asarray(
                    _mean_solution(
                        system.projection,
                        tilts,
                        common,
                        jnp.asarray(levels, float),
                        jnp.asarray(system.similarity, float),
                        masks,
                        probability,
                    )
                )
                for masks, probability in self.batches
            )
        return (system.rows.T @ np.asarray(mean).T).T

    def of_one(self, direction: Vector, level: float) -> Vector:
        """E[c] of one."""
        if not direction.any():
            return level * self._columns(0)[0]
        return self(direction[None], np.array([level]))[0]

    def formed(self, direction: Vector, level: float) -> Vector:
        """E[c] of one, by the matrix H̃ and h."""
        columns = self._columns(self.system.target.size)
        return columns[:-1].T @ direction + level * columns[-1]

    def _columns(self, size: int) -> Float[np.ndarray, "sides m"]:
        """H̃ (where `size` is m), and h in the last row."""
        if size not in self._known:
            sides = np.eye(size + 1, self.system.target.size)
            sides[-1] = 0
            self._known[size] = self(sides, np.append(np.zeros(size), 1.0))
        return self._known[size]


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


@jax.jit
def _mean_solution(
    projection: Projection,
    tilts: Side,
    common: Float[Array, " size"],
    levels: Float[Array, " sides"],
    similarity: Array,
    masks: Bool[Array, "k B"],
    probability: Float[Array, " B"],
) -> Float[Array, "sides size"]:
    solution = combined(projection, tilts, common, levels, similarity, masks)
    return solution @ probability


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
        zero = np.zeros((1, m))
        return Tilt(zero[0], norm, response(zero, np.array([norm]))[0])
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
    mean = np.mean(
        [one(tilt.direction[None], np.array([tilt.level]))[0] for one in fresh], axis=0
    )
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

    is_small = _is_small(response)
    respond = response.formed if is_small else response.of_one
    h = respond(np.zeros(m), 1.0)
    bottom = mu + norm / size * (target @ h)
    beta = norm / size * (1 - rho) / bottom
    level_at_0 = along / bottom

    def project(x: Vector) -> Vector:
        return x - target * (target @ x / size)

    ph = project(h)

    def apply(x: Vector) -> Vector:
        x = project(x)
        return mu * x + project(respond(x, 0.0)) - beta * ph * (ph @ x)

    b = project(across) - level_at_0 * ph
    if is_small:
        direction = project(_least_solution(np.stack([apply(e) for e in np.eye(m)]), b))
    else:
        direction = _conjugate_gradients(
            apply, b, lambda r: project(project(r) / (diagonal + mu)), tolerance
        )
    level = level_at_0 - beta * (h @ direction)
    return Tilt(direction, float(level), respond(direction, level))


def _is_small(response: Response) -> bool:
    """Whether H̃ is worth forming."""
    trials = sum(probability.size for _, probability in response.batches)
    rows, targets = response.system.rows.shape
    return targets * rows * trials <= _LARGEST_FORMED


def _least_solution(matrix: Float[np.ndarray, "m m"], b: Vector) -> Vector:
    """Of least norm; `matrix` is symmetric and definite on its range."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    kept = np.abs(values) > 1e-13 * matrix.shape[0] * np.abs(values).max(initial=0)
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
