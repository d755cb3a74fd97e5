"""Solving a window at once gives exactly what an event-by-event simulation gives."""

import heapq
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.operations.closed_form import expected_availability
from gigaforge.operations.failures import Cohort, Events, concatenate, draw_outages, draw_window
from gigaforge.operations.job import simulate_job
from gigaforge.operations.modes import Mode, RackClass, Repair, default_failures
from gigaforge.operations.policy import TrainingPolicy
from gigaforge.operations.repair import Crew, mend

REPAIR = Repair(20.0, 40.0, 0.5, 5.0, 0.6, 90.0, 0.3)


def draw(seed, count, racks, lemons=True):
    rng = np.random.default_rng(seed)
    by_hand = rng.random(count) < 0.5
    return Events(
        time_s=rng.random(count) * 1000.0,
        rack=rng.integers(0, racks, count),
        group=np.zeros(count, dtype=np.int64),
        mode=np.zeros(count, dtype=np.int64),
        by_hand=by_hand,
        part=by_hand & (rng.random(count) < 0.5),
        excess=(rng.random(count) < 0.3) & lemons,
        cures=by_hand & (rng.random(count) < 0.3),
        service_s=rng.exponential(30.0, count),
        ends_s=np.full(count, np.nan),
        dice=rng.random(count),
    )


def one_by_one(events, technicians, parts):
    """The reference: an event loop with a heap, one failure at a time."""
    heap = [(float(t), 1, int(r), i) for i, (t, r) in enumerate(zip(events.time_s, events.rack, strict=True))]
    heapq.heapify(heap)
    people, shelf = [0.0] * technicians, [0.0] * parts
    down, pending, cured, until = {}, set(), set(), {}
    while heap:
        now, kind, rack, i = heapq.heappop(heap)
        if kind == 0:
            begin = max(now, heapq.heappop(people))
            heapq.heappush(people, begin + events.service_s[i])
            pending.discard(rack)
            down[rack] = until[i] = begin + events.service_s[i] + REPAIR.burn_in_s
            continue
        if rack in pending or down.get(rack, -1.0) > now or (events.excess[i] and rack in cured):
            continue
        if events.cures[i]:
            cured.add(rack)
        if not events.by_hand[i]:
            down[rack] = until[i] = now + events.service_s[i]
            continue
        ready = now
        if events.part[i]:
            ready = max(now, heapq.heappop(shelf))
            heapq.heappush(shelf, ready + REPAIR.part_lead_s)
        pending.add(rack)
        heapq.heappush(heap, (ready, 0, rack, i))
    return until


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 12), st.integers(1, 4), st.integers(1, 5))
def test_a_window_at_once_equals_one_event_at_a_time(seed, count, racks, technicians, parts):
    events = draw(seed, count, racks)
    expected = one_by_one(events, technicians, parts)
    down, *_ = mend(events, Crew.fresh(technicians, parts), REPAIR)
    got = {round(float(t), 9): float(u) for t, u in zip(down.events.time_s, down.until_s, strict=True)}
    want = {round(float(events.time_s[i]), 9): float(u) for i, u in expected.items()}
    assert got.keys() == want.keys()
    assert all(got[k] == pytest.approx(want[k], rel=1e-9) for k in got)


def test_no_rack_is_counted_down_twice():
    table, rack = default_failures().scaled(20.0), RackClass("r", 72, 4)
    events = draw_window(1, ("g",), (0.0, 7.9e6), [Cohort(0, 300, 0.0)], table, rack, window_index=0)
    outages = draw_outages(1, ("s",), 7.9e6, [(0, 300)], table.__class__(**{**table.__dict__, "outages": tuple(
        o.__class__(o.kind, o.scope, o.rate * 100, o.duration_s, o.tier) for o in table.outages)}), {"pod": 8, "hall": 128}, window_index=0)  # fmt: skip
    assert outages.size > 100
    down, *_ = mend(concatenate([events, outages]), Crew.fresh(20, 50), table.repair)
    for r in range(300):
        mine = np.flatnonzero((down.events.rack == r) & (down.end_s > down.start_s))
        order = mine[np.argsort(down.start_s[mine])]
        assert np.all(down.start_s[order][1:] >= down.end_s[order][:-1] - 1e-6)


