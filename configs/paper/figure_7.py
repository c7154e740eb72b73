r"""Figure 7: Adam beside two-track Adam, Λ = 1, τ = 1.1.

    python -m experiments.train --config=configs/paper/figure_7.py:reduced \
        --workdir=runs/figure_7

The figure is `validation.png`, left; `two_track.md` has the differences seed by seed.
Which Λ: --config.noise_ratios="(0.1, 1.0, 10.0)".
"""

from ml_collections import ConfigDict

from configs.paper import setting


def get_config(form: str = "") -> ConfigDict:
    """Settings of the experiment, for "" or "reduced"."""
    config = setting.get(form)
    config.deadlines = (1.1,)
    config.optimizers = ("adam", "two_track_adam")
    config.learning_rates.adam = config.learning_rates.two_track_adam = 0.001
    if form == "reduced":
        config.learning_rates.adam = config.learning_rates.two_track_adam = 0.004
        config.num_iterations = 150
    return config
