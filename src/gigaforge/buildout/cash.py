"""Whose money moves when: flows between parties from a plan's decisions, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import step_once
from gigaforge.quarters import SECONDS_PER_QUARTER

if TYPE_CHECKING:
    from gigaforge.buildout.plan import Decisions

__all__ = ["Cash", "cash_table", "flows_usd", "internal_rate_of_return"]

OPERATOR = "operator"
# Flow -> who is on the other side ("partner" is the site's own), sign for the operator, kind.
FLOWS = {
    "opening_cash": ("shareholders", 1, "financing"),
    "other_funding": ("other investors", 1, "financing"),
    "equity_tranche": ("investor", 1, "financing"),
    "equity_upfront": ("investor", 1, "financing"),
    "debt_draw": ("lenders", 1, "debt"),
    "debt_repayment": ("lenders", -1, "debt"),
    "debt_interest": ("lenders", -1, "debt"),
    "revenue": ("customers", 1, "revenue"),
    "system_purchase": ("supplier", -1, "capex"),
    "facility_construction": ("partner", -1, "capex"),
    "site_lease": ("partner", -1, "opex"),
    "cloud_capacity": ("partner", -1, "opex"),
    "energy": ("utilities", -1, "opex"),
    "maintenance": ("supplier", -1, "opex"),
    "staff": ("staff", -1, "opex"),
    "other_costs": ("revenue partners and staff", -1, "opex"),
}


@dataclass(frozen=True)
class Cash:
    """The cash-flow table and its sums for the operator."""

    table: pd.DataFrame
    balance_usd: Array  # (T,)
    project_usd: Array  # (T + 1,) before financing; the last is the salvage value
    net_present_value_usd: float
    capex_usd: float
    opex_usd: float
    revenue_usd: float
    salvage_usd: float


def flows_usd(p: Problem, d: Decisions) -> dict[str, Array]:
    """Every flow of the operator by site and quarter, positive, to the cent [USD]. Shape (S, T)."""
    f, o, count = p.scenario.finance, p.scenario.operations, len(p.quarters)
    own = np.array([t != "cloud" for t in p.tenures], dtype=float)
    value = np.einsum("skt,kt,s->st", d.added, p.rack_price_usd, own)
    ahead = np.zeros_like(value)
    ahead[:, :-1] = value[:, 1:] * f.deposit
    ahead[:, 0] += value[:, 0] * f.deposit
    grown = np.diff(d.built_w, axis=1, prepend=0.0)
    debt_before = np.concatenate([[0.0], d.debt_usd[:-1]])
    steps = np.diff(d.tranches, prepend=0)
    opening = np.zeros(count)
    opening[0] = f.opening_cash
    zero = np.zeros(count)
    investment = p.scenario.investment
    gross = p.token_usd / (1 - o.overhead_of_revenue) if o.overhead_of_revenue < 1 else p.token_usd
    revenue = (d.served * gross).sum(axis=0) if p.workloads else zero
    single = {
        "opening_cash": opening,
        "other_funding": step_once(f.other_funding, p),
        "equity_tranche": steps * p.tranche_usd,
        "equity_upfront": step_once(investment.upfront, p) if investment else zero,
        "debt_draw": np.maximum(d.debt_usd - debt_before, 0.0),
        "debt_repayment": np.maximum(debt_before - d.debt_usd, 0.0),
        "debt_interest": debt_before * (f.debt.interest / 4 if f.debt else 0.0),
        "revenue": revenue,
        "other_costs": revenue * o.overhead_of_revenue,
    }
    by_site = {
        "system_purchase": value * (1 - f.deposit) + ahead,
        "facility_construction": grown * p.facility_usd_per_w[:, None],
        "site_lease": d.built_w * p.lease_usd_per_w[:, None],
        "cloud_capacity": np.einsum("skt,skt->st", d.online, p.cloud_usd_per_rack),
        "energy": _energy(p, d),
        "maintenance": np.einsum("skt,k,s->st", d.online, p.rack_price_usd[:, 0], own) * o.maintenance / 4,
        "staff": d.built_w * own[:, None] * o.staff * SECONDS_PER_QUARTER,
    }
    flows = {name: amount[None, :] for name, amount in single.items()} | by_site
    return {name: np.round(amount, 2) for name, amount in flows.items()}


def _energy(p: Problem, d: Decisions) -> Array:
    """Mean power of everything at each site times price and mean PUE [USD]. Shape (S, T)."""
    watts = np.einsum("skt,k->st", d.online, p.rack_idle_w)
    if p.points:
        extra = p.point_power_w - p.rack_idle_w[p.point_system]
        watts = watts + np.einsum("spt,p->st", d.serving_racks, extra)
    if p.runs:
        extra = p.train_power_w - p.rack_idle_w[p.train_system]
        watts = watts + np.einsum("jst,j->st", d.training_racks, extra)
    return np.asarray(watts * (p.energy_usd_per_j * p.pue_mean)[:, None] * SECONDS_PER_QUARTER)


def cash_table(p: Problem, d: Decisions) -> Cash:
    """All flows as rows that cancel between two parties, and what they come to."""
    flows = flows_usd(p, d)
    names = {"supplier": p.supplier}
    if p.scenario.investment:
        names["investor"] = p.scenario.investment.investor
    if p.scenario.finance.debt:
        names["lenders"] = p.scenario.finance.debt.lender
    frames = []
    for flow, amounts in flows.items():
        other, sign, _ = FLOWS[flow]
        for s, row in enumerate(amounts):
            party = p.partners[s] if other == "partner" else names.get(other, other)
            t = np.flatnonzero(row)
            for who, amount in ((OPERATOR, sign * row[t]), (party, -sign * row[t])):
                frames.append(pd.DataFrame({"t": t, "party": who, "flow": flow, "amount_usd": amount}))
    table = pd.DataFrame(pd.concat(frames).groupby(["t", "party", "flow"])["amount_usd"].sum().reset_index())
    table["amount_usd"] = table["amount_usd"].round(2)
    table.insert(0, "quarter", [str(p.quarters[t]) for t in table.pop("t")])
    total = {kind: np.zeros(len(p.quarters)) for kind in ("financing", "debt", "revenue", "capex", "opex")}
    for flow, amounts in flows.items():
        _, sign, kind = FLOWS[flow]
        total[kind] = total[kind] + sign * amounts.sum(axis=0)
    salvage = salvage_usd(p, d)
    project = total["revenue"] + total["capex"] + total["opex"]
    settle = d.debt_usd[-1] * (1 + (p.scenario.finance.debt.interest / 4 if p.scenario.finance.debt else 0))
    worth = float(((project + total["debt"]) * p.discount).sum() + (salvage - settle) * p.discount_end)
    return Cash(
        table=table,
        balance_usd=np.cumsum(project + total["debt"] + total["financing"]),
        project_usd=np.append(project, salvage),
        net_present_value_usd=worth,
        capex_usd=float(-total["capex"].sum()),
        opex_usd=float(-total["opex"].sum()),
        revenue_usd=float(total["revenue"].sum()),
        salvage_usd=salvage,
    )


def salvage_usd(p: Problem, d: Decisions) -> float:
    """Straight-line book value of systems and buildings at the end of the horizon [USD]."""
    f = p.scenario.finance
    age = len(p.quarters) - np.arange(len(p.quarters)) - 0.5
    own = np.array([t != "cloud" for t in p.tenures], dtype=float)
    left = np.clip(1 - age / (4 * f.system_life_years), 0, None)
    systems = np.einsum("skt,kt,s,t->", d.added, p.rack_price_usd, own, left)
    stay = np.clip(1 - age / (4 * f.facility_life_years), 0, None)
    grown = np.diff(d.built_w, axis=1, prepend=0.0)
    return float(systems + np.einsum("st,s,t->", grown, p.facility_usd_per_w, stay))


def internal_rate_of_return(quarterly_usd: Array) -> float | None:
    """Annual rate at which the flows are worth nothing, None where there is none [fraction]."""
    import pyxirr  # noqa: PLC0415

    if not (quarterly_usd.max(initial=0.0) > 0 > quarterly_usd.min(initial=0.0)):
        return None
    rate = pyxirr.irr(quarterly_usd.tolist())
    return None if rate is None or not np.isfinite(rate) else float((1 + rate) ** 4 - 1)
