"""A plan folder in the published shape runs, feeds back, and says what is wrong with it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from gigaforge.errors import InputError
from gigaforge.operations import (
    best_policy,
    best_spares,
    expected_availability,
    expected_goodput,
    feedback,
    fleet_factors,
    simulate_plan,
)
from gigaforge.operations.loop import until_agreed
from gigaforge.operations.plan_input import fleet_of_plan


def test_a_plan_becomes_a_fleet(plan_dir):
    fleet = fleet_of_plan(plan_dir)
    assert fleet.windows == 4
    assert [s.name for s in fleet.sites] == ["abilene", "milam"]
    run = next(g for g in fleet.groups if g.name.startswith("frontier@abilene"))
    assert run.racks.tolist() == [100, 200, 200, 200]
    assert run.rack.accelerators == 72
    assert [sum(c.count for c in cohorts) for cohorts in run.cohorts] == run.racks.tolist()
    assert run.cohorts[1][-1].born_s > run.cohorts[1][0].born_s
    rest = next(g for g in fleet.groups if g.name.startswith("research@abilene"))
    assert rest.racks.tolist() == [0, 0, 40, 40]  # what a quarter adds works half of it


def test_a_plan_runs_and_feeds_back(plan_dir):
    result = simulate_plan(plan_dir, seed=1)
    summary = result.summary()
    assert summary["racks"] == 600
    assert summary["tokens_demanded"] > summary["tokens_served"] * 0.999
    factors = feedback(result)
    assert set(factors) >= {"frontier/gb300-nvl72", "chat/gb300-nvl72", "frontier/vera-rubin-nvl72"}
    assert all(0.5 < v <= 1.0 for row in factors.values() for v in row.values())
    whole = fleet_factors(result)
    assert whole["availability"] * whole["training_goodput"] == pytest.approx(summary["goodput"])
    assert summary["feedback"] == factors


def test_years_and_first_quarter_choose_the_horizon(plan_dir):
    assert simulate_plan(plan_dir, years=0.5).books.time_s == pytest.approx(2 * 7889400.0)
    assert fleet_of_plan(plan_dir, first="2027-Q3").windows == 2
    with pytest.raises(InputError, match="the plan ends 2027-Q4"):
        fleet_of_plan(plan_dir, first="2030-Q1")
    with pytest.raises(InputError, match="more than 0"):
        fleet_of_plan(plan_dir, years=-1)


def test_plan_simulate_replan_agrees(plan_dir):
    """The loop's shape: a planner that believes what it is told agrees after a round or two."""
    start = {f"frontier/{s}": {"goodput": 0.99} for s in ("gb300-nvl72", "vera-rubin-nvl72")}
    solved = []

    def solve(factors):
        solved.append(factors["frontier/gb300-nvl72"]["goodput"])
        return plan_dir

    def run(folder):
        result = simulate_plan(folder, years=0.5, seed=2)
        return result, {k: v for k, v in feedback(result).items() if k in start}

    done = until_agreed(solve, run, start, tolerance=0.002)
    assert done.agreed
    assert len(done.rounds) == 2
    assert done.rounds[0].difference > 0.02
    assert solved[1] < solved[0]


def test_closed_forms_are_fit_for_a_planner():
    assert 0.97 < expected_availability(72, tray=4) < expected_availability(8) < 1.0
    assert expected_availability(72, tray=4, weighted=True) > expected_availability(72, tray=4)
    sizes = [expected_goodput(72, n, policy=best_policy(72, n, replica_racks=8)).goodput for n in (16, 256, 4096)]
    assert sizes[0] > sizes[1] > sizes[2] > 0.6
    assert 0.0 < expected_goodput(72, 1).goodput < 1.0
    policy = best_policy(72, 512)
    best = best_spares(72, 512, policy)
    around = [expected_goodput(72, 512, policy=dataclasses.replace(policy, spares=n)).goodput for n in (0, best, 60)]
    assert max(around) == around[1]


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("deployment", lambda t: t.drop(columns="racks_online"), "lacks the column racks_online"),
        ("allocation", lambda t: t.assign(racks=t["racks"] * 3), "more are allocated than online"),
        ("allocation", lambda t: t.assign(point="nothing"), "operating_points.parquet lacks: nothing"),
        ("deployment", lambda t: t.assign(racks_online=0), "no racks online"),
        ("deployment", lambda t: t.assign(racks_online=-5), "racks_online is -5 in row 0"),
        ("sites", lambda t: t.assign(energised_w=float("nan")), "energised_w is nan in row 0"),
    ],
)
def test_a_broken_plan_is_explained(plan_dir, table, change, message):
    path = plan_dir / f"{table}.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(InputError, match=message):
        fleet_of_plan(plan_dir)


def test_missing_files_are_named(plan_dir, tmp_path):
    (plan_dir / "sites.parquet").unlink()
    with pytest.raises(InputError, match=r"sites\.parquet: is missing"):
        fleet_of_plan(plan_dir)
    with pytest.raises(InputError, match=r"no plan\.json"):
        fleet_of_plan(tmp_path)
    (plan_dir / "plan.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        fleet_of_plan(plan_dir)


def test_an_unknown_system_needs_its_accelerators(plan_dir):
    for name in ("deployment", "allocation", "operating_points"):
        table = pd.read_parquet(plan_dir / f"{name}.parquet").replace("gb300-nvl72", "mystery")
        table.drop(columns="accelerators_per_rack", errors="ignore").to_parquet(plan_dir / f"{name}.parquet")
    with pytest.raises(InputError, match="'mystery' is not in the catalogue"):
        fleet_of_plan(plan_dir)


def test_shortfalls_in_the_plan_raise_demand(plan_dir):
    fleet = fleet_of_plan(plan_dir)
    allocated = (
        pd.read_parquet(plan_dir / "allocation.parquet")
        .query("workload == 'chat'")
        .groupby("quarter")["tokens"]
        .sum()
    )
    assert np.allclose(fleet.serving[0].demand * 7889400.0, allocated.to_numpy() * 1.1)
