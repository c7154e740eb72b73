from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.train import settings
from experiments.train.optimizers import make_optimizer
from experiments.train.report.curves import draw_curves
from experiments.train.report.findings import write_findings
from experiments.train.report.groups import Curve, Group
from experiments.train.report.panels import panels_of
from experiments.train.report.tuned import best_rates
from experiments.train.specs import RunSpec

LOADS = {"straggler_free": 1.0, "uncoded": 1.0, "interval": 2.0, "stochastic": 2.0}


def group(scheme, ends, *, ap):
    """Two seeds whose validation losses fall from 4 evenly to `ends`."""
    times = np.arange(10.0, 50.0, 10.0)
    values = np.array([np.interp(times, [0, 40], [4, end]) for end in ends])
    deadline = None if scheme == "straggler_free" else 1.5
    result = {"load": LOADS[scheme], "ap": ap, "found": 2 * ap}
    results = [{**result, "doubled": 0.0, "mistaken": 0.1} for _ in ends]
    return Group(
        title=scheme,
        run=RunSpec(scheme, deadline, 0),
        results=results,
        loss=np.zeros((2, 40)),
        validation=Curve(times, values),
        similarity=None,
    )


def test_findings_say_what_the_numbers_say(tmp_path, capsys):
    groups = [
        group("straggler_free", (1.0, 1.0), ap=0.4),
        group("uncoded", (3.0, 3.2), ap=0.1),
        group("interval", (1.2, 1.2), ap=0.3),
    ]
    write_findings(groups, tmp_path)
    lines = (tmp_path / "findings.md").read_text().splitlines()
    assert len(lines) == 4
    assert all(line[2:] in capsys.readouterr().out for line in lines[:1])
    iterations, load, scores, found = lines
    assert "τ = 1.5" in iterations
    assert "after 40 iterations" in iterations
    order = "straggler_free 1.00 ± 0.00; interval 1.20 ± 0.00; uncoded 3.10 ± 0.10"
    assert order in iterations
    # Half as many iterations of twice the load.
    assert "40 gradients a partition" in load
    assert "straggler_free 1.00 ± 0.00; interval 2.60 ± 0.00; uncoded 3.10" in load
    assert "interval 0.300 ± 0.000, 75% of waiting for all" in scores
    assert "uncoded 0.100 ± 0.000, 25% of waiting for all" in scores
    assert "interval 60% (doubled 0%, wrong 10%)" in found


def test_a_worse_code_is_said_to_be_worse(tmp_path):
    groups = [
        group("interval", (3.5, 3.5), ap=0.01),
        group("uncoded", (1.0, 1.0), ap=0.2),
    ]
    write_findings(groups, tmp_path)
    text = (tmp_path / "findings.md").read_text()
    assert text.count("uncoded 1.00 ± 0.00; interval 3.50 ± 0.00") == 1
    assert "waiting for all" not in text


def test_the_best_rate_has_the_least_training_loss_of_all_seeds():
    base = group("interval", (1.0, 1.0), ap=0.1)

    def at(factor, *last, validation=(1.0, 1.0)):
        return base._replace(
            run=replace(base.run, rate_factor=factor),
            loss=np.array([[9.0] * 36 + [loss] * 3 + [np.nan] for loss in last]),
            validation=Curve(np.array([40.0]), np.array(validation)[:, None]),
        )

    lucky = at(1.0, 1.0, 8.0)
    best = at(2.0, 2.0, 3.0, validation=(5.0, 5.0))
    lost = at(8.0, 0.1, 0.2, validation=(1.0, np.nan))
    ((found, factors),) = best_rates([lucky, best, at(4.0, 2.5, 3.5), lost])
    assert found is best
    assert factors == [1, 2, 4, 8]


def test_no_loss_is_made_up_for_work_before_the_first(tmp_path):
    groups = [
        group("straggler_free", (1.0, 1.0), ap=0.4),
        group("interval", (1.2, 1.2), ap=0.3),
    ]
    groups[1].results[:] = [{**result, "load": 8.0} for result in groups[1].results]
    write_findings(groups, tmp_path)
    load = (tmp_path / "findings.md").read_text().splitlines()[1]
    assert "40 gradients a partition, it is straggler_free 1.00 ± 0.00." in load


