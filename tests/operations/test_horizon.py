"""A horizon of any length, a line for each quarter, and policies of every kind to compare."""

from dataclasses import replace

import numpy as np
import pytest
from tests.operations.fleets import spec

from gigaforge.errors import InputError
from gigaforge.operations import fleet_of, load_fleet, simulate
from gigaforge.operations.changes import policies, with_changes
from gigaforge.operations.plan_input import fleet_of_plan

YEAR_S = 365.25 * 86400.0


@pytest.mark.parametrize("years", [0.01, 0.1, 0.25, 0.6])
def test_a_horizon_is_simulated_as_long_as_it_was_asked_for(years, tmp_path):
    result = simulate(fleet_of(spec(years=years)), 1, out=tmp_path)
    assert result.books.time_s == pytest.approx(years * YEAR_S, abs=150.0)
    summary = result.summary()
    assert sum(summary["waterfall"].values()) == pytest.approx(1.0)
    assert summary["energy_j"] > 0.0


def test_a_plan_is_cut_where_the_horizon_ends(plan_dir):
    fleet = fleet_of_plan(plan_dir, years=0.6)
    assert fleet.windows == 3
    assert simulate(fleet, 0).books.time_s == pytest.approx(0.6 * YEAR_S, abs=150.0)
    assert fleet_of_plan(plan_dir, years=50.0).last_s is None


def test_a_short_horizon_is_the_beginning_of_a_long_one(sample_yaml):
    """The first weeks of a quarter differ from the quarter's only by chance: rates, not seeds, are the same."""
    short, long = (
        np.mean([simulate(load_fleet(sample_yaml, years=y), s).summary()["availability"] for s in range(4)])
        for y in (0.2, 0.25)
    )
    assert short == pytest.approx(long, abs=0.003)


def test_quarters_add_up_and_say_why_targets_were_missed():
    fleet = fleet_of(spec(years=0.6))
    summary = simulate(fleet, 1).summary()
    lines = summary["quarters"]
    assert [q["quarter"] for q in lines] == ["2027-Q3", "2027-Q4", "2028-Q1"]
    for key in ("energy_j", "tokens_served", "tokens_demanded", "cost_usd"):
        assert sum(q[key] for q in lines) == pytest.approx(summary[key])
    assert sum(q["failures"] for q in lines) == summary["events"]
    missed = sum(q["slo_violations"] * q["tokens_demanded"] for q in lines)
    assert missed / summary["tokens_demanded"] == pytest.approx(summary["slo_violations"])
    heavy = spec(serving=[{"name": "chat", "demand": "100M token/s", "pools": [
        {"site": "a", "system": "nv", "racks": 60, "tokens_per_second": "500k token/s"}]}])  # fmt: skip
    line = simulate(fleet_of(heavy), 1).summary()["quarters"][0]
    assert line["shed_share"] > 0.6
    assert line["beyond_all_racks_share"] == pytest.approx(line["shed_share"], abs=0.02)


def test_a_fleet_that_only_serves_has_a_waterfall_too():
    summary = simulate(fleet_of(spec(training=[])), 1).summary()
    assert summary["goodput"] is None  # availability is another figure
    assert summary["waterfall_of"] == "serving"
    assert summary["waterfall"] == summary["serving_waterfall"]
    assert sum(summary["waterfall"].values()) == pytest.approx(1.0)
    assert summary["waterfall"]["productive"] > 0.2
    assert summary["waterfall"]["repair"] > 0.0


def test_serving_and_site_policies_change():
    fleet = fleet_of(spec())
    changed = with_changes(fleet, "autoscale=none,backfill=no,technicians=3,spares=5,interval_s=600")
    assert changed.serving[0].policy.autoscale == "none"
    assert not changed.serving[0].policy.backfill
    assert all((s.technicians == 3).all() for s in changed.sites)
    run = next(g for g in changed.groups if g.kind == "training")
    assert {(p.spares, p.checkpoint.interval_s) for p in run.policies} == {(5, 600.0)}


def test_what_a_fleet_does_now_is_said_shortly(plan_dir):
    fleet = fleet_of_plan(plan_dir)
    some = replace(fleet.sites[0], technicians=np.array([2, 5, 9, 11]))
    said = policies(
        replace(fleet, sites=(some, replace(fleet.sites[1], technicians=np.full(4, 3)))), ["technicians", "autoscale"]
    )
    assert said == "technicians=2 to 11, autoscale=reactive"


@pytest.mark.parametrize(
    ("fleet", "text", "message"),
    [
        ({"training": []}, "mode=elastic", "this fleet has none"),
        ({"serving": []}, "autoscale=none", "serves nothing"),
        ({}, "backfill=maybe", "not yes or no"),
        ({}, "autoscale=psychic", "known: none, reactive, forecast"),
        ({}, "interval_s=0", "more than 0"),
    ],
)
def test_changes_that_change_nothing_are_refused(fleet, text, message):
    with pytest.raises(InputError, match=message):
        with_changes(fleet_of(spec(**fleet)), text)
