r"""Figure 7: Adam beside two-track Adam, Λ = 1, every code, on the shapes.

    python -m experiments.train --config=configs/train/two_track.py \
        --workdir=runs/two_track

170 runs, about half an hour on one core. Two tracks end lower for the interval code,
Scheme I and SGC, and far higher for the biased codes, whose steps they shrink.

Which Λ: --config.noise_ratios="(0.1, 1.0, 10.0)". Scheme II's default allocation makes
it the interval code, which stands for both here.
"""

from ml_collections import ConfigDict

from experiments.train import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    config = settings.default()
    config.schemes = (
        "straggler_free",
        "uncoded",
        "scheme_i",
        "interval",
        "stochastic",
        "bernoulli_placement",
        "fractional_repetition",
        "fractional_repetition_representative",
        "random_graph",
    )
    config.deadlines = (1.1,)
    config.num_seeds = 10
    config.optimizers = ("adam", "two_track_adam")
    config.learning_rates.adam = 0.002
    config.learning_rates.two_track_adam = 0.002
    config.num_iterations = 100
    config.evaluate_every = 100
    config.checkpoint_every = 100
    config.data.shapes.image_size = 32
    config.model.image_size = 32
    config.model.width = 0.25
    config.model.strides = (8, 16, 32)
    return config
