"""Truth and belief: what a run faces, and what its code is told."""

import jax
import numpy as np
import pytest

import jgc
from experiments.common import conditions
from experiments.train import settings
from experiments.train.paths import policy_of
from experiments.train.runs import design, make_job
from experiments.train.specs import RunSpec, list_runs
from experiments.train.tasks.logistic import make_task
from jgc.design import Runnable, rules, save_option, save_plan

P = (0.1, 0.2, 0.3, 0.4)
GIVEN = RunSpec("interval", None, 0)


@pytest.fixture
def config():
    config = settings.default()
    config.task = "logistic"
    config.num_workers, config.num_partitions = 4, 6
    config.logistic.num_train, config.logistic.num_validation = 60, 6
    config.p = P
    return config


def masks(model, rounds=4000):
    def step(state, key):
        answered, state = model.sample(state, key)
        return state, answered

    keys = jax.random.split(jax.random.key(1), rounds)
    return np.asarray(jax.lax.scan(step, model.init(jax.random.key(0)), keys)[1])


def test_p_given_outright_is_truth_and_belief(config):
    settings.check(config)
    assert {run.deadline for run in list_runs(config)} == {None}
    plan, truth = design(GIVEN, config)
    np.testing.assert_array_equal(plan.straggler_probabilities, P)
    np.testing.assert_allclose(1 - masks(truth).mean(0), P, atol=0.03)


def test_a_belief_leaves_the_truth_alone(config):
    config.believed.p = (0.5, 0.5, 0.1, 0.1)
    settings.check(config)
    plan, truth = design(GIVEN, config)
    np.testing.assert_array_equal(plan.straggler_probabilities, config.believed.p)
    np.testing.assert_array_equal(truth.probabilities(), P)


def test_beliefs_by_odds_and_noise(config):
    config.believed.odds = 2.0
    p = np.array(P)
    plan, _ = design(GIVEN, config)
    np.testing.assert_allclose(plan.straggler_probabilities, 2 * p / (1 + p))
    config.believed.odds, config.believed.noise = 1.0, 0.5
    found = [
        design(RunSpec(scheme, None, seed), config)[0].straggler_probabilities
        for scheme, seed in (("interval", 0), ("uncoded", 0), ("interval", 1))
    ]
    np.testing.assert_array_equal(found[0], found[1])  # schemes are told the same
    assert (found[0] != found[2]).all()
    assert ((found[0] > 0) & (found[0] < 1) & (found[0] != p)).all()


def test_bursts_last_and_keep_p(config):
    config.stragglers.model, config.stragglers.mean_burst = "markov", 8.0
    settings.check(config)
    late = ~masks(design(GIVEN, config)[1], 20000)
    np.testing.assert_allclose(late.mean(0), P, atol=0.04)
    ends = (late[:-1] & ~late[1:]).sum(0)
    np.testing.assert_allclose(late.sum(0) / ends, 8.0, rtol=0.2)


@pytest.mark.parametrize("model", ["common_factor", "shared_shocks"])
def test_workers_straggle_together(config, model):
    config.stragglers.model = model
    config.stragglers.groups = (0, 0, 1, 1)
    config.stragglers.correlation = 0.8
    settings.check(config)
    found = masks(design(GIVEN, config)[1])
    np.testing.assert_allclose(1 - found.mean(0), P, atol=0.03)
    assert np.corrcoef(found.T)[0, 1] > 0.1


def test_latencies_at_a_deadline(config):
    config.p = ()
    config.stragglers.model = "shifted_exponential"
    settings.check(config)
    run = RunSpec("interval", 1.5, 0)
    plan, truth = design(run, config)
    np.testing.assert_array_equal(plan.straggler_probabilities, truth.probabilities())
    config.stragglers.model = "bernoulli"
    np.testing.assert_allclose(
        design(run, config)[0].straggler_probabilities, truth.probabilities()
    )


