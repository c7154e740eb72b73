import contextlib
import io
import json

import jax
import numpy as np
import pytest

import jgc
from jgc.design import load_plan, save_plan

P = np.array([0.3, 0.8, 0.1, 1.0, 0.5])
PLAN = jgc.codes.interval(P, num_partitions=6)


def assert_same(first, second):
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for mine, theirs in zip(
        jax.tree.leaves(first), jax.tree.leaves(second), strict=True
    ):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def test_round_trip_is_exact(tmp_path):
    save_plan(PLAN, tmp_path / "plan.npz")
    assert_same(load_plan(tmp_path / "plan.npz"), PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.npz"]


def test_a_plan_on_a_device_comes_back_in_its_values(tmp_path):
    save_plan(jax.device_put(PLAN), tmp_path / "plan")
    loaded = load_plan(str(tmp_path / "plan"))
    np.testing.assert_allclose(loaded.alpha(), PLAN.alpha(), rtol=1e-6, atol=1e-9)
    assert loaded.weights.dtype == np.float64


def test_a_large_plan(tmp_path):
    p = np.random.default_rng(0).uniform(0.01, 0.99, 50_000)
    plan = jgc.codes.interval(p, num_partitions=50_000)
    save_plan(plan, tmp_path / "plan.npz")
    assert_same(load_plan(tmp_path / "plan.npz"), plan)


def test_a_batch_is_refused(tmp_path):
    batch = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), PLAN)
    with pytest.raises(ValueError, match="got a batch"):
        save_plan(batch, tmp_path / "plan.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [0, 1, 50, 400, -30])
def test_a_damaged_file_is_named(tmp_path, cut):
    path = tmp_path / "plan.npz"
    save_plan(PLAN, path)
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    with pytest.raises(ValueError, match=r"plan\.npz"):
        load_plan(path)


def test_flipped_bytes_are_found(tmp_path):
    path = tmp_path / "plan.npz"
    save_plan(PLAN, path)
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        broken = bytearray(content)
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        loaded = None
        with contextlib.suppress(ValueError):  # and nothing else
            loaded = load_plan(path)
        if loaded is not None:  # the byte was none of the content's
            assert_same(loaded, PLAN)


def test_another_file_is_named(tmp_path):
    path = tmp_path / "plan.npz"
    np.savez(path, latencies=np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"plan\.npz is not a plan that jgc wrote"):
        load_plan(path)
    path.write_text("hello")
    with pytest.raises(ValueError, match="is not a plan that jgc wrote"):
        load_plan(path)
    with pytest.raises(FileNotFoundError):
        load_plan(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weights", np.full(5, np.nan), "weights must be finite"),
        ("weights", np.ones(4), "one a worker"),
        ("weights", np.ones(5, np.float32), "weights must be a vector of float64"),
        ("straggler_probabilities", np.full(5, 2.0), r"in \[0, 1\]"),
        ("edge_partition", PLAN.edge_partition + 9, r"partition must lie in \[0, 6\)"),
        ("edge_partition", PLAN.edge_partition[1:], "partition must be 9 integers"),
        (
            "edge_worker",
            PLAN.edge_worker[::-1].copy(),
            "holds partition 5 more than once",
        ),
        ("edge_coefficient", PLAN.edge_coefficient[1:], "must be 8 integers"),
        ("about", {"format": "jgc plan 9"}, "format must be 'jgc plan 1'"),
        ("about", {"num_workers": 0}, "num_workers"),
    ],
)
def test_unsound_plans_are_refused(tmp_path, name, value, message):
    path = tmp_path / "plan.npz"
    save_plan(PLAN, path)
    with np.load(path) as file:
        content = dict(file)
    if name == "about":
        about = json.loads(str(content["about"]))
        content["about"] = np.array(json.dumps({**about, **value}))
    else:
        content[name] = value
    written = io.BytesIO()
    np.savez(written, **content)
    path.write_bytes(written.getvalue())
    with pytest.raises(ValueError, match=message):
        load_plan(path)
