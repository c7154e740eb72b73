"""The host's side of Monte Carlo: chunks of blocks until the run is precise enough."""

import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from jgc.residual._sampling.blocks import (
    BLOCKS_PER_CALL,
    Case,
    Sampling,
    Source,
    block_moments,
    block_variables,
)
from jgc.residual._sampling.estimates import LEAST_SAMPLES, Estimate, Known, estimate
from jgc.residual._sampling.moments import Moments
from jgc.residual._sampling.progress import Progress

# Calls grow until one takes this long: often enough to look at the precision and the
# clock, rare enough that their overhead does not count.
_CALL_SECONDS = 0.25

# Beyond this, threads would wait for memory and each holds a block's arrays.
_MOST_THREADS = 16


@dataclass(frozen=True)
class Run:
    """A run of Monte Carlo.

    Attributes:
        sampling: what is compiled.
        source: of the masks.
        cases: the plans.
        num_samples: chains, or trials where each is its own sample.
        known: what is known of the plans beside the sample.
        target: relative standard error that ends the run, or None.
    """

    sampling: Sampling
    source: Source
    cases: Case
    num_samples: int
    known: Known
    target: float | None

    def finish(self, *, chunk_size: int | None, progress: bool | None) -> Estimate:
        """From all samples, or from as many blocks as the target needs."""
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
        moments = Moments.empty(*self.cases.combination.offset.shape)
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
                        Moments(samples, block[..., 0], block[..., 1:])
                    )
                    if self.target is not None and self._is_precise(moments):
                        return self._estimate(moments)
                relative = self._estimate(moments).relative()
                bar.update(moments.count * sampling.steps, relative)
                if chunk_size is None and seconds < _CALL_SECONDS / 2:
                    size *= 4 if seconds < _CALL_SECONDS / 8 else 2
        return self._estimate(moments)

    def _chunk(
        self,
        first: int,
        blocks: int,
        devices: int,
        streams: int,
        pool: ThreadPoolExecutor,
    ) -> Float[np.ndarray, "blocks plans samples 4"]:
        """Moments of consecutive blocks, in order, from calls side by side."""
        bounds = first + np.arange(streams + 1) * blocks // streams
        parts = pool.map(
            lambda ends: self._call(ends[0], ends[1], devices),
            [(a, b) for a, b in itertools.pairwise(bounds) if b > a],
        )
        return np.concatenate(list(parts))

    def _call(
        self, first: int, end: int, devices: int
    ) -> Float[np.ndarray, "blocks plans samples 4"]:
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
                self.cases,
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
        decodes = not self.sampling.is_fixed and self.cases.table is None
        return not decodes and self.sampling.model is None

    def _is_precise(self, moments: Moments) -> bool:
        if moments.count < LEAST_SAMPLES:
            return False
        found = self._estimate(moments)
        return found.is_enough and found.relative() <= (self.target or 0.0)

    def _estimate(self, moments: Moments) -> Estimate:
        return estimate(moments, self.known, steps=self.sampling.steps)


def pilot(
    source: Source, cases: Case, sampling: Sampling
) -> Float[np.ndarray, "plans variables trials"]:
    """Variables of a few blocks, to design the combination by."""
    blocks = -(-LEAST_SAMPLES // sampling.chains)
    with jax.enable_x64(True):
        parts = [
            block_variables(np.int64(i), source, cases, sampling=sampling)
            for i in range(blocks)
        ]
    return np.concatenate([np.asarray(part, np.float64) for part in parts], axis=-1)


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
