"""Sampling against enumeration; one key, one answer; stopping; straggler models."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgc
from jgc import codes, decoders, gradients
from jgc.residual import enumerate_masks, exact, monte_carlo
from jgc.residual._sampling import driver

from ..decoders.helpers import DECODERS, P, case_plans, decoder_cases

PLANS = case_plans()
KEY = jax.random.key(11)
CASES = decoder_cases(PLANS)


def deviation(sampled, reference):
    return abs(sampled.mean - reference.mean) / sampled.standard_error


@pytest.mark.slow
@pytest.mark.parametrize(("plan", "decoder"), CASES)
def test_within_standard_errors_of_enumeration(plan, decoder):
    plan, decoder = PLANS[plan], DECODERS[decoder]
    options = {"gradients": 0.3, "decoder": decoder}
    sampled = monte_carlo(KEY, plan, num_trials=10**7, **options)
    reference = enumerate_masks(plan, **options)
    assert sampled.trials == 10**7
    if sampled.standard_error > 1e-12 * reference.mean:
        assert deviation(sampled, reference) < 4
    else:  # the control variate explains all of it
        assert sampled.mean == pytest.approx(reference.mean, rel=1e-5)


@pytest.mark.slow
def test_ten_million_trials_have_an_honest_standard_error():
    plan = PLANS["interval"]
    result = monte_carlo(KEY, plan, num_trials=10**7, gradients=0.5)
    assert deviation(result, exact(plan, gradients=0.5)) < 4
    assert result.standard_error / result.mean < 2e-3


def test_standard_errors_are_those_of_repeated_runs():
    plan = PLANS["interval"]
    for decoder in (decoders.fixed, decoders.least_squares):
        results = [
            monte_carlo(jax.random.key(seed), plan, num_trials=4096, decoder=decoder)
            for seed in range(60)
        ]
        spread = np.std([r.mean for r in results])
        stated = np.mean([r.standard_error for r in results])
        assert 0.7 < spread / stated < 1.4


_ROWS = np.random.default_rng(0).normal(size=(PLANS["layers"].num_partitions, 9))


@pytest.mark.parametrize(
    "related",
    [
        gradients.gram(_ROWS @ _ROWS.T),
        gradients.vectors(_ROWS),
        gradients.common(0.3),
        gradients.similar(0.3),
        None,
    ],
    ids=["gram", "vectors", "common", "similar", "default"],
)
def test_models_of_the_gradients(related):
    plan = PLANS["layers"]
    sampled = monte_carlo(KEY, plan, num_trials=10**5, gradients=related)
    assert deviation(sampled, exact(plan, gradients=related)) < 4


def test_decoding_each_trial_equals_the_table():
    plan = PLANS["cyclic"]
    options = {"decoder": decoders.least_squares, "gradients": 0.0}
    # 255 trials are fewer than there are masks: decoded one by one.
    few = monte_carlo(KEY, plan, num_trials=255, **options)
    many = monte_carlo(KEY, plan, num_trials=256, **options)
    assert few.mean == pytest.approx(many.mean, rel=0.3)
    own = decoders.from_function(decoders.least_squares)
    again = monte_carlo(KEY, plan, num_trials=255, decoder=own, gradients=0.0)
    assert again.mean == pytest.approx(few.mean, rel=1e-9)


@pytest.mark.parametrize("chunk_size", [1, 10_000, 10**9])
@pytest.mark.parametrize("target", [None, 0.02])
def test_the_answer_does_not_depend_on_chunks(chunk_size, target):
    options = {
        "num_trials": 100_003,
        "gradients": 0.4,
        "target_relative_error": target,
    }
    plan = PLANS["interval"]
    expected = monte_carlo(KEY, plan, **options)
    assert monte_carlo(KEY, plan, chunk_size=chunk_size, **options) == expected
    assert monte_carlo(jax.random.key(12), plan, **options) != expected
    assert expected.trials == 100_003 if target is None else expected.trials < 100_003


_ON_FOUR_DEVICES = """
import jax, numpy as np
import jgc
assert jax.local_device_count() == {devices}
plan = jgc.codes.interval(np.linspace(0.2, 0.8, 9), num_partitions=9)
for decoder in (jgc.decoders.fixed, jgc.decoders.least_squares):
    result = jgc.residual.monte_carlo(
        jax.random.key(5), plan, num_trials=70_001, gradients=0.4, decoder=decoder
    )
    print(repr(tuple(result)))