def test_curves_where_nobody_answered(recwarn):
    """No loss is known then, in an iteration of one seed, or of both."""
    groups = [
        group("interval", (1.2, 1.2), ap=0.3),
        group("uncoded", (2.0, 2.0), ap=0.1),
    ]
    for one in groups:
        one.loss[:] = np.linspace(4, 1, 40)
        one.loss[0, [0, 7]] = np.nan
        one.loss[1, [7, 39]] = np.nan
    lost = group("stochastic", (2.0, 2.0), ap=0.0)
    lost.loss[:] = np.nan
    (page,) = draw_curves([*groups, lost], lambda one: one.training, name="loss")
    low, high = page.axes[0].get_ylim()
    assert 0.5 < low < 1 < 4 < high < 5
    drawn = page.axes[0].lines[0].get_ydata()
    assert np.isnan(drawn[7])
    assert np.isfinite(np.delete(drawn, 7)).all()
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_panels_show_what_is_compared():
    single, two = "adam", "two_track_adam"
    gd = RunSpec("straggler_free", None, 0, single)
    coded = [RunSpec("interval", 1.5, 0, single), RunSpec("interval", 1.5, 0, two, 1.0)]
    assert [[panel.shows(r) for r in (gd, *coded)] for panel in panels_of(coded)] == [
        [True, True, False],
        [True, False, True],
    ]
    # Where p is given nobody has a deadline, and still each optimizer its own panel.
    given = [replace(run, deadline=None) for run in coded]
    assert [[panel.shows(r) for r in (gd, *given)] for panel in panels_of(given)] == [
        [True, True, False],
        [True, False, True],
    ]


def test_training_curves_are_means_of_iterations():
    few = group("interval", (1.0, 1.0), ap=0.1)
    np.testing.assert_array_equal(few.training.iterations, np.arange(40))
    many = few._replace(loss=np.tile(np.arange(250.0), (2, 1)))
    assert many.training.values.shape == (2, 83)
    # Their place is their middle, so that a straight line stays where it is.
    np.testing.assert_allclose(many.training.values[0], many.training.iterations)
    assert many.training.iterations[-1] == 248


def updates(config, gradients):
    """What each of the gradients changes, at a learning rate of 1."""
    config.learning_rates.sgd = 1.0
    optimizer = make_optimizer("sgd", config)
    state, found = optimizer.init(jnp.zeros(2)), []
    for gradient in gradients:
        update, state = optimizer.update(jnp.asarray(gradient), state)
        found.append(-np.asarray(update))
    return np.array(found)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("warmup", [0, 4])
def test_learning_rates_over_time(schedule, warmup):
    config = settings.default()
    config.schedule, config.warmup_iterations = schedule, warmup
    config.num_iterations = 20
    rates = updates(config, [[1.0, 0.0]] * 20)[:, 0]
    np.testing.assert_allclose(rates[:warmup], np.arange(1, warmup + 1) / (warmup + 1))
    rest = np.arange(20 - warmup) / (20 - warmup)
    later = 0.5 * (1 + np.cos(np.pi * rest)) if schedule == "cosine" else 1.0
    np.testing.assert_allclose(rates[warmup:], later * np.ones(20 - warmup), rtol=1e-5)


def test_long_gradients_are_shortened():
    config = settings.default()
    config.clip_norm = 1.0
    found = updates(config, [[3.0, 4.0], [0.3, 0.4]])
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)


def test_two_tracks_are_shortened_by_one_factor():
    from jgc.optim import Tracks

    config = settings.default()
    config.learning_rates.two_track_adam = 1.0
    gradient = {"x": Tracks(jnp.array([3.0, 4.0]), jnp.array([6.0, 8.0]))}
    params, first = {"x": jnp.zeros(2)}, []
    for config.clip_norm in (0.0, 1.0):
        optimizer = make_optimizer("two_track_adam", config)
        update, _ = optimizer.update(gradient, optimizer.init(params), params)
        first.append(update["x"])
    # Adam's first step has no scale.
    np.testing.assert_allclose(*first, rtol=1e-4)
    assert isinstance(optimizer, optax.GradientTransformation)
