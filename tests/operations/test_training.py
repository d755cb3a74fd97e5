"""A run's seconds all end in an account, and the vectorised timeline equals a walk from failure to failure."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gigaforge.operations.closed_form import best_policy, expected_goodput
from gigaforge.operations.gang import GangShape, Struck, missing_replicas, replicas_touched
from gigaforge.operations.intervals import union
from gigaforge.operations.job import simulate_job
from gigaforge.operations.modes import RackClass, default_failures
from gigaforge.operations.policy import CheckpointPolicy, Tier, TrainingPolicy
from gigaforge.operations.training import ACCOUNTS, GangState, Interruptions, run_gang

LENGTH = 10_000.0


def walk(hits, interval, blocking, drain, tiers, blocked=((), ())):
    """The reference: one failure after the other; a gang that lacks racks first waits for them."""
    resume, kept, saved, snapshots = 0.0, 0.0, 0.0, 0
    for i in range(hits.time_s.size + 1):
        t = LENGTH if i == hits.time_s.size else hits.time_s[i]
        if t > resume:
            run = t - resume
            whole = math.floor(run / (interval + blocking))
            if i == hits.time_s.size or not hits.rolls_back[i]:
                work = whole * interval + min(run - whole * (interval + blocking), interval)
                kept, saved = kept + work, saved + run - work
                snapshots += whole
            else:
                whole = math.floor((run - drain) / (interval + blocking)) if run > drain else 0
                snapshots += whole
                back = 0
                if hits.tier[i] or hits.extra_s[i]:
                    every = tiers[hits.tier[i]].every
                    back = snapshots - max(snapshots - math.ceil(hits.extra_s[i] / interval), 0) // every * every
                snapshots -= back
                kept, saved = kept + (whole - back) * interval, saved + (whole - back) * blocking
        if i < hits.time_s.size:
            complete = next((e for b, e in zip(*blocked, strict=True) if b <= t < e), t)
            resume = max(resume, complete + hits.stall_s[i])
    return kept, saved


def draw(seed, count):
    rng = np.random.default_rng(seed)
    return Interruptions(
        np.sort(rng.random(count) * LENGTH), rng.exponential(150.0, count), rng.random(count) < 0.8, rng.integers(0, 2, count),
        np.where(rng.random(count) < 0.1, rng.random(count) * 900.0, 0.0),
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 40),
    st.floats(20, 900),
    st.floats(0, 60),
    st.floats(0, 50),
    st.integers(1, 6),
)
def test_vectors_equal_a_walk(seed, count, interval, blocking, drain, every):
    hits, tiers = draw(seed, count), (Tier(1, drain, 0.0), Tier(every, 0.0, 0.0))
    policy = TrainingPolicy(checkpoint=CheckpointPolicy(blocking, interval, 1.0, tiers))
    done = run_gang(LENGTH, hits, (np.empty(0), np.empty(0)), policy, interval, GangState())
    kept, saved = walk(hits, interval, blocking, drain, tiers)
    assert done.accounts["productive"] == pytest.approx(kept, abs=1e-6)
    assert done.accounts["checkpoint"] == pytest.approx(saved, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 6))
def test_waiting_for_racks_is_walked_too(seed, count, waits):
    hits, rng = draw(seed, count), np.random.default_rng(seed)
    begin = rng.choice(hits.time_s, min(waits, count), replace=False)
    blocked = union(begin, begin + rng.exponential(300.0, begin.size))
    tiers = (Tier(1, 5.0, 0.0), Tier(3, 0.0, 0.0))
    policy = TrainingPolicy(checkpoint=CheckpointPolicy(7.0, 100.0, 1.0, tiers))
    done = run_gang(LENGTH, hits, blocked, policy, 100.0, GangState()).accounts
    kept, saved = walk(hits, 100.0, 7.0, 5.0, tiers, blocked)
    assert done["productive"] == pytest.approx(kept, abs=1e-6)
    assert done["checkpoint"] == pytest.approx(saved, abs=1e-6)
    assert done["wait"] == pytest.approx(
        np.clip(np.minimum(blocked[1], LENGTH) - blocked[0], 0, None).sum(), abs=1e-6
    )
    assert sum(done.values()) == pytest.approx(LENGTH)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(2, 9))
def test_windows_change_nothing(seed, count, pieces):
    hits, none = draw(seed, count), (np.empty(0), np.empty(0))
    policy = TrainingPolicy(checkpoint=CheckpointPolicy(7.0, 200.0, 1.0, (Tier(1, 5.0, 0.0), Tier(4, 0.0, 0.0))))
    whole = run_gang(LENGTH, hits, none, policy, 200.0, GangState()).accounts
    state, parts, width = GangState(), dict.fromkeys(ACCOUNTS, 0.0), LENGTH / pieces
    for k in range(pieces):
        inside = (hits.time_s >= k * width) & (hits.time_s < (k + 1) * width)
        piece = Interruptions(
            *(getattr(hits, f)[inside] for f in ("time_s", "stall_s", "rolls_back", "tier", "extra_s"))
        )
        piece = Interruptions(piece.time_s - k * width, piece.stall_s, piece.rolls_back, piece.tier, piece.extra_s)
        done = run_gang(width, piece, none, policy, 200.0, state)
        state = done.state
        parts = {name: parts[name] + done.accounts[name] for name in ACCOUNTS}
    assert parts == pytest.approx(whole, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["synchronous", "elastic", "fault_tolerant"]),
    st.integers(1, 8),
    st.floats(0.5, 60.0),
)
@example(82969, "elastic", 1, 1.125)  # a rollback across a window gave back more waiting than there had been
def test_every_second_has_one_account(seed, mode, replica, hot):
    table = default_failures().scaled(hot)
    policy = TrainingPolicy(mode, replica_racks=replica, spares=3)
    job = simulate_job(RackClass("gb300", 72, 4), 60, 20 * 86400.0, policy, table, seed, technicians=3, windows=3)
    assert sum(job.accounts.values()) == pytest.approx(1.0, abs=1e-9)
    assert all(v >= -1e-12 for v in job.accounts.values())
    assert job.accounts["idle"] == pytest.approx(3 / 60)


def test_elastic_and_fault_tolerant_modes_save_large_runs():
    rack, table = RackClass("gb300", 72, 4), default_failures()
    got = {
        mode: simulate_job(rack, 2048, 30 * 86400.0, TrainingPolicy(mode, replica_racks=8), table, 1).accounts[
            "productive"
        ]
        for mode in ("synchronous", "elastic", "fault_tolerant")
    }
    assert got["synchronous"] < 0.65
    assert min(got["elastic"], got["fault_tolerant"]) > 0.8


def test_spares_are_worth_having_up_to_a_point():
    rack, table = RackClass("gb300", 72, 4), default_failures().plain()
    good = [
        simulate_job(rack, 256, 60 * 86400.0, TrainingPolicy(spares=n), table, 1).accounts["productive"]
        for n in (0, 6, 40)
    ]
    assert good[0] < good[1] > good[2]


@given(st.integers(1, 60), st.integers(1, 16))
def test_neighbours_touch_the_mean_of_all_placements(racks, replica):
    """An outage's racks lie side by side: never more replicas than racks, or than whole ones with a cut one at each end."""
    exact = np.mean([len({(first + i) // replica for i in range(racks)}) for first in range(replica)])
    (touched,) = replicas_touched(np.array([float(racks)]), replica, np.ones(1))
    assert touched == pytest.approx(exact)
    assert touched <= min(racks, math.ceil(racks / replica) + 1)


@given(st.integers(0, 40), st.integers(0, 20), st.integers(1, 12), st.integers(0, 10))
@settings(max_examples=40, deadline=None)
def test_an_outage_costs_a_fault_tolerant_run_whole_replicas_not_one_a_rack(hall, alone, replica, spares):
    nothing, ints = np.empty(0), np.empty(0, dtype=np.int64)
    hits = Interruptions(nothing, nothing, np.empty(0, dtype=np.bool_), ints, nothing)
    lacking = max(hall + alone - spares, 0)
    lacks = tuple(np.array([v]) for v in (1000.0, 5000.0, float(lacking)))
    outage = np.full(hall, 1000.0), np.full(hall, 5000.0), np.zeros(hall, dtype=np.int64)
    shape = GangShape(100 * replica + spares, spares, replica)
    policy = TrainingPolicy("fault_tolerant", replica_racks=replica, spares=spares)
    lost = missing_replicas(LENGTH, hits, Struck(nothing, ints, ints), lacks, shape, policy, outage)
    gone = float(lost[2].sum()) * shape.replicas
    assert gone <= lacking + 1e-9
    assert gone >= lacking / replica - 1e-9
    near = min(hall, lacking)
    assert gone <= math.ceil(near / replica) + 1 + (lacking - near) + 1e-9
    assert gone == 0.0 or (lost[0][0], lost[1][-1]) == (1000.0, 5000.0)


@pytest.mark.parametrize("mode", ["synchronous", "elastic", "fault_tolerant"])
@pytest.mark.parametrize("racks", [64, 512])
def test_closed_form_goodput_is_near_the_simulation(mode, racks):
    """What the planner leans on: within one point of the simulator, people and parts not short."""
    rack, table = RackClass("gb300", 72, 4), default_failures()
    policy = TrainingPolicy(mode, replica_racks=4)
    got = np.mean(
        [simulate_job(rack, racks, 90 * 86400.0, policy, table, s).accounts["productive"] for s in range(4)]
    )
    assert expected_goodput(72, racks, policy=policy, table=table, tray=4).goodput == pytest.approx(got, abs=0.01)


def test_the_best_policy_follows_size():
    assert best_policy(8, 4, replica_racks=4).mode == "synchronous"
    assert best_policy(72, 4096, replica_racks=8).mode != "synchronous"
