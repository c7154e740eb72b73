import json

import numpy as np
import pytest

import jgc
from experiments.advise import __main__ as advise
from jgc.design import load_plan
from jgc.stragglers import trace
from tests.experiments.helpers import run_experiment

RNG = np.random.default_rng(0)
LATENCIES = 1 + RNG.exponential(size=(40, 6)) / [0.5, 1, 2, 3, 4, 5]


def run(tmp_path, *options, latencies=LATENCIES):
    path = tmp_path / "trace.csv"
    header = ",".join(f"w{i}" for i in range(latencies.shape[1]))
    np.savetxt(path, latencies, delimiter=",", header=header, comments="")
    workdir = f"--workdir={tmp_path / 'advice'}"
    return run_experiment("advise", f"--trace={path}", workdir, *options)


def config(**values):
    settings = advise.default_config()
    settings.update(values)
    advise.check(settings)
    return settings


def test_command_prints_why_and_writes_a_plan(tmp_path):
    result = run(tmp_path, "--config.capacity=0.5")
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "advice" / "advice.json").read_text())
    for part in (
        "Trace: 40 rounds of 6 workers",
        f"Deadline: τ = {found['deadline']:.4g} s, of least time to accuracy",
        "no worker more than 0.5 of the data",
        "independent workers",
        "A worker's own rounds, 40 and worth",
        "--config.plan_file=",
    ):
        assert part in result.stdout
    plan = load_plan(tmp_path / "advice" / "plan.npz")
    np.testing.assert_array_equal(plan.straggler_probabilities, found["p"])
    (chosen,) = [option for option in found["options"] if option["chosen"]]
    assert chosen["num_partitions"] == plan.num_partitions
    assert plan.batch_sizes.max() / plan.num_partitions <= 0.5
    for name in ("deadline.png", "trace.png"):
        assert (tmp_path / "advice" / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--config.capacity=0.01",), "is too little: the 6 that can answer"),
        (("--config.capacity=2.0",), "config.capacity = 2.0; accepted: from 0 to 1"),
        (("--config.deadline=0.5",), "no worker ever answered by then"),
        (("--config.deadlin=0.5",), "did you mean deadline?"),
        (("--trace=nowhere.csv",), "nowhere.csv"),
    ],
)
def test_unusable_input_ends_with_one_line(tmp_path, options, message):
    result = run(tmp_path, *options)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "advice").exists()


def test_deadline_is_the_best_of_those_shown():
    findings = advise.find(trace(LATENCIES), config(capacity=0.5))
    chosen = np.searchsorted(findings.curve.deadlines, findings.deadline)
    assert findings.curve.time[chosen] == findings.curve.time.min()
    assert ((findings.p > 0) & (findings.p < 1)).all()
    low, high = findings.interval
    assert ((low < findings.p) & (findings.p < high)).all()


def test_overhead_makes_longer_deadlines_worth_it():
    recorded = trace(LATENCIES)
    short = advise.find(recorded, config(capacity=0.5))
    long = advise.find(recorded, config(capacity=0.5, overhead=10.0))
    assert long.deadline > short.deadline


def test_errors_of_correlated_workers():
    together = 1 + RNG.exponential(size=(60, 1)) + RNG.exponential(size=(60, 6)) / 20
    findings = advise.find(trace(together), config(capacity=0.5, deadline=1.5))
    assert findings.correlated[0] > 3 * findings.advice.chosen.aligned
    assert findings.tests["independent workers"].p_value < 0.01

    alone = advise.find(trace(LATENCIES), config(capacity=0.5))
    assert alone.correlated[0] == pytest.approx(alone.advice.chosen.aligned, rel=0.5)


def test_few_rounds_are_said_to_be_too_few(tmp_path):
    result = run(tmp_path, "--config.capacity=0.5", latencies=LATENCIES[:5])
    assert result.returncode == 0, result.stderr
    assert "cannot be known: 5 rounds are too few" in result.stdout


def test_a_worker_that_never_answers_gets_next_to_no_data():
    latencies = LATENCIES.copy()
    latencies[:, 2] = np.inf
    recorded = trace(latencies, missing_is_late=True)
    findings = advise.find(recorded, config(capacity=0.6))
    shares = findings.advice.chosen.plan.alpha().sum(1)
    assert shares[2] == shares.min()
    assert shares[2] < 0.03 * shares.sum()


def test_one_round_leaves_the_assumptions_untested():
    findings = advise.find(trace(LATENCIES[:1]), config(capacity=0.6))
    assert set(findings.tests.values()) == {None}
    assert findings.effective_rounds == 0
    np.testing.assert_array_equal(findings.interval, [np.zeros(6), np.ones(6)])
    plan = findings.advice.chosen.plan
    assert isinstance(plan, jgc.CodingPlan)
