"""What the paper's figures share: its setting on COCO, and one for two cores.

A figure's config takes a form behind a colon: none is the paper's, `reduced` the small
one. Of the paper's setting its sections 4 and E give the methods, k, p, τ, the models,
the learning rates and ten runs. They leave open n (here k, so that the load of Schemes
I and II is below 2 for every k), the images of an iteration (here 100), the number of
iterations and the size of images.
"""

from ml_collections import ConfigDict

from configs.train import shapes
from experiments.common.errors import InputError
from experiments.train import settings

# In the paper's order: GD, Proposed-I, Proposed-II, SGC, EHD, BGC, OD, IS-SGD; then
# what is not the paper's. Scheme II is the interval code: its default allocation.
METHODS = (
    "straggler_free",
    "scheme_i",
    "scheme_ii",
    "stochastic",
    "fractional_repetition",
    "bernoulli_placement",
    "random_graph",
    "uncoded",
    "interval_best",
    "uncoded_mean",
)


def get(form: str, *, accepted: tuple[str, ...] = ("", "reduced")) -> ConfigDict:
    """Settings of all methods at both deadlines, by gradient descent.

    Args:
        form: "" for the paper's, "reduced" for two cores; with k = 100 instead of 10,
            "k100" and "reduced_k100".
        accepted: the forms that the figure has.

    Raises:
        InputError: it has no such form.
    """
    if form not in accepted:
        names = ", ".join(repr(name) for name in accepted)
        raise InputError(f"form {form!r} behind the config's colon; accepted: {names}")
    num_workers = 100 if form.endswith("k100") else 10
    config = _reduced(num_workers) if form.startswith("reduced") else _full(num_workers)
    config.schemes = METHODS
    config.deadlines = (1.1, 1.5)
    config.num_workers = config.num_partitions = num_workers
    return config


def _full(num_workers: int) -> ConfigDict:
    """COCO train2017, streamed; for an accelerator."""
    config = settings.default()
    config.data.directory = "data/coco"
    config.data.in_memory = False
    config.model.reduced_tail = False  # nearest to the paper's 5.4 million parameters
    config.num_seeds = 10
    config.learning_rates.sgd = 0.01
    config.batch_size = 100 // num_workers
    config.chunk_size = 50
    config.num_iterations = 2000
    config.evaluate_every = 100
    config.checkpoint_every = 100
    return config


def _reduced(num_workers: int) -> ConfigDict:
    """Drawn shapes and a small detector; the rate at which GD learns fast."""
    config = shapes.get_config()
    config.data.shapes.num_train = 1000
    config.data.shapes.num_validation = 96
    config.optimizers = ("sgd",)
    config.learning_rates.sgd = 0.1
    config.clip_norm = 0.0
    config.schedule = "constant"
    config.warmup_iterations = 0
    config.num_iterations = 200
    config.evaluate_every = 20
    config.checkpoint_every = 100
    if num_workers == 100:
        config.batch_size = 1
        config.model.image_size = 32
        config.num_seeds = 1
        config.num_iterations = 60
        config.evaluate_every = 10
    return config
