"""Tables and sentences about whose money moves: parties and their measures, the circle, terms, surroundings."""

from __future__ import annotations

import math
import re
from typing import Any

from gigaforge.report.report_tables import Cell, Link, Table
from gigaforge.report.story import in_quarters, money, power, rate_of_return
from gigaforge.report.view import PlanView, label_of
from gigaforge.units import format_quantity

__all__ = [
    "annual_table",
    "circle_sentence",
    "circle_table",
    "demand_table",
    "environment_table",
    "measures_table",
    "months_table",
    "party_tables",
    "reason_sentences",
    "terms_sentences",
    "training_notes",
    "unfit_sentences",
]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def measures_table(plan: PlanView) -> Table | None:
    """Net present value, return, payback, exposure and multiple of every party."""
    rows: list[list[Cell]] = []
    for r in plan.summary.get("parties") or []:
        multiple = "–" if r["multiple"] is None else f"{r['multiple']:.2f}"
        role = {"all": ", in all", "site partner": ", site", r["party"]: ""}.get(r["role"], f", {r['role']}")
        rows.append(
            [f"{plan.label(r['party'])}{role}", money(r["received_usd"]), money(r["paid_usd"]), money(r["left_usd"]),
             f"{money(r['npv_usd'])} ({100 * r['discount_rate']:g} %)", rate_of_return(r["irr"]), r["payback"] or "later",
             money(r["peak_exposure_usd"]), multiple]
        )  # fmt: skip
    if not rows:
        return None
    head = ["Party", "Received", "Paid", "Left", "NPV (rate)", "IRR", "Back by", "Exposure", "Multiple"]
    note = (
        "NPV at each party's own rate. The operator's measures, its IRR too, are of the project after debt and before equity; the "
        "IRR at the top of the page is before debt. Without an IRR nothing is paid first, or nothing comes back. A supplier's "
        "count no cost of goods unless its margin is stated; partners are taken to build at the catalogue's cost. Left at the "
        "end: book value of what a party owns, loans outstanding, shares at the valuation of the end (at cost without one)."
    )
    return Table("What the plan is worth to each party", head, rows, (0,), note=note)


def circle_sentence(plan: PlanView) -> str:
    """How much of the investor's money comes back; empty without an investor that sells."""
    c = plan.summary.get("circularity")
    if not c:
        return ""
    ten = 10 * c["returned_share"]
    through = (
        f", {money(c['through_partners_usd'])} of it through clouds and lessors" if c["through_partners_usd"] else ""
    )
    total = c["purchases_usd"] + c["through_partners_usd"]
    return (
        f"Of each $10B that {plan.label(c['investor'])} releases, ${ten:.1f}B returns to it as purchases if money in the purse "
        f"mixes; in all it is paid {money(total)}{through}, ${c['per_dollar']:.2f} for each dollar invested."
    )


def circle_table(plan: PlanView) -> Table | None:
    """Each payment of the investor, what is bought from it before the next, and what of it returns by when."""
    c = plan.summary.get("circularity")
    if not c:
        return None
    rows: list[list[Cell]] = [
        [t["quarter"], money(t["amount_usd"]), money(t["purchases_until_next_usd"]), money(t["returned_usd"]),
         _share(t["returned_share"]), t["half_back_by"] or "–"]
        for t in c["tranches"]
    ]  # fmt: skip
    rows.append(["All", money(c["invested_usd"]), money(c["purchases_usd"] + c["through_partners_usd"]),
                 money(c["returned_usd"]), _share(c["returned_share"]), ""])  # fmt: skip
    head = ["Paid in", "Amount", "Bought until the next", "Of it returned", "Share", "Half of that by"]
    note = (
        "Bought: all that the investor is paid for systems, support, rent of systems and credit, by the operator and "
        "through partners. Returned: dollars of this payment that the operator pays back to the investor, every dollar in "
        "the purse being as likely as any other to be spent; the last column is the quarter by which half of what returns has."
    )
    return Table("From the investor and back", head, rows, (0, 5), total=True, note=note)


