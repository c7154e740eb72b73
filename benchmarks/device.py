"""What an accelerator does with all of it, in one go of at most nine minutes.

    scripts/device-figures --out=runs/device    # python -m benchmarks.device
    scripts/device-figures --tiny               # seconds on a CPU: that it works

A training step of SSDLite and of RetinaNet in float32 and bfloat16, plain and coded in
turns; best unbiased decoding at k = 1,000; Monte Carlo of the residual error against
drawing its masks alone. What no time was left for is listed. `device.json` and
its tables, `device.md`, are written after each measurement, so that one that is killed
leaves the others. XLA tries kernels for each convolution before a step runs first,
which takes minutes for a detector; `XLA_FLAGS=--xla_gpu_autotune_level=0` takes the
first that will do, and steps may then be slower. `JAX_COMPILATION_CACHE_DIR` keeps what
was compiled for the next try.

A step's share of the peak is of the operations that XLA counts in the plain step before
optimising it, against the peak that the maker states (dense; in float32 that of TF32,
in which XLA multiplies there) and against a large matrix product measured here.
"""

import argparse
import datetime
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from benchmarks import best_unbiased, coded_step, residual_error
from benchmarks.machine import describe_machine
from benchmarks.timing import median_seconds
from jgc import codes, residual
from jgc.detection import Examples, retinanet, ssdlite

DTYPES = ("float32", "bfloat16")
NUM_CLASSES = 91
# TFLOP/s that makers state for devices whose kind begins so: TF32 and bfloat16, dense.
PEAKS = {
    "NVIDIA H100": (494.7, 989.4),
    "NVIDIA H200": (494.7, 989.4),
    "NVIDIA A100": (156.0, 312.0),
}


class Sheet:
    """Measurements as they come, and the time that is left for more."""

    def __init__(self, folder: Path, seconds: float, stated: Sequence[float]) -> None:
        self.folder = folder
        self.start = time.monotonic()
        self.seconds = seconds
        self.longest = 0.0
        self.results: dict[str, Any] = {
            "machine": describe_machine(),
            "date": datetime.date.today().isoformat(),
            "stated_tflops": dict(zip(DTYPES, stated, strict=False)),
            "left_out": [],
        }

    def measure(self, section: str, name: str, call: Callable[[], dict]) -> None:
        """Adds a row, unless it could take longer than there is time."""
        begun = time.monotonic()
        if begun - self.start + self.longest > self.seconds:
            self.results["left_out"].append(f"{section}: {name}")
        else:
            row = {"name": name, **call()}
            took = time.monotonic() - begun
            self.longest = max(self.longest, took)
            self.results.setdefault(section, []).append(row)
            print(f"{section}, {name}: {took:.0f} s", flush=True)
        self.results["seconds"] = time.monotonic() - self.start
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.results, indent=2) + "\n"
        (self.folder / "device.json").write_text(text)
        (self.folder / "device.md").write_text(tables(self.results))


