import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgc
from benchmarks.convergence import numpy_runs, numpy_runs_together
from experiments.convergence import problems
from experiments.convergence import settings as convergence_settings
from experiments.convergence.curves import LAST, measure
from experiments.convergence.main import run_study
from experiments.convergence.studies import STUDIES, make_plans, make_study

SIZES = {"num_examples": 60, "dimension": 4, "num_partitions": 6}
PROBLEMS = {
    "ridge": problems.ridge(regularizer=0.1, **SIZES),
    "logistic": problems.logistic(regularizer=0.1, **SIZES),
    "hinge": problems.hinge(regularizer=0.1, **SIZES),
    "aligned": problems.aligned(**SIZES),
    "sigmoid": problems.sigmoid(**SIZES),
}
every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


def small_config():
    config = convergence_settings.default()
    config.num_examples = 60
    config.dimension = 4
    config.num_seeds = 30
    config.num_iterations = 150
    config.deadlines = (1.3,)
    return config


def part_loss(problem, beta, j):
    return problem.loss(beta, problem.examples)[problem.partition == j].sum() / 60


@every_problem
def test_constants_hold_within_the_ball(problem):
    rng = np.random.default_rng(0)
    radius = problem.radius if np.isfinite(problem.radius) else 5.0
    gradient = jax.jit(
        lambda beta: jnp.stack(
            [jax.grad(lambda b, j=j: part_loss(problem, b, j))(beta) for j in range(6)]
        )
    )
    hessian = jax.jit(
        jax.hessian(lambda beta: problem.loss(beta, problem.examples).mean())
    )
    for _ in range(20):
        beta = rng.normal(size=4)
        beta = jnp.asarray(beta * radius / np.linalg.norm(beta), jnp.float32)
        squares = (np.asarray(gradient(beta)) ** 2).sum(1)
        assert squares.max() <= problem.squared_norm * (1 + 1e-6)
        assert problem.loss(beta, problem.examples).mean() >= problem.minimum
        if problem.smoothness < np.inf:
            eigenvalues = np.linalg.eigvalsh(hessian(beta))
            assert eigenvalues[-1] <= problem.smoothness * (1 + 1e-5)
            if problem.strong_convexity:
                assert eigenvalues[0] >= problem.strong_convexity * (1 - 1e-5)


@pytest.mark.parametrize("name", ["ridge", "logistic", "hinge"])
def test_minimisers_with_and_without_weights(name):
    problem = PROBLEMS[name]
    value = problem.loss(jnp.asarray(problem.minimiser), problem.examples).mean()
    assert float(value) == pytest.approx(problem.minimum, abs=1e-5)
    weights = np.linspace(0.2, 1.5, 6)
    found = problem.solve(weights)
    rng = np.random.default_rng(0)

    def weighted(beta):
        losses = np.asarray(problem.loss(jnp.asarray(beta), problem.examples))
        return weights[problem.partition] @ losses

    for _ in range(20):
        assert weighted(found) <= weighted(found + rng.normal(size=4)) + 1e-4


@pytest.mark.parametrize(
    "study",
    [pytest.param(s, marks=[] if s == "ridge" else pytest.mark.slow) for s in STUDIES],
)
def test_measured_is_below_the_bound(study):
    config = small_config()
    plans = make_plans(config, 1.3)
    records = run_study(study, make_study(study, config), plans, 1.3, config)
    assert len(records) == len(config.schemes)
    for record in records:
        if record["scheme"].startswith("uncoded"):
            assert not record["bounds"]
        else:
            assert not record["exceeds_bound"]
            assert record["largest_ratio"] < 1.05
            assert record["limit"] is None


def test_the_convex_bound_is_sharp_where_gradients_agree():
    config = small_config()
    config.schemes = ("straggler_free", "interval", "stochastic")
    plans = make_plans(config, 1.3)
    study = make_study("aligned", config)
    for record in run_study("aligned", study, plans, 1.3, config):
        (bound,) = record["bounds"].values()
        assert record["mean"][-1] > 0.9 * bound[-1]


