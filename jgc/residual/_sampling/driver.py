"""The host's side of Monte Carlo: chunks of blocks until the run is precise enough."""

import itertools
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from jgc.residual._sampling.blocks import (
    BLOCKS_PER_CALL,
    Sampling,
    Source,
    block_moments,
)
from jgc.residual._sampling.moments import Moments
from jgc.residual._sampling.progress import Progress
from jgc.residual._sampling.squared_error import ErrorEvaluator

# Calls grow until one takes this long: often enough to look at the precision and the
# clock, rare enough that their overhead does not count.
_CALL_SECONDS = 0.25

# A standard error of fewer samples is not to be trusted to stop a run.
_LEAST_SAMPLES = 256

# Beyond this, threads would wait for memory and each holds a block's arrays.
_MOST_THREADS = 16


@dataclass(frozen=True)
class Run:
    """A run of Monte Carlo.

    Attributes:
        sampling: what is compiled.
        source: of the masks.
        evaluators: of the errors, stacked over plans.
        tables: the errors of all masks, or None to decode each trial.
        num_samples: chains, or trials where each is its own sample.
        control_means: of each plan's control variates, or None.
        target: relative standard error that ends the run, or None.
    """

    sampling: Sampling
    source: Source
    evaluators: ErrorEvaluator
    tables: Float[Array, "plans variables masks"] | None
    num_samples: int
    control_means: Float[np.ndarray, "plans controls"] | None
    target: float | None

    def finish(self, *, chunk_size: int | None, progress: bool | None) -> Moments:
        """Moments of all samples, or of as many blocks as the target needs."""
        sampling = self.sampling
        num_blocks = -(-self.num_samples // sampling.chains)
        devices = jax.local_device_count()
        streams = _host_threads(devices) if self._is_pure() else 1
        at_most = BLOCKS_PER_CALL * devices * streams
        # The precision is looked at block by block, whatever the chunk.
        if chunk_size is None:
            size = devices * streams
        else:
            size = max(1, chunk_size // (sampling.chains * sampling.steps))
        variables = sampling.num_variables
        moments = Moments.empty(self.evaluators.plan.weights.shape[0], variables)
        done, total = 0, self.num_samples * sampling.steps
        with (
            ThreadPoolExecutor(streams) as pool,
            Progress(total, show=progress, target=self.target) as bar,
        ):
            while done < num_blocks:
                size = min(size, at_most)
                blocks = min(size, num_blocks - done)
                started = time.monotonic()
                chunk = self._chunk(done, blocks, devices, streams, pool)
                seconds = time.monotonic() - started
                for block in chunk:
                    samples = min(
                        sampling.chains, self.num_samples - done * sampling.chains
                    )
                    done += 1
                    moments = moments.merged(
                        Moments(
                            samples,
                            block[:, :variables],
                            block[:, variables:].reshape(-1, variables, variables),
                        )
                    )
                    if self.target is not None and self._is_precise(moments):
                        return moments
                bar.update(moments.count * sampling.steps, self._relative(moments))
                if chunk_size is None and seconds < _CALL_SECONDS / 2:
                    size *= 4 if seconds < _CALL_SECONDS / 8 else 2
        return moments

    def _chunk(
        self,
        first: int,
        blocks: int,
        devices: int,
        streams: int,
        pool: ThreadPoolExecutor,
    ) -> Float[np.ndarray, "blocks plans moments"]:
        """Moments of consecutive blocks, in order, from calls side by side."""
        bounds = first + np.arange(streams + 1) * blocks // streams
        parts = pool.map(
            lambda ends: self._call(ends[0], ends[1], devices),
            [(a, b) for a, b in itertools.pairwise(bounds) if b > a],
        )
        return np.concatenate(list(parts))

    def _call(
        self, first: int, end: int, devices: int
    ) -> Float[np.ndarray, "blocks plans moments"]:
        # Neighbouring blocks on one device, so that the result is in order.
        bounds = first + np.arange(devices + 1) * (end - first) // devices
        counts = np.diff(bounds)
        # The setting belongs to a thread.
        with jax.enable_x64(True):
            out = block_moments(
                bounds[:-1],
                counts,
                np.int64(self.num_samples),
                self.source,
                self.evaluators,
                self.tables,
                sampling=self.sampling,
            )
        return np.concatenate(
            [device[:n] for device, n in zip(np.asarray(out), counts, strict=True)]
        )

    def _is_pure(self) -> bool:
        """Whether a call is made of XLA's own operations alone.

        LAPACK calls, which a decoder or a model may contain, wait for XLA's threads;
        calls side by side can wait for one another for ever (jax 0.10, CPU).
        """
        decodes = not self.sampling.is_fixed and self.tables is None
        return not decodes and self.sampling.model is None

    def _is_precise(self, moments: Moments) -> bool:
        if moments.count < _LEAST_SAMPLES:
            return False
        # Equal errors of random masks are no precision, but rare masks not met yet.
        variance = moments.scatter[:, 0, 0] / moments.count
        is_equal = variance <= (1e-12 * moments.mean[:, 0]) ** 2
        if (is_equal & self._is_random()).any():
            return False
        return self._relative(moments) <= (self.target or 0.0)

    def _is_random(self) -> Bool[np.ndarray, " plans"]:
        """Whether a plan's masks differ: some p is neither 0 nor 1."""
        limits = self.source.thresholds
        varies = (np.asarray(limits.at) > 0) | (np.asarray(limits.fraction) > 0)
        return np.asarray(varies.any(axis=1) | (self.sampling.model is not None))

    def _relative(self, moments: Moments) -> float:
        mean, standard_error = moments.estimate(self.control_means)
        relative = [
            0.0 if error == 0 else error / abs(value) if value else math.inf
            for value, error in zip(mean, standard_error, strict=True)
        ]
        return float(max(relative))


def _host_threads(devices: int) -> int:
    """Calls to keep in flight: one for each core that a CPU device can use.

    A block is a chain of small operations; XLA spreads each over the cores, which
    leaves them waiting for one another. Blocks side by side do not wait. An
    accelerator is filled by one.
    """
    if jax.default_backend() != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(1, min(cores // devices, _MOST_THREADS))