def test_a_trace_at_a_deadline(config, tmp_path):
    path = tmp_path / "trace.csv"
    rows = [f"{t % 2},{t % 3},{t % 4},{t % 5}" for t in range(60)]
    path.write_text("a,b,c,d\n" + "\n".join(rows) + "\n")
    config.p, config.deadlines = (), (0.5,)
    config.stragglers.model, config.stragglers.trace = "trace", str(path)
    settings.check(config)
    plan, truth = design(RunSpec("interval", 0.5, 0), config)
    expected = [1 / 2, 2 / 3, 3 / 4, 4 / 5]
    np.testing.assert_allclose(plan.straggler_probabilities, expected)
    np.testing.assert_allclose(1 - masks(truth, 60).mean(0), expected)
    config.num_workers = 5
    with pytest.raises(ValueError, match="num_workers = 5; accepted: at most 4"):
        design(RunSpec("interval", 0.5, 0), config)


def test_deadlines_that_follow_the_speed(config, tmp_path):
    """As many answer when all is four times slower, of which a deadline loses most."""
    rows = 1 + np.random.default_rng(0).exponential(size=(400, 4))
    rows[200:] *= 4
    path = tmp_path / "trace.csv"
    np.savetxt(path, rows, delimiter=",", header="a,b,c,d", comments="")
    config.p = ()
    config.stragglers.model, config.stragglers.trace = "trace", str(path)
    run = RunSpec("interval", 2.0, 0)
    steady = masks(design(run, config)[1], 400)
    config.adaptive.at_most = 50.0
    settings.check(config)
    plan, truth = design(run, config)
    counts = masks(truth, 400).sum(1)
    expected = (1 - np.asarray(plan.straggler_probabilities)).sum()
    assert abs(counts.mean() - np.round(expected)) < 0.5

    def between_halves(counts):
        """Of the trace, which begins at a row that is drawn."""
        shifted = np.stack([np.roll(counts, shift) for shift in range(400)])
        return np.abs(shifted[:, :200].mean(1) - shifted[:, 200:].mean(1)).max()

    assert between_halves(counts) < 0.2 * between_halves(steady.sum(1))


def test_only_unbiased_codes_follow_p(config, tmp_path):
    config.following.estimator = "forgetting"
    settings.check(config)
    task = make_task(config)
    followed = {
        scheme: make_job(RunSpec(scheme, None, 0), task, config).following is not None
        for scheme in ("interval", "stochastic", "uncoded", "straggler_free")
    }
    assert followed == {
        "interval": True,
        "stochastic": True,
        "uncoded": False,
        "straggler_free": False,
    }


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("p", (0.1, 0.2), "num_workers = 4 numbers"),
        ("p", (0.1, 0.2, 0.3, 1.5), r"numbers in \[0, 1\]"),
        ("believed.p", (0.5,), "num_workers = 4 numbers"),
        ("believed.odds", 0.0, "above 0"),
        ("believed.noise", -1.0, "at least 0"),
        ("stragglers.model", "magic", "bernoulli"),
        ("stragglers.model", "observed", "above 0 where"),
        ("stragglers.model", "trace", "a file where"),
        ("stragglers.model", "shifted_exponential", "empty where"),
        ("stragglers.model", "shared_shocks", "the group of each"),
        ("following.estimator", "magic", "counting, forgetting"),
        ("following.memory", 1.0, "above 1"),
        ("following.similarity_every", -1, "at least 0"),
        ("adaptive.at_most", 9.0, "0, or above 0 where stragglers.model is one of"),
        ("adaptive.least", 0.0, "above 0, up to 1"),
        ("adaptive.window", 21, "1 to 20"),
    ],
)
def test_what_is_not_accepted(config, key, value, accepted):
    with config.ignore_type():
        config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError, match=accepted):
        settings.check(config)


