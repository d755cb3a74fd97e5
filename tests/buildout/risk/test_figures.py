"""Any number or quarter of the scenario may be uncertain, by the path that --set has for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from gigaforge.buildout.programme import USD
from gigaforge.buildout.risk.compiled import compiled
from gigaforge.buildout.risk.policy import Outcome, Policy, rollout
from gigaforge.buildout.risk.relaxed import Replan
from gigaforge.buildout.risk.study import restated_template
from gigaforge.buildout.risk.summary import tranche_dates
from gigaforge.buildout.risk.world import Worlds
from gigaforge.errors import InputError
from gigaforge.quarters import Quarter
from gigaforge.scenario.vary import figures, vary
from tests.buildout.risk.worlds import problem, risk_of, small
from tests.buildout.small import catalog

EVEN: dict[str, Any] = {"shape": "uniform", "low": 0.8, "high": 1.3}


def worlds(*variables: dict[str, Any]) -> Worlds:
    return Worlds(problem(), risk_of(*variables), 4, 1, "risk", catalog())


@given(st.sampled_from(sorted(p for p, f in figures(small()).items() if f.kind != "quarter")), st.floats(0.9, 1.1))
def test_a_figure_varied_there_and_back_is_the_same_and_nothing_else_moved(path: str, factor: float) -> None:
    before = figures(small())
    if isinstance(before[path].value, int):
        return  # whole numbers are rounded
    try:
        there = vary(small(), path, factor)
    except InputError:
        return  # the field may not hold it
    after = figures(there)
    assert set(after) == set(before)
    moved = [p for p in after if after[p].value != before[p].value]
    assert all(p.startswith(path) or path.startswith(p) for p in moved)
    back = figures(vary(there, path, 1 / factor))[path].value
    want = before[path].value
    pairs = zip(back.values(), want.values(), strict=True) if isinstance(want, dict) else [(back, want)]
    assert all(a == pytest.approx(b) for a, b in pairs)


def test_a_quarter_comes_later() -> None:
    late = vary(small(), "commitment.milestones.0.by", 2.0)
    assert late.commitment.milestones[0].by == Quarter.parse("2027-Q2")


def test_what_cannot_vary_is_named_with_what_can() -> None:
    with pytest.raises(InputError, match=r"did you mean 'finance\.discount_rate'.*--set"):
        worlds({"what": "finance.discount_rat", **EVEN})
    with pytest.raises(InputError, match=r"'investment\.amount' is not stated in the scenario"):
        worlds({"what": "investment.amount", **EVEN})
    with pytest.raises(InputError, match=r"pattern 'walk' is for figures by quarter"):
        worlds({"what": "finance.discount_rate", **EVEN, "pattern": "walk"})
    with pytest.raises(InputError, match=r"finance\.discount_rate: the distribution makes it 1.*below 1 is expected"):
        worlds({"what": "finance.discount_rate", **EVEN, "high": 20}).extremes()


@pytest.mark.slow
def test_terms_of_money_move_the_worlds_and_the_programme_is_stated_for_them() -> None:
    made = worlds({"what": "finance.discount_rate", **EVEN})
    template = restated_template(made)
    dear = max(range(4), key=lambda i: made.values(i)["finance.discount_rate"][0])
    turned_out = made.problem_of(made.tracks(dear))
    assert turned_out.scenario.finance.discount_rate > made.problem.scenario.finance.discount_rate
    ours, anew = template.numbers(turned_out), compiled(turned_out, template.keep)
    np.testing.assert_allclose(ours.cost, anew.cost)
    policy = Policy(made, template)
    policy.prepare()
    x = Replan(template, template.base, template.lower, template.upper).best()
    assert rollout(policy, dear).npv_usd < template.base.value @ x[: template.shape[1]] * USD


@pytest.mark.slow
def test_the_size_of_a_tranche_may_vary_and_every_number_is_restated() -> None:
    made = worlds({"what": "investment.per", "shape": "uniform", "low": 0.3, "high": 1.0})
    template = restated_template(made)
    small_steps = made.problem_of(made.tracks(min(range(4), key=lambda i: made.values(i)["investment.per"][0])))
    ours, anew = template.numbers(small_steps), compiled(small_steps, template.keep)
    for part in ("cost", "rhs", "lower", "upper"):
        np.testing.assert_allclose(getattr(ours, part), getattr(anew, part))
    restated, base = (
        sparse.csc_array((n.data, template.places, template.starts), shape=template.shape)
        for n in (ours, template.base)
    )
    assert abs(restated - anew.matrix).max() == 0
    moved = abs(restated - base).tocoo()
    rows = np.concatenate([template.rows[name].ravel() for name in ("investment.per|release", "finance|cash")])
    assert set(moved.row[moved.data > 0]) == set(rows[rows >= 0])  # a tranche asks for less power and pays less


@pytest.mark.slow
def test_what_changes_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"ttft: changes nothing in the build-out programme"):
        restated_template(worlds({"what": "serving.assistant.ttft", **EVEN}))


def test_futures_may_have_different_numbers_of_tranches() -> None:
    lived = [Outcome(0.0, [], tranches, 1.0, 0.0, 0.0, []) for tranches in ([0], [0, 2, -1])]
    first, second, third = tranche_dates(problem(), lived)
    assert (first["probability"], second["probability"], third["probability"]) == (1.0, 0.5, 0.0)
    assert (second["p10"], second["p90"], third["p10"]) == (str(problem().quarters[2]), None, None)
