import inspect

import numpy as np
import pytest

import jgc
from jgc.design import (
    Option,
    Runnable,
    load_option,
    load_plan,
    rules,
    save_option,
    search,
)
from jgc.design._candidate import Setting, played
from jgc.design._candidates import candidates
from jgc.design._lost_seconds import lost_seconds
from jgc.design._runnable import seconds_of
from jgc.design._sensitivity import sensitivity
from jgc.stragglers import trace, with_load

RNG = np.random.default_rng(0)
K = 12
TAILS = RNG.exponential(size=(30, K))
MIXED = trace(1 + 0.4 * TAILS * (1 + (np.arange(K) % 4 == 0)))


def mean_seconds(option, latencies):
    seconds = seconds_of(latencies, option.plan, option.parts)
    return rules.play(option.rule, seconds).waited.mean()


def test_the_public_signature():
    assert list(inspect.signature(jgc.advise).parameters) == [
        "trace",
        "work_fraction",
        "slope",
        "recorded_load",
        "capacity",
        "num_partitions",
        "in_parts",
    ]


def test_options_run_as_predicted():
    options = jgc.advise(MIXED, work_fraction=0.1)
    everyone = next(o for o in options if o.name == "wait for all")
    assert everyone.relative_seconds == 1
    relative = [o.relative_seconds for o in options]
    # What gains less than 1.5 % comes after waiting for all, which gains nothing.
    assert relative == sorted(relative, key=lambda r: 0.985 if r == 1 else r)
    assert relative[0] < 0.8
    kinds = {o.kind for o in options}
    assert {
        "wait for all",
        "ignore the late, rescale",
        "first m, rescale",
        "fractional repetition, exact",
        "cyclic repetition, exact",
    } <= kinds
    latencies = with_load(MIXED, work_fraction=0.1)
    for option in options:
        assert isinstance(option, Option)
        # Shares by speed are timed on rounds that they were not fitted to.
        tolerance = 0.1 if option.kind.startswith("shares") else 1e-5
        assert mean_seconds(option, latencies) == pytest.approx(
            option.seconds_per_iteration, rel=tolerance
        )
        _, answered = option.rule(np.full(K, 1.0))
        weights = option.decoder(option.plan, answered)
        assert weights.shape == (K,)


def test_sketches_are_what_is_built():
    setting = Setting(with_load(MIXED, work_fraction=0.3), 1.0, None, in_parts=True)
    seen = set()
    for _, one in candidates(setting):
        if one.kind in seen and "d = 3" not in one.name:
            continue
        seen.add(one.kind)
        built = played(setting.latencies, one.build())
        if not one.kind.startswith("shares"):  # timed on other rounds
            np.testing.assert_allclose(one.effect.waited, built.waited, rtol=1e-5)
        np.testing.assert_allclose(one.effect.scale, built.scale, atol=2e-3)
        np.testing.assert_allclose(one.effect.sampling, built.sampling, atol=0.05)
    assert len(seen) >= 11


def test_free_data_is_copied_to_all():
    best = jgc.advise(MIXED, work_fraction=0.0)[0]
    assert best.plan.load == pytest.approx(K)
    assert best.kind == "fractional repetition, exact"
    capped = jgc.advise(MIXED, work_fraction=0.0, capacity=0.25)
    assert max(o.plan.batch_sizes.max() / o.plan.num_partitions for o in capped) <= 0.25
    assert capped[0].relative_seconds >= best.relative_seconds


@pytest.mark.parametrize("k", [7, 11])
def test_parts_keep_to_the_capacity(k):
    latencies = with_load(trace(1 + RNG.random((10, k))), work_fraction=1.0)
    for most in (0.2, 1 / 3):
        setting = Setting(latencies, most, None, in_parts=True)
        for _, one in candidates(setting):
            if "in parts" in one.name:
                assert one.build().parts.share.max() <= most * (1 + 1e-9), one.name


@pytest.mark.parametrize(("k", "n"), [(2, 5), (3, 7)])
def test_groups_of_unequal_size_are_counted_as_the_rule_does(k, n):
    latencies = with_load(trace(1 + RNG.random((10, k))), work_fraction=0.5)
    for _, one in candidates(Setting(latencies, 1.0, n)):
        if not one.kind.startswith("shares"):
            built = played(latencies, one.build())
            np.testing.assert_allclose(one.effect.waited, built.waited, rtol=1e-5)
            np.testing.assert_allclose(one.effect.scale, built.scale, atol=2e-3)


def test_no_code_where_all_work_and_nobody_straggles():
    even = trace(1 + 0.01 * RNG.random((20, K)))
    options = jgc.advise(even, work_fraction=1.0)
    assert options[0].name == "wait for all"
    coded = [o for o in options if o.kind == "fractional repetition, exact"]
    assert min(o.relative_seconds for o in coded) > 1.5


def test_rounds_that_are_slow_as_a_whole_are_no_reason_to_code():
    slow = np.where(RNG.random((40, 1)) < 0.3, 5.0, 1.0)
    together = trace(slow * (1 + 0.01 * RNG.random((40, K))))
    best = jgc.advise(together, work_fraction=0.5)[0]
    assert best.plan.load < 1.5


def test_slow_workers_get_less_data():
    speed = np.where(np.arange(K) < 3, 3.0, 1.0)
    persistent = trace(speed * (1 + 0.02 * RNG.random((30, K))))
    options = jgc.advise(persistent, work_fraction=1.0)
    equal = next(o for o in options if o.kind == "shares by speed")
    assert equal.relative_seconds < 0.5  # exact, and nobody waits for the slow
    assert equal.plan.batch_sizes[:3].max() < equal.plan.batch_sizes[3:].min()


