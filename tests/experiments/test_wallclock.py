import json

import numpy as np
import pytest

import jgc
from experiments.wallclock import settings
from experiments.wallclock.problem import make_machines, make_problem
from experiments.wallclock.rehearsal import predicted, tune
from experiments.wallclock.report import first_reached
from experiments.wallclock.schemes import NAMES, entries
from tests.experiments.helpers import run_experiment

SMALL = (
    "--config.num_workers=3",
    "--config.num_partitions=3",
    "--config.num_seeds=1",
    "--config.seconds=1.0",
    "--config.deadlines=(1.5,)",
    "--config.step_sizes=(1.0,4.0)",
    "--config.rehearsals=1",
    "--config.schemes=('straggler_free','interval_following')",
)


def run(workdir, *options):
    config = "--config=configs/wallclock/delays.py"
    return run_experiment("wallclock", config, f"--workdir={workdir}", *options)


@pytest.mark.slow
def test_runs_are_measured_once(tmp_path):
    result = run(tmp_path, *SMALL)
    assert result.returncode == 0, result.stderr
    rows = {
        path.stem: json.loads(path.read_text())
        for path in (tmp_path / "runs").glob("*.json")
    }
    assert sorted(rows) == ["interval_following-seed0", "straggler_free-seed0"]
    for name, row in rows.items():
        assert row["losses"][-1] < row["losses"][0]
        assert row["least_loss"] < min(row["losses"])
        assert row["seconds"] == sorted(row["seconds"])
        trace = jgc.stragglers.load_trace(
            tmp_path / "runs" / f"{name}.csv", missing_is_late=True
        )
        np.testing.assert_array_equal(
            np.isfinite(trace.latencies).sum(1), row["answered"]
        )
    assert set(rows["straggler_free-seed0"]["answered"]) == {3}
    # The delays are real.
    slowest = make_machines(small_config(), 0).run.seconds(1 / 3).max(axis=1)
    everyone = rows["straggler_free-seed0"]
    took = np.diff(everyone["seconds"])
    assert (took >= slowest[: took.size] - 1e-3).all()
    # And training on processes is what replay made of the same rounds.
    reached = first_reached(everyone, 0.01)
    if reached is not None:  # a busy machine may not get there
        assert everyone["seconds"][reached] >= 0.9 * everyone["predicted"] - 0.1
    assert np.isnan(rows["interval_following-seed0"]["predicted"])
    assert "replay expects" in result.stdout

    again = run(tmp_path, *SMALL)  # does nothing but the report
    assert again.returncode == 0, again.stderr
    assert "2 finished before" in again.stderr


def small_config():
    config = settings.default()
    config.num_workers = config.num_partitions = 3
    config.deadlines = (1.5,)
    config.seconds = 1.0
    return config


def test_load_takes_time_and_the_rehearsal_is_of_the_same_machines():
    config = small_config()
    config.psi_min = 0.1
    machines = make_machines(config, 0)
    even, none, all_ = (machines.run.seconds(load) for load in (1 / 3, 0.0, 1.0))
    step = config.time_unit * config.compute
    np.testing.assert_allclose(even - none, step, rtol=1e-4)
    np.testing.assert_allclose(all_ - none, 3 * step, rtol=1e-4)
    other = machines.rehearsal.seconds(1 / 3)
    assert other.shape == even.shape
    assert (other != even).mean() > 0.5
    np.testing.assert_allclose(np.median(other, 0), np.median(even, 0), rtol=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_plans_are_for_the_load_that_they_make(name):
    config = small_config()
    config.replications = (2,)
    seen = make_machines(config, 1).rehearsal
    for entry in entries(name, seen, config, 1):
        plan = entry.plan
        waited, answered = entry.rule(seen.seconds(plan.batch_sizes / 3)[0])
        assert waited > 0
        assert answered.any()
        if entry.following is None and entry.setting.endswith(" s"):
            left = 1.5 * config.time_unit - config.overhead
            late = seen.probabilities(plan.batch_sizes / 3, left)
            np.testing.assert_allclose(plan.straggler_probabilities, late)


def test_the_code_is_told_what_the_config_believes():
    config = small_config()
    seen = make_machines(config, 1).rehearsal
    told_truth = next(entries("uncoded", seen, config, 1)).plan
    config.believed.odds = 2.0
    told = next(entries("uncoded", seen, config, 1)).plan
    p = told_truth.straggler_probabilities
    np.testing.assert_allclose(told.straggler_probabilities, 2 * p / (1 + p))


def test_the_rehearsal_finds_the_best_setting_and_step():
    config = small_config()
    config.step_sizes = (1e-3, 2.0)  # the first gets nowhere
    config.rehearsals, config.rehearsal_iterations = 2, 30
    config.least_scale = 1.0  # few iterations will do
    problem, machines = make_problem(config), make_machines(config, 1)
    pairs = list(entries("fractional_repetition_exact", machines.rehearsal, config, 1))
    tuned = tune(pairs, problem, machines.rehearsal, config)
    assert tuned.step_size == 2.0
    assert 0 < tuned.seconds < 5
    alone = [tune([entry], problem, machines.rehearsal, config) for entry in pairs]
    assert tuned.seconds == min(one.seconds for one in alone)
    # An exact gradient each round: so many rounds of this length.
    assert 0 < predicted(tuned, problem, machines.run, config) < 5
    config.step_sizes = (1e-3,)
    never = tune(pairs[:1], problem, machines.rehearsal, config)
    assert never.seconds == np.inf
    assert predicted(never, problem, machines.run, config) == np.inf


def test_a_target_is_reached_once():
    row = {"losses": [3.0, 2.0, 1.1, 1.5, 1.0], "least_loss": 1.0}
    assert first_reached(row, 0.1) == 2
    assert first_reached(row, 0.5) == 1
    assert first_reached({**row, "least_loss": 0.5}, 0.1) is None


def test_a_trace_with_too_few_workers(tmp_path):
    config = small_config()
    config.trace = str(tmp_path / "trace.csv")
    (tmp_path / "trace.csv").write_text("a,b\n0.1,0.2\n")
    with pytest.raises(ValueError, match="num_workers = 3; accepted: at most 2"):
        make_machines(config, 0)


def test_a_trace_is_cut_in_two(tmp_path):
    config = small_config()
    config.trace, config.trace_scale = str(tmp_path / "trace.csv"), 1.0
    path = tmp_path / "trace.csv"
    path.write_text("a,b,c\n0.1,0.2,0.3\n")
    with pytest.raises(ValueError, match="has one round; accepted: two or more"):
        make_machines(config, 0)
    path.write_text("a,b,c\n1,1,1\n1,1,1\n2,2,2\n3,3,3\n")
    machines = make_machines(config, 0)
    np.testing.assert_allclose(machines.rehearsal.seconds(1 / 3), 1.0)
    assert sorted(machines.run.seconds(1 / 3)[:, 0]) == pytest.approx([2.0, 3.0])
