import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from jgc import optim
from jgc.training import Job, arrays, local_steps, partitioned, simulated, spmd
from tests.training import problems
from tests.training.models import MODELS, logistic

KEY = jax.random.key(0)
P = np.array([0.3, 0.5, 0.2, 0.4])
N = 6
PLAN = jgc.codes.interval(P, num_partitions=N)
MASKS = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 1]], bool)


def train(path, job, model, masks=MASKS):
    reports = []
    with path(job) as run:
        state = run.init(KEY, model.params, model.model_state)
        for mask in masks:
            state, report = run.step(state, mask)
            reports.append(report)
    return state, reports


def assert_same(found, expected, tolerance=1e-5):
    for name in ("params", "model_state"):
        chex.assert_trees_all_close(
            getattr(found[0], name),
            getattr(expected[0], name),
            rtol=tolerance,
            atol=tolerance,
        )
    for one, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(
            one.partition_losses, other.partition_losses, rtol=1e-4
        )
        assert one.metrics.keys() == other.metrics.keys()
        for name, value in other.metrics.items():
            np.testing.assert_allclose(one.metrics[name], value, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "batch_size"), [("logistic", 0), ("perceptron", 2), ("batch_norm", 2)]
)
def test_one_step_is_coded_gradient_descent(name, batch_size):
    """Partitions of unequal size, dropout and batch statistics included."""
    model = MODELS[name](N)
    job = Job(plan=PLAN, data=model.data(N, batch_size))
    local = local_steps(model.loss, optax.sgd(0.1), num_steps=1)
    expected = train(simulated(model.loss, optax.sgd(0.1)), job, model)
    assert_same(train(simulated(local, optax.sgd(1.0)), job, model), expected, 1e-4)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_many_steps_are_what_a_loop_makes(batch_size):
    """Of every partition by itself; a batch of 3 reaches round one of 3 and one of 4.

    The outer optimizer has momentum, the inner one a state.
    """
    model, steps = logistic(N), 3
    inner, outer = optax.adam(0.1), optax.sgd(0.7, momentum=0.9, nesterov=True)
    data = model.data(N)
    params, state = model.params, outer.init(model.params)
    whole = jax.tree.map(jnp.asarray, model.examples)

    @jax.jit
    def gradient(params, rows):
        examples = jax.tree.map(lambda leaf: leaf[rows], whole)
        return jax.grad(lambda p: problems.loss(p, examples).mean())(params)

    for mask in MASKS:
        stacked = []
        for j in range(N):
            own = np.flatnonzero(model.assignment == j)
            assert own.size in (3, 4)
            end, inner_state = params, inner.init(params)
            for h in range(steps):
                rows = own
                if batch_size is not None:
                    rows = np.resize(np.roll(own, -h * batch_size), batch_size)
                updates, inner_state = inner.update(gradient(end, rows), inner_state)
                end = optax.apply_updates(end, updates)
            share = own.size / problems.NUM_EXAMPLES
            stacked.append(jax.tree.map(lambda a, b, s=share: s * (a - b), params, end))
        messages = PLAN.encode(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *stacked)
        )
        updates, state = outer.update(PLAN.decode(messages, mask), state, params)
        params = optax.apply_updates(params, updates)
    local = local_steps(model.loss, inner, num_steps=steps, batch_size=batch_size)
    found, _ = train(simulated(local, outer), Job(plan=PLAN, data=data), model)
    chex.assert_trees_all_close(found.params, params, rtol=1e-4, atol=1e-5)


def test_paths_chunks_and_tracks_agree():
    model, plan = logistic(N), PLAN
    local = local_steps(model.loss, optax.sgd(0.2), num_steps=3, batch_size=2)
    job = Job(plan=plan, data=model.data(N))
    expected = train(simulated(local, optax.sgd(1.0)), job, model)
    for path in (
        simulated(local, optax.sgd(1.0), chunk_size=4),  # one partition at a time
        spmd(local, optax.sgd(1.0)),
    ):
        assert_same(train(path, job, model), expected)
    decoder = jgc.decoders.two_track(plan, noise_ratio=np.inf)  # of equal tracks
    two = Job(plan=plan, data=model.data(N), decoder=decoder)
    assert_same(
        train(simulated(local, optim.two_track_adam(None, 0.1)), two, model),
        train(simulated(local, optax.adam(0.1)), job, model),
        1e-4,
    )


