import subprocess
import sys


def run_experiment(name, *arguments):
    """`python -m experiments.NAME …`, to its end, with its output as text."""
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
