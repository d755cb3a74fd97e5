"""The independent check of money and of the world around the racks, from a plan's tables alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["MONEY_RULES", "delivered_by_quarter", "released_by_quarter", "with_delivered"]

Tables = dict[str, Any]  # of pandas.DataFrame
Rule = Callable[[dict[str, Any], Tables], Iterator[str]]
_CENTS_USD = 0.05


def with_delivered(deployment: pd.DataFrame) -> pd.DataFrame:
    """Deployment with ``racks_delivered``: plans made before there was stock had every rack delivered as it was added."""
    if "racks_delivered" in deployment:
        return deployment
    return deployment.assign(racks_delivered=deployment["racks_added"])


# Every rule takes both, whether it needs the summary or not: one signature, one table of rules.
# ruff: noqa: ARG001
def delivered_by_quarter(summary: dict[str, Any], tables: Tables) -> pd.Series:
    """Value of systems delivered to the operator: racks for sites that are not a cloud's, at their price [USD]."""
    frame = with_delivered(tables["deployment"]).merge(
        tables["supply"][["quarter", "system", "rack_price_usd"]], on=["quarter", "system"]
    )
    frame = frame.merge(tables["sites"][["quarter", "site", "tenure"]], on=["quarter", "site"])
    frame = frame[frame["tenure"] != "cloud"]
    value = (frame["racks_delivered"] * frame["rack_price_usd"]).groupby(frame["quarter"]).sum()
    made: pd.Series = value.reindex(summary["quarters"], fill_value=0.0)
    return made


def _operator(tables: Tables, flow: str, quarters: list[str]) -> pd.Series:
    cash = tables["cash"]
    mine = cash[(cash["party"] == "operator") & (cash["flow"] == flow)]
    made: pd.Series = mine.groupby("quarter")["amount_usd"].sum().reindex(quarters, fill_value=0.0)
    return made


def _run_over(summary: dict[str, Any], name: str) -> str | None:
    """Quarter in which a run has ended: its deadline, or later."""
    run = next((r for r in summary["training_runs"] if r["name"] == name), None)
    if run is None or run["end"] is None:
        return None
    return max(str(run["end"]), str(run["deadline"]))


def released_by_quarter(summary: dict[str, Any], tables: Tables, deployed: pd.Series) -> dict[int, str | None]:
    """The quarter in which each tranche is due by its terms, found tranche by tranche."""
    quarters = summary["quarters"]
    terms = (summary.get("terms") or {}).get("investment") or {}
    lag = int(terms.get("acceptance_quarters") or 0)
    counted = deployed.shift(lag, fill_value=0.0)
    delivered = delivered_by_quarter(summary, tables).cumsum()
    out: dict[int, str | None] = {}
    before = quarters[0]
    for tranche in tables["tranches"].sort_values("index").itertuples():
        ok = (counted >= tranche.threshold_w * (1 - 1e-9)) & (counted.index >= before)
        for c in terms.get("conditions") or []:
            if c["tranche"] > tranche.index:
                continue
            if c.get("not_before"):
                ok &= counted.index >= c["not_before"]
            if c.get("purchases_usd"):
                ok &= delivered >= c["purchases_usd"] * (1 - 1e-9)
            if c.get("run"):
                over = _run_over(summary, c["run"])
                ok &= counted.index >= over if over else False
        if terms.get("long_stop"):
            ok &= counted.index <= terms["long_stop"]
        due = counted.index[ok]
        out[int(tranche.index)] = str(due[0]) if len(due) else None
        before = str(due[0]) if len(due) else "9999-Q4"
    return out


