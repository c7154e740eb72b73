"""Workers that die, hang, lie or are too slow; a node and a driver that leave."""

import os
import signal
import subprocess
import sys
import time

import chex
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import ray

import jgc
from experiments.common.checkpoints import Checkpoints
from jgc.distributed import Adaptation, Driver, WorkerPool, fixed_deadline, wait_for
from jgc.distributed import _pool as pool_module
from jgc.distributed._messages import Answer, Expected, why_rejected
from jgc.distributed._worker import Worker
from jgc.training import init_state, make_step
from tests.training import problems

pytestmark = pytest.mark.slow

K, N = 3, 6
PLAN = jgc.codes.interval([0.3, 0.5, 0.4], num_partitions=N)
PARTITION = np.arange(problems.NUM_EXAMPLES) % N
OPTIMIZER = optax.sgd(0.1)
ALL = np.ones(K, bool)


def driver_of(pool, *, plan=PLAN, policy=None, **options):
    return Driver(
        pool,
        problems.loss,
        OPTIMIZER,
        plan,
        params=problems.params(),
        examples=problems.examples(),
        partition=PARTITION,
        policy=policy or wait_for(K),
        **options,
    )


def simulated(masks, plan=PLAN):
    step = make_step(problems.loss, OPTIMIZER)
    state = init_state(problems.params(), OPTIMIZER)
    for mask in masks:
        state, _ = step(
            state,
            problems.examples(),
            jnp.asarray(PARTITION),
            jgc.decoders.fixed.coefficients(plan, jnp.asarray(mask)),
        )
    return state.params


def assert_is_simulated(state, masks, plan=PLAN):
    """The run is that of its masks: no stale, lost or doubled message was applied."""
    assert state.iteration == len(masks)
    chex.assert_trees_all_close(
        state.params, simulated(masks, plan), rtol=1e-4, atol=1e-5
    )


class Faulty(Worker):
    """Does to the task of an iteration what a test put in the environment's stead."""

    def __init__(self):
        super().__init__()
        self.faults = {}

    def process(self):
        return os.getpid()

    def plant(self, faults):
        self.faults = faults

    def work(self, round, iteration, params, coefficients):
        fault = self.faults.get(iteration)
        if fault == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "hangs":
            time.sleep(1e6)
        if fault == "raises":
            raise ValueError("out of luck")
        if fault == "raises late":
            with self._news:
                self._news.wait_for(lambda: self._newest > round)
            raise ValueError("out of luck")
        answer = super().work(round, iteration, params, coefficients)
        if fault == "nan":
            message = answer.message.copy()
            message[-1] = np.nan
            return answer._replace(message=message)
        if fault == "shape":
            return answer._replace(message=answer.message[:-1])
        return "garbage" if fault == "garbage" else answer


def plant(pool, worker, faults):
    ray.get(pool._slots[worker].actor.plant.remote(faults))


@pytest.fixture(scope="module")
def pool(ray_cluster):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_module, "Worker", Faulty)
        with WorkerPool(K, hung_after=4.0) as pool:
            yield pool


def test_unsound_messages_are_stragglers(pool):
    driver = driver_of(pool)
    plant(pool, 1, {2: "nan", 3: "shape", 4: "garbage", 5: "raises"})
    state, masks, rejected = driver.init(problems.params()), [], []
    for _ in range(6):
        state, round = driver.advance(state)
        masks.append(round.mask)
        rejected.append(round.rejected)
    assert rejected == [0, 1, 1, 1, 1, 0]
    assert [bool(mask[1]) for mask in masks] == [True, *[False] * 4, True]
    assert_is_simulated(state, masks)
    for worker in range(K):
        plant(pool, worker, {7: "nan"})
    with pytest.raises(RuntimeError, match=r"iteration 7.*all 3 workers.*NaN"):
        driver.advance(state)


def test_a_late_failure_is_not_of_the_next_iteration(pool):
    needed = [K - 1, K]
    driver = driver_of(pool, policy=lambda waiting: wait_for(needed[0])(waiting))
    plant(pool, 1, {1: "raises late"})
    state, masks = driver.init(problems.params()), []
    for _ in range(2):
        state, round = driver.advance(state)
        masks.append(round.mask)
        needed.pop(0)
    np.testing.assert_array_equal(masks, [[True, False, True], ALL])
    assert (round.rejected, round.dropped) == (0, 1)
    assert_is_simulated(state, masks)


@pytest.mark.parametrize("fault", ["dies", "hangs"])
def test_a_lost_worker_is_a_straggler_until_it_is_replaced(pool, fault):
    driver = driver_of(pool, policy=fixed_deadline(0.25))
    old = ray.get(pool._slots[2].actor.process.remote())
    plant(pool, 2, {2: fault})
    state, masks, lost = driver.init(problems.params()), [], 0
    while len(masks) < 4 or not masks[-1][2]:
        state, round = driver.advance(state)
        masks.append(round.mask)
        lost += round.lost
        assert round.seconds < 3  # nobody waits for the dead
        assert len(masks) < 1000
        time.sleep(0.01)
    assert lost == 1
    assert not masks[1][2]
    assert ray.get(pool._slots[2].actor.process.remote()) != old
    assert_is_simulated(state, masks)


