"""What is told of small changes is what they really do: each is compared with the changed problem, stated and solved anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gigaforge as gf
from gigaforge.buildout.changes import Changes
from gigaforge.buildout.marginals import Effect, Marginal, Marginals, marginals
from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.roadmaps import measured_by
from gigaforge.buildout.shadow_prices import shadow_prices
from gigaforge.buildout.slopes import Slopes
from gigaforge.buildout.solver import relax
from gigaforge.catalog import load_catalog
from gigaforge.codesign.operating_points import operating_points
from gigaforge.report.change_tables import change_parts
from gigaforge.report.view import PlanView
from tests.buildout.small import catalog, scenario, scenario_data
from tests.codesign.test_coordinate import candidates

MW = 1e6
Asked = tuple[Problem, Marginals, Slopes]


def late_sites() -> Problem:
    """Power and cash bind; one site grows and the other has none at first: several right prices for most of its quarters."""
    sites = [
        {"site": "north", "power": {"2026-Q3": "60 MW", "2027-Q3": "150 MW"}},
        {"site": "south", "power": {"2028-Q1": "120 MW"}},
    ]
    return _problem(sites=sites, finance={"discount_rate": "10 %", "opening_cash": "$1.2B", "debt": {"limit": "$0.3B", "interest": "8 %"}})  # fmt: skip


def scarce_racks() -> Problem:
    """Supply and demand bind, each in some quarters."""
    platforms = [
        {"name": "a", "systems": ["rack-a"], "ships": "2026-Q3", "supply": {"2026-Q3": 40, "2027-Q1": 120}},
        {"name": "b", "systems": ["rack-b"], "ships": "2027-Q3", "supply": 40},
    ]
    serving = [
        scenario_data()["serving"][0]
        | {"weekly_users": {"2026-Q3": "80M", "2028-Q4": "100M"}, "shortfall_penalty": "$1/Mtoken"}
    ]
    sites = [{"site": "north", "power": {"2026-Q3": "100 MW", "2027-Q4": "300 MW"}}]
    return _problem(sites=sites, platforms=platforms, serving=serving)


def _problem(**changes: Any) -> Problem:
    commitment = {"power": "0.2 GW", "milestones": [{"power": "0.1 GW", "by": "2027-Q4"}], "late_penalty": "$20/kW-month"}  # fmt: skip
    horizon = {"first": "2026-Q3", "last": "2028-Q4"}
    small = scenario(**{"commitment": commitment, "horizon": horizon, "investment": None, **changes})
    return problem_from(small, catalog(), candidates())


@pytest.fixture(scope="module")
def late() -> Asked:
    problem = late_sites()
    return problem, *marginals(problem)


@pytest.fixture(scope="module")
def scarce() -> Asked:
    problem = scarce_racks()
    return problem, *marginals(problem)


def value(problem: Problem) -> float:
    return relax(build(problem, tight=False).model).objective * USD


def check(asked: Asked, told: Effect, changed: Callable[[float], Problem], little: float) -> None:
    """Both derivatives against the problem changed by so many units."""
    _, _, slopes = asked
    now = slopes.value * USD
    assert told.more == pytest.approx((value(changed(little)) - now) / little, rel=0.05, abs=100.0)
    assert told.less == pytest.approx((now - value(changed(-little))) / little, rel=0.05, abs=100.0)


def more_power(problem: Problem, site: str, mw: float, since: int = 0) -> Problem:
    s = problem.sites.index(site)
    more = np.zeros_like(problem.energised_w)
    more[s, since:] = mw * MW * (problem.energised_w[s, since:] > 0)
    return replace(problem, energised_w=problem.energised_w + more)


def test_power_at_sites_that_come_late(late: Asked) -> None:
    problem, found, slopes = late
    for site in problem.sites:
        check(late, found.power[site], lambda mw, site=site: more_power(problem, site, mw), 0.1)
        assert found.power[site].more > 1e4
    south = found.power["south"]
    assert south.adds == pytest.approx(value(more_power(problem, "south", 1.0)) - slopes.value * USD, rel=0.01)
    # What the sum of the prices of all quarters would have said.
    programme = build(problem, tight=False)
    relaxation = relax(programme.model)
    assert slopes.value == pytest.approx(relaxation.objective, rel=1e-9)
    assert relaxation.duals["sites.south.power|energised"].values.sum() * 1e6 > 3 * south.more


def test_power_from_a_quarter_on(late: Asked) -> None:
    problem, _, slopes = late
    programme = build(problem, tight=False)
    prices = shadow_prices(programme, relax(programme.model))["power"]
    now = slopes.value * USD
    for site, since in (("north", 3), ("south", 7)):
        expected = (value(more_power(problem, site, 0.1, since)) - now) / 0.1
        assert sum(prices[site][since:]) == pytest.approx(expected, rel=0.05, abs=100.0)
    assert min(min(v) for v in prices.values()) >= 0


def test_a_price_holds_in_its_range_and_another_beyond(late: Asked) -> None:
    problem, found, slopes = late
    rows = [
        r
        for r in found.rows
        if r.kind == "power" and r.high is not None and r.low is not None and r.high > r.low + 0.1
    ]
    above = next(r for r in rows if r.high and r.high > r.now + 0.1)
    below = next(r for r in rows if r.low is not None and r.low < r.now - 0.1)
    assert above.more == pytest.approx(above.usd, rel=1e-3)
    assert below.less == pytest.approx(below.usd, rel=1e-3)
    kinked = [r for r in found.rows if r.more < 0.9 * r.less]
    assert kinked, "somewhere the last unit is worth more than the next"
    for row, mw in (
        (above, 0.9 * (above.high or 0.0) + 0.1 * above.now),
        (below, 0.9 * (below.low or 0.0) + 0.1 * below.now),
    ):
        expected = row.usd * (mw - row.now)
        assert value(with_limit(problem, row, mw)) - slopes.value * USD == pytest.approx(expected, rel=1e-3)


def with_limit(problem: Problem, row: Marginal, mw: float) -> Problem:
    watts = problem.energised_w.copy()
    watts[problem.sites.index(row.name), [str(q) for q in problem.quarters].index(row.quarter)] = mw * MW
    return replace(problem, energised_w=watts)


@pytest.mark.slow
def test_supply_and_demand_that_bind(scarce: Asked) -> None:
    problem, found, slopes = scarce
    block = problem.scenario.block
    for i, line in enumerate(problem.lines):
        blocks = np.zeros_like(problem.supply)
        blocks[i, problem.supply[i] > 0] = block
        added = (value(replace(problem, supply=problem.supply + blocks)) - slopes.value * USD) / block
        told = slopes.more(Changes(slopes).supply(line), block) * USD
        assert told == pytest.approx(added, rel=0.05, abs=100.0)
    assert max(e.more for e in found.supply.values()) > 1e5
    for i, work in enumerate(problem.workloads):
        check(scarce, found.demand[work], lambda percent, i=i: more_demand(problem, i, percent), 0.01)
        assert found.demand[work].more > 1e4
    asked = shadow_prices(programme := build(problem, tight=False), relax(programme.model))["demand"]["assistant"]
    by_quarter = float((np.array(asked) * problem.demand[0]).sum()) * 0.01
    assert by_quarter == pytest.approx(found.demand["assistant"].more, rel=0.05)


def more_demand(problem: Problem, workload: int, percent: float) -> Problem:
    demand = problem.demand.copy()
    demand[workload] *= 1 + 0.01 * percent
    return replace(problem, demand=demand)


@pytest.mark.slow
def test_cash_at_the_start(late: Asked) -> None:
    problem, found, _ = late

    def richer(millions: float) -> Problem:
        finance = problem.scenario.finance
        finance = finance.model_copy(update={"opening_cash": finance.opening_cash + 1e6 * millions})
        return replace(problem, scenario=problem.scenario.model_copy(update={"finance": finance}))

    check(late, found.cash, richer, 0.1)
    assert found.cash.more > 1e4, "cash binds in this case"


def faster(problem: Problem, system: str, shares: dict[str, float], percent: float) -> Problem:
    """Each work's points on a system some per cent faster times its share."""
    k = problem.systems.index(system)
    points, jobs = problem.point_tokens.copy(), problem.train_rate.copy()
    for work, share in shares.items():
        factor = 1 + 0.01 * percent * share
        if work in problem.workloads:
            points[(problem.point_system == k) & (problem.point_workload == problem.workloads.index(work))] *= factor
        else:
            jobs[(problem.train_system == k) & (problem.train_run == problem.runs.index(work))] *= factor
    return replace(problem, point_tokens=points, train_rate=jobs)


