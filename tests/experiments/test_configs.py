"""Every config file is accepted by its experiment, in every form that it has."""

import importlib
from pathlib import Path

import pytest

from configs.paper import setting
from experiments.common import launch

CONFIGS = Path("configs")
# Where a form is asked for behind a colon, those that there are.
_FORMS = {
    "paper/figure_3.py": ("", "k100", "reduced", "reduced_k100"),
    "paper/figure_4.py": ("", "reduced"),
    "paper/figure_5.py": ("", "reduced"),
    "paper/figure_6.py": ("", "reduced"),
    "paper/figure_7.py": ("", "reduced"),
    "train/overfit.py": ("ssdlite", "retinanet"),
    "train/recipe.py": ("ssdlite", "retinanet"),
}
# The experiment of a folder, where it is not the one of its name.
_ROOMS = {"paper": "train"}


def _cases():
    for path in sorted(CONFIGS.rglob("*.py")):
        name = path.relative_to(CONFIGS).as_posix()
        if name != "paper/setting.py":
            for form in _FORMS.get(name, (None,)):
                yield name, form


def _config(name, form):
    module = importlib.import_module(f"configs.{name[:-3].replace('/', '.')}")
    return module.get_config(*() if form is None else (form,))


@pytest.mark.parametrize(("name", "form"), list(_cases()))
def test_accepted(name, form):
    room = name.split("/")[0]
    experiment = _ROOMS.get(room, room)
    settings = importlib.import_module(f"experiments.{experiment}.settings")
    config = _config(name, form)
    if "trace" in config:
        config.trace = "latencies.csv"  # a user's own
    settings.check(config)


@pytest.mark.parametrize("name", [name for name in _FORMS if "paper" in name])
@pytest.mark.parametrize("form", ["", "reduced"])
def test_figures_compare_all_methods(name, form):
    config = _config(name, form)
    assert set(config.schemes) == set(setting.METHODS)
    assert len(config.schemes) == 10
    assert form == "reduced" or config.num_seeds == 10


def test_figures_three_and_four_are_the_same_runs():
    for form in ("", "reduced"):
        three = _config("paper/figure_3.py", form)
        assert three.to_json() == _config("paper/figure_4.py", form).to_json()


def test_an_unknown_form_is_named():
    with pytest.raises(launch.InputError, match=r"'small'.*accepted: '', 'reduced'"):
        _config("paper/figure_6.py", "small")


def test_unknown_settings_are_named_behind_a_form():
    arguments = ["", "--config=configs/paper/figure_3.py:reduced", "--config.sedes=1"]
    (message,) = launch._unknown_keys(arguments)
    assert "'sedes'" in message
