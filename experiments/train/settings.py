"""What `experiments.train` can be told: every key with its default, and its check."""

import math

import jax
from ml_collections import ConfigDict

from experiments.common import conditions
from experiments.common.checks import (
    listed,
    require,
    require_counts,
    require_several,
    require_straggler_settings,
)
from experiments.common.schemes import (
    PLAN_FILE,
    SCHEMES,
    find_scheme,
    holds_option,
    read_option,
)
from experiments.train.codecs import CODECS, FULL
from experiments.train.optimizers import DEFAULT, OPTIMIZERS, SCHEDULES
from experiments.train.paths import PATHS
from experiments.train.tasks import TASKS

AUGMENTATIONS = ("", "flip", "crop", "ssd")
_MODEL_CHOICES = {
    "name": ("ssdlite", "retinanet"),
    "compute_dtype": ("float32", "bfloat16"),
    "divisor": ("image", "split"),
}


def default() -> ConfigDict:
    """The settings that a config file starts from."""
    config = ConfigDict()

    # The comparison: every scheme against every deadline, from every seed.
    config.schemes = ("straggler_free", "uncoded", "scheme_i", "scheme_ii", "interval")
    config.num_workers = 10  # k
    config.num_partitions = 10  # n
    config.deadlines = (1.1, 1.5)  # τ_th of (23)
    config.psi_min = 0.1  # ψ_i ~ U(psi_min, psi_max), drawn anew for each seed
    config.psi_max = 2.0
    config.num_seeds = 3
    # A plan, or an option of `python -m jgc advise`. `plan_file` among the schemes is
    # the plan itself, decoded as the option says. Its p holds for all schemes instead
    # of deadlines and ψ; where stragglers are of seconds (a trace), p follows from
    # those, and the option's waiting rule decides who is late, instead of a deadline.
    config.plan_file = ""
    conditions.add_truth(config)
    conditions.add_belief(config)
    conditions.add_following(config)
    conditions.add_adaptive(config)

    config.task = "detection"  # what is trained, see experiments/train/tasks/

    # Training. The objective is the mean loss over the training examples.
    config.path = "simulated"  # where the workers are, see experiments/train/paths/
    config.optimizers = (DEFAULT,)  # each with every scheme and deadline
    config.learning_rates = ConfigDict(
        {name: optimizer.learning_rate for name, optimizer in OPTIMIZERS.items()}
    )
    # Multiples of the rates above, one run each: 1, which all figures show, and then
    # others, of which `tuned.md` has each scheme's best.
    config.rate_factors = (1.0,)
    # The learning rates above are the highest: reached after a warm-up of so many
    # iterations, and then kept ("constant"), lowered to 0 ("cosine"), or divided by 10
    # at these parts of all iterations ("step").
    config.schedule = "constant"
    config.schedule_steps = (0.6, 0.85)
    config.warmup_iterations = 0
    config.weight_decay = 0.0  # of all parameters; AdamW's where the optimizer is Adam
    # The mean of the parameters is judged and kept, in which those of the last
    # iteration weigh 1 less this; 0: the last ones themselves are.
    config.ema_decay = 0.0
    config.clip_norm = 0.0  # longer gradients are shortened to it; 0: none are
    # Λ of (42), one run each, for optimizers of two tracks.
    config.noise_ratios = (1.0,)
    config.num_iterations = 200
    # Examples of each partition in an iteration, drawn anew (C.4.1); 0: all.
    config.batch_size = 0
    # Examples in one pass; 0: all. Less memory, same gradient: what is elsewhere called
    # gradient accumulation. With data.augmentation no less than a partition's.
    config.chunk_size = 0
    # Threads that share the cores, a run each: small models leave cores idle.
    config.runs_at_once = 1
    config.evaluate_every = 50  # iterations between validation losses
    config.checkpoint_every = 50  # iterations between checkpoints

    # Of the workers' messages, each with every scheme, see experiments/train/codecs.py.
    # In simulation all but float32 cost a backward pass a worker.
    config.codecs = (FULL,)
    config.subspace_factor = 4  # times fewer numbers, of random_subspace

    config.ray = ConfigDict()  # where config.path = ray
    config.ray.address = ""  # of a cluster, host:port; empty: this machine
    config.ray.spares = 0  # processes kept ready to take a lost one's place
    # In seconds, where stragglers.model = observed: workers straggle by being late, and
    # plan_file or believed.p says how often. 0: by the masks that all paths draw, or
    # where they are observed by the waiting rule of plan_file.
    config.ray.deadline = 0.0

    config.logistic = ConfigDict()  # the generated data of logistic regression
    # The scales of the features, from 10^-1 to 10^1: what a second moment evens out.
    config.logistic.log_scales = (-1.0, 1.0)
    config.logistic.num_train = 1000
    config.logistic.num_validation = 500
    config.logistic.dimension = 20
    config.logistic.regularizer = 0.001  # λ of the loss's λ/2 ‖β‖²

    # The rest is of detection.
    config.data = ConfigDict()
    # A folder in COCO's own layout or a prepared TFDS directory; empty: the shapes.
    config.data.directory = ""
    # Where shapes and what was found in a folder go, once for all experiments; empty:
    # $JGC_CACHE, or else the user's cache directory.
    config.data.cache_directory = ""
    config.data.num_train = 0  # images, the first by id; 0: all
    config.data.num_validation = 0
    # False: training images are read batch by batch, for data larger than memory.
    config.data.in_memory = True
    config.data.validate_on_train = False  # score the images that were trained on
    # Of training images with their boxes, anew in each iteration: "flip", "crop" (and
    # flip, as torchvision's SSDLite) or "ssd" (colours, expand, crop, flip); empty:
    # none.
    config.data.augmentation = ""
    config.data.max_objects = 100  # slots an image; the largest objects are kept
    config.data.scorer = "pycocotools"  # or "hotcoco": a second where it takes a minute
    config.data.shapes = ConfigDict()
    config.data.shapes.num_train = 40
    config.data.shapes.num_validation = 20
    config.data.shapes.image_size = 64  # pixels of the longer side
    # The rest as in `jgc.detection.data.generate_shapes`.
    config.data.shapes.max_objects = 6
    config.data.shapes.min_diameter = 0.1
    config.data.shapes.max_diameter = 0.6
    config.data.shapes.hue_range = 1.0
    config.data.shapes.seed = 0

    # See `jgc.detection.ssdlite` and `jgc.detection.retinanet`; empty: their defaults.
    config.model = ConfigDict()
    config.model.name = "ssdlite"  # or "retinanet"
    config.model.image_size = 320  # pixels to which images are stretched
    config.model.compute_dtype = "float32"  # or "bfloat16"; parameters are float32
    config.model.width = 1.0  # multiplies every channel count
    config.model.residual_scale = 1.0  # initial scale of residual branches
    config.model.strides = ()  # of the maps predicted from
    config.model.scales = ()  # of the anchors
    config.model.aspect_ratios = ()  # of the anchors
    config.model.positive_iou = 0.5  # from here on an anchor learns an object
    config.model.negative_iou = 0.4  # below, background
    config.model.box_weight = 1.0  # of the box loss beside the class loss
    # What each image's losses are divided by: its own positive anchors ("image") or
    # their mean over the training images in memory ("split").
    config.model.divisor = "image"
    # Of SSDLite alone.
    config.model.min_scale = 0.2  # of the smallest anchors, relative to the image
    config.model.max_scale = 0.95  # of the largest
    config.model.reduced_tail = True  # halve the backbone's last stage
    # Of RetinaNet alone.
    config.model.depth = 50  # of the ResNet: 18, 34, 50 or 101
    config.model.base_size = 4.0  # side of the smallest square anchor, in strides
    config.model.head_norm = False  # group norm in the heads
    return config