def lighter(problem: Problem, system: str, watts: float, *, relative: bool) -> Problem:
    """Racks of a system with fewer watts, in per cent or each; what they count as deployed stays."""
    mine = np.array(problem.systems) == system

    def less(values: Any, k: Any) -> Any:
        return (
            values * np.where(mine[k], 1 - 0.01 * watts, 1.0) if relative else values - np.where(mine[k], watts, 0.0)
        )

    everyone = np.arange(len(problem.systems))
    rack = {n: less(getattr(problem, n), everyone) for n in ("rack_it_w", "rack_idle_w", "least_held_w")}
    point = {n: less(getattr(problem, n), problem.point_system) for n in ("point_held_w", "point_power_w")}
    job = {n: less(getattr(problem, n), problem.train_system) for n in ("train_held_w", "train_power_w")}
    counts: Any = problem.counts * (problem.rack_it_w / rack["rack_it_w"])[None]
    return replace(problem, **rack, **point, **job, counts=counts)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["late", "scarce"])
def test_speed_watts_and_nameplate_of_a_platform(case: str, request: pytest.FixtureRequest) -> None:
    asked: Asked = request.getfixturevalue(case)
    problem, found, _ = asked
    every = dict.fromkeys((*problem.workloads, *problem.runs), 1.0)
    for k, system in enumerate(problem.systems):
        mine = np.arange(len(problem.systems)) == k

        def counting(percent: float, mine: Any = mine) -> Problem:
            counts: Any = problem.counts * np.where(mine, 1 + 0.01 * percent, 1.0)
            return replace(problem, counts=counts)

        check(asked, found.speed[system], lambda x, s=system: faster(problem, s, every, x), 0.01)
        check(asked, found.watts[system], lambda x, s=system: lighter(problem, s, x, relative=True), 0.01)
        check(asked, found.counted[system], counting, 0.01)
    assert max(e.more for e in found.speed.values()) > 1e5
    assert max(e.more for e in found.watts.values()) > 1e4


