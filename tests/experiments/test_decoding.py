import json

import jax
import numpy as np
import pytest

import jgc
from configs.decoding.comparison import get_config
from experiments.decoding import errors, main, methods, settings, training
from experiments.decoding.report import write_errors

P = np.array([0.3, 0.05, 0.2, 0.1, 0.15, 0.25])


def small():
    config = get_config()
    config.num_workers = 5
    config.codes = ("uncoded", "interval", "balanced_repetition")
    config.loads = (1, 2)
    config.laws = ("U(0.01, 0.3)",)
    config.similarities = (0.0, 1.0)
    config.num_draws = 1
    config.training.problems = ("logistic",)
    config.training.laws = ("U(0.01, 0.3)",)
    config.training.codes = ("interval",)
    config.training.loads = (2,)
    config.training.diversities = (1.0,)
    config.training.num_iterations = 60
    config.training.num_steps = 4
    config.training.num_tuning_seeds = 2
    config.training.num_seeds = 2
    return config


@pytest.mark.parametrize("name", ["fixed", "best_unbiased", "least_squares"])
def test_table_of_masks_agrees_with_the_library(name):
    plan = methods.plan_for("interval", name, P, 2, jax.random.key(0))
    decoder = methods.DECODERS[name](plan, 0.5)
    c = methods.coefficients_of_all_masks(plan, decoder)
    found = methods.relative_error(c, methods.mask_probabilities(P), 0.5)
    expected = jgc.residual.enumerate_masks(plan, decoder=decoder, gradients=0.5)
    assert found == pytest.approx(expected.relative, rel=1e-9)


def test_smallest_run_writes_tables_where_best_unbiased_is_best(tmp_path):
    config = small()
    main.measure_all(main.prepare(config, tmp_path), config, tmp_path)
    for name in ("errors", "training"):
        for suffix in ("json", "csv", "md", "png"):
            assert (tmp_path / f"{name}.{suffix}").stat().st_size > 0
    found = {
        (r["nominal_load"], r["code"], r["similarity"], r["decoder"]): r
        for r in json.loads((tmp_path / "errors.json").read_text())
    }
    for (*case, decoder), row in found.items():
        if decoder == "best_unbiased":
            fixed = found[(*case, "fixed")]["error"]
            assert row["floor"] * (1 - 1e-3) <= row["error"] <= fixed * (1 + 1e-6)


def test_what_is_left_out_says_why(tmp_path, monkeypatch):
    def reversed_signs(p, load, key):
        return jgc.CodingPlan.from_matrix(-np.eye(p.size), p=p)

    odd = methods.Code("odd", reversed_signs)
    monkeypatch.setitem(methods.CODES, "odd", odd)
    config = small()
    config.codes, config.loads = ("odd", "block_design"), (4,)
    config.decoders = ("normalised", "least_squares")
    rows = errors.measure(config)
    left_out = {
        (row["code"], row["decoder"]): row["left_out"]
        for row in rows
        if row["left_out"]
    }
    assert set(left_out) == {
        ("odd", "normalised"),
        ("block_design", "every"),
    }
    assert "worker" in left_out["odd", "normalised"]
    assert "6 (replication 3)" in left_out["block_design", "every"]
    assert {row["similarity"] for row in rows if not row["left_out"]} == {0.0, 1.0}
    write_errors(rows, tmp_path)
    table = (tmp_path / "errors.md").read_text()
    assert all(why in table for why in left_out.values())


def test_errors_of_codes_told_a_wrong_p():
    config = small()
    config.codes, config.loads = ("interval",), (2,)
    config.decoders = ("fixed", "best_unbiased", "least_squares")
    right = errors.measure(config)
    config.believed.odds = 3.0
    for row, told_truth in zip(errors.measure(config), right, strict=True):
        assert row["floor"] == told_truth["floor"]
        if row["decoder"] == "least_squares":  # needs no p
            assert row["error"] == pytest.approx(told_truth["error"])
        else:
            assert row["error"] > told_truth["error"]


def test_step_is_chosen_on_seeds_that_are_not_reported():
    config = small()
    gaps = np.array([[5.0, 5.0, 0.1, 0.1], [1.0, 1.0, 3.0, 5.0], [np.nan] * 4])
    row = training._tuned(gaps, np.array([4.0, 2.0, 1.0]), config)
    assert (row["step_size"], row["gap"], row["at_edge"]) == (2.0, 4.0, False)


def test_wrong_settings_are_named():
    config = small()
    config.training.codes = ("intervall",)
    with pytest.raises(ValueError, match=r"config\.training\.codes = .*interval"):
        settings.check(config)


def test_what_cannot_be_trained_stops_before_any_work(tmp_path):
    config = small()
    config.training.codes, config.training.loads = ("block_design",), (3,)
    with pytest.raises(ValueError, match=r"config\.training: block_design with .* 3"):
        main.prepare(config, tmp_path)