def _ceiling(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    terms = (summary.get("terms") or {}).get("investment")
    if terms is None:
        return
    paid = sum(_operator(tables, f, summary["quarters"]).sum() for f in ("equity_tranche", "equity_upfront"))
    if paid > terms["ceiling_usd"] * (1 + 1e-9) + _CENTS_USD:
        yield f"${paid:,.0f} of equity with a ceiling of ${terms['ceiling_usd']:,.0f}"


def _purchases(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    """What operator, clouds and lessors pay for systems is the price of the racks delivered."""
    cash = tables["cash"]
    frame = with_delivered(tables["deployment"]).merge(
        tables["supply"][["quarter", "system", "rack_price_usd"]], on=["quarter", "system"]
    )
    worth = float((frame["racks_delivered"] * frame["rack_price_usd"]).sum())
    bought = cash[(cash["flow"] == "system_purchase") & (cash["amount_usd"] > 0)]["amount_usd"].sum()
    terms = (summary.get("terms") or {}).get("systems") or {}
    sellers = set(cash[(cash["flow"] == "system_purchase") & (cash["amount_usd"] > 0)]["party"])
    if terms.get("kind") == "lease" and terms.get("by") in ("supplier", *sellers):
        bought += float(delivered_by_quarter(summary, tables).sum()) * terms["share"]  # from itself: no cash moves
    if abs(bought - worth) > 1.0 + 1e-9 * worth:
        yield f"${bought:,.0f} paid for systems worth ${worth:,.0f}"


def _instalments(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    """Instalments repay what was delivered with interest, a delivery at a time."""
    terms = (summary.get("terms") or {}).get("systems")
    if terms is None:
        return
    quarters = summary["quarters"]
    rate, n = terms["rate"] / 4, max(1, round(4 * terms["term_years"]))
    expected = np.zeros(len(quarters))
    for t, value in enumerate(delivered_by_quarter(summary, tables)):
        owed, end = value * terms["share"], value * terms["share"] * terms["residual"]
        weights = sum((1 + rate) ** -k for k in range(1, n + 1))
        each = (owed - end * (1 + rate) ** -n) / weights
        for k in range(1, n + 1):
            if t + k < len(quarters):
                expected[t + k] += each + (end if k == n else 0.0)
    flows = ("system_lease",) if terms["kind"] == "lease" else ("credit_interest", "credit_repayment")
    paid = sum((-_operator(tables, f, quarters) for f in flows), pd.Series(0.0, index=quarters))
    for quarter, got, due in zip(quarters, paid, expected, strict=True):
        if abs(got - due) > 1.0 + 1e-7 * due:
            yield f"{quarter}: ${got:,.2f} of instalments where ${due:,.2f} is due"


def _tax(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    """Tax is the rate on profit beyond all losses so far."""
    terms = (summary.get("terms") or {}).get("tax")
    if terms is None:
        return
    quarters = summary["quarters"]
    systems = (summary.get("terms") or {}).get("systems") or {}
    own = 1.0 - (systems.get("share", 0.0) if systems.get("kind") == "lease" else 0.0)
    capital = {
        "system_purchase",
        "facility_construction",
        "debt_draw",
        "debt_repayment",
        "credit_draw",
        "credit_repayment",
    }
    equity = {"opening_cash", "other_funding", "equity_tranche", "equity_upfront", "dividends", "tax"}
    mine = tables["cash"][tables["cash"]["party"] == "operator"]
    run = mine[~mine["flow"].isin(capital | equity)]
    profit = np.array(run.groupby("quarter")["amount_usd"].sum().reindex(quarters, fill_value=0.0), dtype=float)
    spent = (
        (delivered_by_quarter(summary, tables) * own, terms["system_years"]),
        (-_operator(tables, "facility_construction", quarters), terms["facility_years"]),
    )
    for series, years in spent:
        for t, value in enumerate(series):
            for u in range(t, len(quarters)):
                age = u - t
                share = min(1.0, (age + 0.5) / (4 * years)) - min(1.0, max(age - 0.5, 0.0) / (4 * years))
                profit[u] -= value * share
    total, best = -terms["losses"], 0.0
    paid = -_operator(tables, "tax", quarters)
    for quarter, earned, got in zip(quarters, profit, paid, strict=True):
        total += earned
        due = terms["rate"] * max(total - best, 0.0)
        best = max(best, total)
        if abs(got - due) > 1.0 + 1e-6 * due:
            yield f"{quarter}: ${got:,.2f} of tax where ${due:,.2f} is due"


def _interest(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    rate = (summary.get("terms") or {}).get("interest_on_cash") or 0.0
    quarters = summary["quarters"]
    got = _operator(tables, "interest_received", quarters)
    balance = [0.0, *summary["cash_usd"][:-1]]
    for quarter, amount, usd in zip(quarters, got, balance, strict=True):
        if abs(amount - max(usd, 0.0) * rate / 4) > 1.0:
            yield f"{quarter}: ${amount:,.2f} of interest on ${usd:,.2f}"


def _revenue(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    """Revenue by product adds up to tokens served at their price."""
    demand = tables["demand"]
    due = (demand["tokens_served"] * demand["usd_per_token"]).groupby(demand["quarter"]).sum()
    got = _operator(tables, "revenue", summary["quarters"])
    for quarter, amount in got.items():
        expected = float(due.get(quarter, 0.0))
        if abs(amount - expected) > 1.0 + 1e-7 * expected:
            yield f"{quarter}: ${amount:,.2f} of revenue for ${expected:,.2f} of tokens"


def _parties(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    """What a party's measures say it received and paid is what the cash table says."""
    rows = summary.get("parties") or []
    parties = [r["party"] for r in rows]
    net = tables["cash"].groupby("party")["amount_usd"].sum()
    for row in rows:
        if row["party"] == "operator" or (parties.count(row["party"]) > 1 and row["role"] != "all"):
            continue
        said = row["received_usd"] - row["paid_usd"]
        if abs(said - float(net.get(row["party"], 0.0))) > 1.0:
            yield f"{row['party']}: ${said:,.0f} net in its measures, ${float(net.get(row['party'], 0.0)):,.0f} in cash"


def _fit(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    placed = tables["deployment"].groupby(["site", "system"])["racks_added"].sum()
    for item in summary.get("unfit") or []:
        racks = placed.get((item["site"], item["system"]), 0)
        if racks:
            yield f"{racks} {item['system']} at {item['site']}, which {item['why']}"


def _environment(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    """Energy is what mean power draws, carbon follows its intensity, and the energy bill its price."""
    sites = tables["sites"]
    seconds = 365.25 * 86400 / 4
    limit = sites["facility_power_w"] * seconds
    # A quarter may be warmer than the year's mean, never than the hottest hour that the peak PUE stands for.
    over = sites[sites["energy_j"] > limit * (1 + 1e-6) + 1.0]
    yield from (f"{r.quarter} {r.site}: more energy than its racks can draw" for r in over.itertuples())
    wrong = ~np.isclose(sites["carbon_kg"], sites["energy_j"] * sites["carbon_kg_per_j"], rtol=1e-9)
    yield from (f"{r.quarter} {r.site}: carbon is not energy times its intensity" for r in sites[wrong].itertuples())
    total = sites.groupby("quarter")["carbon_kg"].sum().reindex(summary["quarters"], fill_value=0.0)
    if not np.allclose(total, summary["carbon_kg"], rtol=1e-9):
        yield "carbon in the summary differs from the sites"


def _spans(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    """A run at two sites is one that may span the line between them."""
    allowed = {(x["run"], *sorted(x["sites"])) for x in summary.get("spans") or [] if x["may_span"]}
    for run in summary["training_runs"]:
        if len(run["sites"]) > 1 and (run["name"], *sorted(run["sites"])) not in allowed:
            yield f"{run['name']}: spans {', '.join(run['sites'])}, which no line allows"


def _late(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    quarters = summary["quarters"]
    for run in summary["training_runs"]:
        if run["end"] is None:
            continue
        slipped = max(quarters.index(run["end"]) - quarters.index(run["deadline"]), 0)
        if slipped != run["slipped_quarters"]:
            yield f"{run['name']}: ends {run['end']}, due {run['deadline']}, said to slip {run['slipped_quarters']}"


MONEY_RULES: dict[str, Rule] = {
    "equity stays within its ceiling": _ceiling,
    "systems delivered are paid for, at their price": _purchases,
    "instalments repay what was delivered, with interest": _instalments,
    "tax is the rate on profit beyond all losses": _tax,
    "idle cash earns its interest": _interest,
    "revenue is tokens served at their price, product by product": _revenue,
    "each party's measures are of its cash": _parties,
    "systems stand only where they fit": _fit,
    "energy, carbon and water follow from each other": _environment,
    "runs span only lines that carry their gradients": _spans,
    "runs that end late are counted late": _late,
}
