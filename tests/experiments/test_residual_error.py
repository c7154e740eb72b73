import numpy as np
import pytest

import jgc
from experiments.residual_error import settings
from experiments.residual_error.main import measure, prepare
from experiments.residual_error.report import disagreement, write_report
from jgc._files import read_json_lines
from tests.experiments.helpers import run_experiment

SMALL = (
    "--config.num_workers=(6,)",
    "--config.deadlines=(1.5,)",
    "--config.num_draws=2",
    "--config.num_trials=4000",
    "--config.schemes=('interval','uncoded','random_graph','interval_best')",
)


def run(workdir, *options):
    config = "--config=configs/residual_error/table.py"
    return run_experiment("residual_error", config, f"--workdir={workdir}", *options)


@pytest.mark.slow
def test_methods_agree_and_a_killed_run_goes_on(tmp_path):
    result = run(tmp_path, *SMALL)
    assert result.returncode == 0, result.stderr
    path = tmp_path / "results.jsonl"
    rows = read_json_lines(path)
    assert len(rows) == 4 * 2  # schemes × similarities
    for row in rows:
        found = disagreement(row)
        assert found is not None
        assert found < 5
        has_closed_form = row["case"]["scheme"] != "random_graph"
        assert (row["exact"] is not None) == has_closed_form
        if has_closed_form:
            assert row["exact"] == pytest.approx(row["enumeration"], rel=1e-9)
    assert (tmp_path / "residual_error.png").stat().st_size > 0

    # As if killed while it wrote the third row.
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:2]) + '{"case": {"sch')
    assert run(tmp_path, *SMALL).returncode == 0
    assert path.read_text() == whole


def test_disagreement_is_in_standard_errors():
    row = {
        "exact": [1.0, 2.0],
        "enumeration": None,
        "monte_carlo": [1.1, 2.0],
        "standard_error": [0.05, 0.1],
    }
    assert disagreement(row) == pytest.approx(2.0, rel=1e-4)
    assert disagreement({**row, "exact": None}) is None


def test_a_sample_without_a_standard_error_is_reported_as_that(tmp_path):
    row = {
        "case": {
            "scheme": "interval",
            "num_workers": 6,
            "deadline": 9.0,
            "similarity": 0.0,
        },
        "title": "interval",
        "load": 2.0,
        "floor": 0.0,
        "exact": [1e-9, 0.5],
        "enumeration": None,
        "monte_carlo": [0.0, 0.5],
        "standard_error": [float("inf"), 0.1],
    }
    assert disagreement(row) == pytest.approx(0)
    unknown = {**row, "standard_error": [float("inf")] * 2}
    assert disagreement(unknown) is None
    write_report([row, unknown], tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert table.count("unknown") == 2
    assert "inf" not in table
    assert (tmp_path / "residual_error.png").stat().st_size > 0


def test_unusable_settings_end_with_one_line(tmp_path):
    result = run(tmp_path, "--config.similarities=(2.0,)")
    assert result.returncode == 1
    assert "config.similarities = (2.0,); accepted: one or more numbers in" in (
        result.stderr
    )


def small_config(**changes):
    config = settings.default()
    config.num_workers, config.num_draws = (4,), 1
    config.num_trials = 4000
    config.p = (0.3, 0.2, 0.4, 0.1)
    config.schemes = ("interval", "interval_best")
    config.similarities = (0.5,)
    config.update_from_flattened_dict(changes)
    return config


def measured(config, tmp_path):
    return [measure(case, config) for case in prepare(config, tmp_path)]


def test_a_wrong_p_costs_what_enumeration_says(tmp_path):
    odds = 3.0
    config = small_config(**{"believed.odds": odds})
    fixed, best = measured(config, tmp_path)  # p is given: one case a scheme
    p = np.array(config.p)
    plan = jgc.codes.interval(odds * p / (1 - p + odds * p), num_partitions=4)
    by_hand = jgc.residual.enumerate_masks(plan, p=p, gradients=0.5).relative
    assert fixed["exact"] == pytest.approx([by_hand])
    # Best unbiased decoding has a closed form for what it was designed for alone.
    assert best["exact"] is None
    assert disagreement(fixed) < 5
    assert disagreement(best) < 5


def test_workers_that_straggle_together(tmp_path):
    changes = {"stragglers.model": "common_factor", "stragglers.correlation": 0.8}
    together, best = measured(small_config(**changes), tmp_path)
    assert together["enumeration"] is best["exact"] is None
    assert disagreement(together) < 5  # of the closed form, by its covariance
    (alone, _) = measured(small_config(), tmp_path)
    assert together["exact"][0] > 1.1 * alone["exact"][0]


def test_who_waits_for_all_has_no_error_whatever_the_stragglers(tmp_path):
    changes = {"schemes": ("straggler_free",), "stragglers.model": "common_factor"}
    (all_come,) = measured(small_config(**changes), tmp_path)
    assert all_come["exact"] == [0]


def test_a_model_that_cannot_be_stops_before_any_work(tmp_path):
    changes = {"stragglers.model": "markov", "stragglers.mean_burst": 0.5}
    with pytest.raises(ValueError, match="mean_burst"):
        prepare(small_config(**changes), tmp_path)
