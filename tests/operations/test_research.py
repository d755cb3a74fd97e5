"""Research jobs keep to NVLink domains and pods, and no second of work is lost or made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operations.fleets import spec

from gigaforge.operations import fleet_of, simulate
from gigaforge.operations.queueing import fifo_starts
from gigaforge.operations.research import Hits, PoolState, ResearchPolicy, cut_into_blocks, run_pool

LENGTH = 30 * 86400.0
EDGES = np.linspace(0.0, LENGTH, 30 * 24 + 1)


def none():
    return Hits(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_))


def hits(rng, racks, count):
    time = np.sort(rng.random(count) * LENGTH)
    return Hits(time, time + rng.exponential(6 * 3600.0, count) * (rng.random(count) < 0.8), rng.integers(0, racks, count),
                rng.random(count) < 0.2)  # fmt: skip


@given(
    st.integers(1, 200),
    st.integers(1, 16),
    st.dictionaries(
        st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 8.0, 12.0]), st.floats(0.01, 1.0), min_size=1
    ),
)
def test_blocks_share_domains_or_keep_them_whole_and_never_cross_a_pod(racks, pod, sizes):
    used = np.zeros(racks)
    for block in cut_into_blocks(racks, pod, ResearchPolicy(tuple(sizes.items()))):
        for first in block.first.tolist():
            assert first // pod == (first + block.width - 1) // pod
            used[first : first + block.width] += min(block.size, 1.0)
    assert used == pytest.approx(np.ones(racks))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(0.1, 1.2), st.integers(0, 60), st.floats(0.0, 1.5))
def test_work_submitted_is_done_once_whatever_breaks(seed, racks, use, count, spread):
    """Held time less what was done again and starting up is the work of the jobs, once all have ended."""
    rng, policy = np.random.default_rng(seed), ResearchPolicy(spread=spread, duration_s=20_000.0)
    blocks, expected = cut_into_blocks(racks, 8, policy), 0.0
    twin = np.random.default_rng(seed + 1)
    for block in blocks:  # the same draws
        jobs = twin.poisson(use * block.first.size * LENGTH / policy.duration_s)
        twin.random(jobs)
        work = policy.duration_s * np.exp(spread * twin.standard_normal(jobs) - 0.5 * spread**2)
        expected += block.size * np.minimum(work, 20.0 * policy.duration_s).sum()
    state, done, busy = PoolState(), 0.0, 0.0
    for window in range(6):
        struck = hits(rng, racks, count)
        asked = use if window == 0 else 0.0
        part = run_pool(np.random.default_rng(seed + 1), EDGES, racks, 8, asked, struck, policy, state)
        state, busy = part.state, busy + part.busy_s
        done += part.busy_s - part.rework_s - part.restart_s
        assert part.busy.max(initial=0.0) <= racks + 1e-9
        assert part.busy.sum() * 3600.0 == pytest.approx(part.busy_s)
        assert min(part.rework_s, part.restart_s, part.waited_s) >= 0.0
    left = sum(q.size * (sum(w for _, w, _ in q.waiting) + sum(max(e, 0.0) for e in q.end_s)) for q in state.queues)
    if left == 0.0:
        assert done == pytest.approx(expected, rel=1e-9)
    else:
        assert done <= expected * (1 + 1e-9)


def test_without_failures_a_size_is_a_first_come_first_served_queue():
    policy = ResearchPolicy(((1.0, 1.0),), duration_s=7200.0)
    rng = np.random.default_rng(5)
    arrive = np.sort(rng.random(rng.poisson(0.95 * 12 * LENGTH / 7200.0)) * LENGTH)
    work = np.minimum(7200.0 * np.exp(rng.standard_normal(arrive.size) - 0.5), 20 * 7200.0)
    start, _ = fifo_starts(arrive, work, [0.0] * 12)
    begun = start < LENGTH
    done = run_pool(np.random.default_rng(5), EDGES, 12, 8, 0.95, none(), policy, PoolState())
    assert done.jobs == begun.sum()
    assert done.waited_s == pytest.approx((start - arrive)[begun].sum())


def test_a_pool_that_shrinks_keeps_its_jobs():
    policy = ResearchPolicy(duration_s=40_000.0)
    first = run_pool(np.random.default_rng(1), EDGES, 64, 8, 0.9, none(), policy, PoolState())
    rest = run_pool(np.random.default_rng(2), EDGES, 16, 8, 0.0, none(), policy, first.state)
    running = sum(q.size * sum(e for e in q.end_s if e > 0.0) for q in first.state.queues)
    waiting = sum(q.size * sum(w for _, w, _ in q.waiting) for q in first.state.queues)
    left = sum(q.size * sum(e for e in q.end_s if e > 0.0) for q in rest.state.queues)
    assert rest.busy_s - rest.restart_s + left == pytest.approx(running + waiting, rel=0.01)
    assert rest.state.racks == 16


def test_a_fleet_tells_of_its_jobs():
    """Jobs hold what was asked for, less what they wait for; failures strike the large ones more often."""
    fleets = {u: fleet_of(spec(research={"use": f"{u} %"})) for u in (40, 85)}
    rows = {u: [p for s in range(4) for p in simulate(f, s).summary()["research"]] for u, f in fleets.items()}
    for use, pools in rows.items():  # one small pool in one quarter is luck: the mean of eight is not
        assert np.mean([p["used_share"] for p in pools]) == pytest.approx(use / 100, abs=0.12)
        for pool in pools:
            assert sum(pool["waterfall"].values()) == pytest.approx(1.0)
            assert all(v >= -1e-9 for v in pool["waterfall"].values())
            assert pool["jobs"] > 100
    assert np.mean([r["mean_wait_s"] for r in rows[40]]) < np.mean([r["mean_wait_s"] for r in rows[85]])
    assert sum(r["interruptions"] for r in rows[85]) > 10
