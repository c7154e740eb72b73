import os
import sys
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jgc.stragglers import at_deadline, load_trace, replay, trace

LATENCIES = np.array([[0.5, 1.0, 3.0], [0.25, 2.0, 0.75], [1.5, 1.0, 0.125]])
NAMES = ("a", "b", "c")


def write_csv(path, rows=LATENCIES):
    lines = [",".join(map(str, row)) for row in (NAMES, *rows)]
    path.write_text("\n".join(lines) + "\n")


def write_npz(path):
    np.savez(path, latencies=LATENCIES)


def write_parquet(path):
    table = pa.table({name: LATENCIES[:, i] for i, name in enumerate(NAMES)})
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("name", "write"),
    [("t.csv", write_csv), ("t.NPZ", write_npz), ("t.parquet", write_parquet)],
)
def test_formats(tmp_path, name, write):
    if name == "t.NPZ":
        np.savez(tmp_path / "other.npz", LATENCIES)
        (tmp_path / "other.npz").rename(tmp_path / name)
    else:
        write(tmp_path / name)
    loaded = load_trace(tmp_path / name)
    np.testing.assert_array_equal(loaded.latencies, LATENCIES)
    assert loaded.workers == (("0", "1", "2") if name == "t.NPZ" else NAMES)
    assert (loaded.num_rounds, loaded.num_workers) == (3, 3)


def test_npz_with_several_arrays_needs_the_name(tmp_path):
    np.savez(tmp_path / "t.npz", latencies=LATENCIES, start=np.zeros(3))
    assert load_trace(tmp_path / "t.npz").num_workers == 3
    np.savez(tmp_path / "u.npz", x=LATENCIES, start=np.zeros(3))
    with pytest.raises(ValueError, match=r"u.npz.*called latencies, got \['start', 'x"):
        load_trace(tmp_path / "u.npz")


def test_parquet_index_and_types(tmp_path):
    table = pa.table({"a": [1, 2], "b": [0.5, 0.5], "when": [7, 8]})
    pandas = b'{"index_columns": ["when"], "columns": [], "column_indexes": []}'
    pq.write_table(
        table.replace_schema_metadata({b"pandas": pandas}), tmp_path / "t.parquet"
    )
    loaded = load_trace(tmp_path / "t.parquet")
    assert loaded.workers == ("a", "b")
    np.testing.assert_array_equal(loaded.latencies, [[1, 0.5], [2, 0.5]])

    pq.write_table(pa.table({"a": ["x"], "b": [1.0]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="column a must hold numbers, got string"):
        load_trace(tmp_path / "t.parquet")

    null = pa.array([None, 1.0], pa.float64())
    pq.write_table(pa.table({"a": null, "b": [1.0, 2.0]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="got nan in round 0 of worker a, one of 1"):
        load_trace(tmp_path / "t.parquet")


def test_without_pyarrow(tmp_path, monkeypatch):
    write_parquet(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"pip install 'jgc\[traces\]'"):
        load_trace(tmp_path / "t.parquet")


BAD_CSV = {
    "": "the file is empty",
    "a,b\n": "a header and no round below it",
    "0.5,1\n0.5,2\n": "first line must name the workers, got numbers",
    "a,b\n1,2\n1,2,3\n": "line 3 has 3 cells, the header names 2 workers",
    "a,b\n1,2\n1\n": "line 3 has 1 cells",
    "a,b\n1,fast\n": "line 2, worker b: 'fast' is not a number",
    "a,b\n1,\n": "must be finite; missing_is_late=True .*nan in round 0 of worker b",
    "a,b\n1,inf\n": "got inf in round 0 of worker b",
    "a,b\n1,2\n-0.5,2\n": "must not be negative; got -0.5 in round 1 of worker a",
    "a\n1\n": "at least two workers, one a column, got 1",
    "a,b\n1,1e300\n": "latencies must be ≤ 3.4",
}


@pytest.mark.parametrize("text", BAD_CSV)
def test_bad_csv(tmp_path, text):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=BAD_CSV[text]) as error:
        load_trace(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["t.npz", "t.parquet"])
def test_a_file_that_is_something_else(tmp_path, name):
    (tmp_path / name).write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=name):
        load_trace(tmp_path / name)


def test_an_npy_file_is_no_npz_file(tmp_path):
    np.save(tmp_path / "t.npy", LATENCIES)
    (tmp_path / "t.npy").rename(tmp_path / "t.npz")
    with pytest.raises(ValueError, match="not an NPZ file"):
        load_trace(tmp_path / "t.npz")


def test_endings_and_absent_files(tmp_path):
    with pytest.raises(ValueError, match=r"end in .csv, .npz, .parquet, got '.xlsx'"):
        load_trace(tmp_path / "t.xlsx")
    with pytest.raises(FileNotFoundError):
        load_trace(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("latencies", "message"),
    [
        ([1.0, 2.0], r"got shape \(2,\)"),
        (np.empty((0, 3)), r"got shape \(0, 3\)"),
        ([[1.0, 2.0], [1.0]], "equal lengths"),
        ([["a", "b"]], "real numbers"),
        ([[True, False]], "real numbers"),
    ],
)
def test_bad_arrays(latencies, message):
    with pytest.raises(ValueError, match=message):
        trace(latencies)


def test_missing_is_late_by_request_and_a_worker_may_never_answer(tmp_path):
    write_csv(tmp_path / "t.csv", [[1, "", 2], [1, "nan", "inf"]])
    loaded = load_trace(tmp_path / "t.csv", missing_is_late=True)
    np.testing.assert_array_equal(
        loaded.answered(1e9), [[True, False, True], [True, False, False]]
    )
    model = at_deadline(replay(loaded), 5.0)
    np.testing.assert_array_equal(model.probabilities(), [0, 1, 0.5])


def test_replay_goes_row_by_row_and_wraps():
    model = replay(trace(LATENCIES))
    state, key = model.init(jax.random.key(0)), jax.random.key(1)
    for t in range(7):
        seconds, state = jax.jit(model.sample)(state, key)
        np.testing.assert_array_equal(seconds, LATENCIES[t % 3])
        assert int(state) == (t + 1) % 3


def test_replay_from_random_rows():
    model = replay(trace(LATENCIES), random_start=True)
    starts = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 300))
    assert np.bincount(starts, minlength=3).min() > 70


def test_device_and_host_agree_on_who_was_late():
    """A deadline at a recorded latency, which float32 cannot hold exactly."""
    recorded = trace(np.random.default_rng(0).uniform(0.1, 1, (50, 20)))
    for deadline in np.sort(recorded.latencies.ravel())[[3, 500, 900]].astype(float):
        model = at_deadline(replay(recorded), deadline)
        state, rows = model.init(jax.random.key(0)), []
        for _ in range(50):
            mask, state = model.sample(state, jax.random.key(0))
            rows.append(np.asarray(mask))
        np.testing.assert_array_equal(rows, recorded.answered(deadline))
        np.testing.assert_allclose(1 - np.mean(rows, 0), model.probabilities())


@pytest.mark.skipif(
    "JGC_TRACES" not in os.environ, reason="JGC_TRACES: recorded traces"
)
def test_recorded_traces_load():
    files = sorted(Path(os.environ["JGC_TRACES"]).glob("*.csv"))
    assert files
    for path in files:
        loaded = load_trace(path)
        assert loaded.num_workers == 256
        assert loaded.workers[-1] == "worker_255"