def test_a_biased_code_settles_at_its_own_point():
    config = small_config()
    config.schemes = ("interval", "uncoded_rescaled")
    config.deadlines = (2.0,)
    config.num_iterations = 1000
    plans = make_plans(config, 2.0)
    coded, biased = run_study("ridge", make_study("ridge", config), plans, 2.0, config)
    assert biased["mean"][-1] == pytest.approx(biased["limit"], rel=0.1)
    assert biased["mean"][-1] > 20 * coded["mean"][-1]


def test_a_code_told_a_wrong_p_has_no_bound_and_settles_elsewhere():
    config = small_config()
    config.schemes = ("interval",)
    config.believed.odds = 3.0
    (plan,) = make_plans(config, 1.3)
    config.believed.odds = 1.0
    (right,) = make_plans(config, 1.3)
    np.testing.assert_array_equal(
        plan.straggler_probabilities, right.straggler_probabilities
    )
    (record,) = run_study("ridge", make_study("ridge", config), [plan], 1.3, config)
    assert not record["bounds"]
    assert record["limit"] > 0


def test_one_compiled_call_equals_numpy_loops():
    problem = PROBLEMS["ridge"]
    steps = 1 / (problem.strong_convexity * np.arange(1, 51))
    options = {"what": LAST, "average_weights": np.ones(50)}
    # Without stragglers all masks are equal, and so are the curves.
    free = jgc.codes.straggler_free(5, num_partitions=6)
    one = measure(problem, [free], steps, num_seeds=2, **options).mean[0]
    for loop in (numpy_runs, numpy_runs_together):
        np.testing.assert_allclose(loop(problem, free, steps, 2), one, atol=1e-6)
    # With them, means agree within their errors.
    plan = jgc.codes.interval(np.linspace(0.2, 0.7, 5), num_partitions=6)
    curves = measure(problem, [plan], steps, num_seeds=200, **options)
    error = curves.standard_error[0] + 1e-6
    for loop in (numpy_runs, numpy_runs_together):
        deviation = loop(problem, plan, steps, 200) - curves.mean[0]
        assert (np.abs(deviation) < 6 * np.sqrt(2) * error).all()


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("num_seeds", 1, "at least 2"),
        ("num_examples", 5, "at least dimension and num_partitions"),
        ("regularizer", 0.0, "above 0"),
        ("studies", ("ridge", "magic"), "hinge_averaged"),
        ("schemes", (), "interval"),
        ("schemes", ("stochastic", "stochastic"), "no repetition"),
        ("deadlines", (1.0,), "above 1"),
    ],
)
def test_errors_name_key_value_and_what_is_accepted(key, value, accepted):
    config = convergence_settings.default()
    convergence_settings.check(config)
    with config.ignore_type():
        config[key] = value
    with pytest.raises(ValueError) as error:
        convergence_settings.check(config)
    for part in (f"config.{key}", repr(value), accepted):
        assert part in str(error.value)


def command(module, workdir, *options):
    arguments = [sys.executable, "-m", module, f"--workdir={workdir}", *options]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_command_line(tmp_path):
    config = "--config=configs/convergence/theorems.py"
    tiny = ("--config.studies=('hinge',)", "--config.num_iterations=20")
    done = command("experiments.convergence", tmp_path, config, *tiny)
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "convergence.json").read_text())
    assert data["config"]["num_iterations"] == 20
    table = (tmp_path / "convergence.md").read_text()
    assert "SGC" in table
    for deadline in ("1.1", "1.5"):
        path = tmp_path / f"convergence-deadline{deadline}.png"
        assert path.stat().st_size > 0
        path.unlink()
    redrawn = command("experiments.convergence.report", tmp_path)
    assert redrawn.returncode == 0, redrawn.stderr
    assert path.exists()
    assert (tmp_path / "convergence.md").read_text() == table

    other = tmp_path / "other"
    wrong = command("experiments.convergence", other, config, "--config.replication=99")
    assert wrong.returncode == 1
    last = wrong.stderr.strip().splitlines()[-1]
    assert last.startswith("error: replication must be integers from 1 to 10")
