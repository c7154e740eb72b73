r"""Every code × decoder at loads 1, 2 and 4, and training at equal load.

Run with

    python -m experiments.decoding --config=configs/decoding/comparison.py \
        --workdir=runs/decoding

Training of one run (seed 0, one draw of p for each law; final loss over the least loss,
mean of ten seeds, each method at its own best step of a grid chosen on other seeds):

- Best unbiased wins on balanced repetition at p ~ U(0.01, 0.3), load 2: logistic
  2.7e-6 against 8.5e-6 of the best fixed weights on that placement (partitions alike),
  6.6e-6 against 2.6e-5 (unlike), a factor of 3 to 4; the network 0.0148 against 0.0160
  and 0.0154 against 0.0167. Against normalised weights there: 16 and 17 times less
  (logistic).
- It does not beat fixed weights beyond the noise on the uncoded and interval plans in
  logistic regression, nor anywhere at ψ with τ = 1.1: either has 8e-4 to 2e-3 there
  (logistic, load 2). Of 120 tuned steps one is at the end of the grid: best unbiased,
  uncoded, logistic, unlike, τ = 1.1.
- It does not beat least squares on balanced repetition: 2.4e-6 against its 2.7e-6, and
  5.2e-6 against 6.6e-6, within two standard errors; on the uncoded network at
  U(0.01, 0.3) biased least squares is clearly better, 0.012 against 0.019. Least
  squares loses where much is lost: uncoded at τ = 1.1, 0.0081 against 0.0025.

Loads are nominal: the tables give the real ones. The interval code has 1.9 and 3.9, and
1 and 3 where all p are equal; groups of repetition at load 4 have five of ten workers.
Best unbiased is designed for half of ‖g‖² common, not for the ρ of each problem.
"""

from ml_collections import ConfigDict

from experiments.decoding import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    return settings.default()
