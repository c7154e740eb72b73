"""Which runs an experiment has: scheme, deadline, optimizer, rate, codec and seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jaxtyping import Array

from experiments.common.conditions import has_deadlines
from experiments.common.schemes import PLAN_FILE, find_scheme
from experiments.train.codecs import FULL
from experiments.train.optimizers import DEFAULT, OPTIMIZERS

ADD_RUNS = (
    "deadlines",
    "noise_ratios",
    "num_seeds",
    "optimizers",
    "rate_factors",
    "schemes",
)
"""Settings of which more only adds runs: an experiment can be given them later."""


@dataclass(frozen=True)
class RunSpec:
    """What sets one run of an experiment apart from the others.

    Attributes:
        scheme: one of `experiments.common.schemes`.
        deadline: τ_th; None if the scheme waits for every worker, or if p is given.
        seed: of everything random.
        optimizer: one of `experiments.train.optimizers`.
        noise_ratio: Λ of an optimizer of two tracks, None for the others.
        rate_factor: what the optimizer's learning rate is multiplied by.
        codec: of the messages, one of `experiments.train.codecs`.
    """

    scheme: str
    deadline: float | None
    seed: int
    optimizer: str = DEFAULT
    noise_ratio: float | None = None
    rate_factor: float = 1.0
    codec: str = FULL

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        deadline = "" if self.deadline is None else f"-deadline{self.deadline:g}"
        optimizer = "" if self.optimizer == DEFAULT else f"-{self.optimizer}"
        ratio = "" if self.noise_ratio is None else f"-ratio{self.noise_ratio:g}"
        factor = "" if self.rate_factor == 1 else f"-rate{self.rate_factor:g}"
        codec = "" if self.codec == FULL else f"-{self.codec}"
        setting = f"{deadline}{optimizer}{ratio}{factor}{codec}"
        return f"{self.scheme}{setting}-seed{self.seed}"

    @property
    def title(self) -> str:
        """The scheme and what it is up against, for pictures."""
        deadline = "" if self.deadline is None else f", τ = {self.deadline:g}"
        optimizer = "" if self.optimizer == DEFAULT else f", {self.optimizer_title}"
        return find_scheme(self.scheme).title + deadline + optimizer + self.codec_title

    @property
    def codec_title(self) -> str:
        """Of messages that are not sent as they are, behind the scheme's."""
        return "" if self.codec == FULL else f", {self.codec.replace('_', ' ')}"

    @property
    def optimizer_title(self) -> str:
        """The optimizer and its Λ, for pictures."""
        ratio = "" if self.noise_ratio is None else f", Λ = {self.noise_ratio:g}"
        return OPTIMIZERS[self.optimizer].title + ratio


def list_runs(config: Any) -> list[RunSpec]:
    """Every scheme, deadline, optimizer, rate and codec; all of one seed first.

    An experiment that is cut short has thus compared everything on its first seeds.
    Where all workers are waited for, two tracks are one: an optimizer of two tracks has
    no run of its own then, its `single_track` has.
    """
    return [
        RunSpec(scheme, deadline, seed, optimizer, noise_ratio, rate_factor, codec)
        for seed in range(config.num_seeds)
        for rate_factor in config.rate_factors
        for optimizer in config.optimizers
        for noise_ratio in _noise_ratios(optimizer, config)
        for codec in config.codecs
        for scheme in config.schemes
        if noise_ratio is None or not find_scheme(scheme).waits_for_all
        for deadline in (
            config.deadlines
            if has_deadlines(config)
            and scheme != PLAN_FILE  # has a rule of its own
            and not find_scheme(scheme).waits_for_all
            else [None]
        )
    ]


def _noise_ratios(optimizer: str, config: Any) -> Sequence[float | None]:
    if OPTIMIZERS[optimizer].single_track is None:
        return [None]
    return config.noise_ratios


def run_directory(workdir: Path, run: RunSpec) -> Path:
    """Where the run keeps its metrics, checkpoints and result."""
    return workdir / "runs" / run.name


class SeedKeys(NamedTuple):
    """Independent keys of a seed; schemes share them, masks and batches with them."""

    params: Array
    psi: Array
    code: Array
    run: Array

    @property
    def belief(self) -> Array:
        """Of what is wrong with p as it is believed."""
        return jax.random.fold_in(self.psi, 1)


def keys_of(seed: int) -> SeedKeys:
    """The keys that everything random in a run of this seed comes from."""
    return SeedKeys(*jax.random.split(jax.random.key(seed), 4))
