"""All candidates in few points: worth as much, and the plan's bound holds for every plan with any of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gigaforge.buildout.best_plan import plan_over_all
from gigaforge.buildout.check import check_plan
from gigaforge.buildout.envelope import envelope
from gigaforge.buildout.pricing import restrict
from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.solver import SolverOptions, relax, solve
from gigaforge.catalog import load_catalog
from gigaforge.codesign.candidates import find_candidates
from gigaforge.executor import open_executor
from gigaforge.scenario import load_scenario
from tests.buildout.small import catalog
from tests.codesign.test_coordinate import everything, tight_power


def many_strategies(seed: int, each: int = 6) -> Problem:
    """Every candidate in several strategies, each the best in quarters of its own; some draw a little more or less."""
    horizon = {"first": "2026-Q3", "last": "2028-Q2"}
    problem, rng = tight_power(horizon=horizon), np.random.default_rng(seed)
    p = restrict(problem, np.repeat(np.arange(len(problem.points)), each), everything(problem)[1])
    return replace(
        p,
        points=[replace(q, id=f"{q.id}/{number}") for number, q in enumerate(p.points)],
        point_tokens=p.point_tokens * rng.uniform(0.7, 1.0, p.point_tokens.shape),
        point_power_w=p.point_power_w * rng.choice([0.95, 1.0], len(p.points)),
    )


def test_few_points_are_worth_as_much_as_all() -> None:
    problem = many_strategies(0, each=4)
    merged = envelope(problem)
    assert len(merged.leader) < 0.5 * len(problem.points)
    every, few = (relax(build(p).model).objective for p in (problem, merged.problem))
    assert few == pytest.approx(every, rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_a_merged_point_is_what_its_leaders_do_and_none_is_better_than_what_is_left(seed: int) -> None:
    problem = many_strategies(seed)
    merged = envelope(problem)
    p, quarter = merged.problem, np.arange(len(problem.quarters))
    live = p.point_tokens > 0
    np.testing.assert_array_equal(p.point_tokens[live], problem.point_tokens[merged.leader, quarter][live])
    np.testing.assert_allclose(problem.point_held_w[merged.leader], p.point_held_w[:, None].repeat(len(quarter), 1))
    np.testing.assert_allclose(problem.point_power_w[merged.leader], p.point_power_w[:, None].repeat(len(quarter), 1))
    # At any prices of tokens and watts the best of all candidates is among those left.
    rng = np.random.default_rng(seed)
    for held, drawn in rng.exponential((1.0, 0.3), (50, 2)) * p.point_tokens.max() / p.rack_it_w.max():
        for k in range(len(p.systems)):
            best = [
                (q.point_tokens - (held * q.point_held_w + drawn * q.point_power_w)[:, None])[q.point_system == k]
                .max(axis=0, initial=-np.inf)
                for q in (problem, p)
            ]  # fmt: skip
            online = merged.problem.point_tokens[p.point_system == k].max(axis=0) > 0
            assert (best[1][online] >= best[0][online] - 1e-9 * abs(best[0][online])).all()


def test_who_is_paid_to_draw_keeps_every_draw() -> None:
    problem = many_strategies(0)
    paid = replace(problem, energy_usd_per_j=-problem.energy_usd_per_j)
    assert len(envelope(paid).leader) > len(envelope(problem).leader)


def test_the_bound_holds_for_the_best_plan_with_any_candidates() -> None:
    problem, sharp = many_strategies(0, each=2), SolverOptions(gap=1e-3, time_limit_s=120, threads=1)
    plan = plan_over_all(problem, catalog(), options=SolverOptions(gap=0.005, time_limit_s=120, threads=1))
    best = solve(build(problem).model, sharp)
    value, bound = plan.summary["objective_value"], plan.summary["bound"]
    assert best.objective * USD <= bound * (1 + 1e-6), "the best with all candidates at once"
    assert value <= best.bound * USD * (1 + 1e-6)
    assert plan.summary["mip_gap"] == pytest.approx(bound / value - 1, abs=1e-9)
    assert plan.summary["mip_gap"] <= 0.005
    assert all(c.passed for c in check_plan(plan.summary, plan.tables))
    assert set(plan.tables["allocation"]["point"]) <= {q.id for q in (*problem.points, *problem.training_points)}


@pytest.mark.slow
def test_where_a_block_of_racks_is_large_the_bound_counts_it_whole() -> None:
    """The opening cash buys some eight blocks: racks divided at will would be worth several per cent more."""
    figures, chosen = load_catalog(), load_scenario(Path("scenarios/capital-bound.yaml"))
    with open_executor(1) as executor:
        found = find_candidates(chosen, figures, caps=4, executor=executor)
    problem = problem_from(chosen, figures, found.points)
    plan = plan_over_all(problem, figures, options=SolverOptions(gap=0.01, time_limit_s=600))
    divided = relax(build(envelope(problem).problem).model).objective * USD
    assert plan.summary["mip_gap"] <= 0.01
    assert plan.summary["bound"] < 0.98 * divided
