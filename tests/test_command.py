import json
import subprocess
import sys

import numpy as np
import pytest

import jgc.design
from jgc.__main__ import main

LATENCIES = 1 + np.random.default_rng(0).exponential(size=(20, 8))


@pytest.fixture
def path(tmp_path):
    header = ",".join(f"w{i}" for i in range(8))
    np.savetxt(
        tmp_path / "trace.csv", LATENCIES, delimiter=",", header=header, comments=""
    )
    return tmp_path / "trace.csv"


def test_advise_answers_in_its_first_sentence(path, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    workdir = tmp_path / "advice"
    arguments = [str(path), "--work-fraction=0.1", f"--workdir={workdir}"]
    assert main(["advise", *arguments]) == 0
    printed = capsys.readouterr().out
    answer, table, *_ = printed.split("\n\n")
    assert max(map(len, [*answer.splitlines(), *table.splitlines()])) <= 80
    first = " ".join(answer.split())
    assert "of the time that waiting for all takes" in first
    for part in ("work 50%", "wait for all", "Workers:", "by data"):
        assert part in printed
    found = json.loads((workdir / "advice.json").read_text())
    assert found["answer"] == first
    best = found["options"][0]
    option = jgc.design.load_option(workdir / "option.npz")
    assert option.plan.num_partitions == best["num_partitions"]
    assert option.rule.name == best["rule"]
    assert found["sensitivity"][best["name"]].keys() == {
        "work 0%",
        "work 10%",
        "work 50%",
        "work 100%",
    }
    assert len(found["workers"]["late"]) == 8
    for name in ("options.png", "workers.png"):
        assert (workdir / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trace.csv", "--work-fraction=2"), "work_fraction must be"),
        (("trace.csv", "--slope=1"), "slope needs recorded_load"),
        (("nowhere.csv", "--work-fraction=0"), "nowhere.csv"),
        (("trace.csv", "--work-fraction=0", "--capacity=0.01"), "capacity must be"),
    ],
)
def test_unusable_input_ends_with_one_line(path, capsys, arguments, message):
    name, *options = arguments
    arguments = ["advise", str(path.parent / name), *options]
    assert main([*arguments, f"--workdir={path.parent / 'advice'}"]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error
    assert not (path.parent / "advice").exists()


def test_how_seconds_grow_must_be_said(path, capsys):
    with pytest.raises(SystemExit):
        main(["advise", str(path)])
    assert "--work-fraction --slope is required" in capsys.readouterr().err


def test_the_module_is_a_command():
    result = subprocess.run(
        [sys.executable, "-m", "jgc", "advise", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--work-fraction" in result.stdout


def test_the_rest_is_imported_when_it_is_used():
    session = """
import sys, jgc
assert "jgc.design" not in sys.modules and "optax" not in sys.modules
assert {"advise", "training"} <= set(dir(jgc))
assert jgc.training.simulated and jgc.advise is jgc.design.advise
"""
    subprocess.run([sys.executable, "-c", session], check=True)
