import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.replay import methods, settings, virtual_time
from experiments.replay.methods import METHODS
from experiments.replay.runs import _slowed
from jgc import codes, decoders
from jgc.design import Runnable, rules
from jgc.design._runnable import schedule
from jgc.stragglers import trace, with_load
from jgc.training import arrays, partitioned
from tests.experiments.helpers import run_experiment

RNG = np.random.default_rng(0)
SECONDS = 1 + RNG.exponential(size=(8, 4))


def test_a_replayed_step_is_the_step_of_the_decoded_gradient():
    x = RNG.normal(size=(12, 2))
    assignment = np.arange(12) // 3

    def loss(params, examples):
        return ((examples - params) ** 2).sum(-1)

    plan = codes.uncoded(np.zeros(4), num_partitions=4)
    latencies = with_load(trace(SECONDS), work_fraction=0.0)
    rule = rules.first(plan, 2)
    one = Runnable(plan, decoders.rescaled, rule)
    found = schedule(one, latencies)
    np.testing.assert_allclose(found.waited, np.sort(SECONDS)[:, 1], rtol=1e-6)
    data = partitioned(arrays(jnp.asarray(x)), assignment, num_partitions=4)
    losses = virtual_time.losses_of(
        loss,
        optax.sgd,
        jnp.zeros(2),
        data,
        jnp.asarray(found.coefficients),
        jnp.array([0.1, 0.2]),
        iterations=12,
    )
    for row, step in zip(losses, (0.1, 0.2), strict=True):
        params = np.zeros(2)
        for t in range(12):
            assert row[t] == pytest.approx(((x - params) ** 2).sum(1).mean(), rel=1e-4)
            fastest = np.argsort(SECONDS[t % 8])[:2]
            own = np.isin(assignment, fastest)
            params = params - step * 2 * (params - x[own]).mean(0)


def test_work_in_parts_is_never_waited_for_longer():
    latencies = with_load(trace(SECONDS), work_fraction=0.5)

    def played(method, name=""):
        entries = methods.OF_PARTS[method](latencies, latencies)
        entry = next(entry for entry in entries if entry.name.endswith(name))
        return entry, schedule(entry, latencies)

    plan = codes.fractional_repetition(np.zeros(4), num_partitions=16, replication=2)
    one = Runnable(plan, decoders.representative, rules.coverage(plan))
    whole = schedule(one, latencies)
    _, covered = played("repetition in parts, coverage", "100% of the data")
    np.testing.assert_allclose(covered.coefficients, 1, rtol=1e-6)
    assert (covered.waited <= whole.waited).all()
    assert covered.waited.mean() < 0.95 * whole.waited.mean()
    for method in ("repetition, late ones dropped", "repetition in parts"):
        entry, found = played(method)
        assert entry.decoder.is_unbiased
        assert (found.coefficients > 0).any()
    # Cut off at the deadline: what an uncoded worker has begun is lost, and no more.
    entry, found = played("uncoded in parts, rescale")
    came = found.coefficients > 0
    seconds = latencies.seconds(entry.parts.share, worker=entry.parts.worker)
    np.testing.assert_array_equal(came, seconds <= float(entry.rule.seconds))
    assert 0 < came.mean() < 1


def test_time_to_a_target_is_that_of_the_best_step_size():
    losses = np.array([[1.0, 0.5, 0.25, 0.125], [1.0, 0.1, 0.01, 0.001], [1, 9, 9, 9]])
    at = np.array([0.0, 2.0, 3.0, 7.0])
    assert virtual_time.seconds_to(0.01, losses, at, 0.0) == (pytest.approx(3.0), 1)
    seconds, best = virtual_time.seconds_to(0.125, losses[:1], at, 0.0)
    assert (seconds, best) == (pytest.approx(7.0), 0)
    assert virtual_time.seconds_to(1e-9, losses, at, 0.0)[0] == np.inf
    np.testing.assert_allclose(virtual_time.begins([1.0, 2.0], 4), [0, 1, 3, 4])


@pytest.mark.parametrize(("key", "value"), [("task", "logistik"), ("batch_size", 16)])
def test_what_cannot_be_replayed_is_refused(key, value):
    config = settings.default()
    config.trace = "latencies.csv"
    settings.check(config)
    config.train[key] = value
    with pytest.raises(ValueError, match=rf"config\.train\.{key} = .*accepted: "):
        settings.check(config)


def test_half_the_speed_from_the_middle_on():
    latencies = with_load(trace(SECONDS), work_fraction=0.2)
    slowed = _slowed(latencies, 2.0, 20).seconds(0.5)
    usual = latencies.seconds(0.5)[np.arange(20) % 8]
    np.testing.assert_allclose(slowed[:10], usual[:10], rtol=1e-6)
    np.testing.assert_allclose(slowed[10:], 2 * usual[10:], rtol=1e-6)
    entries = METHODS["deadline that adapts, rescale"](latencies, latencies)
    limits = [float(entry.rule.at_most) for entry in entries]
    assert min(limits) > 5 * SECONDS.max()


def test_a_killed_replay_goes_on(tmp_path):
    path = tmp_path / "trace.csv"
    header = ",".join(f"w{i}" for i in range(4))
    np.savetxt(path, SECONDS, delimiter=",", header=header, comments="")
    workdir = tmp_path / "replay"
    arguments = (
        "replay",
        "--config=configs/replay/trace.py",
        f"--config.trace={path}",
        f"--workdir={workdir}",
        "--config.methods=('advised','wait for all','first m, rescale')",
        "--config.references=('local steps','asynchronous SGD')",
        "--config.iterations=60",
        "--config.step_sizes=5",
        "--config.train.logistic.num_train=200",
        "--config.order=sorted",
    )
    result = run_experiment(*arguments)
    assert result.returncode == 0, result.stderr
    runs = sorted((workdir / "runs").glob("*.json"))
    names = [json.loads(run.read_text())["method"] for run in runs]
    assert names.count("wait for all") == 1
    assert {"advised", "local steps", "asynchronous SGD"} <= set(names)
    table = (workdir / "table.md").read_text()
    assert "predicted" in result.stdout
    kept = [run.read_text() for run in runs]
    runs[0].unlink()
    (workdir / "table.md").unlink()
    again = run_experiment(*arguments)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("/5 ") + again.stderr.count(f"/{len(runs)} ") >= 1
    assert [run.read_text() for run in runs] == kept
    assert (workdir / "table.md").read_text() == table
    other = run_experiment(*arguments, "--config.work_fraction=0.5")
    assert "other settings of config.work_fraction" in other.stderr