@pytest.mark.slow
def test_what_an_accelerator_is_worth_is_asked_of_the_plan(late: Asked) -> None:
    """Works that answer differently to a better chip, and a watt less in each rack."""
    problem, _, slopes = late
    measured, now = measured_by(slopes), slopes.value * USD
    shares = {"assistant": 0.7, "run-1": 0.2}
    system = max(problem.systems, key=lambda s: measured.yields(s, shares))
    expected = (value(faster(problem, system, shares, 0.01)) - now) / 1e-4
    assert measured.yields(system, shares) == pytest.approx(expected, rel=0.05)
    assert expected > 1e6
    expected = (value(lighter(problem, system, 10.0, relative=False)) - now) / 10.0
    assert measured.watt(system) == pytest.approx(expected, rel=0.05)
    assert expected > 1e2
    assert measured.yields(system, {"assistant": 0.0}) == 0.0


def test_the_page_tells_both_sides_and_the_whole_change(late: Asked) -> None:
    _, found, _ = late
    plain = found.to_dict()
    assert plain["supply"]["b"] == plain["costs"]["supply"]["b"] == 0.0, "no rounding is told as money"
    assert set(plain["less"]) == {"power", "supply", "cash", "demand", "speed", "watts", "counted"}
    assert plain["cash"] == pytest.approx(found.cash.more / 1e6)
    plain["less"]["power"]["south"] = 2 * plain["power"]["south"]
    plain["costs"]["power"]["north"] = None
    small, single = change_parts(PlanView({"quarters": [], "codesign": {"sensitivity": plain}}, {}))[3]
    rows = {(r[0], r[1]): r[2:] for r in small.rows}
    power = "One more MW of grid power in every quarter that has any"
    assert rows[power, "South"][2].endswith("less")
    assert " more, " in rows[power, "South"][2]
    assert rows[power, "North"][1] == "–"
    assert all(len(r) == len(single.head) for r in single.rows)
    older = {k: v for k, v in plain.items() if k not in ("less", "adds", "costs")}
    assert change_parts(PlanView({"quarters": [], "codesign": {"sensitivity": older}}, {}))[3][0].rows[0][2] == "–"


@pytest.mark.slow
def test_sites_of_the_alliance() -> None:
    """Eleven sites, most of them energised later than they would be used."""
    known = load_catalog()
    announced = gf.load_scenario("scenarios/alliance-10gw.yaml")
    problem = problem_from(announced, known, operating_points(announced, known))
    found, slopes = marginals(problem)
    now = slopes.value * USD
    for site in ("midwest-expansion", "saline", "texas-expansion"):
        told = found.power[site]
        assert told.more == pytest.approx((value(more_power(problem, site, 0.1)) - now) / 0.1, rel=0.05, abs=100.0)
        assert told.more < 5e6
    rows = [r for r in found.rows if r.kind == "supply" and r.low is not None and r.high is not None]
    assert all(
        r.low <= r.now * (1 + 1e-9) and r.now <= r.high * (1 + 1e-9)
        for r in rows
        if r.low is not None and r.high is not None
    )
