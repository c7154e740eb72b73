"""Residual error of dropping what is not whole, and of using it: exact, enumerated.

    python -m benchmarks.partial_work          # half a minute

Eight workers that take s + Exp(ψ_i) for an even share of the data, of which a part is
work; they are cut off at a deadline. Each code is designed for the p of its own loads.
`dropped`: the best unbiased decoder of whole messages; `parts`: of a message for each
partition (`jgc.codes.split`), up to b of them; `sums`: of one message, the sum of what
was finished, for which the master has to ask. Errors over ‖g‖².
"""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from jgc import CodingPlan, codes, decoders, residual, stragglers

_PSI = np.array([2, 1.7, 1.5, 1.2, 0.9, 0.6, 0.3, 0.15])
_SHIFT = 0.5
_WORK, _DEADLINES, _SIMILARITIES = (0.25, 0.5, 1.0), (1.5, 2.5), (0.0, 0.5)

Make = Callable[[np.ndarray], CodingPlan]
_CODES: dict[str, Make] = {
    "interval": lambda p: codes.interval(p, num_partitions=12),
    "repetition, d = 2": lambda p: codes.fractional_repetition(
        p, num_partitions=8, replication=2
    ),
    "SGC, d = 2": lambda p: codes.stochastic(
        p, num_partitions=8, replication=2, key=jax.random.key(3)
    ),
}


def late(load: np.ndarray, work: float, deadline: float) -> np.ndarray:
    """p_i of workers with these shares of the data, of which all must be done."""
    model = stragglers.in_parts(
        stragglers.shifted_exponential(_PSI, shift=_SHIFT),
        worker=np.arange(_PSI.size),
        share=load,
        work_fraction=work,
    )
    return model.survival(deadline)


def designed(make: Make, work: float, deadline: float) -> CodingPlan:
    """A code for the p that its own loads make, about."""
    p = late(np.full(_PSI.size, 1 / _PSI.size), work, deadline)
    for _ in range(30):
        plan = make(p)
        own = late(plan.batch_sizes / plan.num_partitions, work, deadline)
        p = 0.7 * p + 0.3 * own
    return dataclasses.replace(plan, straggler_probabilities=own)


def sums(
    parts: codes.Split, known: stragglers.Outcomes
) -> tuple[CodingPlan, np.ndarray]:
    """Messages of all that a worker has finished, and who sends which; with its law."""
    together = (parts.worker[:, None] == parts.worker) & np.tri(
        parts.worker.size, dtype=bool
    )
    plan = CodingPlan.from_matrix(
        together @ parts.plan.encoding_matrix(), p=parts.plan.straggler_probabilities
    )
    more = np.append(parts.worker[1:] == parts.worker[:-1], False)
    following = np.roll(known.masks, -1, axis=1) & more
    return plan, known.masks & ~following


def error(plan: CodingPlan, known: stragglers.Outcomes, similarity: float) -> float:
    """Of the best unbiased decoder of these masks."""
    model = stragglers.StragglerModel(
        init=lambda key: (),
        sample=lambda state, key: (np.zeros(plan.num_workers, bool), state),
        outcomes=lambda: known,
    )
    decoder = decoders.best_unbiased(plan, gradients=similarity, model=model)
    found = residual.enumerate_masks(
        plan, decoder=decoder, model=model, gradients=similarity
    )
    return found.relative


def main() -> None:
    """Prints a row for each code, part of work and deadline."""
    print("work, deadline, code: load; dropped, sums, parts at ρ = 0; at ρ = 0.5")
    for work in _WORK:
        for deadline in _DEADLINES:
            for name, make in _CODES.items():
                plan = designed(make, work, deadline)
                parts = codes.split(plan)
                law = stragglers.in_parts(
                    stragglers.shifted_exponential(_PSI, shift=_SHIFT),
                    worker=parts.worker,
                    share=parts.share,
                    work_fraction=work,
                ).outcomes(deadline)
                assert law is not None
                summed, newest = sums(parts, law)
                cells = []
                for rho in _SIMILARITIES:
                    whole = decoders.best_unbiased(plan, gradients=rho)
                    own = residual.enumerate_masks(plan, decoder=whole, gradients=rho)
                    cells += [
                        own.relative,
                        error(summed, law._replace(masks=newest), rho),
                        error(parts.plan, law, rho),
                    ]
                row = ", ".join(f"{cell:.4f}" for cell in cells)
                print(f"{work:g}, {deadline:g}, {name}: {plan.load:.2f}; {row}")


if __name__ == "__main__":
    main()