def test_a_worker_that_never_answers():
    lost = MIXED.latencies.copy()
    lost[:, 2] = np.inf
    options = jgc.advise(trace(lost, missing_is_late=True), work_fraction=0.2)
    assert np.isfinite(options[0].seconds_per_iteration)
    assert options[0].relative_seconds < 0.5
    seconds, answered = options[0].rule(lost[0])
    assert np.isfinite(seconds)
    assert not answered[2]


@pytest.mark.parametrize(("k", "rounds"), [(2, 1), (3, 2), (5, 1)])
def test_few_workers_and_few_rounds(k, rounds):
    tiny = trace(1 + RNG.exponential(size=(rounds, k)))
    options = jgc.advise(tiny, work_fraction=0.5)
    assert all(np.isfinite(o.relative_seconds) for o in options)
    assert any(o.name == "wait for all" for o in options)


def test_what_a_late_worker_has_finished_is_used_where_it_sends_it():
    options = jgc.advise(MIXED, work_fraction=0.8, in_parts=True)
    best = options[0]
    whole = next(o for o in options if o.parts is None)
    assert best.relative_seconds < 0.9 * whole.relative_seconds
    plan, parts = best.plan, best.parts
    assert plan.num_workers == parts.worker.size == plan.edge_worker.size
    assert (
        best.decoder(plan, np.ones(plan.num_workers, bool)).shape == parts.share.shape
    )
    latencies = with_load(MIXED, work_fraction=0.8)
    assert mean_seconds(best, latencies) == pytest.approx(best.seconds_per_iteration)
    # Nothing is gained where the seconds are no work: all of a worker comes at once.
    idle = jgc.advise(MIXED, work_fraction=0.0, in_parts=True)
    without = jgc.advise(MIXED, work_fraction=0.0)
    assert idle[0].relative_seconds > 0.95 * without[0].relative_seconds


@pytest.mark.parametrize("n", [5, K, 40])
def test_partitions_that_are_cut_already(n):
    for option in jgc.advise(MIXED, work_fraction=0.2, num_partitions=n):
        assert option.plan.num_partitions == n


def test_every_worker_has_a_sample_of_all_the_data():
    options = jgc.advise(MIXED, work_fraction=0.5)
    option = next(o for o in options if o.kind == "first m, rescale")
    n = option.plan.num_partitions
    in_first_half = option.plan.encoding_matrix()[:, : n // 2].sum(1)
    np.testing.assert_array_equal(in_first_half, n / K / 2)


def test_progress_is_told():
    parts = []
    search(
        with_load(MIXED, work_fraction=0.5),
        progress=lambda part, what: parts.append(part),
    )
    assert parts == sorted(parts)
    assert parts[-1] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give one of work_fraction and slope"),
        ({"work_fraction": 0.5, "capacity": 0.01}, "capacity must be at least 0.0833"),
        ({"work_fraction": 0.5, "capacity": 1.5}, "capacity must be a finite number"),
        ({"work_fraction": 0.5, "num_partitions": 0}, "num_partitions must be"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        jgc.advise(MIXED, **options)


def test_option_file(tmp_path):
    path = tmp_path / "option.npz"
    for option in jgc.advise(MIXED, work_fraction=0.3, in_parts=True):
        save_option(option, path)
        plan, decoder, rule, parts = load_option(path)
        assert decoder is option.decoder
        came = MIXED.latencies[0]
        if option.parts is not None:
            np.testing.assert_array_equal(parts.worker, option.parts.worker)
            np.testing.assert_array_equal(parts.share, option.parts.share)
            came = came[parts.worker]
        seconds, answered = rule(came)
        wanted, who = option.rule(came)
        assert seconds == wanted
        np.testing.assert_array_equal(answered, who)
        np.testing.assert_array_equal(
            plan.edge_partition, load_plan(path).edge_partition
        )
    assert jgc.design.holds_option(path)
    jgc.design.save_plan(plan, path)
    assert not jgc.design.holds_option(path)
    with pytest.raises(ValueError, match="a plan without a decoder and a rule"):
        load_option(path)
    mine = jgc.decoders.from_function(lambda plan, answered: answered * 1.0)
    with pytest.raises(ValueError, match="decoder must be one of"):
        save_option(Runnable(plan, mine, rule), path)


def test_seconds_lost_add_up_to_the_wait_beyond_the_median():
    found = lost_seconds(MIXED)
    seconds = MIXED.latencies.astype(float)
    beyond = seconds.max(1) - np.median(seconds, axis=1)
    assert found.seconds.sum() == pytest.approx(beyond.mean())
    chronic = seconds.copy()
    chronic[:, 4] = 20.0
    found = lost_seconds(trace(chronic))
    assert found.is_chronic.tolist() == (np.arange(K) == 4).tolist()
    assert found.seconds.argmax() == 4


def test_rounds_that_take_no_time_are_compared():
    loaded = with_load(trace(np.zeros((4, 3))), work_fraction=0.5)

    assert search(loaded)[0].relative_seconds == 1.0


def test_the_reference_of_a_sensitivity_is_that_of_the_ranking():
    rows = trace(1 + np.random.default_rng(0).exponential(1, (12, 4)))
    loaded = with_load(rows, work_fraction=1.0)
    found = search(loaded, num_partitions=2)
    everyone = next(one for one in found if one.kind == "wait for all")

    table = sensitivity([everyone], [("as it is", loaded)], num_partitions=2)

    assert table.relative_seconds[0, 0] == pytest.approx(1.0, rel=1e-3)
