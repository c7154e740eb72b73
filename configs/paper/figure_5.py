r"""Figure 5: what detectors trained by each method find in an image.

    python -m experiments.train --config=configs/paper/figure_5.py:reduced \
        --workdir=runs/figure_5

The figure is `detections.png`; `findings.md` counts found, doubled and wrong
detections over all validation images. The paper's form has the runs of Figure 3. The
reduced one trains by Adam as the main job does: gradient descent finds nothing yet
after so few iterations.
"""

from ml_collections import ConfigDict

from configs.paper import setting
from configs.train import shapes


def get_config(form: str = "") -> ConfigDict:
    """Settings of the experiment, for "" or "reduced"."""
    config = setting.get(form)
    if form == "reduced":
        config = shapes.get_config()
        config.schemes = setting.METHODS
        config.num_seeds = 1
        config.num_iterations = 400
    return config
