"""A plan, its decoder and its waiting rule in one file: what is advised, ready to run.

The file is a plan file (`load_plan` reads it) that also says how to decode and how long
to wait.
"""

from pathlib import Path

import numpy as np

from jgc import decoders
from jgc.codes import Split
from jgc.design import rules
from jgc.design._plan_file import read_plan, save_plan
from jgc.design._runnable import Runnable, Runs

_DECODERS = {
    "fixed": decoders.fixed,
    "least squares": decoders.least_squares,
    "representative": decoders.representative,
    "normalised": decoders.normalised,
    "rescaled": decoders.rescaled,
    "graph": decoders.graph,
}


def save_option(option: Runs, path: str | Path) -> None:
    """Writes what training needs of an option as NPZ; `load_option` gives it back.

    Args:
        option: of `jgc.advise`, or a `Runnable` of your own: a decoder that is a member
            of `jgc.decoders` without data of its own, and a rule of `jgc.design.rules`
            made for its plan; not `error_below`, whose error is a function.
        path: whose folder exists; a file there is replaced.

    Raises:
        ValueError: a decoder or a rule that cannot be written down.
        OSError: `path` cannot be written.

    Example:
        >>> import tempfile
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> option = Runnable(plan, jgc.decoders.fixed, rules.first(plan, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_option(option, f"{folder}/option.npz")
        ...     load_option(f"{folder}/option.npz").rule.name
        'for the first 1'
    """
    names = [name for name, known in _DECODERS.items() if known is option.decoder]
    if not names:
        raise ValueError(
            f"decoder must be one of jgc.decoders' {', '.join(_DECODERS)}, got "
            f"{option.decoder!r}"
        )
    about = {"decoder": names[0], "rule": rules.to_json(option.rule)}
    if option.parts is not None:
        about["worker"] = option.parts.worker.tolist()
        about["share"] = option.parts.share.tolist()
    save_plan(option.plan, path, **about)


def holds_option(path: str | Path) -> bool:
    """Whether a file of a plan also has a decoder and a rule.

    Raises:
        ValueError: it holds no plan.
        OSError: it cannot be read.

    Example:
        >>> import tempfile
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> option = Runnable(plan, jgc.decoders.fixed, rules.first(plan, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_option(option, f"{folder}/option.npz")
        ...     holds_option(f"{folder}/option.npz")
        True
    """
    return {"decoder", "rule"} <= read_plan(path)[1].keys()


def load_option(path: str | Path) -> Runnable:
    """Reads what `save_option` wrote.

    Raises:
        ValueError: the file holds something else, or a plan alone; names it.
        OSError: it cannot be read.

    Example:
        >>> import tempfile
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> option = Runnable(plan, jgc.decoders.fixed, rules.first(plan, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_option(option, f"{folder}/option.npz")
        ...     load_option(f"{folder}/option.npz").decoder.name
        'fixed'
    """
    plan, about = read_plan(path)
    if not {"decoder", "rule"} <= about.keys():
        raise ValueError(
            f"{path} holds a plan without a decoder and a rule; read it with load_plan"
        )
    try:
        decoder = _DECODERS[about["decoder"]]
        rule = rules.from_json(plan, about["rule"])
        parts = None
        if "worker" in about:
            worker, share = np.asarray(about["worker"]), np.asarray(about["share"])
            if not worker.shape == share.shape == (plan.num_workers,):
                raise ValueError("worker and share must be of each message")
            parts = Split(plan, worker, share)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold a sound option: {error!r}") from error
    return Runnable(plan, decoder, rule, parts)
