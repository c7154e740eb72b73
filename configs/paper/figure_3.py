r"""Figure 3: validation loss against iterations, all methods, τ = 1.1 and 1.5.

    python -m experiments.train --config=configs/paper/figure_3.py:reduced \
        --workdir=runs/figure_3

k = 10 there and without a form, which is the paper's setting and wants COCO in
--config.data.directory; k = 100 with the forms `k100` and `reduced_k100`. The figure
is `validation.png`, left; `table.md` has the last losses.
"""

from ml_collections import ConfigDict

from configs.paper import setting


def get_config(form: str = "") -> ConfigDict:
    """Settings of the experiment, for "", "k100", "reduced" or "reduced_k100"."""
    return setting.get(form, accepted=("", "k100", "reduced", "reduced_k100"))
