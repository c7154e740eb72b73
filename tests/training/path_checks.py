"""Checks that need several devices, run by test_spmd.py in processes of their own.

python -m tests.training.path_checks CHECK… [--process ID ADDRESS]
"""

import sys
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh

import jgc
from experiments.common.schemes import SCHEMES
from jgc import optim
from jgc.training import Job, arrays, compute_in, partitioned, simulated, spmd
from tests.training import problems
from tests.training.models import MODELS, Model, logistic

K = N = 10
P = np.exp(-np.linspace(0.1, 2, K) / 2)


def answered(t):
    return np.random.default_rng(t).random(K) >= P


def design(name):
    return SCHEMES[name].design(P, N, jax.random.key(0))


def whole(tree):
    """On the host, whatever the devices."""

    def of_leaf(leaf):
        # Of several processes' arrays each has its own part, here the whole.
        return np.asarray(
            leaf if leaf.is_fully_addressable else leaf.addressable_data(0)
        )

    return jax.tree.map(of_leaf, tree._replace(key=()))


def train(path, job, model, steps=3, meanwhile=lambda: None):
    """Where a run ends and what it reports; `meanwhile` comes before its first step."""
    reports = []
    with path(job) as run:
        meanwhile()
        state = run.init(jax.random.key(0), model.params, model.model_state)
        for t in range(steps):
            state, report = run.step(state, answered(t))
            reports.append(report)
    return whole(state), reports


def assert_same(model, job, *paths, steps=3, name=""):
    """All paths end where the first does, and report what it reports."""
    expected, *others = [train(path, job, model, steps) for path in paths]
    for found in others:
        assert_alike(model, found, expected, name)


def assert_alike(model, found, expected, name=""):
    (state, reports), (expected_state, expected_reports) = found, expected
    chex.assert_trees_all_close(
        state,
        expected_state,
        rtol=model.tolerance,
        atol=model.tolerance,
        custom_message=name,
    )
    for report, first in zip(reports, expected_reports, strict=True):
        np.testing.assert_array_equal(report.answered, first.answered)
        for one, other in (
            (report.partition_losses, first.partition_losses),
            (report.loss, first.loss),
        ):
            np.testing.assert_allclose(one, other, rtol=10 * model.tolerance)
        np.testing.assert_allclose(
            report.similarity, first.similarity, rtol=10 * model.tolerance
        )
        assert report.metrics.keys() == first.metrics.keys()
        for metric, value in first.metrics.items():
            np.testing.assert_allclose(report.metrics[metric], value, rtol=1e-3)


def schemes():
    """Every code and decoder."""
    model, optimizer = logistic(N), optax.sgd(0.5)
    paths = [make(model.loss, optimizer) for make in (simulated, spmd)]
    for name, scheme in SCHEMES.items():
        plan = design(name)
        job = Job(plan=plan, data=model.data(N), decoder=scheme.decoder)
        assert_same(model, job, *paths, name=name)


def of_model(name):
    """A model, on all examples and on mini-batches, in one pass and in many."""
    model = MODELS[name](N)
    plan = design("interval")
    optimizer = optax.sgd(model.learning_rate)
    paths = [simulated(model.loss, optimizer), spmd(model.loss, optimizer)]
    if name != "detector":  # which takes long to compile
        paths.append(spmd(model.loss, optimizer, chunk_size=1))
    for batch_size in (0, 1) if name == "detector" else (0, 2):
        job = Job(plan=plan, data=model.data(N, batch_size))
        assert_same(model, job, *paths, name=f"{name}, {batch_size}", steps=2)


def similarity():
    """ρ followed, by one track and by two, and used by a mixture of designs."""
    model, plan = logistic(N)._replace(tolerance=1e-4), design("interval")
    designs = [jgc.decoders.best_unbiased(plan, gradients=rho) for rho in (0.0, 0.3)]
    mixed = jgc.decoders.mixture(designs)
    for decoder, optimizer in (
        (mixed, optax.sgd(0.1)),
        (
            jgc.decoders.two_track(plan, decoder=mixed),
            optim.two_track_adam(None, 0.1),
        ),
    ):
        job = Job(
            plan=plan,
            data=model.data(N, 2),
            decoder=decoder,
            similarity=jgc.gradients.following(every=2),
        )
        paths = [make(model.loss, optimizer) for make in (simulated, spmd)]
        assert_same(model, job, *paths, steps=5, name=decoder.name)


def two_tracks():
    model, plan = logistic(N)._replace(tolerance=1e-4), design("stochastic")
    decoder = jgc.decoders.two_track(plan, noise_ratio=2.0)
    optimizer = optim.two_track_adam(None, 0.1)
    job = Job(plan=plan, data=model.data(N), decoder=decoder)
    paths = [make(model.loss, optimizer) for make in (simulated, spmd)]
    assert_same(model, job, *paths)


def parameters_in_parts():
    mesh = Mesh(np.reshape(jax.devices(), (-1, 2)), ("workers", "model"))
    model, optimizer = logistic(N)._replace(tolerance=1e-4), optax.adam(0.1)
    job = Job(plan=design("interval"), data=model.data(N))
    path = spmd(model.loss, optimizer, mesh=mesh, param_axis="model")
    assert_same(model, job, simulated(model.loss, optimizer), path)
    with path(job) as run:
        state = run.init(jax.random.key(0), model.params)
        for _ in range(2):
            state, _ = run.step(state, answered(0))
            for weight in (state.params["weight"], state.opt_state[0].mu["weight"]):
                assert weight.addressable_data(0).size == problems.DIMENSION // 2


