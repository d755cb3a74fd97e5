"""Prices and points exchanged until the plan is the best over all candidates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gigaforge.buildout.check import check_plan
from gigaforge.buildout.coordinate import coordinate
from gigaforge.buildout.plan import plan_from
from gigaforge.buildout.pricing import missed_value, point_prices, reduced_costs, restrict
from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.buildout.programme import build
from gigaforge.buildout.solver import SolverOptions, relax, solve
from gigaforge.codesign.point import OperatingPoint
from tests.buildout.small import catalog, points, scenario

NAMEPLATE_W = {"rack-a": 200e3, "rack-b": 600e3}


def candidates() -> list[OperatingPoint]:
    """Every point of the small scenario under five caps: slower, thriftier, and holding less of a site's power."""
    out = []
    for p in points():
        for number, share in enumerate((1.0, 0.85, 0.7, 0.6, 0.5)):
            out.append(
                replace(
                    p,
                    id=f"{p.id}.{number}",
                    tokens_per_s_per_rack=p.tokens_per_s_per_rack * share**0.4,
                    it_power_w_per_rack=p.it_power_w_per_rack * share,
                    cap_w=1800.0 * share,
                    held_w_per_rack=NAMEPLATE_W[p.system] * share,
                )
            )
    return out


def tight_power(**changes: Any) -> Problem:
    """The small scenario with so little power that watts are worth saving."""
    sites = [{"site": "north", "power": "150 MW"}, {"site": "south", "power": "120 MW"}]
    commitment = {"power": "0.2 GW", "late_penalty": "$20/kW-month"}
    return problem_from(
        scenario(sites=sites, commitment=commitment, investment=None, **changes), catalog(), candidates()
    )


@pytest.fixture(scope="module")
def problem() -> Problem:
    return tight_power()


def fastest(problem: Problem) -> tuple[Any, Any]:
    held = problem.point_held_w == problem.rack_it_w[problem.point_system]
    trained = problem.train_held_w == problem.rack_it_w[problem.train_system]
    return np.flatnonzero(held), np.flatnonzero(trained)


def everything(problem: Problem) -> tuple[Any, Any]:
    return np.arange(len(problem.points)), np.arange(len(problem.training_points))


def test_reduced_costs_are_those_of_the_solver(problem: Problem) -> None:
    """Prices times what a point makes and takes is the solver's own account of each column."""
    relaxation = relax(build(problem).model)
    serve, train = reduced_costs(problem, point_prices(problem, relaxation))
    theirs = relaxation.reduced["serve"].transpose("site", "point", "quarter").values
    np.testing.assert_allclose(serve[np.isfinite(serve)], theirs[np.isfinite(serve)], atol=1e-9)
    theirs = relaxation.reduced["train"].transpose("job", "site", "quarter").values
    np.testing.assert_allclose(train[np.isfinite(train)], theirs[np.isfinite(train)], atol=1e-9)


@pytest.fixture(scope="module")
def best(problem: Problem) -> float:
    """The relaxed plan with every candidate at once."""
    return relax(build(restrict(problem, *everything(problem))).model).objective


def test_the_exchange_ends_at_the_optimum_over_all_candidates(problem: Problem, best: float) -> None:
    exchange = coordinate(problem, *fastest(problem), tolerance=1e-7)
    assert exchange.relaxation.objective == pytest.approx(best, rel=1e-6)
    assert len(exchange.points) < len(problem.points)
    values = [r.value for r in exchange.rounds]
    assert values == sorted(values)
    assert values[-1] > values[0] * 1.001, "caps are worth having where power binds"
    assert all(r.bound >= best * (1 - 1e-9) for r in exchange.rounds)
    assert exchange.rounds[-1].gap <= 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_holds_for_any_selection(problem: Problem, best: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start, jobs = fastest(problem)
    points = np.union1d(start, rng.choice(len(problem.points), 4, replace=False))
    mine = restrict(problem, points, jobs)
    relaxation = relax(build(mine).model)
    serve, train = reduced_costs(problem, point_prices(mine, relaxation))
    serve[:, points], train[jobs] = -np.inf, -np.inf
    assert relaxation.objective + missed_value(problem, serve, train) >= best * (1 - 1e-9)


def test_a_capped_plan_keeps_every_rule_and_fits_more_racks(problem: Problem) -> None:
    options = SolverOptions(gap=1e-3, time_limit_s=60)
    made = []
    for selection in (fastest(problem), everything(problem)):
        programme = build(restrict(problem, *selection, alone=True))
        made.append(plan_from(programme, solve(programme.model, options)))
    sequential, together = made
    for plan in made:
        assert all(c.passed for c in check_plan(plan.summary, plan.tables)), plan.summary
    assert together.summary["objective_value"] > sequential.summary["objective_value"]
    racks = [p.tables["deployment"].groupby("quarter")["racks_online"].sum().max() for p in made]
    assert racks[1] > racks[0]
    deployment = together.tables["deployment"]
    assert (deployment["it_power_w"] <= deployment["nameplate_w"] * (1 + 1e-9)).all()
    assert together.summary["deployed_w"][-1] == pytest.approx(
        (
            deployment.groupby("system")["racks_added"].sum()
            * [NAMEPLATE_W[s] for s in sorted(set(deployment["system"]))]
        ).sum()
        * 1.25
    )


def test_without_caps_a_rack_holds_its_nameplate() -> None:
    problem = problem_from(scenario(), catalog(), points())
    np.testing.assert_array_equal(problem.point_held_w, problem.rack_it_w[problem.point_system])
    np.testing.assert_array_equal(problem.least_held_w, problem.rack_it_w)
