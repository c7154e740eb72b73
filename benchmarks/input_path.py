"""Images a second, and memory, of the way from a folder to batches.

    python -m benchmarks.coco_like /tmp/coco-like --images 20000
    python -m benchmarks.input_path /tmp/coco-like

Prepares the folder (once; give a new --cache to measure it), then reads mini-batches of
every partition ahead of their use, as a training path does. Nothing trains meanwhile:
what a machine's cores decode at most. An epoch is 118,287 images, train2017.
"""

import argparse
import resource
import time

import jax

from benchmarks.machine import describe_machine
from jgc.detection.data import (
    DetectionSource,
    assign_partitions,
    image_examples,
    open_source,
)
from jgc.training import open_reader, partitioned

EPOCH = 118_287


def gigabytes() -> float:
    """The most memory that this process has had resident, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def rate(
    source: DetectionSource,
    *,
    size: int,
    threads: int,
    partitions: int,
    batch: int,
    seconds: float,
) -> tuple[float, float]:
    """Images a second, and processor seconds an image."""
    examples = image_examples(source, size=size)
    data = partitioned(
        examples,
        assign_partitions(len(examples), num_partitions=partitions),
        num_partitions=partitions,
        batch_size=batch,
    )
    with open_reader(data, jax.random.key(0), num_threads=threads) as reader:
        for iteration in range(2):
            reader.read(iteration)
        start, busy, iteration = time.perf_counter(), time.process_time(), 2
        while time.perf_counter() - start < seconds:
            reader.read(iteration)
            iteration += 1
        images = (iteration - 2) * partitions * batch
        elapsed = time.perf_counter() - start
        return images / elapsed, (time.process_time() - busy) / images


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("--cache", help="for prepared data; default: the user's")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 320])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--partitions", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8, help="of each partition")
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()

    print(describe_machine())
    print(f"imported: {gigabytes():.2f} GiB")
    start = time.perf_counter()
    source = open_source(options.directory, split="train", cache_dir=options.cache)
    elapsed = time.perf_counter() - start
    print(
        f"opened {len(source)} images in {elapsed:.1f} s "
        f"({len(source) / elapsed:.0f} images/s), at most {gigabytes():.2f} GiB"
    )
    for size in options.sizes:
        for threads in options.threads:
            speed, cost = rate(
                source,
                size=size,
                threads=threads,
                partitions=options.partitions,
                batch=options.batch,
                seconds=options.seconds,
            )
            print(
                f"{size} px, {threads} threads: {speed:.0f} images/s, "
                f"{1e3 * cost:.2f} ms of a core each, an epoch {EPOCH / speed:.0f} s; "
                f"at most {gigabytes():.2f} GiB"
            )


if __name__ == "__main__":
    main()