def check(config: ConfigDict) -> None:
    """Raises before any work what would fail later.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    from_file = (PLAN_FILE,) if config.plan_file else ()
    least = {
        conditions.TRACE: 0.0,
        conditions.SHIFTED_EXPONENTIAL: config.stragglers.shift,
    }
    require_straggler_settings(
        config,
        schemes=(*SCHEMES, *from_file),
        least_deadline=least.get(config.stragglers.model, 1.0),
    )
    require_counts(
        config,
        "num_workers",
        "num_partitions",
        "num_seeds",
        "num_iterations",
        "runs_at_once",
        "evaluate_every",
        "checkpoint_every",
        "subspace_factor",
        "data.max_objects",
        "data.shapes.num_train",
        "data.shapes.num_validation",
        "logistic.num_train",
        "logistic.num_validation",
        "logistic.dimension",
    )
    generated = {"logistic": "logistic.num_train"}
    if not config.data.directory:
        generated["detection"] = "data.shapes.num_train"
    if config.task in generated:
        require(
            config,
            generated[config.task],
            lambda value: value >= config.num_partitions,
            f"at least num_partitions = {config.num_partitions}",
        )
    require(config, "ray.spares", lambda value: value >= 0, "at least 0")
    for key in ("batch_size", "chunk_size", "data.num_train", "data.num_validation"):
        require(config, key, lambda value: value >= 0, "at least 0, where 0 is all")
    scorers = ("pycocotools", "hotcoco")
    require(config, "data.scorer", scorers.__contains__, listed(scorers))
    for key, accepted in _MODEL_CHOICES.items():
        require(config, f"model.{key}", accepted.__contains__, listed(accepted))
    conditions.check_truth(config)
    model = config.stragglers.model
    require(
        config,
        "plan_file",
        lambda path: (
            not path or model not in conditions.OF_SECONDS or holds_option(path)
        ),
        f"a file with a waiting rule where stragglers.model is {model}, which has p of "
        "its own",
    )
    conditions.check_belief(config)
    conditions.check_following(config)
    conditions.check_adaptive(config)
    _check_observed(config)
    _check_parts(config)
    require_several(
        config, "optimizers", OPTIMIZERS.__contains__, f"of {listed(OPTIMIZERS)}"
    )
    for name in OPTIMIZERS:
        require(
            config,
            f"learning_rates.{name}",
            lambda value: 0 < value < math.inf,
            "above 0",
        )
    require_several(config, "codecs", CODECS.__contains__, f"of {listed(CODECS)}")
    require(
        config,
        "codecs",
        lambda names: config.path != "spmd" or tuple(names) == (FULL,),
        f"({FULL!r},) where path is spmd: its devices send one another no messages",
    )
    require_several(
        config,
        "rate_factors",
        lambda value: 0 < value < math.inf,
        "finite numbers above 0",
    )
    require(config, "rate_factors", lambda values: values[0] == 1, "1 first")
    require(config, "schedule", SCHEDULES.__contains__, listed(SCHEDULES))
    require(
        config,
        "warmup_iterations",
        lambda value: 0 <= value < config.num_iterations,
        f"0 to {config.num_iterations - 1}, below num_iterations",
    )
    require_several(
        config, "schedule_steps", lambda part: 0 < part < 1, "between 0 and 1"
    )
    require(
        config,
        "weight_decay",
        lambda value: 0 <= value < math.inf,
        "at least 0, where 0 is none",
    )
    can_decay = [name for name, one in OPTIMIZERS.items() if one.make_decaying]
    require(
        config,
        "weight_decay",
        lambda value: not value or set(config.optimizers) <= set(can_decay),
        f"0, where one of the optimizers is not of {listed(can_decay)}",
    )
    require(
        config,
        "ema_decay",
        lambda value: 0 <= value < 1,
        "0 to below 1, where 0 is none",
    )
    require(
        config, "data.augmentation", AUGMENTATIONS.__contains__, listed(AUGMENTATIONS)
    )
    require(
        config,
        "clip_norm",
        lambda value: 0 <= value < math.inf,
        "at least 0, where 0 is none",
    )
    require_several(
        config,
        "noise_ratios",
        lambda value: 0 < value < math.inf,
        "finite numbers above 0",
    )
    waiting = [name for name in config.schemes if find_scheme(name).waits_for_all]
    require(
        config,
        "optimizers",
        lambda names: (
            len(waiting) < len(config.schemes)
            or any(OPTIMIZERS[name].single_track is None for name in names)
        ),
        f"one of a single track too, where all schemes are {listed(waiting)}",
    )
    require(
        config,
        "data.in_memory",
        lambda value: value or config.task == "detection",
        f"True where task is {config.task}",
    )
    require(
        config,
        "data.in_memory",
        lambda value: value or config.batch_size > 0,
        "True, or a batch_size above 0",
    )
    require(
        config,
        "data.validate_on_train",
        lambda value: not value or config.data.in_memory,
        "False, where data.in_memory is",
    )
    require(config, "task", TASKS.__contains__, listed(TASKS))
    require(
        config,
        "logistic.regularizer",
        lambda value: 0 <= value < math.inf,
        "at least 0",
    )
    require(config, "path", PATHS.__contains__, listed(PATHS))
    require(
        config,
        "runs_at_once",
        lambda value: value == 1 or config.path == "simulated",
        f"1, where path is {config.path}",
    )
    together = jax.process_count()
    require(
        config,
        "path",
        lambda path: together == 1 or path == "spmd",
        f"spmd, where {together} processes run one experiment",
    )


def _check_parts(config: ConfigDict) -> None:
    """What is sent in parts takes processes that take time.

    Raises:
        ValueError: plan_file is in parts, and something else is to be run with it.
    """
    option = read_option(config)
    if option is None or option.parts is None:
        return
    require(
        config,
        "stragglers.model",
        lambda model: model == conditions.OBSERVED,
        f"{conditions.OBSERVED}, as plan_file is of messages in parts",
    )
    require(
        config,
        "schemes",
        lambda names: tuple(names) == (PLAN_FILE,),
        f"({PLAN_FILE!r},), as plan_file is of messages in parts",
    )


def _check_observed(config: ConfigDict) -> None:
    """Real deadlines are of the path that has processes, which need p from elsewhere.

    Raises:
        ValueError: they are not, or nobody tells p or how long to wait.
    """
    if config.stragglers.model != conditions.OBSERVED:
        require(
            config,
            "ray.deadline",
            lambda value: value == 0,
            f"0 where stragglers.model is not {conditions.OBSERVED}",
        )
        return
    rule_is_known = (
        bool(config.plan_file)
        and holds_option(config.plan_file)
        and all(
            name == PLAN_FILE or find_scheme(name).waits_for_all
            for name in config.schemes
        )
    )
    require(
        config,
        "ray.deadline",
        lambda value: 0 < value < math.inf or (value == 0 and rule_is_known),
        f"above 0 where stragglers.model is {conditions.OBSERVED}; or 0, for the rule "
        f"of plan_file if it has one and no scheme but {PLAN_FILE} needs a deadline",
    )
    require(
        config,
        "stragglers.model",
        lambda model: config.path == "ray",
        f"a model that is drawn, where path is {config.path}",
    )
    require(
        config,
        "stragglers.model",
        lambda model: bool(config.plan_file or config.believed.p),
        "a model that is drawn, without a plan_file or believed.p for the deadline",
    )
