"""The host's side of Monte Carlo: chunks of blocks until the run is precise enough."""

import math
import time
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float

from jgc.residual.blocks import BLOCKS_PER_CALL, Sampling, Source, block_moments
from jgc.residual.moments import Moments
from jgc.residual.progress import Progress
from jgc.residual.squared_error import ErrorEvaluator

# Calls grow until one takes this long: often enough to look at the precision and the
# clock, rare enough that their overhead does not count.
_CALL_SECONDS = 0.25

# A standard error of fewer samples is not to be trusted to stop a run.
_LEAST_SAMPLES = 1024


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
        at_most = BLOCKS_PER_CALL * devices
        block_trials = sampling.chains * sampling.steps
        grows = chunk_size is None
        # The precision is looked at block by block, whatever the chunk.
        size = 1 if chunk_size is None else max(1, chunk_size // block_trials)
        variables = sampling.num_variables
        moments = Moments.empty(self.evaluators.weights.shape[0], variables)
        done = 0
        total = self.num_samples * sampling.steps
        with Progress(total, show=progress, target=self.target) as bar:
            while done < num_blocks:
                size = min(size, at_most)
                blocks = min(size, num_blocks - done)
                started = time.monotonic()
                chunk = self._call(done, blocks, devices)
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
                if grows and seconds < _CALL_SECONDS / 2:
                    size *= 2
        return moments

    def _call(
        self, done: int, blocks: int, devices: int
    ) -> Float[np.ndarray, "blocks plans moments"]:
        # Neighbouring blocks on one device, so that the result is in order.
        share = -(-blocks // devices)
        first = np.minimum(np.arange(devices) * share, blocks)
        count = np.minimum(share, blocks - first)
        out = block_moments(
            done + first,
            count,
            np.int64(self.num_samples),
            self.source,
            self.evaluators,
            self.tables,
            sampling=self.sampling,
        )
        return np.concatenate(
            [device[:n] for device, n in zip(np.asarray(out), count, strict=True)]
        )

    def _is_precise(self, moments: Moments) -> bool:
        return moments.count >= _LEAST_SAMPLES and self._relative(moments) <= (
            self.target or 0.0
        )

    def _relative(self, moments: Moments) -> float:
        mean, standard_error = moments.estimate(self.control_means)
        relative = [
            0.0 if error == 0 else error / abs(value) if value else math.inf
            for value, error in zip(mean, standard_error, strict=True)
        ]
        return float(max(relative))
