import pytest
from ml_collections import ConfigDict

from experiments.common.workdir import check_same_experiment, claim, read_config
from experiments.train import settings
from experiments.train.specs import ADD_RUNS, list_runs


def config_of(**values):
    config = settings.default()
    config.update(num_seeds=2, schemes=("uncoded", "interval"), deadlines=(1.5,))
    config.update(values)
    return config


@pytest.mark.parametrize(
    "more",
    [
        {"num_seeds": 3},
        {"schemes": ("scheme_i", "interval", "uncoded")},
        {"deadlines": (1.1, 1.5), "rate_factors": (1.0, 0.5)},
    ],
)
def test_an_experiment_can_be_given_more_runs(tmp_path, more):
    old, new = config_of(), config_of(**more)
    claim(old, tmp_path)
    check_same_experiment(new, tmp_path, may_grow=ADD_RUNS)
    assert set(list_runs(old)) < set(list_runs(new))
    assert list(read_config(tmp_path).schemes) == list(old.schemes)  # not claimed yet


@pytest.mark.parametrize(
    ("other", "key"),
    [
        ({"num_seeds": 1}, "num_seeds"),
        ({"schemes": ("uncoded", "scheme_i")}, "schemes"),
        ({"num_seeds": 3, "num_workers": 20}, "num_workers"),
        ({"num_iterations": 10**6}, "num_iterations"),
    ],
)
def test_what_would_change_its_runs_is_refused(tmp_path, other, key):
    claim(config_of(), tmp_path)
    with pytest.raises(ValueError, match=f"other settings of config.{key};"):
        check_same_experiment(config_of(**other), tmp_path, may_grow=ADD_RUNS)


def test_nothing_grows_unless_told(tmp_path):
    claim(ConfigDict({"num_seeds": 1}), tmp_path)
    with pytest.raises(ValueError, match=r"config\.num_seeds"):
        check_same_experiment(ConfigDict({"num_seeds": 2}), tmp_path)
