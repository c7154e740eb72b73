import numpy as np
import pytest

import jgc
from jgc.design import diagnose, draw_error_against_load, draw_plan

P = np.array([0.3, 0.8, 0.1, 1.0, 0.5])


def test_diagnose_an_optimal_plan():
    plan = jgc.codes.interval(P, num_partitions=6)
    found = diagnose(plan)
    assert found.load == plan.load
    assert found.storage == plan.num_edges
    assert found.messages == 4  # the worker with p = 1 holds nothing
    assert found.worst_worker_load == plan.batch_sizes.max()
    assert found.least_alpha >= 0
    assert found.largest_bias < 1e-12
    assert found.certified == pytest.approx(found.aligned)


def test_diagnose_a_biased_plan():
    found = diagnose(jgc.codes.uncoded(P, num_partitions=5))
    assert found.largest_bias == 1.0  # of the worker that never answers
    assert found.certified > found.orthogonal


def test_draw_plan_shows_every_edge():
    plan = jgc.codes.scheme_i(P, num_partitions=6)
    axis = draw_plan(plan).axes[0]
    assert len(axis.collections[0].get_offsets()) == plan.num_edges
    assert len(axis.texts) == plan.num_edges


def test_one_outlier_does_not_rule_the_colours():
    encoding = np.eye(60)
    encoding[0, 0] = 500.0
    plan = jgc.CodingPlan.from_matrix(encoding, p=np.full(60, 0.1))
    drawn = draw_plan(plan).axes[0].collections[0]
    assert drawn.norm.vmax < 5
    assert drawn.get_sizes().min() >= 2.5**2


def test_draw_plan_of_many_workers():
    plan = jgc.codes.interval(np.linspace(0.1, 0.9, 300), num_partitions=300)
    assert not draw_plan(plan).axes[0].texts


def test_draw_error_against_load_places_each_plan():
    plans = [
        jgc.codes.interval(P, num_partitions=6, layers=layers) for layers in (1, 2, 6)
    ]
    figure = draw_error_against_load(plans)
    orthogonal = figure.axes[1].lines
    assert [line.get_xdata()[0] for line in orthogonal] == [p.load for p in plans]
    errors = [line.get_ydata()[0] for line in orthogonal]
    assert errors == sorted(errors, reverse=True)


def test_draw_error_against_load_needs_comparable_plans():
    plans = [jgc.codes.dense(P, num_partitions=n) for n in (5, 6)]
    with pytest.raises(ValueError, match=r"same num_partitions, got \[5, 6\]"):
        draw_error_against_load(plans)
    with pytest.raises(ValueError, match="one or more"):
        draw_error_against_load([])
