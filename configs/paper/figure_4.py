r"""Figure 4: validation loss against computation load, all methods, k = 10.

    python -m experiments.train --config=configs/paper/figure_4.py:reduced \
        --workdir=runs/figure_3

The runs of Figure 3: in its working directory nothing is run again. The figure is
`validation.png`, right.
"""

from ml_collections import ConfigDict

from configs.paper import setting


def get_config(form: str = "") -> ConfigDict:
    """Settings of the experiment, for "" or "reduced"."""
    return setting.get(form)
