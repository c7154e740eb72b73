import io

import numpy as np
import pytest

import jgc
from jgc.design import rules
from jgc.distributed import Details, Watch
from jgc.distributed._watching import charged
from jgc.training import Report

INF = np.inf


def report(latencies, waited, asked=None, computed=None, lost=0, until=INF):
    latencies = np.array(latencies, float)
    k = latencies.size
    return Report(
        loss=1.0,
        answered=np.isfinite(latencies),
        seconds=waited + 0.5,
        partition_losses=np.zeros(1),
        metrics={},
        details=Details(
            asked=np.ones(k, bool) if asked is None else np.array(asked, bool),
            latencies=latencies,
            computed=latencies / 2 if computed is None else np.array(computed),
            waited=waited,
            until=until,
            probabilities=np.full(k, 0.25),
            rejected=0,
            dropped=0,
            lost=lost,
            received=0,
        ),
    )


def test_waiting_is_shared_out_among_those_who_caused_it():
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(
        charged(report([1.0, 3.0, 2.0], 3.0).details),
        [1 / 3, 1 / 3 + 1 / 2 + 1, 1 / 3 + 1 / 2],
    )
    np.testing.assert_allclose(
        charged(report([1.0, INF, INF], 5.0).details), [1 / 3, 7 / 3, 7 / 3]
    )
    np.testing.assert_array_equal(
        charged(report([INF, 2.0], 2.0, asked=[False, True]).details), [0, 2]
    )
    for _ in range(50):  # the Shapley value, by the definition: over all orders
        k = 4
        latencies = np.where(rng.random(k) < 0.3, INF, rng.random(k))
        times = np.minimum(latencies, 0.8)
        latencies = np.where(times < 0.8, latencies, INF)
        orders = np.array([rng.permutation(k) for _ in range(4000)])
        largest = np.maximum.accumulate(times[orders], axis=1)
        marginal = np.diff(largest, axis=1, prepend=0.0)
        value = [marginal[orders == worker].mean() for worker in range(k)]
        found = charged(report(latencies, 0.8).details)
        np.testing.assert_allclose(found, value, atol=0.05)
        assert found.sum() == pytest.approx(times.max())


def watched():
    watch = Watch(4, window=10, names=["a", "<b>", "c", "d"], policy="for 3")
    for t in range(25):
        # b is slow always; c never answers once in a while; d is not asked.
        c = INF if t % 5 == 0 else 1.0
        watch.observe(report([1.0, 4.0, c, INF], 4.0, asked=[1, 1, 1, 0]))
    return watch


def test_who_is_slow():
    views = {view.worker: view for view in watched().workers()}
    assert [view.worker for view in watched().workers()] == [1, 2, 0, 3]
    assert [views[i].habit for i in range(4)] == [
        "on time",
        "chronic",
        "occasional",
        "on time",
    ]
    assert [views[i].answered for i in range(3)] == [1, 1, 0.8]
    assert np.isnan(views[3].answered)
    assert (views[1].latency, views[1].computed, views[1].between) == (4, 2, 2)
    assert sum(view.lost for view in views.values()) == pytest.approx(25 * 4)
    assert views[3].lost == 0


def test_table_and_page(tmp_path):
    rich_console = pytest.importorskip("rich.console")
    watch = watched()
    console = rich_console.Console(width=120, record=True, file=io.StringIO())
    console.print(watch.table())
    text = console.export_text()
    assert "25 iterations, 4.5 s each, of which 4 s waiting" in text
    assert "chronic" in text
    path = tmp_path / "workers.html"
    watch.write_html(path)
    written = path.read_text()
    assert "&lt;b&gt;" in written
    assert "<b>" not in written
    assert written.count("<svg") == 4
    assert written.count("<rect") == 10 + 10 + 8 + 0
    Watch(2).write_html(path)  # before the first iteration
    assert "no iteration yet" in path.read_text()


def test_rule_deadline_p_and_similarity(tmp_path):
    plan = jgc.codes.uncoded([0.1, 0.1], num_partitions=2)
    rule = rules.adaptive(plan, rules.first(plan, 2), at_most=60.0)
    watch = Watch(2, names=["a", "b"], policy=rule.name)
    assert watch.scalars() == {}
    watch.observe(report([1.0, 2.0], 2.0))
    assert "until" not in watch.head().partition(rule.name)[2]
    watch.observe(report([1.0, INF], 3.0, until=3.0)._replace(similarity=0.4))
    assert rule.name in watch.head()
    assert watch.head().endswith("; the last until 3 s at most; ρ 0.4")
    assert [row[2] for row in watch.rows()] == ["0.25", "0.25"]
    assert watch.scalars() == pytest.approx(
        {
            "waited": 3,
            "until": 3,
            "similarity": 0.4,
            "latency/a": 1,
            "p/a": 0.25,
            "p/b": 0.25,
            "lost/a": 0.5 + 0.5,
            "lost/b": 1.5 + 2.5,
        }
    )
    watch.write_html(tmp_path / "workers.html")
    assert "ρ 0.4" in (tmp_path / "workers.html").read_text()


def test_what_is_no_report_of_these_workers():
    with pytest.raises(ValueError, match="names must be of 2 workers, got 1"):
        Watch(2, names=["a"])
    with pytest.raises(ValueError, match="report must be of 3 workers"):
        Watch(3).observe(report([1.0, 2.0], 2.0))
    with pytest.raises(ValueError, match="report must be of 2 workers"):
        Watch(2).observe(report([1.0, 2.0], 2.0)._replace(details=None))
