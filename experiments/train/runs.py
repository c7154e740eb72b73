"""One training run: a scheme, a deadline, an optimizer, a seed; safe to kill."""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

import jgc
from experiments.common.checkpoints import Checkpoints
from experiments.common.metrics import MetricsWriter
from experiments.common.progress import Progress
from experiments.common.schemes import (
    MOST_WORKERS_TO_ENUMERATE,
    PLAN_FILE,
    draw_psi,
    find_scheme,
    read_plan,
)
from experiments.train.optimizers import DEFAULT, OPTIMIZERS
from experiments.train.tasks.task import Task
from jgc._files import read_json_lines, write_atomically
from jgc.training import Job, Report, TrainingPath, partitioned
from jgc.training._loss import Params

_LOG = logging.getLogger(__name__)
_NUM_TRIALS = 100_000
METRICS = "metrics.jsonl"
RESULT = "result.json"


@dataclass(frozen=True)
class Run:
    """What sets one run of an experiment apart from the others.

    Attributes:
        scheme: one of `experiments.common.schemes`.
        deadline: τ_th; None if the scheme waits for every worker, or if p comes with a
            plan file, whose deadline it then is.
        seed: of everything random.
        optimizer: one of `experiments.train.optimizers`.
        noise_ratio: Λ of an optimizer of two tracks, None for the others.
    """

    scheme: str
    deadline: float | None
    seed: int
    optimizer: str = DEFAULT
    noise_ratio: float | None = None

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        deadline = "" if self.deadline is None else f"-deadline{self.deadline:g}"
        optimizer = "" if self.optimizer == DEFAULT else f"-{self.optimizer}"
        ratio = "" if self.noise_ratio is None else f"-ratio{self.noise_ratio:g}"
        return f"{self.scheme}{deadline}{optimizer}{ratio}-seed{self.seed}"

    @property
    def title(self) -> str:
        """The scheme and what it is up against, for pictures."""
        deadline = "" if self.deadline is None else f", τ = {self.deadline:g}"
        optimizer = "" if self.optimizer == DEFAULT else f", {self.optimizer_title}"
        return self.scheme + deadline + optimizer

    @property
    def optimizer_title(self) -> str:
        """The optimizer and its Λ, for pictures."""
        ratio = "" if self.noise_ratio is None else f", Λ = {self.noise_ratio:g}"
        return OPTIMIZERS[self.optimizer].title + ratio


def list_runs(config: Any) -> list[Run]:
    """Every scheme, deadline and optimizer from every seed; all of one seed first.

    An experiment that is cut short has thus compared everything on its first seeds.
    Where all workers are waited for, two tracks are one: an optimizer of two tracks has
    no run of its own then, its `single_track` has.
    """
    return [
        Run(scheme, deadline, seed, optimizer, noise_ratio)
        for seed in range(config.num_seeds)
        for optimizer in config.optimizers
        for noise_ratio in _noise_ratios(optimizer, config)
        for scheme in config.schemes
        if noise_ratio is None or not find_scheme(scheme).waits_for_all
        for deadline in (
            [None]
            if config.plan_file or find_scheme(scheme).waits_for_all
            else config.deadlines
        )
    ]


def _noise_ratios(optimizer: str, config: Any) -> Sequence[float | None]:
    if OPTIMIZERS[optimizer].single_track is None:
        return [None]
    return config.noise_ratios


def run_directory(workdir: Path, run: Run) -> Path:
    """Where the run keeps its metrics, checkpoints and result."""
    return workdir / "runs" / run.name


class RunKeys(NamedTuple):
    """Independent keys of a seed; schemes share them, masks and batches with them."""

    params: Array
    psi: Array
    code: Array
    run: Array


def keys_of(seed: int) -> RunKeys:
    """The keys that everything random in a run of this seed comes from."""
    return RunKeys(*jax.random.split(jax.random.key(seed), 4))


def design(run: Run, config: Any) -> jgc.CodingPlan:
    """The run's plan; ψ depends on the seed alone, and a plan file's p replaces it."""
    keys, scheme = keys_of(run.seed), find_scheme(run.scheme)
    if scheme.waits_for_all:
        p = np.zeros(config.num_workers)
    elif run.deadline is None:
        plan = read_plan(config)
        if run.scheme == PLAN_FILE:
            return plan
        p = np.asarray(plan.straggler_probabilities)
    else:
        psi = draw_psi(keys.psi, config.num_workers, config.psi_min, config.psi_max)
        p = jgc.stragglers.deadline_probabilities(psi, deadline=run.deadline)
    return scheme.design(p, config.num_partitions, keys.code)