def low_precision():
    """In bfloat16 a sum of a thousand 1/1000 would stop growing at about a half."""
    dtypes = []

    def loss(params, examples):
        dtypes.append((params.dtype, examples.dtype))
        return examples @ params

    data = partitioned(
        arrays(np.ones((1000, 1), np.float32)), np.arange(1000) % N, num_partitions=N
    )
    job = Job(plan=jgc.codes.straggler_free(K, num_partitions=N), data=data)
    path = spmd(compute_in(jnp.bfloat16, loss), optax.sgd(1.0), chunk_size=1)
    with path(job) as run:
        state, _ = run.step(run.init(jax.random.key(0), jnp.zeros(1)), np.ones(K, bool))
    np.testing.assert_allclose(state.params.addressable_data(0), -1, rtol=2**-8)
    assert set(dtypes) == {(jnp.dtype(jnp.bfloat16),) * 2}
    assert state.params.dtype == jnp.float32


def own_examples():
    """What a device computes, seen from inside the loss: its workers' and no more."""
    computed = [[] for _ in jax.devices()]

    def record(device, rows):
        computed[int(device)] += rows.tolist()

    on_devices = False

    def loss(params, examples):
        if on_devices:  # the check before training is not
            device = jax.lax.axis_index("workers")
            jax.debug.callback(record, device, examples["row"])
        return problems.loss(params, examples)

    rows = np.arange(problems.NUM_EXAMPLES)
    examples = {**jax.tree.map(np.asarray, problems.examples()), "row": rows}
    model = Model(loss, problems.params(), examples, rows % N)
    plan = design("interval")
    device = jgc.training.balance(plan.batch_sizes, num_devices=len(computed))
    edges = list(zip(plan.edge_worker, plan.edge_partition, strict=True))
    for size in (1, 3, None):
        path = spmd(loss, optax.sgd(0.5), chunk_size=size)
        with path(Job(plan=plan, data=model.data(N))) as run:
            on_devices = False
            state = run.init(jax.random.key(0), model.params)
            on_devices = True
            for seen in computed:
                seen.clear()
            jax.block_until_ready(run.step(state, np.ones(K, bool))[0].params)
            jax.effects_barrier()
        for number, seen in enumerate(computed):
            held = {j for i, j in edges if device[i] == number}
            own = [row for row in rows if row % N in held]
            assert set(seen) == set(own), (number, size)
            # A partition is filled up to the largest, a pass to its size.
            most = len(held) * 3 + (size or 3)
            assert len(own) <= len(seen) <= most, (number, size)


def models_in_processes():
    """Every model on mini-batches, in two processes of which one comes late."""
    assert jax.process_count() == 2
    jobs, expected = {}, {}
    for name, make in MODELS.items():
        model = make(N)
        data = model.data(N, batch_size=1 if name == "detector" else 2)
        job = Job(plan=design("interval"), data=data)
        jobs[name] = model, job, optax.sgd(model.learning_rate)

    def simulate():
        if jax.process_index() == 1 or expected:
            return
        began = time.monotonic()
        for name, (model, job, optimizer) in jobs.items():
            path = simulated(model.loss, optimizer)
            expected[name] = train(path, job, model, steps=2)
        # Gloo waits 30 seconds for a process with which it is not connected.
        time.sleep(max(0, 35 - (time.monotonic() - began)))

    for name, (model, job, optimizer) in jobs.items():
        path = spmd(model.loss, optimizer)
        found = train(path, job, model, steps=2, meanwhile=simulate)
        multihost_utils.assert_equal(found[0], name)
        if jax.process_index() == 0:
            assert_alike(model, found, expected[name], name)


def own_data_of_a_process():
    """A process never reads what only the other one's workers hold."""
    assert jax.process_count() == 2
    model, optimizer = logistic(N), optax.sgd(0.5)
    is_own = [d.process_index == jax.process_index() for d in jax.devices()]

    class Recorded:
        """A source that remembers the partitions that it was asked for."""

        def __init__(self):
            self.read = set()

        def __len__(self):
            return problems.NUM_EXAMPLES

        def __getitem__(self, index):
            self.read.add(model.assignment[index])
            return jax.tree.map(lambda leaf: leaf[index], model.examples)

    for name in ("interval", "straggler_free"):
        plan, decoder = design(name), SCHEMES[name].decoder
        device = jgc.training.balance(plan.batch_sizes, num_devices=len(is_own))
        edges = zip(plan.edge_worker, plan.edge_partition, strict=True)
        held = {int(j) for i, j in edges if is_own[device[i]]}
        source = Recorded()
        data = partitioned(source, model.assignment, num_partitions=N)
        job = Job(plan=plan, data=data, decoder=decoder)
        train(spmd(model.loss, optimizer), job, model, steps=1)
        # Besides, four examples of the first partitions, to try the loss on.
        tried = set(np.sort(model.assignment)[:4])
        assert held <= source.read <= held | tried, (held, source.read)
        assert not held >= set(range(N)) - tried


def main(arguments):
    if "--process" in arguments:
        at = arguments.index("--process")
        process, address = arguments[at + 1 :]
        arguments = arguments[:at]
        jax.distributed.initialize(
            address,
            num_processes=2,
            process_id=int(process),
            shutdown_timeout_seconds=60,
        )
    for name in arguments:
        if name in MODELS:
            of_model(name)
        else:
            globals()[name]()
    print("passed")


if __name__ == "__main__":
    main(sys.argv[1:])
