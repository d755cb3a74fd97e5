"""Figures and words hold for every plan, however little it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import vl_convert

from gigaforge.report import theme
from gigaforge.report.figures import plan_figures
from gigaforge.report.money import capital_charge_usd, token_costs
from gigaforge.report.report_tables import parties_table, tranche_table, yearly_table
from gigaforge.report.scarcities import scarcities
from gigaforge.report.story import headline, headlines, power, sentences
from gigaforge.report.view import REST, PlanView, label_of
from tests.report import plans

AWKWARD: dict[str, Callable[[], PlanView]] = {
    "nothing deployed": plans.empty,
    "one quarter, no investment, no training": plans.one_quarter,
    "as solved": lambda: PlanView(plans.small().summary, plans.small().tables),
    "ten thousand tranches": plans.many_tranches,
    "with everything": lambda: plans.with_extras(plans.small()),
}


@pytest.fixture(params=list(AWKWARD))
def view(request: pytest.FixtureRequest) -> PlanView:
    return AWKWARD[request.param]()


def test_every_figure_builds_and_is_small(view: PlanView) -> None:
    for figure in plan_figures(view).values():
        text = json.dumps(figure.chart.to_dict())
        assert "NaN" not in text
        assert len(text) < 150_000
        assert figure.title


def test_every_figure_draws_without_a_browser(view: PlanView) -> None:
    for figure in plan_figures(view).values():
        assert vl_convert.vegalite_to_svg(figure.chart.to_json()).startswith("<svg")


def test_words_never_hold_a_missing_number(view: PlanView) -> None:
    told = [headline(view), *sentences(view), *scarcities(view), *(f"{h.value} {h.note}" for h in headlines(view))]
    told += [f.takeaway for f in plan_figures(view).values()]
    assert not [line for line in told if re.search(r"\b(nan|None|inf)\b(?! of the)", line)]


def test_a_full_plan_has_all_figures() -> None:
    wanted = {"deployment-by-site", "deployment-by-platform", "site-power", "tranches", "cash", "token-cost", "tokens",
              "served-share", "training", "shadow-power", "shadow-supply", "shadow-cash", "shadow-demand"}  # fmt: skip
    assert set(plan_figures(plans.with_extras(plans.small()))) == wanted


def test_very_many_tranches_stand_together_by_quarter() -> None:
    plan = plans.many_tranches()
    first, second = plan.summary["quarters"][:2]
    table = tranche_table(plan)
    assert table is not None
    assert [row[:5] for row in table.rows] == [
        ["1 to 3,333", "333 MW", first, "$3.33B", "$3.33B"],
        ["3,334 to 6,666", "666 MW", second, "$3.33B", "$6.67B"],
        ["6,667 to 10,000", "1 GW", "not released", "$3.33B", "–"],
    ]
    few = tranche_table(plans.many_tranches(40))
    assert few is not None
    assert [row[0] for row in few.rows] == [str(n) for n in range(1, 41)]


def test_nothing_deployed_shows_no_empty_axes() -> None:
    assert plan_figures(plans.empty()) == {}
    assert headline(plans.empty()) == "Nothing is deployed"


def test_deployed_by_site_sums_to_the_summary() -> None:
    view = AWKWARD["as solved"]()
    for column in ("site", "system"):
        total = view.deployed_by(column).sum(axis=1).to_numpy()
        np.testing.assert_allclose(total, view.summary["deployed_w"], rtol=1e-9)


def test_a_site_keeps_its_colour_in_every_figure() -> None:
    view = AWKWARD["as solved"]()
    figures = plan_figures(view)
    stacked = figures["deployment-by-site"].chart.to_dict()["layer"][0]["encoding"]["color"]["scale"]
    multiples = figures["site-power"].chart.to_dict()["spec"]["layer"][0]["encoding"]["color"]["scale"]
    assert stacked == multiples
    assert len(set(stacked["range"])) == len(stacked["range"])


def test_many_sites_leave_the_smallest_one_share() -> None:
    view = plans.with_extras(plans.small())
    table = view.tables["deployment"]
    one = table[table["site"] == view.used_sites[0]]
    many = [one.assign(site=f"site-{i}") for i in range(12)]
    grown = PlanView(view.summary, view.tables | {"deployment": pd.concat(many)})
    assert REST in grown.site_colours
    assert len(grown.site_colours) == 9


def test_the_operator_s_bars_and_balance_agree() -> None:
    view = AWKWARD["as solved"]()
    np.testing.assert_allclose(view.cash_by_kind().sum(axis=1).cumsum(), view.summary["cash_usd"], atol=1.0)


def test_parties_cancel() -> None:
    table = parties_table(AWKWARD["as solved"]())
    assert table is not None
    totals = [float(str(row[-1]).replace("−", "-").replace(",", "").replace("–", "0")) for row in table.rows]
    assert abs(sum(totals)) < 0.05 * len(totals)


def test_the_capital_charge_repays_what_was_spent() -> None:
    spent = np.zeros(40)
    spent[3] = 100.0
    charge = capital_charge_usd(spent, life_years=5, rate=0.10)
    r = 1.1**0.25 - 1
    worth = (charge[3:] / (1 + r) ** np.arange(1, 38)).sum()
    assert worth == pytest.approx(100.0)
    assert np.count_nonzero(charge) == 20
    assert capital_charge_usd(spent, 5, 0.0).sum() == pytest.approx(100.0)


def test_cost_and_price_of_tokens_match_the_cash_table() -> None:
    view = AWKWARD["as solved"]()
    costs = token_costs(view).set_index("quarter")
    revenue = view.cash_by_kind()["revenue"]
    served = view.demand.groupby("quarter")["tokens_served"].sum()
    for quarter in costs.index:
        assert costs.loc[quarter, "price"] == pytest.approx(revenue[quarter] / served[quarter] * 1e6, rel=1e-6)


def test_the_year_table_has_a_row_per_year() -> None:
    view = AWKWARD["as solved"]()
    assert [row[0] for row in yearly_table(view).rows] == view.years


def test_colours_name_their_tokens() -> None:
    assert len({light for light, _ in theme.COLOURS.values()}) == len(theme.COLOURS)
    assert theme.css_colours(f'fill="{theme.accent("site-0")}"') == 'fill="var(--site-0)"'
    figure = plan_figures(AWKWARD["with everything"]())["cash"]
    assert not re.findall(r"#[0-9a-f]{6}", theme.css_colours(json.dumps(figure.chart.to_dict())))


def test_names_read_as_people_write_them() -> None:
    assert label_of("vera-rubin-nvl72") == "Vera Rubin NVL72"
    assert label_of("gb300-nvl72") == "GB300 NVL72"
    assert label_of("dona-ana") == "Dona Ana"


def test_a_late_milestone_is_told() -> None:
    view = plans.with_extras(plans.small())
    view.summary["milestones"] = [{"by": "2026-Q4", "power_w": 1e9, "deployed_w": 2e8, "shortfall_w": 8e8}]
    assert "1 GW comes in 2028-Q1 instead of 2026-Q4" in " ".join(sentences(view))


@pytest.mark.parametrize(
    ("watts", "text"), [(7.998e9, "7.99 GW"), (8e9, "8 GW"), (1e10, "10 GW"), (3.06e8, "306 MW"), (0.0, "0 MW")]
)
def test_power_is_never_rounded_up_to_a_promise(watts: float, text: str) -> None:
    assert power(watts) == text