"""


def test_the_answer_does_not_depend_on_the_number_of_devices():
    outputs = []
    for devices in (1, 4):
        flags = f"--xla_force_host_platform_device_count={devices}"
        environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
        outputs.append(
            subprocess.run(
                [sys.executable, "-c", _ON_FOUR_DEVICES.format(devices=devices)],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    assert outputs[0] == outputs[1]
    assert outputs[0].count("monte_carlo") == 2


@pytest.mark.parametrize("options", [{}, {"gradients": 0.3}])
def test_the_answer_does_not_depend_on_calls_side_by_side(options, monkeypatch):
    plan = codes.interval(np.linspace(0.1, 0.9, 120), num_partitions=120)
    results = []
    for threads in (1, 2, 7):
        monkeypatch.setattr(driver, "_host_threads", lambda _, n=threads: n)
        results.append(monte_carlo(KEY, plan, num_trials=50_000, **options))
    if jax.default_backend() == "cpu":
        assert results[0] == results[1] == results[2]
    else:  # sums of differently many rows add up in another order there
        means = [result.mean for result in results]
        np.testing.assert_allclose(means[1:], means[0], rtol=1e-9)


def test_stops_at_the_target():
    plan = PLANS["interval"]
    result = monte_carlo(
        KEY, plan, num_trials=10**9, target_relative_error=0.01, gradients=0.2
    )
    assert result.trials < 10**6
    assert result.standard_error <= 0.01 * result.mean


def test_the_control_variate_helps():
    plan = PLANS["interval"]
    options = {"num_trials": 50_000, "decoder": decoders.least_squares}
    with_it = monte_carlo(KEY, plan, **options, gradients=0.0)
    without = monte_carlo(KEY, plan, **options, gradients=0.0, control_variate=False)
    reference = enumerate_masks(plan, decoder=decoders.least_squares, gradients=0.0)
    assert with_it.method == "monte_carlo, controlled"
    assert without.method == "monte_carlo"
    assert with_it.standard_error < 0.4 * without.standard_error
    assert deviation(with_it, reference) < 4
    assert deviation(without, reference) < 4


def test_several_plans_in_one_call():
    other = np.linspace(0.2, 0.7, 8)
    plans = [
        codes.interval(P, num_partitions=8),
        codes.interval(other, num_partitions=8),
        codes.cyclic_repetition(P, num_partitions=8, num_stragglers=2),
    ]
    for decoder in (decoders.fixed, decoders.least_squares):
        options = {"num_trials": 20_000, "gradients": 0.5, "decoder": decoder}
        together = monte_carlo(KEY, plans, **options)
        assert len(together) == 3
        for plan, result in zip(plans, together, strict=True):
            alone = monte_carlo(KEY, plan, **options)
            assert result.mean == pytest.approx(alone.mean, rel=1e-5)
            assert result.standard_error == pytest.approx(
                alone.standard_error, rel=1e-3, abs=1e-9
            )


def test_a_stateless_model():
    plan = PLANS["interval"]
    result = monte_carlo(
        KEY, plan, num_trials=50_000, model=jgc.stragglers.bernoulli(P)
    )
    assert deviation(result, exact(plan)) < 4
    assert result.trials == 50_000


def test_a_model_with_a_state():
    # All workers answer or none, and stay so with probability 0.9.
    def init(key):
        return jax.random.bernoulli(key)

    def sample(state, key):
        state = state ^ jax.random.bernoulli(key, 0.1)
        return jnp.broadcast_to(state, (8,)), state

    model = jgc.stragglers.StragglerModel(init, sample)
    plan = codes.uncoded(np.full(8, 0.5), num_partitions=8)
    results = [
        monte_carlo(
            jax.random.key(seed), plan, num_trials=20_000, model=model, chain_length=50
        )
        for seed in range(8)
    ]
    means = np.array([r.mean for r in results])
    # Half the time the error is n² = 64. Neighbouring trials are alike: the error of
    # independent ones would be 32/√20000 = 0.23.
    stated = np.mean([r.standard_error for r in results])
    assert abs(means.mean() - 32) < 4 * stated / np.sqrt(8)
    assert stated > 0.5
    assert results[0].trials == 20_000


def test_many_workers_by_edges():
    rng = np.random.default_rng(0)
    plan = codes.interval(rng.uniform(0.2, 0.8, 300), num_partitions=300)
    result = monte_carlo(KEY, plan, num_trials=5000, gradients=0.2)
    assert deviation(result, exact(plan, gradients=0.2)) < 4


def test_several_plans_by_edges():
    # A different number of partitions with many holders in each.
    rng = np.random.default_rng(1)
    plans = [
        codes.interval(rng.uniform(0.1, high, 100), num_partitions=100)
        for high in (0.2, 0.95)
    ]
    together = monte_carlo(KEY, plans, num_trials=5000, gradients=0.5)
    for plan, result in zip(plans, together, strict=True):
        assert deviation(result, exact(plan, gradients=0.5)) < 4
        alone = monte_carlo(KEY, plan, num_trials=5000, gradients=0.5)
        assert result.mean == pytest.approx(alone.mean, rel=1e-5)


def test_certain_workers():
    plan = codes.interval(np.array([0.0, 0.5, 1.0]), num_partitions=3)
    result = monte_carlo(KEY, plan, num_trials=1000)
    assert result.mean == pytest.approx(0, abs=1e-9)
    assert result.standard_error == 0


def test_progress_is_shown_when_asked(capsys):
    monte_carlo(KEY, PLANS["interval"], num_trials=10_000, progress=True)
    assert "trials" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_trials": 1}, "num_trials must be an integer ≥ 2, got 1"),
        ({"num_trials": 1e6}, "num_trials must be an integer, got 1000000.0"),
        ({"chunk_size": 0}, "chunk_size must be an integer ≥ 1, got 0"),
        ({"chain_length": 0}, "chain_length must be an integer ≥ 1, got 0"),
        ({"target_relative_error": -1}, "target_relative_error must be a finite"),
        ({"decoder": decoders.graph}, "decoders.graph needs"),
        ({"decoder": lambda plan, mask: mask}, "decoder must be of jgc.decoders"),
        ({"gradients": -1}, "gradients must"),
        ({"plan": []}, "plan must be a plan or a sequence of at least one, got none"),
        (
            {"plan": [PLANS["interval"], PLANS["dense"]]},
            r"equal num_workers and num_partitions, got \(k, n\) = ",
        ),
        ({"key": 3}, "key must be one JAX random key"),
    ],
)
@pytest.mark.wrong_types
def test_bad_arguments(options, message):
    arguments = {"key": KEY, "plan": PLANS["interval"], "num_trials": 100} | options
    with pytest.raises(ValueError, match=message):
        monte_carlo(arguments.pop("key"), arguments.pop("plan"), **arguments)


def test_a_certain_error_stops_at_once():
    sure = codes.interval([0.0, 1.0, 0.0], num_partitions=3)
    known = monte_carlo(KEY, sure, num_trials=10**6, target_relative_error=0.3)
    assert known.trials == 16384


@pytest.mark.parametrize("decoder", [decoders.fixed, decoders.least_squares])
def test_a_model_of_other_workers_is_refused(decoder):
    plan = codes.interval([0.3] * 5, num_partitions=5)
    model = jgc.stragglers.bernoulli([0.3] * 6)
    with pytest.raises(ValueError, match="model must be of the plan's 5 workers"):
        monte_carlo(KEY, plan, num_trials=100, model=model, decoder=decoder)


def test_latencies_are_no_masks():
    plan, model = (
        codes.uncoded([0.3] * 3, num_partitions=3),
        jgc.stragglers.exponential([1.0] * 3),
    )
    with pytest.raises(ValueError, match=r"wrap latencies in jgc.stragglers.at_dead"):
        monte_carlo(KEY, plan, num_trials=100, model=model)


def test_a_replay_from_its_first_row_is_refused():
    latencies = np.random.default_rng(0).exponential(1, (500, 4))
    plan = codes.interval([0.3] * 4, num_partitions=4)
    recorded = jgc.stragglers.trace(latencies)
    replay = jgc.stragglers.replay(recorded)
    model = jgc.stragglers.at_deadline(replay, 1.0)
    with pytest.raises(ValueError, match="random_start=True"):
        monte_carlo(KEY, plan, num_trials=1000, model=model)