def test_a_recorded_mask_survives_the_loss_of_a_worker(pool):
    """A worker whose answer is wanted is waited for, in its next life if need be."""
    driver = driver_of(pool)
    plant(pool, 0, {2: "dies"})
    state = driver.init(problems.params())
    masks = [ALL, np.array([True, False, True]), np.array([False, True, True])]
    for mask in masks:
        state, round = driver.advance(state, asked=mask)
        np.testing.assert_array_equal(round.mask, mask)
    assert_is_simulated(state, masks)


def test_a_slow_worker_is_not_for_ever_behind(pool):
    delays = np.zeros((6, K))
    delays[:4, 1] = 60.0  # longer than hung_after would allow, were it not told to skip
    driver = driver_of(pool, policy=fixed_deadline(0.6), delays=delays)
    state, masks = driver.init(problems.params()), []
    for _ in range(6):
        state, round = driver.advance(state)
        masks.append(round.mask)
        assert round.lost == 0
    np.testing.assert_array_equal([mask[1] for mask in masks], [0, 0, 0, 0, 1, 1])
    assert_is_simulated(state, masks)


def test_p_is_followed_and_a_restored_state_goes_on_exactly(pool, tmp_path):
    adaptation = Adaptation(
        estimator=jgc.stragglers.estimation.counting(K),
        every=5,
        tolerance=0.0,
        gradients=1.0,
    )
    driver = driver_of(pool, adaptation=adaptation)
    masks = np.random.default_rng(1).random((20, K)) > [0.1, 0.8, 0.4]
    state = driver.init(problems.params())
    states = [state := driver.advance(state, asked=mask)[0] for mask in masks]
    plan = driver.plan(state)
    np.testing.assert_allclose(
        plan.straggler_probabilities, (0.5 + (~masks).sum(0)) / 21, rtol=1e-6
    )
    p = plan.straggler_probabilities
    least = N**2 / ((1 - p) / p).sum()  # n²/D
    np.testing.assert_allclose(jgc.residual.exact(plan).mean, least)

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(12, states[11])
    with Checkpoints(tmp_path) as checkpoints:
        state = checkpoints.restore_newest(like=driver.init(problems.params()))
    for mask in masks[12:]:
        state, _ = driver.advance(state, asked=mask)
    chex.assert_trees_all_equal(state, states[-1])


def test_what_is_checked_of_an_answer():
    expected = Expected(3, np.dtype(np.float32))
    sound = Answer(np.zeros(3, np.float32), np.zeros(2, np.float32))
    assert why_rejected(sound, expected, 2) is None
    large = np.full(3, 3e38, np.float32)  # whose sum overflows
    assert why_rejected(sound._replace(message=large), expected, 2) is None
    for wrong in (
        None,
        sound._replace(message=np.zeros(3)),
        sound._replace(message=np.array([0, np.inf, -np.inf], np.float32)),
        sound._replace(message=[0.0, 0.0, 0.0]),
        sound._replace(partition_losses=np.zeros(1, np.float32)),
        sound._replace(partition_losses=np.array([0, np.nan], np.float32)),
    ):
        assert why_rejected(wrong, expected, 2) is not None


def test_kills_lose_no_iteration(pool):
    """200 iterations with kills in mid-step end where those without do."""
    rng = np.random.default_rng(3)
    masks = rng.random((200, K)) > PLAN.straggler_probabilities
    driver = driver_of(pool)
    kills = {40: 0, 90: 1, 150: 2}
    for iteration, worker in kills.items():
        masks[iteration - 1, worker] = True
        plant(pool, worker, {iteration: "dies"})
    state, lost = driver.init(problems.params()), 0
    for mask in masks:
        state, round = driver.advance(state, asked=mask)
        np.testing.assert_array_equal(round.mask, mask)
        lost += round.lost
    assert lost == len(kills)
    assert_is_simulated(state, masks)


DRIVER_PROCESS = """
import sys, numpy as np
from pathlib import Path
from jgc.distributed import WorkerPool
from experiments.common.checkpoints import Checkpoints
from tests.distributed.test_faults import K, driver_of
from tests.training import problems

folder = Path(sys.argv[1])
masks = np.load(folder / "masks.npy")
pool = WorkerPool(K, address=sys.argv[2])
with pool, Checkpoints(folder / "checkpoints") as checkpoints:
    driver = driver_of(pool)
    fresh = driver.init(problems.params())
    state = checkpoints.restore_newest(like=fresh) or fresh
    print("begins after", int(state.iteration), flush=True)
    for mask in masks[int(state.iteration):]:
        state, _ = driver.advance(state, asked=mask)
        checkpoints.save(int(state.iteration), state)
        print("iteration", int(state.iteration), flush=True)
    np.save(folder / "weight.npy", state.params["weight"])
"""


def test_a_killed_driver_resumes(tmp_path, ray_cluster):
    masks = np.random.default_rng(2).random((30, K)) > 0.3
    np.save(tmp_path / "masks.npy", masks)
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-c", DRIVER_PROCESS, str(tmp_path), address]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in first.stdout:
        if line == "iteration 10\n":
            break
    first.kill()
    first.wait()
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    begin = int(second.stdout.splitlines()[0].split()[-1])
    assert 9 <= begin < 30
    np.testing.assert_allclose(
        np.load(tmp_path / "weight.npy"), simulated(masks)["weight"], rtol=1e-4
    )
