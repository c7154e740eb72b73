"""One training run, from its spec to its result; safe to kill."""

import dataclasses
import json
import logging
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jgc
from experiments.common import conditions, processes
from experiments.common.checkpoints import Checkpoints
from experiments.common.metrics import MetricsWriter
from experiments.common.progress import RunProgress
from experiments.common.schemes import (
    MOST_WORKERS_TO_ENUMERATE,
    PLAN_FILE,
    draw_psi,
    find_scheme,
    read_option,
    read_plan,
)
from experiments.common.threads import OneAtFirst
from experiments.train.codecs import FULL, megabytes
from experiments.train.optimizers import judged_params
from experiments.train.specs import RunSpec, keys_of
from experiments.train.tasks.task import Task
from jgc._files import read_json_lines, write_atomically
from jgc.design.rules import as_stragglers
from jgc.stragglers import StragglerModel, bernoulli
from jgc.training import Job, Report, TrainingPath, partitioned
from jgc.training._loss import Params
from jgc.training._messages import vector_of

_LOG = logging.getLogger(__name__)
_NUM_TRIALS = 100_000
METRICS = "metrics.jsonl"
RESULT = "result.json"
SCORES = "scores.txt"
# Of a result, what its line in the log has.
_IN_ONE_LINE = {
    "final_validation_loss": "validation loss",
    "ap": "mAP",
    "found": "found",
    "accuracy": "accuracy",
}


def design(run: RunSpec, config: Any) -> tuple[jgc.CodingPlan, StragglerModel | None]:
    """The run's plan, for the p that is believed; and who straggles in truth.

    ψ depends on the seed alone. Who waits for all workers has no stragglers, whatever
    the others face. None: stragglers are observed.

    Raises:
        ValueError: no such plan, or no such straggler model.
        OSError: a plan file or a trace cannot be read.
    """
    keys, scheme = keys_of(run.seed), find_scheme(run.scheme)
    if scheme.waits_for_all:
        nobody = np.zeros(config.num_workers)
        plan = scheme.design(nobody, config.num_partitions, keys.code)
        return plan, bernoulli(nobody)
    saved = read_plan(config) if config.plan_file else None
    # Of seconds p follows, and what a file says of it is not asked.
    from_file = None
    if saved is not None and config.stragglers.model not in conditions.OF_SECONDS:
        from_file = np.asarray(saved.straggler_probabilities)
    psi = draw_psi(keys.psi, config.num_workers, config.psi_min, config.psi_max)
    option = read_option(config) if run.scheme == PLAN_FILE else None
    truth = conditions.in_truth(
        config,
        psi=psi,
        deadline=run.deadline,
        rule=None if option is None else option.rule,
        from_file=from_file,
        seed=run.seed,
    )
    if run.scheme == PLAN_FILE:
        assert saved is not None
        return saved, truth
    p = conditions.believed(config, truth, from_file=from_file, key=keys.belief)
    plan = scheme.design(p, config.num_partitions, keys.code)
    if truth is not None and truth.probabilities is not None:
        p = np.asarray(truth.probabilities())
        if rule := conditions.adaptive_rule(config, plan, p):
            latencies = conditions.in_seconds(config, psi=psi, seed=run.seed)
            truth = as_stragglers(latencies, rule)
    return plan, truth


def train(
    run: RunSpec,
    task: Task,
    path: TrainingPath,
    config: Any,
    directory: Path,
    progress: RunProgress,
    first: OneAtFirst | None = None,
) -> None:
    """Trains to the end from the newest checkpoint, and leaves `result.json`.

    Of several processes all do the same, but that only the writer writes.

    Args:
        run: what to run.
        task: what to train.
        path: one of `experiments.train.paths`, shared by all runs: it compiles once.
        config: of the experiment.
        directory: the run's own.
        progress: told of every iteration.
        first: shared by the runs of all threads, where there are several.
    """
    first = first or OneAtFirst()
    keys, job = keys_of(run.seed), make_job(run, task, config)
    with ExitStack() as stack:
        own = stack.enter_context(path(job))
        checkpoints = stack.enter_context(Checkpoints(directory / "checkpoints"))
        state = own.init(keys.run, task.init(keys.params), task.model_state)
        state = checkpoints.restore_newest(like=state) or state
        start = int(state.iteration)
        progress.start_run(run.name, start)
        metrics = None
        if processes.is_writer():
            metrics = stack.enter_context(MetricsWriter(directory, resume_from=start))
        for iteration in range(start + 1, config.num_iterations + 1):
            is_last = iteration == config.num_iterations
            with first("step"):
                state, report = own.step(state)
            if len(config.rate_factors) == 1:  # else it is a rate that is not the best
                _check_finite(run, iteration, job.plan, report)
            row = {
                "loss": report.loss,
                "answered": int(report.answered.sum()),
                **report.metrics,
            }
            if job.similarity is not None:
                row["similarity"] = report.similarity
            if is_last or iteration % config.evaluate_every == 0:
                params = processes.on_host(judged_params(state))
                with first("validation"):
                    row["validation_loss"] = float(task.validation_loss(params))
            if metrics is not None:
                metrics.write(iteration, **row)
            progress.advance(run.name, report.loss)
            if is_last or iteration % config.checkpoint_every == 0:
                if metrics is not None:
                    metrics.flush()  # a checkpoint promises the metrics up to it
                checkpoints.save(iteration, state)
        params = processes.on_host(judged_params(state))
        _write_params(directory, params, iteration=config.num_iterations)
    with first("score"):
        scores = task.score(params)
    if processes.is_writer():
        if tuple(config.codecs) != (FULL,):
            size, _ = vector_of(params)
            scores["megabytes"] = megabytes(run.codec, config, size)
        _write_result(run, config, directory, scores)