def test_availability_is_mtbf_over_mtbf_and_mttr():
    """To one part in ten thousand: 20,000 racks, a failure in 20 days, 12 hours to repair."""
    table = default_failures().plain()
    mode = Mode("fault", "rack", 1 / (20 * 86400.0), auto=1.0)
    table = table.__class__(
        **{**table.__dict__, "modes": (mode,), "repair": Repair(43200.0, 1.0, 0.1, 0.0, 0.0, 1.0)}
    )
    job = simulate_job(
        RackClass("r", 8), 20_000, 365 * 86400.0, TrainingPolicy(spares=1000, planned_per_s=0.0), table, 3
    )
    # the first days start with every rack up: a known bias of MTTR / horizon, taken out
    start_up = (1 - 20 / 20.5) * (0.5 * 20 / 20.5) / 365
    assert job.availability - start_up == pytest.approx(20 / 20.5, abs=1e-4)


def test_the_shipped_table_keeps_its_own_closed_form():
    table, rack = default_failures().plain(), RackClass("gb300", 72, 4)
    got = simulate_job(rack, 3000, 200 * 86400.0, TrainingPolicy(spares=100), table, 1).availability
    assert got == pytest.approx(expected_availability(72, tray=4, table=table), abs=3e-4)


def test_few_technicians_make_racks_wait():
    table, rack = default_failures().plain(), RackClass("gb300", 72, 4)
    runs = [
        simulate_job(rack, 500, 90 * 86400.0, TrainingPolicy(spares=50), table, 1, technicians=n)
        for n in (2, 4, None)
    ]
    assert runs[0].availability < runs[1].availability < runs[2].availability


def only_failures(table, events):
    return events.take(~table.planned[events.mode])


def test_lemons_keep_the_mean_rate_and_fail_more():
    table = replace(default_failures().plain(), lemon_share=0.02, lemon_multiple=20.0)
    rack = RackClass("node", 8)
    events = draw_window(5, ("g",), (0.0, 30 * 86400.0 * 12), [Cohort(0, 2000, -1e9)], table, rack, window_index=0)
    events = only_failures(table, events)
    expected = table.interrupt_rate(rack) * 2000 * 30 * 86400.0 * 12
    assert events.size == pytest.approx(expected, rel=0.03)
    counts = np.sort(np.bincount(events.rack, minlength=2000))[::-1]
    assert counts[:40].sum() / counts.sum() == pytest.approx(20 * 0.02 / (1 + 0.02 * 19), rel=0.15)


def test_maintenance_comes_to_each_rack_in_turn_whatever_its_age():
    """Planned visits are no failures: no infancy, no luck, no parts; each rack as often as the rate says."""
    table = default_failures().only("planned_maintenance")
    year, rack = 365.25 * 86400.0, RackClass("nv", 72, 4)
    visits = draw_window(
        3, ("g",), (0.0, year), [Cohort(0, 300, 0.0), Cohort(300, 200, -9 * year)], table, rack, window_index=0
    )
    assert np.bincount(visits.rack, minlength=500).tolist() == [2] * 500
    assert np.ptp(np.diff(np.sort(visits.time_s))) < 1e-3
    assert not visits.part.any()
    halves = [draw_window(3, ("g",), (a, a + year / 2), [Cohort(0, 500, 0.0)], table, rack, window_index=i)
              for i, a in enumerate((0.0, year / 2))]  # fmt: skip
    assert sum(h.size for h in halves) == visits.size


def test_old_racks_wear():
    table = replace(default_failures().plain(), wear_per_year=0.2)
    rack, span = RackClass("n", 8), 120 * 86400.0
    young, old = (
        only_failures(table, draw_window(2, ("g",), (0.0, span), [Cohort(0, 9000, -age * 365.25 * 86400.0)], table, rack, window_index=0)).size
        for age in (0.0, 4.0)
    )  # fmt: skip
    assert old / young == pytest.approx(1.0 + 0.2 * 4.0, rel=0.1)


def test_new_racks_fail_more_often_and_settle():
    table = replace(default_failures().plain(), infant_excess=2.0)
    events = draw_window(
        2, ("g",), (0.0, 120 * 86400.0), [Cohort(0, 5000, 0.0)], table, RackClass("n", 8), window_index=0
    )
    events = only_failures(table, events)
    month = np.histogram(events.time_s, np.arange(5) * 30 * 86400.0)[0]
    assert month[0] / month[3] == pytest.approx(
        (1 + 2 * (1 - np.exp(-1))) / (1 + 2 * np.exp(-3) * (1 - np.exp(-1))), rel=0.08
    )
