"""Money between parties: terms, instalments, tax, measures, and the circle from investor to supplier and back."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyxirr
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.buildout.annual import annual_cost, capital_recovery, implied_rate
from gigaforge.buildout.check import check_plan
from gigaforge.buildout.circular import traced
from gigaforge.buildout.instalments import instalments
from gigaforge.buildout.parties import measures
from gigaforge.buildout.plan import Plan
from gigaforge.buildout.planner import plan
from gigaforge.buildout.problem import problem_from
from gigaforge.buildout.programme import build
from gigaforge.buildout.shadow_prices import shadow_prices
from gigaforge.buildout.solver import SolverOptions, relax
from gigaforge.buildout.tax import depreciation, tax_due
from gigaforge.buildout.tranches import due_tranches, unmet_terms
from gigaforge.errors import InputError
from gigaforge.scenario import load_scenario
from gigaforge.scenario.schema import SystemTerms
from tests.buildout.small import catalog, points, scenario, scenario_data

QUICK = SolverOptions(gap=5e-3, time_limit_s=60)
SHORT: dict[str, Any] = {
    "horizon": {"first": "2026-Q3", "last": "2028-Q2"},
    "commitment": {"power": "1 GW", "late_penalty": "$20/kW-month"},
}
MONEY = {"discount_rate": "10 %", "opening_cash": "$15B", "debt": {"limit": "$10B", "interest": "8 %"}}


def planned(**changes: Any) -> Plan:
    return plan(scenario(**changes), catalog(), points=points(), options=QUICK)


def finance(**changes: Any) -> dict[str, Any]:
    return {**MONEY, **changes}


LEASE = {"kind": "lease", "by": "lessor", "rate": "10 %", "term_years": 2, "residual": "10 %"}
CREDIT = {"kind": "credit", "by": "supplier", "share": "50 %", "rate": "9 %", "term_years": 1.5}


@pytest.fixture(scope="module")
def rich() -> Plan:
    """Everything at once: credit, tax, dividends, interest, conditions, products, margins."""
    data = scenario_data()
    serving = {
        **data["serving"][0],
        "products": [
            {"name": "free", "users": "94 %"},
            {"name": "plus", "users": "6 %", "activity": 3, "subscription": "$20/month"},
            ],
    }  # fmt: skip
    serving["products"][0]["per_token"] = True
    return planned(
        horizon={"first": "2026-Q3", "last": "2028-Q4"},
        commitment={"power": "2 GW", "late_penalty": "$20/kW-month"},
        finance=finance(systems=CREDIT, tax={"rate": "21 %"}, interest_on_cash="4 %", dividends={"2028-Q3": "$0.1B"}),
        investment={
            "investor": "nvidia", "ceiling": "$20B", "valuation": "$500B", "pricing": "current", "growth": 0.1,
            "counts": "accepted", "long_stop": "2028-Q4",
            "schedule": [{"at": "0.3 GW", "amount": "$3B"}, {"at": "1 GW", "amount": "$12B"}, {"at": "2 GW", "amount": "$5B"}],
            "conditions": [{"tranche": 1, "not_before": "2027-Q1"}, {"tranche": 2, "purchases": "$20B"},
                           {"tranche": 3, "run": "run-1"}],
        },
        serving=[serving],
        parties=[{"name": "nvidia", "role": "supplier", "discount_rate": "9 %", "margin": "70 %"}],
    )  # fmt: skip


def test_a_plan_with_every_term_keeps_every_rule(rich: Plan) -> None:
    assert [c.rule for c in check_plan(rich.summary, rich.tables) if not c.passed] == []
    flows = set(rich.tables["cash"]["flow"])
    assert {"credit_draw", "credit_interest", "credit_repayment", "tax", "dividends", "interest_received",
            "cost_of_goods", "system_purchase", "equity_tranche"} <= flows  # fmt: skip


def test_the_objective_is_the_cash_tables_value_with_every_term(rich: Plan) -> None:
    worth = rich.summary["npv_usd"]
    assert worth == pytest.approx(rich.summary["objective_value"], rel=5e-3)
    assert worth >= rich.summary["objective_value"] - 1e4  # tranches come the moment they are due, and earn interest


@pytest.mark.parametrize("terms", [LEASE, {**LEASE, "share": "40 %"}, CREDIT], ids=["lease", "part", "credit"])
def test_leases_and_credit_agree_with_the_programme(terms: dict[str, Any]) -> None:
    made = planned(**SHORT, finance=finance(systems=terms))
    assert [c.rule for c in check_plan(made.summary, made.tables) if not c.passed] == []
    assert made.summary["npv_usd"] == pytest.approx(made.summary["objective_value"], rel=1e-5)


def test_dividends_go_to_the_investor_by_its_share(rich: Plan) -> None:
    paid = rich.tables["cash"].query("flow == 'dividends' and amount_usd > 0")
    by_party = paid.groupby("party")["amount_usd"].sum()
    share = by_party["nvidia"] / by_party.sum()
    assert by_party.sum() == pytest.approx(2 * 0.1e9)  # two quarters, from 2028-Q3 to the end
    assert 0 < share <= rich.summary["circularity"]["stake"] * 1.001


def test_a_lease_asks_less_of_the_purse_and_the_lessor_buys() -> None:
    made = planned(**SHORT, finance=finance(systems=LEASE))
    cash = made.tables["cash"]
    mine = cash[(cash["party"] == "operator") & (cash["flow"] == "system_purchase")]
    assert mine["amount_usd"].abs().sum() == 0
    lessor = next(r for r in made.summary["parties"] if r["role"] == "lessor")
    assert lessor["party"] == "lessor"
    assert lessor["irr"] == pytest.approx((1 + 0.10 / 4) ** 4 - 1, abs=0.02)  # deposits ahead cost it a little


def test_money_balances_in_every_quarter_and_flow(rich: Plan) -> None:
    cash = rich.tables["cash"]
    assert cash.groupby(["quarter", "flow"])["amount_usd"].sum().abs().max() < 0.005
    pairs = cash.groupby(["quarter", "flow", "item"])["amount_usd"].sum().abs().max()
    assert pairs < 0.005
    assert (cash["amount_usd"].mul(100).round() / 100 == cash["amount_usd"]).all()
    mirrored = cash.merge(cash, left_on=["quarter", "party", "counterparty", "flow", "item"],
                          right_on=["quarter", "counterparty", "party", "flow", "item"])  # fmt: skip
    assert len(mirrored) == len(cash)
    assert (mirrored["amount_usd_x"] == -mirrored["amount_usd_y"]).all()


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_money_balances_whatever_is_decided(rich: Plan, data: st.DataObject) -> None:
    """Payments cancel to the cent for decisions that no solver would make."""
    from gigaforge.buildout.cash import cash_table

    d = rich.decisions
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    added = rng.integers(0, 50, d.added.shape).astype(float)
    online = np.cumsum(added, axis=2)
    mad = replace(
        d, added=added, online=online, retired=np.zeros_like(added), served=d.served * rng.random(d.served.shape),
        built_w=np.maximum.accumulate(rng.random(d.built_w.shape) * 1e9, axis=1), debt_usd=rng.random(len(d.debt_usd)) * 1e10,
    )  # fmt: skip
    cash = cash_table(rich.problem, mad).table
    assert cash.groupby(["quarter", "flow", "item"])["amount_usd"].sum().abs().max() < 0.005
    assert np.isfinite(cash["amount_usd"]).all()


def test_tranches_wait_for_acceptance_conditions_and_end_at_the_long_stop(rich: Plan) -> None:
    deployed = np.array(rich.summary["deployed_w"])
    quarters = rich.summary["quarters"]
    first, second, third = rich.summary["tranches"]
    reached = int(np.argmax(deployed >= 0.3e9))
    assert first["released"] == max(quarters[reached + 1], "2027-Q1")
    assert second["released"] is None or second["released"] > quarters[int(np.argmax(deployed >= 1e9))]
    assert third["released"] is None or third["released"] <= "2028-Q4"


def test_a_dollar_of_cash_is_worth_something_only_where_the_purse_runs_empty() -> None:
    """Without interest the price is the dual itself; interest that a full purse earns is no sign of scarcity."""
    poor = problem_from(
        scenario(**SHORT, finance={"discount_rate": "10 %", "opening_cash": "$0.1B"}), catalog(), points()
    )
    programme = build(poor, tight=False)
    relaxed = relax(programme.model)
    prices = np.array(shadow_prices(programme, relaxed)["cash"])
    assert prices.max() > 0.01
    np.testing.assert_allclose(prices, np.abs(relaxed.duals["finance|cash"].values), atol=1e-6)
    rich = problem_from(
        scenario(**SHORT, finance=finance(opening_cash="$60B", interest_on_cash="4 %")), catalog(), points()
    )
    programme = build(rich, tight=False)
    relaxed = relax(programme.model)
    assert np.abs(relaxed.duals["finance|cash"].values).max() > 0.01
    assert max(shadow_prices(programme, relaxed)["cash"]) == 0


TERMS = [
    ({}, "1 GW must be deployed, and 700 MW are deployed by 2029-Q2"),
    ({"counts": "accepted", "acceptance_quarters": 2, "per": "0.6 GW", "long_stop": "2028-Q2"},
     "600 MW are deployed in 2028-Q1 and accepted in 2028-Q3, after the long stop of 2028-Q2"),
    ({"counts": "accepted", "acceptance_quarters": 8, "per": "0.6 GW"},
     "600 MW are deployed in 2028-Q1 and accepted in 2030-Q1, beyond the horizon's end, 2029-Q2"),
    ({"per": "0.6 GW", "conditions": [{"tranche": 1, "purchases": "$35B"}]},
     r"systems worth \$35B must be delivered, and \$24B are by 2029-Q2"),
    ({"per": "0.6 GW", "conditions": [{"tranche": 1, "purchases": "$20B"}], "long_stop": "2028-Q1"},
     r"systems worth \$20B are delivered by 2028-Q4, after the long stop of 2028-Q1"),
    ({"per": "0.6 GW", "conditions": [{"tranche": 1, "run": "run-1"}]},
     "the run run-1 must have ended, which it has not by 2029-Q2"),
    ({"per": "0.6 GW", "conditions": [{"tranche": 1, "not_before": "2031-Q1"}]},
     "nothing is released before 2031-Q1, beyond the horizon's end, 2029-Q2"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(TERMS)))
def test_a_tranche_that_never_comes_says_which_of_its_terms_it_lacks(number: int) -> None:
    changes, said = TERMS[number]
    problem = problem_from(scenario(investment={"ceiling": "$20B", "per": "1 GW"} | changes), catalog(), points())
    deployed = np.where(np.arange(12) < 6, 0.3e9, 0.7e9)  # from 2028-Q1
    delivered = np.arange(1, 13) * 2e9
    assert due_tranches(problem, deployed, delivered, {"run-1": None})[-1] == 0
    first, second, *_ = unmet_terms(problem, deployed, delivered, {"run-1": None}, 0)
    assert re.fullmatch(said, first)
    assert second


def test_shares_at_the_fixed_valuation_buy_more_when_the_worth_grows() -> None:
    terms = {"investor": "nvidia", "ceiling": "$20B", "per": "0.5 GW", "valuation": "$500B", "growth": 0.2}
    fixed = planned(**SHORT, investment={**terms, "pricing": "fixed"})
    current = planned(**SHORT, investment={**terms, "pricing": "current"})
    stakes = [p.summary["circularity"]["stake"] for p in (fixed, current)]
    assert stakes[0] > stakes[1] > 0
    worth = next(r for r in fixed.summary["parties"] if r["role"] == "investor")["left_usd"]
    paid = fixed.summary["circularity"]["invested_usd"]
    assert worth == pytest.approx(paid * 1.2**2, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 0.3), st.floats(0.25, 8), st.floats(0, 0.5), st.floats(0.05, 1))
def test_instalments_are_worth_the_price_at_their_own_rate(
    rate: float, years: float, residual: float, share: float
) -> None:
    terms = SystemTerms.model_validate(
        {"kind": "lease", "by": "x", "rate": rate, "term_years": years, "residual": residual, "share": share}
    )
    made = instalments(terms, 40)
    age = np.arange(40)
    worth = (made.payment * (1 + rate / 4) ** -age).sum()
    n = max(1, round(4 * years))
    assert worth == pytest.approx(share, rel=1e-9)
    assert made.principal.sum() == pytest.approx(share, rel=1e-9)
    assert made.balance[n:].max() == 0
    np.testing.assert_allclose(made.interest + made.principal, made.payment, atol=1e-12)


def test_tax_follows_a_worked_example() -> None:
    """A loss of 100, then profits of 60, 60 and 60: tax on nothing, nothing, 20 and 60."""
    np.testing.assert_allclose(tax_due(np.array([-100.0, 60.0, 60.0, 60.0]), 0.25), [0, 0, 5, 15])
    np.testing.assert_allclose(tax_due(np.array([50.0, -20.0, 20.0, 10.0]), 0.2, losses_usd=30), [4, 0, 0, 2])
    assert depreciation(np.array([80.0, 0, 0, 0, 0, 0, 0, 0, 0]), 2).sum() == pytest.approx(80)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=3, max_size=20), st.floats(0, 0.3), st.floats(0, 100))
def test_measures_agree_with_an_oracle(flows: list[float], rate: float, left: float) -> None:
    made = measures(np.array(flows), rate, left)
    quarterly = (1 + rate) ** 0.25 - 1
    middle = pyxirr.npv(quarterly, flows) * (1 + quarterly) ** -0.5
    end = left * (1 + quarterly) ** -len(flows)
    assert made.npv_usd == pytest.approx(middle + end, abs=1e-6)
    assert made.peak_exposure_usd == pytest.approx(max(0.0, -min(np.cumsum(flows))), abs=1e-9)
    if made.irr is not None:
        cash = np.array([*flows, left]) * (1 + made.irr) ** (-np.arange(len(flows) + 1) / 4)
        assert abs(cash.sum()) < 1e-3 * (np.abs(cash).sum() + 1)


def test_payback_is_when_the_money_is_back_for_good() -> None:
    assert measures(np.array([-10.0, 4, 4, 4, 4]), 0.1).payback == 3
    assert measures(np.array([-10.0, 20, -15, 10, 0]), 0.1).payback == 3
    assert measures(np.array([-10.0, 4, 4]), 0.1).payback is None
    assert measures(np.array([1.0, 1.0]), 0.1).payback == 0


def test_traced_dollars_follow_the_purse() -> None:
    """100 in a purse of 100 with 100 of its own: half of all that goes out is the investor's."""
    back = traced(
        np.array([[100.0, 0.0]]),
        np.array([100.0, 100.0]),
        np.zeros(2),
        np.array([100.0, 100.0]),
        np.array([80.0, 50.0]),
    )
    np.testing.assert_allclose(back, [[40.0, 65.0]])


