r"""Figure 6: RetinaNet, validation loss against computation load, τ = 1.1 and 1.5.

    python -m experiments.train --config=configs/paper/figure_6.py:reduced \
        --workdir=runs/figure_6

The figure is `validation.png`, right. The paper's form has ResNet-50 (34 million
parameters), the reduced one a narrow ResNet-18 at a quarter of the other figures' rate,
whose steps throw unbiased codes far off in the first iterations.
"""

from ml_collections import ConfigDict

from configs.paper import setting


def get_config(form: str = "") -> ConfigDict:
    """Settings of the experiment, for "" or "reduced"."""
    config = setting.get(form)
    config.model.name = "retinanet"
    if form == "reduced":
        config.model.depth = 18
        config.model.aspect_ratios = ()
        config.model.base_size = 2.0
        config.model.head_norm = True
        config.learning_rates.sgd = 0.025
        config.batch_size = 1
        config.num_seeds = 1
        config.num_iterations = 80
        config.evaluate_every = 10
    else:
        config.model.image_size = 512
        config.chunk_size = 10
    return config
