"""What `experiments.train` can be told: every key with its default, and its check."""

import math

from ml_collections import ConfigDict

from experiments.config_checks import (
    listed,
    require,
    require_counts,
    require_straggler_settings,
)
from experiments.optimizers import OPTIMIZERS
from experiments.paths import PATHS
from experiments.plans import PLAN_FILE, SCHEMES


def default() -> ConfigDict:
    """The settings that a config file starts from."""
    config = ConfigDict()

    # The comparison: every scheme against every deadline, from every seed.
    config.schemes = ("gd", "is_sgd", "scheme_i", "scheme_ii", "interval")
    config.num_workers = 10  # k
    config.num_partitions = 10  # n
    config.deadlines = (1.1, 1.5)  # τ_th of (23)
    config.psi_min = 0.1  # ψ_i ~ U(psi_min, psi_max), drawn anew for each seed
    config.psi_max = 2.0
    config.num_seeds = 3
    # A plan of `experiments.advise`. Its p then holds for all schemes instead of
    # deadlines and ψ, and `plan_file` among the schemes is the plan itself.
    config.plan_file = ""

    # Training. The objective is the mean loss over the training images.
    config.path = "simulated"  # where the workers are, see experiments/paths.py
    config.optimizer = "sgd"
    config.learning_rate = 0.01
    config.num_iterations = 200
    config.chunk_size = 0  # images in one pass; 0: all. Less memory, same gradient
    config.evaluate_every = 50  # iterations between validation losses
    config.checkpoint_every = 50  # iterations between checkpoints

    config.data = ConfigDict()
    # A folder in COCO's own layout or a prepared TFDS directory; empty: the shapes.
    config.data.directory = ""
    # Where shapes and prepared data go; empty: `data` in the working directory.
    config.data.cache_directory = ""
    config.data.num_train = 0  # images, the first by id; 0: all
    config.data.num_validation = 0
    config.data.validate_on_train = False  # score the images that were trained on
    config.data.max_objects = 100  # slots an image; the largest objects are kept
    config.data.shapes = ConfigDict()
    config.data.shapes.num_train = 40
    config.data.shapes.num_validation = 20
    config.data.shapes.image_size = 64  # pixels of the longer side
    config.data.shapes.seed = 0

    config.model = ConfigDict()
    config.model.image_size = 320  # pixels to which images are stretched
    config.model.compute_dtype = "float32"  # or "bfloat16"; parameters are float32
    config.model.width = 1.0  # multiplies every channel count
    config.model.strides = (16, 32, 64, 128, 256, 512)  # of the maps predicted from
    config.model.min_scale = 0.2  # of the smallest anchors, relative to the image
    return config


def check(config: ConfigDict) -> None:
    """Raises before any work what would fail later.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    from_file = (PLAN_FILE,) if config.plan_file else ()
    require_straggler_settings(config, schemes=(*SCHEMES, *from_file))
    require_counts(
        config,
        "num_workers",
        "num_partitions",
        "num_seeds",
        "num_iterations",
        "evaluate_every",
        "checkpoint_every",
        "data.max_objects",
        "data.shapes.num_train",
        "data.shapes.num_validation",
    )
    for key in ("chunk_size", "data.num_train", "data.num_validation"):
        require(config, key, lambda value: value >= 0, "at least 0, where 0 is all")
    require(config, "learning_rate", lambda value: 0 < value < math.inf, "above 0")
    dtypes = ("float32", "bfloat16")
    require(config, "model.compute_dtype", dtypes.__contains__, listed(dtypes))
    require(config, "path", PATHS.__contains__, listed(PATHS))
    require(config, "optimizer", OPTIMIZERS.__contains__, listed(OPTIMIZERS))
