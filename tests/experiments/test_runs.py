import json
from dataclasses import replace
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from experiments.common.progress import RunProgress
from experiments.common.schemes import SCHEMES
from experiments.train import settings
from experiments.train.main import prepare, run_all
from experiments.train.optimizers import OPTIMIZERS
from experiments.train.paths import PATHS
from experiments.train.report.groups import read_groups
from experiments.train.report.tables import write_report
from experiments.train.report.two_track import pair_up
from experiments.train.runs import (
    RESULT,
    design,
    make_job,
    restore_params,
    train,
)
from experiments.train.specs import RunSpec, list_runs, run_directory
from experiments.train.tasks import TASKS
from experiments.train.tasks.task import Task
from jgc._files import read_json_lines
from jgc.design import save_plan
from jgc.training import arrays
from tests.training import problems

OPTIMIZER = optax.adam(0.05)


class Killed(BaseException):
    """Stands for a signal: nothing may catch it."""


class KillsAfter(RunProgress):
    """RunProgress that dies in the middle of an iteration's bookkeeping."""

    def __init__(self, iterations):
        super().__init__(1, 20)
        self.left = iterations

    def advance(self, name, loss):
        self.left -= 1
        if self.left < 0:
            raise Killed


@pytest.fixture
def config():
    config = settings.default()
    config.num_workers = 5
    config.num_partitions = 6
    config.num_iterations = 20
    config.evaluate_every = 4
    config.checkpoint_every = 3
    return config


@pytest.fixture
def task():
    examples = problems.examples()
    return Task(
        loss=problems.loss,
        init=lambda key: {
            "weight": jax.random.normal(key, (problems.DIMENSION,)),
            "bias": jnp.zeros(()),
        },
        source=arrays(examples),
        assignment=np.arange(problems.NUM_EXAMPLES) % 6,
        validation_loss=lambda params: problems.loss(params, examples).mean(),
        score=lambda params: {"ap": float(params["bias"])},
    )


def open_path(name="simulated", *, loss=problems.loss, optimizer=OPTIMIZER):
    """Never closed: these paths have nothing to close."""
    return PATHS[name](loss, optimizer, None, settings.default()).__enter__()


# Shared by all tests: they compile once.
OPENED = {name: open_path(name) for name in ("simulated", "spmd")}
PATH = OPENED["simulated"]
RUN = RunSpec("interval", 1.5, 0)


def run_to_end(task, config, directory, path=PATH):
    with RunProgress(1, config.num_iterations) as progress:
        train(RUN, task, path, config, directory, progress)


@pytest.mark.parametrize(
    ("path", "iterations"),
    [*(("simulated", kill) for kill in (0, 1, 3, 4, 10, 19)), ("spmd", 4)],
)
def test_a_killed_run_resumes_to_the_same_bits(
    tmp_path, config, task, path, iterations
):
    path = OPENED[path]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_to_end(task, config, whole, path)
    with pytest.raises(Killed), KillsAfter(iterations) as progress:
        train(RUN, task, path, config, broken, progress)
    assert not (broken / RESULT).exists()
    run_to_end(task, config, broken, path)

    def params(directory):
        return restore_params(RUN, task, directory)

    chex.assert_trees_all_equal(params(whole), params(broken))
    assert read_json_lines(whole / "metrics.jsonl") == read_json_lines(
        broken / "metrics.jsonl"
    )
    assert (whole / RESULT).read_text() == (broken / RESULT).read_text()


def test_paths_log_the_same_run(tmp_path, config, task):
    logged = []
    for name, path in OPENED.items():
        run_to_end(task, config, tmp_path / name, path)
        logged.append(read_json_lines(tmp_path / name / "metrics.jsonl"))
    chex.assert_trees_all_close(*logged, rtol=1e-5)


