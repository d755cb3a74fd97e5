"""Every payment of a plan: who pays whom, for what, in which quarter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.flows import FLOWS, OPERATOR
from gigaforge.buildout.instalments import instalments
from gigaforge.buildout.problem import Array, Problem, step_once
from gigaforge.buildout.shares import stake_of
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import step

__all__ = [
    "Stream",
    "delivered_usd",
    "energy_j",
    "operator_flows",
    "operator_stream",
    "partner_streams",
    "party_names",
    "payments_table",
]


@dataclass(frozen=True)
class Stream:
    """Payments of one kind, a row for each payer, payee and item; dollars to the cent.

    Attributes
    ----------
    flow : str
        Kind of payment.
    payers, payees, items : list of str
        One for each row; an item is a site, a product or a tranche, or empty.
    usd : (row, quarter) array
        Not negative.

    """

    flow: str
    payers: list[str]
    payees: list[str]
    items: list[str]
    usd: Array


def delivered_usd(p: Problem, d: Decisions) -> Array:
    """Value of systems delivered to the operator, by site and quarter [USD]. Shape (S, T)."""
    own = np.array([t != "cloud" for t in p.tenures], dtype=float)
    return np.asarray(np.einsum("skt,kt,s->st", d.bought, p.rack_price_usd, own))


def energy_j(p: Problem, d: Decisions) -> Array:
    """Energy that each site draws: mean power of everything at it, times its PUE of the quarter [J]. Shape (S, T)."""
    return np.asarray(_mean_it_w(p, d, None) * p.pue_quarter * SECONDS_PER_QUARTER)


def _mean_it_w(p: Problem, d: Decisions, serving_weight: Array | None) -> Array:
    """Mean IT power [W], shape (S, T); `serving_weight` (S, W) weighs what serving adds to idle power."""
    watts = np.einsum("skt,k->st", d.online, p.rack_idle_w)
    if p.points:
        extra = p.point_power_w - p.rack_idle_w[p.point_system]
        weight = np.ones((len(p.sites), len(p.points)))
        if serving_weight is not None:
            weight = serving_weight[:, p.point_workload]
        watts = watts + np.einsum("spt,p,sp->st", d.serving_racks, extra, weight)
    if p.runs:
        extra = p.train_power_w - p.rack_idle_w[p.train_system]
        watts = watts + np.einsum("jst,j->st", d.training_racks, extra)
    return np.asarray(watts)


def _ahead(value: Array, deposit: float) -> Array:
    """What is paid for systems in each quarter: a deposit the quarter before delivery, the rest with it."""
    paid = value * (1 - deposit)
    paid[:, :-1] += value[:, 1:] * deposit
    paid[:, 0] += value[:, 0] * deposit
    return paid


def operator_flows(p: Problem, d: Decisions) -> dict[str, Array]:
    """Every flow of the operator but tax and interest on cash, positive [USD]. Shape (site, T), or (item, T)."""
    f, o, count = p.scenario.finance, p.scenario.operations, len(p.quarters)
    own = np.array([t != "cloud" for t in p.tenures], dtype=float)
    value = delivered_usd(p, d)
    grown = np.diff(d.built_w, axis=1, prepend=0.0)
    debt_before = np.concatenate([[0.0], d.debt_usd[:-1]])
    opening = np.zeros(count)
    opening[0] = f.opening_cash
    investment, zero = p.scenario.investment, np.zeros(count)
    revenue = _revenue(p, d)
    single = {
        "opening_cash": opening,
        "other_funding": step_once(f.other_funding, p),
        "equity_upfront": step_once(investment.upfront, p) if investment else zero,
        "dividends": step(f.dividends, p.quarters),
        "debt_draw": np.maximum(d.debt_usd - debt_before, 0.0),
        "debt_repayment": np.maximum(debt_before - d.debt_usd, 0.0),
        "debt_interest": debt_before * (f.debt.interest / 4 if f.debt else 0.0),
        "other_costs": revenue.sum(axis=0) * o.overhead_of_revenue,
    }
    flows = {name: amount[None, :] for name, amount in single.items()} | {"revenue": revenue}
    stake = stake_of(p, d)
    if stake is not None and stake.held is not None:  # the investor's part of the dividends, and the others'
        flows["dividends"] = flows["dividends"] * np.stack([1 - stake.held, stake.held])
    released = np.concatenate([[0.0], np.cumsum(p.tranche_amounts_usd)])[d.tranches]
    flows["equity_tranche"] = np.diff(released, prepend=0.0)[None, :]
    share = 1.0
    if f.systems is not None:
        terms = instalments(f.systems, count)
        if f.systems.kind == "lease":
            share = 1.0 - f.systems.share
            flows["system_lease"] = terms.spread(value, "payment")
        else:
            flows["credit_draw"] = value * f.systems.share
            flows["credit_interest"] = terms.spread(value, "interest")
            flows["credit_repayment"] = terms.spread(value, "principal")
    flows |= {
        "system_purchase": _ahead(value, f.deposit) * share,
        "facility_construction": grown * p.facility_usd_per_w[:, None],
        "site_lease": d.built_w * p.lease_usd_per_w[:, None],
        "cloud_capacity": np.einsum("skt,skt->st", d.online, p.cloud_usd_per_rack),
        "energy": _mean_it_w(p, d, p.serving_price_factor) * p.pue_quarter * p.energy_usd_per_j * SECONDS_PER_QUARTER,
        "curtailment_credit": d.built_w * p.curtailment_usd_per_w,
        "maintenance": np.einsum("skt,k,s->st", d.online, p.rack_price_usd[:, 0], own) * o.maintenance / 4,
        "staff": d.built_w * own[:, None] * o.staff * SECONDS_PER_QUARTER,
    }
    return flows


def _revenue(p: Problem, d: Decisions) -> Array:
    """Revenue by product and quarter [USD]. Shape (product, T)."""
    if not p.workloads:
        return np.zeros((1, len(p.quarters)))
    rows = [d.served[w] * usd for w, (_, usd) in p.products]
    return np.array(rows)


def _rows(p: Problem, flow: str, usd: Array) -> list[str]:
    if flow == "revenue" and p.workloads:
        return [name for _, (name, _) in p.products]
    return list(p.sites) if len(usd) == len(p.sites) and flow not in _SINGLE else [""] * len(usd)


_SINGLE = {"opening_cash", "other_funding", "equity_upfront", "equity_tranche", "dividends", "debt_draw",
           "debt_repayment", "debt_interest", "other_costs", "revenue", "tax", "interest_received"}  # fmt: skip


def party_names(p: Problem) -> dict[str, str]:
    """What each role is called in this plan."""
    s = p.scenario
    names = {"supplier": p.supplier}
    if s.investment:
        names["investor"] = s.investment.investor
    if s.finance.debt:
        names["lenders"] = s.finance.debt.lender
    if s.finance.systems:
        names["terms"] = names.get(s.finance.systems.by, s.finance.systems.by)
    return names


def operator_stream(p: Problem, flow: str, usd: Array) -> Stream:
    """One flow of the operator with its other side."""
    other, sign, _ = FLOWS[flow]
    names, items = party_names(p), _rows(p, flow, usd)
    them = [p.partners[s] if other == "partner" else names.get(other, other) for s in range(len(usd))]
    if flow == "dividends":
        them = ["shareholders", names.get("investor", "shareholders")][: len(usd)]
    me = [OPERATOR] * len(usd)
    payers, payees = (them, me) if sign > 0 else (me, them)
    return Stream(flow, payers, payees, items, np.round(usd, 2))


def partner_streams(p: Problem, d: Decisions) -> list[Stream]:
    """What the others pay among themselves: clouds and lessors buy systems, partners build and pay for power."""
    names = party_names(p)
    cloud = np.array([t == "cloud" for t in p.tenures])
    value = np.einsum("skt,kt->st", d.bought, p.rack_price_usd) * cloud[:, None]
    power = d.held_w(p).sum(axis=1) * p.pue_peak[:, None]
    taken = np.where(cloud[:, None], np.maximum.accumulate(power, axis=1), d.built_w)
    build = np.diff(taken, axis=1, prepend=0.0) * p.partner_facility_usd_per_w[:, None]
    energy = energy_j(p, d) * p.site_energy_usd_per_j * cloud[:, None]
    sites, supplier = p.sites, [p.supplier] * len(p.sites)
    out = [
        Stream("system_purchase", p.partners, supplier, sites, np.round(value, 2)),
        Stream("facility_construction", p.partners, ["builders"] * len(sites), sites, np.round(build, 2)),
        Stream("energy", p.partners, ["utilities"] * len(sites), sites, np.round(energy, 2)),
    ]
    terms = p.scenario.finance.systems
    bought = delivered_usd(p, d)
    if terms is not None and terms.kind == "lease":
        leased = np.round(_ahead(bought, p.scenario.finance.deposit) * terms.share, 2)
        out.append(Stream("system_purchase", [names["terms"]] * len(sites), supplier, sites, leased))
    margin = next((x.margin for x in p.scenario.parties if x.name == p.supplier), None)
    if margin is not None:
        sold = (value + bought).sum(axis=0)[None, :]
        out.append(
            Stream("cost_of_goods", [p.supplier], ["component makers"], [""], np.round(sold * (1 - margin), 2))
        )
    return out


def payments_table(p: Problem, made: list[Stream]) -> pd.DataFrame:
    """Two rows for each payment, which cancel. Columns: quarter, party, counterparty, flow, item, amount_usd."""
    frames = []
    for stream in made:
        for payer, payee, item, row in zip(stream.payers, stream.payees, stream.items, stream.usd, strict=True):
            t = np.flatnonzero(row)
            if payer == payee or not len(t):
                continue
            for me, them, sign in ((payee, payer, 1), (payer, payee, -1)):
                frames.append(
                    pd.DataFrame(
                        {"t": t, "party": me, "counterparty": them, "flow": stream.flow, "item": item,
                         "amount_usd": sign * row[t]}
                    )
                )  # fmt: skip
    columns = ["t", "party", "counterparty", "flow", "item"]
    if not frames:
        return pd.DataFrame(columns=["quarter", *columns[1:], "amount_usd"])
    table = pd.DataFrame(pd.concat(frames).groupby(columns)["amount_usd"].sum().reset_index())
    table["amount_usd"] = table["amount_usd"].round(2)
    table.insert(0, "quarter", [str(p.quarters[t]) for t in table.pop("t")])
    return table
