import subprocess
import sys
import time

# A run of some seconds whose checkpoints come early.
LOGISTIC = (
    "--config=configs/train/two_track_logistic.py",
    "--config.schemes=('interval',)",
    "--config.deadlines=(1.5,)",
    "--config.optimizers=('sgd',)",
    "--config.num_seeds=1",
    "--config.num_iterations=2000",
    "--config.checkpoint_every=100",
    "--config.logistic.num_train=100",
    "--config.logistic.num_validation=50",
)


def run_experiment(name, *arguments):
    """`python -m experiments.NAME …`, to its end, with its output as text."""
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def start_experiment(name, *arguments, **options):
    """`python -m experiments.NAME …`, while it runs."""
    return subprocess.Popen(
        [sys.executable, "-m", f"experiments.{name}", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process, *, code, seconds=120):
    """What a process wrote to standard error before it ended with `code`."""
    try:
        _, errors = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == code, errors
    return errors


def wait_for_another(folder, pattern, process):
    """Until `folder` has one more that matches, while the process runs."""
    before = set(folder.glob(pattern))
    while set(folder.glob(pattern)) <= before and process.poll() is None:
        time.sleep(0.005)
    assert process.poll() is None, process.stderr.read()
