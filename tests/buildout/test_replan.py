"""What happened is fixed and the rest planned; what contradicts itself is refused by both its statements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gigaforge.buildout.actuals import past_from, read_actuals, register_actuals
from gigaforge.buildout.check import check_plan
from gigaforge.buildout.diff import diff_actuals, diff_plans
from gigaforge.buildout.explain import _none_for, milestones, sentences
from gigaforge.buildout.plan import Plan
from gigaforge.buildout.planner import _falling, _warnings, plan
from gigaforge.buildout.problem import premises_of, problem_from
from gigaforge.buildout.replan import check_standing
from gigaforge.buildout.scarcity import Scarcity, what_happened
from gigaforge.buildout.solver import SolverOptions
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.report.story import headline
from gigaforge.report.view import PlanView
from gigaforge.units import format_at_most
from tests.buildout.small import catalog, points, scenario

QUICK = SolverOptions(gap=1e-3, time_limit_s=60)


def planned(**options: Any) -> Plan:
    changes = options.pop("changes", {})
    return plan(scenario(**changes), catalog(), points=points(), options=QUICK, **options)


@pytest.fixture(scope="module")
def standing() -> Plan:
    return planned()


def happened(p: Plan, quarters: int = 2) -> pd.DataFrame:
    over = p.summary["quarters"][:quarters]
    table = p.tables["deployment"]
    table = table[table["quarter"].isin(over)].copy()
    table["accepted_w"] = table["deployed_w"]
    return table.drop(columns="deployed_w").reset_index(drop=True)


def edited(table: pd.DataFrame, column: str, change: float, row: int | None = None) -> pd.DataFrame:
    out = table.copy()
    out[column] = out[column].astype(float)
    at = int(np.argmax(out["racks_added"])) if row is None else row
    out.loc[out.index[at], column] += change
    return out


def test_the_past_as_planned_leaves_the_plan_as_good(standing: Plan) -> None:
    again = planned(actuals=happened(standing))
    assert again.summary["objective_value"] == pytest.approx(standing.summary["objective_value"], rel=2e-3)
    assert again.summary["actual_quarters"] == 2


def test_what_happened_is_kept_to_the_rack_and_the_rest_is_planned_around_it(standing: Plan) -> None:
    actual = happened(standing)
    at = int(np.argmax(actual["racks_added"]))
    for column in ("racks_added", "racks_online"):
        actual.loc[at, column] -= 37  # no whole block
    later = (actual["quarter"] > actual["quarter"][at]) & (actual["site"] == actual["site"][at])
    actual.loc[later & (actual["system"] == actual["system"][at]), "racks_online"] -= 37
    result = planned(actuals=actual.drop(columns=["accepted_w", "facility_power_w", "it_power_w"]))
    table = result.tables["deployment"].set_index(["quarter", "site", "system"])
    for row in actual.to_dict("records"):
        assert table.loc[(row["quarter"], row["site"], row["system"]), "racks_added"] == row["racks_added"]
    assert not [c for c in check_plan(result.summary, result.tables) if not c.passed]
    assert result.summary["deployed_w"][-1] > result.summary["deployed_w"][1]


def test_power_not_accepted_yet_counts_a_quarter_later(standing: Plan) -> None:
    actual = happened(standing)
    actual.loc[actual["quarter"] == actual["quarter"].max(), "accepted_w"] *= 0.5
    result = planned(actuals=actual)
    assert result.summary["deployed_w"][1] == pytest.approx(
        actual[actual["quarter"] == "2026-Q4"]["accepted_w"].sum()
    )
    assert result.summary["deployed_w"][2] >= standing.summary["deployed_w"][1]
    assert not [c for c in check_plan(result.summary, result.tables) if not c.passed]


@pytest.fixture(scope="module")
def stocked(standing: Plan) -> tuple[pd.DataFrame, Plan]:
    """Half of what was delivered in the first quarter stands in a warehouse when planning begins."""
    actual = happened(standing, 1)
    at = int(np.argmax(actual["racks_added"].where(actual["site"] != "cloud")))
    actual["racks_delivered"] = actual["racks_added"]
    kept = int(actual.loc[at, "racks_added"] // 2)
    actual.loc[at, ["racks_added", "racks_online"]] -= kept
    actual = actual.drop(columns=["accepted_w", "facility_power_w", "it_power_w", "nameplate_w"])
    return actual, planned(actuals=actual)


def test_racks_delivered_and_not_deployed_are_stock_that_is_paid_for_once(stocked: tuple[pd.DataFrame, Plan]) -> None:
    actual, result = stocked
    table = result.tables["deployment"].merge(result.tables["supply"], on=["quarter", "system"])
    table = table.merge(result.tables["sites"][["quarter", "site", "tenure"]], on=["quarter", "site"])
    mine = table[(table["tenure"] != "cloud") & (table["line"] == "a")].groupby("quarter")
    stock = (mine["racks_delivered"].sum() - mine["racks_added"].sum()).cumsum()
    kept = actual["racks_delivered"].sum() - actual["racks_added"].sum()
    assert stock.iloc[0] == kept > 0
    assert stock.iloc[-1] == 0 == stock.min()
    own = table[table["tenure"] != "cloud"]
    worth = (own["racks_delivered"] * own["rack_price_usd"]).groupby(own["quarter"]).sum()
    cash = result.tables["cash"].query("party == 'operator' and flow == 'system_purchase'")
    paid = -cash.groupby("quarter")["amount_usd"].sum().reindex(result.summary["quarters"], fill_value=0.0)
    worth = worth.reindex(result.summary["quarters"], fill_value=0.0)
    deposit = result.problem.scenario.finance.deposit  # the quarter before; for the first quarter, in it
    due = worth * (1 - deposit) + worth.shift(-1, fill_value=0.0) * deposit
    due.iloc[0] += worth.iloc[0] * deposit
    np.testing.assert_allclose(paid, due, atol=1.0)
    assert result.summary["objective_value"] <= result.summary["npv_usd"] + 1.0
    assert f"{kept:,.0f} a systems delivered by 2026-Q3 and paid for were not deployed" in " ".join(
        result.summary["explanations"]
    )
    assert all(r["quarter"] > "2026-Q3" for r in result.summary["reasons"])


def test_stock_on_credit_is_owed_and_written_off_once_at_sites_and_clouds_alike() -> None:
    columns = ["quarter", "site", "system", "racks_added", "racks_delivered"]
    rows = [("2026-Q3", "north", 53, 137), ("2026-Q3", "south", 0, 29), ("2026-Q3", "cloud", 0, 13),
            ("2026-Q4", "north", 20, 0), ("2026-Q4", "south", 9, 0), ("2026-Q4", "cloud", 5, 0)]  # fmt: skip
    actual = pd.DataFrame([(q, s, "rack-a", *n) for q, s, *n in rows], columns=columns)
    credit = {"kind": "credit", "by": "supplier", "share": "50 %", "rate": "9 %", "term_years": 3}
    finance = {"discount_rate": "10 %", "opening_cash": "$15B", "tax": {"rate": "21 %"}, "systems": credit}
    short = {"horizon": {"first": "2026-Q3", "last": "2028-Q2"}, "training": [], "investment": None,
             "commitment": {"power": "1 GW", "late_penalty": "$20/kW-month"}, "finance": finance}  # fmt: skip
    result = planned(actuals=actual, changes=short)
    assert not [c for c in check_plan(result.summary, result.tables) if not c.passed]
    total = result.tables["deployment"].groupby("site")[["racks_added", "racks_delivered"]].sum()
    assert total.loc["cloud"].tolist() == [13, 13]  # whole blocks of 8 out of part ones
    assert total.drop("cloud")["racks_added"].sum() == total.drop("cloud")["racks_delivered"].sum()
    assert result.summary["npv_usd"] == pytest.approx(result.summary["objective_value"], abs=1e3)


def test_stock_is_installed_also_after_its_platforms_last_delivery() -> None:
    columns = ["quarter", "site", "system", "racks_added", "racks_delivered"]
    actual = pd.DataFrame([("2026-Q3", "north", "rack-a", 16, 80)], columns=columns)
    lines = [p.model_dump(exclude_unset=True) for p in scenario().platforms]
    lines[0] |= {"supply": {"2026-Q3": 80}, "last": "2026-Q3"}
    short = {"horizon": {"first": "2026-Q3", "last": "2027-Q4"}, "training": [], "investment": None,
             "commitment": {"power": "1 GW", "late_penalty": "$20/kW-month"}, "platforms": lines[:1]}  # fmt: skip
    result = planned(actuals=actual, changes=short)
    table = result.tables["deployment"]
    assert table["racks_added"].sum() == table["racks_delivered"].sum() == 80
    assert not [c for c in check_plan(result.summary, result.tables) if not c.passed]
    again = table.query("quarter <= '2027-Q2'")[["quarter", "site", "system", "racks_added", "racks_delivered"]]
    past_from(read_actuals(again), premises_of(scenario(**short), catalog()))  # what was planned may have happened


@pytest.mark.parametrize(
    ("column", "rule"),
    [
        ("racks_delivered", "racks are deployed when they have been delivered"),
        ("rack_price_usd", "systems delivered are paid for"),
    ],
)
def test_the_check_finds_stock_that_never_came_or_was_not_paid_for(
    stocked: tuple[pd.DataFrame, Plan], column: str, rule: str
) -> None:
    _, result = stocked
    tables = dict(result.tables)
    name = "deployment" if column == "racks_delivered" else "supply"
    tables[name] = tables[name].copy()
    first = tables[name]["quarter"] == "2026-Q3"
    tables[name].loc[first, column] = (tables[name].loc[first, column] * 0.9).astype(tables[name][column].dtype)
    broken = [c.rule for c in check_plan(result.summary, tables) if not c.passed]
    assert any(b.startswith(rule) for b in broken), broken
    assert not [c for c in check_plan(result.summary, result.tables) if not c.passed]


def test_a_milestone_missed_in_the_past_is_told_by_what_happened(stocked: tuple[pd.DataFrame, Plan]) -> None:
    actual, result = stocked
    deployed, delivered = int(actual["racks_added"].sum()), int(actual["racks_delivered"].sum())
    said = what_happened(result.problem, result.decisions, 0)
    assert said == f"by the actuals, {deployed:,} of the {delivered:,} systems delivered by then were deployed"


def test_a_claim_that_a_plan_would_lose_says_where_the_search_cannot_tell(stocked: tuple[pd.DataFrame, Plan]) -> None:
    _, result = stocked
    s = result.summary
    for open_usd, told in ((0.0, False), (1e12, True)):
        marks = milestones(result.problem, result.decisions, s["shadow_prices"], np.asarray(s["cash_usd"]), open_usd)
        claims = [m["why"] for m in marks if "would cost more than being late" in m["why"]]
        assert all(("that the search leaves open" in c) == told for c in claims)
        words = " ".join(
            sentences(
                result.problem, result.decisions, s["shadow_prices"], marks, np.asarray(s["cash_usd"]), open_usd
            )
        )
        assert ("that the search leaves open" in words) == (
            told and ("would cost more" in words or "add less" in words)
        )


def test_power_that_falls_is_warned_of(standing: Plan) -> None:
    p = standing.problem
    assert _falling(p) == []
    watts = p.energised_w.copy()
    watts[0, :3] = watts[0, 3] + 160e6
    told = _falling(replace(p, energised_w=watts))
    assert len(told) == 1
    assert f"Power at {p.sites[0]} falls from " in told[0]
    assert f" in {p.quarters[3]}, and" in told[0]


def test_plans_of_different_horizons_say_that_totals_do_not_compare(standing: Plan) -> None:
    one = (standing.summary, standing.tables)
    cut = {key: standing.summary[key][:-1] for key in ("quarters", "deployed_w")}
    said = diff_plans(one, (standing.summary | cut, standing.tables), ("long", "short")).sentences
    assert said[0].startswith("long goes from 2026-Q3 to ")
    assert "over different times" in said[0]
    assert "over different times" not in " ".join(diff_plans(one, one, ("a", "b")).sentences)


def test_part_blocks_of_supply_are_no_systems_left(standing: Plan) -> None:
    p, d, none = standing.problem, standing.decisions, np.zeros(len(standing.problem.quarters))
    more = replace(p, supply=p.supply + 3.0)  # blocks are of eight
    before, now = (Scarcity.of(x, d, none.tolist(), none, 1) for x in (p, more))
    np.testing.assert_array_equal(now.left, before.left)
    used_up = replace(now, taken=now.offered - now.part)
    told = f"all but 6 of the {now.offered[0]:,.0f} a systems that supply gives by then are bought"
    assert used_up.spent(np.array([True, False])) == [
        f"{told} (the rest: under a whole block of 8 in each quarter's supply)"
    ]


def test_systems_that_no_site_with_room_takes_are_told_as_such(standing: Plan) -> None:
    p, none = standing.problem, np.zeros(len(standing.problem.quarters))
    last = len(p.quarters) - 1
    unfit = [{"site": p.sites[0], "system": p.systems[1], "why": "draws 600 kW, the halls take racks of 250 kW"}]
    now = Scarcity.of(replace(p, unfit=unfit), standing.decisions, none.tolist(), none, last)
    now = replace(
        now, offered_then=np.array([0.0, 400.0]), taken_then=np.zeros(2), part_then=np.zeros(2), stock=np.zeros(2)
    )
    heavy = (
        f"400 b systems could be had, but no site with room takes them: {p.systems[1]} draws 600 kW, the halls take racks "
        f"of 250 kW ({p.sites[0]})"
    )
    assert _none_for(now.p, now, [0], np.array([True, False]), last) == [heavy]
    assert _none_for(now.p, replace(now, offered_then=np.zeros(2)), [0], np.array([True, False]), last) == [
        "no system is supplied then"
    ]
    few = replace(now, offered_then=np.array([5.0, 0.0]), part_then=np.array([5.0, 0.0]))
    assert _none_for(now.p, few, [0], np.array([True, False]), last) == [
        "5 systems supplied then are left (under a whole block of 8)"
    ]


def test_why_tokens_are_not_served_is_told_in_figures_of_the_tables(stocked: tuple[pd.DataFrame, Plan]) -> None:
    _, result = stocked
    said = next(x for x in result.summary["explanations"] if "Most are missing in" in x)
    quarter = said.split("Most are missing in ")[1][:7]
    sites = result.tables["sites"]
    sites = sites[(sites["quarter"] == quarter) & (sites["energised_w"] > 0)]
    full = sites[sites["facility_power_w"] >= 0.97 * sites["energised_w"]]
    if len(full) == len(sites):
        assert f"{', '.join(full['site'][:-1])} and {full['site'].iloc[-1]} are full" in said
    else:
        used, energised = (
            format_at_most(float(sites[c].sum()), "power") for c in ("facility_power_w", "energised_w")
        )
        assert f"{used} of the {energised} energised are in use" in said


def test_the_search_starts_from_the_standing_plan(standing: Plan) -> None:
    changed = planned(standing=(standing.summary, standing.tables), actuals=happened(standing))
    assert changed.summary["objective_value"] == pytest.approx(standing.summary["objective_value"], rel=2e-3)


def test_a_standing_plan_of_another_scenario_is_refused(standing: Plan) -> None:
    other = scenario(name="other", sites=[{"site": "north"}])
    with pytest.raises(
        InputError, match=r"plans/old: is a plan of small, this is other, and their sites differ: cloud, north"
    ):
        check_standing(other, (standing.summary, standing.tables), "plans/old")
    check_standing(scenario(name="other"), (standing.summary, standing.tables), "plans/old")
    check_standing(scenario(sites=[{"site": "north"}]), (standing.summary, standing.tables), "plans/old")


def test_a_gap_that_stays_open_is_told_before_anything_else(standing: Plan) -> None:
    s = standing.summary | {
        "mip_gap": 0.0555,
        "status": "time_limit",
        "bound": standing.summary["objective_value"] * 1.0555,
    }
    told = _warnings(standing.problem, replace(standing, summary=s), s["shadow_prices"], SolverOptions())
    assert told[0].startswith("The search ended at its time limit of 5 min, before the gap of 0.5 %")
    assert "5.5 %, up to $" in told[0] or "5.6 %, up to $" in told[0]
    assert headline(PlanView(s, standing.tables)).endswith("; a plan within 5.6 % of the best")
    assert "within" not in headline(PlanView(standing.summary, standing.tables))


CONTRADICTIONS = [
    (lambda t: edited(t, "accepted_w", 1e9), r"MW accepted, where the racks added so far \(rows? .*\) make"),
    (lambda t: t.assign(accepted_w=np.where(t["quarter"] == "2026-Q4", 0.0, t["accepted_w"])), r"0.0 MW accepted so far, where it was [\d.]+ MW by 2026-Q3 \(row \d"),
    (lambda t: t.rename(columns={"accepted_w": "acepted_w"}), r"has a column 'acepted_w', which means nothing here; did you mean 'accepted_w'\?"),
    (lambda _: pd.DataFrame([["2026-Q3", "north", "rack-a", 10, 30], ["2026-Q3", "cloud", "rack-a", 8, 0]], columns=["quarter", "site", "system", "racks_added", "racks_delivered"]), r"2026-Q3 a at cloud: 8 racks .* where racks_delivered of the same rows at cloud has only 0"),
    (lambda t: edited(t, "racks_online", 5), r"racks online, where all racks added so far less those retired make"),
    (lambda t: edited(t, "racks_retired", 1e5), r"100,000 racks retired, where [\d,]+ were online"),
    (lambda t: t[["quarter", "site", "system", "racks_added"]].assign(racks_added=9999), r"deployed by then \(rows 1, 3 and 5\), where .*supply of the scenario small"),
    (lambda t: edited(t, "facility_power_w", 2e9), r"draw [\d,.]+ MW, where sites\..*energised"),
    (lambda t: t.assign(site="nowhere"), r"no site 'nowhere'; it has north, south, cloud"),
    (lambda t: t.assign(system="rack-z"), r"no system 'rack-z'"),
    (lambda t: t[t["quarter"] == "2026-Q4"], r"rows for 2026-Q4 and none for 2026-Q3"),
    (lambda t: t.assign(quarter="2040-Q1"), r"outside the scenario's horizon"),
    (lambda t: pd.concat([t, t]), r"\(row \d+\): stated twice, first in row"),
    (lambda t: t.assign(racks_added=-1), r"racks_added is -1"),
    (lambda t: t.assign(racks_added=0.5), r"whole number"),
    (lambda t: t.assign(racks_added=None), r"racks_added is blank"),
    (lambda t: t.assign(racks_delivered=0), r"racks_delivered of the same rows has only 0 delivered"),
    (lambda t: t.drop(columns="site"), r"no column 'site'"),
    (lambda t: t[:0], r"holds no row"),
    (lambda t: t[["quarter", "site", "system", "racks_added"]][:1].assign(racks_added=1, system="rack-b"), r"deployed by then|host no"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CONTRADICTIONS)))
def test_contradictions_are_refused_with_both_statements(standing: Plan, number: int) -> None:
    spoil, message = CONTRADICTIONS[number]
    with pytest.raises(InputError, match=message):
        past_from(read_actuals(spoil(happened(standing))), premises_of(scenario(), catalog()))


def test_premises_are_those_of_the_problem() -> None:
    made, problem = premises_of(scenario(), catalog()), problem_from(scenario(), catalog(), points())
    for name in ("supply", "can_host", "energised_w", "pue_peak", "rack_it_w", "deployed_w_per_rack", "line_of"):
        np.testing.assert_array_equal(getattr(made, name), getattr(problem, name))


def test_a_contradiction_is_named_by_file_and_line(tmp_path: Path) -> None:
    premises, file = premises_of(scenario(), catalog(), "mine.yaml"), tmp_path / "so-far.csv"
    file.write_text(
        "quarter,site,system,racks_added,accepted_w\n2026-Q3,north,rack-a,300,\n\n2026-Q4,south,rack-a,900,\n"
    )
    said = r"so-far.csv: 2026-Q4 a: 1,200 racks deployed by then \(lines 2 and 4\), where platforms.a.supply of mine.yaml has"
    with pytest.raises(InputError, match=said):
        past_from(read_actuals(file), premises)
    file.write_text("quarter,site,system,racks_added,accepted_w\n2026-Q3,north,rack-a,300,\n")
    assert past_from(read_actuals(file), premises).not_accepted_w.sum() == 0  # left blank: all that is installed


def test_actuals_are_refused_before_any_work_is_done(standing: Plan) -> None:
    stages: list[str] = []
    with pytest.raises(InputError, match="deployed by then"):
        planned(actuals=read_actuals(edited(happened(standing), "racks_added", 1e5)[["quarter", "site", "system", "racks_added"]]),
                watch=lambda s: stages.append(s.name))  # fmt: skip
    assert not stages


def test_a_past_that_leaves_no_plan_is_named_among_the_reasons(standing: Plan) -> None:
    poor = {"discount_rate": "10 %", "opening_cash": "$0.1B"}
    with pytest.raises(NoAnswerError, match=r"actuals: [\d,]+ systems bought by 2026-Q4 stand as they are"):
        planned(actuals=happened(standing), changes={"finance": poor, "investment": None})


def test_actuals_come_from_files_folders_and_registered_sources(standing: Plan, tmp_path: Path) -> None:
    table = happened(standing)
    table.to_csv(tmp_path / "all.csv", index=False)
    (tmp_path / "quarters").mkdir()
    for quarter, part in table.groupby("quarter"):
        part.to_parquet(tmp_path / "quarters" / f"{quarter}.parquet")
    register_actuals("memory", lambda rest: table if rest == "here" else table[:0])
    sources = [tmp_path / "all.csv", tmp_path / "quarters", "memory:here", table]
    first, *others = [
        read_actuals(s).sort_values(["quarter", "site", "system"])["racks_added"].tolist() for s in sources
    ]
    assert all(other == first for other in others)
    for wrong, message in ((tmp_path / "none.csv", "no such file"), ("ftp:x", "not a known source"), (tmp_path / "bad.csv", "not a CSV|no column")):  # fmt: skip
        (tmp_path / "bad.csv").write_bytes(b"\x00\x01")
        with pytest.raises(InputError, match=message):
            read_actuals(wrong)


def test_a_diff_refuses_actuals_that_contradict_themselves_and_names_what_waits(standing: Plan) -> None:
    one = (standing.summary, standing.tables)
    rows = [["2026-Q3", "north", "rack-a", 80, 60]]
    columns = ["quarter", "site", "system", "racks_added", "racks_delivered"]
    with pytest.raises(
        InputError, match=r"2026-Q3 a: 80 racks deployed by then \(row 1\), where racks_delivered .* 60"
    ):
        diff_actuals(one, read_actuals(pd.DataFrame(rows, columns=columns)), ("a", "b"))
    rows[0][-1] = 110
    said = diff_actuals(one, read_actuals(pd.DataFrame(rows, columns=columns)), ("a", "b")).sentences
    assert "30 racks are delivered and not deployed by 2026-Q3." in said


def test_a_diff_says_what_changed(standing: Plan) -> None:
    one = (standing.summary, standing.tables)
    assert "the same" in diff_plans(one, one, ("a", "b")).sentences[0]
    less = planned(changes={"sites": [{"site": "north"}, {"site": "south"}]})
    diff = diff_plans(one, (less.summary, less.tables), ("standing", "without the cloud"))
    assert any("net present value" in s.lower() and "less than in standing" in s for s in diff.sentences)
    assert any(s.startswith("cloud:") and "fewer" in s for s in diff.sentences)
    assert diff.to_dict()["headlines"][0]["figure"] == "npv_usd"
    actual = edited(happened(standing), "accepted_w", -1e8)
    words = " ".join(diff_actuals(one, read_actuals(actual), ("standing", "what happened")).sentences)
    assert "behind standing" in words
    blank = happened(standing).drop(columns="deployed_w", errors="ignore").assign(accepted_w=None)
    assert diff_actuals(one, read_actuals(blank), ("standing", "real")).sentences == (
        "What happened is what was planned.",
    )
    other = pd.DataFrame([["2026-Q3", "north", "rack-b", 10]], columns=["quarter", "site", "system", "racks_added"])
    watts = diff_actuals(one, read_actuals(other), ("standing", "real")).power["second_w"]
    assert watts.tolist() == [pytest.approx(10 * 600e3 * 1.25)]
    assert "100 MW" in words
