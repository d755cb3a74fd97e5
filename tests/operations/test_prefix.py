"""A quarter is itself: how long a simulation lasts changes nothing that happened before its end."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operations.conftest import write_plan
from tests.operations.fleets import spec

from gigaforge.errors import InputError
from gigaforge.operations import fleet_of, load_fleet
from gigaforge.operations.engine import fresh_state, run_windows
from gigaforge.operations.fleet import part_of
from gigaforge.operations.plan_input import fleet_of_plan
from gigaforge.operations.run import simulate
from gigaforge.operations.sitepower import SiteWindow


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """A plan whose runs grow, and whose racks draw more and answer slower from its third quarter on."""
    folder = write_plan(tmp_path_factory.mktemp("growing") / "plan", racks=120)
    points = pd.read_parquet(folder / "operating_points.parquet").assign(ttft_s=0.3, tpot_s=0.02, step_s=4.0)
    later = points.assign(
        id=points["id"] + "-later",
        it_power_w_per_rack=points["it_power_w_per_rack"] * 1.1,
        tpot_s=0.03,
        racks_per_unit=8,
    )
    pd.concat([points, later]).to_parquet(folder / "operating_points.parquet")
    allocation = pd.read_parquet(folder / "allocation.parquet")
    late = allocation["quarter"] >= "2027-Q3"
    allocation.loc[late, "point"] += "-later"
    allocation.loc[late & (allocation["workload"] == "frontier"), "racks"] += 2
    allocation.to_parquet(folder / "allocation.parquet")
    return folder


def windows_of(fleet, seed):
    found = []
    state = run_windows(fleet, seed, fresh_state(fleet), lambda result, _: found.append(result))
    return found, state.books.quarters


def assert_same(short, long):
    for a, b in zip(short.sites, long.sites, strict=False):
        for f in fields(SiteWindow):
            if isinstance(getattr(a, f.name), np.ndarray):
                np.testing.assert_array_equal(getattr(a, f.name), getattr(b, f.name))
    for (w, a), (v, b) in zip(short.serving, long.serving, strict=True):
        assert w.name == v.name
        for name in ("demand", "served_paid", "tpot_s", "late", "power_w"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for a, b in zip(short.failures, long.failures, strict=False):
        np.testing.assert_array_equal(a.down.events.time_s, b.down.events.time_s)
        np.testing.assert_array_equal(a.down.events.rack, b.down.events.rack)
        np.testing.assert_array_equal(a.end_s, b.end_s)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), quarters=st.integers(1, 3), first=st.integers(0, 1))
def test_quarters_of_a_short_horizon_are_those_of_a_longer_one(growing, seed, quarters, first):
    begin = f"2027-Q{1 + first}"
    long, long_lines = windows_of(fleet_of_plan(growing, first=begin), seed)
    short, lines = windows_of(fleet_of_plan(growing, first=begin, years=quarters / 4), seed)
    assert lines == long_lines[: len(lines)]
    for a, b in zip(short, long, strict=False):
        assert_same(a, b)


@pytest.mark.parametrize("years", [0.5, 1.0])
def test_a_fleet_file_of_more_years_begins_alike(years):
    _, lines = windows_of(fleet_of(spec(years=years)), 3)
    _, longer = windows_of(fleet_of(spec(years=years + 0.25)), 3)
    assert lines == longer[: len(lines)]


def test_a_later_start_meets_the_same_failures_weather_and_demand(growing):
    """Only what a quarter inherits differs: racks in repair, work not yet saved."""
    whole, lines = windows_of(fleet_of_plan(growing), 5)
    later, own = windows_of(fleet_of_plan(growing, first="2027-Q3", years=0.25), 5)
    np.testing.assert_array_equal(later[0].sites[0].temperature_c, whole[2].sites[0].temperature_c)
    np.testing.assert_array_equal(later[0].serving[0][1].demand, whole[2].serving[0][1].demand)
    ours, theirs = (set(w.failures[0].down.events.time_s.tolist()) for w in (later[0], whole[2]))
    assert len(ours & theirs) > 0.9 * len(ours)
    assert own[0]["goodput"] == pytest.approx(lines[2]["goodput"], abs=0.02)


def test_a_run_chooses_its_way_for_the_size_it_has(growing):
    """A run that grows from 30 to 62 racks, in replicas of 4 and then 8, keeps spares for what it is in each quarter."""
    fleet = fleet_of_plan(growing)
    run = next(g for g in fleet.groups if g.kind == "training" and g.racks.max() > 60)
    assert [p.replica_racks for p in run.policies][-1] in (1, 8)
    row = next(r for r in simulate(fleet, 1).summary()["training"] if r["name"] == run.name)
    assert [s["racks"] for s in row["stretches"]] == sorted(set(run.racks.tolist()))
    assert row["stretches"][0]["from"] == "2027-Q1"
    assert row["spares"] == row["stretches"][-1]["spares"]
    assert row["stretches"][0]["spares"] <= row["stretches"][-1]["spares"]
    small = simulate(part_of(fleet, 0, 1), 1).summary()["training"]
    assert next(r for r in small if r["name"] == run.name)["spares"] == row["stretches"][0]["spares"]


def test_racks_draw_what_the_points_of_their_quarter_draw(growing):
    run = next(g for g in fleet_of_plan(growing).groups if g.kind == "training")
    assert run.full_w[2] == pytest.approx(1.1 * run.full_w[0])
    chat = next(g for g in fleet_of_plan(growing).groups if g.kind == "serving")
    assert [round(t, 6) for t in chat.tpot_s] == [0.02, 0.02, 0.03, 0.03]


@pytest.mark.parametrize(("first", "message"), [("2025-Q1", "begins 2027-Q1"), ("2040-Q1", "ends 2027-Q4")])
def test_a_start_outside_the_plan_is_refused(growing, first, message):
    with pytest.raises(InputError, match=message):
        fleet_of_plan(growing, first=first)


def test_a_fleet_file_has_a_start_of_its_own(sample_yaml):
    with pytest.raises(InputError, match="start: 2027-Q1"):
        load_fleet(sample_yaml, first="2040-Q1")