def annual_table(plan: PlanView) -> Table | None:
    """What owning and running the fleet costs a year, capital charged over each asset's life."""
    a = plan.summary.get("annual_cost")
    if not a:
        return None
    rows: list[list[Cell]] = [
        ["Systems", money(a["system_capex_usd"]), f"{a['system_life_years']:g} years", money(a["system_usd_per_year"])],
        ["Buildings", money(a["facility_capex_usd"]), f"{a['facility_life_years']:g} years", money(a["facility_usd_per_year"])],
        ["Running, rent included", "", "", money(a["running_usd_per_year"])],
        ["All", "", "", money(a["usd_per_year"])],
    ]  # fmt: skip
    note = f"Level payments at the end of each year that repay the capital at {_share(a['cost_of_capital'])}."
    return Table(
        "What owning the fleet costs a year", ["What", "Capital", "Life", "A year"], rows, (0,), total=True, note=note
    )


def terms_sentences(plan: PlanView) -> list[str]:
    """The terms on which money moves, where they are more than cash for power deployed."""
    terms = plan.summary.get("terms") or {}
    out = []
    i = terms.get("investment") or {}
    if i.get("counts") == "accepted":
        out.append(
            f"Power counts for a tranche once accepted, {in_quarters(i['acceptance_quarters'])} after installation."
        )
    if i.get("long_stop"):
        out.append(f"Tranches not released by the end of {i['long_stop']} lapse.")
    if i.get("pricing"):
        at = (
            "its valuation of the day" if i["pricing"] == "current" else f"a valuation of {money(i['valuation_usd'])}"
        )
        stake = (plan.summary.get("circularity") or {}).get("stake")
        buys = f"; {_share(stake)} of the company by the end" if stake else ""
        out.append(f"Shares are bought at {at}{buys}.")
    for c in i.get("conditions") or []:
        what = (
            f"not before {c['not_before']}" if c["not_before"]
            else f"once systems worth {money(c['purchases_usd'])} are delivered" if c["purchases_usd"]
            else f"once {plan.label(c['run'])} has been trained"
        )  # fmt: skip
        out.append(f"Tranche {c['tranche']} and those after it are released {what}.")
    s = terms.get("systems")
    if s:
        kind = "leased from" if s["kind"] == "lease" else "bought on the credit of"
        out.append(
            f"{100 * s['share']:.0f} % of the price of systems is {kind} {plan.label(s['by'])} at {_share(s['rate'])} over "
            f"{s['term_years']:g} years."
        )
    return out


def reason_sentences(plan: PlanView) -> list[str]:
    """Why the largest purchases are where and when they are."""
    return [_named(plan, str(r["sentence"])) for r in plan.summary.get("reasons") or []]


def _named(plan: PlanView, sentence: str) -> str:
    """A sentence with catalogue names as people write them."""
    labels = plan.summary.get("labels") or {}
    lines = {name: label_of(name) for name in (plan.summary.get("shadow_prices") or {}).get("supply") or {}}
    for name, label in sorted({**lines, **labels}.items(), key=lambda pair: -len(pair[0])):
        sentence = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", str(label).replace("\\", ""), sentence)
    return sentence


def environment_table(plan: PlanView) -> Table | None:
    """Energy, carbon and water by year."""
    if not plan.summary.get("energy_wh"):
        return None
    sums = {key: plan.series(key) for key in ("energy_wh", "carbon_kg", "water_l")}
    if not sums["energy_wh"].any():
        return None
    rows: list[list[Cell]] = []
    for year in plan.years:
        mine = [i for i, q in enumerate(plan.quarters) if q.startswith(year)]
        energy, carbon, water = (float(v[mine].sum()) for v in sums.values())
        mean = energy / (len(mine) * 365.25 * 24 / 4)
        rows.append([year, power(mean), f"{energy / 1e12:.1f}", f"{carbon / 1e9:.2f}", f"{water / 1e9:.2f}",
                     f"{1000 * carbon / (energy / 1e3):.0f}" if energy else "–"])  # fmt: skip
    head = ["Year", "Mean power", "Energy [TWh]", "Carbon [Mt]", "Water [Mm³]", "g/kWh"]
    return Table("Energy, carbon and water", head, rows)


