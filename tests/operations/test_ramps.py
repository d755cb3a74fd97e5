"""Swings against the grid: storage hides them, what it cannot carry costs time or energy; feeders bind by hall."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.operations.fleets import spec

from gigaforge.operations import fleet_of, simulate
from gigaforge.operations.engine import fresh_state, run_window
from gigaforge.operations.fleet import hall_shares
from gigaforge.operations.power import Storage
from gigaforge.operations.ramps import ramp_need, reserve_j


def site_with(fleet, **changes):
    return replace(fleet, sites=(replace(fleet.sites[0], **changes), *fleet.sites[1:]))


@pytest.fixture(scope="module")
def fleet():
    return fleet_of(spec())


def test_needed_storage_is_two_triangles(fleet):
    limited = site_with(fleet, ramp_w_per_s=1e5)
    need = ramp_need(limited.sites[0], limited.groups[0], 100, 0)
    step = 100 * (132e3 - 0.3 * 132e3) * 1.15
    assert need.stop_step_w == pytest.approx(step)
    assert need.storage_j == pytest.approx(step**2 / 1e5)
    assert need.ramp_s == pytest.approx(0.5 * step / 1e5)
    enough = site_with(limited, storage=Storage(need.storage_j, need.storage_w))
    carried = ramp_need(enough.sites[0], enough.groups[0], 100, 0)
    assert carried.ramp_s == pytest.approx(0.0, abs=1e-9)
    assert carried.reserve_j == pytest.approx(need.storage_j)
    assert 0.0 < reserve_j(enough, 0, 0) <= need.storage_j * 1.5
    assert reserve_j(fleet, 0, 0) == 0.0


def test_the_less_storage_the_more_time_restarts_take(fleet):
    batteries = (Storage(2e9, 2e7), Storage(2e8, 5e6), None)
    runs = [simulate(site_with(fleet, ramp_w_per_s=5e4, storage=b), 1).waterfall["restart"] for b in batteries]
    free = simulate(fleet, 1).waterfall["restart"]
    assert free <= runs[0] < runs[1] < runs[2]


def test_burnt_energy_is_the_area_between_load_and_ramp(fleet):
    limited = site_with(fleet, ramp_w_per_s=1e5)
    need = ramp_need(limited.sites[0], limited.groups[0], 100, 0)
    long, short = need.burnt_j(np.array([1e9])), need.burnt_j(np.array([10.0]))
    assert long == pytest.approx(need.fall_w**2 / (2.0 * need.rate_w_per_s))
    assert short == pytest.approx(need.fall_w * 10.0 - 0.5 * need.rate_w_per_s * 100.0)
    assert ramp_need(fleet.sites[0], fleet.groups[0], 100, 0).burnt_j(np.array([1e9])) == 0.0


def test_swings_beyond_the_limit_cost_energy(fleet):
    free = ramp_need(fleet.sites[0], fleet.groups[0], 100, 0)
    tight = site_with(fleet, swing_limit_w=0.2 * free.swing_after_w)
    held = ramp_need(tight.sites[0], tight.groups[0], 100, 0)
    assert held.hold_w > 0.0 == free.hold_w
    assert simulate(tight, 1).summary()["it_energy_j"] > simulate(fleet, 1).summary()["it_energy_j"]
    battery = site_with(tight, storage=Storage(1e11, 1e8))
    assert ramp_need(battery.sites[0], battery.groups[0], 100, 0).hold_w == 0.0


def test_a_feeder_slows_the_hall_it_feeds_although_the_site_has_power(fleet):
    """Halls of training racks are hot, halls that serve are not: a limit between them binds in the first only."""
    hall = fleet.sites[0].hall_racks
    hot = 1.15 * 132e3 * hall
    free, fed = simulate(fleet, 1), simulate(site_with(fleet, feeder_w=0.8 * hot), 1)
    assert fed.waterfall["power"] > 0.02 > free.waterfall["power"]
    assert fed.summary()["sites"]["a"]["feeder_cut_j"] > 0.0
    assert fed.summary()["sites"]["a"]["over_limit_s"] == 0.0
    same = simulate(site_with(fleet, feeder_w=10.0 * hot), 1)
    assert same.waterfall["power"] == pytest.approx(free.waterfall["power"])


def test_no_hall_draws_more_than_its_feeder(fleet):
    limit = 0.9 * 1.15 * 132e3 * fleet.sites[0].hall_racks
    tight = site_with(fleet, feeder_w=limit)
    state = fresh_state(tight)
    done = run_window(tight, 3, state).sites[0]
    assert done.facility_w.max() <= limit * sum(hall_shares(tight, 0, 0).values()) * (1 + 1e-9)
    assert math.isfinite(done.cost_usd)
