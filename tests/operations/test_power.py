"""Cooling, caps, storage, swings: energy is conserved and limits hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.operations.power import (
    Cooling,
    PowerPolicy,
    Storage,
    dispatch_storage,
    pace_under_cap,
    price_factor,
    pue_of,
    solar_factor,
    synchronous_swing,
)
from gigaforge.operations.weather import Climate, climate_at, dry_bulb_c, wet_bulb_c


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 5e5), st.floats(0.0, 500.0), st.floats(0.5, 1.0))
def test_storage_conserves_energy(seed, energy, power, efficiency):
    rng = np.random.default_rng(seed)
    demand, limit = rng.random(300) * 1000.0, np.full(300, 700.0)
    storage = Storage(energy, power, efficiency)
    grid, left = dispatch_storage(demand, limit, storage, 300.0, energy)
    loss = np.sqrt(efficiency)
    flow = (grid - demand) * 300.0  # into the battery where positive
    stored = np.where(flow > 0, flow * loss, flow / loss).sum()
    assert energy + stored == pytest.approx(left, abs=1e-6 * max(energy, 1.0))
    assert -1e-6 <= left <= energy + 1e-6
    assert np.all(np.abs(grid - demand) <= power + 1e-9)
    assert np.all(grid <= np.maximum(demand, limit) + 1e-9)


def test_pue_keeps_the_sites_mean_and_follows_weather_and_load():
    climate = climate_at(32.4)
    dry = dry_bulb_c(np.random.default_rng(0), climate, 0.0, 8766, 3600.0)
    wet = wet_bulb_c(dry, climate.humidity)
    full = pue_of(Cooling(), wet, np.ones(wet.size), 1.15)
    assert full.mean() == pytest.approx(1.15, abs=1e-9)
    assert full[np.argmax(wet)] > full[np.argmin(wet)] + 0.02
    assert np.all(pue_of(Cooling(), wet, np.full(wet.size, 0.3), 1.15) > full)
    assert np.all(full >= 1.0)


def test_wet_bulb_matches_the_published_example():
    """Stull 2011: 20 °C at 50 % gives 13.7 °C."""
    assert wet_bulb_c(np.array([20.0]), 50.0)[0] == pytest.approx(13.7, abs=0.05)


def test_climates_follow_the_map():
    assert climate_at(32.4).mean_c == pytest.approx(18.1, abs=1.0)  # Abilene
    assert climate_at(43.0).mean_c == pytest.approx(9.0, abs=1.5)  # Milwaukee
    dry = dry_bulb_c(np.random.default_rng(1), climate_at(43.0), 0.0, 8766, 3600.0)
    months = dry[: 8760 // 12 * 12].reshape(12, -1).mean(axis=1)
    assert 5 <= np.argmax(months) <= 7
    assert np.argmin(months) in (0, 1, 11)
    south = dry_bulb_c(np.random.default_rng(1), climate_at(-33.0), 0.0, 8766, 3600.0)
    assert south[:700].mean() > south[4300:5000].mean()


@given(st.floats(0.1, 2.0), st.floats(0.0, 3.0))
def test_throttling_meets_the_cap_or_the_floor(power, cap):
    policy = PowerPolicy()
    left, pace = pace_under_cap(np.array([power]), np.array([cap]), policy)
    assert left[0] <= max(cap, power * policy.floor) + 1e-12
    assert 0.0 < pace[0] <= 1.0
    assert (pace[0] == 1.0) == (cap >= power)


def test_price_and_sun():
    assert price_factor(0.0, 288 * 5, 300.0, -6.0, 0.3).mean() == pytest.approx(1.0)
    sun = solar_factor(0.0, 288 * 365, 300.0, 32.4, -6.6)
    assert sun.min() == 0.0
    assert 0.2 < sun.mean() < 0.35
    assert 0.95 < sun.max() <= 1.0
    polar = solar_factor(0.0, 288 * 20, 300.0, 75.0, 0.0)
    assert polar.max() == 0.0


def test_storage_in_power_supplies_flattens_fast_swings_only():
    fast, slow = (synchronous_swing(72.0, 1400.0, 200.0, step, 0.35) for step in (0.2, 5.0))
    assert fast.after_storage_w < 1.0
    assert slow.after_storage_w > 0.85 * (slow.high_w - slow.low_w)
    assert fast.low_w < fast.mean_w < fast.high_w
    assert 0.0 <= slow.peak_cut < fast.peak_cut <= 0.31


def test_a_given_climate_is_used():
    cold = Climate(0.0, 10.0)
    assert dry_bulb_c(np.random.default_rng(0), cold, 0.0, 8766, 3600.0).mean() == pytest.approx(0.0, abs=0.5)
