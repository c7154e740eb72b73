from experiments.common.metrics import MetricsWriter
from jgc._files import read_json_lines


def write(directory, iterations, resume_from=0):
    with MetricsWriter(directory, resume_from=resume_from) as metrics:
        for iteration in iterations:
            metrics.write(iteration, loss=iteration / 2)
        metrics.flush()


def test_resumed_run_logs_every_iteration_once(tmp_path):
    write(tmp_path, range(1, 8))
    write(tmp_path, range(5, 11), resume_from=4)
    rows = read_json_lines(tmp_path / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == list(range(1, 11))
    assert all(row["loss"] == row["iteration"] / 2 for row in rows)
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) >= 1


def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path):
    write(tmp_path, range(1, 4))
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"iteration": 4, "lo')
    assert [row["iteration"] for row in read_json_lines(path)] == [1, 2, 3]
    write(tmp_path, range(4, 6), resume_from=3)
    assert [row["iteration"] for row in read_json_lines(path)] == [1, 2, 3, 4, 5]