class Quadratic:
    """Least squares, on partitions that are alike or cut by class."""

    model_state = ()
    params = jnp.zeros(3)

    def __init__(self, is_alike):
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(120, 3)).astype(np.float32)
        self.y = np.sign(self.x @ [1.0, -2.0, 0.5] + rng.normal(size=120))
        order = np.arange(120)
        if not is_alike:
            order = np.argsort(self.y * (3 + self.x[:, 0]))
        self.part = np.empty(120, int)
        self.part[order] = np.arange(120) % N if is_alike else np.arange(120) // 20

    def loss(self, params, examples):
        return (examples["x"] @ params - examples["y"]) ** 2 / 2

    def job(self):
        examples = {"x": self.x, "y": self.y.astype(np.float32)}
        data = partitioned(arrays(examples), self.part, num_partitions=N)
        return Job(plan=jgc.codes.straggler_free(4, num_partitions=N), data=data)

    def target(self):
        return np.linalg.lstsq(self.x, self.y, rcond=None)[0]

    def resting_point(self, rate, steps):
        """x = mean_j y_j(x), with y_j = w_j + (I − ηA_j)ᴴ (x − w_j)."""
        left, right = np.zeros((3, 3)), np.zeros(3)
        for j in range(N):
            x, y = self.x[self.part == j], self.y[self.part == j]
            own = np.linalg.lstsq(x, y, rcond=None)[0]
            moved = np.eye(3) - np.linalg.matrix_power(
                np.eye(3) - rate * x.T @ x / len(x), steps
            )
            left, right = left + moved, right + moved @ own
        return np.linalg.solve(left, right)

    def rounds(self, rate, steps, count):
        local = local_steps(self.loss, optax.sgd(rate), num_steps=steps)
        state, reports = train(
            simulated(local, optax.sgd(1.0)), self.job(), self, np.ones((count, 4)) > 0
        )
        least = np.mean(self.loss(self.target(), {"x": self.x, "y": self.y}))
        excess = np.array([report.loss for report in reports]) / least - 1
        return np.asarray(state.params), excess


def test_alike_partitions_take_fewer_rounds():
    problem = Quadratic(is_alike=True)
    within = [
        int(np.argmax(problem.rounds(0.1, steps, 60)[1] < 0.01)) for steps in (1, 8)
    ]
    assert 0 < 4 * within[1] < within[0]


def test_unlike_partitions_rest_where_they_are_known_to():
    problem, rate, steps = Quadratic(is_alike=False), 0.3, 8
    found, excess = problem.rounds(rate, steps, 60)
    expected = problem.resting_point(rate, steps)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.linalg.norm(expected - problem.target()) > 0.1
    assert excess[-1] > 0.04


def test_a_partition_without_examples_adds_nothing():
    """The other one holds everything: its end is the round's."""
    model = logistic(1)
    local = local_steps(model.loss, optax.adam(0.1), num_steps=2, batch_size=99)
    path = simulated(local, optax.sgd(1.0))
    ends = []
    for n in (1, 2):
        source = arrays(model.examples)
        job = Job(
            plan=jgc.codes.straggler_free(n, num_partitions=n),
            data=partitioned(source, model.assignment, num_partitions=n),
        )
        state, (report,) = train(path, job, model, np.ones((1, n), bool))
        assert np.isfinite(report.loss)
        ends.append(state.params)
    chex.assert_trees_all_close(*ends, rtol=1e-5, atol=1e-6)


def test_bad_arguments():
    loss = problems.loss
    with pytest.raises(ValueError, match="num_steps"):
        local_steps(loss, optax.sgd(0.1), num_steps=0)
    with pytest.raises(ValueError, match="batch_size"):
        local_steps(loss, optax.sgd(0.1), num_steps=1, batch_size=0)
    with pytest.raises(ValueError, match=r"inner must be an optax.*0\.1"):
        local_steps(loss, 0.1, num_steps=1)
