"""Hot spares of one site are a pool: own ones first, then others', and nothing appears from nowhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.operations.engine import fresh_state, run_windows
from gigaforge.operations.failures import Cohort
from gigaforge.operations.fleet import Fleet, Group, Site
from gigaforge.operations.gang import GangShape
from gigaforge.operations.intervals import above
from gigaforge.operations.modes import RackClass, default_failures
from gigaforge.operations.policy import TrainingPolicy
from gigaforge.operations.spares import lacking, site_shapes
from gigaforge.operations.weather import climate_at
from gigaforge.quarters import Quarter

DAY = 86400.0


def at(steps, time):
    inside = (steps.start <= time) & (time < steps.end)
    return float(steps.value[inside].sum())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(0, 25))
def test_lending_is_what_a_walk_through_time_gives(seed, spares, downs):
    rng = np.random.default_rng(seed)
    shapes = [GangShape(20 + 5 * i, n, 1) for i, n in enumerate(spares)]
    times = []
    for _ in shapes:
        start = np.sort(rng.random(downs) * 100.0)
        times.append((start, start + rng.exponential(10.0, downs)))
    answer = lacking(100.0, times, shapes)
    for time in rng.random(40) * 100.0:
        gone = [int(((a <= time) & (time < b)).sum()) for a, b in times]
        free = [max(s - g, 0) for s, g in zip(spares, gone, strict=True)]
        total = sum(free)
        for i in sorted(range(len(shapes)), key=lambda i: (-shapes[i].racks, i)):
            lack = max(gone[i] - spares[i], 0)
            taken = min(lack, total)
            total -= taken
            assert at(answer[i].missing, time) == lack - taken
        assert sum(at(a.borrowed, time) for a in answer) == 0.0


def test_a_run_alone_lacks_what_its_own_spares_do_not_cover():
    rng = np.random.default_rng(1)
    start = np.sort(rng.random(60) * 100.0)
    end = start + rng.exponential(8.0, 60)
    (only,) = lacking(200.0, [(start, end)], [GangShape(50, 2, 1)])
    begin, finish = above(start, end, 2)
    covered = (only.missing.end - only.missing.start).sum()
    assert covered == pytest.approx((finish - begin).sum())
    assert only.borrowed.value.size == 0


def site_of_two(share):
    rack, count = RackClass("nv", 72, 4), np.full(1, 256, dtype=np.int64)
    site = Site("s", np.full(1, 1e18), np.full(1, 1.1), np.full(1, 1.0), climate_at(None), share_spares=share)
    groups = tuple(
        Group(f"run{i}", 0, rack, "training", f"run{i}", count, np.ones(1), np.ones(1), np.full(1, 0.3),
              ([Cohort(0, 256, -1e9)],), (TrainingPolicy("synchronous"),))
        for i in range(3)
    )  # fmt: skip
    table = replace(default_failures(), outages=(), degraded_rate=0.0)
    return Fleet("pool", Quarter.parse("2027-Q1"), (site,), groups, (), table)


def test_a_pool_needs_fewer_spares_and_waits_no_more():
    books = {}
    for share in (True, False):
        fleet = site_of_two(share)
        totals = [run_windows(fleet, seed, fresh_state(fleet)).books.groups for seed in range(3)]
        books[share] = [sum(b.accounts[k] for run in totals for b in run) for k in ("idle", "wait", "productive")]
    assert books[True][0] < 0.9 * books[False][0]
    assert books[True][2] > books[False][2]
    fleet = site_of_two(True)
    shapes = site_shapes(fleet, [0, 1, 2], 0)
    assert all(s.spares >= 1 and s.active + s.spares == 256 for s in shapes.values())


def test_given_spares_are_kept():
    fleet = site_of_two(True)
    first = replace(fleet.groups[0], policies=(TrainingPolicy("synchronous", spares=17),))
    shapes = site_shapes(replace(fleet, groups=(first, *fleet.groups[1:])), [0, 1, 2], 0)
    assert shapes[0].spares == 17
