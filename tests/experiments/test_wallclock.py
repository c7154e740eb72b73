import json

import numpy as np
import pytest

import jgc
from experiments.wallclock import settings
from experiments.wallclock.problem import Machines, make_machines
from experiments.wallclock.report import first_reached
from experiments.wallclock.schemes import NAMES, make_entry
from tests.experiments.helpers import run_experiment

SMALL = (
    "--config.num_workers=3",
    "--config.num_partitions=3",
    "--config.num_seeds=1",
    "--config.seconds=1.0",
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
    machines = make_machines(small_config(), 0)
    slowest = machines.delays(np.ones(3), 3).max(axis=1)
    took = np.diff(rows["straggler_free-seed0"]["seconds"])
    assert (took >= slowest[: took.size] - 1e-3).all()

    again = run(tmp_path, *SMALL)  # does nothing but the report
    assert again.returncode == 0, again.stderr
    assert "2 finished before" in again.stderr


def small_config():
    config = settings.default()
    config.num_workers = config.num_partitions = 3
    return config


def test_load_takes_time():
    machines = Machines(0.2, np.array([[0.1, 0.1], [0.5, 0.1]]))
    np.testing.assert_allclose(
        machines.delays(np.array([1, 3]), 4), [[0.2, 0.4], [0.6, 0.4]]
    )
    np.testing.assert_allclose(machines.late(np.array([1, 3]), 4, 0.45), [0.5, 1 / 6])


@pytest.mark.parametrize("name", NAMES)
def test_plans_are_for_the_load_that_they_make(name):
    config = small_config()
    machines = make_machines(config, 1)
    entry = make_entry(name, machines, config, 1)
    if entry.following is None and name != "straggler_free":
        late = machines.late(
            entry.plan.batch_sizes,
            3,
            config.deadline * config.time_unit - config.overhead,
        )
        np.testing.assert_allclose(entry.plan.straggler_probabilities, late)


def test_the_code_is_told_what_the_config_believes():
    config = small_config()
    machines = make_machines(config, 1)
    told_truth = make_entry("uncoded", machines, config, 1).plan
    config.believed.odds = 2.0
    told = make_entry("uncoded", machines, config, 1).plan
    p = told_truth.straggler_probabilities
    np.testing.assert_allclose(told.straggler_probabilities, 2 * p / (1 + p))


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