def train(
    run: Run,
    task: Task,
    path: TrainingPath,
    config: Any,
    directory: Path,
    progress: Progress,
) -> None:
    """Trains to the end from the newest checkpoint, and leaves `result.json`.

    Args:
        run: what to run.
        task: what to train.
        path: one of `experiments.train.paths`, shared by all runs: it compiles once.
        config: of the experiment.
        directory: the run's own.
        progress: told of every iteration.
    """
    plan, scheme = design(run, config), find_scheme(run.scheme)
    keys, job = keys_of(run.seed), make_job(run, task, config)

    with path(job) as own, Checkpoints(directory / "checkpoints") as checkpoints:
        state = own.init(keys.run, task.init(keys.params), task.model_state)
        state = checkpoints.restore_newest(like=state) or state
        start = int(state.iteration)
        progress.start_run(run.name, start)
        with MetricsWriter(directory, resume_from=start) as metrics:
            for iteration in range(start + 1, config.num_iterations + 1):
                is_last = iteration == config.num_iterations
                state, report = own.step(state)
                _check_finite(run, iteration, job.plan, report)
                row = {
                    "loss": report.loss,
                    "answered": int(report.answered.sum()),
                    **report.metrics,
                }
                if is_last or iteration % config.evaluate_every == 0:
                    row["validation_loss"] = float(task.validation_loss(state.params))
                metrics.write(iteration, **row)
                progress.advance(row["loss"])
                if is_last or iteration % config.checkpoint_every == 0:
                    metrics.flush()  # a checkpoint promises the metrics up to it
                    checkpoints.save(iteration, state)
        write_params(directory, state.params, iteration=config.num_iterations)
    scores = task.score(state.params)
    if "summary" in scores:
        _LOG.info("%s:\n%s", run.name, scores.pop("summary"))
    result = {
        "run": asdict(run),
        "code": scheme.title(plan),
        "load": plan.load,
        **_relative_errors(plan, scheme.decoder_for(plan)),
        **{f"final_{name}": value for name, value in _last_metrics(directory).items()},
        **scores,
    }
    write_atomically(directory / RESULT, json.dumps(result, indent=2) + "\n")


def write_params(directory: Path, params: Params, *, iteration: int) -> None:
    """Keeps the parameters of a finished run apart from its state."""
    with Checkpoints(directory / "params", keep=1) as checkpoints:
        checkpoints.save(iteration, params)


def restore_params(run: Run, task: Task, directory: Path) -> Params:
    """The parameters at the end of a finished run."""
    fresh = task.init(keys_of(run.seed).params)
    with Checkpoints(directory / "params") as checkpoints:
        params = checkpoints.restore_newest(like=fresh)
    if params is None:
        raise FileNotFoundError(f"{directory} has no parameters")
    return params


def make_job(run: Run, task: Task, config: Any) -> Job:
    """The run as a training path takes it."""
    plan, scheme = design(run, config), find_scheme(run.scheme)
    decoder = scheme.decoder_for(plan)
    if run.noise_ratio is not None:
        decoder = jgc.decoders.two_track(
            plan, noise_ratio=run.noise_ratio, decoder=decoder
        )
    observes = config.path == "ray" and config.ray.deadline
    # GD's p are 0: it waits for every worker, whatever the deadline.
    is_asked = not observes or scheme.waits_for_all
    p = plan.straggler_probabilities
    return Job(
        plan=plan,
        decoder=decoder,
        data=partitioned(
            task.source,
            task.assignment,
            num_partitions=config.num_partitions,
            batch_size=config.batch_size,
        ),
        stragglers=jgc.stragglers.bernoulli(p) if is_asked else None,
    )


def _relative_errors(
    plan: jgc.CodingPlan, decoder: jgc.decoders.Decoder
) -> dict[str, float]:
    """E‖g − ĝ‖²/‖g‖² for equal and for orthogonal partition gradients.

    Exact, but for decoders without a closed form and too many workers to enumerate.
    """
    return {
        "relative_error_aligned": _error(plan, decoder, similarity=1.0),
        "relative_error_orthogonal": _error(plan, decoder, similarity=0.0),
    }


def _error(
    plan: jgc.CodingPlan, decoder: jgc.decoders.Decoder, *, similarity: float
) -> float:
    if decoder == jgc.decoders.fixed:
        return jgc.residual.exact(plan, gradients=similarity).relative
    if plan.num_workers <= MOST_WORKERS_TO_ENUMERATE:
        return jgc.residual.enumerate_masks(
            plan, decoder=decoder, gradients=similarity
        ).relative
    return jgc.residual.monte_carlo(
        jax.random.key(0),
        plan,
        num_trials=_NUM_TRIALS,
        decoder=decoder,
        gradients=similarity,
    ).relative


def _last_metrics(directory: Path) -> dict[str, float]:
    row = read_json_lines(directory / METRICS)[-1]
    return {name: row[name] for name in ("loss", "validation_loss")}


def _check_finite(
    run: Run, iteration: int, plan: jgc.CodingPlan, report: Report
) -> None:
    loss = report.loss
    is_known = report.answered[np.asarray(plan.edge_worker)].any()
    if is_known and not math.isfinite(loss):
        raise FloatingPointError(
            f"{run.name}: the loss is {loss} at iteration {iteration}; lower "
            f"config.learning_rates.{run.optimizer}"
        )