def test_observed_stragglers_need_p_from_elsewhere(config):
    config.p = ()
    config.stragglers.model, config.ray.deadline = conditions.OBSERVED, 0.5
    with pytest.raises(ValueError, match="where path is simulated"):
        settings.check(config)
    config.path = "ray"
    with pytest.raises(ValueError, match=r"without a plan_file or believed\.p"):
        settings.check(config)
    config.believed.p = P
    settings.check(config)
    plan, truth = design(GIVEN, config)
    assert truth is None
    np.testing.assert_array_equal(plan.straggler_probabilities, P)


@pytest.fixture
def advised(config, tmp_path):
    """An option for the config's workers, and a trace in which worker 3 is slow."""
    plan = jgc.codes.fractional_repetition(P, num_partitions=6, replication=2)
    rule = rules.coverage(plan)
    option = tmp_path / "option.npz"
    save_option(Runnable(plan, jgc.decoders.representative, rule), option)
    seconds = np.random.default_rng(0).uniform(1, 2, size=(40, 4))
    seconds[:, 3] += 9
    np.savetxt(
        tmp_path / "trace.csv", seconds, delimiter=",", header="a,b,c,d", comments=""
    )
    config.p = ()
    config.plan_file = str(option)
    config.schemes = ("plan_file", "interval")
    config.stragglers.model = "trace"
    config.stragglers.trace = str(tmp_path / "trace.csv")
    config.deadlines = (3.0,)
    return plan


def test_the_rule_of_an_option_decides_who_is_late(config, advised):
    settings.check(config)
    runs = {run.scheme: run for run in list_runs(config)}
    assert runs["plan_file"].deadline is None
    assert runs["interval"].deadline == 3.0
    plan, truth = design(runs["plan_file"], config)
    found = masks(truth, rounds=500)
    covered = found @ (np.asarray(plan.encoding_matrix()) != 0) > 0
    assert covered.all()  # one of each group, which is what it waits for
    assert not found[:, 3].any()
    # p of other schemes is the trace's at their deadline, not the file's.
    other, truth = design(runs["interval"], config)
    np.testing.assert_array_equal(other.straggler_probabilities[:3], 0)
    assert other.straggler_probabilities[3] > 0.9
    make_job(runs["plan_file"], make_task(config), config)


def test_a_plan_without_a_rule_does_not_say_how_long_to_wait(config, advised):
    save_plan(advised, config.plan_file)
    with pytest.raises(ValueError, match=r"config\.plan_file = .*a waiting rule"):
        settings.check(config)


def test_observed_processes_take_the_deadline_or_the_rule(config, advised):
    config.path, config.stragglers.model = "ray", "observed"
    config.stragglers.trace = ""
    with pytest.raises(ValueError, match=r"config\.ray\.deadline = 0.*no scheme but"):
        settings.check(config)
    config.schemes = ("plan_file", "straggler_free")
    settings.check(config)
    save_plan(advised, config.plan_file)
    with pytest.raises(ValueError, match=r"config\.ray\.deadline = 0"):
        settings.check(config)


def test_processes_are_waited_for_by_a_deadline_that_follows_them(config):
    pytest.importorskip("ray")
    from jgc.distributed import Waiting

    config.p, config.believed.p = (), P  # of four workers three answer by the deadline
    config.path, config.stragglers.model, config.ray.deadline = "ray", "observed", 2.0
    plan, _ = design(GIVEN, config)
    three = np.array([1.0, 3.0, np.inf, 5.0])
    waiting = Waiting(plan, np.isfinite(three), 3.5, three)
    assert policy_of(config)(waiting) == 0
    config.adaptive.at_most = 10.0
    settings.check(config)
    follows = policy_of(config)
    assert follows(waiting._replace(latencies=np.full(4, np.inf))) == 6.5
    past = rules.Past.nothing(4)
    past.seconds[-3:], past.waited[-3:] = [1.0, 3.0, np.nan, 5.0], 5.0
    assert follows(waiting._replace(past=past)) == pytest.approx(1.5)