class _OneConvolution(NamedTuple):
    """The least that has what is asked of a detector; compiles in a second."""

    dtype: str
    image_shape: tuple[int, int] = (32, 32)

    def init(self, key: Array) -> dict[str, Array]:
        return {"kernel": jax.random.normal(key, (3, 3, 3, 8))}

    def loss(self, params: dict[str, Array], examples: Examples) -> Array:
        outputs = jax.lax.conv_general_dilated(
            examples.image.astype(self.dtype) / 255,
            params["kernel"].astype(self.dtype),
            (8, 8),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return (outputs.astype(jnp.float32) ** 2).mean((1, 2, 3))


def detectors(*, tiny: bool) -> dict[str, tuple[Callable[[str], Any], int]]:
    """By name a detector of a dtype, and the images of a step, a multiple of ten."""
    if tiny:
        return {"one convolution, 32 px": (_OneConvolution, 10)}
    return {
        "SSDLite, 320 px": (
            lambda dtype: ssdlite(
                num_classes=NUM_CLASSES, image_size=320, dtype=jnp.dtype(dtype)
            ),
            160,
        ),
        "RetinaNet, ResNet-50, 640 px": (
            lambda dtype: retinanet(
                num_classes=NUM_CLASSES, image_size=640, dtype=jnp.dtype(dtype)
            ),
            20,
        ),
    }


def step(make: Callable[[str], Any], dtype: str, images: int, repeats: int) -> dict:
    """Images a second of the plain step, its TFLOP/s, and coded over plain."""
    detector = make(dtype)
    examples = coded_step.random_examples(images, detector.image_shape[0])
    steps = coded_step.measure(detector, examples, repeats=repeats)
    return {
        "dtype": dtype,
        "images": images,
        "images_per_second": images / steps.plain,
        "tflops": steps.operations / steps.plain / 1e12,
        "coded_over_plain": steps.coded / steps.plain,
    }


def product(dtype: str, side: int, repeats: int) -> dict:
    """TFLOP/s of a square matrix product."""
    x = jax.random.normal(jax.random.key(0), (side, side), jnp.dtype(dtype))
    multiply = jax.jit(jnp.matmul)
    found = median_seconds({"product": lambda: multiply(x, x)}, repeats=repeats)
    return {"dtype": dtype, "side": side, "tflops": 2e-12 * side**3 / found["product"]}


def monte_carlo(k: int, similarity: float, draws: int, repeats: int) -> dict:
    """Trials a second, and what part of the time drawing the masks alone takes."""
    p = np.random.default_rng(k).uniform(0.1, 0.9, k)
    plan = codes.interval(p, num_partitions=k)
    trials = max(draws // k, 1 << 14)
    calls = {
        "all": lambda: (
            residual.monte_carlo(
                residual_error.KEY, plan, num_trials=trials, gradients=similarity
            ).mean
        ),
        "masks": residual_error.masks_alone(p, trials),
    }
    found = median_seconds(calls, repeats=repeats)
    return {
        "num_workers": k,
        "similarity": similarity,
        "trials": trials,
        "trials_per_second": trials / found["all"],
        "draws_per_second": trials * k / found["all"],
        "masks_share": found["masks"] / found["all"],
    }


def tables(results: dict[str, Any]) -> str:
    """The results in Markdown."""
    lines = [results["machine"], f"{results['date']}, {results['seconds']:.0f} s", ""]
    stated = results["stated_tflops"]
    measured = {row["dtype"]: row["tflops"] for row in results.get("product", [])}
    columns = (
        "images",
        "images/s",
        "TFLOP/s",
        "of stated",
        "of a product",
        "coded/plain",
    )
    lines += _head("step", "dtype", *columns)
    for row in results.get("step", []):
        peaks = (stated.get(row["dtype"]), measured.get(row["dtype"]))
        shares = [f"{row['tflops'] / peak:.1%}" if peak else "–" for peak in peaks]
        lines += _line(
            row["name"],
            row["dtype"],
            row["images"],
            f"{row['images_per_second']:.1f}",
            f"{row['tflops']:.3g}",
            *shares,
            f"{row['coded_over_plain']:.3f}",
        )
    for dtype, rate in measured.items():
        lines += ["", f"A matrix product in {dtype} has {rate:.3g} TFLOP/s here."]
        if dtype in stated:
            lines[-1] += f" Stated are {stated[dtype]:g}."
    lines += ["", *_head("Monte Carlo", "trials", "trials/s", "draws/s", "masks alone")]
    for row in results.get("monte carlo", []):
        lines += _line(
            row["name"],
            row["trials"],
            f"{row['trials_per_second']:.3g}",
            f"{row['draws_per_second']:.3g}",
            f"{row['masks_share']:.0%} of the time",
        )
    columns = (
        "design, s",
        "one mask, ms",
        "one of many, µs",
        "error",
        "of fixed weights",
    )
    lines += ["", *_head("best unbiased", *columns)]
    for row in results.get("best unbiased", []):
        lines += _line(
            row["name"],
            f"{row['design_seconds']:.2f}",
            f"{1e3 * row['decode_seconds']:.3f}",
            f"{1e6 * row['together_seconds']:.2f}",
            f"{row['error']:.3e}",
            f"{row['fixed_error']:.3e}",
        )
    if results["left_out"]:
        lines += ["", f"No time was left for: {'; '.join(results['left_out'])}."]
    return "\n".join(lines) + "\n"


def _head(*columns: str) -> list[str]:
    return [*_line(*columns), *_line(*["---"] * len(columns))]


def _line(*cells: object) -> list[str]:
    return [f"| {' | '.join(map(str, cells))} |"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/device"))
    parser.add_argument("--tiny", action="store_true", help="that it works, on a CPU")
    parser.add_argument("--minutes", type=float, default=8.0, help="at most about so")
    parser.add_argument(
        "--stated_tflops",
        type=float,
        nargs=2,
        metavar=DTYPES,
        help="the peaks of a device that is not known here",
    )
    options = parser.parse_args(arguments)
    tiny = options.tiny
    repeats = 2 if tiny else 15
    kind = jax.devices()[0].device_kind
    known = [peaks for name, peaks in PEAKS.items() if kind.startswith(name)]
    stated = options.stated_tflops or (known[0] if known else ())
    sheet = Sheet(options.out, 60 * options.minutes, stated)

    for dtype in DTYPES:
        sheet.measure(
            "product", dtype, lambda d=dtype: product(d, 128 if tiny else 8192, repeats)
        )
    for dtype in DTYPES[1:] if tiny else reversed(DTYPES):
        for name, (make, images) in detectors(tiny=tiny).items():
            sheet.measure(
                "step",
                name,
                lambda m=make, d=dtype, i=images: step(m, d, i, repeats),
            )
    for k in (10,) if tiny else (1000,):
        sheet.measure(
            "best unbiased",
            f"interval, k = {k}",
            lambda k=k: best_unbiased.measure_large(
                k, entries=1 << (8 if tiny else 20)
            )._asdict(),
        )
    for k in (20,) if tiny else (10, 100, 1000):
        for rho in (1.0,) if tiny else (1.0, 0.3):
            sheet.measure(
                "monte carlo",
                f"k = {k}, ρ = {rho:g}",
                lambda k=k, rho=rho: monte_carlo(
                    k, rho, 1 << (18 if tiny else 30), 2 if tiny else 5
                ),
            )
    print(tables(sheet.results))


if __name__ == "__main__":
    main()
