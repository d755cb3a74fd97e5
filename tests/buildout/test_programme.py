"""The build-out programme keeps its promises: rules, optimality, limits and alternatives."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.buildout.cash import flows_usd
from gigaforge.buildout.check import check_plan
from gigaforge.buildout.plan import Plan, decisions_from
from gigaforge.buildout.planner import plan
from gigaforge.buildout.problem import problem_from
from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.solver import SolverOptions, relax, solve
from gigaforge.errors import GigaforgeError, InputError, NoAnswerError
from tests.buildout.small import catalog, points, scenario, scenario_data

EXACT = SolverOptions(gap=1e-6, time_limit_s=60)


def planned(**changes: Any) -> Plan:
    return plan(scenario(**changes), catalog(), points=points(), options=SolverOptions(gap=1e-3, time_limit_s=60))


@pytest.fixture(scope="module")
def small() -> Plan:
    return planned()


def test_the_plan_keeps_every_rule_and_says_so(small: Plan) -> None:
    assert small.summary["checks"] == {"passed": 24, "failed": []}
    assert small.summary["status"] == "optimal"
    assert small.summary["mip_gap"] <= 1e-3


def test_the_objective_is_the_net_present_value_of_the_cash_table(small: Plan) -> None:
    """Programme and cash table are written apart; they must agree to the dollar."""
    late = sum(m["cost_usd"] for m in small.summary["milestones"])
    assert late == 0
    assert small.summary["npv_usd"] == pytest.approx(small.summary["objective_value"], rel=1e-6)


def test_milestones_are_met_where_lateness_costs_more_than_racks(small: Plan) -> None:
    assert all(m["shortfall_w"] < 1 for m in small.summary["milestones"])


def test_money_balances_between_parties_to_the_cent(small: Plan) -> None:
    cash = small.tables["cash"]
    assert cash.groupby(["quarter", "flow"])["amount_usd"].sum().abs().max() < 0.005
    assert (cash["amount_usd"].mul(100).round() / 100 == cash["amount_usd"]).all()


def break_power(p: Plan) -> None:
    p.tables["deployment"].loc[:, "facility_power_w"] *= 20


def break_held(p: Plan) -> None:
    p.tables["deployment"].loc[:, ["it_power_w", "facility_power_w"]] *= 0.9


def break_racks(p: Plan) -> None:
    p.tables["deployment"].loc[p.tables["deployment"].index[-1], "racks_online"] += 1


def break_supply(p: Plan) -> None:
    p.tables["supply"]["racks_available"] = 0


def break_in_use(p: Plan) -> None:
    p.tables["allocation"]["racks"] *= 3


def break_tokens(p: Plan) -> None:
    p.tables["demand"]["tokens_served"] *= 2


def break_training(p: Plan) -> None:
    p.summary["training_runs"][0]["window"] = ["2026-Q3", "2026-Q3"]


def break_balance(p: Plan) -> None:
    p.tables["cash"].loc[0, "amount_usd"] += 0.01


def break_purse(p: Plan) -> None:
    cash = p.tables["cash"]
    cash.drop(cash[cash["flow"] == "opening_cash"].index, inplace=True)
    cash.drop(cash[cash["flow"] == "revenue"].index, inplace=True)


def break_debt(p: Plan) -> None:
    p.summary["debt_limit_usd"] = [0.0] * len(p.summary["quarters"])


def break_release(p: Plan) -> None:
    p.tables["tranches"].loc[0, "released"] = p.summary["quarters"][-1]


@pytest.mark.parametrize(
    ("breaks", "rule"),
    [(break_power, "energised"), (break_held, "power held"), (break_racks, "added less"), (break_supply, "supply"), (break_in_use, "in service"),
     (break_tokens, "tokens served"), (break_training, "window"), (break_balance, "payee"), (break_purse, "never negative"),
     (break_debt, "debt"), (break_release, "tranche")],
)  # fmt: skip
def test_the_checker_finds_each_broken_rule(small: Plan, breaks: Any, rule: str) -> None:
    copy = replace(
        small,
        summary={**small.summary, "training_runs": [dict(r) for r in small.summary["training_runs"]]},
        tables={name: table.copy() for name, table in small.tables.items()},
    )
    breaks(copy)
    failed = [c.rule for c in check_plan(copy.summary, copy.tables) if not c.passed]
    assert any(rule in f for f in failed), failed


def test_tranches_are_released_the_quarter_their_power_stands(small: Plan) -> None:
    deployed = np.array(small.summary["deployed_w"])
    for tranche in small.summary["tranches"]:
        first = small.summary["quarters"][int(np.argmax(deployed >= tranche["threshold_w"]))]
        assert tranche["released"] == first
    assert sum(t["amount_usd"] for t in small.summary["tranches"]) == 20e9


def test_more_of_anything_never_hurts(small: Plan) -> None:
    """Power, supply and money may be left unused, so the relaxed optimum cannot fall when there is more."""
    problem = problem_from(scenario(), catalog(), points())
    base = relax(build(problem).model).objective
    for field in ("energised_w", "supply"):
        more = replace(problem, **{field: getattr(problem, field) * 1.3})
        assert relax(build(more).model).objective >= base - 1e-6
    richer = scenario(
        finance={"discount_rate": "10 %", "opening_cash": "$25B", "debt": {"limit": "$10B", "interest": "8 %"}}
    )
    assert relax(build(problem_from(richer, catalog(), points())).model).objective >= base - 1e-6


def test_alternatives_win_at_what_they_ask_for(small: Plan) -> None:
    tokens = planned(objective="tokens")
    cost = planned(objective="cost")
    assert sum(tokens.summary["tokens_served"]) >= sum(small.summary["tokens_served"]) * 0.999
    assert cost.summary["capex_usd"] <= small.summary["capex_usd"] * 1.001
    early = planned(objective="earliest")
    goal = 2e9
    assert (
        sum(min(w, goal) for w in early.summary["deployed_w"])
        >= sum(min(w, goal) for w in small.summary["deployed_w"]) * 0.999
    )


def test_commitment_on_it_power_needs_more_racks() -> None:
    facility = problem_from(scenario(), catalog(), points())
    it = scenario(commitment={"power": "2 GW", "basis": "it", "late_penalty": "$20/kW-month"})
    other = problem_from(it, catalog(), points())
    assert (other.deployed_w_per_rack < facility.deployed_w_per_rack).all()


def test_systems_retire_at_the_end_of_their_service_life() -> None:
    finance = {"discount_rate": "10 %", "opening_cash": "$15B", "system_life_years": 1.5, "service_life_years": 1.5}
    plan_ = planned(finance=finance)
    frame = plan_.tables["deployment"]
    for _, group in frame.groupby(["site", "system"]):
        added = group["racks_added"].cumsum().to_numpy()
        retired = group["racks_retired"].cumsum().to_numpy()
        assert (retired[6:] >= added[:-6]).all()


def test_training_runs_stay_at_sites_that_they_name() -> None:
    run = {
        "name": "run-1",
        "model": "chat",
        "tokens": "20T tokens",
        "start": "2027-Q1",
        "end": "2027-Q3",
        "sites": ["north"],
    }
    assert planned(training=[run]).summary["training_runs"][0]["sites"] == ["north"]


def test_salvage_keeps_building_near_the_end() -> None:
    """With overnight cost and a finite horizon nothing would be added in the last year; book value prevents it."""
    frame = planned().tables["deployment"]
    last = frame[frame["quarter"] >= "2028-Q3"]
    assert last["racks_added"].sum() > 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"commitment": {"power": "2 GW", "milestones": [{"power": "2 GW", "by": "2026-Q4"}]}},
            [
                "2 GW by 2026-Q4 needs 8,000 systems even if all are rack-a",
                "platforms.a.supply",
                "800 systems by 2026-Q4",
            ],
        ),
        (
            {
                "training": [
                    {"name": "huge", "model": "chat", "tokens": "9e17 tokens", "start": "2027-Q1", "end": "2027-Q2"}
                ]
            },
            ["training.huge"],
        ),
    ],
)
def test_an_impossible_scenario_names_the_statements_that_conflict(changes: dict[str, Any], says: list[str]) -> None:
    extra = [replace(p, workload="huge", id=p.id.replace("run-1", "huge")) for p in points() if p.kind == "training"]
    with pytest.raises(NoAnswerError) as problem:
        plan(scenario(**changes), catalog(), points=[*points(), *extra])
    for text in says:
        assert text in str(problem.value)


def test_a_workload_that_no_system_serves_is_wrong_input() -> None:
    only_training = [p for p in points() if p.kind == "training"]
    with pytest.raises(InputError, match=r"serving\.assistant: no system of this scenario"):
        plan(scenario(), catalog(), points=only_training)


def test_a_time_limit_too_short_for_anything_says_so_or_returns_a_valid_plan() -> None:
    options = SolverOptions(gap=0.0, time_limit_s=0.3)
    try:
        result = plan(scenario(), catalog(), points=points(), options=options)
    except GigaforgeError as problem:
        assert "--time-limit" in str(problem)
    else:
        assert all(c.passed for c in check_plan(result.summary, result.tables))


def tiny(seed: int) -> Any:
    """One site, one system, three quarters, no money limits: small enough to enumerate."""
    rng = np.random.default_rng(seed)
    return scenario(
        horizon={"first": "2026-Q3", "last": "2027-Q1"},
        commitment={"power": "0.1 GW", "milestones": [{"power": "0.05 GW", "by": "2026-Q4"}],
                    "late_penalty": f"${rng.integers(5, 100)}/kW-month"},
        investment=None,
        platforms=[{"name": "a", "systems": ["rack-a"], "ships": "2026-Q3",
                    "supply": {"2026-Q3": int(rng.integers(50, 250)), "2026-Q4": int(rng.integers(50, 250))}}],
        sites=[{"site": str(rng.choice(["north", "south", "cloud"])), "power": f"{rng.integers(40, 120)} MW"}],
        training=[],
        serving=[{**scenario_serving(), "weekly_users": f"{rng.integers(50, 400)}M"}],
        finance={"discount_rate": "10 %", "opening_cash": "$90B"},
        block=50,
    )  # fmt: skip


def scenario_serving() -> dict[str, Any]:
    return dict(scenario_data()["serving"][0])


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_optimum_equals_enumeration_of_every_plan(seed: int) -> None:
    problem = problem_from(tiny(seed), catalog(), points())
    programme = build(problem)
    solution = solve(programme.model, EXACT)
    best = max(filter(None, (value_of(problem, blocks) for blocks in every_purchase(problem))))
    assert solution.objective == pytest.approx(best, rel=1e-5, abs=1e-6)


def every_purchase(problem: Any) -> Any:
    most = [int(problem.supply[0, t] // 50) for t in range(3)]
    return itertools.product(*(range(m + 1) for m in most))


def value_of(problem: Any, blocks: tuple[int, ...]) -> float | None:
    """Best value of one purchase plan [billion USD], by its own arithmetic; None where power forbids it."""
    p = problem
    add = np.array(blocks) * 50.0
    online = np.cumsum(add)
    power = online * p.rack_it_w[0] * p.pue_peak[0]
    if (power > p.energised_w[0] + 1e-6).any():
        return None
    working = online - 0.5 * add
    margin = []
    for i in range(len(p.points)):
        tokens = p.point_tokens[i] / p.peak_to_mean[0]  # by quarter
        watts = p.point_power_w[i] - p.rack_idle_w[0]
        cost = watts * p.energy_usd_per_j[0, 0] * p.pue_mean[0] * 7889400.0
        margin.append((tokens, cost))
    income = np.zeros(3)
    for t in range(3):
        income[t] = best_mix(margin, working[t], p.demand[0, t], p.token_usd[0, t], t)
    own = p.tenures[0] != "cloud"
    f, o = p.scenario.finance, p.scenario.operations
    price = p.rack_price_usd[0]
    value = add * price * own
    pay = value * (1 - f.deposit)
    pay[:-1] += value[1:] * f.deposit
    pay[0] += value[0] * f.deposit
    built = np.maximum.accumulate(power)
    grown = np.diff(built, prepend=0.0)
    pay = pay + grown * p.facility_usd_per_w[0] + built * p.lease_usd_per_w[0]
    pay = pay + online * p.cloud_usd_per_rack[0, 0] + online * price[0] * own * o.maintenance / 4
    pay = pay + online * p.rack_idle_w[0] * p.energy_usd_per_j[0, 0] * p.pue_mean[0] * 7889400.0
    age = 3 - np.arange(3) - 0.5
    salvage = (value * np.clip(1 - age / 20, 0, None)).sum()
    salvage += (grown * p.facility_usd_per_w[0] * np.clip(1 - age / 60, 0, None)).sum()
    deployed = np.cumsum(add) * p.deployed_w_per_rack[0, 0]
    due = np.array([0.0, 0.05e9, 0.05e9])
    late = np.maximum(due - deployed, 0) * p.scenario.commitment.late_penalty * 7889400.0
    total = ((income - pay - late) * p.discount).sum() + salvage * p.discount_end
    return float(total / USD)


def best_mix(margin: list[Any], racks: float, demand: float, price: float, t: int) -> float:
    """Income of a quarter: two points share the racks; the optimum of a two-variable problem is at a corner."""
    corners = [(0.0, 0.0)]
    rates = [m[0][t] for m in margin]
    for x in (0.0, racks, demand / rates[0]):
        corners += [(x, y) for y in (0.0, racks, demand / rates[1], racks - x, (demand - x * rates[0]) / rates[1])]
    if rates[0] != rates[1]:  # both limits at once
        x = (demand - racks * rates[1]) / (rates[0] - rates[1])
        corners.append((x, racks - x))
    best = 0.0
    for x, y in corners:
        if x >= -1e-9 and y >= -1e-9 and x + y <= racks + 1e-9:
            served = min(demand, x * rates[0] + y * rates[1])
            best = max(best, served * price - x * margin[0][1] - y * margin[1][1])
    return best


def test_decisions_are_whole_racks_in_blocks(small: Plan) -> None:
    block = small.problem.scenario.block
    assert (small.decisions.added % block == 0).all()
    assert (small.tables["deployment"]["racks_online"] >= 0).all()


def test_flows_are_never_negative(small: Plan) -> None:
    assert all((amount >= 0).all() for amount in flows_usd(small.problem, small.decisions).values())


def test_the_same_scenario_gives_the_same_plan() -> None:
    problem = problem_from(scenario(), catalog(), points())
    first, second = (decisions_from(p, solve(p.model, EXACT)) for p in (build(problem), build(problem)))
    np.testing.assert_array_equal(first.added, second.added)


def test_progress_is_told() -> None:
    told: list[str] = []
    plan(scenario(), catalog(), points=points(), watch=lambda stage: told.append(stage.name))
    assert told[0] == "stating the programme"
    assert "searching for the best plan" in told


def test_without_serving_or_training_the_cheapest_racks_meet_the_milestones() -> None:
    result = planned(serving=[], training=[], investment=None)
    assert result.summary["tokens_served"] == [0.0] * 12
    assert result.summary["deployed_w"][-1] >= 2e9 * 0.99 or result.summary["milestones"][-1]["cost_usd"] > 0


def test_the_order_of_platforms_in_a_scenario_does_not_matter() -> None:
    platforms = scenario_data()["platforms"]
    worth = [
        relax(build(problem_from(scenario(platforms=order), catalog(), points())).model).objective
        for order in (platforms, platforms[::-1])
    ]
    assert worth[0] == pytest.approx(worth[1], rel=1e-6)
