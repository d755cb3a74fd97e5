"""Sensitivities of the plan are what a change really does to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gigaforge.buildout.marginals import Marginals, marginals
from gigaforge.buildout.problem import Problem
from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.solver import relax
from tests.codesign.test_coordinate import tight_power

STEP = 1e-3
pytestmark = pytest.mark.slow


def value(problem: Problem) -> float:
    return relax(build(problem, tight=False).model).objective * USD


@pytest.fixture(scope="module")
def problem() -> Problem:
    finance = {"discount_rate": "10 %", "opening_cash": "$1.2B", "debt": {"limit": "$0.3B", "interest": "8 %"}}
    return tight_power(finance=finance)


@pytest.fixture(scope="module")
def found(problem: Problem) -> Marginals:
    return marginals(problem)


def difference(up: Problem, down: Problem) -> float:
    return value(up) - value(down)


def scaled(problem: Problem, system: str, factor: float, *, point: str, train: str) -> dict[str, Any]:
    k = problem.systems.index(system)
    points, jobs = getattr(problem, point).copy(), getattr(problem, train).copy()
    points[problem.point_system == k] *= factor
    jobs[problem.train_system == k] *= factor
    return {point: points, train: jobs}


def test_power_at_a_site(problem: Problem, found: Marginals) -> None:
    for s, site in enumerate(problem.sites):
        change = np.zeros_like(problem.energised_w)
        change[s] = STEP * problem.energised_w[s].mean()
        by = difference(replace(problem, energised_w=problem.energised_w + change),
                        replace(problem, energised_w=problem.energised_w - change))  # fmt: skip
        expected = by / (2 * change[s, 0] / 1e6)
        assert found.power[site] == pytest.approx(expected, rel=0.05, abs=1.0)
    assert max(found.power.values()) > 0


def test_supply_of_a_line(problem: Problem, found: Marginals) -> None:
    block = problem.scenario.block
    for i, line in enumerate(problem.lines):
        change = np.zeros_like(problem.supply)
        change[i, problem.supply[i] > 0] = block
        expected = difference(replace(problem, supply=problem.supply + change), problem) / block
        assert found.supply[line] == pytest.approx(expected, rel=0.05, abs=100.0)


def test_cash_at_the_start(problem: Problem, found: Marginals) -> None:
    def richer(by: float) -> Problem:
        finance = problem.scenario.finance.model_copy(
            update={"opening_cash": problem.scenario.finance.opening_cash + by}
        )
        return replace(problem, scenario=problem.scenario.model_copy(update={"finance": finance}))

    assert found.cash == pytest.approx(difference(richer(1e6), richer(-1e6)) / 2e6, rel=0.05)
    assert found.cash > 0.01, "cash binds in this case"


def test_demand_of_a_workload(problem: Problem, found: Marginals) -> None:
    expected = difference(replace(problem, demand=problem.demand * (1 + STEP)),
                          replace(problem, demand=problem.demand * (1 - STEP))) / (2 * STEP) * 0.01  # fmt: skip
    assert sum(found.demand.values()) == pytest.approx(expected, rel=0.05, abs=100.0)


def test_speed_of_a_platform(problem: Problem, found: Marginals) -> None:
    for system in problem.systems:
        names = {"point": "point_tokens", "train": "train_rate"}
        up, down = (replace(problem, **scaled(problem, system, 1 + sign * STEP, **names)) for sign in (1, -1))
        expected = difference(up, down) / (2 * STEP) * 0.01
        assert found.speed[system] == pytest.approx(expected, rel=0.05, abs=1e3)
    assert max(found.speed.values()) > 0


def test_watts_of_a_platform(problem: Problem, found: Marginals) -> None:
    def hungrier(system: str, factor: float) -> Problem:
        k = problem.systems.index(system)
        changes = scaled(problem, system, factor, point="point_held_w", train="train_held_w")
        changes |= scaled(problem, system, factor, point="point_power_w", train="train_power_w")
        for name in ("rack_it_w", "rack_idle_w", "least_held_w"):
            changes[name] = getattr(problem, name).copy()
            changes[name][k] *= factor
        changes["counts"] = problem.counts * np.where(np.arange(len(problem.systems)) == k, 1 / factor, 1.0)
        return replace(problem, **changes)

    for system in problem.systems:
        expected = difference(hungrier(system, 1 - STEP), hungrier(system, 1 + STEP)) / (2 * STEP) * 0.01
        assert found.watts[system] == pytest.approx(expected, rel=0.05, abs=1e3)
    assert max(found.watts.values()) > 0


def test_nameplate_that_counts_as_deployed(problem: Problem, found: Marginals) -> None:
    def counting(system: str, factor: float) -> Problem:
        k = problem.systems.index(system)
        changes: dict[str, Any] = {
            "counts": problem.counts * np.where(np.arange(len(problem.systems)) == k, factor, 1.0)
        }
        return replace(problem, **changes)

    for system in problem.systems:
        expected = difference(counting(system, 1 + STEP), counting(system, 1 - STEP)) / (2 * STEP) * 0.01
        assert found.counted[system] == pytest.approx(expected, rel=0.05, abs=1e3)


def test_a_price_holds_in_its_range(problem: Problem, found: Marginals) -> None:
    row = next(r for r in found.rows if r.kind == "power" and r.high and r.high > r.now * 1.0001)
    s, t = problem.sites.index(row.name), [str(q) for q in problem.quarters].index(row.quarter)
    assert (row.low or 0.0) <= row.now <= row.high
    more = problem.energised_w.copy()
    more[s, t] = min(row.high, row.now * 1.05) * 1e6
    gained = value(replace(problem, energised_w=more)) - value(problem)
    assert gained == pytest.approx(row.usd * (more[s, t] / 1e6 - row.now), rel=1e-3)
