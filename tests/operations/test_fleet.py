"""A fleet's books balance, seeds repeat, stopped runs continue, policies compare under the same luck."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operations.fleets import spec

from gigaforge.errors import InputError
from gigaforge.operations import compare, feedback, fleet_of, load_fleet, replicate, simulate
from gigaforge.operations.changes import policy_changes, with_policy
from gigaforge.operations.engine import fresh_state, run_window
from gigaforge.operations.power import Storage
from gigaforge.operations.sink import FolderSink, load_state


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    hot=st.floats(0.0, 30.0),
    power=st.integers(8, 60),
    mode=st.sampled_from(["synchronous", "elastic", "fault_tolerant"]),
    scaling=st.sampled_from(["none", "reactive", "forecast"]),
    demand=st.integers(1, 120),
    storage=st.booleans(),
)
def test_time_energy_and_tokens_are_conserved(seed, hot, power, mode, scaling, demand, storage):
    """Whatever breaks, and however short power and capacity are: the books raise if anything is lost."""
    fleet = fleet_of(spec(failures={"rate_multiplier": hot}))
    sites = [
        replace(s, limit_w=s.limit_w * power / 40, power=replace(s.power, responses_per_year=20.0))
        for s in fleet.sites
    ]
    if storage:
        sites[0] = replace(sites[0], storage=Storage(1e11, 1e7))
    groups = tuple(replace(g, policies=tuple(replace(p, mode=mode) for p in g.policies)) for g in fleet.groups)
    serving = tuple(
        replace(w, demand=np.full(1, demand * 1e6), policy=replace(w.policy, autoscale=scaling))
        for w in fleet.serving
    )
    result = simulate(replace(fleet, sites=tuple(sites), groups=groups, serving=serving), seed)
    summary = result.summary()
    assert sum(summary["waterfall"].values()) == pytest.approx(1.0, abs=1e-9)
    assert sum(summary["downtime"].values()) == pytest.approx(1.0 - summary["availability"], abs=1e-9)
    for fall in (summary["waterfall"], summary["serving_waterfall"], summary["research_waterfall"]):
        assert sum(fall.values()) == pytest.approx(1.0, abs=1e-9)
        assert all(-1e-9 <= v <= 1.0 for v in fall.values())
    assert 0.0 <= summary["availability"] <= 1.0
    assert 0.0 <= summary["slo_violations"] <= 1.0 + 1e-9
    assert summary["tokens_served"] <= summary["tokens_demanded"] * (1 + 1e-9)
    assert summary["energy_j"] >= summary["it_energy_j"]
    assert all(np.isfinite(v) for v in summary.values() if isinstance(v, float))


def test_the_same_seed_repeats_to_the_last_digit():
    fleet = fleet_of(spec())
    first, second, third = (simulate(fleet, s).summary() for s in (4, 4, 5))
    drop = ("wall_s", "cpu_s")
    assert {k: v for k, v in first.items() if k not in drop} == {k: v for k, v in second.items() if k not in drop}
    assert first["goodput"] != third["goodput"]


def test_a_stopped_run_continues_with_the_same_bytes(tmp_path):
    fleet = fleet_of(spec(years=1))
    first = simulate(fleet, 3, out=tmp_path / "whole")
    whole = first.summary()
    state, sink = fresh_state(fleet), FolderSink(tmp_path / "part", fleet, 3)
    for _ in range(2):
        sink(run_window(fleet, 3, state), state)
    assert load_state(tmp_path / "part", fleet, 3).window == 2
    second = simulate(fleet, 3, out=tmp_path / "part")
    rest = second.summary()
    order = ["quantity", "name", "time_s"]
    hourly = [r.hourly.sort_values(order).reset_index(drop=True) for r in (first, second)]
    pd.testing.assert_frame_equal(*hourly, check_dtype=False, rtol=1e-5)
    assert not hourly[0].duplicated(order).any()
    assert rest["goodput"] == whole["goodput"]
    assert rest["energy_j"] == whole["energy_j"]
    for table in ("sites", "serving", "training"):
        for part in sorted((tmp_path / "whole" / f"{table}.parquet").iterdir()):
            assert part.read_bytes() == (tmp_path / "part" / f"{table}.parquet" / part.name).read_bytes()
    with pytest.raises(InputError, match="another fleet or seed"):
        simulate(fleet, 4, out=tmp_path / "part")


def test_the_tables_agree_with_the_summary(tmp_path):
    result = simulate(fleet_of(spec(years=0.5)), 1, out=tmp_path, events=True)
    sites = pd.read_parquet(tmp_path / "sites.parquet")
    serving = pd.read_parquet(tmp_path / "serving.parquet")
    training = pd.read_parquet(tmp_path / "training.parquet")
    summary = result.summary()
    assert sites["facility_w"].astype(float).sum() * 300 == pytest.approx(summary["energy_j"], rel=1e-6)
    assert serving["demand_tokens_per_s"].astype(float).sum() * 300 == pytest.approx(
        summary["tokens_demanded"], rel=1e-6
    )
    assert training["tokens_per_s"].astype(float).sum() * 300 == pytest.approx(summary["tokens_trained"], rel=1e-6)
    failures = pd.read_parquet(tmp_path / "failures.parquet")
    assert (~failures["planned"]).sum() == summary["events"] == sum(summary["failures"].values())
    assert failures["planned"].sum() == summary["services"] > 0
    assert sites["cost_usd"].astype(float).sum() == pytest.approx(summary["cost_usd"], rel=1e-5)
    assert sites["carbon_kg"].astype(float).sum() == pytest.approx(summary["carbon_kg"], rel=1e-5)
    assert sites.groupby("site", observed=True)["time_s"].is_monotonic_increasing.all()


def test_common_random_numbers_sharpen_a_comparison():
    fleet = fleet_of(spec(failures={"rate_multiplier": 4}))
    done = compare(with_policy(fleet, mode="synchronous"), with_policy(fleet, mode="elastic"), replications=6)
    mean, half = done.difference["goodput"]
    assert mean > half > 0.0
    assert half < 0.8 * done.alone["goodput"]
    assert done.difference["availability"] == (0.0, 0.0)


def test_replications_do_not_depend_on_the_workers():
    fleet = fleet_of(spec())
    one, two = replicate(fleet, 3, workers=1), replicate(fleet, 3, workers=2)
    assert np.array_equal(one.values["goodput"], two.values["goodput"])


def test_more_failures_less_goodput_and_feedback_says_so():
    rows = [feedback(simulate(fleet_of(spec(failures={"rate_multiplier": m})), 1))["run/nv"] for m in (0.2, 1.0, 5.0)]
    assert rows[0]["goodput"] > rows[1]["goodput"] > rows[2]["goodput"]
    assert rows[0]["availability"] > rows[2]["availability"]


def test_a_power_cap_costs_goodput_not_the_books():
    fleet = fleet_of(spec())
    tight = replace(fleet, sites=tuple(replace(s, limit_w=s.limit_w * 0.6) for s in fleet.sites))
    free, capped = simulate(fleet, 1).summary(), simulate(tight, 1).summary()
    assert capped["waterfall"]["power"] > 0.001 > free["waterfall"]["power"]
    assert capped["peak_power_w"] < free["peak_power_w"]
    assert max(s["over_limit_s"] for s in capped["sites"].values()) == 0.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mode=fast", "known: synchronous"),
        ("spares=few", "not a whole number"),
        ("speed=3", "unknown field"),
        ("spares=-1", "below zero"),
        ("headroom=-0.1", "below zero"),
        ("interval_s=0", "more than 0 is needed"),
        ("replica_racks=0", "at least 1 is needed"),
        ("fallback=1.5", "a share from 0 to 1 is expected"),
        ("technicians=2000000", "at most 1,000,000 are expected"),
    ],
)
def test_wrong_policies_are_explained(text, message):
    with pytest.raises(InputError, match=message):
        policy_changes(text)


def test_stops_are_told_by_kind_and_an_outage_stops_a_run_once():
    outages = {"power_feed": {"rate": "60 /year", "duration": "1 h"}}
    result = simulate(fleet_of(spec(failures={"outages": outages})), 2)
    run = result.summary()["training"][0]
    assert sum(n["count"] for n in run["stops"].values()) == run["interruptions"]
    assert set(run["stops"]) >= {"gpu", "hbm", "software", "planned", "power_feed"}
    assert "planned_maintenance" not in run["stops"]
    assert 5 <= run["stops"]["power_feed"]["count"] <= 40  # halls of 128 racks; the run stands in one or two
    assert run["stops"]["silent_data_corruption"]["rolled_back"] == run["stops"]["silent_data_corruption"]["count"]


def test_the_shipped_sample_runs(sample_yaml):
    summary = simulate(load_fleet(sample_yaml, years=0.25), 0).summary()
    assert 0.7 < summary["goodput"] < 0.97
    assert summary["slo_violations"] < 0.01
    assert summary["sites"]["abilene"]["demand_responses"] == 3


def test_memory_of_a_run_is_one_window(tmp_path):
    """State between windows stays small: it is what a stopped run needs, not history."""
    fleet = fleet_of(spec(years=2))
    simulate(fleet, 1, out=tmp_path)
    assert (tmp_path / "state.json").stat().st_size < 200_000
