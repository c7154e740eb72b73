"""Workers that die, hang, lie or are too slow; a driver that is killed."""

import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import jgc
from experiments.common.checkpoints import Checkpoints
from jgc.design import rules
from jgc.distributed import WorkerPool, fixed_deadline, wait_by, wait_for
from jgc.distributed._messages import (
    Answer,
    Expected,
    in_parts,
    why_rejected,
    why_unusable,
)
from jgc.distributed.faults import corrupt, delay, fail, hang, kill
from jgc.training import Following
from tests.distributed.helpers import (
    ALL,
    PLAN,
    K,
    assert_is_simulated,
    job_of,
    on_processes,
    simulation,
    start,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool(ray_cluster):
    # Long: a machine that is busy is not to be taken for a worker that hangs.
    with WorkerPool(K, hung_after=60.0) as pool:
        yield pool


def test_unsound_messages_are_stragglers(pool):
    faults = [
        *(
            corrupt(worker=1, iteration=t, how=how)
            for t, how in enumerate(("nan", "shape", "dtype", "garbage"), start=1)
        ),
        fail(worker=1, iteration=5),
        *(corrupt(worker=worker, iteration=7) for worker in range(K)),
    ]
    with on_processes(pool, faults=faults) as run:
        state, reports = start(run), []
        for _ in range(7):
            state, report = run.step(state)
            reports.append(report)
        assert [r.details.rejected for r in reports] == [0, 1, 1, 1, 1, 1, 0]
        for report in reports:
            is_sound = report.details.rejected == 0
            np.testing.assert_array_equal(report.answered, [True, is_sound, True])
            assert not np.isnan(report.loss)
        assert_is_simulated(state, [report.answered for report in reports])
        with pytest.raises(RuntimeError, match=r"iteration 7.*all 3 workers.*NaN"):
            run.step(state)


def test_a_late_failure_is_not_of_the_next_iteration(pool):
    needed = [K - 1, K]
    faults = [fail(worker=1, iteration=0, late=True)]
    policy = lambda waiting: wait_for(needed[0])(waiting)  # noqa: E731
    with on_processes(pool, policy=policy, faults=faults) as run:
        state, masks = start(run), []
        for _ in range(2):
            state, report = run.step(state)
            masks.append(report.answered)
            needed.pop(0)
    np.testing.assert_array_equal(masks, [[True, False, True], ALL])
    assert (report.details.rejected, report.details.dropped) == (0, 1)
    assert_is_simulated(state, masks)


@pytest.mark.parametrize("fault", [kill, hang])
def test_a_lost_worker_is_a_straggler_until_it_is_replaced(ray_cluster, fault):
    faults, few = [fault(worker=2, iteration=1)], wait_for(K - 1)
    with WorkerPool(K, hung_after=8.0) as pool:
        with on_processes(pool, policy=few, faults=faults) as run:
            state, masks, lost = start(run), [], 0
            state, report = run.step(state, ALL[:])  # nobody is behind
            masks.append(report.answered)
            began = time.monotonic()
            while len(masks) < 4 or not masks[-1][2]:
                state, report = run.step(state)
                masks.append(report.answered)
                lost += report.details.lost
                assert time.monotonic() - began < 300
                time.sleep(0.01)
        assert lost == 1
        assert not masks[1][2]  # nobody waited for the dead
        assert_is_simulated(state, masks)
        # And one that is lost in the last iteration of a run is not of the next.
        with on_processes(
            pool, policy=few, faults=[fault(worker=0, iteration=0)]
        ) as run:
            run.step(start(run))
        began = time.monotonic()
        with on_processes(pool) as run:
            _, report = run.step(start(run))
        assert report.answered.all()
        assert time.monotonic() - began < 200  # start_timeout is 300


def test_a_spare_takes_over_within_the_iteration(ray_cluster):
    """And where there is none left, or it died, a new process as ever."""
    import ray

    faults = [kill(worker=worker, iteration=t) for t, worker in ((1, 2), (2, 0))]
    with (
        WorkerPool(K, spares=1) as pool,
        on_processes(pool, policy=wait_for(K), faults=faults) as run,
    ):
        state, spare, waits = start(run), pool._spares[0].actor, []
        for iteration in range(4):
            if iteration == 3:  # which has been lost as well, at its next message
                ray.kill(spare)
            state, report = run.step(state)
            waits.append(report.details.waited)
            assert report.answered.all()
            assert report.details.lost == (iteration > 0)
            if iteration == 1:
                assert pool._slots[2].actor is spare
        assert pool._spares[0].actor is not spare
    assert waits[1] < 0.5 * waits[2]  # nothing starts, and nothing compiles
    assert_is_simulated(state, [ALL] * 4)


def test_spares_that_have_no_room_are_not_waited_for(ray_cluster, caplog):
    import ray

    share = int(ray.cluster_resources()["memory"] // K)
    with (
        WorkerPool(K, spares=1, actor_options={"memory": share}) as pool,
        on_processes(pool) as run,
    ):
        _, report = run.step(start(run))
    assert report.answered.all()
    assert "1 of 1 spares are not ready" in caplog.text


def test_a_recorded_mask_survives_the_loss_of_a_worker(pool):
    """A worker whose answer is wanted is waited for, in its next life if need be."""
    masks = [ALL, np.array([True, False, True]), np.array([False, True, True])]
    with on_processes(pool, faults=[kill(worker=0, iteration=1)]) as run:
        state, lost = start(run), 0
        for mask in masks:
            state, report = run.step(state, mask)
            np.testing.assert_array_equal(report.answered, mask)
            lost += report.details.lost
    assert lost == 1
    assert_is_simulated(state, masks)


def test_a_slow_worker_is_not_for_ever_behind(pool):
    """It drops what it sleeps over, and is with the others as soon as it is fast."""
    # Longer than hung_after would allow, were it not told to skip.
    faults = [delay(worker=1, iteration=t, seconds=1000.0) for t in range(4)]
    needed = [K - 1] * 4 + [K] * 2
    policy = lambda waiting: wait_for(needed[0])(waiting)  # noqa: E731
    with on_processes(pool, policy=policy, faults=faults) as run:
        state, masks = start(run), []
        for _ in range(6):
            state, report = run.step(state)
            masks.append(report.answered)
            needed.pop(0)
            assert report.details.lost == 0
    np.testing.assert_array_equal([mask[1] for mask in masks], [0, 0, 0, 0, 1, 1])
    assert_is_simulated(state, masks)


def test_delays_make_a_deadline_fall_between(pool):
    """Of real seconds: two workers far before the deadline, one far behind it."""
    delays = np.zeros((2, K))
    delays[0, 1] = 1000.0
    with on_processes(pool, policy=fixed_deadline(4.0), delays=delays) as run:
        state, masks = start(run), []
        for _ in range(2):
            state, report = run.step(state)
            masks.append(report.answered)
            assert report.details.waited < 60
            late = ~report.answered
            assert np.isinf(report.details.latencies[late]).all()
            assert (report.details.latencies[~late] < 60).all()
    assert not masks[0][1]
    assert_is_simulated(state, masks)


def test_a_deadline_follows_processes_that_become_half_as_fast(pool):
    """Two workers' delays double after four iterations; the third never answers."""
    delays = np.array([[0.3, 0.6, 1000.0]] * 4 + [[0.6, 1.2, 1000.0]] * 7)
    rule = rules.adaptive(PLAN, rules.first(PLAN, 2), at_most=30.0)
    with on_processes(pool, policy=wait_by(rule), delays=delays) as run:
        state, reports = start(run), []
        for _ in delays:
            state, report = run.step(state)
            reports.append(report)
    waited = np.array([report.details.waited for report in reports])
    assert all(report.answered[0] for report in reports)  # one at least is waited for
    assert not any(report.answered[2] for report in reports)
    # Within five iterations it waits as long as the second takes, about.
    assert (waited[9:] > 0.8 * 1.2).all(), waited
    until = np.array([report.details.until for report in reports])
    assert until[0] == pytest.approx(30)  # nothing was known
    assert np.median(np.abs(until - waited)[1:]) < 0.3, until  # it set the length
    assert_is_simulated(state, [report.answered for report in reports])


def test_p_is_followed_and_a_restored_state_goes_on_exactly(pool, tmp_path):
    following = Following(
        estimator=jgc.stragglers.estimation.counting(K),
        every=5,
        tolerance=0.0,
        gradients=1.0,
    )
    job = job_of(following=following)
    masks = np.random.default_rng(1).random((20, K)) > [0.1, 0.8, 0.4]
    with on_processes(pool, job=job) as run:
        state, states, reports = start(run), [], []
        for mask in masks:
            state, report = run.step(state, mask)
            states.append(state)
            reports.append(report)
        believed = [report.details.probabilities for report in reports]
        np.testing.assert_array_equal(believed[0], PLAN.straggler_probabilities)
        assert not np.allclose(believed[5], believed[4])  # re-designed after the fifth
        p = np.asarray(state.code.bits["straggler_probabilities"]).view(np.float64)
        np.testing.assert_allclose(p, (0.5 + (~masks).sum(0)) / 21, rtol=1e-6)
        assert np.abs(p - PLAN.straggler_probabilities).min() > 0.01
        assert_is_simulated(state, masks, job)

        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(12, states[11])
        with Checkpoints(tmp_path) as checkpoints:
            state = checkpoints.restore_newest(like=start(run))
        for mask in masks[12:]:
            state, _ = run.step(state, mask)
    for found, expected in zip(
        jax.tree.leaves(state._replace(key=())),
        jax.tree.leaves(states[-1]._replace(key=())),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_what_is_checked_of_an_answer():
    kind = ((3,), np.dtype(np.float32))
    expected = Expected((kind,))
    sound = Answer((np.zeros(3, np.float32),), np.zeros(2, np.float32))

    def reasons(answer):
        header, message = in_parts(answer)
        return why_rejected(header, expected, 2), why_unusable(message, expected)

    assert reasons(sound) == (None, None)
    large = np.full(3, 3e38, np.float32)  # whose sum overflows
    assert reasons(sound._replace(message=(large,))) == (None, None)
    for wrong in (
        None,
        sound._replace(message=(np.zeros(3),)),
        sound._replace(message=()),
        sound._replace(message=([0.0, 0.0, 0.0],)),
    ):
        assert None not in reasons(wrong)
    infinite = (np.array([0, np.inf, -np.inf], np.float32),)
    assert reasons(sound._replace(message=infinite))[1] is not None
    for wrong in (
        sound._replace(losses=np.zeros(1, np.float32)),
        sound._replace(losses=np.array([0, np.nan], np.float32)),
        sound._replace(outputs=(np.zeros(2, np.float32),)),
    ):
        assert reasons(wrong)[0] is not None


def test_kills_lose_no_iteration(pool):
    """200 iterations with kills in mid-step end where those without do."""
    rng = np.random.default_rng(3)
    masks = rng.random((200, K)) > PLAN.straggler_probabilities
    kills = {40: 0, 90: 1, 150: 2}
    for iteration, worker in kills.items():
        masks[iteration, worker] = True
    faults = [kill(worker=worker, iteration=t) for t, worker in kills.items()]
    with on_processes(pool, faults=faults) as run:
        state, lost = start(run), 0
        for mask in masks:
            state, report = run.step(state, mask)
            np.testing.assert_array_equal(report.answered, mask)
            lost += report.details.lost
    assert lost == len(kills)
    assert_is_simulated(state, masks)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kill(worker=-1, iteration=0), "worker must be an integer ≥ 0"),
        (lambda: hang(worker=0, iteration=-1), "iteration must be an integer ≥ 0"),
        (lambda: delay(worker=0, iteration=0, seconds=-1.0), "seconds must be"),
        (lambda: corrupt(worker=0, iteration=0, how="rot"), "how must be one of"),
    ],
)
def test_faults_that_are_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()


DRIVER_PROCESS = """
import sys, numpy as np
from pathlib import Path
from jgc.distributed import WorkerPool
from experiments.common.checkpoints import Checkpoints
from tests.distributed.helpers import *

folder = Path(sys.argv[1])
masks = np.load(folder / "masks.npy")
pool = WorkerPool(K, address=sys.argv[2])
with pool, Checkpoints(folder / "checkpoints") as checkpoints:
    with on_processes(pool) as run:
        fresh = start(run)
        state = checkpoints.restore_newest(like=fresh) or fresh
        print("begins after", int(state.iteration), flush=True)
        for mask in masks[int(state.iteration):]:
            state, _ = run.step(state, mask)
            checkpoints.save(int(state.iteration), state)
            print("iteration", int(state.iteration), flush=True)
        np.save(folder / "weight.npy", state.params["weight"])
"""


def test_a_killed_driver_resumes(tmp_path, ray_cluster):
    import ray

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
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr[-3000:]
    begin = int(second.stdout.splitlines()[0].split()[-1])
    assert 9 <= begin < 30
    np.testing.assert_allclose(
        np.load(tmp_path / "weight.npy"), simulation(masks)["weight"], rtol=1e-4
    )
