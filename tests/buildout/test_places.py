"""Sites as they are: phases, climate, hours, curtailment, fit, lines between them; and deadlines that slip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gigaforge.buildout.check import check_plan
from gigaforge.buildout.places import energised_in, months_of, place_of, why_not
from gigaforge.buildout.plan import Plan
from gigaforge.buildout.planner import plan
from gigaforge.buildout.problem import problem_from
from gigaforge.buildout.programme import build
from gigaforge.buildout.reasons import RackAccounts
from gigaforge.buildout.solver import SolverOptions, relax
from gigaforge.catalog import load_catalog
from gigaforge.operations.weather import MONTH_DAYS
from gigaforge.quarters import Quarter
from gigaforge.scenario import interpolate, output_tokens, parse_scenario
from gigaforge.scenario.schema import Phase, Serving
from tests.buildout.small import catalog, points, scenario, scenario_data

QUICK = SolverOptions(gap=1e-2, time_limit_s=60)
SHORT: dict[str, Any] = {
    "horizon": {"first": "2026-Q3", "last": "2028-Q2"},
    "commitment": {"power": "1 GW", "late_penalty": "$20/kW-month"},
}


def planned(**changes: Any) -> Plan:
    return plan(scenario(**{**SHORT, **changes}), catalog(), points=points(), options=QUICK)


def broken(made: Plan) -> list[str]:
    return [c.rule for c in check_plan(made.summary, made.tables) if not c.passed]


@pytest.mark.parametrize(
    ("phase", "when"),
    [
        (
            {"ordered": "2026-Q1", "lead": "24 months", "construction": "18 months", "commissioning": "3 months"},
            "2028-Q1",
        ),
        (
            {"ordered": "2026-Q1", "lead": "6 months", "construction": "18 months", "commissioning": "0 months"},
            "2027-Q2",
        ),
        ({"ordered": "2026-Q1", "source": "solar-storage"}, "2027-Q4"),  # 19 and 3 months: the catalogue's
    ],
)
def test_a_phase_is_energised_when_supply_buildings_and_tests_are_done(phase: dict[str, Any], when: str) -> None:
    made = Phase.model_validate({"power": "100 MW", **phase})
    assert energised_in(made, load_catalog()) == Quarter.parse(when)


def test_phases_add_up_and_mix_price_and_carbon() -> None:
    data = scenario_data(**SHORT, sites=[{"site": "abilene", "phases": [
        {"power": "100 MW", "ordered": "2025-Q1", "lead": "12 months", "construction": "12 months", "commissioning": "3 months"},
        {"power": "100 MW", "source": "solar-storage", "ordered": "2025-Q3", "firm": "50 %", "energy_price": "$40/MWh"},
    ]}])  # fmt: skip
    cat = load_catalog()
    made = place_of(parse_scenario(data), 0, cat.site("abilene"), cat)
    np.testing.assert_allclose(made.energised_w[[0, -1]], [100e6, 150e6])
    dollars = made.energy_usd_per_j[-1] * 3.6e9
    assert dollars == pytest.approx((60 * 100 + 40 * 50) / 150)
    assert made.carbon_kg_per_j[-1] < made.carbon_kg_per_j[0]


def test_pue_is_higher_in_summer_and_its_mean_is_the_sites() -> None:
    cat = load_catalog()
    data = scenario_data(**SHORT, sites=[{"site": "abilene", "price_swing": "30 %"}])
    data["serving"][0] |= {"shape": "azure-2024-conversation"}
    del data["serving"][0]["peak_to_mean"]
    made = parse_scenario(data)
    place = place_of(made, 0, cat.site("abilene"), cat)
    assert place.pue[:4].mean() == pytest.approx(cat.site("abilene").pue_mean.value, rel=1e-9)
    assert place.pue[0] == place.pue.max()  # the third quarter of the year
    assert 0.9 < place.serving_price_factor[0] < 1.1
    assert place.serving_price_factor[0] != 1


def test_the_weather_of_each_month_sets_its_pue() -> None:
    """Mean over the year is the site's, July tops January, the hottest hour is the site's peak; quarters follow months."""
    cat = load_catalog()
    for name in ("abilene", "port-washington", "dona-ana"):
        site = cat.site(name)
        year = months_of(site)
        assert np.average(year.pue_mean, weights=MONTH_DAYS) == pytest.approx(site.pue_mean.value, rel=1e-3)
        assert year.pue_peak.max() == pytest.approx(site.pue_peak.value)
        assert (year.pue_mean <= year.pue_peak + 1e-12).all()
        assert year.pue_mean[6] > year.pue_mean[0]
    assert all(site.climate for site in cat.sites.values() if site.latitude is not None)
    normals = cat.site("abilene").climate
    assert normals is not None
    np.testing.assert_allclose(months_of(cat.site("abilene")).air_c, normals.mean_c, atol=2.0)
    assert months_of(cat.site("saline")).air_c[0] < months_of(cat.site("coreweave")).air_c[0] - 5


def test_the_plan_shows_months() -> None:
    made = planned()
    months, sites = made.tables["site_months"], made.tables["sites"]
    assert len(months) == 3 * len(sites)
    assert set(months["month"].str[:4]) == {q[:4] for q in sites["quarter"]}
    by_quarter = months.groupby(["site", "quarter"])["mean_power_w"].mean()
    energy = sites.set_index(["site", "quarter"])["energy_j"] / 7889400.0
    np.testing.assert_allclose(by_quarter, energy.reindex(by_quarter.index), rtol=0.01)
    assert (months["peak_power_w"] <= months["energised_w"] * (1 + 1e-9)).all()


def test_why_a_system_does_not_fit() -> None:
    cat = catalog()
    site, dense = cat.site("north"), cat.system("rack-b")
    assert why_not(site, scenario().sites[0], dense) == ""
    limited = scenario(sites=[{"site": "north", "rack_power_limit": "200 kW"}]).sites[0]
    assert "draws 580 kW, the halls take racks of 200 kW" in why_not(site, limited, dense)
    airy = scenario(sites=[{"site": "north", "cooling": "air"}]).sites[0]
    assert "liquid" in why_not(site, airy, dense.model_copy(update={"cooling": "liquid"}))


def test_a_system_too_dense_for_every_hall_is_bought_nowhere_and_the_plan_says_so() -> None:
    sites = [{"site": "north", "rack_power_limit": "200 kW"}, {"site": "south", "rack_power_limit": "200 kW"}]
    made = planned(sites=sites)
    assert set(made.tables["deployment"]["system"]) == {"rack-a"}
    assert {u["system"] for u in made.summary["unfit"]} == {"rack-b"}
    assert any("draws 580 kW" in r["sentence"] for r in made.summary["reasons"] if r["quarter"] >= "2028-Q1") or not [
        r for r in made.summary["reasons"] if r["quarter"] >= "2028-Q1"
    ]


def test_curtailment_takes_work_and_pays_a_credit() -> None:
    cut = {"depth": "50 %", "hours_per_year": 876.6, "credit": "$5/kW-month"}
    made = planned(sites=[{"site": "south", "curtailment": cut}])
    assert broken(made) == []
    assert made.problem.work_share[0, 0] == pytest.approx(0.95)
    assert made.tables["cash"].query("flow == 'curtailment_credit' and party == 'operator'")["amount_usd"].sum() > 0
    made.tables["sites"]["work_share"] = 0.5
    assert any("in service" in rule for rule in broken(made))


def test_a_run_spans_a_line_that_carries_its_gradients_and_no_other() -> None:
    """Two small sites and a run too large for either: the line decides."""
    small = [{"site": "north", "power": "30 MW"}, {"site": "south", "power": "30 MW"}]
    run = {"name": "run-1", "model": "chat", "tokens": "20T tokens", "start": "2027-Q1", "end": "2027-Q3"}
    wide = planned(
        sites=small, training=[run], serving=[], links=[{"between": ["north", "south"], "bandwidth": "100 Tb/s"}]
    )
    assert broken(wide) == []
    (made,) = wide.summary["training_runs"]
    assert sorted(made["sites"]) == ["north", "south"]
    assert 0.5 < made["span_efficiency"] < 1
    narrow = scenario(**SHORT, training=[run], links=[{"between": ["north", "south"], "bandwidth": "1 Mb/s"}])
    spans = problem_from(narrow, catalog(), points()).spans
    assert [s.allowed for s in spans] == [False]
    wide.summary["spans"][0]["may_span"] = False
    assert any("span" in rule for rule in broken(wide))


def test_a_run_placed_in_parts_still_does_all_of_its_work() -> None:
    """The relaxation may put half a run at one site and half at two: no half of its work may serve for both."""
    run = {"name": "run-1", "model": "chat", "tokens": "20T tokens", "start": "2027-Q1", "end": "2027-Q3"}
    link = {"between": ["north", "south"], "bandwidth": "100 Tb/s"}
    sites = [{"site": "north"}, {"site": "south", "power": "60 MW"}]
    p = problem_from(scenario(**SHORT, sites=sites, training=[run], links=[link]), catalog(), points())
    racks = relax(build(p).model).values["train"].transpose("job", "site", "quarter").values
    done = np.einsum("jst,j->", racks, p.train_rate) * p.scenario.block
    assert done >= p.run_tokens[0] * (1 - 1e-6)


def test_a_deadline_slips_when_that_is_cheaper_and_the_plan_says_what_it_costs() -> None:
    run = {"name": "run-1", "model": "chat", "tokens": "7T tokens", "start": "2027-Q1", "end": "2027-Q1",
           "latest": "2027-Q4", "slip_cost": "$1M/month"}  # fmt: skip
    few = [{"site": "south", "power": "30 MW"}]
    made = planned(sites=few, training=[run], serving=[])
    (late,) = made.summary["training_runs"]
    assert late["slipped_quarters"] > 0
    assert late["slip_cost_usd"] == pytest.approx(late["slipped_quarters"] * 3e6)
    assert broken(made) == []
    late["slipped_quarters"] = 0
    assert any("late" in rule for rule in broken(made))


def test_reasoning_adds_tokens_and_products_add_revenue() -> None:
    data = scenario_data()["serving"][0]
    quarters = [Quarter.parse("2026-Q3") + i for i in range(12)]
    plain = Serving.model_validate(data)
    thinking = Serving.model_validate({**data, "reasoning": {"share": "50 %", "tokens": "1000 tokens"}})
    np.testing.assert_allclose(output_tokens(thinking, quarters), interpolate(plain.output_tokens, quarters) + 500)
    products = [{"name": "free", "users": "90 %"}, {"name": "plus", "users": "10 %", "subscription": "$20/month"}]
    problem = problem_from(scenario(serving=[{**data, "products": products}]), catalog(), points())
    users = interpolate(plain.weekly_users, quarters)
    earned = problem.demand[0] * sum(usd for _, (_, usd) in problem.products)
    np.testing.assert_allclose(earned, 0.1 * users * 60, rtol=1e-9)


def test_a_racks_account_is_its_reduced_cost() -> None:
    """The account's total is the change of the relaxed optimum when one more block is forced in."""
    problem = problem_from(scenario(), catalog(), points())
    programme = build(problem)
    base = relax(programme.model)
    accounts = RackAccounts(programme, base)
    s, k, t = 0, 0, 9
    total = accounts.account(s, k, t).total_usd
    supply = problem.supply.copy()
    forced = build(replace(problem, supply=supply))
    have = programme.model.variables["add"]
    forced.model.add_constraints(
        forced.model.variables["add"].isel(site=s, system=k, quarter=t, drop=True) >= 1.0, name="forced"
    )
    change = (relax(forced.model).objective - base.objective) * 1e9 / problem.scenario.block
    assert have is not None
    assert change <= 1.0
    assert total <= 1e4
    assert change == pytest.approx(total, abs=max(0.2 * abs(total), 2e4))