def _write_result(
    run: RunSpec, config: Any, directory: Path, scores: dict[str, Any]
) -> None:
    if "summary" in scores:
        write_atomically(directory / SCORES, scores.pop("summary"))
    (plan, truth), scheme = design(run, config), find_scheme(run.scheme, config)
    result = {
        "run": dataclasses.asdict(run),
        "title": scheme.title + run.codec_title,
        "load": plan.load,
        **_relative_errors(plan, scheme.decoder_for(plan), truth, config),
        **{f"final_{name}": value for name, value in _last_metrics(directory).items()},
        **scores,
    }
    write_atomically(directory / RESULT, json.dumps(result, indent=2) + "\n")
    shown = {
        title: result[name] for name, title in _IN_ONE_LINE.items() if name in result
    }
    numbers = (f"{title} {value:.3f}" for title, value in shown.items())
    _LOG.info("%s: %s", run.name, ", ".join(numbers))


def _write_params(directory: Path, params: Params, *, iteration: int) -> None:
    """Keeps the parameters of a finished run apart from its state."""
    with Checkpoints(directory / "params", keep=1) as checkpoints:
        checkpoints.save(iteration, params)


def restore_params(run: RunSpec, task: Task, directory: Path) -> Params:
    """The parameters at the end of a finished run."""
    fresh = task.init(keys_of(run.seed).params)
    with Checkpoints(directory / "params") as checkpoints:
        params = checkpoints.restore_newest(like=fresh)
    if params is None:
        raise FileNotFoundError(f"{directory} has no parameters")
    return params


def make_job(run: RunSpec, task: Task, config: Any) -> Job:
    """The run as a training path takes it."""
    plan, truth = design(run, config)
    scheme, similarity = find_scheme(run.scheme, config), conditions.similarity(config)
    make_decoder = scheme.decoder_for if similarity is None else scheme.follower_for
    decoder = make_decoder(plan)
    following = conditions.following(config)
    if not _can_follow(plan, run, config):
        following = None
    if run.noise_ratio is not None:
        decoder = jgc.decoders.two_track(
            plan, noise_ratio=run.noise_ratio, decoder=decoder
        )
    return Job(
        plan=plan,
        decoder=decoder,
        data=partitioned(
            task.source,
            task.assignment,
            num_partitions=config.num_partitions,
            batch_size=config.batch_size,
        ),
        stragglers=truth,
        following=following,
        similarity=similarity,
    )


def _can_follow(plan: jgc.CodingPlan, run: RunSpec, config: Any) -> bool:
    """Codes that p alone makes unbiased; others would become another scheme's."""
    scheme = find_scheme(run.scheme, config)
    if scheme.waits_for_all or not scheme.is_fixed:
        return False
    return bool(np.abs(jgc.residual.bias(plan)).max() < 1e-6)


def _relative_errors(
    plan: jgc.CodingPlan,
    decoder: jgc.decoders.Decoder,
    truth: StragglerModel | None,
    config: Any,
) -> dict[str, float]:
    """E‖g − ĝ‖²/‖g‖² for equal and for orthogonal partition gradients.

    Of the stragglers that the run faces; where they are observed, of workers with the
    plan's p, each for itself. Of the plan that the run starts from. Exact for
    independent workers, but for decoders without a closed form and too many workers to
    enumerate.
    """
    dependent = None
    if truth is not None and truth.probabilities is not None:
        p = np.asarray(truth.probabilities(), np.float64)
        plan = dataclasses.replace(plan, straggler_probabilities=p)
        if conditions.is_dependent(config) and p.any():
            dependent = truth
    return {
        f"relative_error_{name}": _error(plan, decoder, dependent, similarity=rho)
        for name, rho in (("aligned", 1.0), ("orthogonal", 0.0))
    }


def _error(
    plan: jgc.CodingPlan,
    decoder: jgc.decoders.Decoder,
    dependent: StragglerModel | None,
    *,
    similarity: float,
) -> float:
    if dependent is not None:
        return jgc.residual.monte_carlo(
            jax.random.key(0),
            plan,
            num_trials=_NUM_TRIALS,
            decoder=decoder,
            model=dependent,
            gradients=similarity,
        ).relative
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
    run: RunSpec, iteration: int, plan: jgc.CodingPlan, report: Report
) -> None:
    loss = report.loss
    is_known = report.answered[np.asarray(plan.edge_worker)].any()
    if is_known and not math.isfinite(loss):
        raise FloatingPointError(
            f"{run.name}: the loss is {loss} at iteration {iteration}; lower "
            f"config.learning_rates.{run.optimizer}"
        )
