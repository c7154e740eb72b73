r"""Figure 7 on logistic regression: Adam beside two-track Adam for several Λ.

    python -m experiments.train --config=configs/train/two_track_logistic.py \
    --workdir=runs/two_track_logistic

1210 runs, about five minutes on one core. `two_track.md` has the differences seed by
seed, `noise_ratios.png` the final losses against Λ.

At Λ = 1 and one learning rate for all, over ten seeds, two tracks end 0.001 lower in
training loss for the paper's codes at the deadline 1.5 and level at 1.1, and higher for
every biased code: by 0.003 to 0.018 at 1.5, by 0.028 to 0.063 at 1.1 (standard errors
of 0.0003 to 0.006).

Two tracks change the step length more than anything else: with the learning rate of
either optimizer tuned for each code (--config.learning_rates.adam=…), they end level.
"""

from ml_collections import ConfigDict

from experiments.train import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    config = settings.default()
    config.task = "logistic"
    config.schemes = (
        "straggler_free",
        "uncoded",
        "scheme_i",
        "scheme_ii",
        "interval",
        "stochastic",
        "bernoulli_placement",
        "fractional_repetition",
        "fractional_repetition_representative",
        "random_graph",
        "cyclic_repetition",
    )
    config.num_seeds = 10
    config.optimizers = ("adam", "two_track_adam")
    config.learning_rates.adam = 0.02
    config.learning_rates.two_track_adam = 0.02
    config.noise_ratios = (0.1, 0.3, 1.0, 3.0, 10.0)
    config.num_iterations = 200
    config.evaluate_every = 200
    config.checkpoint_every = 200
    return config
