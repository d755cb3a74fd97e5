"""The search: its plan is whole and within every rule, its bound holds, and both repeat to the digit."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gigaforge.buildout.problem import problem_from
from gigaforge.buildout.programme import build
from gigaforge.buildout.search import search
from gigaforge.buildout.search.reduced import Point
from gigaforge.buildout.search.tree import Tree
from gigaforge.buildout.solver import Solution, SolverOptions, relax, solve
from tests.buildout.small import catalog, points, scenario

TERMS = {
    "equal tranches": {},
    "a schedule": {"investment": {"ceiling": "$20B", "schedule": [{"at": "0.3 GW", "amount": "$5B"},
                                                                  {"at": "1.5 GW", "amount": "$15B"}]}},
    "nothing to place": {"training": []},
}  # fmt: skip


OPTIONS = SolverOptions(gap=0.01, time_limit_s=120, threads=1)


@cache
def model_of(terms: str) -> Any:
    return build(problem_from(scenario(**TERMS[terms]), catalog(), points())).model


@cache
def found_in(terms: str) -> Solution:
    return search(model_of(terms), OPTIONS)


@cache
def best_of(terms: str) -> Solution:
    return solve(model_of(terms), replace(OPTIONS, gap=1e-4), start=found_in(terms).values)


@pytest.mark.parametrize("terms", TERMS)
def test_a_plan_breaks_no_rule_and_is_as_close_to_its_bound_as_asked(terms: str) -> None:
    model, found = model_of(terms), found_in(terms)
    values, m = found.values, model.matrices
    assert (values >= m.lb - 1e-6).all()
    assert (values <= m.ub + 1e-6).all()
    whole = np.asarray(m.vtypes) != "C"
    assert np.allclose(values[whole], np.rint(values[whole]), atol=1e-5)
    left, scale = m.A @ values - m.b, 1e-5 * (1 + np.abs(m.b))
    assert (left[m.sense == "<"] <= scale[m.sense == "<"]).all()
    assert (left[m.sense == ">"] >= -scale[m.sense == ">"]).all()
    assert (np.abs(left[m.sense == "="]) <= scale[m.sense == "="]).all()
    assert found.objective == pytest.approx(float(m.c @ values), rel=1e-6)
    assert found.objective <= found.bound + 1e-6
    assert found.bound <= relax(model).objective + 1e-6
    assert found.gap <= 0.01


@pytest.mark.parametrize("terms", TERMS)
def test_no_plan_is_worth_more_than_the_bound(terms: str) -> None:
    found, best = found_in(terms), best_of(terms)
    assert found.objective <= best.bound
    assert best.objective <= found.bound + 1e-6 * abs(found.bound)


def test_a_gap_that_racks_keep_open_is_closed_all_the_same() -> None:
    terms, best = "nothing to place", best_of("nothing to place")
    found = search(model_of(terms), replace(OPTIONS, gap=2e-4))
    assert found.status == "optimal"
    assert found.gap <= 2e-4
    assert found.objective == pytest.approx(best.objective, rel=3e-4)


def test_sides_of_a_question_may_have_the_same_bound() -> None:
    """No plan is lost where two numbers can each be either, and nothing tells the sides apart."""

    def solve_flat(lower: Any, upper: Any, **_: Any) -> Point:
        return Point(1.0, np.where(lower == upper, lower, 0.5), None)

    columns = np.arange(2, dtype=np.int32)
    flat: Any = SimpleNamespace(solves=0, where=lambda mine: mine, solve=solve_flat)
    tree, seen = Tree(flat, {"tranches": columns}, gap=0.0), set()
    for leaf in tree.leaves(np.zeros(2), np.ones(2), 100, lambda: True):
        seen.add(tuple(leaf.point.shape))
        tree.worth = 0.5
    assert len(seen) == 4


def test_a_search_repeats_to_the_digit() -> None:
    first, second = found_in("equal tranches"), search(model_of("equal tranches"), OPTIONS)
    assert first.objective == second.objective
    assert first.bound == second.bound
    assert (first.values == second.values).all()
