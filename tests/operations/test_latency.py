"""Targets are missed where the operating point's latency, the wait for a slot or a power cap say so."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operations.fleets import spec

from gigaforge.operations import fleet_of, simulate
from gigaforge.operations.latency import LatencyTarget, latency
from gigaforge.operations.plan_input import fleet_of_plan
from gigaforge.operations.serving import ServingPolicy

POINT = LatencyTarget(0.5, 0.02, 1.0, 0.03)


@given(st.floats(0.01, 1.2), st.floats(0.3, 1.0), st.floats(5.0, 1e5))
def test_more_load_and_less_power_are_never_faster(use, pace, slots):
    one = np.array([slots])
    here = latency(POINT, one, np.array([use]), 8.0, pace)
    worse = latency(POINT, one, np.array([use * 1.1]), 8.0, pace * 0.9)
    assert worse.ttft_s[0] >= here.ttft_s[0]
    assert worse.tpot_s[0] >= here.tpot_s[0]
    assert 0.0 <= here.late[0] <= 1.0
    assert worse.late[0] >= here.late[0] - 1e-12


def test_full_batch_is_the_operating_point_and_a_cap_breaks_its_promise():
    slots = np.array([1e6])
    full = latency(POINT, slots, np.array([0.99]), 8.0)
    assert full.tpot_s[0] == pytest.approx(0.02, rel=0.01)
    assert full.late[0] < 1e-6
    assert latency(POINT, slots, np.array([0.99]), 8.0, 0.5).late[0] == 1.0  # 40 ms a token against 30 promised
    assert latency(LatencyTarget(), slots, np.array([0.5]), 8.0, 0.5).late[0] < 1e-6


def test_littles_law_gives_slots_and_answers_give_holding_times():
    policy, target = ServingPolicy(ttft_target_s=2.0, output_tokens=500.0).at_point(0.5, 0.02, 1e5)
    assert policy.slots_per_rack == pytest.approx(2000.0)
    assert policy.request_s == pytest.approx(10.0)
    assert policy.patience_s == pytest.approx(1.5)
    assert target.tpot_s == 0.02
    assert ServingPolicy().at_point(math.nan, math.nan, 1e5)[0] == ServingPolicy()


def with_points(**changes):
    base = spec().model_dump(mode="python")["serving"][0]
    pools = [{**p, "ttft": "500 ms", "tpot": "20 ms", "tokens_per_second": "500k token/s"} for p in base["pools"]]
    row = {"name": "chat", "demand": "30M token/s", "ttft_target": "1 s", "tpot_target": "30 ms", "output_tokens": 500,
           "pools": pools}  # fmt: skip
    return fleet_of(spec(serving=[row | changes]))


def test_a_fleet_reports_latency_and_counts_slow_tokens_as_missed():
    good = simulate(with_points(), 1).summary()["serving"]["chat"]
    assert 0.01 < good["tpot_s"] <= 0.02
    assert 0.25 < good["ttft_s"] < 1.0
    assert good["late_share"] < 0.01
    slow = simulate(with_points(tpot_target="10 ms"), 1).summary()["serving"]["chat"]
    assert slow["late_share"] > 0.5
    assert slow["served_share"] == good["served_share"]


def test_throttled_racks_are_late_before_they_shed():
    fleet = with_points(autoscale="none", backfill=False, tpot_target="20 ms")
    tight = replace(fleet, sites=tuple(replace(s, limit_w=s.limit_w * 0.3) for s in fleet.sites))
    free, capped = (simulate(f, 1).summary()["serving"]["chat"] for f in (fleet, tight))
    assert capped["tpot_s"] > free["tpot_s"]
    assert capped["slo_violations"] > free["slo_violations"]


def test_a_plan_hands_over_its_points_latency(plan_dir):
    path = plan_dir / "operating_points.parquet"
    points = pd.read_parquet(path).assign(
        ttft_s=0.4, tpot_s=0.02, ttft_target_s=1.0, tpot_target_s=0.05, output_tokens=800.0
    )
    points.to_parquet(path)
    fleet = fleet_of_plan(plan_dir)
    serving = [g for g in fleet.groups if g.kind == "serving"]
    assert all((g.ttft_s == 0.4).all() for g in serving)
    assert fleet.serving[0].policy.output_tokens == 800.0
    row = simulate(replace(fleet, last_s=None), 1).summary()["serving"]["chat"]
    assert 0.0 < row["tpot_s"] <= 0.02


def test_where_no_rack_serves_there_is_no_latency(plan_dir, tmp_path):
    """A workload waits for its racks: null in the table, not centuries."""
    path = plan_dir / "allocation.parquet"
    allocation = pd.read_parquet(path)
    allocation[(allocation["workload"] != "chat") | (allocation["quarter"] > "2027-Q1")].to_parquet(path)
    points = pd.read_parquet(plan_dir / "operating_points.parquet").assign(ttft_s=0.4, tpot_s=0.02)
    points.to_parquet(plan_dir / "operating_points.parquet")
    asked = pd.DataFrame(
        {"quarter": ["2027-Q1", "2027-Q2"], "workload": "chat", "tokens_demanded": 1e14, "tokens_served": 0.0}
    )
    asked.to_parquet(plan_dir / "demand.parquet")
    simulate(fleet_of_plan(plan_dir, years=0.5), 1, out=tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "serving.parquet")
    first = table["time_s"] < 7889400
    assert (table.loc[first, "demand_tokens_per_s"] > 0).all()
    assert table.loc[first, ["ttft_s", "tpot_s"]].isna().all(axis=None)
    assert table.loc[~first, "ttft_s"].between(0.1, 10.0).all()