def test_what_returns_is_never_more_than_what_was_paid(rich: Plan) -> None:
    circle = rich.summary["circularity"]
    assert circle["investor"] == "nvidia"
    assert 0 < circle["returned_usd"] <= circle["invested_usd"]
    assert circle["purchases_usd"] > 0
    for row in circle["tranches"]:
        assert 0 <= row["returned_usd"] <= row["amount_usd"]


def test_yearly_cost_of_a_gigawatt_is_the_published_one() -> None:
    """Epoch AI, May 2026: https://epoch.ai/data-insights/ai-datacenter-cost-breakdown."""
    systems, facility = 27.6263e9, 10.3737e9
    rate = implied_rate(systems, facility, 0.9e9, 8.5e9, 5, 14)
    assert rate == pytest.approx(0.057, abs=0.0005)
    for years, published in ((3, 12e9), (5, 8.5e9), (7, 7e9)):
        assert annual_cost(systems, facility, 0.9e9, rate, years, 14) == pytest.approx(published, rel=0.05)
    assert capital_recovery(0.0, 4) == 0.25
    assert implied_rate(1e9, 0, 0, 1e6, 5, 14) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"finance": finance(systems={**CREDIT, "share": "90 %"})}, ["systems.share 90 %", "deposit 20 %"]),
        ({"investment": {"ceiling": "$20B", "per": "1 GW", "schedule": [{"at": "1 GW", "amount": "$1B"}]}}, ["schedule", "per/amount"]),
        ({"investment": {"ceiling": "$2B", "schedule": [{"at": "1 GW", "amount": "$3B"}]}}, ["$3,000,000,000", "ceiling of $2,000,000,000"]),
        ({"investment": {"ceiling": "$2B", "per": "1 GW", "long_stop": "2027-Q1",
                         "conditions": [{"tranche": 2, "not_before": "2028-Q1"}]}}, ["not before 2028-Q1", "long_stop 2027-Q1"]),
        ({"investment": {"ceiling": "$2B", "per": "1 GW", "conditions": [{"run": "nothing"}]}}, ["'nothing' is not a training run"]),
        ({"investment": {"ceiling": "$2B", "per": "1 GW", "conditions": [{"tranche": 1}]}}, ["none of them"]),
        ({"investment": {"ceiling": "$2B", "per": "1 GW", "pricing": "current"}}, ["need a valuation"]),
        ({"sites": [{"site": "north", "power": "1 GW", "phases": [{"power": "1 GW", "ordered": "2026-Q3"}]}]}, ["power and phases"]),
    ],
)  # fmt: skip
def test_contradictory_terms_are_named(changes: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(InputError) as problem:
        scenario(**changes)
    for text in says:
        assert text in str(problem.value)


EPOCH = Path(__file__).parents[2] / "scenarios" / "epoch-gigawatt.yaml"


@pytest.mark.parametrize(("years", "published"), [(3, 12e9), (5, 8.5e9), (7, 7e9)])
def test_the_planned_gigawatt_costs_what_was_published(years: int, published: float) -> None:
    made = plan(load_scenario(EPOCH, [f"finance.system_life_years={years}"])).summary
    cost = made["annual_cost"]
    assert made["capex_usd"] == pytest.approx(38e9, rel=0.005)
    assert cost["running_usd_per_year"] == pytest.approx(0.9e9, rel=0.005)
    assert cost["usd_per_year"] == pytest.approx(published, rel=0.05)
    check = next(c for c in made["cross_checks"] if c["what"].startswith("yearly cost"))
    assert check["value"] == pytest.approx(cost["usd_per_year"], rel=1e-3)