def months_table(plan: PlanView) -> Table | None:
    """PUE of each site by month of the year, and the month in which it comes nearest to its limit."""
    if "site_months" not in plan.tables:
        return None
    frame = plan.tables["site_months"].assign(of_year=lambda f: f["month"].str[-2:])
    used = frame[frame["peak_power_w"] > 0]
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    numbers = [f"{i:02d}" for i in range(1, 13)]
    rows: list[list[Cell]] = []
    for site in dict.fromkeys(used["site"]):
        # A horizon shorter than a year has not every month.
        mine = frame[frame["site"] == site].drop_duplicates("of_year").set_index("of_year").reindex(numbers)
        last = used[used["site"] == site]
        share = (last["peak_power_w"] / last["energised_w"].where(last["energised_w"] > 0)).fillna(0.0)
        full = last.loc[share.idxmax()]
        warm = "–" if mine["air_c"].isna().all() else f"{mine['air_c'].max():.0f} °C"
        rows.append([plan.label(str(site)), *["–" if math.isnan(v) else f"{v:.2f}" for v in mine["pue_mean"]], warm,
                     f"{mine['pue_peak'].max():.2f}", f"{full['month']}: {100 * share.max():.0f} %"])  # fmt: skip
    if not rows:
        return None
    head = ["Site", *months, "Warmest month", "PUE, hottest hour", "Fullest month of limit"]
    note = "Mean PUE by month, for energy, from the monthly weather of the place; the hottest hour is held against the limit."
    return Table("PUE by month", head, rows, note=note)


def training_notes(plan: PlanView) -> list[str]:
    """Runs that are late, and runs that may or may not span sites."""
    out = []
    for r in plan.summary.get("training_runs") or []:
        if r.get("slipped_quarters"):
            out.append(
                f"{plan.label(r['name'])} ends in {r['end']}, {in_quarters(r['slipped_quarters'])} after its deadline "
                f"{r['deadline']}, priced at {money(r['slip_cost_usd'])}."
            )
        if r.get("span_efficiency", 1.0) < 1:
            out.append(
                f"{plan.label(r['name'])} spans {' and '.join(plan.label(s) for s in r['sites'])}; exchanging gradients "
                f"between them leaves {_share(r['span_efficiency'])} of its time to compute."
            )
    for x in plan.summary.get("spans") or []:
        if not x["may_span"]:
            needs, has = (format_quantity(v, "bandwidth") for v in (x["needed_bytes_s"], x["bandwidth_bytes_s"]))
            out.append(
                f"{plan.label(x['run'])} may not span {' and '.join(plan.label(s) for s in x['sites'])}: it needs {needs}, the line carries {has}."
            )
    return out


def unfit_sentences(plan: PlanView) -> list[str]:
    """Systems that cannot stand at a site, grouped by reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for item in plan.summary.get("unfit") or []:
        groups.setdefault((item["system"], item["why"]), []).append(plan.label(item["site"]))
    return [
        f"{plan.label(system)} cannot stand at {', '.join(sites)}: it {why}."
        for (system, why), sites in groups.items()
    ]


def demand_table(plan: PlanView) -> Table | None:
    """Weekly users: what was reported, with its source, and what is projected."""
    rows: list[list[Cell]] = []
    for basis in plan.summary.get("demand_basis") or []:
        name = plan.label(basis["workload"])
        for h in basis["history"]:
            where = next((x for x in h["source"] if str(x).startswith("http")), "")
            source: Cell = Link("source", where) if where else ", ".join(h["source"]) or "assumption"
            rows.append([name, h["date"], format_quantity(h["value"], "count"), "history", source])
        rows += [
            [name, f"end of {year}", format_quantity(users, "count"), "projection", "–"]
            for year, users in basis["projection"].items()
        ]
    head = ["Workload", "When", "Weekly users", "Basis", "Source"]
    return Table("Users: history and projection", head, rows, (0, 1, 3, 4)) if rows else None


def party_years(plan: PlanView, party: str) -> list[list[Any]]:
    """A party's flows by year, for its own table [USD]."""
    cash = plan.table("cash", "quarter", "party", "flow", "amount_usd")
    mine = cash[cash["party"] == party]
    frame = mine.assign(year=mine["quarter"].str[:4]).pivot_table(
        index="flow", columns="year", values="amount_usd", aggfunc="sum", fill_value=0.0
    )
    frame = frame.reindex(columns=plan.years, fill_value=0.0)
    return [[str(flow), *map(float, frame.loc[flow])] for flow in frame.index]


def party_tables(plan: PlanView) -> list[Table]:
    """A cash-flow table for every party that has measures."""
    out = []
    for party in dict.fromkeys(r["party"] for r in plan.summary.get("parties") or []):
        rows: list[list[Cell]] = []
        for flow, *years in party_years(plan, party):
            rows.append(
                [
                    flow.replace("_", " ").capitalize(),
                    *(f"{v / 1e9:,.2f}".replace("-", "−") for v in [*years, sum(years)]),
                ]
            )
        if rows:
            out.append(Table(f"Cash of {plan.label(party)} by year [$B]", ["Flow", *plan.years, "All years"], rows))
    return out
