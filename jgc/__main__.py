"""What coding would save on your workers, from how long each took in each round."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the status that the process ends with."""
    options = _parser().parse_args(arguments)
    # Training and planning are imported once it is known that the command is sound.
    from jgc.design._report import advise_from_file

    try:
        advise_from_file(options, Path(options.workdir))
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jgc", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    advise = commands.add_parser(
        "advise",
        help="what would coding save me?",
        description="Compares codes, decoders and waiting rules on recorded latencies: "
        "which gets training to its loss soonest, and by how much against waiting for "
        "all. Leaves the answer in a file that training loads, numbers and pictures.",
    )
    advise.add_argument(
        "trace",
        help="recorded seconds: CSV (a column a worker, or the columns worker, round, "
        "seconds), NPZ or Parquet",
    )
    load = advise.add_argument_group(
        "how seconds grow with the data that a worker has (needed: a trace of one load "
        "does not tell)"
    )
    one = load.add_mutually_exclusive_group(required=True)
    one.add_argument(
        "--work-fraction",
        type=float,
        metavar="W",
        help="part of the recorded seconds that is work, at an even share of the data: "
        "a worker with twice the data takes 1 + W times as long",
    )
    one.add_argument(
        "--slope", type=float, metavar="S", help="seconds for the whole data set"
    )
    load.add_argument(
        "--recorded-load",
        type=float,
        metavar="X",
        help="with --slope: the share of the data that workers had in the trace",
    )
    advise.add_argument(
        "--capacity", type=float, help="largest share of the data on one worker"
    )
    advise.add_argument(
        "--num-partitions", type=int, help="if the data is cut into partitions already"
    )
    advise.add_argument(
        "--in-parts",
        action="store_true",
        help="workers can send each partition's message when it is done",
    )
    advise.add_argument(
        "--missing-is-late",
        action="store_true",
        help="read empty cells as answers that never came",
    )
    advise.add_argument(
        "--workdir", default="runs/advice", help="where the files go (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