def test_similarity_is_followed_logged_and_drawn(tmp_path, config, task):
    config.following.similarity_every = 2
    config.schemes, config.deadlines, config.num_seeds = ("interval_best",), (4.0,), 1
    settings.check(config)
    (run,) = list_runs(config)
    job = make_job(run, task, config)
    assert job.decoder.follows_similarity
    with RunProgress(1, config.num_iterations) as progress:
        train(run, task, PATH, config, run_directory(tmp_path, run), progress)
    rows = read_json_lines(run_directory(tmp_path, run) / "metrics.jsonl")
    rho = [row["similarity"] for row in rows]
    n = config.num_partitions
    assert rho[0] == pytest.approx(1 / (1 + n), rel=1e-3)  # half of ‖g‖² is common
    assert 5 < len(set(rho)) <= 11  # where enough answered to tell
    write_report([run], tmp_path)
    assert (tmp_path / "similarity.png").stat().st_size > 10_000
    (group,) = read_groups([run], tmp_path)
    np.testing.assert_array_equal(group.similarity, [rho])


def test_result_and_metrics_of_a_run(tmp_path, config, task):
    run_to_end(task, config, tmp_path)
    rows = read_json_lines(tmp_path / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == list(range(1, 21))
    evaluated = [row["iteration"] for row in rows if "validation_loss" in row]
    assert evaluated == [4, 8, 12, 16, 20]
    result = json.loads((tmp_path / RESULT).read_text())
    assert result["final_loss"] == rows[-1]["loss"]
    assert result["load"] == design(RUN, config)[0].load
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_schemes_of_a_seed_face_the_same_stragglers(tmp_path, config, task):
    answered = []
    for scheme in ("uncoded", "scheme_i", "interval"):
        directory = tmp_path / scheme
        with RunProgress(1, 20) as progress:
            run = RunSpec(scheme, 1.5, 3)
            train(run, task, PATH, config, directory, progress)
        rows = read_json_lines(directory / "metrics.jsonl")
        answered.append([row["answered"] for row in rows])
    assert answered[0] == answered[1] == answered[2]
    assert len(set(answered[0])) > 1


def test_a_diverging_run_stops_with_advice(tmp_path, config, task):
    path = open_path(loss=lambda params, x: problems.loss(params, x) * jnp.nan)
    with (
        pytest.raises(FloatingPointError, match=r"iteration 1; lower config\.learning"),
        RunProgress(1, 20) as progress,
    ):
        train(RUN, task, path, config, tmp_path, progress)


def test_list_runs_pairs_schemes_with_deadlines_but_gd(config):
    runs = list_runs(config)
    assert len(runs) == len(set(runs)) == config.num_seeds * (1 + 4 * 2)
    assert sum(run.scheme == "straggler_free" for run in runs) == config.num_seeds
    assert len({run_directory(Path("work"), run) for run in runs}) == len(runs)


def test_psi_depends_on_the_seed_alone(config):
    def p(scheme, deadline, seed):
        plan, _ = design(RunSpec(scheme, deadline, seed), config)
        return plan.straggler_probabilities

    np.testing.assert_array_equal(p("uncoded", 1.1, 0), p("interval", 1.1, 0))
    psi = [
        -np.log(p("interval", deadline, 0)) / (deadline - 1) for deadline in (1.1, 2)
    ]
    np.testing.assert_allclose(psi[0], psi[1])
    assert (psi[0] >= 0.1).all()
    assert (psi[0] <= 2).all()
    assert (p("interval", 1.1, 0) != p("interval", 1.1, 1)).all()


@pytest.fixture
def saved(tmp_path, config):
    """A plan file that the config names, for five workers and six partitions."""
    plan = jgc.codes.interval([0.1, 0.3, 0.5, 0.7, 0.9], num_partitions=6)
    config.plan_file = str(tmp_path / "plan.npz")
    config.schemes = ("straggler_free", "scheme_i", "plan_file")
    save_plan(plan, config.plan_file)
    return plan


def test_a_plan_file_is_trained_with_and_its_p_holds_for_all(config, saved):
    settings.check(config)
    runs = {run.scheme: run for run in list_runs(config)}
    assert len(list_runs(config)) == 3 * config.num_seeds
    chex.assert_trees_all_equal(design(runs["plan_file"], config)[0], saved)
    other, truth = design(runs["scheme_i"], config)
    np.testing.assert_array_equal(
        other.straggler_probabilities, saved.straggler_probabilities
    )
    np.testing.assert_array_equal(truth.probabilities(), saved.straggler_probabilities)
    free, truth = design(runs["straggler_free"], config)
    assert (free.straggler_probabilities == 0).all()
    assert (truth.probabilities() == 0).all()


def test_training_with_a_plan_file(tmp_path, config, saved, task):
    run = RunSpec("plan_file", None, 0)
    with RunProgress(1, config.num_iterations) as progress:
        train(run, task, PATH, config, tmp_path / "run", progress)
    result = json.loads((tmp_path / "run" / RESULT).read_text())
    assert result["title"] == "plan from a file"
    assert result["load"] == saved.load


def test_a_plan_file_of_other_sizes(config, saved):
    config.num_workers = 7
    with pytest.raises(ValueError, match=r"config.num_workers = 7; accepted: 5, that"):
        design(RunSpec("plan_file", None, 0), config)


def test_the_scheme_plan_file_needs_one(config):
    config.schemes = ("straggler_free", "plan_file")
    with pytest.raises(ValueError, match=r"config.schemes = .*plan_file"):
        settings.check(config)


@pytest.mark.parametrize(
    "scheme", ["random_graph", "fractional_repetition_representative", "interval"]
)
def test_reported_errors_are_those_of_the_decoder_in_use(
    tmp_path, config, task, scheme
):
    run = RunSpec(scheme, 1.5, 0)
    with RunProgress(1, config.num_iterations) as progress:
        train(run, task, PATH, config, tmp_path, progress)
    result = json.loads((tmp_path / RESULT).read_text())
    expected = jgc.residual.enumerate_masks(
        design(run, config)[0], decoder=SCHEMES[scheme].decoder, gradients=0.0
    )
    n = config.num_partitions
    assert result["relative_error_orthogonal"] == pytest.approx(expected.mean / n)


def test_reported_errors_are_those_of_workers_that_straggle_together(
    tmp_path, config, task
):
    run, errors = RunSpec("interval", 1.5, 0), {}
    for model in ("bernoulli", "common_factor"):
        config.stragglers.model, config.stragglers.correlation = model, 0.9
        with RunProgress(1, config.num_iterations) as progress:
            train(run, task, PATH, config, tmp_path / model, progress)
        result = json.loads((tmp_path / model / RESULT).read_text())
        errors[model] = result["relative_error_aligned"]
    plan, truth = design(run, config)
    expected = jgc.residual.exact(plan, gradients=1.0, covariance=truth.covariance())
    assert errors["common_factor"] == pytest.approx(expected.relative, rel=0.05)
    assert errors["common_factor"] > 1.5 * errors["bernoulli"]


def final_params(tmp_path, config, task, run, optimizer):
    path = PATH if optimizer is OPTIMIZER else open_path(optimizer=optimizer)
    with RunProgress(1, config.num_iterations) as progress:
        train(run, task, path, config, tmp_path / run.name, progress)
    return restore_params(run, task, tmp_path / run.name)


def test_two_tracks_of_optimal_structure_are_a_learning_rate(tmp_path, config, task):
    """v = κw: with m/(κ√ν + ε), two-track Adam is Adam at γ/κ and ε/κ."""
    run = RunSpec("interval", 1.5, 0, "two_track_adam", 0.5)
    kappa = jgc.optim.second_moment_ratio(design(run, config)[0], noise_ratio=0.5)
    assert kappa < 0.9
    found = final_params(
        tmp_path, config, task, run, OPTIMIZERS["two_track_adam"].make(0.05)
    )
    expected = final_params(
        tmp_path, config, task, RUN, optax.adam(0.05 / kappa, eps=1e-8 / kappa)
    )
    chex.assert_trees_all_close(found, expected, rtol=1e-4)


def test_two_tracks_of_decoders_that_look_at_the_mask(config):
    run = RunSpec("random_graph", 1.5, 0)
    (plan, _), decoder = design(run, config), SCHEMES["random_graph"].decoder
    v = jgc.decoders.second_moment_weights(plan, noise_ratio=1.0)
    two_track = jgc.decoders.two_track(plan, noise_ratio=1.0, decoder=decoder)
    for seed in range(3):
        answered = jax.random.bernoulli(jax.random.key(seed), 0.5, (5,))
        first, second = plan.coefficients(two_track(plan, answered))
        a = plan.encoding_matrix()
        np.testing.assert_allclose(first, decoder(plan, answered) @ a, rtol=1e-5)
        np.testing.assert_allclose(second, (answered * v) @ a, rtol=1e-5)


def test_optimizers_are_listed_with_their_noise_ratios(config):
    config.schemes, config.deadlines = ("straggler_free", "interval"), (1.5,)
    config.optimizers, config.noise_ratios = ("adam", "two_track_adam"), (0.5, 1.0)
    config.num_seeds = 1
    assert [run.name for run in list_runs(config)] == [
        "straggler_free-adam-seed0",
        "interval-deadline1.5-adam-seed0",
        "interval-deadline1.5-two_track_adam-ratio0.5-seed0",
        "interval-deadline1.5-two_track_adam-ratio1-seed0",
    ]


class Stream:
    """A source that is read batch by batch; notes how many rows it was asked for."""

    def __init__(self, source):
        self.source = source
        self.asked = []

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        return self.source[index]

    def take(self, rows):
        self.asked.append(np.array(rows).copy())
        return self.source.take(rows)


def test_mini_batches_resume_exactly_from_memory_and_from_a_stream(
    tmp_path, config, task
):
    config.batch_size = 2
    whole = final_params(tmp_path / "whole", config, task, RUN, OPTIMIZER)
    stream = Stream(task.source)
    streamed = task._replace(source=stream)
    folder = tmp_path / "broken"
    with pytest.raises(Killed), KillsAfter(10) as progress:
        train(RUN, streamed, PATH, config, folder / RUN.name, progress)
    broken = final_params(folder, config, streamed, RUN, OPTIMIZER)
    chex.assert_trees_all_equal(whole, broken)
    metrics = [
        tmp_path / name / RUN.name / "metrics.jsonl" for name in ("whole", "broken")
    ]
    assert read_json_lines(metrics[0]) == read_json_lines(metrics[1])
    # Never all of it at once, and not the same again and again.
    assert max(rows.size for rows in stream.asked) == 2 * config.num_partitions
    assert len({rows.tobytes() for rows in stream.asked}) >= 20


def test_logistic_regression_to_its_report(tmp_path, config):
    config.task, config.schemes, config.deadlines = (
        "logistic",
        ("straggler_free", "stochastic"),
        (1.5,),
    )
    config.optimizers, config.noise_ratios = ("adam", "two_track_adam"), (0.5, 2.0)
    config.num_seeds, config.num_iterations = 2, 30
    config.logistic.num_train, config.logistic.num_validation = 100, 50
    settings.check(config)
    task = TASKS[config.task](config, tmp_path)
    runs = list_runs(config)
    optimizers = {name: OPTIMIZERS[name].make(0.05) for name in config.optimizers}
    opened = {
        name: open_path(loss=task.loss, optimizer=optimizer)
        for name, optimizer in optimizers.items()
    }
    with RunProgress(len(runs), config.num_iterations) as progress:
        for run in runs:
            folder = run_directory(tmp_path, run)
            train(run, task, opened[run.optimizer], config, folder, progress)
    first = read_groups(runs, tmp_path)[0].run
    for seed, score in enumerate((0.25, 0.75)):  # one that no table knows
        path = run_directory(tmp_path, replace(first, seed=seed)) / RESULT
        path.write_text(json.dumps(json.loads(path.read_text()) | {"my_score": score}))
    write_report(runs, tmp_path)

    table = (tmp_path / "table.md").read_text().splitlines()
    assert "accuracy" in table[0]
    assert "mAP" not in table[0]
    assert [line.rsplit(" | ", 1)[1] for line in (table[0], *table[2:])] == [
        "my score |",
        "0.500 ± 0.250 |",
        *["– |"] * 3,
    ]
    assert len(table) == 2 + 1 + 3  # GD under Adam; SGC under Adam and two ratios
    accuracy = json.loads((run_directory(tmp_path, runs[0]) / RESULT).read_text())
    assert accuracy["accuracy"] > 0.65

    pairs = pair_up(read_groups(runs, tmp_path))
    assert [pair.two_track.run.noise_ratio for pair in pairs] == [0.5, 2.0]
    results = [group.results for group in pairs[1]]
    np.testing.assert_allclose(
        pairs[1].differences,
        [
            two["final_loss"] - one["final_loss"]
            for two, one in zip(*results, strict=True)
        ],
    )
    for name in ("convergence.png", "noise_ratios.png", "two_track.md"):
        assert (tmp_path / name).stat().st_size > 0


def test_runs_at_once_end_as_one_after_another(tmp_path, config):
    config.task, config.num_seeds, config.deadlines = "logistic", 1, (1.5,)
    config.schemes = ("straggler_free", "uncoded", "interval")
    config.logistic.num_train, config.logistic.num_validation = 100, 50
    left = []
    for config.runs_at_once in (1, 2):
        workdir = tmp_path / str(config.runs_at_once)
        run_all(prepare(config, workdir), config, workdir)
        left.append(
            {
                path.relative_to(workdir): path.read_text()
                for name in ("table.csv", "findings.md", "runs/*/metrics.jsonl")
                for path in workdir.glob(name)
            }
        )
    assert left[0] == left[1]
    assert len(left[0]) == 2 + 3


def test_rates_are_swept_and_the_best_is_told_apart(tmp_path, config):
    """One that diverges is no best rate, and stops nobody."""
    config.task, config.num_seeds, config.deadlines = "logistic", 1, (1.5,)
    config.schemes, config.rate_factors = ("straggler_free",), (1.0, 8.0, 1e38)
    config.logistic.num_train, config.logistic.num_validation = 100, 50
    run_all(prepare(config, tmp_path), config, tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 3
    # Everything else is of the first rate.
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 1
    (row,) = (tmp_path / "tuned.md").read_text().splitlines()[2:]
    assert "| SGD | 8 |" in row
    runs = [run for run in list_runs(config) if run.rate_factor == 8]
    (best,) = read_groups(runs, tmp_path)
    assert f"{best.mean('final_validation_loss'):.3f} ±" in row
    assert (tmp_path / "tuned.png").stat().st_size > 0


def test_codecs_are_compared_by_what_they_send(tmp_path, config):
    config.task, config.num_seeds, config.deadlines = "logistic", 1, (1.5,)
    config.schemes, config.codecs = ("interval",), ("float32", "sign")
    config.logistic.num_train, config.logistic.num_validation = 100, 50
    config.logistic.dimension, config.logistic.log_scales = 512, (-1.0, 0.0)
    run_all(prepare(config, tmp_path), config, tmp_path)
    runs = list_runs(config)
    assert [run.name for run in runs] == [
        "interval-deadline1.5-seed0",
        "interval-deadline1.5-sign-seed0",
    ]
    full, signs = read_groups(runs, tmp_path)
    assert (full.title, signs.title) == ("interval", "interval, sign")
    entries = 513  # and the intercept
    assert full.mean("megabytes") == config.num_workers * 4 * entries / 1e6
    in_blocks = config.num_workers * 3 * (256 / 8 + 4) / 1e6
    assert signs.mean("megabytes") == pytest.approx(in_blocks)
    assert full.mean("final_loss") != signs.mean("final_loss")
    findings = (tmp_path / "findings.md").read_text()
    assert "after equal traffic" in findings
    header, _, *rows = (tmp_path / "table.md").read_text().splitlines()
    assert "MB an iteration" in header
    assert len(rows) == 2
